"""Joined embeddings with frequent answers as classes, as in visual question answering.

The usual head for visual question answering concatenates an embedding of the image and
one of the question, and classifies the result into the K most frequent answers (Antol
et al., VQA: visual question answering, ICCV 2015). The classifier cannot predict an
answer outside those K: such training examples are left out, such test examples are
always errors, and `Coverage` counts both.

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
from jaxlin.io import files

#: Label of an answer that is not in the vocabulary.
OUTSIDE = -1


class Coverage(NamedTuple):
    """Numbers of examples inside and outside a vocabulary of answers.

    Attributes:
      size: number of answers in the vocabulary, K.
      distinct: number of distinct answers among the training examples.
      train_examples: number of training examples, including those left out.
      train_outside: number of training examples left out.
      test_examples: number of test examples, including those left out.
      test_outside: number of test examples with an answer outside the vocabulary.
    """

    size: int
    distinct: int
    train_examples: int
    train_outside: int
    test_examples: int
    test_outside: int

    @property
    def ceiling(self) -> float:
        """Upper bound of the test accuracy of a classifier into these answers."""
        return 1 - self.test_outside / self.test_examples

    def __str__(self) -> str:
        return (
            f"{self.size} of {self.distinct} answers; outside them "
            f"{self.train_outside:,} of {self.train_examples:,} training examples, "
            f"which are left out, and {self.test_outside:,} of {self.test_examples:,} "
            f"test examples, which are wrong: accuracy is at most "
            f"{100 * self.ceiling:.2f} %"
        )


def join(*embeddings: Any) -> np.ndarray:
    """Concatenates embeddings of the same examples.

    Args:
      embeddings: arrays of shape ``(examples, width)``, uint8 or floating; further axes
        are flattened. Their scales may differ: standardise the features
        (`jaxlin.normalization.fit_standard`).

    Returns:
      Joined rows, shape ``(examples, sum of widths)``, of the dtype of all embeddings
      if it is float16 or bfloat16, else float32; a single embedding keeps its dtype.

    Raises:
      ValueError: if there are no embeddings, or their numbers of examples differ.
    """
    if not embeddings:
        raise ValueError("embeddings must be at least one array, got none")
    rows = []
    for number, one in enumerate(embeddings):
        array = np.asarray(one)
        is_number = array.dtype.kind in "buif" or array.dtype in dataset.HALVES
        if array.ndim == 0 or not is_number or not array.size:
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
    dtypes = {one.dtype for one in rows}
    is_half = len(dtypes) == 1 and dtypes <= set(dataset.HALVES)
    dtype = rows[0].dtype if is_half else np.dtype(np.float32)
    # Converted in place: no second copy of a whole part.
    return np.concatenate(rows, axis=1, dtype=dtype, casting="unsafe")


def frequent_answers(answers: Any, *, size: int) -> tuple[Any, ...]:
    """The K most frequent answers in descending order; ties go to the smaller answer.

    Args:
      answers: integers or strings, one per example, shape ``(examples,)``.
      size: number of answers K, at least 2; all answers if there are fewer.

    Raises:
      ValueError: if the answers are of another type, or ``size`` is below 2.
    """
    found, counts = np.unique(_answers("answers", answers), return_counts=True)
    check.integer("size", size, at_least=2)
    order = np.argsort(-counts, kind="stable")[:size]
    return tuple(found[order].tolist())


def encode(answers: Any, vocabulary: Sequence[Any]) -> np.ndarray:
    """Labels of answers: their indices in the vocabulary, or `OUTSIDE`.

    Args:
      answers: integers or strings, one per example, shape ``(examples,)``.
      vocabulary: distinct answers of the same type, at least one.

    Returns:
      Labels, int32, shape ``(examples,)``.
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
    """Reads joined embeddings, with the frequent answers of the training split.

    Args:
      path: a ``.npz`` file or a folder of ``.npy`` files with ``PART_train`` and
        ``PART_test`` for each part, and answers ``y_train`` and ``y_test``: integers
        or strings. A single part of a folder stays memory-mapped if all its answers are
        in the vocabulary; otherwise a warning is logged. Several parts are copied into
        one array.
      parts: names of the embeddings, such as ``("image", "question")``; ``("x",)`` by
        default.
      num_answers: number of answers K in the vocabulary, at least 2.

    Returns:
      The data set of the examples whose answer is in the vocabulary, with the answers
      as class names; and the coverage of both splits.

    Raises:
      ValueError: if the file is not valid; the message names it and states the remedy.
    """
    path = files.expanded(path)
    if isinstance(parts, str) or not parts:
        raise ValueError(
            f'parts must name at least one array, such as ("image", "question"), got '
            f"{parts!r}"
        )
    names = {
        split: [f"{name}_{split}" for name in (*parts, "y")]
        for split in ("train", "test", "val")
    }
    try:
        found = array_files.read(
            path,
            names["train"] + names["test"],
            optional=(*names["val"], "weights_train", "groups_train"),
        )
        loaded, coverage = _loaded(path, found, parts, names, num_answers)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(parts) == 1:
        used = {names["train"][0]: loaded.train.features}
        used[names["test"][0]] = loaded.test.features
        if loaded.validation is not None:
            used[names["val"][0]] = loaded.validation.features
        array_files.warn_if_copied(path, found, used)
    return loaded, coverage


