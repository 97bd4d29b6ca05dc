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

from collections.abc import Iterator
from typing import NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.typing import Array

# Rows summed in one go: bounds the float64 copy of a block of a memory map.
_ROWS_PER_BLOCK = 4096
# Of a feature's scale, that rounding to float32 may move rows by.
_ROUNDING = 0.02
# Devices take numbers below 2^-126 for 0 (2^-1022 in float64). Where a scale is at
# least this, what they lose so is less than a roundoff of 1 once it is normalised; and
# 1 / scale is a normal number up to the inverse.
_LEAST_SCALE = 2.0**-100
# Normalised rows of a larger norm may overflow float32 where products are squared.
LARGEST_NORM = 1e12


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
    _check_range(mean, scale, "normalization must have")
    return Normalization(*map(_floating, (mean, scale)))


def _floating(part: np.ndarray) -> np.ndarray:
    """In float64 or longer as float64, in anything else as float32."""
    is_wide = part.dtype.kind == "f" and part.dtype.itemsize >= 8
    return part.astype(np.float64 if is_wide else np.float32)


def _check_range(mean: np.ndarray, scale: np.ndarray, rule: str) -> None:
    """Raises a ValueError for numbers that are lost, or overflow, on the device."""
    far = ~(np.abs(np.float64(mean)) <= np.finfo(np.float32).max)
    sizes = np.broadcast_to(np.abs(np.float64(scale)), mean.shape)
    wrong = ~((sizes >= _LEAST_SCALE) & (sizes <= 1 / _LEAST_SCALE))
    for is_out, what, values in (
        (far, f"means within {np.finfo(np.float32).max:.2g} of 0", mean),
        (wrong, f"scales from {_LEAST_SCALE:.2g} to {1 / _LEAST_SCALE:.2g}", sizes),
    ):
        if is_out.any():
            worst = int(np.argmax(is_out))
            raise ValueError(
                f"{rule} {what}, which float32 computes with, got {values[worst]:g} "
                f"for feature {worst}; multiply that feature by a constant first, in "
                "training and test rows alike"
            )


def identity(num_features: int) -> Normalization:
    """Returns the normalisation that changes nothing."""
    return Normalization(np.zeros(num_features, np.float32), np.float32(1.0))


def fit_centered(
    features: ArrayLike, *, scale: float, example_weights: ArrayLike | None = None
) -> Normalization:
    """Fits the mean row; the scale is given (255 for 8-bit pixels).

    Args:
      features: training rows, shape ``(examples, features)``, on the host; may be a
        memory map, read in blocks.
      scale: what one unit of normalised feature is in raw units, above 0.
      example_weights: shape ``(examples,)``, non-negative; None is all ones. Rows of
        weight 0 count for nothing, whatever they hold, but must be finite.

    Returns:
      The normalisation, computed in float64: in float64 for rows of float64, else in
      float32.

    Raises:
      ValueError: if an argument is not valid, or if the means, or the scale, are too
        large or too small for float32.
    """
    rows, weights = checked_rows(features, example_weights)
    check.number("scale", scale, above=0)
    shift = counted_row(rows, weights)
    total, count, _ = sums_of_rows(rows, weights=weights, shift=shift)
    return centered(shift + total / count, scale, dtype=rows.dtype)


def centered(mean: np.ndarray, scale: float, *, dtype: np.dtype) -> Normalization:
    """The result of `fit_centered` for a mean in float64 of rows of this dtype."""
    _check_range(mean, np.asarray(scale), "the normalization must have")
    kind = np.float64 if dtype == np.float64 else np.float32
    return Normalization(mean.astype(kind), kind(scale))


def fit_standard(
    features: ArrayLike, *, example_weights: ArrayLike | None = None
) -> Normalization:
    """Fits mean and standard deviation of each feature, as for standard scores.

    A feature that is constant in the training rows, up to ten roundoffs of float64,
    gets scale 1, so that it becomes 0 there instead of NaN. Arguments and errors as
    `fit_centered`; also a ValueError for a deviation that is not 0 and too small for
    float32.
    """
    rows, weights = checked_rows(features, example_weights)
    shift = counted_row(rows, weights)
    total, count, spread = sums_of_rows(rows, weights=weights, shift=shift)
    mean = shift + total / count
    squares = sum_of_squares(rows, weights=weights, mean=mean, unit=spread)
    return standard(mean, spread * np.sqrt(squares / count), dtype=rows.dtype)


def standard(
    mean: np.ndarray, deviation: np.ndarray, *, dtype: np.dtype
) -> Normalization:
    """The result of `fit_standard` for float64 moments of rows of this dtype."""
    constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    scale = np.where(constant, 1.0, deviation)
    _check_range(mean, scale, "features that are not constant must have")
    kind = np.float64 if dtype == np.float64 else np.float32
    return Normalization(mean.astype(kind), scale.astype(kind))


