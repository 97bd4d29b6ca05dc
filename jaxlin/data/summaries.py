"""Summary of a data set: numbers of examples, classes, checksums of the arrays."""

import hashlib
from typing import Any

import numpy as np

from jaxlin import check
from jaxlin.data.dataset import Dataset, Split

# Rows hashed per block, so that the summary of a memory map does not load it whole.
_ROWS_PER_BLOCK = 8192


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
      shape, dtype and SHA-256 (of the values in C order) of features and labels; the
      same of weights and groups, where there are any.
    """
    optional = {
        field: _describe_array(value)
        for field in ("train_weights", "train_groups")
        if (value := getattr(dataset, field)) is not None
    }
    if dataset.validation is not None:
        optional["validation"] = _describe(dataset.validation, dataset.num_classes)
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
        **optional,
    }


def _describe(split: Split, num_classes: int) -> dict[str, Any]:
    arrays = {field: _describe_array(array) for field, array in split._asdict().items()}
    histogram = class_histogram(split.labels, num_classes)
    return {
        "num_examples": len(split.labels),
        "class_histogram": histogram.tolist(),
        **arrays,
    }


def _describe_array(array: np.ndarray) -> dict[str, Any]:
    return {
        "shape": [*array.shape],
        "dtype": str(array.dtype),
        "sha256": _sha256(array),
    }


def _sha256(array: np.ndarray) -> str:
    digest = hashlib.sha256()
    if check.is_sparse(array):
        for part in (array.data, array.indices, array.indptr):  # type: ignore[attr-defined]
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()
    for start in range(0, len(array), _ROWS_PER_BLOCK):
        block = np.ascontiguousarray(array[start : start + _ROWS_PER_BLOCK])
        # As bytes: a bfloat16 array has no buffer format.
        digest.update(block.view(np.uint8).data)
    return digest.hexdigest()
