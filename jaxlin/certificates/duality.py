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
and `jaxlin.certificates.bias_bounds` bounds what rounding leaves of the sum. For l2 = 0
there is no certificate.

  >>> import jax.numpy as jnp
  >>> from jaxlin.certificates import duality
  >>> from jaxlin import linear, losses
  >>> params = linear.Params(jnp.zeros((2, 2)), jnp.zeros(2))
  >>> rows, labels = jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.array([0, 1])
  >>> proof = duality.certificate(
  ...     params, rows, labels, loss=losses.softmax_cross_entropy, l2=1.0)
  >>> print(f"{proof.primal:.4f} {proof.dual:.4f} {proof.gap:.4f}")
  0.6931 0.4431 0.2500

By strong convexity the gap bounds the distance to the optimum (`radius`);
`jaxlin.certificates.label_certificates` derives certified labels from that.

Primal and dual value of a certificate come from the same pass. The lowest primal value
of all passes with the highest dual value would be a bound as well, but along fits of
CIFAR-10 (all hinges, l2 from 1e-2 to 1e-4) it never saved a pass.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, linear
from jaxlin.certificates import (
    bias_bounds,
    bias_search,
    certificate_checks,
    fenchel_young,
)
from jaxlin.certificates.bias_bounds import BiasTerm, RowCenter
from jaxlin.certificates.bias_search import BiasData
from jaxlin.linear import Bias, BiasName, Params
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization
from jaxlin.numerics import compensated, precision
from jaxlin.objective import row_norms, row_products, row_sums
from jaxlin.objective.row_sums import RowSums
from jaxlin.typing import Array, Loss, LossArguments

# Smoothings tried, in units of the margin, for hinge parameters without duals.
_SMOOTHINGS = (1.0, 0.3, 0.1, 0.03, 0.01)


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
        of_bias, error = _free_bias_terms(
            residual,
            per_size * sizes,
            class_means,
            loss=loss,
            l2=l2,
            loss_arguments=loss_arguments,
            primal=primal + primal_error,
            rest=gap + rounding,
            radius=center.radius.astype(residual.dtype),
        )
        gap, rounding = gap + of_bias, rounding + error
    is_proof = (l2 > 0) & (weight > 0) & (weight < jnp.inf)
    is_proof &= (gap + rounding < jnp.inf) & (primal < jnp.inf)
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
    return of_bias, term.constant + term.slope * distance - of_bias


def certificate(
    params: Params,
    features: Array,
    targets: Array,
    *,
    loss: Loss,
    l2: ArrayLike,
    loss_arguments: LossArguments | None = None,
    bias: BiasName = "penalized",
    example_weights: Array | None = None,
    normalization: Normalization | None = None,
    block_size: int | None = None,
) -> Certificate:
    """Certifies parameters of any origin.

    For a smooth loss the bound is small if the gradient is. For a hinge the duals come
    from smoothed hinges with several smoothings, of which the best is used. A certified
    fit has better duals, so that its own certificate is tighter.

    Under `jax.jit` or `jax.vmap` values are not known: arguments are then not checked,
    the gap is infinite if l2 is not above 0, and float64 parameters keep their digits
    only if float64 is enabled in JAX.

    Args:
      params: parameters. Float64 parameters are certified in float64, all others in
        float32.
      features: raw rows, shape ``(examples, features)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      loss: a loss with a known conjugate.
      l2: strength of half the sum of squares, above 0.
      loss_arguments: keyword arguments of the loss, such as ``{"margin": 1.0}``, all
        above 0.
      bias: treatment of the bias by the objective: ``"penalized"``, ``"free"`` or
        ``"none"``, for which the bias of the parameters must be 0. With a free bias
        nothing is proven if a class has no example of positive weight.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.
      normalization: normalisation applied to each row; None for normalised rows.
      block_size: rows per block, at least 1; None chooses it from the shape.

    Returns:
      The certificate, whose gap is infinite if nothing is proven.

    Raises:
      ValueError: naming the argument, the rule and the value, for example if l2 is not
        above 0 or the loss has no known conjugate.
    """
    conjugates.of(loss)
    treatment = Bias.named(bias)
    arguments = (
        *(params, features, targets, l2, loss_arguments, example_weights),
        normalization,
    )
    is_traced = any(
        isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments)
    )
    if not is_traced:
        check.one_label_each("targets", targets)
    certificate_checks.check_rank(loss, np.ndim(targets))
    if not is_traced:
        params = certificate_checks.checked_params(params, bias=treatment)
        certificate_checks.check_certifiable(
            loss=loss, l2=l2, loss_arguments=loss_arguments
        )
        features, targets, example_weights, normalization = (
            certificate_checks.checked_data(
                params, features, targets, example_weights, normalization
            )
        )
    # Refined parameters are float64 NumPy arrays; their certificate uses all digits.
    with precision.enable_float64_for(*(() if is_traced else params)):
        result = _certificate(
            params,
            features,
            targets,
            jnp.asarray(l2, jnp.result_type(params.weights)),
            dict(loss_arguments or {}),
            example_weights,
            normalization,
            loss=loss,
            bias=treatment,
            block_size=block_size,
        )
    return precision.float64_as_numpy(result)


