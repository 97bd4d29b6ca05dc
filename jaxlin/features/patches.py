r"""Patches of the images themselves as filters: whitened, clustered, encoded, pooled.

Learned without labels: patches are drawn, made alike in brightness and contrast,
whitened, and clustered; the centres are the filters. One image is then described by how
its patches respond to every filter, summed over parts of the image:

  >>> import jax, numpy as np
  >>> from jaxlin.features import patches
  >>> images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
  >>> stats = patches.fit(jax.random.key(0), images, scale=255.0, patch_size=3,
  ...                     num_filters=5, num_patches=200)
  >>> patches.apply(stats, images[0]).shape   # two signs, five filters, four quadrants
  (40,)
  >>> patches.apply_all(stats, images).shape
  (20, 40)

The features have no common scale; `jaxlin.normalization.fit_standard` gives them one.

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
from jaxlin.features import encodings, spherical
from jaxlin.features.encodings import Encoding
from jaxlin.numerics import precision
from jaxlin.typing import Array


class Stats(NamedTuple):
    """What was learned of patches.

    Attributes:
      filters: of unit length, in whitened space, shape ``(filters, values)``, where a
        patch has size * size * channels values.
      whitening: symmetric, shape ``(values, values)``.
      mean: of patches before whitening, shape ``(values,)``.
      contrast_floor: added to the variance of a patch.
      scale: of raw pixels.
      objective: of the clustering before each iteration and at the end: the mean over
        patches of 1 - the cosine to the nearest filter, shape ``(iterations + 1,)``.
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
    """Draws patches, whitens them and clusters them by spherical k-means.

    Args:
      key: a `jax.random.key`.
      images: shape ``(images, height, width, channels)``, uint8 or floating.
      scale: what one unit of brightness is in raw pixels (255 for 8-bit images).
      patch_size: side of a patch, in pixels.
      num_filters: K.
      num_patches: how many are drawn, at least K.
      num_iterations: of k-means; with 0 the filters are K of the patches themselves.
      whitening_floor: added to the variance in every direction, so that those with
        next to none (the brightness, taken out before, has none) are not blown up.
      contrast_floor: added to the variance of a patch, in squared units of brightness,
        so that flat ones are not blown up.

    Returns:
      The filters and all that `apply` needs.

    Raises:
      ValueError: that names the argument, the rule and the value.

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
    """The features of one image.

    Args:
      stats: from `fit`.
      image: raw, shape ``(height, width, channels)``.
      encoding: of `jaxlin.features.encodings`, or another function of one whitened
        patch and the filters, at module level.
      encoding_arguments: traced keywords of it, such as ``{"threshold": 0.5}``.
      pool: the image is cut into ``pool`` by ``pool`` parts, over each of which the
        responses are averaged.

    Returns:
      Shape ``(pool * pool * responses,)``, part by part.

    Raises:
      ValueError: while tracing, if there are fewer places for a patch than parts.
    """
    check.one_example("image", image, num_dimensions=3)
    patches = whitened_patches(stats, image)
    rows, columns, values = patches.shape
    check.integer("pool", pool, at_least=1, at_most=min(rows, columns))
    encode = functools.partial(encoding, **(encoding_arguments or {}))
    responses = jax.vmap(encode, (0, None))(
        patches.reshape(rows * columns, values), stats.filters
    )
    # As a product, means over parts cost a fifth less than as sums of slices.
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
    """`apply` to many images, compiled, a few at a time.

    Args:
      stats: from `fit`.
      images: shape ``(images, height, width, channels)``.
      encoding: as of `apply`.
      encoding_arguments: as of `apply`.
      pool: as of `apply`.
      block_size: images at a time. On a CPU the responses of one stay in the cache; an
        accelerator wants some hundreds.

    Returns:
      Shape ``(images, features)``, float32.

    Raises:
      ValueError: if the images are too small for the patches, or the parts.
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


def whitened_patches(stats: Stats, image: Array) -> Array:
    """All patches of one image, shape ``(rows, columns, values)``, overlapping."""
    size = _patch_size(stats, image.shape[-1])
    rows, columns = image.shape[0] - size + 1, image.shape[1] - size + 1
    brightness = image.astype(jnp.float32) / stats.scale
    # As the patches are cut when they are drawn: row, column, channel.
    unfolded = jnp.concatenate(
        [
            brightness[top : top + rows, left : left + columns]
            for top in range(size)
            for left in range(size)
        ],
        axis=-1,
    )
    centered = alike(unfolded, stats.contrast_floor) - stats.mean[None, None]
    return precision.product(centered, stats.whitening)


def alike(patches: Array, contrast_floor: ArrayLike) -> Array:
    """Patches in the last axis, of mean 0 and, but for the floor, of variance 1."""
    centered = patches - jnp.mean(patches, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centered), axis=-1, keepdims=True)
    return centered * jax.lax.rsqrt(variance + contrast_floor)


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
    raw = _drawn(draw_key, images, patch_size=patch_size, num_patches=num_patches)
    patches = alike(raw.astype(jnp.float32) / scale, contrast_floor)
    mean = jnp.mean(patches, axis=0)
    centered = patches - mean[None]
    covariance = centered.T @ centered / num_patches
    values, vectors = jnp.linalg.eigh(covariance)
    # Rounding leaves an empty direction at -1e-8, say.
    stretched = vectors * jax.lax.rsqrt(jnp.maximum(values, 0) + whitening_floor)[None]
    whitening = stretched @ vectors.T
    directions = spherical.unit(centered @ whitening)
    chosen = jax.random.choice(filter_key, num_patches, (num_filters,), replace=False)

    def iteration(filters, _):
        filters, objective = spherical.clustered(directions, filters)
        return filters, objective

    filters, objectives = jax.lax.scan(
        iteration, directions[chosen], length=num_iterations
    )
    _, last = spherical.clustered(directions, filters)
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


def _drawn(key, images, *, patch_size, num_patches) -> Array:
    """Patches from anywhere in any image, shape ``(num_patches, values)``."""
    number, height, width, channels = images.shape
    which, top, left = (
        jax.random.randint(one, (num_patches,), 0, limit)
        for one, limit in zip(
            jax.random.split(key, 3),
            (number, height - patch_size + 1, width - patch_size + 1),
            strict=True,
        )
    )

    def cut(which, top, left):
        shape = (1, patch_size, patch_size, channels)
        return jax.lax.dynamic_slice(images, (which, top, left, 0), shape).ravel()

    return jax.vmap(cut)(which, top, left)


def _pooling(rows: int, columns: int, pool: int) -> np.ndarray:
    """Weights of the means over parts, shape ``(pool * pool, rows * columns)``."""

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
    # Those on a device stay there, if the check has changed nothing.
    return images if rows.dtype == on_host.dtype else rows.reshape(shape)


def _check_shape(images: Any) -> tuple[int, ...]:
    shape = jnp.shape(images)
    if len(shape) != 4 or 0 in shape:
        raise ValueError(
            "images must have shape (images, height, width, channels), none of them 0, "
            f"got {shape}; grey images are images[..., None]"
        )
    return shape
