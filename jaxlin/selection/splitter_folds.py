"""Fold ids of pairs of indices, as scikit-learn's splitters give them."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def from_pairs(pairs: Iterable[tuple[Any, Any]], *, num_examples: int) -> np.ndarray:
    """Fold ids, a row for each partition of the examples.

    Args:
      pairs: indices of the training and of the held-out examples of each split.
      num_examples: number of examples.

    Returns:
      Fold ids, int32, shape ``(examples,)`` for one partition, else ``(repeats,
      examples)``; -1 for examples that a row never holds out. Splits that do not form
      partitions of equally many folds have a row each.

    Raises:
      ValueError: if there is no split, or one does not train on all examples that it
        does not hold out.
    """
    held_out = [
        _held_out(number, train, test, num_examples)
        for number, (train, test) in enumerate(pairs)
    ]
    if not held_out:
        raise ValueError("splitter must give a split, got none")
    rows: list[np.ndarray] = []
    for mask in held_out:
        # Disjoint from the ones before: a further fold of the same partition.
        if not rows or (rows[-1][mask] >= 0).any():
            rows.append(np.full(num_examples, -1, np.int32))
        rows[-1][mask] = rows[-1].max() + 1
    if len({row.max() for row in rows}) > 1:
        rows = [np.where(mask, 0, -1).astype(np.int32) for mask in held_out]
    return rows[0] if len(rows) == 1 else np.stack(rows)


def _held_out(number: int, train: Any, test: Any, num_examples: int) -> np.ndarray:
    """Checked mask of the held-out examples of a split."""
    times = np.zeros((2, num_examples), int)
    for i, indices in enumerate((train, test)):
        # An empty list would be of floats.
        found = np.asarray(indices) if len(indices) else np.zeros(0, int)
        np.add.at(times[i], found, 1)
    if not times[1].any():
        raise ValueError(
            f"splitter must hold out an example in each split, got none in split "
            f"{number}"
        )
    if (times.sum(axis=0) != 1).any():
        where = int(np.argmax(times.sum(axis=0) != 1))
        place = "neither in training nor held out"
        if times[:, where].any():
            place = "there more than once"
        raise ValueError(
            "splitter must train on all examples that it does not hold out, got split "
            f"{number}, where example {where} is {place}; for other training sets give "
            "jaxlin.sweep their weights: weight_sets="
        )
    return times[1] > 0
