"""One pass over the training rows, with a running top-k for every query.

Rows are read from the host in blocks (they may be a memory map, larger than memory) or
are already on the device. Each block is copied to the device once and compared with all
queries, in blocks of queries, before the next is read: memory holds one block of rows,
one block of distances, and the top-k of each query.

A `Measure` defines the keys that rank candidates: exact int32 distances of uint8 rows
(`exact_integers`), float32 lower bounds (`lower_bounds`) or float64 distances
(`in_float64`).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import bounds, distances, integer_distances, top_k
from jaxlin.neighbors.top_k import TopK
from jaxlin.typing import Array, Distance, PyTree

# Bytes of a block of rows as float32, and of the distances to a block of queries.
_BLOCK_BYTES = 32 * 2**20
_DISTANCE_BYTES = 16 * 2**20
_MAX_ROWS = 8192
_MAX_QUERIES = 2048
# Block sizes are rounded up to a multiple of these, or to a power of two below them, so
# that similar searches share a compiled program.
_MULTIPLE = {"rows": 256, "queries": 8}


class Measure(NamedTuple):
    """Keys that rank candidates; static, and cached so that programs are shared.

    Attributes:
      transform: ``(arguments, rows) -> tree``, applied once per block.
      keys: ``(arguments, queries, tree) -> keys``, shape ``(queries, rows)``.
      max_rows: ``(features) -> maximum number of rows per block``.
    """

    transform: Callable[[Any, Array], PyTree]
    keys: Callable[[Any, Array, PyTree], Array]
    max_rows: Callable[[int], int]


class Search(NamedTuple):
    """Queries and database rows.

    Attributes:
      rows: shape ``(rows, features)``, on the host or the device.
      queries: shape ``(queries, features)``, on the host or the device.
      row_groups: group of each row, int32, shape ``(rows,)``, or None.
      query_groups: group of each query, int32, shape ``(queries,)``, or None; rows of
        the group of a query are excluded from its neighbours.
    """

    rows: Any
    queries: Any
    row_groups: np.ndarray | None = None
    query_groups: np.ndarray | None = None

    def of_queries(self, chosen: np.ndarray) -> "Search":
        """The search for a subset of the queries."""
        groups = self.query_groups
        return self._replace(
            queries=self.queries[chosen],
            query_groups=None if groups is None else groups[chosen],
        )


def run(
    measure: Measure,
    arguments: Any,
    search: Search,
    *,
    k: int,
    block_size: int | None = None,
    recall_target: float | None = None,
    dtype: Any = jnp.float32,
) -> tuple[np.ndarray, np.ndarray]:
    """The k candidates with the smallest keys for each query, ascending.

    Args:
      measure: definition of the keys.
      arguments: traced arguments of the measure.
      search: rows and queries.
      k: number of candidates per query; rounded up internally, so that similar numbers
        share a compiled program.
      block_size: rows per block; None chooses it.
      recall_target: None for the exact top-k, or the target recall of
        `jax.lax.approx_min_k` per block of rows, in (0, 1].
      dtype: dtype of the keys.

    Returns:
      Keys and indices, shape ``(queries, k)``; infinity and -1 where fewer than k rows
      are visible to a query.
    """
    slots = top_k.power_of_two(k)
    num_rows, num_queries = len(search.rows), len(search.queries)
    max_rows = measure.max_rows(search.rows.shape[1])
    row_block = block_size or _even(num_rows, max_rows, _MULTIPLE["rows"])
    at_once = min(_MAX_QUERIES, _DISTANCE_BYTES // (4 * max(row_block, slots)))
    query_block = _even(num_queries, at_once, _MULTIPLE["queries"])
    found = [
        top_k.empty(query_block, slots, dtype=dtype)
        for _ in range(0, num_queries, query_block)
    ]
    for first in range(0, num_rows, row_block):
        block = transform_block(
            arguments,
            padded_slice(search.rows, first, row_block),
            transform=measure.transform,
        )
        row_groups = padded_slice(search.row_groups, first, row_block)
        for number in range(len(found)):
            start = number * query_block
            found[number] = _step(
                found[number],
                arguments,
                padded_slice(search.queries, start, query_block),
                block,
                np.array([first, num_rows], np.int32),
                row_groups,
                padded_slice(search.query_groups, start, query_block),
                keys=measure.keys,
                recall_target=recall_target,
            )
        # Otherwise blocks are read faster than they are processed, and fill the memory.
        jax.block_until_ready(found)
    whole = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keys, indices = (array[:num_queries, :k] for array in whole)
    return keys, indices


@functools.partial(jax.jit, static_argnames=("transform",))
def transform_block(
    arguments: Any, rows: Array, *, transform: Callable[..., PyTree]
) -> PyTree:
    """A block of rows transformed for a measure, compiled."""
    return transform(arguments, rows)


@functools.partial(
    jax.jit, static_argnames=("keys", "recall_target"), donate_argnames=("state",)
)
def _step(
    state: TopK,
    arguments: Any,
    queries: Array,
    rows: PyTree,
    first_and_total: Array,
    row_groups: Array | None,
    query_groups: Array | None,
    *,
    keys: Callable[[Any, Array, PyTree], Array],
    recall_target: float | None,
) -> TopK:
    """Updates the top-k of a block of queries with a block of rows."""
    first, end = first_and_total
    found = keys(arguments, queries, rows)
    is_visible = (first + jnp.arange(found.shape[1], dtype=jnp.int32) < end)[None, :]
    if row_groups is not None and query_groups is not None:
        is_visible &= row_groups[None, :] != query_groups[:, None]
    found = jnp.where(is_visible, found, jnp.inf)
    return top_k.update(state, found, first=first, recall_target=recall_target)


def padded_slice(rows: Any, start: int, size: int) -> Any:
    """A slice of rows padded with zeros to ``size``, on the device of the rows."""
    if rows is None:
        return None
    some = rows[start : start + size]
    missing = size - len(some)
    # NumPy compiles nothing, while JAX would compile one program per shape.
    pad = jnp.pad if isinstance(some, jax.Array) else np.pad
    return pad(some, [(0, missing)] + [(0, 0)] * (some.ndim - 1)) if missing else some


def _even(count: int, most: int, multiple: int) -> int:
    """Size of nearly equal blocks, none larger than about ``most``."""
    if count <= min(most, multiple):
        return top_k.power_of_two(count)
    blocks = -(-count // max(most, 1))
    size = -(-count // blocks)
    return (
        -(-size // multiple) * multiple if size > multiple else top_k.power_of_two(size)
    )


@functools.cache
def exact_integers(metric: Distance) -> Measure:
    """Keys from exact integer distances of uint8 rows, by `top_k.key_of_integer`.

    For metrics that `jaxlin.neighbors.integer_distances.integer_form` supports, with
    few enough features that the distances fit into keys.
    """
    if metric in (distances.squared_euclidean, distances.euclidean):
        # Four one-byte features take the memory of one float32.
        return Measure(
            _centered, _keys_of_squares, lambda width: _rows_per_block(width / 4)
        )

    def keys(arguments: Any, queries: Array, rows: Array) -> Array:
        del arguments
        form = integer_distances.integer_form(metric, queries, rows)
        assert form is not None
        return top_k.key_of_integer(form(queries, rows))

    return Measure(_unchanged, keys, lambda width: _rows_per_block(min(width, 1024)))


def _centered(arguments: Any, rows: Array) -> integer_distances.Centered:
    del arguments
    return integer_distances.center(rows)


def _keys_of_squares(
    arguments: Any, queries: Array, rows: integer_distances.Centered
) -> Array:
    del arguments
    found = integer_distances.exact_squares(integer_distances.center(queries), rows)
    return top_k.key_of_integer(found)


@functools.cache
def lower_bounds(form: bounds.Form) -> Measure:
    """Lower bounds of distances as keys, in the `bounds.Frame` given as argument."""

    def keys(frame: bounds.Frame, queries: Array, rows: bounds.Transformed) -> Array:
        return form.bound(frame, form.transform(frame, queries), rows)

    return Measure(form.transform, keys, _rows_per_block)


@functools.cache
def in_float64(metric: Distance) -> Measure:
    """Distances in float64 as keys, pair by pair; the argument holds the keywords."""

    def keys(arguments: dict[str, Any], queries: Array, rows: Array) -> Array:
        to_each = functools.partial(
            distances.to_each, rows=rows, metric=metric, arguments=arguments
        )
        return jax.lax.map(to_each, queries.astype(jnp.float64))

    return Measure(
        lambda _, rows: rows.astype(jnp.float64),
        keys,
        lambda width: _rows_per_block(2 * width),
    )


def _rows_per_block(width: float) -> int:
    """Rows per block, if each row takes ``width`` float32 values of memory."""
    return min(_MAX_ROWS, int(_BLOCK_BYTES / (4 * width)))


def _unchanged(arguments: Any, rows: Array) -> Array:
    del arguments
    return rows
