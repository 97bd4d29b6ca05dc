"""Data sets in NumPy files: x_train, y_train, x_test, y_test."""

import math
import os
from pathlib import Path

import numpy as np

from jaxlin import class_labels
from jaxlin.data import array_files, dataset
from jaxlin.io import files

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_OPTIONAL = ("x_val", "y_val", "weights_train", "groups_train", "class_names")
# Names of the arrays in error messages, by what they hold.
_NAMES = {
    "train features": "x_train",
    "train labels": "y_train",
    "test features": "x_test",
    "test labels": "y_test",
    "validation features": "x_val",
    "validation labels": "y_val",
    "train weights": "weights_train",
    "train groups": "groups_train",
}


def load(path: str | os.PathLike[str]) -> dataset.Dataset:
    """Reads images or feature vectors from a ``.npz`` file or a folder of ``.npy``.

    The arrays of a folder are memory-mapped if they are uint8 or float32 in C order, or
    float16 or bfloat16 of rank 2 in all splits; for others a warning is logged.

    ``x_train`` and ``x_test`` have one example per entry of the first axis. Arrays of
    rank 2 are feature vectors; those of higher rank are images, flattened in C order,
    whose shape is kept. uint8 is taken as 8-bit pixels (``max_value`` 255), float16 and
    bfloat16 feature vectors are kept, and anything else becomes float32 (``max_value``
    1). ``y_train`` and ``y_test`` are integers 0, 1, 2, ... or text, of shape
    ``(examples,)`` or ``(examples, 1)``.

    Optional arrays: ``x_val`` and ``y_val``, validation examples like those of the test
    split; ``weights_train``, non-negative weights of the training examples;
    ``groups_train``, their groups, integers or text. ``class_names`` may name the
    classes, in the order of the integers; by default the number of classes is the
    largest label of ``y_train`` plus 1, and their names are their numbers, or the texts
    in ascending order.

    Raises:
      ValueError: if the file is not valid; the message names it and states the remedy.
    """
    path = files.expanded(path)
    try:
        found = array_files.read(path, _KEYS, optional=_OPTIONAL)
        loaded = _dataset(path, found)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    used = {"x_train": loaded.train.features, "x_test": loaded.test.features}
    if loaded.validation is not None:
        used["x_val"] = loaded.validation.features
    array_files.warn_if_copied(path, found, used)
    return loaded


def _dataset(path: Path, found: dict[str, np.ndarray]) -> dataset.Dataset:
    """Returns the checked data set."""
    rows, labels, names = _splits(found)
    x_train = rows["train"]
    splits = {
        split: dataset.Split(_flat_images(rows[split]), labels[split]) for split in rows
    }
    loaded = dataset.Dataset(
        name=path.stem,
        train=splits["train"],
        test=splits["test"],
        class_names=_class_names(names, labels),
        image_shape=x_train.shape[1:] if x_train.ndim > 2 else None,
        max_value=255.0 if x_train.dtype == np.uint8 else 1.0,
        source=str(path.resolve()),
        validation=splits.get("val"),
        train_weights=found.get("weights_train"),
        train_groups=found.get("groups_train"),
    )
    return dataset.check_dataset(loaded, names=_NAMES)


def _splits(
    found: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray | None]:
    """Rows and labels of each split, the labels as integers, and the class names."""
    given = [name for name in ("x_val", "y_val") if name in found]
    if len(given) == 1:
        raise ValueError(
            f"x_val and y_val must be given together, got {given[0]} alone; without "
            "both, validation examples are drawn from the training examples"
        )
    splits = ("train", "test", "val") if given else ("train", "test")
    rows = {split: found[f"x_{split}"] for split in splits}
    shape = rows["train"].shape[1:]
    for split in splits[1:]:
        if rows[split].shape[1:] != shape:
            raise ValueError(
                f"x_{split} must have examples of the shape of x_train, {shape}, got "
                f"{rows[split].shape[1:]}"
            )
    labels = {split: _flat_labels(found[f"y_{split}"]) for split in splits}
    names = found.get("class_names")
    if labels["train"].dtype.kind == "U":
        classes = np.unique(labels["train"]) if names is None else names
        for split in splits:
            labels[split], names = class_labels.encode(
                f"y_{split}",
                labels[split],
                classes=classes,
                remedy="give all of them as class_names",
            )
    return rows, labels, names


def _flat_images(array: np.ndarray) -> np.ndarray:
    if array.ndim <= 2:
        return array
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _flat_labels(array: np.ndarray) -> np.ndarray:
    """Returns labels without a second axis of length 1, which Keras stores."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _class_names(
    names: np.ndarray | None, labels: dict[str, np.ndarray]
) -> tuple[str, ...]:
    if names is not None:
        if names.ndim != 1 or len(np.unique(names)) != len(names):
            raise ValueError(
                "class_names must be a list of different names, one per class, got "
                f"{names.tolist()}"
            )
        return tuple(names.astype(str).tolist())
    # Labels that are empty or not integers are rejected later, with their own message.
    tops = {
        split: int(y.max()) if y.size and y.dtype.kind in "bui" else 0
        for split, y in labels.items()
    }
    num_classes = max(tops.values()) + 1
    num_labels = sum(y.size for y in labels.values())
    # Account numbers or hashes as labels would lead to billions of classes.
    if num_classes > num_labels:
        raise ValueError(
            f"labels must be 0, 1, 2, ..., got {num_classes - 1} with only "
            f"{num_labels} examples; number the classes without gaps, or give "
            "class_names"
        )
    for split, top in tops.items():
        if labels["train"].ndim == 1 and top > tops["train"] > 0:
            raise ValueError(
                f"y_{split} must hold classes of y_train, 0 to {tops['train']}, got "
                f"{top} at position {int(labels[split].argmax())}; give class_names if "
                "there are more classes than y_train has examples of"
            )
    return tuple(str(label) for label in range(max(num_classes, 1)))