@functools.partial(jax.jit, static_argnames=("loss", "bias", "block_size"))
def _certificate(
    params,
    features,
    targets,
    l2,
    arguments,
    weights,
    normalization,
    *,
    loss,
    bias,
    block_size,
):
    smooth = conjugates.of(loss).smooth
    margin = arguments.get("margin", 1.0)
    by_rows: Any = {"normalization": normalization, "block_size": block_size}
    norms = row_norms.norms(features, **by_rows)
    num_classes = params.bias.shape[0]
    dual_centers = jnp.zeros((len(norms), 0 if smooth else num_classes), l2.dtype)
    products, center = None, None
    if bias is Bias.FREE:
        products = row_products.score_products(params.weights, features, **by_rows)
        counted = norms if weights is None else jnp.where(weights > 0, norms, 0)
        origin = jnp.zeros_like(params.weights[0])
        center = RowCenter(origin, jnp.max(counted).astype(l2.dtype))

    def values_at(params: Params, smoothing: Array) -> PassValues:
        sums, _ = row_sums.over_rows(
            params,
            features,
            targets,
            fenchel_young.PerExample(dual_centers, norms),
            example_function=fenchel_young.example_function(loss, bias=bias),
            shared=fenchel_young.term_arguments(params, smoothing, arguments),
            example_weights=weights,
            products=products,
            **by_rows,
        )
        return pass_values(
            sums,
            params,
            loss=loss,
            l2=l2,
            loss_arguments=arguments,
            bias=bias,
            center=center,
        )

    def with_smoothing(smoothing: Array) -> Certificate:
        here = values_at(params, smoothing)
        if products is None:
            return here.certificate
        data = BiasData(products, targets, dual_centers, weights, smoothing, arguments)
        minimising = bias_search.minimising_bias(params.bias, data, loss=loss)
        there = values_at(params._replace(bias=minimising), smoothing)
        # The lower bound of the minimum does not depend on the bias.
        return _against(here, there.certificate.dual)

    smoothings = margin * jnp.asarray(_SMOOTHINGS[: 1 if smooth else None], l2.dtype)
    certificates = jax.vmap(with_smoothing)(smoothings)
    best = jnp.argmin(bound(certificates))
    found = jax.tree.map(lambda leaf: leaf[best], certificates)
    if bias is Bias.NONE:
        # A traced bias is not checked.
        gap = jnp.where(jnp.any(params.bias != 0), jnp.inf, found.gap)
        return found._replace(gap=gap)
    return found


def _against(found: PassValues, dual: Array) -> Certificate:
    """Certificate of the parameters of a pass, with a lower bound of the minimum."""
    primal = found.certificate.primal
    gap = jnp.where(jnp.isfinite(dual), jnp.maximum(primal - dual, 0), jnp.inf)
    return Certificate(primal, dual, gap, found.primal_error)


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
