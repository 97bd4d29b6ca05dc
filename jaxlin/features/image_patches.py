"""Patches of images: random or all of them, and their contrast.

The values of a patch are in the order row, column, channel.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin.typing import Array


def sampled(key: Array, images: Array, *, patch_size: int, num_patches: int) -> Array:
    """Patches at random positions of random images, ``(num_patches, values)``.

    Args:
      key: a `jax.random.key`.
      images: shape ``(images, height, width, channels)``.
      patch_size: side of a patch in pixels.
      num_patches: number of patches.
    """
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


def unfolded(image: Array, *, patch_size: int) -> Array:
    """All overlapping patches of one image, shape ``(rows, columns, values)``.

    Args:
      image: shape ``(height, width, channels)``.
      patch_size: side of a patch in pixels.
    """
    rows, columns = image.shape[0] - patch_size + 1, image.shape[1] - patch_size + 1
    # In the order of values of sampled patches: row, column, channel.
    return jnp.concatenate(
        [
            image[top : top + rows, left : left + columns]
            for top in range(patch_size)
            for left in range(patch_size)
        ],
        axis=-1,
    )


def contrast_normalized(patches: Array, contrast_floor: ArrayLike) -> Array:
    """Patches along the last axis with mean 0 and, up to the floor, variance 1.

    Args:
      patches: shape ``(..., values)``, in units of brightness.
      contrast_floor: constant above 0 added to the variance, shape ``()``.
    """
    centered = patches - jnp.mean(patches, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centered), axis=-1, keepdims=True)
    return centered * jax.lax.rsqrt(variance + contrast_floor)
