"""Examples in files with a label each, such as CSV or svmlight.

A file holds the examples of one split, or a part of them. A reader turns files into
tables (`jaxlin.data.readers`); this module joins them into a data set.
"""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jaxlin import check, class_labels
from jaxlin.check import diagnosis, foreign
from jaxlin.data.dataset import Dataset, Split, check_dataset

_UNPACK: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress,
    ".bz2": bz2.decompress,
    ".xz": lzma.decompress,
}


class Table(NamedTuple):
    """Examples of one file.

    Attributes:
      features: rows ``(examples, features)``, a sparse CSR matrix of that shape, or
        8-bit images ``(examples, height, width, channels)``.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``.
      feature_names: names of the columns; None if the format has none.
      class_names: names of the labels 0, 1, ...; None if the file does not state them.
    """

    features: Any
    labels: np.ndarray
    feature_names: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None


def opened(path: Path) -> IO[bytes]:
    """Opens a file that may be compressed, as the end of its name says.

    Raises:
      ValueError: if the compressed file is damaged.
      OSError: if the file cannot be read.
    """
    end = path.suffix.lower()
    if end not in _UNPACK:
        return path.open("rb")
    packed = path.read_bytes()
    try:
        return io.BytesIO(_UNPACK[end](packed))
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(
            f"{path}: must be a whole {path.suffix} file ({error}); take a new copy"
        ) from error


def uncompressed_name(path: Path) -> str:
    """Name of a file without the end that says how it is compressed."""
    return path.stem if path.suffix.lower() in _UNPACK else path.name


def label_column(path: Path, names: Sequence[str], label: str | None) -> str:
    """Returns the column of the labels.

    Args:
      path: file, for the message.
      names: names of all columns.
      label: name that was asked for; None is ``"label"``.

    Raises:
      ValueError: if there is no such column.
    """
    wanted = "label" if label is None else label
    if wanted not in names:
        raise ValueError(
            f"{path}: label must name the column of the labels, one of "
            f"{', '.join(map(repr, names))}, got {wanted!r}"
        )
    return wanted


def check_distinct(path: Path, names: Sequence[str]) -> None:
    """Raises a ValueError if columns have the same name."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(
            f"{path}: names of columns must differ, got {', '.join(repeated)} more "
            "than once"
        )


def joined(tables: Sequence[Table]) -> Table:
    """Returns one table of the examples of several files.

    Raises:
      ValueError: if the files have no common columns, image shape, class names or kind
        of labels.
    """
    first = tables[0]
    if len(tables) == 1:
        return first
    for table in tables[1:]:
        check_same_columns(first, table)
    if check.is_sparse(first.features):
        import scipy.sparse

        rows = scipy.sparse.vstack([one.features for one in tables], format="csr")
    else:
        rows = concatenated([one.features for one in tables])
    labels = [_whole(one.labels) for one in tables]
    kinds = sorted({_kind(one) for one in labels})
    if len(kinds) > 1:
        # Joined by NumPy, numbers would become text, or booleans numbers.
        raise ValueError(
            f"files must have labels of one kind, got {' and '.join(kinds)}; save them "
            "with the same type"
        )
    return first._replace(features=rows, labels=np.concatenate(labels))


def concatenated(parts: Sequence[np.ndarray], *, axis: int = 0) -> np.ndarray:
    """Joins arrays of numbers, where NumPy would round integers beside floats."""
    if len({part.dtype for part in parts}) > 1:
        parts = [exact("features", part) for part in parts]
    return np.concatenate(parts, axis=axis)


def exact(name: str, array: np.ndarray) -> np.ndarray:
    """Returns integers and booleans as floats of the same value, others as they are.

    Raises:
      ValueError: if float64 does not hold an integer.
    """
    return foreign.exact_floats(name, array) if array.dtype.kind in "bui" else array


def check_same_columns(first: Table, other: Table) -> None:
    """Raises a ValueError unless two tables can be rows of the same data set."""
    if first.feature_names != other.feature_names:
        raise ValueError(
            f"files must have the same columns in the same order, got "
            f"{_listed(first.feature_names)} and {_listed(other.feature_names)}"
        )
    shapes = first.features.shape[1:], other.features.shape[1:]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"files must have examples of one shape, got {shapes[0]} and {shapes[1]}"
        )
    if first.class_names != other.class_names:
        raise ValueError(
            f"files must name the same classes, got {_listed(first.class_names)} and "
            f"{_listed(other.class_names)}"
        )


def dataset_of(splits: Mapping[str, Table], *, name: str, source: str) -> Dataset:
    """Returns the checked data set of the tables of its splits.

    Args:
      splits: ``"train"``, and where there are any ``"test"`` and ``"validation"``.
        Without test examples the test split of the data set is empty.
      name: name of the data set.
      source: path for reports.

    Raises:
      ValueError: as `jaxlin.data.dataset.check_dataset`, and if the splits do not go
        together or a label occurs in no training example.
    """
    train = splits["train"]
    for table in splits.values():
        check_same_columns(train, table)
    labels = {split: table.labels for split, table in splits.items()}
    names = train.class_names
    if names is None:
        labels, names = _encoded(labels)
    shape = train.features.shape[1:]
    parts = {
        split: Split(_narrowed(_flat(table.features)), labels[split])
        for split, table in splits.items()
    }
    none = Split(parts["train"].features[:0], np.zeros(0, np.int32))
    return check_dataset(
        Dataset(
            name=name,
            train=parts["train"],
            test=parts.get("test", none),
            class_names=names,
            image_shape=tuple(shape) if len(shape) > 1 else None,
            max_value=255.0 if train.features.dtype == np.uint8 else 1.0,
            source=source,
            validation=parts.get("validation"),
            feature_names=train.feature_names,
        ),
        has_test="test" in parts,
        keep_float64=True,
    )


def _encoded(
    labels: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Codes of the labels of each split, and the names of the training labels."""
    found, classes = class_labels.encode("train labels", _whole(labels["train"]))
    codes = {"train": found}
    for split in labels.keys() - {"train"}:
        codes[split], _ = class_labels.encode(
            f"{split} labels",
            _whole(labels[split]),
            classes=classes,
            remedy="each class needs a training example",
        )
    return codes, tuple(classes.astype(str).tolist())


def _whole(labels: np.ndarray) -> np.ndarray:
    """Returns whole floats as integers, other labels as they are."""
    if labels.dtype.kind != "f" or not (np.abs(labels) < 2**53).all():
        return labels
    return labels.astype(np.int64) if (labels == np.round(labels)).all() else labels


def _kind(labels: np.ndarray) -> str:
    kinds = {"b": "booleans", "i": "integers", "u": "integers", "f": "floats"}
    return kinds.get(labels.dtype.kind, "text")


def _narrowed(value: Any) -> Any:
    """Returns float64 rows in float32 if it holds them, else unchanged."""
    if check.is_sparse(value) or getattr(value, "dtype", None) != np.float64:
        return value
    with np.errstate(over="ignore"):
        narrow = value.astype(np.float32)
    return narrow if (narrow == value).all() else value


def _flat(rows: Any) -> Any:
    return rows.reshape(len(rows), -1) if rows.ndim > 2 else rows


def _listed(names: tuple[str, ...] | None) -> str:
    if names is None:
        return "none"
    return f"{diagnosis.listed(names)} ({len(names)})"
