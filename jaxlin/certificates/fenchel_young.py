"""What one example contributes to a certificate, and how far rounding may reach.

`example_function` makes of a loss the function that
`jaxlin.objective.row_sums.over_rows` sums over all rows in one pass;
`jaxlin.certificates.duality.evaluation` turns the sums into objective, gradient and
proof. The dual point of an example is the gradient of its loss, or of the smoothed form
of a hinge, in the duals of `jaxlin.losses.conjugates`, so that it cannot leave the
domain.

Products behind a proof are made at full precision, and still the scores are off by
some roundoff. How much of the gap that may hide is bounded here, example by example;
errors of examples are added as if they agreed.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import linear, losses
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.objective import row_sums
from jaxlin.typing import Array, Loss, LossArguments


class TermArguments(NamedTuple):
    """Traced arguments of an example function; made by `term_arguments`.

    Attributes:
      smoothing: of a hinge, in units of score.
      loss_arguments: the loss's own, such as its margin.
      per_norm: error of a score per norm of the row.
      per_score: error of a score per size of the largest score.
    """

    smoothing: Array
    loss_arguments: LossArguments
    per_norm: Array
    per_score: Array


def term_arguments(
    params: Params, smoothing: Array, loss_arguments: LossArguments | None
) -> TermArguments:
    """The traced arguments of a pass over the rows at these duals.

    In units of roundoff, a sum of D products strays from the truth by about the size of
    its partial sums if their rounding errors are independent, and by sqrt(D) times the
    total if all products have one sign (Higham and Mary, A new approach to
    probabilistic rounding error analysis, SIAM Journal on Scientific Computing, 2019).
    The factors leave room.
    """
    folded = linear.fold_bias(params)
    unit = jnp.finfo(folded.dtype).eps / 2
    width = jnp.sqrt(jnp.asarray(folded.shape[1], folded.dtype))
    weight = jnp.max(jnp.linalg.norm(folded, axis=1))
    return TermArguments(
        smoothing, dict(loss_arguments or {}), 4 * unit * weight, 4 * unit * width
    )


class PerExample(NamedTuple):
    """What an example function needs to know of an example beside its target.

    Attributes:
      dual_center: of the smoothing, shape ``(classes,)``; ``(0,)`` for a smooth loss.
      norm: Euclidean norm of the normalised row with its constant 1, shape ``()``.
    """

    dual_center: Array
    norm: Array


# Values of an example function.
NUM_VALUES = 6


@functools.cache
def example_function(loss: Loss) -> row_sums.ExampleFunction:
    """The example function of a certified pass (`row_sums.over_rows`).

    Its values, in this order: the smoothed loss, the loss, the Fenchel-Young term, what
    rounding may hide of that, the rounding error of the loss, and the norm of the
    product of point and row.

    Its output is the duals of the point (the next dual_center of a hinge); nothing,
    shape ``(0,)``, for a smooth loss.

    Raises:
      ValueError: if no conjugate of the loss is known.
    """
    conjugate = conjugates.of(loss)

    def values_of_example(
        shared: TermArguments, scores: Array, target: Any, example: PerExample
    ) -> tuple[Array, Array, Array]:
        arguments = dict(shared.loss_arguments)
        if jnp.ndim(target) == 1:
            # A float32 distribution seldom sums to 1 in the dtype of the computation.
            target = jnp.asarray(target, scores.dtype)
            target = target / jnp.sum(target)
        dual_center = (
            jnp.zeros_like(scores) if conjugate.smooth else example.dual_center
        )
        smoothing = shared.smoothing
        duals = conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **arguments
        )
        point = conjugate.score_gradient(target, duals)
        value = loss(scores, target, **arguments)
        if conjugate.smooth:
            smoothed, excess = value, jnp.zeros_like(value)
        else:
            smoothed = conjugate.smoothed(
                scores, target, duals, dual_center, smoothing=smoothing, **arguments
            )
            excess = conjugate.excess(scores, target, duals, **arguments)
        # How far the scores of this row may be off; see `term_arguments`.
        largest = jnp.max(jnp.abs(scores))
        norm = jnp.asarray(example.norm, scores.dtype)
        error = shared.per_norm * norm + shared.per_score * largest
        if conjugate.smooth:
            # The excess vanishes at the gradient, to second order in the scores.
            hidden = 4 * scores.shape[0] * jnp.square(error)
        else:
            hidden = _hidden(loss, scores, target, point, error, arguments)
        # So far may the loss itself be off; a logarithm of a probability near 1 has
        # lost the digits that its distance from 1 has.
        value_error = jnp.sum(jnp.abs(point)) * error + hidden
        if jnp.ndim(target) == 1:
            value_error += 4 * jnp.finfo(scores.dtype).eps * (1 + largest)
        size = jnp.linalg.norm(point)
        if jnp.ndim(target) == 1:
            # The difference of two distributions has the rounding errors of both.
            size = jnp.linalg.norm(duals + target)
        values = jnp.stack(
            [
                smoothed,
                value,
                excess,
                hidden,
                value_error,
                size * norm,
            ]
        ).astype(scores.dtype)
        return values, point, duals[: 0 if conjugate.smooth else None]

    return values_of_example


def _hidden(loss, scores, target, point, error, arguments) -> Array:
    """How much of a hinge's excess errors of its scores may hide.

    At a kink the slope is one of two, and which one is hidden by rounding: both count.
    A shift of the margin moves all violations of it at once.
    """
    margin = jnp.asarray(arguments.get("margin", 1.0), scores.dtype)
    # A violation is made of two scores and the margin, each sum rounded; that of
    # one-vs-rest of one score, and the right class has one too.
    one_score = loss is losses.one_vs_rest_hinge
    reach = (1 if one_score else 2) * error + jnp.finfo(scores.dtype).eps * margin
    if loss is losses.crammer_singer_hinge:
        # Ties among wrong classes are kinks too. The excess is a mean, its weights
        # summing to 1, of what separates violations from the largest of them.
        return reach
    slope = jax.grad(loss)
    sides = [
        jnp.abs(slope(scores, target, margin=margin + shift) - point)
        for shift in (reach, -reach)
    ]
    charged = True if one_score else ~losses.is_label(scores, target)
    return reach * jnp.sum(jnp.where(charged, jnp.maximum(*sides), 0))
