"""Types of data sets, their checks and their summary."""

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check

# Rows hashed per block, so that the summary of a memory map does not load it whole.
_ROWS_PER_BLOCK = 8192


class DataUnavailableError(OSError):
    """A data set is not on this machine and could not be downloaded or opened."""


class Split(NamedTuple):
    """Examples with their labels.

    Attributes:
      features: one row per example, shape ``(examples, features)``, uint8 or float32,
        or float16 for feature vectors; may be a read-only memory map. Images are
        flattened in C order.
      labels: class indices in [0, num_classes), int32, shape ``(examples,)``.
    """

    features: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """A training and a test split with their metadata.

    Attributes:
      name: name of the data set in reports.
      train: examples for training and model selection.
      test: examples for the final evaluation.
      class_names: one name per class, in the order of the labels.
      image_shape: shape of one image, such as (32, 32, 3) or (8, 8); None if the rows
        are feature vectors.
      max_value: feature value of full intensity 1.0: 255 for 8-bit images, 16 for
        digits, 1 for float features.
      version: version stated by the source, or "".
      source: file, folder or package of the arrays.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...] | None
    max_value: float
    version: str = ""
    source: str = ""

    @property
    def num_classes(self) -> int:
        """Number of classes, including those absent from a split."""
        return len(self.class_names)

    @property
    def num_features(self) -> int:
        """Number of features per example."""
        return self.train.features.shape[1]


def check_dataset(
    dataset: Dataset,
    *,
    names: tuple[str, str, str, str] | None = None,
) -> Dataset:
    """Returns ``dataset`` with checked uint8, float16 or float32 rows and int32 labels.

    Every source passes through this check, so that values are checked only once. A
    class may be absent from either split if ``class_names`` lists it and the training
    split has at least two classes.

    Args:
      dataset: rows and labels as read. Feature vectors stay float16 if both splits are
        float16; computations convert them to float32. Other rows that are neither uint8
        nor float32 become float32, and values beyond its range count as infinite.
      names: names of the four arrays in error messages; by default "mnist train
        features", "mnist train labels" and so on.

    Raises:
      ValueError: if rows or labels break a rule of `jaxlin.check`, the splits differ in
        width or dtype, or ``image_shape`` does not have the width of the rows.
    """
    names = names or (
        f"{dataset.name} train features",
        f"{dataset.name} train labels",
        f"{dataset.name} test features",
        f"{dataset.name} test labels",
    )
    splits_rows = (dataset.train.features, dataset.test.features)
    kept: list[Any] = [np.float32]
    if dataset.image_shape is None and all(
        getattr(rows, "dtype", None) == np.float16 for rows in splits_rows
    ):
        kept.append(np.float16)
    train_rows = _rows(names[0], splits_rows[0], kept)
    test_rows = _rows(names[2], splits_rows[1], kept, num_features=train_rows.shape[1])
    if train_rows.dtype != test_rows.dtype:
        raise ValueError(
            f"{names[2]} must have the dtype of {names[0]}, {train_rows.dtype}, got "
            f"{test_rows.dtype}; give both the same scale and dtype"
        )
    shape = dataset.image_shape
    if shape is not None and math.prod(shape) != train_rows.shape[1]:
        raise ValueError(
            f"image_shape must have {train_rows.shape[1]} entries in all, got {shape}"
        )
    splits = [
        Split(
            rows,
            check.labels(
                name, labels, num_classes=dataset.num_classes, num_examples=len(rows)
            ),
        )
        for name, rows, labels in (
            (names[1], train_rows, dataset.train.labels),
            (names[3], test_rows, dataset.test.labels),
        )
    ]
    check.several_classes(names[1], splits[0].labels)
    return dataset._replace(train=splits[0], test=splits[1])


def class_histogram(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the number of examples of each class, shape ``(num_classes,)``.

    >>> class_histogram(np.array([0, 2, 2]), 4)
    array([1, 0, 2, 0])
    """
    return np.bincount(labels, minlength=num_classes)


def absent_classes(dataset: Dataset) -> tuple[str, ...]:
    """Names of the classes without a training example."""
    counts = class_histogram(dataset.train.labels, dataset.num_classes)
    return tuple(dataset.class_names[i] for i in np.flatnonzero(counts == 0))


def summary(dataset: Dataset) -> dict[str, Any]:
    """Summary of a data set, serialisable as JSON.

    Returns:
      Name, version, source, class names, image shape, ``max_value``, and numbers of
      classes and features; per split the number of examples, the class histogram, and
      shape, dtype and SHA-256 (of the values in C order) of features and labels.
    """
    return {
        "name": dataset.name,
        "version": dataset.version,
        "source": dataset.source,
        "num_classes": dataset.num_classes,
        "num_features": dataset.num_features,
        "image_shape": None if dataset.image_shape is None else [*dataset.image_shape],
        "max_value": dataset.max_value,
        "class_names": [*dataset.class_names],
        "train": _describe(dataset.train, dataset.num_classes),
        "test": _describe(dataset.test, dataset.num_classes),
    }


def _rows(
    name: str, value: Any, kept: list[Any], *, num_features: int | None = None
) -> np.ndarray:
    """Returns checked rows in uint8, float32 or a floating dtype of ``kept``."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None and dtype.kind == "f" and dtype not in kept:
        # Converted first, so that the check for infinity finds overflows.
        with np.errstate(over="ignore"):
            value = value.astype(np.float32)
    return check.features(name, value, num_features=num_features)


def _describe(split: Split, num_classes: int) -> dict[str, Any]:
    arrays = {
        field: {
            "shape": [*array.shape],
            "dtype": str(array.dtype),
            "sha256": _sha256(array),
        }
        for field, array in split._asdict().items()
    }
    histogram = class_histogram(split.labels, num_classes)
    return {
        "num_examples": len(split.labels),
        "class_histogram": histogram.tolist(),
        **arrays,
    }


def _sha256(array: np.ndarray) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(array), _ROWS_PER_BLOCK):
        block = np.ascontiguousarray(array[start : start + _ROWS_PER_BLOCK])
        digest.update(block.data)
    return digest.hexdigest()
