"""Hessian of the mean loss in all weights, from one pass over the rows.

It has classes * (features + 1) unknowns, and is meant for problems of up to a few
thousand (`jaxlin.solvers.newton`). The Hessian of the loss in the scores is the
derivative of the score gradient of the conjugate, so that no loss is written twice.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.losses import conjugates
from jaxlin.normalization import normalize
from jaxlin.solvers.interface import Examples
from jaxlin.typing import Array, Loss

# Numbers of the products of Hessians and rows that are held at once.
_NUMBERS_PER_BLOCK = 2_000_000


def full_hessian(
    weights: Array,
    examples: Examples,
    dual_centers: Array,
    smoothing: Array,
    loss_arguments: Any,
    *,
    loss: Loss,
) -> Array:
    """Hessian of the mean smoothed loss in the folded weights, without the penalty.

    Args:
      weights: folded weights, shape ``(classes, features + 1)``.
      examples: rows, targets, weights and normalisation.
      dual_centers: dual centers of a hinge, shape ``(examples, classes)``; ``(examples,
        0)`` for a smooth loss.
      smoothing: smoothing of a hinge, in units of score.
      loss_arguments: keywords of the loss.
      loss: one that has a conjugate.

    Returns:
      Shape ``(unknowns, unknowns)``, with classes * (features + 1) unknowns.
    """
    conjugate, arguments = conjugates.of(loss), dict(loss_arguments or {})
    num_classes, width = weights.shape
    first, second = np.tril_indices(num_classes)

    def score_gradient(scores: Array, target: Any, center: Array) -> Array:
        if conjugate.smooth:
            center = jnp.zeros_like(scores)
        duals = conjugate.duals(
            scores, target, center, smoothing=smoothing, **arguments
        )
        return conjugate.score_gradient(target, duals)

    def of_block(start: Array | int, length: int) -> Array:
        rows, targets, centers, example_weights = jax.tree.map(
            lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length),
            (
                examples.features,
                examples.targets,
                dual_centers,
                examples.example_weights,
            ),
        )
        if examples.normalization is not None:
            rows = jax.vmap(normalize, in_axes=(None, 0))(examples.normalization, rows)
        rows = rows.astype(weights.dtype)
        rows = jnp.concatenate([rows, jnp.ones((length, 1), rows.dtype)], axis=1)
        in_scores = jax.vmap(jax.jacfwd(score_gradient))(
            rows @ weights.T, targets, centers
        )[:, first, second]
        if example_weights is not None:
            in_scores *= example_weights.astype(weights.dtype)[:, None]
        products = in_scores[:, :, None] * rows[:, None, :]
        return rows.T @ products.reshape(length, -1)

    num_rows = examples.targets.shape[0]
    size = min(num_rows, max(1, _NUMBERS_PER_BLOCK // (len(first) * width)))
    full, rest = divmod(num_rows, size)
    total, _ = jax.lax.scan(
        lambda total, start: (total + of_block(start, size), None),
        jnp.zeros((width, len(first) * width), weights.dtype),
        size * jnp.arange(full),
    )
    if rest:
        total += of_block(full * size, rest)
    if examples.example_weights is None:
        weight = jnp.asarray(num_rows, weights.dtype)
    else:
        weight = jnp.sum(examples.example_weights.astype(weights.dtype))
    blocks = total.reshape(width, len(first), width).swapaxes(0, 1) / weight
    full_matrix = jnp.zeros((num_classes, width, num_classes, width), weights.dtype)
    full_matrix = full_matrix.at[first, :, second, :].set(blocks)
    full_matrix = full_matrix.at[second, :, first, :].set(blocks.swapaxes(1, 2))
    return full_matrix.reshape(num_classes * width, num_classes * width)
