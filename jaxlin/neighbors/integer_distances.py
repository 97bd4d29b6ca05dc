r"""Exact integer distances of all pairs of uint8 rows.

The squared Euclidean, Manhattan and Chebyshev distances are int32:

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
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import distances
from jaxlin.typing import Array, Distance

# Features summed in uint16, which holds 257 times 255; 64 was fastest.
_SHORT_SUM = 64
# int8 features whose products float32 sums exactly: 2^14 each, 2^24 in total.
_EXACT_SUM = 1024
# Dimension numbers of a contraction of the second axes.
FEATURE_AXES = (((1,), (1,)), ((), ()))
# Rows per block, so that blocks of 3,072 bytes per row stay in a cache of 1 MB.
_ROWS_PER_BLOCK = 256


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


def exact_squares(queries: Centered, rows: Centered) -> Array:
    """Squared Euclidean distances of all pairs, int32, for up to 33,025 features."""
    products = integer_product(queries.rows, rows.rows)
    return queries.sizes[:, None] + rows.sizes[None, :] - 2 * products


def integer_product(queries: Array, rows: Array) -> Array:
    """Inner products of each int8 query with each int8 row, int32."""
    return jax.lax.platform_dependent(
        queries, rows, cpu=_product_of_integers, default=_product_of_whole_floats
    )


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


def _exact_sum_of_squares(*operands: Array) -> Array:
    """Sum of squares of integers, or of their differences, per row; int32."""
    # XLA on a CPU sums floats ten times as fast as integers; float64 sums are exact.
    with jax.enable_x64(True):
        values = functools.reduce(
            jnp.subtract, (rows.astype(jnp.float64) for rows in operands)
        )
        return jnp.sum(jnp.square(values), axis=1).astype(jnp.int32)


def _product_of_integers(queries: Array, rows: Array) -> Array:
    return jax.lax.dot_general(
        queries, rows, FEATURE_AXES, preferred_element_type=jnp.int32
    )


def _product_of_whole_floats(queries: Array, rows: Array) -> Array:
    total = jnp.zeros((len(queries), len(rows)), jnp.int32)
    for start in range(0, queries.shape[1], _EXACT_SUM):
        some, others = (
            part[:, start : start + _EXACT_SUM].astype(jnp.float32)
            for part in (queries, rows)
        )
        total += jax.lax.dot_general(
            some, others, FEATURE_AXES, precision=jax.lax.Precision.HIGHEST
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


_INTEGERS: dict[Any, Callable[[Array, Array], Array]] = {
    distances.squared_euclidean: _squared_euclidean_of_bytes,
    distances.euclidean: _squared_euclidean_of_bytes,
    distances.manhattan: _manhattan_of_bytes,
    distances.chebyshev: _chebyshev_of_bytes,
}
