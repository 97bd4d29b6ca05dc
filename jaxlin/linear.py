"""The score function of the lecture: f(x, W, b) = W x + b, for one example.

Row ``weights[c]`` is the template of class c. The parameters are a tree of two arrays
and can therefore be the head of a larger model. Use `jax.vmap` for a batch:

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import linear
  >>> params = linear.init(jax.random.key(0), num_classes=10, num_features=3072)
  >>> images = jnp.zeros((5, 3072), jnp.uint8)
  >>> jax.vmap(linear.scores, in_axes=(None, 0))(params, images).shape
  (5, 10)

The computation runs in the dtype of the weights (float16, bfloat16, float32, float64);
features of another dtype, such as uint8 pixels, are converted. float32 products run at
full precision on every device (`jaxlin.numerics.precision.product`). Float64 NumPy
weights, the result of a float64 refinement, are converted to float32 outside
``jax.enable_x64(True)``.
"""

import enum
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from jaxlin import check
from jaxlin.normalization import Normalization
from jaxlin.numerics import precision
from jaxlin.typing import Array

#: Names of the treatments of the bias, as the doors take them.
BiasName = Literal["penalized", "free", "none"]


@jax.tree_util.register_static
class Bias(enum.Enum):
    """Treatment of the bias by a penalised objective; a tree without arrays.

    Attributes:
      PENALIZED: the bias is penalised like the weights (the bias trick).
      FREE: the objective is minimised over the bias without a penalty on it.
      NONE: the bias is 0.
    """

    PENALIZED = "penalized"
    FREE = "free"
    NONE = "none"

    @classmethod
    def named(cls, name: str) -> "Bias":
        """Treatment of this name; a ValueError for another."""
        return cls(check.choice("bias", name, tuple(one.value for one in cls)))

    def penalized_part(self, folded: Array) -> Array:
        """Folded weights (`fold_bias`) as the penalty sees them: 0 for a free bias."""
        if self is Bias.PENALIZED:
            return folded
        return folded.at[..., -1].set(0)

    def allowed(self, params: "Params") -> "Params":
        """Parameters that this treatment allows: without a bias, it becomes 0."""
        if self is Bias.NONE:
            return params._replace(bias=jnp.zeros_like(params.bias))
        return params


class Params(NamedTuple):
    """Parameters of a linear classifier.

    Attributes:
      weights: one template per class, shape ``(classes, features)``.
      bias: one offset per class, shape ``(classes,)``.
    """

    weights: Array
    bias: Array


def init(
    key: Array,
    *,
    num_classes: int,
    num_features: int,
    stddev: ArrayLike = 1e-4,
    dtype: DTypeLike = jnp.float32,
) -> Params:
    """Draws weights from a normal distribution about zero; the bias is zero.

    With the small default all scores are about equal, so that the initial loss is
    known: log C for softmax, C - 1 for the Weston-Watkins hinge. ``stddev=0`` is
    allowed, because the problem is convex.

    Args:
      key: a `jax.random.key`.
      num_classes: number of classes C, at least 2.
      num_features: number of features D, at least 1.
      stddev: standard deviation of each weight, at least 0; default 1e-4.
      dtype: floating-point dtype; default float32.

    Returns:
      Parameters with weights ``(num_classes, num_features)``.

    Raises:
      ValueError: if ``key`` is not a key or a size is too small.
    """
    check.key("key", key)
    check.integer("num_classes", num_classes, at_least=2)
    check.integer("num_features", num_features, at_least=1)
    noise = jax.random.normal(key, (num_classes, num_features), dtype)
    return Params(noise * jnp.asarray(stddev, dtype), jnp.zeros(num_classes, dtype))


def scores(params: Params, features: ArrayLike) -> Array:
    r"""Class scores of one example, :math:`s = W x + b`.

    Args:
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      features: one example :math:`x`, shape ``(features,)``, already normalised.

    Returns:
      Scores in the dtype of the weights, shape ``(classes,)``.

    Example:
      The lecture's image of four pixels and three classes. Its slide prints 61.95 for
      the ship, which is W x without the bias of -1.2.

      >>> weights = jnp.array([[0.2, -0.5, 0.1, 2.0],
      ...                      [1.5, 1.3, 2.1, 0.0],
      ...                      [0.0, 0.25, 0.2, -0.3]])
      >>> cat_dog_ship = Params(weights, jnp.array([1.1, 3.2, -1.2]))
      >>> image = jnp.array([56, 231, 24, 2])
      >>> print([f"{score:.2f}" for score in scores(cat_dog_ship, image)])
      ['-96.80', '437.90', '60.75']
    """
    weights, bias = map(jnp.asarray, params)
    chex.assert_rank([weights, bias], [2, 1])
    check.one_example("features", features, size=weights.shape[1])
    return precision.product(weights, jnp.asarray(features, weights.dtype)) + bias


def predict(params: Params, features: ArrayLike) -> Array:
    """Predicted label of one example, shape ``()``; ties go to the smallest label."""
    return jnp.argmax(scores(params, features)).astype(jnp.int32)


def fold_bias(params: Params) -> Array:
    """The bias trick: weights ``(classes, features + 1)`` with the bias as last column.

    They are applied to `append_one` of the features. A penalty on the folded weights
    includes the bias.
    """
    return jnp.concatenate([params.weights, params.bias[:, None]], axis=1)


def unfold_bias(weights: Array) -> Params:
    """Undoes `fold_bias`: the last column of ``weights`` becomes the bias."""
    chex.assert_rank(weights, 2)
    return Params(weights[:, :-1], weights[:, -1])


def append_one(features: Array) -> Array:
    """Appends the constant feature 1 to one example, shape ``(features + 1,)``."""
    check.one_example("features", features)
    return jnp.append(features, jnp.ones((), features.dtype))


def fold_normalization(params: Params, normalization: Normalization) -> Params:
    """Returns parameters that give the same scores on raw features.

    ``scores(fold_normalization(params, z), x)`` equals
    ``scores(params, normalize(z, x))`` up to rounding (the algebraic viewpoint of the
    lecture): the composition of two affine maps is affine.
    """
    weights, bias = map(jnp.asarray, params)
    scale = jnp.atleast_1d(jnp.asarray(normalization.scale, weights.dtype))
    weights = weights / scale[None, :]
    shift = precision.product(weights, jnp.asarray(normalization.mean, weights.dtype))
    return Params(weights, bias - shift)
