"""Spherical k-means: clustering of unit vectors by cosine similarity.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin.features import spherical
  >>> rows = spherical.unit(jnp.array([[2.0, 0.0], [3.0, 0.3], [0.0, 1.0]]))
  >>> lloyd_step = jax.jit(spherical.lloyd_step)
  >>> centers, objective = lloyd_step(rows, jnp.eye(2))
  >>> _, smaller = lloyd_step(rows, centers)
  >>> bool(smaller < objective)
  True

Reference:
  I. S. Dhillon and D. S. Modha. Concept decompositions for large sparse text data using
  clustering. Machine Learning, 2001.
"""

import jax
import jax.numpy as jnp

from jaxlin.numerics import precision
from jaxlin.typing import Array

# Rows compared with all centers per block.
_ROWS_PER_BLOCK = 2048


def lloyd_step(directions: Array, centers: Array) -> tuple[Array, Array]:
    """One Lloyd iteration of spherical k-means, and the objective before it.

    Args:
      directions: unit vectors, shape ``(rows, values)``.
      centers: unit vectors, shape ``(centers, values)``.

    Returns:
      The new centers, each the mean direction of the rows nearest to the old one, and
      the objective of the old centers, the mean over rows of 1 - cosine to the nearest
      center, shape ``()``.
    """
    number, values = directions.shape
    size = min(_ROWS_PER_BLOCK, number)
    blocks = -(-number // size)
    padded = jnp.zeros((blocks * size, values)).at[:number].set(directions)

    def add(sums, block):
        cosines = precision.product(block, centers.T)
        nearest = jnp.argmax(cosines, axis=1)
        # A padded row is 0 and adds nothing to the totals or to the cosine.
        total, cosine = sums
        total = jax.lax.platform_dependent(
            total, nearest, block, cpu=_scattered, default=_multiplied
        )
        return (total, cosine + jnp.sum(jnp.max(cosines, axis=1))), None

    start = (jnp.zeros_like(centers), jnp.zeros(()))
    (total, cosine), _ = jax.lax.scan(add, start, padded.reshape(blocks, size, values))
    is_empty = jnp.sum(jnp.square(total), axis=1, keepdims=True) == 0
    # A center without rows is unchanged.
    return jnp.where(is_empty, centers, unit(total)), 1 - cosine / number


def _scattered(total: Array, nearest: Array, block: Array) -> Array:
    """Adds each row to the total of its center."""
    return total.at[nearest].add(block)


def _multiplied(total: Array, nearest: Array, block: Array) -> Array:
    """Deterministic `_scattered` for GPUs, where the order of a scatter varies."""
    is_of_center = jnp.arange(len(total))[:, None] == nearest[None, :]
    return total + precision.product(is_of_center.astype(block.dtype), block)


def unit(rows: Array) -> Array:
    """Rows divided by their norms along the last axis; zero rows are unchanged."""
    squared = jnp.sum(jnp.square(rows), axis=-1, keepdims=True)
    return jnp.where(squared == 0, 0, rows * jax.lax.rsqrt(jnp.maximum(squared, 1e-30)))
