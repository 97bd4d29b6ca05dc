"""Norms of rows, in blocks.

The norm of a row bounds how far its scores move, by rounding errors and by a change of
the weights. Certificates therefore need it.

  >>> import jax.numpy as jnp
  >>> from jaxlin.objective import row_norms
  >>> print(row_norms.norms(jnp.array([[2.0, 2.0], [0.0, 0.0]])))
  [3. 1.]
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxlin import check
from jaxlin.normalization import Normalization, normalize
from jaxlin.numerics import device_mesh
from jaxlin.objective import block_sizes
from jaxlin.typing import Array


def norms(
    features: Array,
    *,
    normalization: Normalization | None = None,
    center: Array | None = None,
    block_size: int | None = None,
) -> Array:
    """Norms of the normalised rows with their constant 1, shape ``(examples,)``.

    Args:
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      normalization: normalisation applied to each row; None for normalised rows.
      center: subtracted from each normalised row, shape ``(features,)``; None is 0.
      block_size: rows per block, at least 1; None chooses it from the shape.

    Raises:
      ValueError: if ``block_size`` is below 1.
    """
    if device_mesh.num_shards(features.shape[0]) == 1:
        return _norms(features, normalization, center, block_size=block_size)
    by_row = PartitionSpec(device_mesh.ROWS)
    return jax.shard_map(
        functools.partial(_norms, block_size=block_size),
        in_specs=(by_row, PartitionSpec(), PartitionSpec()),
        out_specs=by_row,
        axis_names={device_mesh.ROWS},
        check_vma=False,
    )(features, normalization, center)


def _norms(
    features: Array,
    normalization: Normalization | None,
    center: Array | None,
    *,
    block_size: int | None,
) -> Array:
    if block_size is None:
        block_size = block_sizes.rows_per_block(*features.shape)
    check.integer("block_size", block_size, at_least=1)
    size = min(block_size, features.shape[0])

    def of_block(start: Array | int, length: int) -> Array:
        rows = jax.lax.dynamic_slice_in_dim(features, start, length)
        if normalization is not None:
            rows = jax.vmap(normalize, in_axes=(None, 0))(normalization, rows)
        rows = jnp.asarray(rows, jnp.promote_types(rows.dtype, jnp.float32))
        if center is not None:
            rows = rows - center[None, :]
        return jnp.sqrt(1 + jnp.sum(jnp.square(rows), axis=1))

    full, rest = divmod(features.shape[0], size)
    of_blocks = jax.lax.map(lambda i: of_block(i * size, size), jnp.arange(full))
    last = [of_block(full * size, rest)] if rest else []
    return jnp.concatenate([of_blocks.reshape(-1), *last])
