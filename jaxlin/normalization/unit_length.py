"""Rows scaled to Euclidean length 1, each by itself."""

import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.normalization.moments import ROWS_PER_BLOCK


def unit_rows(features: ArrayLike, *, out: np.ndarray | None = None) -> np.ndarray:
    """Divides each row by its Euclidean length (L2 normalisation); rows of 0 stay 0.

    Nothing is fitted: training, validation and test rows are scaled alike, before they
    are given to a fit. Rows are read in blocks, and the result has their dtype if it is
    floating, float32 otherwise.

    Args:
      features: rows, shape ``(examples, features)``; may be a memory map.
      out: array for the result, such as a memory map from `numpy.lib.format` where it
        does not fit into memory, or the rows themselves; None makes one.

    Raises:
      ValueError: if the rows are not finite numbers, or ``out`` has another shape or is
        not floating.

    Example:
      >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
      array([[0.6, 0.8],
             [0. , 0. ]])
    """
    rows = check.features("features", features)
    is_floating = rows.dtype.kind == "f" or rows.dtype.name == "bfloat16"
    if out is None:
        out = np.empty(rows.shape, rows.dtype if is_floating else np.float32)
    if out.shape != rows.shape or out.dtype.kind in "bui":
        raise ValueError(
            f"out must be floating of shape {rows.shape}, got {out.dtype} of shape "
            f"{out.shape}"
        )
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        block = rows[start : start + ROWS_PER_BLOCK].astype(np.float64)
        # Divided by the largest entry first: no square overflows or vanishes.
        largest = np.abs(block).max(axis=1, keepdims=True, initial=0)
        block /= np.where(largest > 0, largest, 1)
        length = np.sqrt(np.square(block).sum(axis=1, keepdims=True))
        out[start : start + ROWS_PER_BLOCK] = block / np.where(length > 0, length, 1)
    return out
