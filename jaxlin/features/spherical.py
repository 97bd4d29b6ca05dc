"""Spherical k-means: clusters of directions, whose centers are directions too.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin.features import spherical
  >>> rows = spherical.unit(jnp.array([[2.0, 0.0], [3.0, 0.3], [0.0, 1.0]]))
  >>> clustered = jax.jit(spherical.clustered)
  >>> centers, objective = clustered(rows, jnp.eye(2))
  >>> _, smaller = clustered(rows, centers)
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

# Rows compared with all centers at once.
_AT_ONCE = 2048


def clustered(directions: Array, centers: Array) -> tuple[Array, Array]:
    """One iteration of spherical k-means, and the objective before it.

    Args:
      directions: of length 1, shape ``(rows, values)``.
      centers: likewise, shape ``(centers, values)``.

    Returns:
      The centers moved to the mean direction of the rows nearest to them, and the mean
      over rows of 1 - the cosine to the nearest center before that, shape ``()``.
    """
    number, values = directions.shape
    size = min(_AT_ONCE, number)
    blocks = -(-number // size)
    padded = jnp.zeros((blocks * size, values)).at[:number].set(directions)

    def add(sums, block):
        cosines = precision.product(block, centers.T)
        nearest = jnp.argmax(cosines, axis=1)
        # A padded row is 0 and adds nothing, to a cosine either.
        total, cosine = sums
        total = jax.lax.platform_dependent(
            total, nearest, block, cpu=_scattered, default=_multiplied
        )
        return (total, cosine + jnp.sum(jnp.max(cosines, axis=1))), None

    start = (jnp.zeros_like(centers), jnp.zeros(()))
    (total, cosine), _ = jax.lax.scan(add, start, padded.reshape(blocks, size, values))
    is_empty = jnp.sum(jnp.square(total), axis=1, keepdims=True) == 0
    # A center that is nobody's nearest stays where it is.
    return jnp.where(is_empty, centers, unit(total)), 1 - cosine / number


def _scattered(total: Array, nearest: Array, block: Array) -> Array:
    """Adds each row to the total of its center."""
    return total.at[nearest].add(block)


def _multiplied(total: Array, nearest: Array, block: Array) -> Array:
    """The same on a GPU, where rows are scattered in another order each time."""
    is_of_center = jnp.arange(len(total))[:, None] == nearest[None, :]
    return total + precision.product(is_of_center.astype(block.dtype), block)


def unit(rows: Array) -> Array:
    """Rows of length 1 in the last axis; a row of zeros stays."""
    squared = jnp.sum(jnp.square(rows), axis=-1, keepdims=True)
    return jnp.where(squared == 0, 0, rows * jax.lax.rsqrt(jnp.maximum(squared, 1e-30)))
