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
      examples)``; -1 for examples that a row never holds out, -2 for those that it does
      not train on either. Splits that do not form partitions of equally many folds have
      a row each.

    Raises:
      ValueError: if there is no split, or one holds out nothing, has an example twice
        or has other values than indices of the examples.
    """
    splits = [
        _split(number, train, test, num_examples)
        for number, (train, test) in enumerate(pairs)
    ]
    if not splits:
        raise ValueError("splitter must give a split, got none")
    rows = np.stack(splits)
    if (rows == -2).any():
        return rows
    partitions = [np.full(num_examples, -1, np.int32)]
    for row in rows:
        # Disjoint from the ones before: a further fold of the same partition.
        if (partitions[-1][row == 0] >= 0).any():
            partitions.append(np.full(num_examples, -1, np.int32))
        partitions[-1][row == 0] = partitions[-1].max() + 1
    if len({fold_ids.max() for fold_ids in partitions}) == 1:
        rows = np.stack(partitions)
    return rows[0] if len(rows) == 1 else rows


def _split(number: int, train: Any, test: Any, num_examples: int) -> np.ndarray:
    """Fold ids of one split: 0 for the examples held out, -1 for training ones."""
    fold_ids = np.full(num_examples, -2, np.int32)
    for name, code, given in (("train on", -1, train), ("hold out", 0, test)):
        indices = np.asarray(given)
        if not indices.size:
            raise ValueError(
                f"splitter must {name} an example in each split, got none in split "
                f"{number}"
            )
        indices = _checked(indices, number, num_examples)
        twice = (fold_ids[indices] != -2) | (np.bincount(indices)[indices] > 1)
        if twice.any():
            raise ValueError(
                "splitter must give each example once in a split, got example "
                f"{indices[np.argmax(twice)]} twice in split {number}"
            )
        fold_ids[indices] = code
    return fold_ids


def _checked(indices: np.ndarray, number: int, num_examples: int) -> np.ndarray:
    """Indices, int64; a ValueError for other values than indices of the examples."""
    if indices.dtype.kind not in "iu" or indices.ndim != 1:
        remedy = "convert them to integers"
        if indices.dtype.kind == "b":
            remedy = "give np.flatnonzero(mask) for a mask"
        elif indices.ndim != 1:
            remedy = "give pairs (train, test) of such indices"
        raise ValueError(
            "splitter must give indices of examples, integers of shape (indices,), got "
            f"{indices.dtype} of shape {indices.shape} in split {number}; {remedy}"
        )
    outside = (indices < 0) | (indices >= num_examples)
    if outside.any():
        raise ValueError(
            f"splitter must give indices in [0, {num_examples - 1}], positions among "
            f"the labels, got {indices[np.argmax(outside)]} in split {number}; give "
            "the labels that the splits were made for, and count from 0"
        )
    return indices.astype(np.int64)
