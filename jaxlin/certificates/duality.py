r"""Certificates: how far from the optimum parameters are, with proof.

For :math:`\lambda_2 > 0` the optimum :math:`W^*` of the objective P is unique, and any
points :math:`u_i` of the domains of the conjugates (`jaxlin.losses.conjugates`) bound P
from below by the dual value D. The gap between the two is computed as a sum of terms
none of which is negative, so that no digits cancel:

.. math:: P(W) - P(W^*) \le P(W) - D(U) = \frac{1}{\sum_i a_i}
   \sum_i a_i \big[ \ell(s_i) + \ell^*(u_i) - \langle s_i, u_i \rangle \big]
   + \frac{\|G(U) + \lambda_2 W\|^2}{2 \lambda_2},
   \quad G(U) = \frac{\sum_i a_i u_i x_i^\top}{\sum_i a_i}

The bias is penalised: it is the column of W that the constant feature 1 of each row
multiplies (the bias trick). With a free bias P is not strongly convex, and a bound
would need points that sum to zero exactly; neither is offered, and l2 = 0 has no
certificate at all.

  >>> import jax.numpy as jnp
  >>> from jaxlin.certificates import duality
  >>> from jaxlin import linear, losses
  >>> params = linear.Params(jnp.zeros((2, 2)), jnp.zeros(2))
  >>> rows, labels = jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.array([0, 1])
  >>> proof = duality.certificate(
  ...     params, rows, labels, loss=losses.softmax_cross_entropy, l2=1.0)
  >>> print(f"{proof.primal:.4f} {proof.dual:.4f} {proof.gap:.4f}")
  0.6931 0.4431 0.2500

By strong convexity a gap bounds the distance to the optimum (`radius`); which labels
follow from that is told by `jaxlin.certificates.label_certificates`.

Values and points of one pass belong together. The lowest primal value with the highest
dual value, of different passes, would be a bound as well, but along fits of CIFAR-10
(all hinges, l2 from 1e-2 to 1e-4) it never saved an evaluation.
"""

import functools
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, linear, losses
from jaxlin.certificates import fenchel_young
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.normalization import (
    Normalization,
    check_normalization,
    check_rounding,
    without_junk,
)
from jaxlin.numerics import compensated, precision
from jaxlin.objective import row_sums
from jaxlin.objective.row_sums import RowSums
from jaxlin.typing import Array, Loss, LossArguments

# Smoothings tried, in margins, for hinge parameters that come without a dual point.
_SMOOTHINGS = (1.0, 0.3, 0.1, 0.03, 0.01)


class Certificate(NamedTuple):
    """A proof that the objective is within ``gap + rounding`` of its minimum.

    Attributes:
      primal: the objective at the parameters, shape ``()``.
      dual: a lower bound of the minimum: ``primal - gap``, less what floating-point
        errors may have added to it.
      gap: from the sum of terms above, not from the difference.
      rounding: what floating-point errors may have hidden of the gap: products and sums
        of random rounding errors, with a safety factor; not a worst case.
    """

    primal: Array
    dual: Array
    gap: Array
    rounding: Array


class PassValues(NamedTuple):
    """Values of one model from one pass over the rows.

    Attributes:
      smoothed: the smoothed objective, shape ``()``; the objective for a smooth loss.
      gradient: of the smoothed objective, on folded weights
        ``(classes, features + 1)``.
      excess: the mean of the Fenchel-Young terms, shape ``()``.
      stationarity: the other term of the gap, shape ``()``.
      certificate: of the parameters with the points of this pass.
    """

    smoothed: Array
    gradient: Array
    excess: Array
    stationarity: Array
    certificate: Certificate


def bound(certificate: Certificate) -> Array:
    """The proven bound on objective - minimum, rounding included, shape ``()``."""
    return certificate.gap + certificate.rounding


def relative_gap(certificate: Certificate) -> Array:
    """`bound` over the objective, shape ``()``: inf where nothing is proven.

    Over the least that the objective can be, given the rounding errors of its value.
    """
    proven = bound(certificate)
    objective = certificate.dual + proven
    is_proof = (objective > 0) & (proven < jnp.inf)
    return jnp.where(is_proof, proven / jnp.where(is_proof, objective, 1), jnp.inf)


