r"""Duality gap: a proven bound on the distance of parameters from the optimum.

For :math:`\lambda_2 > 0` the optimum :math:`W^*` of the objective P is unique. Any
score gradients :math:`u_i` in the domains of the conjugates
(`jaxlin.losses.conjugates`) give a dual value D, a lower bound of P. The gap between P
and D is computed as a sum of non-negative terms, so that no digits cancel:

.. math:: P(W) - P(W^*) \le P(W) - D(U) = \frac{1}{\sum_i a_i}
   \sum_i a_i \big[ \ell(s_i) + \ell^*(u_i) - \langle s_i, u_i \rangle \big]
   + \frac{\|G(U) + \lambda_2 W\|^2}{2 \lambda_2},
   \quad G(U) = \frac{\sum_i a_i u_i x_i^\top}{\sum_i a_i}

The bias is penalised: it is the column of W for the constant feature 1 of each row
(the bias trick). A free bias is not supported: P is then not strongly convex, and a
bound would need score gradients that sum to zero exactly over the examples. For
l2 = 0 there is no certificate.

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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, linear
from jaxlin.certificates import certificate_checks, fenchel_young
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization
from jaxlin.numerics import compensated, precision
from jaxlin.objective import row_norms, row_sums
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
      certificate: certificate of the parameters with the duals of this pass.
    """

    smoothed: Array
    gradient: Array
    excess: Array
    stationarity: Array
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


def pass_values(sums: RowSums, params: Params, *, l2: Array) -> PassValues:
    """Computes gradient and certificate from the sums of a pass over all rows.

    The gap is infinite if l2 is not above 0 or a number has overflowed.

    Args:
      sums: sums of `jaxlin.certificates.fenchel_young.example_function` at ``params``.
      params: parameters of the pass, in the dtype of the computation.
      l2: strength of half the sum of squares, shape ``()``.
    """
    folded = linear.fold_bias(params)
    weight = compensated.total(sums.weight)
    smoothed, data_term, excess, excess_error, value_error, gradient_size = (
        compensated.total(sums.values) / weight
    )
    of_rows = linear.fold_bias(
        Params(compensated.total(sums.weights), compensated.total(sums.bias))
    )
    gradient = of_rows / weight + l2 * folded
    penalty = l2 / 2 * jnp.sum(jnp.square(folded))
    primal = data_term + penalty
    squared = jnp.sum(jnp.square(gradient))
    stationarity = squared / (2 * l2)

    # Errors of examples are added as if all had the same sign.
    unit = jnp.finfo(folded.dtype).eps / 2
    # Sums over parts are compensated. A sum over the R rows of one part, if all terms
    # have the same sign, has an error of about sqrt(R) units of roundoff; the sum of N
    # such parts has a relative error smaller by sqrt(N).
    in_part = 2 * jnp.sqrt(sums.rows) / sums.parts
    sizes = gradient_size + l2 * jnp.linalg.norm(folded)
    gradient_error = (8 + in_part) * unit * sizes
    rounding = (
        excess_error
        + (2 * jnp.sqrt(squared) + gradient_error) * gradient_error / (2 * l2)
        + 8 * unit * (excess + stationarity)
    )
    primal_error = value_error + 64 * unit * primal
    is_proof = (l2 > 0) & (weight > 0) & (weight < jnp.inf)
    is_proof &= (excess + stationarity + rounding < jnp.inf) & (primal < jnp.inf)
    gap = jnp.where(is_proof, excess + stationarity, jnp.inf)
    rounding = jnp.where(is_proof, rounding, 0)
    return PassValues(
        smoothed=smoothed + penalty,
        gradient=gradient,
        excess=excess,
        stationarity=stationarity,
        certificate=Certificate(
            primal=primal,
            dual=jnp.where(is_proof, primal - primal_error - gap - rounding, -jnp.inf),
            gap=gap,
            rounding=rounding,
        ),
    )


def certificate(
    params: Params,
    features: Array,
    targets: Array,
    *,
    loss: Loss,
    l2: ArrayLike,
    loss_arguments: LossArguments | None = None,
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
      params: parameters; the bias counts as penalised. Float64 parameters are certified
        in float64, all others in float32.
      features: raw rows, shape ``(examples, features)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      loss: a loss with a known conjugate.
      l2: strength of half the sum of squares, above 0.
      loss_arguments: keyword arguments of the loss, such as ``{"margin": 1.0}``, all
        above 0.
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
        params = certificate_checks.checked_params(params)
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
            block_size=block_size,
        )
    return precision.float64_as_numpy(result)


@functools.partial(jax.jit, static_argnames=("loss", "block_size"))
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
    block_size,
):
    smooth = conjugates.of(loss).smooth
    margin = arguments.get("margin", 1.0)
    norms = row_norms.norms(
        features, normalization=normalization, block_size=block_size
    )
    num_classes = params.bias.shape[0]
    dual_centers = jnp.zeros((len(norms), 0 if smooth else num_classes), l2.dtype)

    def with_smoothing(smoothing: Array) -> Certificate:
        sums, _ = row_sums.over_rows(
            params,
            features,
            targets,
            fenchel_young.PerExample(dual_centers, norms),
            example_function=fenchel_young.example_function(loss),
            shared=fenchel_young.term_arguments(params, smoothing, arguments),
            example_weights=weights,
            normalization=normalization,
            block_size=block_size,
        )
        return pass_values(sums, params, l2=l2).certificate

    smoothings = margin * jnp.asarray(_SMOOTHINGS[: 1 if smooth else None], l2.dtype)
    certificates = jax.vmap(with_smoothing)(smoothings)
    best = jnp.argmin(bound(certificates))
    return jax.tree.map(lambda leaf: leaf[best], certificates)


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
