r"""A small convolutional network without its head.

AlexNet's architecture scaled down to small images: convolutions with ReLU, max pooling
after the first, the second and the last of them, and one fully connected layer. The
output is a feature vector; the head is `jaxlin.linear`, so that softmax on the network
is the same softmax classifier as on pixels.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import linear
  >>> from jaxlin.features import convolutional
  >>> body = convolutional.init(
  ...     jax.random.key(0), image_shape=(8, 8, 3), blocks=((4,), (8,), (16, 16)),
  ...     num_features=32)
  >>> features = jax.jit(convolutional.apply)(body, jnp.zeros((8, 8, 3)))
  >>> head = linear.init(jax.random.key(1), num_classes=10, num_features=32)
  >>> linear.scores(head, features).shape
  (10,)

Reference:
  A. Krizhevsky, I. Sutskever and G. E. Hinton. ImageNet classification with deep
  convolutional neural networks. NIPS 2012.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import check
from jaxlin.numerics import precision
from jaxlin.typing import Array

# Side lengths of kernels and of pooling windows, in pixels.
_KERNEL, _POOL = 3, 2


class Convolution(NamedTuple):
    """A convolution with kernels of 3 by 3 pixels.

    Attributes:
      weights: kernels, shape ``(3, 3, channels in, channels out)``.
      bias: one bias per kernel, shape ``(channels out,)``.
    """

    weights: Array
    bias: Array


class Dense(NamedTuple):
    """A fully connected layer, with the layout of `jaxlin.linear.Params`.

    Attributes:
      weights: one row per output unit, shape ``(units out, units in)``.
      bias: one bias per output unit, shape ``(units out,)``.
    """

    weights: Array
    bias: Array


class NetworkParams(NamedTuple):
    """Parameters of a network without its head.

    Attributes:
      blocks: convolutions of each block; max pooling follows each block.
      dense: layer from the last pooled responses to the features.
    """

    blocks: tuple[tuple[Convolution, ...], ...]
    dense: Dense


def init(
    key: Array,
    *,
    image_shape: tuple[int, int, int],
    blocks: Sequence[Sequence[int]] = ((32,), (64,), (128, 128)),
    num_features: int = 256,
) -> NetworkParams:
    """Draws weights by He initialisation; biases are 0.

    Args:
      key: a `jax.random.key`.
      image_shape: height, width and channels of the images.
      blocks: numbers of output channels of the convolutions, block by block.
      num_features: width of the output, at least 1.

    Returns:
      Parameters in float32.

    Raises:
      ValueError: if a size is too small, or an image side is below 2 to the power of
        the number of blocks.

    Reference:
      K. He, X. Zhang, S. Ren and J. Sun. Delving deep into rectifiers. ICCV 2015.
    """
    check.key("key", key)
    _check_architecture(image_shape, blocks, num_features)
    height, width, channels = image_shape
    keys = iter(jax.random.split(key, sum(map(len, blocks)) + 1))
    convolutions = []
    for block in blocks:
        layers = []
        for channels_out in block:
            shape = (_KERNEL, _KERNEL, channels, channels_out)
            weights = _he_normal(next(keys), shape, fan_in=_KERNEL**2 * channels)
            layers.append(Convolution(weights, jnp.zeros(channels_out)))
            channels = channels_out
        convolutions.append(tuple(layers))
        height, width = height // _POOL, width // _POOL
    units = height * width * channels
    weights = _he_normal(next(keys), (num_features, units), fan_in=units)
    return NetworkParams(tuple(convolutions), Dense(weights, jnp.zeros(num_features)))


def apply(params: NetworkParams, image: Array) -> Array:
    """Features of one image, non-negative, shape ``(features,)``.

    Args:
      params: parameters from `init`.
      image: normalised, floating, shape ``(height, width, channels)``.

    Raises:
      ValueError: while tracing, if the image is not floating, or its numbers of
        channels or of pixels do not fit the parameters. Swapped height and width are
        not detected.
    """
    check.one_example("image", image, num_dimensions=3)
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise ValueError(f"image must be normalised, floating, got {image.dtype}")
    layers = [layer for block in params.blocks for layer in block]
    channels = layers[0].weights.shape[2] if layers else image.shape[2]
    last = layers[-1].weights.shape[3] if layers else channels
    height, width = (side // _POOL ** len(params.blocks) for side in image.shape[:2])
    units = params.dense.weights.shape[1]
    if image.shape[2] != channels or height * width * last != units:
        raise ValueError(
            "image must have the shape that init was given, with "
            f"{channels} channel(s), got shape {image.shape}"
        )
    for block in params.blocks:
        for layer in block:
            image = jax.nn.relu(_convolve(layer, image))
        image = _max_pool(image)
    dense = params.dense
    return jax.nn.relu(precision.product(dense.weights, image.ravel()) + dense.bias)


def _convolve(layer: Convolution, image: Array) -> Array:
    """Responses of one image at its own size, with zero padding."""
    responses = jax.lax.conv_general_dilated(
        image[None],
        layer.weights,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=precision.matmul_precision(),
    )
    return responses[0] + layer.bias[None, None]


def _max_pool(image: Array) -> Array:
    """Maximum over windows of 2 by 2 pixels; an odd last row or column is dropped."""
    height, width, channels = image.shape
    height, width = height // _POOL, width // _POOL
    cut = image[: height * _POOL, : width * _POOL]
    return cut.reshape(height, _POOL, width, _POOL, channels).max(axis=(1, 3))


def _check_architecture(
    image_shape: tuple[int, int, int],
    blocks: Sequence[Sequence[int]],
    num_features: int,
) -> None:
    """Raises ValueError unless all sizes are valid and allow the pooling."""
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise ValueError(
            "image_shape must be height, width and channels, each at least 1, got "
            f"{image_shape}; grey images have one channel"
        )
    if not all(isinstance(block, Sequence) for block in blocks):
        raise ValueError(
            "blocks must be the channels of each convolution, block by block, such as "
            f"((32,), (64, 64)), got {blocks}"
        )
    smallest = _POOL ** len(blocks)
    if min(image_shape[:2]) < smallest:
        raise ValueError(
            f"image_shape must have sides of at least {smallest} pixels, which "
            f"{len(blocks)} poolings halve each, got {image_shape}; give fewer blocks"
        )
    check.integer("num_features", num_features, at_least=1)
    for i, block in enumerate(blocks):
        for j, channels in enumerate(block):
            check.integer(f"blocks[{i}][{j}]", channels, at_least=1)


def _he_normal(key: Array, shape: tuple[int, ...], *, fan_in: int) -> Array:
    return math.sqrt(2 / fan_in) * jax.random.normal(key, shape)
