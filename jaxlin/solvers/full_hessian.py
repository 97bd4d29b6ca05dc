"""Hessian of the mean loss in all weights, from one pass over the rows.

It has one row per unknown, classes * (features + 1) of them, and is meant for problems
with up to a few thousand unknowns (`jaxlin.solvers.interior_point`).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.typing import Array

# Largest count of numbers in the products of Hessians and rows that are held at once.
_NUMBERS_PER_BLOCK = 2_000_000


def full_hessian(rows: Array, in_scores: Array, *, is_separable: bool = False) -> Array:
    """Hessian in the folded weights from the Hessians of all examples in the scores.

    Args:
      rows: rows of `jaxlin.objective.row_products.extended_rows`.
      in_scores: Hessians times the shares, shape ``(examples, classes, classes)``.
      is_separable: whether all of these are diagonal.

    Returns:
      Sum of the Kronecker products of ``in_scores`` and the outer products of the rows,
      shape ``(unknowns, unknowns)``, with classes * (features + 1) unknowns.
    """
    (num_rows, width), num_classes = rows.shape, in_scores.shape[-1]
    first, second = np.tril_indices(num_classes)
    if is_separable:
        first = second = np.arange(num_classes)

    def of_block(start: Array | int, length: int) -> Array:
        block, hessians = (
            jax.lax.dynamic_slice_in_dim(leaf, start, length)
            for leaf in (rows, in_scores)
        )
        products = hessians[:, first, second, None] * block[:, None, :]
        return block.T @ products.reshape(length, -1)

    size = min(num_rows, max(1, _NUMBERS_PER_BLOCK // (len(first) * width)))
    full, rest = divmod(num_rows, size)
    total, _ = jax.lax.scan(
        lambda total, start: (total + of_block(start, size), None),
        jnp.zeros((width, len(first) * width), rows.dtype),
        size * jnp.arange(full),
    )
    if rest:
        total += of_block(full * size, rest)
    blocks = total.reshape(width, len(first), width).swapaxes(0, 1)
    matrix = jnp.zeros((num_classes, width, num_classes, width), rows.dtype)
    matrix = matrix.at[first, :, second, :].set(blocks)
    matrix = matrix.at[second, :, first, :].set(blocks.swapaxes(1, 2))
    return matrix.reshape(num_classes * width, num_classes * width)


def without_shift(matrix: Array, num_classes: int, width: int) -> Array:
    """Matrix with curvature along a shift of all scores by a free bias.

    The right sides have no such part, so that the solutions stay the same.
    """
    places = jnp.arange(1, num_classes + 1) * width - 1
    curvature = jnp.max(matrix[places, places])
    curvature = jnp.where(curvature > 0, curvature, 1) / num_classes
    return matrix.at[places[:, None], places[None, :]].add(curvature)
