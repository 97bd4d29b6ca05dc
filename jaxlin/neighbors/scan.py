"""One pass over the training rows, which keeps the best candidates of every query.

Rows come from the host in blocks (so they may be a memory map, larger than any memory)
or lie on the device already. A block is put there once and meets all queries, a block
of them at a time, before the next is read: memory holds one block of rows, one of
distances, and the best of each query.

A `Measure` says what the keys of candidates are. That of `exact_integers` are exact
int32 distances of uint8 rows; that of `lower_bounds` and of `in_float64` are what they
are called.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import bounds, distances, pairwise, top_k
from jaxlin.neighbors.top_k import TopK
from jaxlin.typing import Array, Distance, PyTree

# Bytes of a block of rows as float32, and of the distances of a block of queries.
_BLOCK_BYTES = 32 * 2**20
_DISTANCE_BYTES = 16 * 2**20
_MOST_ROWS = 8192
_MOST_QUERIES = 2048
# A number of rows or queries is rounded up to a multiple of this, or a power of two
# below it, so that similar searches share a program.
_MULTIPLE = {"rows": 256, "queries": 8}


class Measure(NamedTuple):
    """What candidates are judged by; static, and the same object each time.

    Attributes:
      move: ``(arguments, rows) -> tree``, once a block.
      keys: ``(arguments, queries, tree) -> keys (queries, rows)``.
      most_rows: in a block, of rows of so many features.
    """

    move: Callable[[Any, Array], PyTree]
    keys: Callable[[Any, Array, PyTree], Array]
    most_rows: Callable[[int], int]


class Search(NamedTuple):
    """Who is looked for among whom.

    Attributes:
      rows: shape ``(rows, features)``, on the host or the device.
      queries: shape ``(queries, features)``, likewise.
      row_groups: int32, shape ``(rows,)``, or None.
      query_groups: shape ``(queries,)``; a query does not see rows of its own group.
    """

    rows: Any
    queries: Any
    row_groups: np.ndarray | None = None
    query_groups: np.ndarray | None = None

    def of_queries(self, chosen: np.ndarray) -> "Search":
        """The same for some of the queries."""
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
    """The k candidates with the smallest keys, ascending.

    Args:
      measure: what keys are.
      arguments: traced, for the measure.
      search: rows and queries.
      k: how many; rounded up inside, so that similar numbers share a program.
      block_size: rows a block; None chooses it.
      recall_target: as in `top_k.update`.
      dtype: of the keys.

    Returns:
      Keys and indices, shape ``(queries, k)``; infinity and -1 where a query does not
      see so many rows.
    """
    slots = top_k.power_of_two(k)
    num_rows, num_queries = len(search.rows), len(search.queries)
    most_rows = measure.most_rows(search.rows.shape[1])
    row_block = block_size or _even(num_rows, most_rows, _MULTIPLE["rows"])
    at_once = min(_MOST_QUERIES, _DISTANCE_BYTES // (4 * max(row_block, slots)))
    query_block = _even(num_queries, at_once, _MULTIPLE["queries"])
    found = [
        top_k.none_yet(query_block, slots, dtype=dtype)
        for _ in range(0, num_queries, query_block)
    ]
    for first in range(0, num_rows, row_block):
        block = moved(
            arguments, padded(search.rows, first, row_block), move=measure.move
        )
        row_groups = padded(search.row_groups, first, row_block)
        for number in range(len(found)):
            start = number * query_block
            found[number] = _step(
                found[number],
                arguments,
                padded(search.queries, start, query_block),
                block,
                np.array([first, num_rows], np.int32),
                row_groups,
                padded(search.query_groups, start, query_block),
                keys=measure.keys,
                recall_target=recall_target,
            )
        # Else blocks would be read faster than they are used, and fill the memory.
        jax.block_until_ready(found)
    whole = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keys, indices = (array[:num_queries, :k] for array in whole)
    return keys, indices


@functools.partial(jax.jit, static_argnames=("move",))
def moved(arguments: Any, rows: Array, *, move: Callable[..., PyTree]) -> PyTree:
    """A block of rows as a measure wants them, compiled."""
    return move(arguments, rows)


@functools.partial(
    jax.jit, static_argnames=("keys", "recall_target"), donate_argnames=("state",)
)
def _step(
    state: TopK,
    arguments: Any,
    queries: Array,
    rows: PyTree,
    first_and_end: Array,
    row_groups: Array | None,
    query_groups: Array | None,
    *,
    keys: Callable[[Any, Array, PyTree], Array],
    recall_target: float | None,
) -> TopK:
    """Adds a block of rows to the best of a block of queries."""
    first, end = first_and_end
    found = keys(arguments, queries, rows)
    is_seen = (first + jnp.arange(found.shape[1], dtype=jnp.int32) < end)[None, :]
    if row_groups is not None and query_groups is not None:
        is_seen &= row_groups[None, :] != query_groups[:, None]
    found = jnp.where(is_seen, found, jnp.inf)
    return top_k.update(state, found, first=first, recall_target=recall_target)


def padded(rows: Any, start: int, size: int) -> Any:
    """Some rows, and zeros behind the last, where they are: on the host or not."""
    if rows is None:
        return None
    some = rows[start : start + size]
    missing = size - len(some)
    # By NumPy nothing is compiled, shape by shape.
    pad = jnp.pad if isinstance(some, jax.Array) else np.pad
    return pad(some, [(0, missing)] + [(0, 0)] * (some.ndim - 1)) if missing else some


def _even(count: int, most: int, multiple: int) -> int:
    """Size of blocks, all nearly full, none larger than about ``most``."""
    if count <= min(most, multiple):
        return top_k.power_of_two(count)
    blocks = -(-count // max(most, 1))
    size = -(-count // blocks)
    return (
        -(-size // multiple) * multiple if size > multiple else top_k.power_of_two(size)
    )


@functools.cache
def exact_integers(metric: Distance) -> Measure:
    """Keys of `top_k.key_of_integer`: exact distances of uint8 rows.

    Of those metrics that `jaxlin.neighbors.pairwise.integer_form` has, in as few
    features that keys hold them.
    """
    if metric in (distances.squared_euclidean, distances.euclidean):
        # Four features of a byte take the place of a float.
        return Measure(_centered, _keys_of_squares, lambda width: _most(width / 4))

    def keys(arguments: Any, queries: Array, rows: Array) -> Array:
        del arguments
        form = pairwise.integer_form(metric, queries, rows)
        assert form is not None
        return top_k.key_of_integer(form(queries, rows))

    return Measure(_unmoved, keys, lambda width: _most(min(width, 1024)))


def _centered(arguments: Any, rows: Array) -> pairwise.Centered:
    del arguments
    return pairwise.centered(rows)


def _keys_of_squares(arguments: Any, queries: Array, rows: pairwise.Centered) -> Array:
    del arguments
    found = pairwise.exact_squares(pairwise.centered(queries), rows)
    return top_k.key_of_integer(found)


@functools.cache
def lower_bounds(form: bounds.Form) -> Measure:
    """Keys that are below the distance in a `bounds.Frame`, the argument."""

    def keys(frame: bounds.Frame, queries: Array, rows: bounds.Moved) -> Array:
        return form.bound(frame, form.move(frame, queries), rows)

    return Measure(form.move, keys, _most)


@functools.cache
def in_float64(metric: Distance) -> Measure:
    """Distances in float64, one pair after the other; the keywords are the argument."""

    def keys(arguments: dict[str, Any], queries: Array, rows: Array) -> Array:
        to_each = functools.partial(
            distances.to_each, rows=rows, metric=metric, arguments=arguments
        )
        return jax.lax.map(to_each, queries.astype(jnp.float64))

    return Measure(
        lambda _, rows: rows.astype(jnp.float64), keys, lambda width: _most(2 * width)
    )


def _most(width: float) -> int:
    """Rows a block, if so many features of a row are float32 at one time."""
    return min(_MOST_ROWS, int(_BLOCK_BYTES / (4 * width)))


def _unmoved(arguments: Any, rows: Array) -> Array:
    del arguments
    return rows
