r"""Distances of all pairs of two sets of rows, in blocks of rows.

`between` computes the distances of each query to each row of one block; `blocks`
iterates over many rows, so that only one block of the distance matrix is in memory:

  >>> import numpy as np
  >>> from jaxlin.neighbors import pairwise, distances
  >>> rows = np.arange(12, dtype=np.uint8).reshape(6, 2)
  >>> for where, found in pairwise.blocks(
  ...     rows[:1], rows, metric=distances.manhattan, block_size=4):
  ...     print(where, found)
  slice(0, 4, None) [[ 0  4  8 12]]
  slice(4, 6, None) [[16 20]]

For the Euclidean distance, its square, cosine and Mahalanobis a block is one matrix
product at full float32 precision; all but cosine first subtract the mean query from the
rows. The absolute error grows with the norm of the rows, and the distance of two equal
rows is not exactly 0; `jaxlin.neighbors` orders by exact distances.

On uint8 rows the squared Euclidean, Manhattan and Chebyshev distances are exact int32
(`jaxlin.neighbors.integer_distances`).
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp

from jaxlin import check
from jaxlin.neighbors import distances, integer_distances
from jaxlin.neighbors.integer_distances import FEATURE_AXES
from jaxlin.typing import Arguments, Array, Distance

# Bytes of distances per block of `blocks` by default.
_BLOCK_BYTES = 32 * 2**20


def between(
    queries: Array,
    rows: Array,
    *,
    metric: Distance,
    metric_arguments: Arguments | None = None,
) -> Array:
    """Distances of each query to each row, for use inside a compiled program.

    Args:
      queries: shape ``(queries, features)``, uint8 or floating.
      rows: shape ``(rows, features)``, uint8 or floating.
      metric: a function of `jaxlin.neighbors.distances`, or any function of one pair,
        which is then applied pair by pair.
      metric_arguments: keyword arguments of the metric, traced.

    Returns:
      Distances, shape ``(queries, rows)``: int32 for the exact integer forms, else
      float32 (float64 if the rows are).
    """
    chex.assert_rank([queries, rows], [2, 2])
    chex.assert_equal_shape_suffix([queries, rows], 1)
    arguments = dict(metric_arguments or {})
    integer = integer_distances.integer_form(metric, queries, rows)
    if integer is not None:
        found = integer(queries, rows)
        if metric is distances.euclidean:
            return jnp.sqrt(found.astype(jnp.float32))
        return found
    if metric in _PRODUCTS:
        return _PRODUCTS[metric](_float(queries), _float(rows), **arguments)

    to_each = functools.partial(
        distances.to_each, rows=rows, metric=metric, arguments=arguments
    )
    return jax.lax.map(to_each, queries)


def blocks(
    queries: Any,
    rows: Any,
    *,
    metric: Distance,
    metric_arguments: Arguments | None = None,
    block_size: int | None = None,
) -> Iterator[tuple[slice, Array]]:
    """Iterates over blocks of rows, with the distances of every query to each block.

    Args:
      queries: shape ``(queries, features)``, uint8 or floating, finite.
      rows: shape ``(rows, features)``, uint8 or floating, finite; may be a memory map.
      metric: a function of `jaxlin.neighbors.distances`, or any function of one pair.
      metric_arguments: keyword arguments of the metric, traced; checked by
        `jaxlin.neighbors.distances.check_arguments`.
      block_size: rows per block, at least 1; None chooses the largest number with at
        most 32 MiB of distances and of rows as float32.

    Yields:
      The slice of rows in the block, and its distances as `between` returns them (in
      float32 unless JAX's 64-bit mode is on).

    Raises:
      ValueError: at the call, if an argument is not valid.
    """
    queries = check.features("queries", queries)
    rows = check.features("rows", rows, num_features=queries.shape[1])
    found = distances.check_arguments(
        metric, metric_arguments, num_features=queries.shape[1]
    )
    if block_size is None:
        block_size = max(1, _BLOCK_BYTES // (4 * max(queries.shape)))
    check.integer("block_size", block_size, at_least=1)
    return _blocks(queries, rows, metric, found, block_size)


def _blocks(queries, rows, metric, arguments, block_size):
    on_device = jnp.asarray(queries)
    for start in range(0, len(rows), block_size):
        where = slice(start, min(start + block_size, len(rows)))
        some = jnp.asarray(rows[where])
        yield where, _between(on_device, some, arguments, metric=metric)


@functools.partial(jax.jit, static_argnames=("metric",))
def _between(queries, rows, arguments, *, metric):
    return between(queries, rows, metric=metric, metric_arguments=arguments)


def _squared_euclidean(queries: Array, rows: Array) -> Array:
    center = jnp.mean(queries, axis=0, keepdims=True)
    return squares(queries - center, rows - center)


def squares(queries: Array, rows: Array) -> Array:
    r"""Squared distances of floating-point rows by one matrix product, floored at 0.

    .. math:: \|x\|^2 - 2 \langle x, z \rangle + \|z\|^2
    """
    sizes = _squared_lengths(queries)[:, None] + _squared_lengths(rows)[None, :]
    return jnp.maximum(sizes - 2 * product(queries, rows), 0)


def _cosine(queries: Array, rows: Array) -> Array:
    unit = jax.vmap(distances.unit)
    return jnp.clip(1 - product(unit(queries), unit(rows)), 0, 2)


def _mahalanobis(queries: Array, rows: Array, *, matrix: Array) -> Array:
    # M = L L^T, so that the distance is the Euclidean distance of the rows times L.
    factor = jnp.linalg.cholesky(jnp.asarray(matrix, rows.dtype))
    center = jnp.mean(queries, axis=0, keepdims=True)
    moved = (product(some - center, factor.T) for some in (queries, rows))
    return jnp.sqrt(squares(*moved))


def product(queries: Array, rows: Array) -> Array:
    """Inner products of each query with each row."""
    # The default precision of accelerators is lower.
    return jax.lax.dot_general(queries, rows, FEATURE_AXES, precision="highest")


def _squared_lengths(rows: Array) -> Array:
    return jnp.sum(jnp.square(rows), axis=1)


def _float(rows: Array) -> Array:
    return rows.astype(jnp.promote_types(rows.dtype, jnp.float32))


_PRODUCTS: dict[Any, Callable[..., Array]] = {
    distances.squared_euclidean: _squared_euclidean,
    distances.euclidean: lambda queries, rows: jnp.sqrt(
        _squared_euclidean(queries, rows)
    ),
    distances.cosine: _cosine,
    distances.mahalanobis: _mahalanobis,
}
