"""Reader of parquet by pyarrow: numbers, embeddings or encoded images in columns."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxlin.check import foreign
from jaxlin.data import encoded_images, tables
from jaxlin.data.dataset import DataUnavailableError
from jaxlin.data.tables import Table


def read(paths: Sequence[Path], *, label: str | None = None) -> list[Table]:
    """Reads files with a column of labels.

    Features are all other columns if they are numbers or booleans, in their order; a
    column of lists of numbers, such as embeddings, counts as many. If a column has
    encoded images, as the Hugging Face hub stores them, its pixels are the features and
    other columns are left out. Names of classes are taken from the hub's description.

    Args:
      paths: parquet files. Not those that tensorflow-datasets prepares, which no reader
        gives in full: prepare such a set in another format.
      label: name of the column of the labels; None is ``"label"``.

    Returns:
      A table for each file.

    Raises:
      ValueError: if a column is missing, has missing entries, is of another kind or has
        integers that float64 does not hold; the message names file and column.
      DataUnavailableError: if pyarrow is not installed.
      OSError: if a file cannot be read.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataUnavailableError(
            f"parquet files need pyarrow ({error}): pip install pyarrow"
        ) from error
    found = []
    for path in paths:
        try:
            tables.check_distinct(path, pyarrow.parquet.read_schema(path).names)
            found.append(_table(path, pyarrow.parquet.read_table(path), label))
        # Damaged pages give an OSError that has no number of the system.
        except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError(
                f"{path}: must be a whole parquet file of columns that NumPy reads "
                f"({error}); take a new copy, or leave such columns out"
            ) from error
    return found


def _table(path: Path, table: Any, label: str | None) -> Table:
    # The index of pandas is a column of the file, and no feature.
    index = _description(path, table, b"pandas").get("index_columns") or []
    names = [name for name in table.column_names if name not in index]
    target = tables.label_column(path, names, label)
    if not table.num_rows:
        raise ValueError(f"{path}: must have examples, got no rows")
    images = [name for name in names if _is_image(table.column(name).type)]
    used = [target, images[0]] if images else names
    columns = {name: table.column(name) for name in used}
    for name, column in columns.items():
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy()))
            raise ValueError(
                f"{path}: {name} must be given for every example, got none in row "
                f"{row}; impute it or leave the row out"
            )
    labels = foreign.as_numpy(f"{path}: {target}", columns.pop(target))
    described = _description(path, table, b"huggingface")
    class_names = _class_names(path, described, target)
    if images:
        return Table(_pixels(path, columns[images[0]]), labels, None, class_names)
    if not columns:
        raise ValueError(f"{path}: must have columns of features beside {target}")
    parts = {name: _numbers(path, name, column) for name, column in columns.items()}
    feature_names = [
        name if part.shape[1] == 1 else f"{name}[{index}]"
        for name, part in parts.items()
        for index in range(part.shape[1])
    ]
    return Table(
        tables.concatenated(list(parts.values()), axis=1),
        labels,
        tuple(feature_names),
        class_names,
    )


def _is_image(kind: Any) -> bool:
    import pyarrow

    if not pyarrow.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    stored = kind.field("bytes").type
    return pyarrow.types.is_binary(stored) or pyarrow.types.is_large_binary(stored)


def _pixels(path: Path, column: Any) -> np.ndarray:
    """Returns the images of a column, decoded."""
    encoded = column.combine_chunks().field("bytes").to_pylist()
    if None in encoded:
        raise ValueError(
            f"{path}: images must be in the file, got only a path for row "
            f"{encoded.index(None)}; embed them before saving"
        )
    try:
        return encoded_images.decode(encoded, name=path.name, progress=False)
    except OSError as error:
        raise ValueError(f"{path}: images must be PNG or JPEG ({error})") from error


def _numbers(path: Path, name: str, column: Any) -> np.ndarray:
    """Returns a column of numbers or of lists of numbers, ``(examples, width)``."""
    import pyarrow

    kinds = pyarrow.types
    column = column.combine_chunks()
    is_list = kinds.is_list(column.type) or kinds.is_large_list(column.type)
    is_list = is_list or kinds.is_fixed_size_list(column.type)
    values = column.flatten() if is_list else column
    is_number = kinds.is_integer(values.type) or kinds.is_floating(values.type)
    if not is_number and not kinds.is_boolean(values.type):
        raise ValueError(
            f"{path}: {name} must hold numbers, lists of numbers of one length, or "
            f"images, got {column.type}; encode it as numbers, or leave the column out"
        )
    if is_list and len(set(column.value_lengths().to_pylist())) > 1:
        raise ValueError(f"{path}: {name} must hold lists of one length")
    if values.null_count:
        raise ValueError(f"{path}: {name} must hold lists without missing entries")
    found = foreign.as_numpy(f"{path}: {name}", values)
    if found.dtype != np.uint8:
        found = tables.exact(f"{path}: {name}", found)
    return found.reshape(len(column), -1)


def _description(path: Path, table: Any, key: bytes) -> dict[str, Any]:
    """Returns what a library has written about a file; empty if there is nothing."""
    try:
        found = json.loads((table.schema.metadata or {}).get(key, b"{}"))
    except ValueError as error:
        raise ValueError(
            f"{path}: metadata {key.decode()!r} must be JSON ({error}); save the table "
            "without them"
        ) from error
    return found if isinstance(found, dict) else {}


def _class_names(
    path: Path, described: dict[str, Any], label: str
) -> tuple[str, ...] | None:
    """Returns the names of the labels in the hub's description; None without one."""
    found: Any = described
    for key in ("info", "features", label, "names"):
        found = found.get(key) if isinstance(found, dict) else None
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(
            f"{path}: names of the classes in the metadata 'huggingface' must be a "
            f"list of text, got {found!r:.60}; save the table without them"
        )
    return tuple(found)
