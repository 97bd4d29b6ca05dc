"""Scores of all examples, and the gradient of the mean loss in them.

Newton's methods (`jaxlin.solvers.newton`, `jaxlin.solvers.semismooth_newton`) take
second derivatives and line searches from these, without passes.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxlin.certificates import fenchel_young
from jaxlin.losses import conjugates
from jaxlin.objective import batches, row_sums
from jaxlin.solvers.interface import Examples
from jaxlin.typing import Array, Loss, LossArguments


def of_mean_loss(
    loss: Loss,
    targets: Array,
    shares: Array,
    dual_centers: Array,
    *,
    smoothing: Array,
    loss_arguments: LossArguments | None,
) -> Callable[[Array], Array]:
    """The function of all scores to the gradient of the (smoothed) mean loss in them.

    Args:
      loss: one that has a conjugate.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      shares: example weights that sum to 1, shape ``(examples,)``.
      dual_centers: dual centers of a hinge, shape ``(examples, classes)``; ignored for
        a smooth loss. Their dtype is that of the computation.
      smoothing: smoothing of a hinge, in units of score; ignored for a smooth loss.
      loss_arguments: traced keywords of the loss.
    """
    conjugate, dtype = conjugates.of(loss), dual_centers.dtype
    arguments = {
        name: jnp.asarray(value, dtype)
        for name, value in dict(loss_arguments or {}).items()
    }

    def of_example(scores: Array, target: Any, dual_center: Array) -> Array:
        target = fenchel_young.target_in_dtype(target, dtype)
        duals = conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **arguments
        )
        return conjugate.score_gradient(target, duals)

    def of_all(scores: Array) -> Array:
        gradients = jax.vmap(of_example)(scores, targets, dual_centers)
        # The scores of rows with weight 0 may overflow.
        return jnp.where(shares[:, None] > 0, shares[:, None] * gradients, 0)

    return of_all


def slope_along(
    gradients: Callable[[Array], Array], scores: Array, along: Array
) -> Callable[[Array], Array]:
    """The function of a step to the slope of the mean loss.

    Args:
      gradients: function of `of_mean_loss`.
      scores: scores at step 0, shape ``(examples, classes)``.
      along: change of the scores by a step of 1, same shape.
    """

    def slope(step: Array) -> Array:
        found = gradients(scores + step * along)
        # Rows of weight 0 have gradient 0, and changes that may have overflowed.
        return jnp.sum(jnp.where(found != 0, found * along, 0))

    return slope


@jax.default_matmul_precision("highest")
def all_scores(weights: Array, examples: Examples) -> Array:
    """Scores of all examples, shape ``(examples, classes)``, in blocks of rows.

    Args:
      weights: folded weights, shape ``(classes, features + 1)``.
      examples: raw rows and their normalization.
    """

    def of_row(row: Array) -> Array:
        extended = row_sums.extended_rows(
            row[None], examples.normalization, weights.dtype
        )
        return weights @ extended[0]

    size = min(batches.BLOCK_ROWS, examples.features.shape[0])
    return jax.lax.map(of_row, examples.features, batch_size=size)
