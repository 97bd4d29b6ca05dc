"""Types of data sets and their checks."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from jaxlin import check
from jaxlin.check import diagnosis

#: Floating dtypes of 16 bits, which feature vectors keep.
HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


class DataUnavailableError(OSError):
    """A data set is not on this machine and could not be downloaded or opened."""


class Split(NamedTuple):
    """Examples with their labels.

    Attributes:
      features: one row per example, shape ``(examples, features)``, uint8 or float32,
        or float16, bfloat16 or float64 for feature vectors; may be a read-only memory
        map, or a sparse CSR matrix. Images are flattened in C order.
      labels: class indices in [0, num_classes), int32, shape ``(examples,)``.
    """

    features: np.ndarray
    labels: np.ndarray


class Dataset(NamedTuple):
    """A training and a test split with their metadata.

    Attributes:
      name: name of the data set in reports.
      train: examples for training and model selection.
      test: examples for the final evaluation; without rows if the source has none.
      class_names: one name per class, in the order of the labels.
      image_shape: shape of one image, such as (32, 32, 3) or (8, 8); None if the rows
        are feature vectors.
      max_value: feature value of full intensity 1.0: 255 for 8-bit images, 16 for
        digits, 1 for float features.
      version: version stated by the source, or "".
      source: file, folder or package of the arrays.
      validation: examples that choose hyperparameters, given apart from the training
        examples; None if the source has none.
      train_weights: weights of the training examples, shape ``(examples,)``; None is
        all ones.
      train_groups: groups of the training examples that are held out together, integers
        or strings, shape ``(examples,)``; None if the source has none.
      feature_names: names of the features; None if the source has none.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...] | None
    max_value: float
    version: str = ""
    source: str = ""
    validation: Split | None = None
    train_weights: np.ndarray | None = None
    train_groups: np.ndarray | None = None
    feature_names: tuple[str, ...] | None = None

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
    names: Mapping[str, str] | None = None,
    has_test: bool = True,
    keep_float64: bool = False,
) -> Dataset:
    """Returns ``dataset`` with checked rows, labels, weights and groups.

    Every source passes through this check, so that values are checked only once. A
    class may be absent from a split if ``class_names`` lists it and the training split
    has at least two classes.

    Args:
      dataset: rows and labels as read. Feature vectors stay float16 or bfloat16 if
        those of all splits are; computations convert them to float32. Other rows that
        are neither uint8 nor float32 become float32, and values beyond its range count
        as infinite. Integers that float32 does not hold become float64, in all splits.
        Errors give the names of the columns if ``feature_names`` does.
      names: names of arrays in error messages, by default "train features", "test
        labels", "train groups" and so on, each after the name of the data set.
      has_test: whether the source has test examples; if not, the test split of
        ``dataset`` is not looked at, and the returned one has no rows.
      keep_float64: whether dense float64 rows of a split stay float64, in all splits.

    Returns:
      The data set with uint8, float32, half-precision or float64 rows, int32 labels and
      class names as text.

    Raises:
      ValueError: if an array breaks a rule of `jaxlin.check`, the splits differ in
        width or dtype, or ``image_shape`` does not have the width of the rows.
    """

    def name_of(kind: str) -> str:
        return (names or {}).get(kind, f"{dataset.name} {kind}")

    splits = _checked_splits(
        dataset, name_of, has_test=has_test, keep_float64=keep_float64
    )
    train = splits["train"]
    num_examples, num_features = train.features.shape
    shape = dataset.image_shape
    if shape is not None and math.prod(shape) != num_features:
        raise ValueError(
            f"image_shape must have {num_features} entries in all, got {shape}"
        )
    check.several_classes(name_of("train labels"), train.labels)
    weights, groups = dataset.train_weights, dataset.train_groups
    if weights is not None:
        name = name_of("train weights")
        weights = check.example_weights(name, weights, num_examples=num_examples)
    if groups is not None:
        name = name_of("train groups")
        groups = _groups(name, groups, num_examples=num_examples)
    # NumPy scalars, such as np.unique gives, cannot be written as JSON.
    class_names = tuple(map(str, dataset.class_names))
    return dataset._replace(
        **splits, class_names=class_names, train_weights=weights, train_groups=groups
    )


