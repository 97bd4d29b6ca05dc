"""Checks of arrays of examples: features, labels, distributions and weights."""

from typing import Any

import numpy as np

from jaxlin.check import diagnosis
from jaxlin.check.arguments import concrete, integer

# Least size of the largest example weight: sums, and products with other weights and
# with losses, stay far from both ends of float32.
_LEAST_WEIGHT = 1e-12
# Rows looked at in one go, so that checking a memory map does not load it whole.
_ROWS_PER_LOOK = 8192


def features(name: str, value: Any, *, num_features: int | None = None) -> np.ndarray:
    """Returns ``value`` as a dense array ``(examples, num_features)``.

    Args:
      name: how the error message calls the array.
      value: array-like, one row per example; ``uint8`` and floating dtypes are kept
        (float64 too), booleans and other integers become float32, or float64 where
        float32 does not hold them.
      num_features: the width that the rows must have, if it is known.

    Raises:
      ValueError: if the rows are sparse, ragged, empty, not numeric, of another rank or
        width, or hold NaN or infinity.
    """
    array = dense(name, value)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise ValueError(
            f"{name} must be of float64 at most, got {array.dtype}, whose digits would "
            "be lost; use .astype(float)"
        )
    if array.dtype.kind not in "buif" and array.dtype.name != "bfloat16":
        columns = getattr(value, "columns", None)
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
            f"{name} must have {num_features} features, got {array.shape[1]}"
        )
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind in "bui":
        too_large = (array > 2**53) | (array < -(2**53))
        if too_large.any():
            raise ValueError(
                f"{name} must lie within 2^53 of 0, where float64 holds every integer, "
                f"got {array[too_large][0]}; subtract what they have in common"
            )
        narrow = array.astype(np.float32)
        if array.dtype.itemsize <= 2 or (narrow == array).all():
            return narrow
        return array.astype(np.float64)
    for start in range(0, len(array), _ROWS_PER_LOOK):
        bad = ~np.isfinite(array[start : start + _ROWS_PER_LOOK])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            found = array[start + row, column]
            raise ValueError(
                f"{name} must be finite, got {found} at row {start + row}, "
                f"feature {column}; drop or impute such values first"
            )
    return array


def labels(
    name: str,
    value: Any,
    *,
    num_classes: int | None = None,
    num_examples: int | None = None,
) -> np.ndarray:
    """Returns ``value`` as int32 labels ``(examples,)``, each in [0, num_classes).

    Booleans are labels too: False is class 0, True class 1.

    Raises:
      ValueError: if the labels are not integers, not of rank 1, empty, out of range, or
        not as many as there are examples.
    """
    array = dense(name, value)
    if array.ndim != 1:
        raise ValueError(
            f"{name} must have shape (examples,), got "
            f"{diagnosis.of_shape(name, value, array)}"
        )
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if array.dtype.kind not in "bui":
        raise ValueError(
            f"{name} must be integers, got {diagnosis.of_labels(name, array)}"
        )
    if num_examples is not None and len(array) != num_examples:
        raise ValueError(
            f"{name} must have one entry per example, got {len(array)} labels "
            f"for {num_examples} examples"
        )
    # Not known how many: whatever fits the int32 that is returned.
    top = np.iinfo(np.int32).max if num_classes is None else num_classes - 1
    outside = (array < 0) | (array > top)
    if outside.any():
        where = int(np.argmax(outside))
        raise ValueError(
            f"{name} must lie in [0, {top}], got {array[where]} at position {where}; "
            f"{diagnosis.of_range(name, array, num_classes=num_classes)}"
        )
    return array.astype(np.int32)


def one_label_each(name: str, value: Any) -> None:
    """Raises a ValueError for a column of labels, or 0/1 rows of several labels.

    Other arrays with two axes may be distributions or one-hot rows.
    """
    array = dense(name, value)
    if array.ndim != 2:
        return
    if array.shape[1] == 1 or diagnosis.of_several_labels(array):
        raise ValueError(
            f"{name} must have shape (examples,), got "
            f"{diagnosis.of_shape(name, value, array)}"
        )


def present_classes(
    value: np.ndarray, *, example_weights: np.ndarray | None = None
) -> np.ndarray:
    """Classes with a positive total weight, ascending.

    Args:
      value: checked labels ``(examples,)`` or distributions ``(examples, classes)``.
      example_weights: shape ``(examples,)``; None is all ones.
    """
    if example_weights is not None:
        value = value[np.asarray(example_weights) > 0]
    if value.ndim == 2:
        return np.flatnonzero((value > 0).any(axis=0))
    return np.unique(value)


