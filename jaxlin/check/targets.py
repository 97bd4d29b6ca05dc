"""Checks of targets, labels or distributions, and of examples as a whole."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxlin.check import diagnosis, foreign
from jaxlin.check.arguments import integer
from jaxlin.check.arrays import (
    as_float,
    dense,
    example_weights,
    features,
    one_per_example,
)


def labels(
    name: str,
    value: Any,
    *,
    num_classes: int | None = None,
    num_examples: int | None = None,
) -> np.ndarray:
    """Returns ``value`` as int32 labels ``(examples,)``, each in [0, num_classes).

    Booleans are labels too: False is class 0, True class 1. A column ``(examples, 1)``
    is taken as its entries.

    Raises:
      ValueError: if the labels are not integers, not of rank 1, empty, out of range, or
        differ in number from the examples.
    """
    array = foreign.of_numbers(one_axis(name, value))
    if array.dtype.kind not in "bui":
        raise ValueError(
            f"{name} must be integers, got {diagnosis.of_labels(name, array)}"
        )
    if num_examples is not None:
        one_per_example(name, len(array), num_examples=num_examples)
    # Without num_classes every label that fits into int32 is allowed.
    top = np.iinfo(np.int32).max if num_classes is None else num_classes - 1
    outside = (array < 0) | (array > top)
    if outside.any():
        where = int(np.argmax(outside))
        raise ValueError(
            f"{name} must lie in [0, {top}], got {array[where]} at position {where}; "
            f"{diagnosis.of_range(name, array, num_classes=num_classes)}"
        )
    return array.astype(np.int32)


def one_axis(name: str, value: Any) -> np.ndarray:
    """Returns labels of any kind, shape ``(examples,)``, of which there is one.

    Args:
      name: name of the labels in error messages.
      value: array-like, table of one column or tensor, shape ``(examples,)`` or
        ``(examples, 1)``.

    Raises:
      ValueError: if the labels have another shape or are empty.
    """
    array = dense(name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{name} must have shape (examples,), got {diagnosis.of_shape(name, array)}"
        )
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    return array


def one_label_each(name: str, value: Any) -> None:
    """Raises a ValueError for multilabel 0/1 rows, and for rows of text.

    Other arrays with two axes may be distributions or one-hot rows.
    """
    array = dense(name, value)
    is_wide = array.ndim == 2 and array.shape[1] > 1
    is_text = is_wide and array.dtype.kind in "USO"
    is_text = is_text and any(isinstance(one, str | bytes) for one in array.flat)
    if is_text or diagnosis.of_multilabel(array):
        raise ValueError(
            f"{name} must have shape (examples,), got {diagnosis.of_shape(name, array)}"
        )


def indicators(name: str, value: Any, *, num_labels: int | None = None) -> np.ndarray:
    """Returns ``value`` as int8 indicators ``(examples, labels)``, 0 and 1.

    Args:
      name: name of the array in the error message.
      value: booleans, or numbers 0 and 1.
      num_labels: required number of labels; None, the default, accepts any.

    Raises:
      ValueError: if the rank, the number of labels or a value is another.
    """
    array = dense(name, value)
    width = "labels" if num_labels is None else num_labels
    if array.ndim != 2 or 0 in array.shape or width not in ("labels", array.shape[1]):
        raise ValueError(
            f"{name} must have shape (examples, {width}), got shape {array.shape}; "
            "give one column per label"
        )
    is_binary = (array == 0) | (array == 1)
    if not np.all(is_binary):
        row, column = np.argwhere(~is_binary)[0]
        raise ValueError(
            f"{name} must be booleans, or 0 and 1, got {array[row, column]!s} in row "
            f"{row}, label {column}; compare counts or scores with a threshold first"
        )
    return array.astype(np.int8)


def present_classes(
    value: np.ndarray, *, example_weights: np.ndarray | None = None
) -> np.ndarray:
    """Returns the classes with a positive total weight, ascending.

    Args:
      value: checked labels ``(examples,)`` or distributions ``(examples, classes)``.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.
    """
    if example_weights is not None:
        value = value[np.asarray(example_weights) > 0]
    if value.ndim == 2:
        return np.flatnonzero((value > 0).any(axis=0))
    return np.unique(value)


def several_classes(
    name: str, value: np.ndarray, *, example_weights: np.ndarray | None = None
) -> np.ndarray:
    """Returns the labels or distributions if at least two classes have weight.

    Args:
      name: name of the array in the error message.
      value: checked labels ``(examples,)`` or distributions ``(examples, classes)``.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.

    Raises:
      ValueError: if fewer than two classes have a positive total weight.
    """
    found = present_classes(value, example_weights=example_weights)
    if len(found) < 2:
        weighted = "" if example_weights is None else " with positive example weights"
        only = f"only class {found[0]}" if len(found) else "none"
        raise ValueError(
            f"{name} must name at least two classes{weighted}, got {only}; a "
            "classifier needs classes to distinguish"
        )
    return value


def distributions(name: str, value: Any, *, num_classes: int) -> np.ndarray:
    """Returns distributions ``(examples, num_classes)``: non-negative rows with sum 1.

    The result is float64 for float64 input and float32 otherwise. A row is accepted if
    its sum is within 0.001 of 1, and divided by its sum unless that is within 1e-6.
    """
    one_label_each(name, value)
    array = as_float(features(name, value))
    if array.shape[1] != num_classes:
        raise ValueError(
            f"{name} must have one column per class, {num_classes} of them, got shape "
            f"{array.shape}"
        )
    sums = array.sum(axis=1)
    wrong = (array < 0).any(axis=1) | (np.abs(sums - 1) > 1e-3)
    if wrong.any():
        where = int(np.argmax(wrong))
        raise ValueError(
            f"{name} must be distributions over classes, got a row with minimum "
            f"{array[where].min()} and sum {sums[where]} at position {where}"
        )
    # A distribution that was only rounded to float32 is not changed.
    exact = array.sum(axis=1, keepdims=True, dtype=np.float64)
    is_rough = np.abs(exact - 1) > 1e-6
    return np.where(is_rough, array / exact, array).astype(array.dtype)


def examples(
    rows: Any,
    targets: Any,
    weights: Any,
    *,
    num_classes: int,
    num_features: int | None = None,
    prefix: str = "",
    names: tuple[str, str, str] = ("features", "targets", "example_weights"),
    is_part: bool = False,
    check_features: Callable[..., Any] | None = None,
) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Checks the features, targets and weights of the same examples.

    Args:
      rows: features, array-like, shape ``(examples, num_features)``; see `features`.
      targets: labels ``(examples,)``, see `labels`, or distributions ``(examples,
        num_classes)``, see `distributions`.
      weights: example weights ``(examples,)``, non-negative; None is all ones.
      num_classes: number of classes C, at least 2.
      num_features: required number of columns; None, the default, accepts any.
      prefix: text before each name in an error message, such as ``"blocks[3]."``.
      names: names of features, targets and weights in an error message.
      is_part: whether the examples are only a part of the data, so that all their
        weights may be 0.
      check_features: function with the arguments of `features`, such as
        `jaxlin.numerics.row_arrays.rows`; None is `features`.

    Returns:
      Features, targets and weights, as `features`, `labels` or `distributions`, and
      `example_weights` return them.

    Raises:
      ValueError: naming the argument, the rule and the value.
    """
    integer("num_classes", num_classes, at_least=2)
    name_of_rows, name_of_targets, name_of_weights = (prefix + name for name in names)
    check_features = check_features or features
    rows = check_features(name_of_rows, rows, num_features=num_features)
    shape = dense(name_of_targets, targets).shape
    is_distribution = len(shape) == 2 and shape[1] > 1
    check_targets = distributions if is_distribution else labels
    targets = check_targets(name_of_targets, targets, num_classes=num_classes)
    one_per_example(name_of_targets, len(targets), num_examples=rows.shape[0])
    if weights is not None:
        weights = example_weights(
            name_of_weights, weights, num_examples=rows.shape[0], is_part=is_part
        )
    return rows, targets, weights
