"""Rows of scipy.sparse, which stay sparse."""

from typing import Any

import numpy as np

from jaxlin.check import arrays, diagnosis, foreign


def sparse_features(name: str, value: Any, *, num_features: int | None = None) -> Any:
    """Returns rows of scipy.sparse with checked entries as CSR.

    Args:
      name: name of the rows in error messages.
      value: array or matrix of scipy.sparse of any format, shape ``(examples,
        features)``. ``uint8`` and floating dtypes are kept; booleans and other integers
        become float32, or float64 where float32 does not represent them exactly.
      num_features: required number of columns; None, the default, accepts any.

    Raises:
      ValueError: if the rows are empty, not numeric, of another width, contain NaN or
        infinity, or have indices outside their shape.
    """
    found = as_csr(name, value)
    arrays.check_layout(name, found, value, num_features=num_features)
    data = arrays.dense(name, found.data)
    if data.dtype.kind in "bui" and data.dtype != np.uint8:
        data = foreign.exact_floats(name, data)
    if data.dtype != np.uint8 and not np.isfinite(data).all():
        where = int(np.argmin(np.isfinite(data)))
        row = int(np.searchsorted(found.indptr, where, side="right")) - 1
        place = diagnosis.place((row, int(found.indices[where])), None)
        raise ValueError(
            f"{name} must be finite, got {data[where]} at {place}; drop or impute such "
            "values first"
        )
    return found if data.dtype == found.dtype else found.astype(data.dtype)


def as_csr(name: str, value: Any) -> Any:
    """Returns rows of scipy.sparse as CSR.

    Duplicate integer entries are summed in int64; scipy adds them in their own dtype,
    where two entries of 200 make 144 of uint8.

    Raises:
      ValueError: if the rows have indices outside their shape.
    """
    _check_indices(name, value)
    found = value.tocsr()
    # Lists of columns and dictionaries have their indices in arrays only now.
    _check_indices(name, found)
    is_narrow = value.dtype.kind in "iu" and value.dtype.itemsize < 8
    # COO loses its duplicates on the way to CSR; CSR and CSC keep theirs.
    if not is_narrow or (found.nnz == value.nnz and found.has_canonical_format):
        return found
    wide = value.astype(np.int64).tocsr()
    wide.sum_duplicates()
    narrow = wide.astype(value.dtype)
    return narrow if (narrow.data == wide.data).all() else wide


def _check_indices(name: str, value: Any) -> None:
    """Raises a ValueError for indices outside the shape.

    scipy does not check those of compressed formats when an array is made, and reads
    and writes outside its memory where such an array is converted.
    """
    if value.format == "coo":
        axes = ("row", "column")[-value.ndim :]
        for axis, indices, size in zip(axes, value.coords, value.shape, strict=True):
            _check_range(f"{name} must have {axis} indices", indices, size)
    if value.format not in ("csr", "csc", "bsr"):
        return
    axis, size = "column", value.shape[-1]
    if value.format == "csc":
        axis, size = "row", value.shape[0]
    if value.format == "bsr":
        axis, size = "block column", size // value.blocksize[1]
    starts = value.indptr
    if starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] > len(value.indices):
        raise ValueError(
            f"{name} must have an indptr that ascends from 0 to at most "
            f"{len(value.indices)}, the number of indices, got {starts[0]} to "
            f"{starts[-1]} with a least step of {np.diff(starts).min(initial=0)}; "
            "build the rows from coordinates by scipy.sparse.coo_array"
        )
    _check_range(f"{name} must have {axis} indices", value.indices[: starts[-1]], size)


def _check_range(rule: str, indices: np.ndarray, size: int) -> None:
    """Raises a ValueError that begins with the rule for indices not in [0, size)."""
    if not len(indices) or (indices.min() >= 0 and indices.max() < size):
        return
    where = int(np.argmax((indices < 0) | (indices >= size)))
    raise ValueError(
        f"{rule} in [0, {size - 1}], got {indices[where]} at entry {where}; count from "
        "0, and give shape=(examples, features) where the rows are built"
    )
