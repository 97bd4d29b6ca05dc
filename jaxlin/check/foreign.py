"""Arrays and tables of other libraries, recognised by their protocols.

Objects of pandas, polars, PyArrow, PyTorch, CuPy, scipy.sparse and JAX are recognised
and read by ``__array__``, DLPack (``__dlpack__``), columns or ``tocsr``. None of these
libraries is imported for it.

  >>> import numpy as np
  >>> from jaxlin.check import foreign
  >>> foreign.as_numpy("x", [[1.0, 2.0]])
  array([[1., 2.]])
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxlin.check.arguments import concrete

# Types of DLPack devices whose memory NumPy reads: kDLCPU, kDLCUDAHost, kDLROCMHost.
_HOST_DEVICES = (1, 3, 11)
_RULE = "must be an array that NumPy reads"


def as_numpy(name: str, value: Any) -> np.ndarray:
    """Returns an array-like, a table or a tensor as a NumPy array of any dtype.

    The array shares the memory of the value where its library allows. A table of
    columns of several types becomes one of the narrowest float dtype that holds all of
    them exactly, or of objects where a column is not numeric.

    Args:
      name: name of the value in error messages.
      value: array-like; a pandas, polars or PyArrow table; a tensor.

    Raises:
      ValueError: if the value is ragged, traced, part of a differentiation, or in the
        memory of a device that JAX does not use.
    """
    if is_table(value):
        return _of_table(name, value)
    check_is_plain(name, value)
    if is_on_accelerator(value):
        return np.asarray(by_dlpack(name, value))
    try:
        return np.asarray(_decoded(value))
    except MemoryError:
        raise
    except Exception as error:  # Every library has errors of its own.
        concrete(name, value)
        if isinstance(error, ValueError) and isinstance(value, list | tuple):
            raise ValueError(
                f"{name} must be rectangular, got ragged rows ({error})"
            ) from None
        if "bfloat16" in str(getattr(value, "dtype", "")):
            # NumPy has no bfloat16; JAX registers one.
            return np.asarray(by_dlpack(name, value))
        raise ValueError(f"{name} {_RULE}, got a {_kind(value)} ({error})") from None


def column_names(value: Any) -> tuple[str, ...] | None:
    """Returns the names of the columns of a table; None unless all are text."""
    if not is_table(value):
        return None
    names = tuple(getattr(value, "column_names", value.columns))
    return names if all(isinstance(one, str) for one in names) else None


def check_column_names(
    name: str,
    value: Any,
    *,
    known: tuple[str, ...] | None,
    owner: str = "the training rows",
    source: str = "fit.feature_names",
) -> None:
    """Raises a ValueError for a table with other columns, or in another order.

    Args:
      name: name of the table in the error message.
      value: any value; only a table with named columns is looked at.
      known: names of the columns in their order; None accepts any.
      owner: rows that have the known names, in the error message.
      source: expression for the known names, in the error message.
    """
    names = column_names(value)
    if known is None or names is None or names == known or len(names) != len(known):
        return
    where = next(i for i, one in enumerate(known) if names[i] != one)
    remedy = f"give the columns of {owner}"
    if set(names) == set(known):
        # A table of PyArrow takes no list in brackets.
        is_arrow = hasattr(value, "column_names")
        order = f".select({source})" if is_arrow else f"[list({source})]"
        remedy = f"give {name}{order}"
    raise ValueError(
        f"{name} must have the columns of {owner} in their order, got "
        f"{names[where]!r} in place of {known[where]!r} as column {where}; {remedy}"
    )


def is_table(value: Any) -> bool:
    """Returns whether a value has rows and named columns, as a data frame has."""
    # The shape first: a lazy frame of polars has none, and warns about its columns.
    shape = getattr(value, "shape", None)
    return isinstance(shape, tuple) and len(shape) == 2 and hasattr(value, "columns")


def is_sparse(value: Any) -> bool:
    """Returns whether a value is an array or matrix of scipy.sparse."""
    return hasattr(value, "tocsr")


def is_array(value: Any) -> bool:
    """Returns whether a value is a dense array with a dtype of NumPy.

    True for NumPy and JAX arrays, memory maps, and lazily read arrays such as h5py
    datasets.
    """
    return isinstance(getattr(value, "dtype", None), np.dtype) and not is_sparse(value)


def exact_floats(name: str, array: np.ndarray) -> np.ndarray:
    """Converts integers to float32, or to float64 where float32 is not exact."""
    too_large = (array > 2**53) | (array < -(2**53))
    if too_large.any():
        raise ValueError(
            f"{name} must lie within 2^53 of 0, where float64 holds every integer, "
            f"got {array[too_large][0]}; subtract a common offset"
        )
    narrow = array.astype(np.float32)
    if array.dtype.itemsize <= 2 or (narrow == array).all():
        return narrow
    return array.astype(np.float64)


def of_numbers(array: np.ndarray) -> np.ndarray:
    """Converts an array of objects that all are numbers; returns others unchanged.

    Decimals are unchanged, too, and so are integers that would be rounded.
    """
    if array.dtype != object:
        return array
    kinds = set(map(type, array.ravel().tolist()))
    if np.timedelta64 in kinds:  # a subclass of np.integer
        return array
    for types, dtype in (
        ((bool, np.bool_), np.bool_),
        ((bool, np.bool_, int, np.integer), np.int64),
        ((bool, np.bool_, int, np.integer, float, np.floating), np.float64),
    ):
        if kinds and all(issubclass(kind, types) for kind in kinds):
            try:
                converted = array.astype(dtype)
            except OverflowError:  # integers beyond int64
                return array
            is_exact = (converted == array) | (array != array)  # NaN differs from NaN
            return converted if is_exact.all() else array
    return array


def check_is_plain(name: str, value: Any) -> None:
    """Raises a ValueError for tensors whose memory does not hold their plain values."""
    if getattr(value, "requires_grad", False) is True:
        raise ValueError(
            f"{name} must not be part of a differentiation, got a {_kind(value)} that "
            "requires a gradient; no gradient passes through a fit: give .detach()"
        )
    is_negative = getattr(value, "is_neg", None)
    if callable(is_negative) and is_negative():
        raise ValueError(
            f"{name} {_RULE}, got a {_kind(value)} with its negative bit set; give "
            ".resolve_neg()"
        )


def is_on_accelerator(value: Any) -> bool:
    """Returns whether an array is in the memory of a device by DLPack."""
    if isinstance(value, np.ndarray) or not hasattr(value, "__dlpack_device__"):
        return False
    # Other errors, such as those of meta tensors, are raised later, with a name.
    with contextlib.suppress(TypeError, ValueError, RuntimeError, BufferError):
        return value.__dlpack_device__()[0] not in _HOST_DEVICES
    return False


def by_dlpack(name: str, value: Any) -> Any:
    """Returns a JAX array with the memory of an array, or with a compact copy.

    Raises:
      ValueError: if the memory is that of a device that JAX does not use.
    """
    import jax

    if isinstance(value, jax.Array):
        return value
    # JAX takes compact arrays alone; a slice has to be copied on its device.
    attempts = [lambda: value]
    if hasattr(value, "contiguous"):
        attempts.append(value.contiguous)
    error: Exception | None = None
    for compact in attempts:
        try:
            return jax.dlpack.from_dlpack(compact())
        except (TypeError, ValueError, RuntimeError, BufferError) as raised:
            error = raised
    device = getattr(value, "device", "another device")
    raise ValueError(
        f"{name} must be in memory of the host or of a device that JAX uses "
        f"({jax.default_backend()}), got a {_kind(value)} on {device} "
        f"({str(error):.80}); copy it to the host first, such as by .cpu() or .get()"
    ) from None


def _of_table(name: str, table: Any) -> np.ndarray:
    """Columns of a table side by side, shape ``(rows, columns)``."""
    types = getattr(table, "dtypes", None)
    types = table.schema.types if types is None else types
    is_encoded = any(hasattr(one, "index_type") for one in types)
    if len({str(one) for one in types}) == 1 and not is_encoded:
        # Numbers of one dtype in one piece. Errors are raised below, with a column.
        with contextlib.suppress(Exception):
            array = np.asarray(table)
            if array.dtype.kind in "buif" and array.ndim == 2:
                return array
    columns = [
        _column(name, label, column, kind)
        for (label, column), kind in zip(_columns(table), types, strict=True)
    ]
    if len(columns) < 2:
        return np.asarray(table) if not columns else columns[0][:, None]
    if not all(column.dtype.kind in "buif" for column in columns):
        return np.stack([_as_objects(column) for column in columns], axis=1)
    if len({column.dtype for column in columns}) > 1:
        columns = [
            exact_floats(name, column) if column.dtype.kind in "bui" else column
            for column in columns
        ]
    return np.stack(columns, axis=1)


def _column(name: str, label: Any, column: Any, kind: Any) -> np.ndarray:
    """A column of a table as an array of one axis.

    Raises:
      ValueError: if NumPy has no such items, in the table's library or at all.
    """
    try:
        array = of_numbers(np.asarray(_decoded(column)))
        if array.ndim == 1:
            return array
        reason = f"shape {array.shape}"
    except MemoryError:
        raise
    except Exception as error:  # Every library has errors of its own.
        reason = str(error)
    raise ValueError(
        f"{name} must have columns of numbers, got column {label!r} of type {kind} "
        f"({reason:.80}); convert it to numbers, or leave it out"
    )


def _as_objects(column: np.ndarray) -> np.ndarray:
    # NumPy's conversion makes plain integers of times in nanoseconds.
    if column.dtype.kind in "mM":
        return np.fromiter(column, object, len(column))
    return column.astype(object)


def _decoded(value: Any) -> Any:
    """Values of a PyArrow array of dictionary type; any other value is unchanged."""
    # NumPy's view of encoded chunks gives the last category in place of a null.
    kind: Any = getattr(value, "type", None)
    return value.cast(kind.value_type) if hasattr(kind, "index_type") else value


def _columns(table: Any) -> Iterator[tuple[Any, Any]]:
    """Names and columns of a table."""
    if hasattr(table, "iloc"):
        # By position: names of pandas need not be distinct.
        for i, label in enumerate(table.columns):
            yield label, table.iloc[:, i]
        return
    if hasattr(table, "column_names"):  # nor those of PyArrow
        yield from zip(table.column_names, table.columns, strict=True)
        return
    for label in table.columns:
        yield label, table[label]


def _kind(value: Any) -> str:
    return type(value).__name__
