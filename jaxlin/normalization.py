"""Input normalisation: fitted once on training rows, applied to one example.

`(x - mean) / scale`, with the mean in the units of the raw features. Raw rows (uint8
pixels, say) stay raw in memory: the normalisation is applied inside the compiled step,
or folded into the parameters (`jaxlin.linear.fold_normalization`). A pass on a CPU
never makes a float copy of the data set.

"Raw pixels", the convention of all figures in the README, is
``fit_centered(features, scale=255.0)``: pixel / 255, minus the mean training image.

  >>> import numpy as np
  >>> from jaxlin import normalization
  >>> rows = np.array([[0, 255], [255, 255]], dtype=np.uint8)
  >>> raw_pixels = normalization.fit_centered(rows, scale=255.0)
  >>> print(np.round(normalization.normalize(raw_pixels, rows[0]), 3))
  [-0.5  0. ]
"""

from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.typing import Array

# Rows summed in one go: bounds the float64 copy of a block of a memory map.
_ROWS_PER_BLOCK = 4096
# Of a feature's scale, that rounding to float32 may move rows apart by.
_ROUNDING = 0.02


class Normalization(NamedTuple):
    """An affine map of one example, feature by feature.

    Attributes:
      mean: subtracted first, in raw units, shape ``(features,)``.
      scale: divided by afterwards, in raw units, shape ``()`` or ``(features,)``.
    """

    mean: ArrayLike
    scale: ArrayLike


def normalize(normalization: Normalization, features: ArrayLike) -> Array:
    """Returns ``(features - mean) / scale`` for one example, shape ``(features,)``.

    Integer features are converted to the dtype of the mean, floating ones to the wider
    of the two, so that nothing is lost before the subtraction.
    """
    mean, scale = map(jnp.asarray, normalization)
    row = jnp.asarray(features)
    chex.assert_equal_shape([mean, row])
    dtype = mean.dtype
    if jnp.issubdtype(row.dtype, jnp.floating):
        dtype = jnp.promote_types(dtype, row.dtype)
    # One reciprocal and a product a pixel instead of a division a pixel.
    return (row.astype(dtype) - mean) * (1.0 / scale)


def check_normalization(
    normalization: Normalization, *, num_features: int
) -> Normalization:
    """Returns the normalization as floating arrays.

    Raises:
      ValueError: if it is no `Normalization`, not for rows of this width, or not
        finite, or a scale is 0.
    """
    if not isinstance(normalization, Normalization):
        raise ValueError(
            "normalization must be a jaxlin.normalization.Normalization or None, got "
            f"{normalization!r:.80}; fit_standard(features) makes one"
        )
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
    kinds = (
        part.dtype if part.dtype.kind == "f" else np.float32 for part in (mean, scale)
    )
    return Normalization(
        *(part.astype(kind) for part, kind in zip((mean, scale), kinds, strict=True))
    )


def identity(num_features: int) -> Normalization:
    """Returns the normalisation that changes nothing."""
    return Normalization(np.zeros(num_features, np.float32), np.float32(1.0))


def fit_centered(features: ArrayLike, *, scale: float) -> Normalization:
    """Fits the mean row; the scale is given (255 for 8-bit pixels).

    Args:
      features: training rows, shape ``(examples, features)``, on the host; may be a
        memory map, read in blocks.
      scale: what one unit of normalised feature is in raw units, above 0.

    Returns:
      The normalisation in float32; means are computed in float64.

    Raises:
      ValueError: if the features or the scale are not valid.
    """
    rows = check.features("features", features)
    check.number("scale", scale, above=0)
    mean = sum_of_rows(rows) / len(rows)
    return Normalization(mean.astype(np.float32), np.float32(scale))


def fit_standard(features: ArrayLike) -> Normalization:
    """Fits mean and standard deviation of each feature, as for standard scores.

    A feature that is constant in the training rows, up to rounding, gets scale 1, so
    that it becomes 0 there instead of NaN. Arguments and errors as `fit_centered`.
    """
    rows = check.features("features", features)
    mean = sum_of_rows(rows) / len(rows)
    return standard(mean, sum_of_squares(rows, mean) / len(rows))


def standard(mean: np.ndarray, variance: np.ndarray) -> Normalization:
    """What `fit_standard` makes of the moments of each feature, in float64."""
    deviation = np.sqrt(variance)
    rounding = 10 * np.finfo(np.float64).eps * np.abs(mean)
    constant = (deviation <= rounding) | (deviation < np.finfo(np.float32).tiny)
    scale = np.where(constant, 1.0, deviation)
    return Normalization(mean.astype(np.float32), scale.astype(np.float32))


def check_rounding(name: str, rows: np.ndarray, normalization: Normalization) -> None:
    """Raises a ValueError if float32 cannot tell float64 rows apart.

    Where JAX has no float64, rows lose digits before their mean is subtracted. A
    feature of which that moves some rows against others by more than a fiftieth of its
    scale is refused.
    """
    if rows.dtype != np.float64 or jnp.result_type(float) == np.float64:
        return
    low, high = np.full((2, rows.shape[1]), 0.0)
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        block = rows[start : start + _ROWS_PER_BLOCK]
        with np.errstate(over="ignore"):
            error = block - block.astype(np.float32)
        low = np.minimum(low, error.min(axis=0)) if start else error.min(axis=0)
        high = np.maximum(high, error.max(axis=0)) if start else error.max(axis=0)
    scale = np.broadcast_to(np.asarray(normalization.scale, float), low.shape)
    moved = (high - low) / scale
    worst = int(np.argmax(moved))
    if moved[worst] > _ROUNDING:
        raise ValueError(
            f"{name} must be told apart by float32, but of feature {worst}, with "
            f"values about {rows[0, worst]:g} and scale {scale[worst]:g}, rounding "
            f"moves some by {moved[worst]:.2g} scales; subtract a constant near its "
            "mean first, in training and test rows alike"
        )


def sum_of_rows(rows: np.ndarray) -> np.ndarray:
    """Sum of each feature in float64, shape ``(features,)``; rows as checked."""
    total = np.zeros(rows.shape[1], np.float64)
    for block in _blocks(rows):
        total += block.sum(axis=0)
    return total


def sum_of_squares(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Sum of the squared distance of each feature from its mean, in float64."""
    total = np.zeros_like(mean)
    for block in _blocks(rows):
        total += ((block - mean) ** 2).sum(axis=0)
    return total


def _blocks(rows: np.ndarray):
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        yield rows[start : start + _ROWS_PER_BLOCK].astype(np.float64)
