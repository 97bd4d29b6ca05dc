"""Held-out sets for model selection: drawn, or given.

A tenth of the examples, or each of several folds in turn, is drawn stratified by label.
Examples of weight 0 count as absent. The only example of a class is never drawn, so
that every training set has every class:

  >>> import jax
  >>> from jaxlin.selection import held_out
  >>> labels = [0] * 20 + [1] * 20 + [2]
  >>> parts = held_out.weights(jax.random.key(0), labels, validation=5)
  >>> parts.shape, parts.sum(axis=1), parts[:, -1].sum()
  ((5, 41), array([8., 8., 8., 8., 8.], dtype=float32), np.float32(0.0))

Or it is given: as fold ids, a mask, indices of examples or a split.
"""

import numbers

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, class_labels
from jaxlin.numerics import processes
from jaxlin.selection import fold_weights, folds, splits
from jaxlin.selection.splits import TrainHeldOutSplit
from jaxlin.typing import Array

# A fraction, a number of folds, or examples to hold out; None holds out none.
Validation = float | int | ArrayLike | TrainHeldOutSplit | None


def weights(
    key: Array,
    labels: ArrayLike,
    *,
    validation: Validation = 0.1,
    example_weights: ArrayLike | None = None,
    num_settings: int = 2,
    classes: ArrayLike | None = None,
) -> np.ndarray:
    """Example weights of the held-out set of each part.

    Args:
      key: a `jax.random.key`; without effect where the held-out examples are given.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``. In
        several processes integers, of the examples of this process; examples are drawn
        from those of all, in the order of the processes.
      validation: a number between 0 and 1, the share of the examples of classes with
        two or more examples to draw; or a whole number of folds to draw, at least 2,
        each of which is one part (the examples of a class with fewer examples than
        folds go to different folds). Or examples: fold ids, shape ``(examples,)`` or
        ``(repeats, examples)``, from `jaxlin.selection.folds`, -1 for examples that are
        never held out; a boolean mask, shape ``(examples,)``; fewer indices than
        examples; or a split from `jaxlin.selection.splits`. None holds out nothing.
      example_weights: shape ``(examples,)``, non-negative; None is all ones. Examples
        of weight 0 are never held out; other weights have no effect on the draw.
      num_settings: number of settings to compare, at least 1. With a single setting
        there may be no held-out set.
      classes: names of the labels 0, 1, ... in error messages; None is their own.

    Returns:
      Weights of 0 and 1, float32, shape ``(parts, examples)``; no part if there are too
      few examples to hold out and a single setting.

    Raises:
      ValueError: if there are several settings and nothing to hold out, an argument is
        out of range, or a given part is empty or leaves a class without training
        examples.
    """
    check.key("key", key)
    check.concrete("validation", validation)
    mine = slice(None)
    if jax.process_count() > 1:
        mine = processes.own_rows(len(np.asarray(labels)))
        labels = processes.gather_rows(np.asarray(labels))
        if example_weights is not None:
            example_weights = processes.gather_rows(example_weights)
    codes, occurring = class_labels.encode("labels", labels)
    names = occurring if classes is None else np.asarray(classes)[occurring]
    counted = np.ones(len(codes), bool)
    if example_weights is not None:
        given = check.example_weights(
            "example_weights", example_weights, num_examples=len(codes)
        )
        counted = given > 0
    if validation is None:
        if num_settings > 1:
            raise ValueError(
                f"validation must be given to choose among {num_settings} settings, "
                "got None; give a fraction, a number of folds or examples"
            )
        return np.zeros((0, len(codes)), np.float32)[:, mine]
    if isinstance(validation, numbers.Real):
        return _drawn(key, codes, counted, validation, num_settings)[:, mine]
    own = _given(validation, len(codes[mine]))
    parts = processes.gather_rows(own.T).T & counted
    _check_parts(parts, counted, codes, names)
    return parts[:, mine].astype(np.float32)


