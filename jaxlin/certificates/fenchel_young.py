"""Fenchel-Young terms of one example, with bounds on their rounding errors.

`example_function` makes the function of a loss that
`jaxlin.objective.row_sums.over_rows` sums over all rows in one pass;
`jaxlin.certificates.duality.pass_values` turns the sums into objective, gradient and
certificate. The score gradient of an example is that of its loss, or of the smoothed
hinge. It is computed from the duals of `jaxlin.losses.conjugates` and therefore cannot
leave the domain of the conjugate.

Products for a certificate run at full precision, but the scores still have rounding
errors. The part of the gap that these may hide is bounded here, example by example;
errors of examples are added as if all had the same sign.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import linear, losses
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.objective import row_sums
from jaxlin.typing import Array, Loss, LossArguments


class TermArguments(NamedTuple):
    """Traced arguments of an example function; made by `term_arguments`.

    Attributes:
      smoothing: smoothing of a hinge, in units of score, shape ``()``; ignored for a
        smooth loss.
      loss_arguments: keyword arguments of the loss, such as its margin.
      per_norm: rounding error of a score divided by the norm of the row.
      per_score: rounding error of a score divided by the largest absolute score.
    """

    smoothing: Array
    loss_arguments: LossArguments
    per_norm: Array
    per_score: Array


def term_arguments(
    params: Params, smoothing: Array, loss_arguments: LossArguments | None
) -> TermArguments:
    """Makes the traced arguments of a pass over the rows.

    Args:
      params: parameters of the pass, in the dtype of the computation.
      smoothing: smoothing of a hinge, in units of score, shape ``()``.
      loss_arguments: keyword arguments of the loss; None if there are none.

    Reference:
      N. J. Higham and T. Mary. A new approach to probabilistic rounding error analysis.
      SIAM Journal on Scientific Computing, 2019.
    """
    # In units of roundoff, the error of a sum of D products is about the size of its
    # partial sums if their rounding errors are independent, and sqrt(D) times the total
    # if all products have the same sign (Higham and Mary). The factor 4 is a safety
    # margin.
    folded = linear.fold_bias(params)
    unit = jnp.finfo(folded.dtype).eps / 2
    width = jnp.sqrt(jnp.asarray(folded.shape[1], folded.dtype))
    weight = jnp.max(jnp.linalg.norm(folded, axis=1))
    return TermArguments(
        smoothing, dict(loss_arguments or {}), 4 * unit * weight, 4 * unit * width
    )


class PerExample(NamedTuple):
    """Data of one example that the example function needs in addition to its target.

    Attributes:
      dual_center: dual center of the smoothing, shape ``(classes,)``; ``(0,)`` for a
        smooth loss.
      norm: Euclidean norm of the normalised row with its constant 1, shape ``()``.
    """

    dual_center: Array
    norm: Array


# Number of values of an example function, beside those of `class_values`.
_NUM_VALUES = 6


def num_values(*, num_classes: int, bias: Bias) -> int:
    """Returns the number of values of an example function."""
    if bias is not Bias.FREE:
        return _NUM_VALUES
    return _NUM_VALUES + 4 * num_classes


@functools.cache
def example_function(
    loss: Loss, *, bias: Bias = Bias.PENALIZED
) -> row_sums.ExampleFunction:
    """Returns the example function of a certified pass (`row_sums.over_rows`).

    Its values, in this order: the smoothed loss, the loss, the Fenchel-Young term, the
    part of that term that rounding may hide, the rounding error of the loss, and the
    norm of the outer product of score gradient and row. For a free bias the sizes of
    the score gradient's entries follow, and those of `class_values`.

    Its output is the duals, the next dual center of a hinge; for a smooth loss it is
    empty, shape ``(0,)``.

    Args:
      loss: a loss with a known conjugate.
      bias: treatment of the bias.

    Raises:
      ValueError: if no conjugate of the loss is known.
    """
    conjugate = conjugates.of(loss)

    def values_of_example(
        shared: TermArguments, scores: Array, target: Any, example: PerExample
    ) -> tuple[Array, Array, Array]:
        arguments = dict(shared.loss_arguments)
        target = target_in_dtype(target, scores.dtype)
        dual_center = (
            jnp.zeros_like(scores) if conjugate.smooth else example.dual_center
        )
        smoothing = shared.smoothing
        duals = conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **arguments
        )
        score_gradient = conjugate.score_gradient(target, duals)
        value = loss(scores, target, **arguments)
        if conjugate.smooth:
            smoothed, excess = value, jnp.zeros_like(value)
        else:
            smoothed = conjugate.smoothed(
                scores, target, duals, dual_center, smoothing=smoothing, **arguments
            )
            excess = conjugate.excess(scores, target, duals, **arguments)
        # Rounding error of the scores of this row; see `term_arguments`.
        largest = jnp.max(jnp.abs(scores))
        norm = jnp.asarray(example.norm, scores.dtype)
        error = shared.per_norm * norm + shared.per_score * largest
        if conjugate.smooth:
            excess_error = _smooth_excess_error(loss, scores, target, error, arguments)
        else:
            excess_error = _hinge_excess_error(
                loss, scores, target, score_gradient, error, arguments
            )
        value_error = jnp.sum(jnp.abs(score_gradient)) * error + excess_error
        if jnp.ndim(target) == 1:
            # The logarithm of a probability near 1 has lost the digits of the
            # difference from 1.
            value_error += 4 * jnp.finfo(scores.dtype).eps * (1 + largest)
        sizes = _gradient_sizes(score_gradient, target, duals)
        product_norm = jnp.linalg.norm(sizes) * norm
        terms = [smoothed, value, excess, excess_error, value_error, product_norm]
        values = jnp.stack(terms).astype(scores.dtype)
        if bias is Bias.FREE:
            of_classes = class_values(loss, scores, target)
            values = jnp.concatenate([values, sizes, *of_classes])
        return values, score_gradient, duals[: 0 if conjugate.smooth else None]

    return values_of_example


def class_values(loss: Loss, scores: Array, target: Any) -> tuple[Array, ...]:
    """Values of one example whose sums bound the free bias of the optimum.

    They are used in `jaxlin.certificates.bias_bounds`, each of shape ``(classes,)``,
    the same number of them for all losses, which share passes.

    Args:
      loss: a loss with a known conjugate.
      scores: scores of the example.
      target: label or distribution.

    Returns:
      The shares of the classes in the target, the shares times the lead of each class
      over the smallest score, and zeros. For the one-vs-rest hinge the shares, and the
      scores times the shares and times the rest to 1.
    """
    shares = target
    if jnp.ndim(target) == 0:
        shares = jax.nn.one_hot(target, scores.shape[0], dtype=scores.dtype)
    if loss is losses.one_vs_rest_hinge:
        return shares, shares * scores, (1 - shares) * scores
    return shares, shares * (scores - jnp.min(scores)), jnp.zeros_like(scores)


def target_in_dtype(target: Any, dtype: Any) -> Any:
    """A distribution in the dtype of the computation, of sum 1; a label as it is.

    A float32 distribution seldom sums to 1 in float64.
    """
    if jnp.ndim(target) == 0:
        return target
    target = jnp.asarray(target, dtype)
    return target / jnp.sum(target)


def _gradient_sizes(score_gradient: Array, target: Any, duals: Array) -> Array:
    """Sizes that scale the rounding errors of the score gradient's entries."""
    if jnp.ndim(target) == 1:
        # The difference of two distributions has the rounding errors of both.
        return duals + target
    return jnp.abs(score_gradient)


