"""Encodings of one whitened patch by a set of filters.

>>> import jax.numpy as jnp
>>> from jaxlin.features import encodings
>>> filters = jnp.eye(2)
>>> print(encodings.two_sided(jnp.array([1.0, -0.5]), filters, threshold=0.25))
[0.75 0.   0.   0.25]
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin.numerics import precision
from jaxlin.typing import Array

# ``(patch, filters) -> responses``, with one whitened patch ``(values,)`` and filters
# ``(filters, values)``.
Encoding = Callable[..., Array]


def triangle(patch: Array, filters: Array) -> Array:
    r"""Triangle encoding: excess of the mean distance over the distance to each filter.

    .. math:: \max(0,\; \bar d - d_k), \quad d_k = \|x - f_k\|

    Args:
      patch: whitened, :math:`x`, shape ``(values,)``.
      filters: :math:`f_k`, shape ``(filters, values)``.

    Returns:
      Responses, shape ``(filters,)``; about half of them are 0.

    Reference:
      A. Coates, H. Lee and A. Y. Ng. An analysis of single-layer networks in
      unsupervised feature learning. AISTATS 2011.
    """
    chex.assert_rank([patch, filters], [1, 2])
    squared = (
        jnp.sum(jnp.square(patch))
        - 2 * precision.product(filters, patch)
        + jnp.sum(jnp.square(filters), axis=1)
    )
    # Rounding can make the squared distance of a patch equal to a filter negative.
    distances = jnp.sqrt(jnp.maximum(squared, 1e-12))
    return jax.nn.relu(jnp.mean(distances) - distances)


def two_sided(patch: Array, filters: Array, *, threshold: ArrayLike = 0.25) -> Array:
    r"""Soft-threshold encoding with separate positive and negative responses.

    .. math:: \max(0,\; z_k - t), \quad \max(0,\; -z_k - t), \quad z_k = f_k^\top x

    Args:
      patch: whitened, :math:`x`, shape ``(values,)``.
      filters: :math:`f_k`, shape ``(filters, values)``.
      threshold: :math:`t`, at least 0.

    Returns:
      Responses, shape ``(2 * filters,)``: all positive ones, then all negative ones.

    Reference:
      A. Coates and A. Y. Ng. The importance of encoding versus training with sparse
      coding and vector quantization. ICML 2011.
    """
    chex.assert_rank([patch, filters], [1, 2])
    products = precision.product(filters, patch)
    both = jnp.concatenate([products, -products])
    return jax.nn.relu(both - threshold)
