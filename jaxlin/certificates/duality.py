r"""Duality gap: a proven bound on the distance of parameters from the optimum.

For :math:`\lambda_2 > 0` the optimum :math:`W^*` of the objective P is unique. Any
score gradients :math:`u_i` in the domains of the conjugates
(`jaxlin.losses.conjugates`) give a dual value D, a lower bound of P. The gap between P
and D is computed as a sum of non-negative terms, so that no digits cancel:

.. math:: P(W) - P(W^*) \le P(W) - D(U) = \frac{1}{\sum_i a_i}
   \sum_i a_i \big[ \ell(s_i) + \ell^*(u_i) - \langle s_i, u_i \rangle \big]
   + \frac{\|G(U) + \lambda_2 W\|^2}{2 \lambda_2},
   \quad G(U) = \frac{\sum_i a_i u_i x_i^\top}{\sum_i a_i}

A penalised bias is the column of W for the constant feature 1 of each row (the bias
trick). For a free bias, without a penalty, the score gradients must sum to 0 over the
examples in each class: `jaxlin.certificates.bias_search` finds a bias where they do,
and `jaxlin.certificates.bias_bounds` bounds what rounding leaves of the sum, in two
ways of which the better is taken. For l2 = 0 there is no certificate.

By strong convexity the gap bounds the distance to the optimum (`radius`);
`jaxlin.certificates.label_certificates` derives certified labels from that.

Primal and dual value of a certificate come from the same pass. The lowest primal value
of all passes with the highest dual value would be a bound as well, but along fits of
CIFAR-10 (all hinges, l2 from 1e-2 to 1e-4) it never saved a pass.
"""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import linear
from jaxlin.certificates import (
    bias_bounds,
)
from jaxlin.certificates.bias_bounds import BiasTerm, RowCenter
from jaxlin.linear import Bias, Params
from jaxlin.numerics import compensated
from jaxlin.objective.row_sums import RowSums
from jaxlin.typing import Array, Loss, LossArguments


class Certificate(NamedTuple):
    """Proof that the objective is within ``gap + rounding`` of its minimum.

    Attributes:
      primal: the objective at the parameters, shape ``()``.
      dual: lower bound of the minimum, shape ``()``: ``primal - gap`` minus a bound on
        its floating-point errors; -inf without a proof.
      gap: the duality gap, shape ``()``: a sum of non-negative terms, not the
        difference of the two values; inf without a proof.
      rounding: bound on the part of the gap that floating-point errors may hide, shape
        ``()``. It assumes independent rounding errors in products and sums, with a
        safety factor; it is not a worst case.
    """

    primal: Array
    dual: Array
    gap: Array
    rounding: Array


class PassValues(NamedTuple):
    """Values of one model from one pass over the rows.

    Attributes:
      smoothed: the smoothed objective, shape ``()``; the objective for a smooth loss.
      gradient: gradient of the smoothed objective in the folded weights, shape
        ``(classes, features + 1)``.
      excess: the mean of the Fenchel-Young terms, shape ``()``.
      stationarity: the other term of the gap, squared gradient norm over 2 l2, shape
        ``()``.
      primal_error: bound on the floating-point error of the objective, shape ``()``.
      certificate: certificate of the parameters with the duals of this pass.
    """

    smoothed: Array
    gradient: Array
    excess: Array
    stationarity: Array
    primal_error: Array
    certificate: Certificate


def bound(certificate: Certificate) -> Array:
    """Proven bound on objective minus minimum, rounding included, shape ``()``."""
    return certificate.gap + certificate.rounding


def relative_gap(certificate: Certificate) -> Array:
    """Proven bound relative to the objective, shape ``()``; inf without a proof.

    `bound` is divided by the lowest value that the objective can have, given the
    rounding errors of its computation.
    """
    proven = bound(certificate)
    objective = certificate.dual + proven
    is_proof = (objective > 0) & (proven < jnp.inf)
    return jnp.where(is_proof, proven / jnp.where(is_proof, objective, 1), jnp.inf)


def is_beyond_rounding(certificate: Certificate, *, relative_gap: ArrayLike) -> Array:
    """Returns whether rounding errors forbid a proof of a gap, boolean, shape ``()``.

    For a gradient of norm g, known up to an error of norm e, gap and rounding are
    g^2 / (2 l2) and (2 g + e) e / (2 l2); their sum is never below e^2 / (2 l2). Other
    rounding makes this estimate smaller. The error shrinks with the loss, so that the
    answer is yes only near the optimum, where the gap is below the rounding.

    Args:
      certificate: certificate from a pass.
      relative_gap: relative gap to be proven, above 0, shape ``()``.
    """
    gap, rounding = certificate.gap, certificate.rounding
    least = jnp.square(jnp.sqrt(gap + rounding) - jnp.sqrt(gap))
    return (gap <= rounding) & (least > relative_gap * certificate.primal)


