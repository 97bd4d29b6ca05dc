"""The k best of many, kept while blocks of candidates go by.

A candidate has a key, smaller for better; of equal keys the smaller index wins. Blocks
come in the order of their indices, so that position decides ties:

  >>> import jax.numpy as jnp
  >>> from jaxlin.neighbors import top_k
  >>> state = top_k.none_yet(1, 2)
  >>> state = top_k.update(state, jnp.array([[5.0, 3.0, 4.0]]), first=0)
  >>> state = top_k.update(state, jnp.array([[3.0, 3.0]]), first=3)
  >>> print(state.indices, state.keys)
  [[1 3]] [[3. 3.]]

Keys are floating, because XLA sorts everything else on a CPU; `key_of_integer` makes
one of an integer without loss.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin.typing import Array

# Added to integers, so that none of them is the pattern of a subnormal float, which
# processors may take for 0.
_OFFSET = 2**23


class TopK(NamedTuple):
    """The best candidates so far of each query, ascending.

    Attributes:
      keys: shape ``(queries, k)``; infinity where there were fewer candidates.
      indices: int32, same shape; -1 there.
    """

    keys: Array
    indices: Array


def none_yet(num_queries: int, k: int, *, dtype: jnp.dtype = jnp.float32) -> TopK:
    """The state before the first block."""
    shape = (num_queries, k)
    # From NumPy, so that nothing is compiled.
    keys, indices = np.full(shape, np.inf, dtype), np.full(shape, -1, np.int32)
    return TopK(jnp.array(keys), jnp.array(indices))


def update(
    best: TopK, keys: Array, *, first: ArrayLike, recall_target: float | None = None
) -> TopK:
    """The best after a block of candidates.

    Args:
      best: after the blocks before.
      keys: shape ``(queries, candidates)``; infinity is no candidate.
      first: index of the first of them, larger than all before.
      recall_target: None for the exact answer, or what `jax.lax.approx_min_k` is asked
        for.
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
    """The k smallest of each row, ascending, with their positions.

    Of equal keys those at smaller positions. The k smallest lie in the k groups of
    neighbours that have the smallest minima (of equal minima those of the first
    groups), so that few candidates are left for `jax.lax.top_k`, which looks at them
    one by one.

    Args:
      keys: floating, not NaN, shape ``(rows, candidates)``.
      k: at most the number of candidates.
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
    """Neighbours a group: a power of two for which groups and members are equally many.

    That leaves the fewest for both calls of `jax.lax.top_k`; 1 if not half of them.
    """
    size = 1
    while k * (2 * size) ** 2 <= candidates:
        size *= 2
    return size


def key_of_integer(value: Array) -> Array:
    """float32 keys of the same order as integers from 0 to 2^31 - 2^25."""
    return jax.lax.bitcast_convert_type(value.astype(jnp.int32) + _OFFSET, jnp.float32)


def integer_of_key(key: ArrayLike) -> np.ndarray:
    """The integers that `key_of_integer` was given; anything for an infinite key."""
    return np.asarray(key).view(np.int32) - np.int32(_OFFSET)


def power_of_two(count: int) -> int:
    """The next power of two: numbers rounded up to it share a program."""
    return 1 << (count - 1).bit_length()
