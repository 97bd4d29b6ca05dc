"""Reranking: exact distances of each query to its candidates, float64 or integers."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import distances, integer_distances, top_k
from jaxlin.typing import Array, Distance

# Bytes of rows gathered per block.
_BLOCK_BYTES = 32 * 2**20


def nearest_of(
    metric: Distance,
    arguments: dict[str, Any],
    queries: np.ndarray,
    rows: np.ndarray,
    candidates: np.ndarray,
    *,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest candidates of each query by float64 distance.

    Call it under ``jax.enable_x64(True)``.

    Args:
      metric: distance of one pair.
      arguments: keyword arguments of the metric.
      queries: on the host, shape ``(queries, features)``.
      rows: on the host or a memory map, shape ``(rows, features)``.
      candidates: indices of rows, shape ``(queries, candidates)``, at least k valid
        ones per query; -1 marks an empty slot.
      k: number of neighbours to return.

    Returns:
      Distances, float64, and indices, both ``(queries, k)``, nearest first; ties go to
      the smaller index.
    """
    # Sorted by index, so that a stable sort by distance breaks ties by index.
    width = candidates.shape[1]
    spare = top_k.power_of_two(width) - width
    candidates = np.pad(candidates, ((0, 0), (0, spare)), constant_values=-1)
    candidates = np.sort(candidates, axis=1)
    row_bytes = 8 * rows.shape[1] * candidates.shape[1]
    size = 1 << max(0, (_BLOCK_BYTES // row_bytes).bit_length() - 1)
    size = min(size, top_k.power_of_two(len(queries)))
    parts = []
    for start in range(0, len(queries), size):
        some = slice(start, start + size)
        missing = size - len(queries[some])
        parts.append(
            _distances(
                np.pad(queries[some], ((0, missing), (0, 0))),
                rows[np.pad(candidates[some], ((0, missing), (0, 0)))],
                arguments,
                metric=metric,
            )
        )
    found = np.concatenate(parts)[: len(queries)]
    found[candidates < 0] = np.inf
    order = np.argsort(found, axis=1, kind="stable")[:, :k]
    return (
        np.take_along_axis(found, order, axis=1),
        np.take_along_axis(candidates, order, axis=1),
    )


def nearest_bytes(
    queries: np.ndarray,
    rows: np.ndarray,
    candidates: np.ndarray,
    bounds: np.ndarray,
    *,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest candidates of each uint8 query by squared Euclidean distance.

    Args:
      queries: uint8, on the host, shape ``(queries, features)``.
      rows: uint8, on the host or a memory map, shape ``(rows, features)``.
      candidates: indices of rows, shape ``(queries, candidates)``, of which the first k
        or more are valid; -1 marks an empty slot.
      bounds: lower bounds of their squared distances, ascending, same shape; candidates
        whose bound exceeds the largest distance of the first k are not measured.
      k: number of neighbours to return.

    Returns:
      Squared distances, int32, and indices, both ``(queries, k)``, nearest first; ties
      go to the smaller index.
    """
    found = np.full(candidates.shape, np.iinfo(np.int32).max, np.int32)
    is_selected = np.arange(candidates.shape[1])[None, :] < k
    is_selected = np.broadcast_to(is_selected, candidates.shape)
    _measure(found, is_selected, queries, rows, candidates)
    farthest = found[:, :k].max(axis=1, keepdims=True)
    _measure(found, ~is_selected & (bounds <= farthest), queries, rows, candidates)
    # One integer key that orders by distance, then by index.
    keys = (found.astype(np.int64) << 32) + candidates
    keys = np.sort(keys, axis=1)[:, :k]
    return (keys >> 32).astype(np.int32), (keys & (2**32 - 1)).astype(np.int32)


def _measure(found, is_selected, queries, rows, candidates) -> None:
    """Writes the squared distances of the selected candidates into ``found``."""
    queries_at, slots = np.nonzero(is_selected)
    size = top_k.power_of_two(max(1, _BLOCK_BYTES // (4 * rows.shape[1])))
    size = min(size, top_k.power_of_two(max(1, len(queries_at))))
    for start in range(0, len(queries_at), size):
        pairs = queries_at[start : start + size], slots[start : start + size]
        padding = ((0, size - len(pairs[0])), (0, 0))
        squares = _squares_of_pairs(
            np.pad(queries[pairs[0]], padding), np.pad(rows[candidates[pairs]], padding)
        )
        found[pairs] = np.asarray(squares)[: len(pairs[0])]


_squares_of_pairs = jax.jit(integer_distances.squares_of_pairs)


@functools.partial(jax.jit, static_argnames=("metric",))
def _distances(
    queries: Array, candidates: Array, arguments: dict[str, Any], *, metric: Distance
) -> Array:
    to_each = functools.partial(distances.to_each, metric=metric, arguments=arguments)
    return jax.vmap(to_each)(
        queries.astype(jnp.float64), candidates.astype(jnp.float64)
    )
