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

On uint8 rows the squared Euclidean, Manhattan and Chebyshev distances are exact int32:

* Pixels minus 128 are int8, and products of two such matrices are summed in int32,
  which holds 255^2 per feature for up to 33,025 features. On two cores of a CPU with
  AVX-512 this was 1.2 times as fast as float32 products, which are exact because sums
  over 1,024 features stay below 2^24, and it reads a quarter of the bytes. Accelerators
  use the float32 products, since on an NVIDIA H200 jaxlib 0.11.2 returned integer
  products twice too large, for 20 rows of 6 features always, for larger ones without
  autotuning.
* :math:`|x - z| = 2 \max(x, z) - x - z`, and of these three sums only the first runs
  over pairs. It is taken in uint16 over 64 features at a time, with rows along the last
  axis, the layout in which processors add bytes fastest.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.neighbors import distances
from jaxlin.typing import Arguments, Array, Distance

# Features summed in uint16, which holds 257 times 255; 64 was fastest.
_SHORT_SUM = 64
# int8 features whose products float32 sums exactly: 2^14 each, 2^24 in total.
_EXACT_SUM = 1024
# Dimension numbers of a contraction of the second axes.
_FEATURE_AXES = (((1,), (1,)), ((), ()))
# Rows per block, so that blocks of 3,072 bytes per row stay in a cache of 1 MB.
_ROWS_PER_BLOCK = 256
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
    integer = integer_form(metric, queries, rows)
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


def integer_form(
    metric: Distance, queries: Any, rows: Any
) -> Callable[[Array, Array], Array] | None:
    """Function of the exact int32 distances of all pairs, or None if there is none.

    For `jaxlin.neighbors.distances.euclidean` it computes squared distances.
    """
    if not queries.dtype == rows.dtype == np.uint8:
        return None
    form = _INTEGERS.get(metric)
    is_square = form is _squared_euclidean_of_bytes
    return None if is_square and rows.shape[1] > distances.MAX_EXACT_FEATURES else form


class Centered(NamedTuple):
    """uint8 rows minus 128, for exact integer products.

    Attributes:
      rows: int8, shape ``(rows, features)``.
      sizes: squared norms of the rows, int32, shape ``(rows,)``.
    """

    rows: Array
    sizes: Array


def center(rows: Array) -> Centered:
    """Converts uint8 rows to `Centered` rows."""
    signed = jax.lax.bitcast_convert_type(rows ^ jnp.uint8(128), jnp.int8)
    return Centered(signed, _exact_sum_of_squares(signed))


def squares_of_pairs(queries: Array, rows: Array) -> Array:
    """Squared Euclidean distance of each uint8 query to its own row, exact int32."""
    return _exact_sum_of_squares(queries, rows)


def _exact_sum_of_squares(*operands: Array) -> Array:
    """Sum of squares of integers, or of their differences, per row; int32."""
    # XLA on a CPU sums floats ten times as fast as integers; float64 sums are exact.
    with jax.enable_x64(True):
        values = functools.reduce(
            jnp.subtract, (rows.astype(jnp.float64) for rows in operands)
        )
        return jnp.sum(jnp.square(values), axis=1).astype(jnp.int32)


def exact_squares(queries: Centered, rows: Centered) -> Array:
    """Squared Euclidean distances of all pairs, int32, for up to 33,025 features."""
    products = integer_product(queries.rows, rows.rows)
    return queries.sizes[:, None] + rows.sizes[None, :] - 2 * products


def integer_product(queries: Array, rows: Array) -> Array:
    """Inner products of each int8 query with each int8 row, int32."""
    return jax.lax.platform_dependent(
        queries, rows, cpu=_product_of_integers, default=_product_of_whole_floats
    )


def _product_of_integers(queries: Array, rows: Array) -> Array:
    return jax.lax.dot_general(
        queries, rows, _FEATURE_AXES, preferred_element_type=jnp.int32
    )