def pass_values(
    sums: RowSums,
    params: Params,
    *,
    loss: Loss,
    l2: Array,
    loss_arguments: LossArguments | None = None,
    bias: Bias = Bias.PENALIZED,
    center: RowCenter | None = None,
) -> PassValues:
    """Computes gradient and certificate from the sums of a pass over all rows.

    The gap is infinite if l2 is not above 0 or a number has overflowed.

    Args:
      sums: sums of `jaxlin.certificates.fenchel_young.example_function` at ``params``.
      params: parameters of the pass, in the dtype of the computation. A free bias is
        that of `jaxlin.certificates.bias_search`; at any other the gap is valid but
        wide.
      loss: the loss of the pass.
      l2: strength of half the sum of squares, shape ``()``.
      loss_arguments: traced keywords of the loss.
      bias: treatment of the bias. The gradient in a bias that is not penalised is 0.
      center: center of the rows, for a free bias.
    """
    if (bias is Bias.FREE) != (center is not None):
        raise ValueError(
            "center must be given for a free bias and no other, got "
            f"{'none' if center is None else 'one'} for bias={bias.value!r}; prepare "
            "examples with the bias of the settings (jaxlin.solvers.certified.prepare)"
        )
    folded = bias.penalized_part(linear.fold_bias(params))
    weight = compensated.total(sums.weight)
    means = compensated.total(sums.values) / weight
    smoothed, data_term, excess, excess_error, value_error, gradient_size = means[:6]
    residual = compensated.total(sums.bias) / weight
    of_weights = compensated.total(sums.weights) / weight
    if center is not None:
        of_weights -= jnp.outer(residual, center.mean.astype(residual.dtype))
    gradient = linear.fold_bias(Params(of_weights, residual)) + l2 * folded
    gradient = bias.penalized_part(gradient)
    penalty = l2 / 2 * jnp.sum(jnp.square(folded))
    primal = data_term + penalty
    squared = jnp.sum(jnp.square(gradient))
    stationarity = squared / (2 * l2)

    # Errors of examples are added as if all had the same sign.
    unit = jnp.finfo(folded.dtype).eps / 2
    # Sums over parts are compensated. A sum over the R rows of one part, if all terms
    # have the same sign, has an error of about sqrt(R) units of roundoff; the sum of N
    # such parts has a relative error smaller by sqrt(N).
    per_size = (8 + 2 * jnp.sqrt(sums.rows) / sums.parts) * unit
    if center is not None:
        sizes, *class_means = means[6:].reshape(-1, len(residual))
        gradient_size += jnp.linalg.norm(sizes) * jnp.linalg.norm(center.mean)
    gradient_error = per_size * (gradient_size + l2 * jnp.linalg.norm(folded))
    rounding = (
        excess_error
        + (2 * jnp.sqrt(squared) + gradient_error) * gradient_error / (2 * l2)
        + 8 * unit * (excess + stationarity)
    )
    primal_error = value_error + 64 * unit * primal
    gap = excess + stationarity
    if center is not None:
        radius = center.radius.astype(residual.dtype)
        of_bias, error = _free_bias_terms(
            residual,
            per_size * sizes,
            class_means,
            loss=loss,
            l2=l2,
            loss_arguments=loss_arguments,
            primal=primal + primal_error,
            rest=gap + rounding,
            radius=radius,
        )
        of_curvature = functools.partial(
            bias_bounds.curvature_term,
            curvature=sums.bias_curvature,
            hidden_terms=excess + excess_error,
            gradient_norm=jnp.sqrt(squared) + gradient_error,
            radius=radius,
            l2=l2,
        )
        by_curvature = of_curvature(jnp.abs(residual) + per_size * sizes)
        is_better = by_curvature < of_bias + error
        of_bias = jnp.where(is_better, of_curvature(jnp.abs(residual)), of_bias)
        error = jnp.where(is_better, by_curvature - of_bias, error)
        gap, rounding = gap + of_bias, rounding + error
    is_proof = (l2 > 0) & (weight > 0) & (weight < jnp.inf)
    # Comparisons with NaN are false.
    is_proof &= (gap + rounding < jnp.inf) & (primal + primal_error < jnp.inf)
    gap = jnp.where(is_proof, gap, jnp.inf)
    rounding = jnp.where(is_proof, rounding, 0)
    return PassValues(
        smoothed=smoothed + penalty,
        gradient=gradient,
        excess=excess,
        stationarity=stationarity,
        primal_error=primal_error,
        certificate=Certificate(
            primal=primal,
            dual=jnp.where(is_proof, primal - primal_error - gap - rounding, -jnp.inf),
            gap=gap,
            rounding=rounding,
        ),
    )


def _free_bias_terms(
    residual: Array,
    residual_error: Array,
    class_means: list[Array],
    *,
    l2: Array,
    rest: Array,
    **options: Any,
) -> tuple[Array, Array]:
    """Part of the gap due to the residual of a free bias, and that due to its error."""

    def with_error(error: Array) -> BiasTerm:
        return bias_bounds.bias_term(residual, error, class_means, **options)

    term = with_error(residual_error)
    without = with_error(jnp.zeros_like(residual_error))
    distance = bias_bounds.bounded_distance(term, rest, l2=l2)
    of_bias = without.constant + without.slope * distance
    both = term.constant + term.slope * distance
    is_known = both < jnp.inf
    error = jnp.where(is_known, both - of_bias, 0)
    return jnp.where(is_known, of_bias, jnp.inf), error


def unproven_certificate(primal: ArrayLike) -> Certificate:
    """Certificate with an infinite gap, of parameters with this objective."""
    primal = jnp.asarray(primal)
    infinity = jnp.full_like(primal, jnp.inf)
    return Certificate(primal, -infinity, infinity, jnp.zeros_like(primal))


def radius(certificate: Certificate, *, l2: ArrayLike) -> Array:
    r"""Bound on the Frobenius distance :math:`\|W - W^*\|` (bias included), scalar.

    :math:`r = \sqrt{2\,\text{gap} / \lambda_2}`, by strong convexity of the penalty;
    the gap includes its rounding.
    """
    return jnp.sqrt(jnp.divide(2 * bound(certificate), l2))
