"""Pickles of arrays, read without running what they name.

A pickle may name any function and have it called. This reader knows the few names by
which NumPy's arrays are pickled and gives them functions of its own, which build arrays
of numbers; any other name is refused. Numbers, text, lists and dictionaries need no
names.
"""

import io
import pickle
from typing import Any

import numpy as np

_SCALARS = (bool, int, float, complex, str, bytes, bytearray, np.ndarray)


def load(content: bytes) -> Any:
    """Returns the object in a pickle of arrays, numbers, text, lists and dictionaries.

    Args:
      content: bytes of the pickle. Text that Python 2 wrote comes back as bytes.

    Raises:
      ValueError: if the pickle names anything but arrays of numbers, or is damaged.
    """
    try:
        loaded = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        return _plain(loaded, {})
    except ValueError:
        raise
    # A damaged pickle may fail in any way.
    except Exception as error:
        raise ValueError(f"must be a pickle of arrays, is damaged ({error})") from error


class _DType:
    """Description of the items of an array; byte order comes as a state."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code.decode() if isinstance(code, bytes) else str(code)
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode() if isinstance(order, bytes) else str(order)

    def checked(self) -> np.dtype:
        """Returns the dtype.

        Raises:
          ValueError: if it is not one of numbers, such as Python objects.
        """
        dtype = np.dtype(self.code)
        if dtype.kind not in "buif":
            raise ValueError(f"must hold arrays of numbers, got items of type {dtype}")
        return dtype.newbyteorder(">" if self.order == ">" else "<")


class _Array:
    """An array before its state arrives, and then with it."""

    # NumPy arrays are not hashable either.
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, raw = state
        items = np.frombuffer(raw, dtype.checked())
        native = items.astype(items.dtype.newbyteorder("="), copy=False)
        self.array = native.reshape(shape, order="F" if is_fortran else "C")


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, as Python 3 writes them for Python 2."""
    if encoding != "latin1":
        raise ValueError(f"must hold bytes as latin1 text, got {encoding!r}")
    return text.encode("latin1")


def _from_buffer(
    raw: bytes, dtype: _DType, shape: tuple[int, ...], order: Any
) -> np.ndarray:
    """Array of one call, as Python 3.14 pickles it by default."""
    return np.frombuffer(raw, dtype.checked()).reshape(shape, order=order)


# NumPy 2 has moved its modules.
_CODES = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.{module}", name): code
        for core in ("core", "_core")
        for module, name, code in (
            ("multiarray", "_reconstruct", _Array),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CODES:
            raise ValueError(
                f"must be a pickle of arrays alone, names {module}.{name}; it is not "
                "loaded, because unpickling can run any code"
            )
        return _CODES[module, name]


def _plain(value: Any, made: dict[int, Any]) -> Any:
    """Replaces placeholders by NumPy arrays.

    Args:
      value: object as it was unpickled.
      made: results by the identity of lists and the like, which may hold one another
        many times over.

    Raises:
      ValueError: for an array without items, and for anything else that a pickle of
        arrays does not hold, such as a dtype or a function by itself.
    """
    if isinstance(value, _Array):
        if value.array is None:
            raise ValueError("must hold whole arrays, got one without items")
        return value.array
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, dict):
        entries = made[id(value)] = {}
        entries.update({key: _plain(entry, made) for key, entry in value.items()})
        return entries
    if isinstance(value, list):
        items = made[id(value)] = []
        items.extend(_plain(item, made) for item in value)
        return items
    if isinstance(value, tuple):
        made[id(value)] = tuple(_plain(item, made) for item in value)
        return made[id(value)]
    if value is not None and not isinstance(value, _SCALARS):
        raise ValueError(
            "must hold arrays, numbers, text, lists and dictionaries alone, got "
            f"{getattr(value, '__name__', type(value).__name__).strip('_')}"
        )
    return value
