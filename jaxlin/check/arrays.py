"""Checks of arrays of numbers: features and example weights."""

from typing import Any

import numpy as np

from jaxlin.check import diagnosis, foreign

# Smallest value allowed for the largest example weight: sums, and products with other
# weights and with losses, then stay far from both ends of the range of float32.
_LEAST_WEIGHT = 1e-12
# End of the message of another number of columns.
_REMEDY = "give the columns of the training rows, in their order"
# Rows checked at once, so that a check of a memory map does not load it whole.
_ROWS_PER_CHECK = 8192


def features(
    name: str,
    value: Any,
    *,
    num_features: int | None = None,
    remedy: str = _REMEDY,
    native: bool = True,
) -> np.ndarray:
    """Returns ``value`` as a dense array ``(examples, num_features)``.

    Args:
      name: name of the array in the error message.
      value: array-like, table or tensor, one row per example. ``uint8`` and floating
        dtypes are kept (float64 too); booleans and other integers become float32, or
        float64 where float32 does not represent them exactly.
      num_features: required number of columns; None, the default, accepts any.
      remedy: end of the error message of another number of columns.
      native: whether to convert non-native byte order, which copies the array.

    Returns:
      The array, shape ``(examples, num_features)``.

    Raises:
      ValueError: if the rows are sparse, ragged, empty, not numeric, of another rank or
        width, or contain NaN or infinity.
    """
    array = as_numbers(
        name, value, num_features=num_features, remedy=remedy, native=native
    )
    if array.dtype != np.uint8:
        check_finite(name, array, columns=foreign.column_names(value))
    return array


def as_numbers(
    name: str,
    value: Any,
    *,
    num_features: int | None = None,
    remedy: str = _REMEDY,
    native: bool = True,
) -> np.ndarray:
    """Returns `features` that need not be finite; arguments and errors are the same."""
    array = foreign.of_numbers(dense(name, value, native=native))
    check_layout(name, array, value, num_features=num_features, remedy=remedy)
    is_kept = array.dtype == np.uint8 or array.dtype.kind not in "bui"
    return array if is_kept else foreign.exact_floats(name, array)


def check_layout(
    name: str,
    array: Any,
    value: Any,
    *,
    num_features: int | None = None,
    remedy: str = _REMEDY,
) -> None:
    """Raises a ValueError unless an array has the dtype and the shape of features.

    Args:
      name: name of the array in the error message.
      array: array of any library with the attributes of NumPy's.
      value: what was given in its place.
      num_features: required number of columns; None accepts any.
      remedy: end of the error message of another number of columns.
    """
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise ValueError(
            f"{name} must be of float64 at most, got {array.dtype}, whose digits would "
            "be lost; use .astype(float)"
        )
    if array.dtype.name.startswith(("float4_", "float6_", "float8_")):
        raise ValueError(
            f"{name} must be of float16 or bfloat16 at least, got {array.dtype}, which "
            "JAX does not promote; use .astype(np.float32)"
        )
    if array.dtype.kind not in "buif" and array.dtype.name != "bfloat16":
        columns = foreign.column_names(value) or getattr(value, "columns", None)
        array = np.asarray(array.data if foreign.is_sparse(array) else array)
        raise ValueError(
            f"{name} must hold uint8 or floating-point numbers, got "
            f"{diagnosis.of_features(array, columns=columns)}"
        )
    if array.ndim != 2:
        remedy = "flatten each example to one row"
        if array.ndim == 1:
            remedy = "give one example as x[None], one feature of many as x[:, None]"
        raise ValueError(
            f"{name} must have shape (examples, features), got shape {array.shape}; "
            f"{remedy}"
        )
    if 0 in array.shape:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if num_features is not None and array.shape[1] != num_features:
        raise ValueError(
            f"{name} must have {diagnosis.counted(num_features, 'feature')}, got "
            f"{array.shape[1]}; {remedy}"
        )


