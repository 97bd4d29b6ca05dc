"""Distances of each query to some rows of its own: float64, or exact integers."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import distances, pairwise, top_k
from jaxlin.typing import Array, Distance

# Bytes of rows gathered at a time.
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
    """The k nearest of a list of candidates for each query, measured in float64.

    To be called under ``jax.enable_x64(True)``.

    Args:
      metric: of one pair.
      arguments: its keywords.
      queries: on the host, shape ``(queries, features)``.
      rows: on the host, or a memory map.
      candidates: indices of rows, shape ``(queries, candidates)``; -1 is none, and
        there are at least k others.
      k: how many to return.

    Returns:
      Distances, float64, and indices, both ``(queries, k)``, nearest first; of equal
      distances the smaller index first.
    """
    # In the order of their indices, so that a stable sort breaks ties by them.
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
    """The k of a list of candidates with the smallest squared Euclidean distance.

    Args:
      queries: uint8, on the host, shape ``(queries, features)``.
      rows: uint8, on the host, or a memory map.
      candidates: indices of rows, shape ``(queries, candidates)``; -1 is none, and
        there are at least k others, the first ones.
      bounds: lower bounds of their distances, ascending; those that are above the
        distances of the first k need not be measured.
      k: how many to return.

    Returns:
      Distances, int32, and indices, both ``(queries, k)``, nearest first; of equal
      distances the smaller index first.
    """
    found = np.full(candidates.shape, np.iinfo(np.int32).max, np.int32)
    wanted = np.arange(candidates.shape[1])[None, :] < k
    wanted = np.broadcast_to(wanted, candidates.shape)
    _measure(found, wanted, queries, rows, candidates)
    farthest = found[:, :k].max(axis=1, keepdims=True)
    _measure(found, ~wanted & (bounds <= farthest), queries, rows, candidates)
    # One integer that orders by distance, then by index.
    keys = (found.astype(np.int64) << 32) + candidates
    keys = np.sort(keys, axis=1)[:, :k]
    return (keys >> 32).astype(np.int32), (keys & (2**32 - 1)).astype(np.int32)


def _measure(found, wanted, queries, rows, candidates) -> None:
    """Writes squared distances where they are wanted."""
    which, place = np.nonzero(wanted)
    size = top_k.power_of_two(max(1, _BLOCK_BYTES // (4 * rows.shape[1])))
    size = min(size, top_k.power_of_two(max(1, len(which))))
    for start in range(0, len(which), size):
        pairs = which[start : start + size], place[start : start + size]
        padding = ((0, size - len(pairs[0])), (0, 0))
        squares = _squares_of_pairs(
            np.pad(queries[pairs[0]], padding), np.pad(rows[candidates[pairs]], padding)
        )
        found[pairs] = np.asarray(squares)[: len(pairs[0])]


_squares_of_pairs = jax.jit(pairwise.squares_of_pairs)


@functools.partial(jax.jit, static_argnames=("metric",))
def _distances(
    queries: Array, candidates: Array, arguments: dict[str, Any], *, metric: Distance
) -> Array:
    to_each = functools.partial(distances.to_each, metric=metric, arguments=arguments)
    return jax.vmap(to_each)(
        queries.astype(jnp.float64), candidates.astype(jnp.float64)
    )
