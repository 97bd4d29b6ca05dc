"""Reader of CSV: a line of column names, then an example per line."""

import contextlib
import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from jaxlin.data import tables
from jaxlin.data.tables import Table

_DELIMITERS = ",;\t"


def read(paths: Sequence[Path], *, label: str | None = None) -> list[Table]:
    """Reads files whose columns are numbers, except for that of the labels.

    Args:
      paths: files as text in UTF-8, or with ``.gz``, ``.bz2`` or ``.xz``. Commas,
        semicolons or tabs separate columns, whichever the first line has most.
      label: name of the column of the labels; None is ``"label"``.

    Returns:
      A table for each file, features as float64. Labels are numbers if those of all
      files are, else text.

    Raises:
      ValueError: if names are missing, a cell is no number, or lines differ in length;
        the message names file, row and column.
      OSError: if a file cannot be read.
    """
    found = [_table(path, label) for path in paths]
    # One kind for all: as a number, 01 of one file would differ from 01 of another.
    kind = _kind(np.concatenate([np.unique(one.labels) for one in found]))
    return [one._replace(labels=one.labels.astype(kind)) for one in found]


def _table(path: Path, label: str | None) -> Table:
    """Returns the table of a file, labels as text."""
    with (
        tables.opened(path) as raw,
        io.TextIOWrapper(raw, "utf-8-sig", newline="") as text,
    ):
        try:
            names, delimiter = _header(path, text)
            column = names.index(tables.label_column(path, names, label))
            values, labels = _cells(path, text, names, column, delimiter)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}: must be text in UTF-8 ({error}); save it with that encoding"
            ) from error
    features = np.delete(values, column, axis=1)
    return Table(features, labels, tuple(names[:column] + names[column + 1 :]))


def _header(path: Path, text: IO[str]) -> tuple[list[str], str]:
    """Returns the names of the columns and what separates them."""
    line = text.readline()
    delimiter = max(_DELIMITERS, key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    if not names or all(map(_is_number, names)):
        raise ValueError(
            f"{path}: first line must hold the names of the columns, got "
            f"{line.strip()[:60]!r}; add such a line"
        )
    if "" in names:
        raise ValueError(
            f"{path}: columns must have names, got none for column {names.index('')}; "
            "if pandas has written its index there, save with index=False"
        )
    tables.check_distinct(path, names)
    return names, delimiter


def _cells(
    path: Path, text: IO[str], names: list[str], column: int, delimiter: str
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of all columns, and the labels that one of them codes."""
    codes: dict[str, int] = {}

    def code(cell: str) -> int:
        return codes.setdefault(cell.strip(), len(codes))

    with warnings.catch_warnings():
        # NumPy warns of a file without rows, which is refused below.
        warnings.simplefilter("ignore", UserWarning)
        try:
            values = np.loadtxt(
                text,
                delimiter=delimiter,
                comments=None,
                quotechar='"',
                converters={column: code},
                ndmin=2,
            )
        except ValueError as error:
            raise ValueError(f"{path}: {_with_name(str(error), names)}") from error
    if not values.size or values.shape[1] != len(names):
        width = values.shape[1] if values.size else 0
        raise ValueError(
            f"{path}: rows must have {len(names)} cells, one per column, got {width}"
        )
    rows = values[:, column].astype(int)
    if "" in codes:
        row = int(np.argmax(rows == codes[""]))
        raise ValueError(
            f"{path}: {names[column]} must be given for every example, got none in row "
            f"{row}; leave such examples out"
        )
    return values, np.array(list(codes))[rows]


def _with_name(message: str, names: list[str]) -> str:
    """Message of NumPy with the name of the column, and the remedy."""
    found = re.search(r"string '(.*)' to float64 at row (\d+), column (\d+)", message)
    if found is None:
        return message.split("; use `usecols`")[0]
    cell, row, column = found[1], found[2], int(found[3]) - 1
    if column >= len(names):
        return (
            f"rows must have {len(names)} cells, one per column, got more in row {row}"
        )
    remedy = "encode text as numbers" if cell else "impute it or leave the row out"
    return f"{names[column]} must be a number, got {cell!r} in row {row}; {remedy}"


def _kind(labels: np.ndarray) -> type[np.generic]:
    """Returns the type of numbers if all labels are numbers, else that of text."""
    # As integers first: long ones would be rounded as floats.
    for kind in (np.int64, np.float64):
        with contextlib.suppress(ValueError, OverflowError):
            labels.astype(kind)
            return kind
    return np.str_


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
