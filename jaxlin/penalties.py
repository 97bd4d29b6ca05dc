r"""Penalties: the value of a regulariser on a tree of weights, without its strength.

Constants are part of the name's meaning here: `l2` is one half of the sum of squares,
so that :math:`\lambda` times it has the gradient :math:`\lambda W`. The lecture and
CS231n write :math:`\lambda \sum W^2`; their :math:`\lambda` is half of ours.

  >>> import jax.numpy as jnp
  >>> from jaxlin import penalties
  >>> print(penalties.l2(jnp.array([3.0, 4.0])), penalties.l1(jnp.array([3.0, -4.0])))
  12.5 7.0
"""

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin.typing import Array, PyTree


def l2(weights: PyTree) -> Array:
    r"""Half the sum of squares, :math:`\frac{1}{2} \sum_j w_j^2`, shape ``()``."""
    return 0.5 * _total(jax.tree.map(lambda leaf: jnp.sum(jnp.square(leaf)), weights))


def l1(weights: PyTree) -> Array:
    r"""Sum of absolute values, :math:`\sum_j |w_j|`; its derivative at 0 is 0."""
    # Not jnp.abs, whose derivative at 0 is 1.
    return _total(jax.tree.map(lambda leaf: jnp.sum(leaf * jnp.sign(leaf)), weights))


def elastic_net(weights: PyTree, *, l1_ratio: ArrayLike) -> Array:
    r"""Mixture :math:`r \sum |w_j| + \frac{1 - r}{2} \sum w_j^2`, shape ``()``.

    Args:
      weights: a tree of arrays.
      l1_ratio: the share :math:`r` of `l1`, between 0 and 1, as in scikit-learn.

    Reference:
      H. Zou and T. Hastie. Regularization and variable selection via the elastic net.
      Journal of the Royal Statistical Society B, 2005 (in the form of `glmnet`).
    """
    absolute, squares = l1(weights), l2(weights)
    ratio = jnp.asarray(l1_ratio, squares.dtype)
    return ratio * absolute + (1 - ratio) * squares


def _total(values: PyTree) -> Array:
    return functools.reduce(jnp.add, jax.tree.leaves(values))
