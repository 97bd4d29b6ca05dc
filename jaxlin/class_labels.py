"""Encoding of class labels of any kind as integers 0, 1, ...

Labels may be text, booleans, whole floats or integers with gaps. Compiled programs use
the integer codes alone.

  >>> from jaxlin import class_labels
  >>> codes, classes = class_labels.encode("labels", ["dog", "cat", "dog"])
  >>> codes, classes
  (array([1, 0, 1], dtype=int32), array(['cat', 'dog'], dtype='<U3'))
"""

from typing import Any

import numpy as np

from jaxlin import check
from jaxlin.check import diagnosis
from jaxlin.check.foreign import of_numbers


def encode(
    name: str,
    labels: Any,
    *,
    classes: Any = None,
    remedy: str = "name all classes with classes=",
) -> tuple[np.ndarray, np.ndarray]:
    """Encodes labels by their index in the classes.

    Args:
      name: name of the labels in error messages.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``.
      classes: distinct labels in the order of the scores; None takes those that occur,
        in ascending order.
      remedy: end of the error message of a label that is not among the classes.

    Returns:
      Codes, int32, shape ``(examples,)``, and classes, in the dtype of the labels,
      shape ``(classes,)``.

    Raises:
      ValueError: if the labels have another shape or kind, or are not among the
        classes.
    """
    array = as_labels(name, labels)
    if classes is None:
        occurring, codes = np.unique(array, return_inverse=True)
        return codes.reshape(-1).astype(np.int32), occurring
    known = as_classes(classes)
    order = np.argsort(known, kind="stable")
    listed = diagnosis.listed(known)
    if _kind(known) != _kind(array):
        raise ValueError(
            f"{name} must be {_kind(known)}, as the classes are ({listed}), got "
            f"{_kind(array)}; give labels and classes in one form, such as by "
            f"{name}.astype({'str' if _kind(known) == 'text' else 'int'})"
        )
    index = np.minimum(np.searchsorted(known[order], array), len(known) - 1)
    unknown = known[order][index] != array
    if unknown.any():
        first = int(np.argmax(unknown))
        raise ValueError(
            f"{name} must be among the {len(known)} classes ({listed}), got "
            f"{array[first]!s} at position {first}; {remedy}"
        )
    return order[index].astype(np.int32), known


def as_classes(classes: Any) -> np.ndarray:
    """Checked class labels, shape ``(classes,)``.

    Raises:
      ValueError: if they are not distinct, fewer than two, or no class labels.
    """
    array = as_labels("classes", classes if hasattr(classes, "dtype") else [*classes])
    values, counts = np.unique(array, return_counts=True)
    if len(values) < len(array):
        raise ValueError(
            f"classes must be distinct, got {values[counts > 1][0]!s} more than once"
        )
    check.integer("the number of classes", len(array), at_least=2)
    return array


def as_labels(name: str, value: Any) -> np.ndarray:
    """Checked labels, shape ``(examples,)``, of a dtype that NumPy orders.

    Args:
      name: name of the labels in error messages.
      value: integers, booleans, text or whole floats, shape ``(examples,)`` or
        ``(examples, 1)``; a column of a table, or a tensor.

    Raises:
      ValueError: if the labels have another shape, are empty, or are no class labels:
        missing entries, entries of several types, fractions.
    """
    array = check.one_axis(name, value)
    if array.dtype.kind == "T":  # NumPy's text of variable length
        array = array.astype(object)
    if array.dtype == object:
        array = _of_one_type(array)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
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
    """An object array, such as text from pandas, in the dtype of its entries."""
    if all(isinstance(entry, str) for entry in array):
        return array.astype(str)
    is_boolean = [isinstance(entry, bool | np.bool_) for entry in array]
    # True among 0, 1 and 2 would be a name of class 1.
    return array if any(is_boolean) and not all(is_boolean) else of_numbers(array)


def _kind(array: np.ndarray) -> str:
    """Kind of the labels: text, or numbers, which compare with one another."""
    return "text" if array.dtype.kind == "U" else "numbers"