def evaluation(sums: RowSums, params: Params, *, l2: Array) -> PassValues:
    """Gradient and certificate from the sums of a pass over all rows.

    Where l2 is not above 0, or a number has overflowed, the gap is infinite.
    """
    folded = linear.fold_bias(params)
    weight = compensated.total(sums.weight)
    smoothed, data_term, excess, hidden, value_error, size = (
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

    # Errors of examples are added as if they agreed.
    unit = jnp.finfo(folded.dtype).eps / 2
    # Sums over parts are compensated. Those over the R rows of a part, if all their
    # terms have one sign, are off by about the root of R, and that of N parts by the
    # root of N less.
    in_part = 2 * jnp.sqrt(sums.rows) / sums.parts
    gradient_error = (8 + in_part) * unit * (size + l2 * jnp.linalg.norm(folded))
    rounding = (
        hidden
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
    """Certifies any parameters, wherever they come from.

    For a smooth loss the bound is as good as the gradient is small. For a hinge the
    points come from smoothed forms of it, the best of several; a certified fit has
    better ones, from its duals, so that its own certificate is tighter.

    Under `jax.jit` or `jax.vmap` values cannot be looked at: arguments are not checked,
    where l2 is not above 0 the gap is infinite, and float64 parameters have as many
    digits as `jax.config` allows.

    Args:
      params: parameters, whose bias counts as penalised. float64 ones are certified in
        float64, others in float32.
      features: raw rows, shape ``(examples, features)``.
      targets: labels or distributions, one an example.
      loss: one that has a conjugate.
      l2: strength of half the sum of squares, above 0.
      loss_arguments: keywords of the loss, above 0.
      example_weights: shape ``(examples,)``; None is all ones.
      normalization: applied to each row, or None.
      block_size: rows a block; None chooses it.

    Raises:
      ValueError: that names the argument, the rule and the value; among others if l2
        is not above 0, or the loss has no conjugate.
    """
    conjugates.of(loss)
    given = (
        *(params, features, targets, l2, loss_arguments, example_weights),
        normalization,
    )
    is_traced = any(isinstance(one, jax.core.Tracer) for one in jax.tree.leaves(given))
    if not is_traced:
        check.one_label_each("targets", targets)
    check_rank(loss, np.ndim(targets))
    if not is_traced:
        params = _checked_params(params)
        check_certifiable(loss=loss, l2=l2, loss_arguments=loss_arguments)
        num_classes, num_features = params.weights.shape
        checked: tuple[Any, Any, Any] = check.examples(
            features,
            targets,
            example_weights,
            num_classes=num_classes,
            num_features=num_features,
        )
        rows, targets, weights = checked
        if normalization is not None:
            normalization = check_normalization(
                normalization, num_features=num_features
            )
            with precision.keeping_digits(*params):
                check_rounding("features", rows, normalization, example_weights=weights)
        cleaned: Any = without_junk(rows, weights, normalization)
        features, example_weights = cleaned, weights
    # Refined parameters are float64 NumPy arrays; their proof is of those digits.
    with precision.keeping_digits(*(() if is_traced else params)):
        found = _certificate(
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
    return precision.as_given(found)


def _checked_params(params: Params) -> Params:
    """Parameters of one floating dtype, at least float32, whose shapes agree."""
    weights, bias = map(np.asarray, params)
    if weights.ndim != 2 or bias.shape != weights.shape[:1]:
        raise ValueError(
            "params must have weights (classes, features) and bias (classes,), got "
            f"{weights.shape} and {bias.shape}"
        )
    dtype = np.float64 if weights.dtype == np.float64 else np.float32
    return Params(weights.astype(dtype), bias.astype(dtype))  # type: ignore[arg-type]


def check_certifiable(
    *, loss: Loss, l2: Any, loss_arguments: LossArguments | None
) -> None:
    """Raises a ValueError, with the reason, where no certificate exists."""
    conjugates.of(loss)
    if check.number("l2", l2) == 0:
        raise ValueError(
            "l2 must be above 0, got 0; without it the optimum may not exist and no "
            "certificate does"
        )
    check.number("l2", l2, above=0)
    known = argument_names(loss)
    for name, value in (loss_arguments or {}).items():
        if name not in known:
            raise ValueError(
                f"loss_arguments must be among {sorted(known)} for {_name(loss)}, "
                f"got {name!r}"
            )
        check.number(f"loss_arguments[{name!r}]", value, above=0)


def argument_names(loss: Loss) -> frozenset[str]:
    """Names of the keywords that a loss takes, such as ``margin``."""
    return frozenset(
        name
        for name, parameter in inspect.signature(loss).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    )


def check_rank(loss: Loss, rank: int, *, name: str = "targets") -> None:
    """Raises a ValueError if targets of this rank are not what the loss takes."""
    if rank == 2 and loss is not losses.cross_entropy:
        raise ValueError(
            f"{name} must be integers (examples,) for {_name(loss)}, got an array of "
            "rank 2; for distributions over classes use jaxlin.losses.cross_entropy, "
            f"for one-hot rows give {name}.argmax(axis=1)"
        )
    if rank != 2 and loss is losses.cross_entropy:
        raise ValueError(
            f"{name} must be distributions (examples, classes) for cross_entropy, got "
            f"an array of rank {rank}; for integer labels use "
            "jaxlin.losses.softmax_cross_entropy"
        )


def _name(loss: Loss) -> str:
    return getattr(loss, "__name__", str(loss))


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
    norms = row_sums.norms(features, normalization=normalization, block_size=block_size)
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
        return evaluation(sums, params, l2=l2).certificate

    smoothings = margin * jnp.asarray(_SMOOTHINGS[: 1 if smooth else None], l2.dtype)
    found = jax.vmap(with_smoothing)(smoothings)
    best = jnp.argmin(bound(found))
    return jax.tree.map(lambda leaf: leaf[best], found)


def radius(certificate: Certificate, *, l2: ArrayLike) -> Array:
    r"""Bounds the Frobenius distance :math:`\|W - W^*\|` (bias included): shape ``()``.

    :math:`r = \sqrt{2\,\text{gap} / \lambda_2}`, by strong convexity of the penalty;
    the gap includes its rounding.
    """
    return jnp.sqrt(2 * bound(certificate) / l2)