def check_finite(
    name: str, array: np.ndarray, *, columns: tuple[str, ...] | None = None
) -> None:
    """Raises a ValueError that names the first NaN or infinity."""
    for start in range(0, len(array), _ROWS_PER_CHECK):
        bad = ~np.isfinite(array[start : start + _ROWS_PER_CHECK])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            found = array[start + row, column]
            raise ValueError(
                f"{name} must be finite, got {found} at "
                f"{diagnosis.place((start + row, column), columns)}; drop or impute "
                "such values first"
            )


def one_per_example(name: str, count: int, *, num_examples: int) -> None:
    """Raises a ValueError unless an array has as many entries as there are examples."""
    if count != num_examples:
        raise ValueError(
            f"{name} must have one entry per example, got {count} for "
            f"{diagnosis.counted(num_examples, 'example')}; give both for the same "
            "rows, in the same order"
        )


def example_weights(
    name: str, value: Any, *, num_examples: int, is_part: bool = False
) -> np.ndarray:
    """Returns weights ``(examples,)``, non-negative with a positive sum.

    The result is float64 for float64 input and float32 otherwise. If the examples are
    only a part of the data (``is_part``), all their weights may be 0.
    """
    array = foreign.of_numbers(dense(name, value))
    if array.dtype.kind not in "buif" and array.dtype.name != "bfloat16":
        raise ValueError(f"{name} must be numbers, got {value!r:.80}")
    array = as_float(array)
    if array.shape != (num_examples,):
        raise ValueError(
            f"{name} must have shape ({num_examples},), got shape {array.shape}"
        )
    is_bad = ~(np.isfinite(array) & (array >= 0))
    if is_bad.any():
        row = int(np.argmax(is_bad))
        raise ValueError(
            f"{name} must be finite and at least 0, got {array[row]} at row {row}; "
            "give 0 to leave an example out"
        )
    largest = float(array.max(initial=0))
    if not is_part and largest == 0:
        raise ValueError(
            f"{name} must have a positive sum, got 0.0: every example is left out"
        )
    weight_size(name, max(largest, _LEAST_WEIGHT) if is_part else largest)
    return array


def weight_size(name: str, largest: float) -> None:
    """Raises a ValueError if products with the weights may leave the float32 range.

    Args:
      name: name of the weights in the error message.
      largest: largest of the weights, above 0.
    """
    if not _LEAST_WEIGHT <= largest <= 1 / _LEAST_WEIGHT:
        raise ValueError(
            f"{name} must have their largest between {_LEAST_WEIGHT:g} and "
            f"{1 / _LEAST_WEIGHT:g}, got {largest:g}; divide them by their mean, which "
            "changes no objective"
        )


def dense(name: str, value: Any, *, native: bool = True) -> np.ndarray:
    """Returns a value as a NumPy array of any dtype.

    Args:
      name: name of the value in error messages.
      value: array-like, table or tensor (`jaxlin.check.foreign.as_numpy`).
      native: whether to convert non-native byte order, which copies the array; JAX
        takes no other.

    Raises:
      ValueError: if the value is sparse, masked, ragged, traced or not an array.
    """
    if foreign.is_sparse(value) or hasattr(value, "todense"):
        raise ValueError(
            f"{name} must be dense, got sparse {type(value).__name__}; rows of "
            "scipy.sparse are for jaxlin.problem and for predictions, here call "
            ".toarray() if it fits in memory"
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{name} must be without missing entries, got a masked array with "
            f"{np.ma.count_masked(value)} masked; drop or impute them first"
        )
    array = foreign.as_numpy(name, value)
    if native and not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.ndim == 0 and array.dtype == object:
        remedy = "; call .collect()" if hasattr(value, "collect") else ""
        raise ValueError(
            f"{name} must be an array, got a {type(value).__name__}{remedy}"
        )
    return array


def as_float(array: np.ndarray) -> np.ndarray:
    """Converts float64 to itself, all other dtypes to float32."""
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32)
