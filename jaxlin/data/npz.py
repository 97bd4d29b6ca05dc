"""Data sets in NumPy files: x_train, y_train, x_test, y_test."""

import math
import os
from pathlib import Path

import numpy as np

from jaxlin import class_labels
from jaxlin.data import array_files, dataset

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def load(path: str | os.PathLike[str]) -> dataset.Dataset:
    """Reads images or feature vectors from a ``.npz`` file or a folder of ``.npy``.

    The arrays of a folder are memory-mapped if they are uint8 or float32 in C order, or
    float16 of rank 2; for others a warning is logged.

    ``x_train`` and ``x_test`` have one example per entry of the first axis. Arrays of
    rank 2 are feature vectors; those of higher rank are images, flattened in C order,
    whose shape is kept. uint8 is taken as 8-bit pixels (``max_value`` 255), float16
    feature vectors are kept, and anything else becomes float32 (``max_value`` 1).
    ``y_train`` and ``y_test`` are integers 0, 1, 2, ... or text, of shape
    ``(examples,)`` or ``(examples, 1)``. ``class_names`` may name the classes, in the
    order of the integers; by default the number of classes is the largest label of
    ``y_train`` plus 1, and their names are their numbers, or the texts in ascending
    order.

    Raises:
      ValueError: if the file is not valid; the message names it and states the remedy.
    """
    path = Path(path)
    try:
        found = array_files.read(path, _KEYS, optional=("class_names",))
        loaded = _dataset(path, found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    used = {"x_train": loaded.train.features, "x_test": loaded.test.features}
    array_files.warn_if_copied(path, found, used)
    return loaded


def _dataset(path: Path, found: dict[str, np.ndarray]) -> dataset.Dataset:
    """Returns the checked data set."""
    x_train, y_train, x_test, y_test = (found[key] for key in _KEYS)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"x_test must have examples of the shape of x_train, {x_train.shape[1:]}, "
            f"got {x_test.shape[1:]}"
        )
    y_train, y_test = _flat_labels(y_train), _flat_labels(y_test)
    names = found.get("class_names")
    if y_train.dtype.kind == "U":
        classes = np.unique(y_train) if names is None else names
        remedy = "give all of them as class_names"
        y_train, names = class_labels.encode(
            "y_train", y_train, classes=classes, remedy=remedy
        )
        y_test, _ = class_labels.encode(
            "y_test", y_test, classes=classes, remedy=remedy
        )
    image_shape = x_train.shape[1:] if x_train.ndim > 2 else None
    is_bytes = x_train.dtype == np.uint8
    loaded = dataset.Dataset(
        name=path.stem,
        train=dataset.Split(_flat_images(x_train), y_train),
        test=dataset.Split(_flat_images(x_test), y_test),
        class_names=_class_names(names, y_train, y_test),
        image_shape=image_shape,
        max_value=255.0 if is_bytes else 1.0,
        source=str(path.resolve()),
    )
    return dataset.check_dataset(loaded, names=_KEYS)


def _flat_images(array: np.ndarray) -> np.ndarray:
    if array.ndim <= 2:
        return array
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _flat_labels(array: np.ndarray) -> np.ndarray:
    """Returns labels without a second axis of length 1, which Keras stores."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _class_names(
    names: np.ndarray | None, y_train: np.ndarray, y_test: np.ndarray
) -> tuple[str, ...]:
    if names is not None:
        if names.ndim != 1 or len(np.unique(names)) != len(names):
            raise ValueError(
                "class_names must be a list of different names, one per class, got "
                f"{names.tolist()}"
            )
        return tuple(names.astype(str).tolist())
    # Labels that are empty or not integers are rejected later, with their own message.
    tops = [
        int(y.max()) if y.size and y.dtype.kind in "bui" else 0
        for y in (y_train, y_test)
    ]
    num_classes = max(tops) + 1
    # Account numbers or hashes as labels would lead to billions of classes.
    if num_classes > y_train.size + y_test.size:
        raise ValueError(
            f"labels must be 0, 1, 2, ..., got {num_classes - 1} with only "
            f"{y_train.size + y_test.size} examples; number the classes without gaps, "
            "or give class_names"
        )
    if y_train.ndim == 1 and tops[1] > tops[0] > 0:
        raise ValueError(
            f"y_test must hold classes of y_train, 0 to {tops[0]}, got {tops[1]} at "
            f"position {int(y_test.argmax())}; give class_names if there are more "
            "classes than y_train has examples of"
        )
    return tuple(str(label) for label in range(max(num_classes, 1)))
