"""Streaming top-k over blocks of candidates.

Each candidate has a key, and smaller keys rank higher; ties go to the smaller index.
Blocks arrive in ascending order of their indices, so that positions decide ties:

  >>> import jax.numpy as jnp
  >>> from jaxlin.neighbors import top_k
  >>> state = top_k.empty(1, 2)
  >>> state = top_k.update(state, jnp.array([[5.0, 3.0, 4.0]]), first=0)
  >>> state = top_k.update(state, jnp.array([[3.0, 3.0]]), first=3)
  >>> print(state.indices, state.keys)
  [[1 3]] [[3. 3.]]

Keys are floating-point, because on a CPU XLA computes the top-k of any other dtype by a
full sort; `key_of_integer` converts integers to keys without loss.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin.typing import Array

# Added to integers, so that none has the bit pattern of a subnormal float, which
# processors may flush to 0.
_OFFSET = 2**23


class TopK(NamedTuple):
    """The k best candidates of each query so far, ascending.

    Attributes:
      keys: floating-point keys, shape ``(queries, k)``; infinity in empty slots.
      indices: indices of the candidates, int32, shape ``(queries, k)``; -1 in empty
        slots.
    """

    keys: Array
    indices: Array


def empty(num_queries: int, k: int, *, dtype: jnp.dtype = jnp.float32) -> TopK:
    """The state before the first block: all slots empty."""
    shape = (num_queries, k)
    # Built by NumPy, which compiles nothing.
    keys, indices = np.full(shape, np.inf, dtype), np.full(shape, -1, np.int32)
    return TopK(jnp.array(keys), jnp.array(indices))


def update(
    best: TopK, keys: Array, *, first: ArrayLike, recall_target: float | None = None
) -> TopK:
    """The top-k after one more block of candidates.

    Args:
      best: the top-k of the blocks before.
      keys: keys of the block, shape ``(queries, candidates)``; infinity excludes a
        candidate.
      first: index of the first candidate of the block, larger than all before.
      recall_target: None for the exact top-k, or the target recall of
        `jax.lax.approx_min_k` within the block, in (0, 1].
    """
    k = best.keys.shape[1]
    if recall_target is not None and keys.shape[1] > k:
        found, positions = jax.lax.approx_min_k(keys, k, recall_target=recall_target)
    else:
        found, positions = smallest(keys, min(k, keys.shape[1]))
    indices = jnp.where(jnp.isinf(found), -1, positions + first).astype(jnp.int32)
    joined = jnp.concatenate([best.keys, found], axis=1)
    kept, positions = smallest(joined, k)
    among = jnp.concatenate([best.indices, indices], axis=1)
    return TopK(kept, jnp.take_along_axis(among, positions, axis=1))


def smallest(keys: Array, k: int) -> tuple[Array, Array]:
    """The k smallest keys of each row, ascending, with their positions.

    Ties go to the smaller position. The k smallest keys lie in the k groups of adjacent
    candidates with the smallest minima (ties of minima go to the first groups), which
    leaves few candidates for `jax.lax.top_k`, which visits them one by one.

    Args:
      keys: floating-point, not NaN, shape ``(rows, candidates)``.
      k: number of keys to return, at most the number of candidates.
    """
    rows, candidates = keys.shape
    size = _group_size(candidates, k)
    if size == 1:
        return _top(keys, k)
    padding = -candidates % size
    padded = jnp.pad(keys, ((0, 0), (0, padding)), constant_values=jnp.inf)
    groups = padded.reshape(rows, -1, size)
    _, chosen = _top(jnp.min(groups, axis=2), k)
    chosen = jnp.sort(chosen, axis=1)
    members = jnp.take_along_axis(groups, chosen[:, :, None], axis=1)
    found, positions = _top(members.reshape(rows, -1), k)
    group = jnp.take_along_axis(chosen, positions // size, axis=1)
    return found, group * size + positions % size


def _top(keys: Array, k: int) -> tuple[Array, Array]:
    negated, positions = jax.lax.top_k(-keys, k)
    return -negated, positions


def _group_size(candidates: int, k: int) -> int:
    """Candidates per group: the power of two that balances groups and members.

    The balance minimises the input of both calls of `jax.lax.top_k`; 1 if grouping
    would not halve it.
    """
    size = 1
    while k * (2 * size) ** 2 <= candidates:
        size *= 2
    return size


def key_of_integer(value: Array) -> Array:
    """Order-preserving float32 keys of integers from 0 to 2^31 - 2^25."""
    return jax.lax.bitcast_convert_type(value.astype(jnp.int32) + _OFFSET, jnp.float32)


def integer_of_key(key: ArrayLike) -> np.ndarray:
    """Inverse of `key_of_integer`; arbitrary for an infinite key."""
    return np.asarray(key).view(np.int32) - np.int32(_OFFSET)


def power_of_two(count: int) -> int:
    """The next power of two; sizes rounded up to it share a compiled program."""
    return 1 << (count - 1).bit_length()
