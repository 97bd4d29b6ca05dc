"""Rows that float32 cannot represent: rounding and overflow."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin.normalization import moments
from jaxlin.normalization.affine import Normalization

# Largest error from rounding a feature to float32, as a fraction of its scale.
_MAX_ROUNDING = 0.02
# Least scale of a feature without a normalisation, as a fraction of the largest spread.
_LEAST_SPREAD = 1e-4
# Normalised rows of a larger norm may overflow float32 where products are squared.
LARGEST_NORM = 1e12


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


def needs_float64(*arrays: Any) -> bool:
    """Returns whether float32 does not hold some float64 array exactly.

    Args:
      *arrays: arrays or numbers; None is skipped.
    """
    with np.errstate(over="ignore"):
        return any(
            getattr(array, "dtype", np.float64) == np.float64
            and not (np.asarray(array, np.float32) == array).all()
            for array in arrays
            if array is not None
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
    for block, _ in moments.weighted_blocks(rows, example_weights):
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
    mean, scale = (np.asarray(part, float) for part in normalization or (0.0, 1.0))
    too_large = np.zeros(len(unused), bool)
    for start in range(0, len(unused), moments.ROWS_PER_BLOCK):
        some = slice(start, start + moments.ROWS_PER_BLOCK)
        with np.errstate(over="ignore"):
            own = np.asarray(rows[unused[some]], np.float64)
            normalized = (own - mean) / scale
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
