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
      ValueError: if the rows are empty, not numeric, of another width, or contain NaN
        or infinity.
    """
    found = as_csr(value)
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


def as_csr(value: Any) -> Any:
    """Returns rows of scipy.sparse as CSR; integers given twice are added as int64.

    scipy adds them in their own dtype, where two entries of 200 make 144 of uint8.
    """
    found = value.tocsr()
    is_narrow = value.dtype.kind in "iu" and value.dtype.itemsize < 8
    # COO loses its duplicates on the way to CSR; CSR and CSC keep theirs.
    if not is_narrow or (found.nnz == value.nnz and found.has_canonical_format):
        return found
    wide = value.astype(np.int64).tocsr()
    wide.sum_duplicates()
    narrow = wide.astype(value.dtype)
    return narrow if (narrow.data == wide.data).all() else wide
