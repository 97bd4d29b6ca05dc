"""Sums over the rows of a block, in short parts.

Sums over the rows of a part are not compensated; the sum over the parts is
(`jaxlin.numerics.compensated`).
"""

import jax
import jax.numpy as jnp

from jaxlin.numerics import compensated, precision
from jaxlin.numerics.compensated import Compensated
from jaxlin.typing import Array

# Rows in a part of a block. Sums over the rows of a part are not compensated, so a part
# must be short: a sum of 1,024 equal rows was off by up to 44 units of roundoff, one of
# 512 by 20, one of 256 by 11.
PART_ROWS = 512


def add(
    sums: tuple[Compensated, ...],
    values: Array,
    gradients: Array,
    rows: Array,
    example_weights: Array,
) -> tuple[tuple[Compensated, ...], int]:
    """Adds a block to the sums, in parts of at most `PART_ROWS` rows.

    Args:
      sums: sums of the values, of the outer products of gradients and rows, of the
        gradients, and of the example weights.
      values: weighted values, shape ``(..., K, rows)``.
      gradients: weighted score gradients, shape ``(..., classes, rows)``.
      rows: normalised rows, shape ``(rows, features)``.
      example_weights: shape ``(rows,)``.

    Returns:
      ``(sums, parts)``: the sums with the block, and its number of parts.
    """

    def of_part(
        values: Array, gradients: Array, rows: Array, example_weights: Array
    ) -> tuple[Array, ...]:
        return (
            jnp.sum(values, axis=-1),
            product(gradients, rows),
            jnp.sum(gradients, axis=-1),
            jnp.sum(example_weights),
        )

    num_rows = rows.shape[0]
    length = -(-num_rows // -(-num_rows // PART_ROWS))
    whole, rest = divmod(num_rows, length)
    # Examples are the last axis of all arrays but the rows, where they are the first.
    by_row, axes = (values, gradients, rows, example_weights), (-1, -1, 0, -1)

    def sliced(start: int, stop: int) -> list[Array]:
        return [
            jax.lax.slice_in_dim(leaf, start, stop, axis=axis)
            for leaf, axis in zip(by_row, axes, strict=True)
        ]

    if whole > 1:
        values, gradients, rows, example_weights = sliced(0, whole * length)
        found = jax.vmap(of_part, in_axes=(-2, -2, 0, -2))(
            values.reshape(*values.shape[:-1], whole, length),
            gradients.reshape(*gradients.shape[:-1], whole, length),
            rows.reshape(whole, length, -1),
            example_weights.reshape(whole, length),
        )
        sums = tuple(map(compensated.merge, sums, map(compensated.sum_of, found)))
    else:
        sums = tuple(map(compensated.add, sums, of_part(*sliced(0, length))))
    if rest:
        sums = tuple(
            map(compensated.add, sums, of_part(*sliced(whole * length, num_rows)))
        )
    return sums, whole + (rest > 0)


def product(left: Array, right: Array) -> Array:
    """Returns the product of two tensors at full float32 precision.

    The last axis of the first and the first axis of the second are summed over.
    """
    asked = precision.row_precision(left.dtype)
    return jnp.tensordot(left, right, axes=1, precision=asked)
