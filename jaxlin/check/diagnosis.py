"""Descriptions of arrays that `jaxlin.check` rejects: their contents and the remedy.

`jaxlin.check.arrays` and `jaxlin.check.targets` decide which arrays are valid. Each
``of_`` function here takes an invalid one and returns the end of the message "labels
must be ..., got": a description of the contents and a remedy that, applied to the
array, gives the intended one. Arrays are distinguished by their entries, not by the
library that made them.

  >>> import numpy as np
  >>> from jaxlin.check import diagnosis
  >>> print(diagnosis.of_labels("labels", np.array([1.0, 0.0, 1.0])))
  float64; all are whole numbers: use labels.astype(int)
"""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Type names of missing values, so that no library is imported to recognise them.
_MISSING = ("NoneType", "NAType", "NaTType")
_SIGNS = "if the two classes are -1 and 1, use ({0} > 0).astype(int)"
_NAMES = "encode class names: names, {0} = np.unique({0}, return_inverse=True)"
_NUMBERS = "np.unique({0}, return_inverse=True)[1] numbers the classes 0, 1, 2, ..."


def counted(count: int, noun: str, /) -> str:
    """Returns a number with its noun: ``1 pass``, ``2,000 passes``."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{'' if count == 1 else ending}"


def listed(names: Sequence[Any] | np.ndarray, /) -> str:
    """Returns the first five of some names, and dots if there are more."""
    return f"{', '.join(map(str, names[:5]))}{', ...' if len(names) > 5 else ''}"


def of_features(array: np.ndarray, *, columns: Any = None) -> str:
    """Describes features that are not numbers, with the remedy.

    Args:
      array: array of any rank whose dtype is not numeric.
      columns: column names, as of a data frame, or None.
    """
    if array.dtype.names:
        return (
            f"{_fields(array)}; give one array: "
            "numpy.lib.recfunctions.structured_to_unstructured"
        )
    kinds = _first_places(array)
    for kind, remedy in {
        "sequence": "all rows must have one length",
        "missing": "drop or impute missing entries first",
        "text": "encode categories as columns of 0 and 1, or leave the column out",
        "time": "convert times to numbers, such as days since a date",
        "complex": "give real and imaginary parts as two features",
    }.items():
        if kind in kinds:
            where = kinds[kind]
            if kind == "text" and _is_number(array[where]):
                remedy = "numbers kept as text become numbers by .astype(float)"
            found = f"{kind} {_shown(array[where])}"
            if kind == "sequence":
                found = "ragged rows"
                if columns is not None:
                    found = f"{type(array[where]).__name__} {_shown(array[where])}"
                    remedy = "give each of its entries a column, or leave it out"
            return f"{found} at {place(where, columns)} ({_dtype(array)}); {remedy}"
    if set(kinds) <= {"number", "integer", "boolean"}:
        where = next(
            (i for i, entry in np.ndenumerate(array) if not _is_float64(entry)),
            next(iter(kinds.values())),
        )
        return (
            f"{type(array[where]).__name__} {_shown(array[where])} at "
            f"{place(where, columns)} ({_dtype(array)}); all entries are numbers: "
            "convert them to float, such as by .astype(float)"
        )
    other = next(kind for kind in kinds if kind not in ("number", "integer", "boolean"))
    return f"{other} at {place(kinds[other], columns)} ({_dtype(array)})"


def of_labels(name: str, array: np.ndarray) -> str:
    """Describes one-dimensional labels that are not integers, with the remedy.

    Args:
      name: name of the labels in the remedy.
      array: shape ``(examples,)``, not empty, neither integers nor booleans.
    """
    word = name if name.isidentifier() else "labels"
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        return _of_floats(word, array)
    if array.dtype.names:
        return f"{_fields(array)}; give one of them"
    kinds = _first_places(array)
    if "missing" in kinds:
        where = kinds["missing"][0]
        return _of_missing(array[where], where)
    if set(kinds) == {"text"}:
        if all(_is_integer(entry) for entry in array):
            remedy = f"class names that are whole numbers: use {word}.astype(int)"
        else:
            remedy = _NAMES.format(word)
        return f"text {_shown(array[0])} at position 0; {remedy}"
    if len(kinds) > 1 and set(kinds) - {"number", "integer", "boolean"}:
        found = ", ".join(
            f"{_shown(array[where])} at position {where[0]}" for where in kinds.values()
        )
        return f"entries of several types, {found}; make them of one type first"
    if set(kinds) <= {"integer", "boolean"}:
        return f"{_dtype(array)}, all entries are integers; use {word}.astype(int)"
    if set(kinds) <= {"number", "integer", "boolean"}:
        return _of_floats(word, array)
    kind, first = next(iter(kinds.items()))
    found = f"{kind} {_shown(array[first])} at position {first[0]}"
    if kind == "sequence":
        return f"{found}; give one label per example"
    return f"{found} ({_dtype(array)}); number the classes 0, 1, 2, ..."


def of_shape(name: str, array: np.ndarray) -> str:
    """Describes labels that are neither one axis nor one column, with the remedy.

    Args:
      name: name of the labels in the remedy.
      array: the labels.
    """
    shape = f"shape {array.shape}"
    if array.ndim != 2:
        return f"{shape}; give one label per example"
    word = name if name.isidentifier() else "labels"
    multilabel = of_multilabel(array)
    if multilabel:
        return f"{shape}, {multilabel}"
    if _is_binary(array):
        return f"{shape}, one-hot rows; use {word}.argmax(axis=1)"
    if array.shape[0] == 1:
        return f"{shape}, one row; use {word}.ravel()"
    if array.dtype.kind == "f" and np.allclose(array.sum(axis=1), 1, atol=1e-3):
        return (
            f"{shape}, rows that sum to 1; distributions over classes are for "
            f"jaxlin.losses.cross_entropy, and {word}.argmax(axis=1) is the most "
            "probable class"
        )
    if array.dtype.kind == "f" and (array != np.round(array)).any():
        return f"{shape}; real-valued targets (regression) are out of scope"
    return f"{shape}; give one label per example"


def of_multilabel(array: np.ndarray) -> str:
    """Describes the first 0/1 row with several labels or none; "" if there is none."""
    if array.ndim != 2 or array.shape[1] < 2 or not _is_binary(array, one_hot=False):
        return ""
    counts = (array == 1).sum(axis=1)
    if (counts == 1).all():
        return ""
    row = int(np.argmax(counts != 1))
    return (
        f"several labels per example: row {row} names {counts[row]} classes; give one "
        "label per example, or all of them to jaxlin.linear_probe.multilabel_probe"
    )


def of_range(name: str, array: np.ndarray, *, num_classes: int | None) -> str:
    """Returns the remedy for integer labels below 0 or too large."""
    word = name if name.isidentifier() else "labels"
    least, largest = int(array.min()), int(array.max())
    if least == -1 and not ((array != -1) & (array != 1)).any():
        return _SIGNS.format(word)
    if least < 0:
        return (
            f"leave examples without a label out, such as by {word} >= 0; for other "
            f"class codes {_NUMBERS.format(word)}"
        )
    if least >= 1 and largest == num_classes:
        return f"labels count from 0: subtract 1, {word} - 1"
    if num_classes is None:
        return _NUMBERS.format(word)
    return "number the classes 0, 1, 2, ... without gaps, or give more num_classes"


def _of_floats(word: str, array: np.ndarray) -> str:
    values = array.astype(float)
    if not np.isfinite(values).all():
        where = int(np.argmax(~np.isfinite(values)))
        return _of_missing(array[where], where)
    if (values != np.round(values)).any():
        where = int(np.argmax(values != np.round(values)))
        return (
            f"{array[where]} at position {where} ({array.dtype}); real-valued targets "
            "(regression) are out of scope: number classes 0, 1, 2, ..."
        )
    if set(np.unique(values)) == {-1.0, 1.0}:
        return f"{array.dtype}; {_SIGNS.format(word)}"
    return f"{array.dtype}; all are whole numbers: use {word}.astype(int)"


def _first_places(array: np.ndarray) -> Mapping[str, tuple[int, ...]]:
    """Index of the first entry of each kind, in order of appearance."""
    found: dict[str, tuple[int, ...]] = {}
    for where, entry in np.ndenumerate(array):
        kind = _kind(entry)
        # Text that is not a number is more informative than text that is.
        if kind not in found or (
            kind == "text" and _is_number(array[found[kind]]) and not _is_number(entry)
        ):
            found[kind] = where
    return found


def _kind(entry: Any) -> str:
    is_number = isinstance(entry, numbers.Number | np.generic)
    if type(entry).__name__ in _MISSING or (is_number and entry != entry):
        return "missing"
    for kind, types in {
        "text": (str, bytes),
        "boolean": (bool, np.bool_),
        "time": (np.datetime64, np.timedelta64),
        "integer": (numbers.Integral,),
        "number": (numbers.Real,),
        "complex": (numbers.Complex,),
    }.items():
        if isinstance(entry, types):
            return kind
    if hasattr(entry, "isoformat") or hasattr(entry, "total_seconds"):
        return "time"
    if isinstance(entry, numbers.Number):
        return "number"
    return "sequence" if hasattr(entry, "__len__") else type(entry).__name__


def _is_binary(array: np.ndarray, *, one_hot: bool = True) -> bool:
    """Returns whether all entries are 0 or 1 (or -1 or 1); one 1 per row if one_hot."""
    if array.dtype.kind not in "buif" or not array.size:
        return False
    # Distributions are recognised by their first rows.
    for part in (array[:1000], array):
        if not any(((part == low) | (part == 1)).all() for low in (0, -1)):
            return False
    return not one_hot or bool(((array == 1).sum(axis=1) == 1).all())


def _is_float64(entry: Any) -> bool:
    """Returns whether float64 holds a number that is no decimal or fraction."""
    if isinstance(entry, numbers.Integral):
        return abs(int(entry)) <= 2**53
    return isinstance(entry, np.bool_ | np.floating | float)


def _is_number(entry: Any) -> bool:
    try:
        float(entry)
    except (TypeError, ValueError):
        return False
    return True


def _is_integer(entry: Any) -> bool:
    try:
        int(entry)
    except (TypeError, ValueError):
        return False
    return True


def place(where: tuple[int, ...], columns: Any) -> str:
    """Describes the position of an entry, with the name of its column."""
    if len(where) != 2:
        return f"position {', '.join(map(str, where))}"
    row, column = where
    if columns is not None and len(columns) > column:
        return f"row {row}, feature {column} (column {columns[column]!r})"
    return f"row {row}, feature {column}"


def _of_missing(entry: Any, where: int) -> str:
    return f"the missing label {entry} at position {where}; leave such examples out"


def _fields(array: np.ndarray) -> str:
    return f"a structured array with fields {', '.join(array.dtype.names or ())}"


def _shown(entry: Any) -> str:
    """The entry in the notation of Python: 'cat', not np.str_('cat')."""
    if isinstance(entry, str | bytes):
        return repr(entry.item() if isinstance(entry, np.generic) else entry)[:40]
    return str(entry)[:40]


def _dtype(array: np.ndarray) -> str:
    return f"dtype {array.dtype}"
