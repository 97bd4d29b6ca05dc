"""Normalised rows, and their products with weights, in blocks.

>>> import jax.numpy as jnp
>>> from jaxlin.objective import row_products
>>> weights, rows = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([[3.0, 4.0]])
>>> print(row_products.score_products(weights, rows))
[[3.]
 [8.]]
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxlin.normalization import Normalization, normalize
from jaxlin.numerics import device_mesh
from jaxlin.objective import block_sizes, part_sums
from jaxlin.typing import Array


def normalized_rows(
    features: Array, normalization: Normalization | None, dtype: Any
) -> Array:
    """Normalised rows in the dtype of the parameters, as a pass computes them.

    They are normalised in the wider of that dtype and the normalisation's own.
    """
    if normalization is not None:
        mean, scale = (
            part.astype(jnp.promote_types(part.dtype, dtype))
            for part in map(jnp.asarray, normalization)
        )
        normalization = Normalization(mean, scale)
        features = jax.vmap(normalize, in_axes=(None, 0))(normalization, features)
    return features.astype(dtype)


def extended_rows(
    features: Array, normalization: Normalization | None, dtype: Any
) -> Array:
    """Normalised rows with the constant 1, shape ``(examples, features + 1)``."""
    rows = normalized_rows(features, normalization, dtype)
    return jnp.concatenate([rows, jnp.ones((rows.shape[0], 1), dtype)], axis=1)


def score_products(
    weights: Array,
    features: Array,
    *,
    normalization: Normalization | None = None,
    block_size: int | None = None,
) -> Array:
    """Scores of all rows without the bias, shape ``(..., classes, examples)``.

    A pass that needs the scores of all rows before their score gradients, as for a free
    bias, computes them here and gives them to `jaxlin.objective.row_sums.over_rows`.

    Args:
      weights: shape ``(..., classes, features)``, in the dtype of the computation.
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      normalization: normalisation applied to each row; None for normalised rows.
      block_size: rows per block, at least 1; None chooses it from the shape.
    """
    if device_mesh.num_shards(features.shape[0]) == 1:
        return _score_products(weights, features, normalization, block_size=block_size)
    whole = PartitionSpec()
    return jax.shard_map(
        functools.partial(_score_products, block_size=block_size),
        in_specs=(whole, PartitionSpec(device_mesh.ROWS), whole),
        out_specs=by_last_axis(weights.ndim),
        axis_names={device_mesh.ROWS},
        check_vma=False,
    )(weights, features, normalization)


def by_last_axis(rank: int) -> PartitionSpec:
    """Partition of arrays whose last axis is that of the rows."""
    return PartitionSpec(*(None,) * (rank - 1), device_mesh.ROWS)


def combinations(
    coefficients: Array,
    features: Array,
    *,
    normalization: Normalization | None = None,
    block_size: int | None = None,
) -> Array:
    """Linear combinations of all rows, shape ``(classes, features)``.

    It is the transpose of `score_products`, for rows on one device. Sums are not
    compensated.

    Args:
      coefficients: shape ``(classes, examples)``, in the dtype of the computation.
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      normalization: normalisation applied to each row; None for normalised rows.
      block_size: rows per block, at least 1; None chooses it from the shape.
    """
    num_classes, (num_rows, num_features) = coefficients.shape[0], features.shape
    size = _block_size(block_size, num_rows, num_features, num_scores=num_classes)

    def of_block(start: Array | int, length: int) -> Array:
        block = jax.lax.dynamic_slice_in_dim(features, start, length)
        rows = normalized_rows(block, normalization, coefficients.dtype)
        own = jax.lax.dynamic_slice_in_dim(coefficients, start, length, axis=1)
        return part_sums.product(own, rows)

    full, rest = divmod(num_rows, size)
    found, _ = jax.lax.scan(
        lambda found, start: (found + of_block(start, size), None),
        jnp.zeros((num_classes, num_features), coefficients.dtype),
        size * jnp.arange(full),
    )
    return found + of_block(full * size, rest) if rest else found


def _block_size(
    block_size: int | None, num_rows: int, num_features: int, *, num_scores: int
) -> int:
    if block_size is None:
        block_size = block_sizes.rows_per_block(
            num_rows, num_features, num_scores=num_scores
        )
    return min(block_size, num_rows)


def _score_products(
    weights: Array,
    features: Array,
    normalization: Normalization | None,
    *,
    block_size: int | None,
) -> Array:
    """`score_products` on one device."""
    num_rows, num_features = features.shape
    num_scores = weights.size // num_features
    size = _block_size(block_size, num_rows, num_features, num_scores=num_scores)

    def with_block(found: Array, start: Array | int, length: int) -> Array:
        block = jax.lax.dynamic_slice_in_dim(features, start, length)
        rows = normalized_rows(block, normalization, weights.dtype)
        products = part_sums.product(weights, rows.T)
        return jax.lax.dynamic_update_slice_in_dim(found, products, start, axis=-1)

    full, rest = divmod(num_rows, size)
    found = jnp.zeros((*weights.shape[:-1], num_rows), weights.dtype)
    found, _ = jax.lax.scan(
        lambda found, start: (with_block(found, start, size), None),
        found,
        size * jnp.arange(full),
    )
    return with_block(found, full * size, rest) if rest else found