def several_classes(
    name: str, value: np.ndarray, *, example_weights: np.ndarray | None = None
) -> np.ndarray:
    """Returns ``value``, as of `present_classes`, if it has at least two classes."""
    found = present_classes(value, example_weights=example_weights)
    if len(found) < 2:
        weighted = "" if example_weights is None else " with positive example weights"
        only = f"only class {found[0]}" if len(found) else "none"
        raise ValueError(
            f"{name} must name at least two classes{weighted}, got {only}; a "
            "classifier has nothing to tell apart"
        )
    return value


def distributions(name: str, value: Any, *, num_classes: int) -> np.ndarray:
    """Returns rows ``(examples, num_classes)``, non-negative with sums 1.

    In float32, or in float64 if they are. Sums within a thousandth of 1 are taken for
    it, and the rows divided by them.
    """
    one_label_each(name, value)
    array = _float(features(name, value))
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
    # What float32 makes of a distribution is left as it is.
    exact = array.sum(axis=1, keepdims=True, dtype=np.float64)
    rough = np.abs(exact - 1) > 1e-6
    return np.where(rough, array / exact, array).astype(array.dtype)


def example_weights(
    name: str, value: Any, *, num_examples: int, is_part: bool = False
) -> np.ndarray:
    """Returns weights ``(examples,)``, non-negative with a positive sum.

    In float32, or in float64 if they are. Weights of a part of the examples
    (``is_part``) may all be 0.
    """
    array = dense(name, value)
    if array.dtype.kind not in "buif" and array.dtype.name != "bfloat16":
        raise ValueError(f"{name} must be numbers, got {value!r:.80}")
    array = _float(array)
    if array.shape != (num_examples,):
        raise ValueError(
            f"{name} must have shape ({num_examples},), got shape {array.shape}"
        )
    if not np.isfinite(array).all() or (array < 0).any():
        raise ValueError(
            f"{name} must be finite and at least 0, got minimum {array.min()}"
        )
    largest = float(array.max(initial=0))
    if not is_part and largest == 0:
        raise ValueError(f"{name} must have a positive sum, got 0.0")
    weight_size(name, max(largest, _LEAST_WEIGHT) if is_part else largest)
    return array


def weight_size(name: str, largest: float) -> None:
    """Raises a ValueError if float32 may lose, or overflow in, products with weights.

    Args:
      name: how the error message calls the weights.
      largest: of them, above 0.
    """
    if not _LEAST_WEIGHT <= largest <= 1 / _LEAST_WEIGHT:
        raise ValueError(
            f"{name} must have their largest between {_LEAST_WEIGHT:g} and "
            f"{1 / _LEAST_WEIGHT:g}, got {largest:g}; divide them by their mean, which "
            "changes no objective"
        )


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
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Checks what belongs together: features, targets and example weights.

    Args:
      rows: as in `features`.
      targets: labels ``(examples,)`` as in `labels`, or distributions ``(examples,
        num_classes)`` as in `distributions`.
      weights: as in `example_weights`; None is all ones.
      num_classes: C, at least 2.
      num_features: the width that the rows must have, if it is known.
      prefix: before each name in a message, such as ``"blocks[3]."``.
      names: of the three in a message.
      is_part: whether other examples follow, so that the weights may all be 0.

    Returns:
      The three, of the types that each check returns.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    integer("num_classes", num_classes, at_least=2)
    name_of_rows, name_of_targets, name_of_weights = (prefix + name for name in names)
    found = features(name_of_rows, rows, num_features=num_features)
    shape = dense(name_of_targets, targets).shape
    is_wide = len(shape) == 2 and shape[1] > 1
    check_targets = distributions if is_wide else labels
    answers = check_targets(name_of_targets, targets, num_classes=num_classes)
    if len(answers) != len(found):
        raise ValueError(
            f"{name_of_targets} must have one entry per example, got {len(answers)} "
            f"for {len(found)} examples"
        )
    if weights is not None:
        weights = example_weights(
            name_of_weights, weights, num_examples=len(found), is_part=is_part
        )
    return found, answers, weights


def dense(name: str, value: Any) -> np.ndarray:
    """Returns an array of any dtype.

    Raises:
      ValueError: if the value is sparse, masked, ragged, traced or no array at all.
    """
    if hasattr(value, "tocsr") or hasattr(value, "todense"):
        raise ValueError(
            f"{name} must be dense, got sparse {type(value).__name__}; sparse input is "
            "out of scope: call .toarray() if it fits in memory"
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{name} must be without missing entries, got a masked array with "
            f"{np.ma.count_masked(value)} masked; drop or impute them first"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} must be rectangular, got ragged rows ({error})"
        ) from None
    except TypeError:
        concrete(name, value)
        raise
    if not array.dtype.isnative:
        # Of files written on other machines; JAX takes no such array.
        array = array.astype(array.dtype.newbyteorder("="))
    if array.ndim == 0 and array.dtype == object:
        raise ValueError(f"{name} must be an array, got a {type(value).__name__}")
    return array


def _float(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64 if array.dtype == np.float64 else np.float32)