def _smooth_excess_error(
    loss: Loss, scores: Array, target: Any, error: Array, arguments: LossArguments
) -> Array:
    r"""Bound on the excess of the duals of scores with the given error.

    The excess vanishes at the gradient, to second order in the error e. For a square it
    is the sum of the squared errors, at most 2 e, of the violations that are not below
    0. For softmax it is :math:`\text{KL}(q \| p) = \sum_j q_j (e^{d_j} - 1 - d_j)`
    with :math:`d_j = \log(p_j / q_j)` and all :math:`|d_j| \le 2 e`. Let k be the
    class of the largest :math:`q_k`. The others add at most :math:`(1 - q_k) 2 e^2
    \exp(2 e)`. So does k: along the way from one vector of scores to the other its
    :math:`\log q_k` changes by :math:`1 - q_k` times the change of its lead, hence
    :math:`|d_k| \le 2 e \min(1, (1 - q_k) \exp(2 e))`. The bound is twice their sum. A
    certain prediction hides next to nothing.

    `jaxlin.certificates.bias_bounds` relies on more: the bound is at least twice the
    squared norm of the errors under the Hessian, at most 4 rest e^2.
    """
    if loss is losses.weston_watkins_squared_hinge:
        margin = jnp.asarray(arguments.get("margin", 1.0), scores.dtype)
        error = 2 * error + jnp.finfo(scores.dtype).eps * jnp.abs(margin)
        signed = losses.margin_violations(scores, target, **arguments)
        return 2 * jnp.sum(signed > -error, dtype=scores.dtype) * jnp.square(error)
    probabilities = jax.nn.softmax(scores)
    is_largest = losses.is_label(scores, jnp.argmax(scores))
    rest = jnp.sum(jnp.where(is_largest, 0, probabilities))
    # A rest of 0 hides nothing, also where the exponential overflows.
    bound = 8 * rest * jnp.square(error) * jnp.exp(2 * error)
    return jnp.where(rest > 0, bound, 0)


def _hinge_excess_error(
    loss, scores, target, score_gradient, error, arguments
) -> Array:
    """Bound on the part of a hinge's excess that errors of its scores may hide.

    Rounding may select the wrong one of the two slopes at a kink, so that both count. A
    shift of the margin moves all violations at once and so gives the slopes on both
    sides.
    """
    margin = jnp.asarray(arguments.get("margin", 1.0), scores.dtype)
    # A violation is the rounded sum of two scores and the margin. That of one-vs-rest
    # has one score only, and exists for the right class too.
    is_one_vs_rest = loss is losses.one_vs_rest_hinge
    num_scores = 1 if is_one_vs_rest else 2
    violation_error = num_scores * error + jnp.finfo(scores.dtype).eps * margin
    if loss is losses.crammer_singer_hinge:
        # Ties among wrong classes are kinks too. The excess is a mean, with weights
        # that sum to 1, of the differences between the largest violation and the
        # others.
        return violation_error
    slope = jax.grad(loss)
    sides = [
        jnp.abs(slope(scores, target, margin=margin + shift) - score_gradient)
        for shift in (violation_error, -violation_error)
    ]
    is_counted = True if is_one_vs_rest else ~losses.is_label(scores, target)
    return violation_error * jnp.sum(jnp.where(is_counted, jnp.maximum(*sides), 0))
