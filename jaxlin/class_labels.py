"""Class labels of any kind, encoded as integers 0, 1, ..., and back.

Text, booleans, integers with gaps: whatever NumPy can order. Compiled programs see the
integers alone.

  >>> from jaxlin import class_labels
  >>> codes, classes = class_labels.encode("labels", ["dog", "cat", "dog"])
  >>> codes, classes
  (array([1, 0, 1], dtype=int32), array(['cat', 'dog'], dtype='<U3'))
"""

from typing import Any

import numpy as np

from jaxlin import check
from jaxlin.check import diagnosis


def encode(
    name: str, labels: Any, *, classes: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Encodes labels by their place among the classes.

    Args:
      name: how an error message calls the labels.
      labels: shape ``(examples,)``: integers, booleans, text or whole floats.
      classes: distinct labels in the order of the scores; None takes those that occur,
        in ascending order.

    Returns:
      Codes ``(examples,)``, int32, and classes ``(classes,)`` in the type of the
      labels.

    Raises:
      ValueError: if the labels are of another shape or kind, or not among the classes.
    """
    array = as_labels(name, labels)
    if classes is None:
        found, codes = np.unique(array, return_inverse=True)
        return codes.reshape(-1).astype(np.int32), found
    known = as_classes(classes)
    order = np.argsort(known, kind="stable")
    if _kind(known) != _kind(array):
        raise ValueError(
            f"{name} must be of the type of the classes, {known.dtype}, got "
            f"{array.dtype}"
        )
    place = np.minimum(np.searchsorted(known[order], array), len(known) - 1)
    unknown = known[order][place] != array
    if unknown.any():
        where = int(np.argmax(unknown))
        raise ValueError(
            f"{name} must be among the {len(known)} classes "
            f"({', '.join(map(str, known[:5]))}{', ...' if len(known) > 5 else ''}), "
            f"got {array[where]!s} at position {where}; name all classes with classes="
        )
    return order[place].astype(np.int32), known


def as_classes(classes: Any) -> np.ndarray:
    """Returns distinct class labels ``(classes,)``, at least two of them."""
    array = as_labels("classes", classes if hasattr(classes, "dtype") else [*classes])
    values, counts = np.unique(array, return_counts=True)
    if len(values) < len(array):
        raise ValueError(
            f"classes must be distinct, got {values[counts > 1][0]!s} more than once"
        )
    check.integer("the number of classes", len(array), at_least=2)
    return array


def as_labels(name: str, value: Any) -> np.ndarray:
    """Returns labels ``(examples,)`` of a dtype that NumPy orders.

    Raises:
      ValueError: if they are of another shape, empty, or no class labels: missing
        entries, entries of several types, fractions.
    """
    array = check.dense(name, value)
    if array.ndim != 1:
        raise ValueError(
            f"{name} must have shape (examples,), got "
            f"{diagnosis.of_shape(name, value, array)}"
        )
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if array.dtype == object:
        array = _of_one_type(array)
    if array.dtype.kind in "buiU":
        return array
    is_whole = array.dtype.kind == "f" and np.isfinite(array).all()
    if is_whole and (array == np.round(array)).all():
        return array
    raise ValueError(
        f"{name} must be integers, booleans or text, got "
        f"{diagnosis.of_labels(name, array)}"
    )


def _of_one_type(array: np.ndarray) -> np.ndarray:
    """An array of objects, as pandas gives text, in the dtype of its entries."""
    for kinds, dtype in (((str,), str), ((bool, np.bool_), bool)):
        if all(isinstance(entry, kinds) for entry in array):
            return array.astype(dtype)
    is_integer = all(
        isinstance(entry, int | np.integer) and not isinstance(entry, bool)
        for entry in array
    )
    return array.astype(np.int64) if is_integer else array


def _kind(array: np.ndarray) -> str:
    """Text, or numbers of any kind, which compare with one another."""
    return "text" if array.dtype.kind == "U" else "number"
