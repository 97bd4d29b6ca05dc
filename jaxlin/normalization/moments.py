"""Mean and standard deviation of the features of some rows, and the fits from them."""

from collections.abc import Iterator

import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.normalization.affine import Normalization, check_range
from jaxlin.numerics import row_arrays
from jaxlin.numerics.row_arrays import Rows

# Rows summed at once: bounds the float64 copy of a block of a memory map.
ROWS_PER_BLOCK = 4096


def fit_centered(
    features: ArrayLike, *, scale: float, example_weights: ArrayLike | None = None
) -> Normalization:
    """Fits the mean row, for a given scale (255 for 8-bit pixels).

    Args:
      features: training rows, shape ``(examples, features)``; a memory map, rows on
        the device and sparse rows are read in blocks.
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
    check_range(mean, np.asarray(scale), "the normalization must have")
    kind = np.float64 if dtype == np.float64 else np.float32
    return Normalization(mean.astype(kind), kind(scale))


def fit_standard(
    features: ArrayLike, *, example_weights: ArrayLike | None = None
) -> Normalization:
    """Fits mean and standard deviation of each feature (standard scores).

    A feature that is constant in the training rows, up to ten roundoffs of float64,
    gets scale 1, so that its normalised training values are 0 instead of NaN.

    Args:
      features: training rows, shape ``(examples, features)``; a memory map, rows on
        the device and sparse rows are read in blocks.
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
    check_range(mean, scale, "features that are not constant must have")
    kind = np.float64 if dtype == np.float64 else np.float32
    return Normalization(mean.astype(kind), scale.astype(kind))


def check_rows(
    features: ArrayLike, example_weights: ArrayLike | None, *, is_part: bool = False
) -> tuple[Rows, np.ndarray | None]:
    """Returns checked rows and their checked weights, in float64, for the moments."""
    rows = row_arrays.rows("features", features, native=False)
    if example_weights is None:
        return rows, None
    weights = check.example_weights(
        "example_weights", example_weights, num_examples=rows.shape[0], is_part=is_part
    )
    return rows, weights.astype(np.float64)


def first_weighted_row(rows: Rows, weights: np.ndarray | None) -> np.ndarray:
    """Returns the first row of positive weight in float64; all inf if there is none."""
    first = 0 if weights is None else int(np.argmax(weights > 0))
    if weights is not None and not weights[first] > 0:
        return np.full(rows.shape[1], np.inf)
    return row_arrays.block("features", rows[first : first + 1])[0].astype(np.float64)


def sums_of_rows(
    rows: Rows, *, weights: np.ndarray | None = None, shift: ArrayLike = 0.0
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
    # `check_range` rejects infinite sums afterwards.
    with np.errstate(over="ignore", invalid="ignore"):
        for block, some in weighted_blocks(rows, weights):
            for end in (block.min(axis=0), block.max(axis=0)):
                spread = np.maximum(spread, np.abs(end.astype(np.float64) - shift))
            shifted = np.subtract(block, shift, dtype=np.float64)
            total += shifted.sum(axis=0) if some is None else some @ shifted
    count = rows.shape[0] if weights is None else float(weights.sum())
    return total, count, spread


def sum_of_squares(
    rows: Rows,
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
        for block, some in weighted_blocks(rows, weights):
            squares = np.subtract(block, mean, dtype=np.float64)
            squares /= unit
            np.square(squares, out=squares)
            total += squares.sum(axis=0) if some is None else some @ squares
    return total


def weighted_blocks(
    rows: Rows, weights: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Yields dense blocks of the rows of positive weight, with their weights."""
    for start in range(0, rows.shape[0], ROWS_PER_BLOCK):
        block = row_arrays.block("features", rows[start : start + ROWS_PER_BLOCK])
        some = None
        if weights is not None:
            some = np.asarray(weights[start : start + ROWS_PER_BLOCK])
            block, some = block[some > 0], some[some > 0]
        if len(block):
            yield block, some
