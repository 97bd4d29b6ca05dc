"""Splits of examples into disjoint parts, as index arrays.

Pure functions of a key and the labels: the same key gives the same bits. Data are not
copied; an index array selects rows of any array or memory map:

  >>> import jax
  >>> from jaxlin.selection import splits
  >>> labels = [0, 1] * 50
  >>> split = splits.stratified_split(jax.random.key(0), labels, fraction=0.2)
  >>> len(split.train), len(split.held_out)
  (80, 20)

`three_way_split` draws train, validation and test parts. Indices are int32 and
ascending, so that reading rows of a memory map moves forward. Splits are drawn on the
host, outside compiled programs.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlin import check, class_labels
from jaxlin.typing import Array


class TrainHeldOutSplit(NamedTuple):
    """Two disjoint index arrays that together contain every example once.

    Attributes:
      train: ascending int32 indices of the training set.
      held_out: ascending int32 indices of the held-out set, the requested
        ``fraction`` of all examples.
    """

    train: np.ndarray
    held_out: np.ndarray


class ThreeWaySplit(NamedTuple):
    """Three disjoint index arrays that together contain every example once.

    Attributes:
      train: ascending int32 indices of the training set.
      validation: ascending int32 indices of the set on which settings are compared.
      test: ascending int32 indices of the set on which the chosen setting is tested.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def random_split(
    key: Array, num_examples: int, *, fraction: float
) -> TrainHeldOutSplit:
    """Holds out a uniform random part of the examples, without stratification.

    Args:
      key: a `jax.random.key`.
      num_examples: n, at least 2.
      fraction: share of the examples to hold out, in (0, 1); n * fraction is rounded to
        the nearest integer, halves up.

    Returns:
      The indices of both parts.

    Raises:
      ValueError: if an argument is out of range or a part would be empty.
    """
    check.key("key", key)
    check.integer("num_examples", num_examples, at_least=2)
    num_held_out = _num_held_out(num_examples, fraction)
    order = np.asarray(jax.random.permutation(key, num_examples))
    held_out = np.zeros(num_examples, bool)
    held_out[order[:num_held_out]] = True
    return _from_mask(held_out)


def stratified_split(key: Array, labels: Any, *, fraction: float) -> TrainHeldOutSplit:
    """Holds out the same share of every class.

    A class of m examples contributes m * fraction, rounded down or up by the largest
    remainder method (ties go to the smaller label), so that the total is n * fraction
    to the nearest integer, halves up. Within a class every subset of that size is
    equally likely. A class with few examples may lie entirely in one part, if its share
    of the other is less than one example.

    Args:
      key: a `jax.random.key`.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``; at least
        two examples of each class that occurs.
      fraction: share of each class to hold out, in (0, 1).

    Returns:
      The indices of both parts.

    Raises:
      ValueError: if ``fraction`` is out of range, the labels are no class labels, a
        class has a single example, or a part would be empty.
    """
    check.key("key", key)
    codes, classes = class_labels.encode("labels", labels)
    _, _, parts = stratified_sizes(classes[codes], fraction=fraction)
    # A uniform permutation of all examples permutes each class uniformly, and the
    # permutations of different classes are independent.
    order = np.asarray(jax.random.permutation(key, len(codes)))
    held_out = np.zeros(len(codes), bool)
    by_class = order[np.argsort(codes[order], kind="stable")]
    starts = np.searchsorted(codes[by_class], np.arange(len(classes)))
    for start, part in zip(starts, parts, strict=True):
        held_out[by_class[start : start + part]] = True
    return _from_mask(held_out)


def three_way_split(
    key: Array, labels: Any, *, validation_fraction: float, test_fraction: float
) -> ThreeWaySplit:
    """Draws stratified training, validation and test sets.

    The test set is the held-out set of ``stratified_split`` with the same key. It does
    not depend on the validation fraction.

    Args:
      key: a `jax.random.key`.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``; at least
        two examples of each class that occurs outside the test set.
      validation_fraction: share of all examples, in (0, 1).
      test_fraction: share of all examples, in (0, 1).

    Raises:
      ValueError: as `stratified_split`, or if the fractions leave no training examples.
    """
    check.number("validation_fraction", validation_fraction, above=0, below=1)
    check.number("test_fraction", test_fraction, above=0, below=1)
    if validation_fraction + test_fraction >= 1:
        raise ValueError(
            "validation_fraction and test_fraction must leave something to train on, "
            f"got {validation_fraction} + {test_fraction}"
        )
    labels = class_labels.as_labels("labels", labels)
    outer = stratified_split(key, labels, fraction=test_fraction)
    inner = stratified_split(
        jax.random.fold_in(key, 1),
        labels[outer.train],
        fraction=validation_fraction / (1 - test_fraction),
    )
    return ThreeWaySplit(
        outer.train[inner.train], outer.train[inner.held_out], outer.held_out
    )


def stratified_sizes(
    labels: Any, *, fraction: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of examples per class that `stratified_split` holds out, for any key.

    Args:
      labels: integers, booleans, text or whole floats, shape ``(examples,)``; at least
        two examples of each class that occurs.
      fraction: share of each class to hold out, in (0, 1).

    Returns:
      The classes that occur, their numbers of examples, and their numbers of held-out
      examples; each of shape ``(occurring classes,)``.

    Raises:
      ValueError: as `stratified_split`.
    """
    labels = class_labels.as_labels("labels", labels)
    classes, sizes = np.unique(labels, return_counts=True)
    if sizes.min() < 2:
        raise ValueError(
            "labels must have at least 2 examples of every class to be stratified, got "
            f"1 of class {classes[np.argmin(sizes)]!s}; drop that class or use "
            "random_split"
        )
    num_held_out = _num_held_out(len(labels), fraction)
    return classes, sizes, _largest_remainders(sizes * fraction, num_held_out)


def _num_held_out(num_examples: int, fraction: float) -> int:
    """Size of the held-out set; neither part may be empty."""
    check.number("fraction", fraction, above=0, below=1)
    held_out = int(np.floor(num_examples * fraction + 0.5))
    if held_out in (0, num_examples):
        empty = "held-out" if held_out == 0 else "training"
        raise ValueError(
            f"fraction must leave both parts an example, got {fraction} of "
            f"{num_examples} examples: the {empty} part would be empty"
        )
    return held_out


def _largest_remainders(quotas: np.ndarray, total: int) -> np.ndarray:
    """Rounds ``quotas`` down or up so that they sum to ``total``."""
    parts = np.floor(quotas).astype(np.int64)
    by_remainder = np.argsort(parts - quotas, kind="stable")
    parts[by_remainder[: total - parts.sum()]] += 1
    return parts


def _from_mask(held_out: np.ndarray) -> TrainHeldOutSplit:
    """Ascending indices of both parts."""
    train, rest = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    return TrainHeldOutSplit(train.astype(np.int32), rest.astype(np.int32))
