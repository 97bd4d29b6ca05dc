r"""Single-layer features: filters learned by k-means of whitened image patches.

Learning needs no labels: patches are sampled, normalised in brightness and contrast,
whitened and clustered; the cluster centers are the filters. The features of an image
are the encoded responses of its patches to every filter, averaged over a grid of parts:

  >>> import jax, numpy as np
  >>> from jaxlin.features import patches
  >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
  >>> stats = patches.fit(jax.random.key(0), images, scale=255.0, patch_size=3,
  ...                     num_filters=5, num_patches=200)
  >>> patches.apply(stats, images[0]).shape   # two signs, five filters, four quadrants
  (40,)
  >>> patches.apply_all(stats, images).shape
  (20, 40)

The features have no common scale; standardise them with
`jaxlin.normalization.fit_standard`.

Reference:
  A. Coates, H. Lee and A. Y. Ng. An analysis of single-layer networks in unsupervised
  feature learning. AISTATS 2011.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.features import encodings, image_patches, spherical
from jaxlin.features.encodings import Encoding
from jaxlin.numerics import precision
from jaxlin.typing import Array


class Stats(NamedTuple):
    """Learned filters and preprocessing of patches.

    Attributes:
      filters: unit vectors in whitened space, shape ``(filters, values)``, with size *
        size * channels values per patch.
      whitening: symmetric whitening matrix, shape ``(values, values)``.
      mean: mean of the contrast-normalised patches, shape ``(values,)``.
      contrast_floor: constant added to the variance of a patch, shape ``()``.
      scale: raw pixel value of unit brightness, shape ``()``.
      objective: k-means objective before each iteration and after the last, the mean
        over patches of 1 - cosine to the nearest filter, shape ``(iterations + 1,)``.
    """

    filters: Array
    whitening: Array
    mean: Array
    contrast_floor: Array
    scale: Array
    objective: Array


def fit(
    key: Array,
    images: Any,
    *,
    scale: float,
    patch_size: int = 6,
    num_filters: int = 800,
    num_patches: int = 100_000,
    num_iterations: int = 10,
    whitening_floor: float = 0.1,
    contrast_floor: float = 10 / 255**2,
) -> Stats:
    """Samples patches, whitens them and clusters them by spherical k-means.

    Args:
      key: a `jax.random.key`.
      images: shape ``(images, height, width, channels)``, uint8 or floating.
      scale: raw pixel value of unit brightness, above 0 (255 for 8-bit images).
      patch_size: side of a patch in pixels, at least 1.
      num_filters: number of filters K, at least 1.
      num_patches: number of sampled patches, at least 2 and at least K.
      num_iterations: iterations of k-means, at least 0; with 0 the filters are K of the
        whitened patches.
      whitening_floor: constant above 0 added to the variance in every direction, so
        that whitening does not amplify directions of almost no variance (such as the
        brightness, which was subtracted).
      contrast_floor: constant above 0 added to the variance of a patch, in squared
        units of brightness, so that normalisation does not amplify flat patches.

    Returns:
      The filters and the preprocessing that `apply` needs.

    Raises:
      ValueError: if an argument is not valid.

    Reference:
      A. Coates and A. Y. Ng. Learning feature representations with k-means. Neural
      Networks: Tricks of the Trade, 2012.
    """
    check.key("key", key)
    images = _checked(images, patch_size=patch_size)
    check.number("scale", scale, above=0)
    check.integer("num_filters", num_filters, at_least=1)
    check.integer("num_patches", num_patches, at_least=max(2, num_filters))
    check.integer("num_iterations", num_iterations, at_least=0)
    check.number("whitening_floor", whitening_floor, above=0)
    check.number("contrast_floor", contrast_floor, above=0)
    return _fit(
        key,
        jnp.asarray(images),
        jnp.float32(scale),
        jnp.float32(whitening_floor),
        jnp.float32(contrast_floor),
        patch_size=patch_size,
        num_filters=num_filters,
        num_patches=num_patches,
        num_iterations=num_iterations,
    )


def apply(
    stats: Stats,
    image: Array,
    *,
    encoding: Encoding = encodings.two_sided,
    encoding_arguments: Mapping[str, ArrayLike] | None = None,
    pool: int = 2,
) -> Array:
    """Features of one image.

    Args:
      stats: filters and preprocessing from `fit`.
      image: raw pixels, shape ``(height, width, channels)``.
      encoding: a function of `jaxlin.features.encodings`, or another function of one
        whitened patch and the filters, defined at module level.
      encoding_arguments: traced keyword arguments of the encoding, such as
        ``{"threshold": 0.5}``.
      pool: number of parts per side, at least 1: responses are averaged over each of
        ``pool`` by ``pool`` parts of the image.

    Returns:
      Features, shape ``(pool * pool * responses,)``, part by part.

    Raises:
      ValueError: while tracing, if ``pool`` exceeds the number of patch positions along
        a side.
    """
    check.one_example("image", image, num_dimensions=3)
    patches = _whitened_patches(stats, image)
    rows, columns, values = patches.shape
    check.integer("pool", pool, at_least=1, at_most=min(rows, columns))
    encode = functools.partial(encoding, **(encoding_arguments or {}))
    responses = jax.vmap(encode, (0, None))(
        patches.reshape(rows * columns, values), stats.filters
    )
    # A matrix product computes means over parts in a fifth less time than sums of
    # slices.
    pooling = jnp.asarray(_pooling(rows, columns, pool))
    return precision.product(pooling, responses).ravel()


def apply_all(
    stats: Stats,
    images: Any,
    *,
    encoding: Encoding = encodings.two_sided,
    encoding_arguments: Mapping[str, ArrayLike] | None = None,
    pool: int = 2,
    block_size: int = 1,
) -> Array:
    """Features of many images: `apply`, compiled and mapped over blocks of images.

    Args:
      stats: filters and preprocessing from `fit`.
      images: raw pixels, shape ``(images, height, width, channels)``.
      encoding: a function of `jaxlin.features.encodings`, or another function of one
        whitened patch and the filters, defined at module level.
      encoding_arguments: traced keyword arguments of the encoding.
      pool: number of parts per side over which responses are averaged, at least 1.
      block_size: images per block, at least 1. On a CPU the responses of one image stay
        in the cache; an accelerator needs a few hundred images.

    Returns:
      Features, float32, shape ``(images, features)``.

    Raises:
      ValueError: if an argument is not valid, or the images are too small for the
        patches or the parts.
    """
    _check_shape(images)
    images = _checked(images, patch_size=_patch_size(stats, jnp.shape(images)[-1]))
    check.integer("block_size", block_size, at_least=1)
    return _apply_all(
        stats,
        jnp.asarray(images),
        dict(encoding_arguments or {}),
        encoding=encoding,
        pool=pool,
        block_size=min(block_size, len(images)),
    )


def _whitened_patches(stats: Stats, image: Array) -> Array:
    """All overlapping patches of one image, shape ``(rows, columns, values)``."""
    unfolded = image_patches.unfolded(
        image.astype(jnp.float32) / stats.scale,
        patch_size=_patch_size(stats, image.shape[-1]),
    )
    normalized = image_patches.contrast_normalized(unfolded, stats.contrast_floor)
    return precision.product(normalized - stats.mean[None, None], stats.whitening)


@functools.partial(
    jax.jit,
    static_argnames=("patch_size", "num_filters", "num_patches", "num_iterations"),
)
@jax.default_matmul_precision("highest")
def _fit(
    key,
    images,
    scale,
    whitening_floor,
    contrast_floor,
    *,
    patch_size,
    num_filters,
    num_patches,
    num_iterations,
) -> Stats:
    draw_key, filter_key = jax.random.split(key)
    raw = image_patches.sampled(
        draw_key, images, patch_size=patch_size, num_patches=num_patches
    )
    patches = image_patches.contrast_normalized(
        raw.astype(jnp.float32) / scale, contrast_floor
    )
    mean = jnp.mean(patches, axis=0)
    centered = patches - mean[None]
    covariance = centered.T @ centered / num_patches
    values, vectors = jnp.linalg.eigh(covariance)
    # Rounding can make the variance of an empty direction negative, about -1e-8.
    scaled = vectors * jax.lax.rsqrt(jnp.maximum(values, 0) + whitening_floor)[None]
    whitening = scaled @ vectors.T
    directions = spherical.unit(centered @ whitening)
    chosen = jax.random.choice(filter_key, num_patches, (num_filters,), replace=False)

    def iteration(filters, _):
        filters, objective = spherical.lloyd_step(directions, filters)
        return filters, objective

    filters, objectives = jax.lax.scan(
        iteration, directions[chosen], length=num_iterations
    )
    _, last = spherical.lloyd_step(directions, filters)
    return Stats(
        filters,
        whitening,
        mean,
        contrast_floor,
        scale,
        jnp.append(objectives, last),
    )


@functools.partial(jax.jit, static_argnames=("encoding", "pool", "block_size"))
def _apply_all(stats, images, arguments, *, encoding, pool, block_size):
    def one(image):
        return apply(
            stats, image, encoding=encoding, encoding_arguments=arguments, pool=pool
        )

    return jax.lax.map(one, images, batch_size=block_size)


def _pooling(rows: int, columns: int, pool: int) -> np.ndarray:
    """Averaging matrix of the parts, shape ``(pool * pool, rows * columns)``."""

    def shares(length: int) -> np.ndarray:
        part = np.arange(length) * pool // length
        is_in = part[None, :] == np.arange(pool)[:, None]
        return is_in / is_in.sum(axis=1, keepdims=True)

    return np.kron(shares(rows), shares(columns)).astype(np.float32)


def _patch_size(stats: Stats, channels: int) -> int:
    values = stats.mean.shape[0]
    size = round((values / channels) ** 0.5)
    if size * size * channels != values:
        raise ValueError(
            f"images must have the channels that the patches had, whose {values} "
            f"values are no square times {channels} channels"
        )
    return size


def _checked(images: Any, *, patch_size: int) -> Any:
    shape = _check_shape(images)
    check.integer("patch_size", patch_size, at_least=1, at_most=min(shape[1:3]))
    on_host = np.asarray(images)
    rows = check.features("images", on_host.reshape(len(on_host), -1))
    # Images on a device stay there if the check did not change the dtype.
    return images if rows.dtype == on_host.dtype else rows.reshape(shape)


def _check_shape(images: Any) -> tuple[int, ...]:
    shape = jnp.shape(images)
    if len(shape) != 4 or 0 in shape:
        raise ValueError(
            "images must have shape (images, height, width, channels), none of them 0, "
            f"got {shape}; grey images are images[..., None]"
        )
    return shape
