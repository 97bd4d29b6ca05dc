"""Input normalisation: fitted once on training rows, applied to one example.

The map is ``(x - mean) / scale``, with mean and scale in the units of the raw features.
Raw rows, such as uint8 pixels, stay raw in memory: the normalisation is applied inside
the compiled step, or folded into the parameters (`jaxlin.linear.fold_normalization`). A
pass on a CPU never makes a float copy of the data set.

All figures of the documentation use "raw pixels", that is ``fit_centered(features,
scale=255.0)``: pixel / 255, minus the mean training image divided by 255.

  >>> import numpy as np
  >>> from jaxlin import normalization
  >>> rows = np.array([[0, 255], [255, 255]], dtype=np.uint8)
  >>> raw_pixels = normalization.fit_centered(rows, scale=255.0)
  >>> print(np.round(normalization.normalize(raw_pixels, rows[0]), 3))
  [-0.5  0. ]
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.typing import Array

# Rows summed at once: bounds the float64 copy of a block of a memory map.
_ROWS_PER_BLOCK = 4096
# Largest error from rounding a feature to float32, as a fraction of its scale.
_MAX_ROUNDING = 0.02
# Least scale of a feature without a normalisation, as a fraction of the largest spread.
_LEAST_SPREAD = 1e-4
# Devices flush numbers below 2^-126 to 0 (2^-1022 in float64). With a scale of at least
# this, the normalised error of that is below one unit of roundoff of 1; and 1 / scale
# is a normal number for scales up to the inverse.
_LEAST_SCALE = 2.0**-100
# Normalised rows of a larger norm may overflow float32 where products are squared.
LARGEST_NORM = 1e12


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
            f"{normalization!r:.80}; fit_standard(features) makes one, and "
            "jaxlin.problem also takes the function fit_standard itself"
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
    """Converts float64 and longer floats to float64, all other dtypes to float32."""
    is_wide = part.dtype.kind == "f" and part.dtype.itemsize >= 8
    return part.astype(np.float64 if is_wide else np.float32)


def _check_range(mean: np.ndarray, scale: np.ndarray, rule: str) -> None:
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


def fit_centered(
    features: ArrayLike, *, scale: float, example_weights: ArrayLike | None = None
) -> Normalization:
    """Fits the mean row, for a given scale (255 for 8-bit pixels).

    Args:
      features: training rows, shape ``(examples, features)``, on the host; may be a
        memory map, which is read in blocks.
      scale: length of one normalised unit in raw units, above 0.
      example_weights: shape ``(examples,)``, non-negative; None is all ones. Rows of
        weight 0 have no influence but must be finite.

    Returns:
      The normalisation. It is computed in float64, and returned in float64 for float64
      rows and in float32 otherwise.

    Raises:
      ValueError: if an argument is invalid, or if a mean or the scale is outside the
        range of float32.
    """
    rows, weights = check_rows(features, example_weights)
    check.number("scale", scale, above=0)
    shift = first_weighted_row(rows, weights)
    total, count, _ = sums_of_rows(rows, weights=weights, shift=shift)
    return from_mean(shift + total / count, scale, dtype=rows.dtype)


def from_mean(mean: np.ndarray, scale: float, *, dtype: np.dtype) -> Normalization:
    """Returns the result of `fit_centered` for a given mean.

    The mean row is float64, shape ``(features,)``; ``dtype`` is that of the rows, of
    which float64 gives a float64 result and any other a float32 one.
    """
    _check_range(mean, np.asarray(scale), "the normalization must have")
    kind = np.float64 if dtype == np.float64 else np.float32
    return Normalization(mean.astype(kind), kind(scale))


def fit_standard(
    features: ArrayLike, *, example_weights: ArrayLike | None = None
) -> Normalization:
    """Fits mean and standard deviation of each feature (standard scores).

    A feature that is constant in the training rows, up to ten roundoffs of float64,
    gets scale 1, so that its normalised training values are 0 instead of NaN.

    Args:
      features: training rows, shape ``(examples, features)``, on the host; may be a
        memory map, which is read in blocks.
      example_weights: shape ``(examples,)``, non-negative; None is all ones. Rows of
        weight 0 have no influence but must be finite.

    Returns:
      The normalisation. It is computed in float64, and returned in float64 for float64
      rows and in float32 otherwise.

    Raises:
      ValueError: if an argument is invalid, or if a mean or a standard deviation other
        than 0 is outside the range of float32.
    """
    rows, weights = check_rows(features, example_weights)
    shift = first_weighted_row(rows, weights)
    total, count, spread = sums_of_rows(rows, weights=weights, shift=shift)
    mean = shift + total / count
    squares = sum_of_squares(rows, weights=weights, mean=mean, unit=spread)
    return from_moments(mean, spread * np.sqrt(squares / count), dtype=rows.dtype)


def from_moments(
    mean: np.ndarray, deviation: np.ndarray, *, dtype: np.dtype
) -> Normalization:
    """Returns the result of `fit_standard` for given moments.

    Mean and standard deviation are float64, shape ``(features,)``; ``dtype`` is that of
    the rows, of which float64 gives a float64 result and any other a float32 one.
    """
    is_constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    scale = np.where(is_constant, 1.0, deviation)
    _check_range(mean, scale, "features that are not constant must have")
    kind = np.float64 if dtype == np.float64 else np.float32
    return Normalization(mean.astype(kind), scale.astype(kind))


def check_rounding(
    name: str,
    rows: np.ndarray,
    normalization: Normalization | None,
    *,
    example_weights: np.ndarray | None = None,
) -> None:
    """Raises a ValueError if rounding to float32 spoils float64 rows.

    Where float64 is not enabled in JAX, rows and mean are rounded to float32 before the
    subtraction. A feature is rejected if that changes the normalised value of some row
    by more than 0.02. Without a normalisation its values count in standard deviations,
    of the feature or a ten-thousandth of the largest, below which a feature hardly
    matters. Rows of weight 0 are ignored.

    Args:
      name: name of the rows in the error message.
      rows: checked rows, shape ``(examples, features)``; only float64 is examined.
      normalization: the normalisation to be applied to the rows, or None.
      example_weights: shape ``(examples,)``, non-negative; None is all ones.
    """
    if rows.dtype != np.float64 or jnp.result_type(float) == np.float64:
        return
    worst = _worst_rounding(rows, normalization, example_weights)
    if worst is not None:
        raise ValueError(
            f"{name} must be told apart by float32, but of feature {worst.feature}, "
            f"with values about {worst.mean:g} and scale {worst.scale:g}, rounding "
            f"moves some by {worst.moves:.2g} scales; subtract a constant near its "
            "mean first, in training and test rows alike"
        )


def is_spoiled_by_float32(
    rows: np.ndarray,
    normalization: Normalization | None,
    *,
    example_weights: np.ndarray | None = None,
) -> bool:
    """Returns whether `check_rounding` would refuse the rows without float64."""
    if rows.dtype != np.float64:
        return False
    return _worst_rounding(rows, normalization, example_weights) is not None


class _Rounding(NamedTuple):
    """Feature that rounding spoils most, by how many of its scales."""

    feature: int
    mean: float
    scale: float
    moves: float


def _worst_rounding(
    rows: np.ndarray,
    normalization: Normalization | None,
    example_weights: np.ndarray | None,
) -> _Rounding | None:
    """Feature that moves most, if by more than the limit."""
    low, high = np.full((2, rows.shape[1]), [[np.inf], [-np.inf]])
    count, total, squares = 0, np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    origin: Any = None
    for block, _ in _blocks(rows, example_weights):
        with np.errstate(over="ignore", invalid="ignore"):
            error = block - block.astype(np.float32)
            origin = block[0] if origin is None and len(block) else origin
            shifted = block - origin
            count, total = count + len(block), total + shifted.sum(axis=0)
            squares = squares + np.square(shifted).sum(axis=0)
        low = np.minimum(low, error.min(axis=0))
        high = np.maximum(high, error.max(axis=0))
    if not (low <= high).all():
        return None
    if normalization is None:
        with np.errstate(over="ignore", invalid="ignore"):
            mean = origin + total / count
            scale = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
        # What rounding does to all rows alike the bias takes up.
        common = (low + high) / 2
        scale = np.maximum(scale, _LEAST_SPREAD * np.nanmax(scale))
        if not np.isfinite(scale).all() or not scale.all():
            return None
    else:
        mean, scale = (np.asarray(part, np.float64) for part in normalization)
        # The rounding error of the mean is common to all rows; of a constant feature,
        # the rounding error of the values is too.
        common = mean - mean.astype(np.float32)
        scale = np.broadcast_to(np.abs(scale), low.shape)
    moves = np.maximum(np.abs(low - common), np.abs(high - common)) / scale
    worst = int(np.argmax(moves))
    if moves[worst] <= _MAX_ROUNDING:
        return None
    return _Rounding(worst, mean[worst], scale[worst], moves[worst])


def without_overflow(
    rows: np.ndarray,
    example_weights: ArrayLike | None,
    normalization: Normalization | None,
) -> np.ndarray:
    """Returns the rows, with overflowing rows of weight 0 replaced by the mean.

    A row of weight 0 whose computation overflows would contribute inf * 0 = NaN. Such
    rows are replaced by the mean (by 0 without a normalisation), in a copy that is made
    only if there are any.

    Args:
      rows: checked rows, shape ``(examples, features)``.
      example_weights: shape ``(examples,)``, non-negative; None is all ones.
      normalization: the normalisation to be applied to the rows, or None.
    """
    if example_weights is None or rows.dtype == np.uint8:
        return rows
    unused = np.flatnonzero(~has_weight(example_weights))
    if not len(unused):
        return rows
    rows = np.asarray(rows)
    mean, scale = (np.asarray(part, float) for part in normalization or (0.0, 1.0))
    too_large = np.zeros(len(unused), bool)
    for start in range(0, len(unused), _ROWS_PER_BLOCK):
        some = slice(start, start + _ROWS_PER_BLOCK)
        with np.errstate(over="ignore"):
            normalized = (rows[unused[some]].astype(np.float64) - mean) / scale
            norms = np.sqrt(np.square(normalized).sum(axis=1))
        too_large[some] = ~(norms < LARGEST_NORM / 2)
    if not too_large.any():
        return rows
    rows = np.array(rows)
    rows[unused[too_large]] = mean.astype(rows.dtype)
    return rows


def has_weight(example_weights: ArrayLike) -> np.ndarray:
    """Returns the mask of examples whose weight is not 0 as a float32 on the device."""
    return np.asarray(example_weights) >= np.finfo(np.float32).tiny


def check_rows(
    features: ArrayLike, example_weights: ArrayLike | None, *, is_part: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns checked rows and their checked weights, in float64, for the moments."""
    rows = check.features("features", features)
    if example_weights is None:
        return rows, None
    weights = check.example_weights(
        "example_weights", example_weights, num_examples=len(rows), is_part=is_part
    )
    return rows, weights.astype(np.float64)