def check_rounding(
    name: str,
    rows: np.ndarray,
    normalization: Normalization,
    *,
    example_weights: np.ndarray | None = None,
) -> None:
    """Raises a ValueError if float32 does not hold what float64 rows are normalised to.

    Where JAX has no float64, rows and their mean lose digits before they are
    subtracted. A feature of which that moves some row by more than a fiftieth of its
    scale is refused. Rows of weight 0 are not looked at.
    """
    if rows.dtype != np.float64 or jnp.result_type(float) == np.float64:
        return
    low, high = np.full((2, rows.shape[1]), [[np.inf], [-np.inf]])
    for block, _ in _blocks(rows, example_weights):
        with np.errstate(over="ignore"):
            error = block - block.astype(np.float32)
        low = np.minimum(low, error.min(axis=0))
        high = np.maximum(high, error.max(axis=0))
    mean, scale = (np.asarray(part, np.float64) for part in normalization)
    # The mean's own rounding is the same for all rows; a constant feature's too.
    common = mean - mean.astype(np.float32)
    scale = np.broadcast_to(np.abs(scale), low.shape)
    moved = np.maximum(np.abs(low - common), np.abs(high - common)) / scale
    worst = int(np.argmax(moved))
    if (low <= high).all() and not moved[worst] <= _ROUNDING:
        raise ValueError(
            f"{name} must be told apart by float32, but of feature {worst}, with "
            f"values about {mean[worst]:g} and scale {scale[worst]:g}, rounding "
            f"moves some by {moved[worst]:.2g} scales; subtract a constant near its "
            "mean first, in training and test rows alike"
        )


def without_junk(
    rows: np.ndarray,
    example_weights: ArrayLike | None,
    normalization: Normalization | None,
) -> np.ndarray:
    """Rows in which those of weight 0 cannot overflow where they are multiplied by 0.

    Those too large to compute with are put at the mean (without normalisation at 0), in
    a copy that is made only if there are any.
    """
    if example_weights is None or rows.dtype == np.uint8:
        return rows
    out = np.flatnonzero(~counts(example_weights))
    if not len(out):
        return rows
    rows = np.asarray(rows)
    mean, scale = (np.asarray(part, float) for part in normalization or (0.0, 1.0))
    too_large = np.zeros(len(out), bool)
    for start in range(0, len(out), _ROWS_PER_BLOCK):
        some = slice(start, start + _ROWS_PER_BLOCK)
        with np.errstate(over="ignore"):
            units = (rows[out[some]].astype(np.float64) - mean) / scale
            norms = np.sqrt(np.square(units).sum(axis=1))
        too_large[some] = ~(norms < LARGEST_NORM / 2)
    if not too_large.any():
        return rows
    rows = np.array(rows)
    rows[out[too_large]] = mean.astype(rows.dtype)
    return rows


def counts(example_weights: ArrayLike) -> np.ndarray:
    """Mask of the examples that count on the device, where float32 has weights."""
    return np.asarray(example_weights) >= np.finfo(np.float32).tiny


def checked_rows(
    features: ArrayLike, example_weights: ArrayLike | None, *, is_part: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows and weights that moments can be taken of, checked."""
    rows = check.features("features", features)
    if example_weights is None:
        return rows, None
    weights = check.example_weights(
        "example_weights", example_weights, num_examples=len(rows), is_part=is_part
    )
    return rows, weights.astype(np.float64)


def counted_row(rows: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The first row that has weight, in float64; infinity if none has."""
    first = 0 if weights is None else int(np.argmax(weights > 0))
    if weights is not None and not weights[first] > 0:
        return np.full(rows.shape[1], np.inf)
    return rows[first].astype(np.float64)


def sums_of_rows(
    rows: np.ndarray, *, weights: np.ndarray | None = None, shift: ArrayLike = 0.0
) -> tuple[np.ndarray, float, np.ndarray]:
    """Weighted sums in float64 of each feature's distance from ``shift``.

    With a row for the shift those of a constant feature are exactly 0, and so its mean
    is exact.

    Args:
      rows: as checked, shape ``(examples, features)``.
      weights: in float64, or None for all ones.
      shift: subtracted first, shape ``()`` or ``(features,)``.

    Returns:
      The sum and the largest absolute value of each feature, shape ``(features,)``, and
      between them the sum of the weights.
    """
    total, spread = np.zeros((2, rows.shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is met afterwards
        for block, some in _blocks(rows, weights):
            for end in (block.min(axis=0), block.max(axis=0)):
                spread = np.maximum(spread, np.abs(end.astype(np.float64) - shift))
            less = np.subtract(block, shift, dtype=np.float64)
            total += less.sum(axis=0) if some is None else some @ less
    count = len(rows) if weights is None else float(weights.sum())
    return total, count, spread


def sum_of_squares(
    rows: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    mean: np.ndarray,
    unit: np.ndarray,
) -> np.ndarray:
    """Weighted sum of the squared distance of each feature from its mean, in float64.

    In units of ``unit`` (where that is not 0), so that no square is lost or overflows.
    """
    total, unit = np.zeros_like(mean), np.where(unit > 0, unit, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        for block, some in _blocks(rows, weights):
            units = np.subtract(block, mean, dtype=np.float64)
            units /= unit
            np.square(units, out=units)
            total += units.sum(axis=0) if some is None else some @ units
    return total


def _blocks(
    rows: np.ndarray, weights: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Rows that have weight, some at a time, and their weights."""
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        block, some = rows[start : start + _ROWS_PER_BLOCK], None
        if weights is not None:
            some = np.asarray(weights[start : start + _ROWS_PER_BLOCK])
            block, some = block[some > 0], some[some > 0]
        if len(block):
            yield block, some
