"""Fold ids of pairs of indices, as scikit-learn's splitters give them."""

from collections.abc import Iterable
from typing import Any

import numpy as np


def from_pairs(
    pairs: Iterable[tuple[Any, Any]], *, num_examples: int, are_disjoint: bool = False
) -> np.ndarray:
    """Fold ids, a row for each partition of the examples.

    Args:
      pairs: indices of the training and of the held-out examples of each split.
      num_examples: number of examples.
      are_disjoint: whether all splits hold out disjoint sets by construction, so that
        they are the folds of one partition even if they do not hold out every example.
        Sets that were drawn are disjoint by chance.

    Returns:
      Fold ids, int32, shape ``(examples,)`` for one partition, else ``(repeats,
      examples)``; -1 for examples that a row never holds out, -2 for those that it does
      not train on either. Successive splits that hold out every example once share a
      row, if all do and their number is equal. Otherwise each split has its own row.

    Raises:
      ValueError: if there is no split, or one is no pair, holds out nothing, has an
        example twice or has other values than indices of the examples.
    """
    if not isinstance(pairs, Iterable):
        raise _no_splitter(pairs)
    splits = []
    for number, pair in enumerate(pairs):
        try:
            train, test = pair
        except (TypeError, ValueError):
            raise ValueError(
                "splitter must give pairs (train, test) of indices, got "
                f"{pair!r:.80} as split {number}"
            ) from None
        splits.append(_split(number, train, test, num_examples))
    if not splits:
        raise ValueError("splitter must give a split, got none")
    rows = np.stack(splits)
    if (rows == -2).any():
        return rows
    partitions = _partitions(rows)
    are_whole = are_disjoint or all((fold_ids >= 0).all() for fold_ids in partitions)
    if are_whole and len({fold_ids.max() for fold_ids in partitions}) == 1:
        rows = np.stack(partitions)
    return rows[0] if len(rows) == 1 else rows


def check_splitter(splitter: Any) -> None:
    """Raises a ValueError for a class in place of its instance, and for text."""
    # Text has a method of the same name.
    if isinstance(splitter, type | str):
        raise _no_splitter(splitter)


def _no_splitter(given: Any) -> ValueError:
    remedy = "give an instance" if isinstance(given, type) else "such as KFold(5)"
    return ValueError(
        "splitter must be an object with split(features, labels, groups), or pairs "
        f"(train, test) of indices, got {given!r:.80}; {remedy}"
    )


def _partitions(rows: np.ndarray) -> list[np.ndarray]:
    """Fold ids of runs of splits that hold out disjoint sets."""
    partitions = [np.full(rows.shape[1], -1, np.int32)]
    for row in rows:
        # Disjoint from the ones before: a further fold of the same partition.
        if (partitions[-1][row == 0] >= 0).any():
            partitions.append(np.full(rows.shape[1], -1, np.int32))
        partitions[-1][row == 0] = partitions[-1].max() + 1
    return partitions


def _split(number: int, train: Any, test: Any, num_examples: int) -> np.ndarray:
    """Fold ids of one split: 0 for the examples held out, -1 for training ones."""
    fold_ids = np.full(num_examples, -2, np.int32)
    for name, code, given in (("train on", -1, train), ("hold out", 0, test)):
        try:
            indices = np.asarray(given)
        except ValueError:  # Lists of different lengths.
            indices = np.empty((1, 1), object)
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
