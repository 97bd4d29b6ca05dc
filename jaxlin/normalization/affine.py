"""Normalisation of one example, ``(x - mean) / scale``, and its checks."""

from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.typing import Array

# Devices flush numbers below 2^-126 to 0 (2^-1022 in float64). With a scale of at least
# this, the normalised error of that is below one unit of roundoff of 1; and 1 / scale
# is a normal number for scales up to the inverse.
_LEAST_SCALE = 2.0**-100


class Normalization(NamedTuple):
    """An affine map of one example, feature by feature.

    Attributes:
      mean: vector subtracted from a row, in raw units, shape ``(features,)``.
      scale: divisor of the difference, in raw units, not 0, shape ``()`` or
        ``(features,)``.
    """

    mean: ArrayLike
    scale: ArrayLike


def normalize(normalization: Normalization, features: ArrayLike) -> Array:
    """Returns ``(features - mean) / scale`` for one example, shape ``(features,)``.

    Integer features are converted to the dtype of the mean, floating-point features to
    the wider of the two dtypes, so that no digits are lost before the subtraction.
    """
    mean, scale = map(jnp.asarray, normalization)
    row = jnp.asarray(features)
    chex.assert_equal_shape([mean, row])
    dtype = mean.dtype
    if jnp.issubdtype(row.dtype, jnp.floating):
        dtype = jnp.promote_types(dtype, row.dtype)
    # One reciprocal and one product per pixel, instead of one division per pixel.
    return (row.astype(dtype) - mean) * (1.0 / scale)


def check_normalization(
    normalization: Normalization, *, num_features: int
) -> Normalization:
    """Returns the normalisation with floating-point NumPy arrays, checked.

    Raises:
      ValueError: if it is not a `Normalization` for this number of features, or is not
        finite, or if a scale is 0 or outside the range that float32 computes with.
    """
    if not isinstance(normalization, Normalization):
        raise ValueError(
            "normalization must be a jaxlin.normalization.Normalization or None, got "
            f"{normalization!r:.80}; jaxlin.normalization.fit_standard(features) makes "
            "one, and problems and probes also take the function itself"
        )
    check.concrete("normalization", normalization)
    mean, scale = map(np.asarray, normalization)
    if mean.shape != (num_features,):
        raise ValueError(
            f"normalization must be for {num_features} features, got a mean of "
            f"shape {mean.shape}"
        )
    if scale.shape not in ((), (num_features,)):
        raise ValueError(
            f"normalization must have a scale of shape () or ({num_features},), got "
            f"shape {scale.shape}"
        )
    if not (
        np.isfinite(mean).all() and np.isfinite(scale).all() and (scale != 0).all()
    ):
        raise ValueError(
            "normalization must be finite with scales other than 0, got mean from "
            f"{mean.min()} to {mean.max()} and scale from {scale.min()} to "
            f"{scale.max()}"
        )
    check_range(mean, scale, "normalization must have")
    return Normalization(*map(_floating, (mean, scale)))


def _floating(part: np.ndarray) -> np.ndarray:
    """Converts float64 and longer floats to float64, all other dtypes to float32."""
    is_wide = part.dtype.kind == "f" and part.dtype.itemsize >= 8
    return part.astype(np.float64 if is_wide else np.float32)


def check_range(mean: np.ndarray, scale: np.ndarray, rule: str) -> None:
    """Raises a ValueError for means or scales outside the range of float32."""
    is_far = ~(np.abs(np.float64(mean)) <= np.finfo(np.float32).max)
    sizes = np.broadcast_to(np.abs(np.float64(scale)), mean.shape)
    is_extreme = ~((sizes >= _LEAST_SCALE) & (sizes <= 1 / _LEAST_SCALE))
    scales = f"scales from {_LEAST_SCALE:.2g} to {1 / _LEAST_SCALE:.2g}"
    for is_outside, allowed, values in (
        (is_far, f"means within {np.finfo(np.float32).max:.2g} of 0", mean),
        (is_extreme, scales, sizes),
    ):
        if is_outside.any():
            worst = int(np.argmax(is_outside))
            raise ValueError(
                f"{rule} {allowed}, which float32 computes with, got {values[worst]:g} "
                f"for feature {worst}; multiply that feature by a constant first, in "
                "training and test rows alike"
            )


def identity(num_features: int) -> Normalization:
    """Returns the identity as a normalisation: mean 0, scale 1."""
    return Normalization(np.zeros(num_features, np.float32), np.float32(1.0))
