"""Joined embeddings and the answers that are frequent: a question about a picture.

The usual head for visual question answering puts an embedding of the image beside one
of the question and classifies what they make together into the K most frequent answers
(Antol et al., VQA: visual question answering, ICCV 2015). An answer outside those K
cannot be given: such training examples are left out, such test examples are wrong
whatever the classifier says, and `Coverage` counts both.

  >>> import numpy as np
  >>> from jaxlin.data import embeddings
  >>> answers = np.array(["yes", "no", "yes", "two", "no", "yes", "blue"])
  >>> frequent = embeddings.frequent_answers(answers, size=2)
  >>> frequent
  ('yes', 'no')
  >>> embeddings.encode(answers, frequent).tolist()
  [0, 1, 0, -1, 1, 0, -1]
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.data import array_files, dataset
from jaxlin.data.dataset import Dataset, Split

# The label of an answer that is not in the vocabulary.
OUTSIDE = -1


class Coverage(NamedTuple):
    """What a vocabulary of answers leaves out.

    Attributes:
      size: K, number of answers in the vocabulary.
      distinct: different answers among the training examples.
      train_examples: before any was left out.
      train_outside: training examples left out.
      test_examples: before any was left out.
      test_outside: test examples whose answer cannot be given.
    """

    size: int
    distinct: int
    train_examples: int
    train_outside: int
    test_examples: int
    test_outside: int

    @property
    def ceiling(self) -> float:
        """The best test accuracy that any classifier into these answers can have."""
        return 1 - self.test_outside / self.test_examples

    def __str__(self) -> str:
        return (
            f"{self.size} of {self.distinct} answers; outside them "
            f"{self.train_outside:,} of {self.train_examples:,} training examples, "
            f"which are left out, and {self.test_outside:,} of {self.test_examples:,} "
            f"test examples, which are wrong: accuracy is at most "
            f"{100 * self.ceiling:.2f} %"
        )


def joined(*embeddings: Any) -> np.ndarray:
    """Puts embeddings of the same examples side by side.

    Args:
      embeddings: each of shape ``(examples, width)``, or with more axes, which are
        flattened; uint8 or floating. Their sizes may differ: standardise the features
        (`jaxlin.normalization.fit_standard`).

    Returns:
      float32 (or the dtype of a single one), shape ``(examples, sum of widths)``.

    Raises:
      ValueError: if there is none, or they are not of the same examples.
    """
    if not embeddings:
        raise ValueError("embeddings must be at least one array, got none")
    rows = []
    for number, one in enumerate(embeddings):
        array = np.asarray(one)
        if array.ndim == 0 or array.dtype.kind not in "buif" or not array.size:
            raise ValueError(
                "embeddings must be numbers of shape (examples, width), got "
                f"{array.dtype} of shape {array.shape} as number {number}"
            )
        rows.append(array.reshape(len(array), -1))
    lengths = [len(one) for one in rows]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"embeddings must be of the same examples, got {lengths} of them; leave "
            "out those that one part lacks"
        )
    if len(rows) == 1:
        return rows[0]
    return np.concatenate([one.astype(np.float32) for one in rows], axis=1)


def frequent_answers(answers: Any, *, size: int) -> tuple[Any, ...]:
    """The most frequent answers, most frequent first; of equally frequent the smaller.

    Args:
      answers: integers or strings, one an example, shape ``(examples,)``.
      size: K, at least 2; all of them if there are fewer.

    Raises:
      ValueError: if the answers are of another type, or K is below 2.
    """
    found, counts = np.unique(_answers("answers", answers), return_counts=True)
    check.integer("size", size, at_least=2)
    order = np.argsort(-counts, kind="stable")[:size]
    return tuple(found[order].tolist())


def encode(answers: Any, vocabulary: Sequence[Any]) -> np.ndarray:
    """Labels of answers: their places in the vocabulary, or `OUTSIDE`.

    Args:
      answers: as of `frequent_answers`.
      vocabulary: distinct answers of the same type.

    Returns:
      int32, shape ``(examples,)``.
    """
    given = _answers("answers", answers)
    known = np.asarray(vocabulary)
    if not known.size:
        raise ValueError("vocabulary must have an answer, got none")
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known[order], given), len(known) - 1)
    labels = order[place]
    return np.where(known[labels] == given, labels, OUTSIDE).astype(np.int32)


def load(
    path: str | os.PathLike[str],
    *,
    parts: Sequence[str] = ("x",),
    num_answers: int,
) -> tuple[Dataset, Coverage]:
    """Reads joined embeddings, with the frequent answers of the training examples.

    Args:
      path: a ``.npz`` file or a folder of ``.npy`` files with ``PART_train`` and
        ``PART_test`` for each part, and answers ``y_train`` and ``y_test``: integers
        or strings. A single part of a folder stays mapped where all its answers are in
        the vocabulary; a warning is logged where it does not. Several parts are copied
        side by side.
      parts: names of the embeddings, such as ``("image", "question")``.
      num_answers: K.

    Returns:
      The data set of the examples whose answer is in the vocabulary, whose classes are
      called by their answers; and what was left out of both splits.

    Raises:
      ValueError: naming the file, what is wrong with it and what to do.
    """
    path = Path(path)
    if isinstance(parts, str) or not parts:
        raise ValueError(
            f'parts must name at least one array, such as ("image", "question"), got '
            f"{parts!r}"
        )
    splits = ("train", "test")
    names = [f"{name}_{split}" for name in (*parts, "y") for split in splits]
    try:
        found = array_files.read(path, names)
        vocabulary = frequent_answers(found["y_train"], size=num_answers)
        kept, counts = {}, {}
        for split in splits:
            rows = joined(*(found[f"{name}_{split}"] for name in parts))
            labels = encode(found[f"y_{split}"], vocabulary)
            if len(labels) != len(rows):
                raise ValueError(
                    f"y_{split} must have one answer per example, got {len(labels)} "
                    f"for {len(rows)} examples"
                )
            is_inside = labels != OUTSIDE
            if not is_inside.any():
                raise ValueError(
                    f"y_{split} must have an answer of the vocabulary, got none; "
                    "are both splits answered in the same words?"
                )
            # A mask would copy a mapped array.
            inside = rows if is_inside.all() else rows[is_inside]
            kept[split] = Split(inside, labels[is_inside])
            counts[split] = (len(labels), int(np.sum(~is_inside)))
        loaded = dataset.checked(
            Dataset(
                name=path.stem,
                train=kept["train"],
                test=kept["test"],
                class_names=tuple(map(str, vocabulary)),
                image_shape=None,
                max_value=1.0,
                source=str(path.resolve()),
            ),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(parts) == 1:
        used = (loaded.train.features, loaded.test.features)
        array_files.say_if_copied(path, found, dict(zip(names[:2], used, strict=True)))
    distinct = len(np.unique(np.asarray(found["y_train"])))
    return loaded, Coverage(
        len(vocabulary), distinct, *counts["train"], *counts["test"]
    )


def _answers(name: str, value: Any) -> np.ndarray:
    """Integers or strings, one an example."""
    array = np.asarray(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "iuUS" or array.ndim != 1 or not array.size:
        raise ValueError(
            f"{name} must be integers or strings, one an example, got {array.dtype} of "
            f"shape {array.shape}"
        )
    return array.astype(str) if array.dtype.kind == "S" else array