def _loaded(
    path: Path,
    found: dict[str, np.ndarray],
    parts: Sequence[str],
    names: dict[str, list[str]],
    num_answers: int,
) -> tuple[Dataset, Coverage]:
    """Checked data set of arrays as read, and the coverage of its answers."""
    given = [name for name in names["val"] if name in found]
    missing = [name for name in names["val"] if name not in found]
    if given and missing:
        raise ValueError(
            f"{', '.join(names['val'])} must be given together, missing "
            f"{', '.join(missing)}"
        )
    vocabulary = frequent_answers(found["y_train"], size=num_answers)
    train, is_inside = _covered(found, parts, "train", vocabulary)
    test, is_inside_test = _covered(found, parts, "test", vocabulary)
    # Of all training examples, as the file has them.
    weights, groups = (
        None if name not in found else _same_examples(name, found[name], is_inside)
        for name in ("weights_train", "groups_train")
    )
    loaded = dataset.check_dataset(
        Dataset(
            name=path.stem,
            train=train,
            test=test,
            class_names=tuple(map(str, vocabulary)),
            image_shape=None,
            max_value=1.0,
            source=str(path.resolve()),
            validation=_covered(found, parts, "val", vocabulary)[0] if given else None,
            train_weights=weights,
            train_groups=groups,
        ),
        names={"train weights": "weights_train", "train groups": "groups_train"},
    )
    coverage = Coverage(
        len(vocabulary),
        len(np.unique(np.asarray(found["y_train"]))),
        len(is_inside),
        int(np.sum(~is_inside)),
        len(is_inside_test),
        int(np.sum(~is_inside_test)),
    )
    return loaded, coverage


def _same_examples(name: str, values: np.ndarray, is_inside: np.ndarray) -> np.ndarray:
    """Values of the training examples with known answers."""
    check.one_per_example(name, len(values), num_examples=len(is_inside))
    return values if is_inside.all() else values[is_inside]


def _covered(
    arrays: dict[str, np.ndarray],
    parts: Sequence[str],
    split: str,
    vocabulary: Sequence[Any],
) -> tuple[Split, np.ndarray]:
    """Examples of a split with known answers, and the mask of them among all.

    Raises:
      ValueError: if the numbers of answers and examples differ, or no answer is known.
    """
    rows = join(*(arrays[f"{name}_{split}"] for name in parts))
    labels = encode(arrays[f"y_{split}"], vocabulary)
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
    # A mask would copy a memory-mapped array.
    inside = rows if is_inside.all() else rows[is_inside]
    return Split(inside, labels[is_inside]), is_inside


def _answers(name: str, value: Any) -> np.ndarray:
    """Checked answers, integers or strings, shape ``(examples,)``."""
    array = np.asarray(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind not in "iuUS" or array.ndim != 1 or not array.size:
        raise ValueError(
            f"{name} must be integers or strings, one an example, got {array.dtype} of "
            f"shape {array.shape}"
        )
    return array.astype(str) if array.dtype.kind == "S" else array