def _checked_splits(
    dataset: Dataset,
    name_of: Callable[[str], str],
    *,
    has_test: bool,
    keep_float64: bool,
) -> dict[str, Any]:
    """Splits with checked rows of one width and dtype, and checked labels."""
    splits = {"train": dataset.train}
    if has_test:
        splits["test"] = dataset.test
    if dataset.validation is not None:
        splits["validation"] = dataset.validation
    dtypes = {getattr(rows, "dtype", None) for rows, _ in splits.values()}
    is_half = dataset.image_shape is None and len(dtypes) == 1
    kept = [np.float32, *(HALVES if is_half else ())]
    found: dict[str, Any] = {}
    for split, (raw, _) in splits.items():
        found[split] = _rows(
            name_of(f"{split} features"),
            raw,
            [*kept, np.float64] if keep_float64 else kept,
            columns=dataset.feature_names,
            num_features=found["train"].shape[1] if found else None,
        )
    if {rows.dtype for rows in found.values()} == {np.dtype("f4"), np.dtype("f8")}:
        found = {split: rows.astype(np.float64) for split, rows in found.items()}
    checked: dict[str, Split] = {}
    for split, rows in found.items():
        dtype = found["train"].dtype
        if rows.dtype != dtype:
            raise ValueError(
                f"{name_of(f'{split} features')} must have the dtype of "
                f"{name_of('train features')}, {dtype}, got {rows.dtype}; give "
                "both the same scale and dtype"
            )
        codes = check.labels(
            name_of(f"{split} labels"),
            splits[split].labels,
            num_classes=dataset.num_classes,
            num_examples=rows.shape[0],
        )
        checked[split] = Split(rows, codes)
    if not has_test:
        rows, codes = checked["train"]
        checked["test"] = Split(rows[:0], codes[:0])
    return checked


def _rows(
    name: str,
    value: Any,
    kept: list[Any],
    *,
    columns: tuple[str, ...] | None,
    num_features: int | None = None,
) -> np.ndarray:
    """Returns checked rows in uint8, float32 or a floating dtype of ``kept``."""
    is_sparse = check.is_sparse(value)
    dtype = getattr(value, "dtype", None)
    if dtype is not None and dtype.kind == "f" and dtype.itemsize > 4:
        _check_range(name, value, columns)
    is_float = dtype is not None and (dtype.kind == "f" or dtype in HALVES)
    if is_float and dtype not in ([np.float32] if is_sparse else kept):
        value = value.astype(np.float32)
    if is_sparse:
        return check.sparse_features(name, value, num_features=num_features)
    rows = check.as_numbers(name, value, num_features=num_features)
    if rows.dtype != np.uint8:
        check.check_finite(name, rows, columns=columns)
    return rows


def _check_range(name: str, value: Any, columns: tuple[str, ...] | None) -> None:
    """Raises a ValueError for a number that is infinite in float32 alone."""
    is_sparse = check.is_sparse(value)
    entries = value.tocoo() if is_sparse else value
    numbers = entries.data if is_sparse else entries
    with np.errstate(over="ignore"):
        is_over = np.isinf(numbers.astype(np.float32)) & ~np.isinf(numbers)
    if not is_over.any():
        return
    where = tuple(np.argwhere(is_over)[0].tolist())
    found = numbers[where]
    if is_sparse:
        where = int(entries.row[where]), int(entries.col[where])
    raise ValueError(
        f"{name} must be finite in float32, got {found} (inf in float32) at "
        f"{diagnosis.place(where, columns)}; scale this feature"
    )


def _groups(name: str, value: Any, *, num_examples: int) -> np.ndarray:
    """Returns groups, integers or strings, shape ``(examples,)``."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuUS" or array.ndim != 1:
        raise ValueError(
            f"{name} must be integers or strings, one per example, got {array.dtype} "
            f"of shape {array.shape}"
        )
    check.one_per_example(name, len(array), num_examples=num_examples)
    return array.astype(str) if array.dtype.kind == "S" else array