def _product_of_whole_floats(queries: Array, rows: Array) -> Array:
    total = jnp.zeros((len(queries), len(rows)), jnp.int32)
    for start in range(0, queries.shape[1], _EXACT_SUM):
        some, others = (
            part[:, start : start + _EXACT_SUM].astype(jnp.float32)
            for part in (queries, rows)
        )
        total += jax.lax.dot_general(
            some, others, _FEATURE_AXES, precision=jax.lax.Precision.HIGHEST
        ).astype(jnp.int32)
    return total


def _squared_euclidean_of_bytes(queries: Array, rows: Array) -> Array:
    """Squared Euclidean distances of uint8 rows, int32."""
    return exact_squares(center(queries), center(rows))


def _manhattan_of_bytes(queries: Array, rows: Array) -> Array:
    """Manhattan distances of uint8 rows, int32."""
    sums = jnp.sum(queries, axis=1, dtype=jnp.int32)

    def to_rows(columns: Array) -> Array:
        own = _short_sums(columns)

        def to_query(query: tuple[Array, Array]) -> Array:
            pixels, total = query
            larger = _short_sums(jnp.maximum(columns, pixels[:, None]))
            return 2 * larger - own - total

        return jax.lax.map(to_query, (_padded_features(queries), sums))

    return map_row_blocks(to_rows, _padded_features(rows))


def _padded_features(rows: Array) -> Array:
    """Rows padded with zero features to a multiple of the length of a short sum."""
    return jnp.pad(rows, ((0, 0), (0, -rows.shape[1] % _SHORT_SUM)))


def _short_sums(columns: Array) -> Array:
    """Sums over the features along the first axis, int32."""
    parts = columns.reshape(-1, _SHORT_SUM, columns.shape[1]).astype(jnp.uint16)
    short = jnp.sum(parts, axis=1, dtype=jnp.uint16)
    return jnp.sum(short.astype(jnp.int32), axis=0, dtype=jnp.int32)


def _chebyshev_of_bytes(queries: Array, rows: Array) -> Array:
    """Chebyshev distances of uint8 rows, int32."""

    def to_rows(columns: Array) -> Array:
        def to_query(pixels: Array) -> Array:
            pixels = pixels[:, None]
            apart = jnp.maximum(columns, pixels) - jnp.minimum(columns, pixels)
            # In uint16, because jaxlib 0.10.2 on a CPU miscompiles a maximum of uint8
            # differences from 16 features on.
            return jnp.max(apart.astype(jnp.uint16), axis=0).astype(jnp.int32)

        return jax.lax.map(to_query, queries)

    return map_row_blocks(to_rows, rows)


def map_row_blocks(form: Callable[[Array], Array], rows: Array) -> Array:
    """Maps a function over transposed blocks of rows and concatenates its results.

    Args:
      form: ``(features, block) -> (queries, block)``.
      rows: shape ``(rows, features)``.
    """
    num_rows, num_features = rows.shape
    padded = jnp.pad(rows, ((0, -num_rows % _ROWS_PER_BLOCK), (0, 0)))
    parts = padded.reshape(-1, _ROWS_PER_BLOCK, num_features)
    found = jax.lax.map(form, parts.transpose(0, 2, 1))
    joined = found.transpose(1, 0, 2).reshape(found.shape[1], -1)
    return joined[:, :num_rows]


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
    return jax.lax.dot_general(queries, rows, _FEATURE_AXES, precision="highest")


def _squared_lengths(rows: Array) -> Array:
    return jnp.sum(jnp.square(rows), axis=1)


def _float(rows: Array) -> Array:
    return rows.astype(jnp.promote_types(rows.dtype, jnp.float32))


_INTEGERS: dict[Any, Callable[[Array, Array], Array]] = {
    distances.squared_euclidean: _squared_euclidean_of_bytes,
    distances.euclidean: _squared_euclidean_of_bytes,
    distances.manhattan: _manhattan_of_bytes,
    distances.chebyshev: _chebyshev_of_bytes,
}
_PRODUCTS: dict[Any, Callable[..., Array]] = {
    distances.squared_euclidean: _squared_euclidean,
    distances.euclidean: lambda queries, rows: jnp.sqrt(
        _squared_euclidean(queries, rows)
    ),
    distances.cosine: _cosine,
    distances.mahalanobis: _mahalanobis,
}