def first_weighted_row(rows: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Returns the first row of positive weight in float64; all inf if there is none."""
    first = 0 if weights is None else int(np.argmax(weights > 0))
    if weights is not None and not weights[first] > 0:
        return np.full(rows.shape[1], np.inf)
    return rows[first].astype(np.float64)


def sums_of_rows(
    rows: np.ndarray, *, weights: np.ndarray | None = None, shift: ArrayLike = 0.0
) -> tuple[np.ndarray, float, np.ndarray]:
    """Returns the weighted sums of the rows less ``shift``, in float64.

    If the shift is one of the rows, the sum of a constant feature is exactly 0 and its
    mean therefore exact.

    Args:
      rows: checked rows, shape ``(examples, features)``.
      weights: float64 weights, shape ``(examples,)``; None is all ones.
      shift: vector subtracted from each row, shape ``()`` or ``(features,)``.

    Returns:
      ``(sums, total_weight, spread)``: weighted sum and largest absolute value of each
      shifted feature have shape ``(features,)``, the total weight is a float.
    """
    total, spread = np.zeros((2, rows.shape[1]))
    # `_check_range` rejects infinite sums afterwards.
    with np.errstate(over="ignore", invalid="ignore"):
        for block, some in _blocks(rows, weights):
            for end in (block.min(axis=0), block.max(axis=0)):
                spread = np.maximum(spread, np.abs(end.astype(np.float64) - shift))
            shifted = np.subtract(block, shift, dtype=np.float64)
            total += shifted.sum(axis=0) if some is None else some @ shifted
    count = len(rows) if weights is None else float(weights.sum())
    return total, count, spread


def sum_of_squares(
    rows: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    mean: np.ndarray,
    unit: np.ndarray,
) -> np.ndarray:
    """Returns the weighted sum of squared deviations of each feature, in float64.

    The deviations are divided by ``unit`` (by 1 where it is 0) before they are squared,
    so that no square underflows or overflows; the sums, shape ``(features,)``, are in
    units of its square.
    """
    total, unit = np.zeros_like(mean), np.where(unit > 0, unit, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        for block, some in _blocks(rows, weights):
            squares = np.subtract(block, mean, dtype=np.float64)
            squares /= unit
            np.square(squares, out=squares)
            total += squares.sum(axis=0) if some is None else some @ squares
    return total


def _blocks(
    rows: np.ndarray, weights: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields blocks of the rows of positive weight, with their weights."""
    for start in range(0, len(rows), _ROWS_PER_BLOCK):
        block, some = rows[start : start + _ROWS_PER_BLOCK], None
        if weights is not None:
            some = np.asarray(weights[start : start + _ROWS_PER_BLOCK])
            block, some = block[some > 0], some[some > 0]
        if len(block):
            yield block, some