def num_repeats(validation: Validation) -> int:
    """Number of rows of valid fold ids; 1 for every other form of a validation."""
    if validation is None or isinstance(validation, numbers.Real | TrainHeldOutSplit):
        return 1
    return len(np.atleast_2d(np.asarray(validation)))


def _drawn(
    key: Array,
    codes: np.ndarray,
    counted: np.ndarray,
    validation: float,
    num_settings: int,
) -> np.ndarray:
    """Weights of drawn parts; single examples and those of weight 0 are not drawn."""
    is_fraction = isinstance(validation, float | np.floating)
    if is_fraction and validation >= 1:
        raise ValueError(
            f"validation must be a fraction below 1, got {validation}; a number of "
            "folds is an integer"
        )
    if is_fraction:
        check.number("validation", validation, above=0, below=1)
    else:
        check.integer("validation", validation, at_least=2)
    of_counted = np.flatnonzero(counted)
    rest = of_counted[np.bincount(codes[of_counted])[codes[of_counted]] > 1]
    is_short = len(rest) * validation < 0.5 if is_fraction else not len(rest)
    if is_short and num_settings == 1:
        return np.zeros((0, len(codes)), np.float32)
    if not len(rest):
        raise ValueError(
            "labels must have two examples of some class, one of them to choose a "
            f"setting by, got {len(of_counted)} examples of as many classes; give a "
            "single setting"
        )
    if is_fraction:
        split = splits.stratified_split(key, codes[rest], fraction=validation)
        found = np.zeros((1, len(codes)), np.float32)
        found[0, rest[split.held_out]] = 1
        return found
    check.integer("validation", validation, at_most=len(rest))
    found = np.zeros((int(validation), len(codes)), np.float32)
    fold_ids = folds.stratified_k_fold(
        key, codes[rest], num_folds=int(validation), allow_missing_classes=True
    )
    found[:, rest] = 1 - folds.train_weights(fold_ids, num_folds=len(found))
    return found


def _given(validation: ArrayLike | TrainHeldOutSplit, num_examples: int) -> np.ndarray:
    """Masks of given parts, shape ``(parts, examples)``."""
    if isinstance(validation, TrainHeldOutSplit):
        validation = validation.held_out
    try:
        given = np.asarray(validation)
    except ValueError:  # lists of different lengths, such as pairs of indices
        given = np.empty(0, object)
    if given.dtype == bool:
        if given.shape != (num_examples,):
            raise ValueError(
                f"validation must be a mask of shape ({num_examples},), got shape "
                f"{given.shape}"
            )
        return given[None]
    is_indices = given.ndim == 1 and 0 < len(given) < num_examples
    if given.dtype.kind not in "iu" or not is_indices:
        # The check of fold ids names every other shape and type.
        found = fold_weights.of_ids(
            validation, num_examples=num_examples, name="validation"
        )
        return found.held_out.reshape(-1, num_examples) > 0
    if given.min() < 0 or given.max() >= num_examples or len(set(given)) < len(given):
        raise ValueError(
            f"validation must be distinct indices in [0, {num_examples - 1}], got "
            f"{len(given)} integers from {given.min()} to {given.max()}; fold ids are "
            "one per example"
        )
    return np.isin(np.arange(num_examples), given)[None]


def _check_parts(
    parts: np.ndarray, counted: np.ndarray, codes: np.ndarray, classes: np.ndarray
) -> None:
    """Raises a ValueError for a part without examples, or with all of a class."""
    for part, held_out in enumerate(parts):
        if not held_out.any():
            raise ValueError(
                f"validation must hold out an example of positive weight, got none in "
                f"part {part}"
            )
        left = np.bincount(codes[counted & ~held_out], minlength=len(classes))
        missing = (left == 0) & (np.bincount(codes[counted], minlength=len(left)) > 0)
        if missing.any():
            raise ValueError(
                "validation must leave an example of every class to train on, but "
                f"fold {part} holds out every example of class "
                f"{classes[np.argmax(missing)]!s}; hold out fewer of its examples, by "
                "stratified folds or by fold ids with -1 for those that stay in "
                "training"
            )
