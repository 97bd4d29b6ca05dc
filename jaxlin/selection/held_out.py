"""Held-out sets for model selection where some classes have few examples.

A tenth of the examples, or each of several folds in turn, stratified by label.
Examples of weight 0 count as absent. The only example of a class is never held out, so
that every training set has every class:

  >>> import jax
  >>> from jaxlin.selection import held_out
  >>> labels = [0] * 20 + [1] * 20 + [2]
  >>> parts = held_out.weights(jax.random.key(0), labels, num_folds=5)
  >>> parts.shape, parts.sum(axis=1), parts[:, -1].sum()
  ((5, 41), array([8., 8., 8., 8., 8.], dtype=float32), np.float32(0.0))
"""

import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, class_labels
from jaxlin.selection import folds, splits
from jaxlin.typing import Array


def weights(
    key: Array,
    labels: ArrayLike,
    *,
    example_weights: ArrayLike | None = None,
    num_settings: int = 2,
    validation_fraction: float = 0.1,
    num_folds: int | None = None,
) -> np.ndarray:
    """Example weights of the held-out set of each part.

    Args:
      key: a `jax.random.key`.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``.
      example_weights: shape ``(examples,)``, non-negative; None is all ones. Examples
        of weight 0 are never held out; other weights have no effect on the draw.
      num_settings: number of settings to compare, at least 1. With a single setting
        there may be no held-out set.
      validation_fraction: held-out share of the examples of classes with two or more
        examples, in (0, 1); ignored with ``num_folds``.
      num_folds: number of folds, at least 2, each of which is one part; None makes one
        part of ``validation_fraction``. The examples of a class with fewer examples
        than folds go to different folds.

    Returns:
      Weights of 0 and 1, float32, shape ``(parts, examples)``; no part if there are too
      few examples to hold out and a single setting.

    Raises:
      ValueError: if there are several settings and too few examples to hold out, or an
        argument is out of range.
    """
    check.key("key", key)
    labels, _ = class_labels.encode("labels", labels)
    counted = np.arange(len(labels))
    if example_weights is not None:
        counted = np.flatnonzero(
            check.example_weights(
                "example_weights", example_weights, num_examples=len(labels)
            )
        )
    rest = counted[np.bincount(labels[counted])[labels[counted]] > 1]
    if num_folds is None:
        check.number("validation_fraction", validation_fraction, above=0, below=1)
        is_short = len(rest) * validation_fraction < 0.5
    else:
        check.integer("num_folds", num_folds, at_least=2)
        is_short = not len(rest)
    if is_short and num_settings == 1:
        return np.zeros((0, len(labels)), np.float32)
    if not len(rest):
        raise ValueError(
            "labels must have two examples of some class, one of them to choose a "
            f"setting by, got {len(counted)} examples of as many classes; give a "
            "single setting"
        )
    found = np.zeros((num_folds or 1, len(labels)), np.float32)
    found[:, rest] = _draw(key, labels[rest], validation_fraction, num_folds)
    return found


def _draw(
    key: Array, labels: np.ndarray, validation_fraction: float, num_folds: int | None
) -> np.ndarray:
    """Held-out weights of examples that may all be held out, ``(parts, examples)``."""
    if num_folds is None:
        split = splits.stratified_split(key, labels, fraction=validation_fraction)
        found = np.zeros((1, len(labels)), np.float32)
        found[0, split.held_out] = 1
        return found
    fold_ids = folds.stratified_k_fold(
        key, labels, num_folds=num_folds, allow_missing_classes=True
    )
    return 1 - folds.train_weights(fold_ids, num_folds=num_folds)
