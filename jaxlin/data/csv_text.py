"""Reader of CSV: a line of column names, then an example per line."""

import csv
import decimal
import io
import itertools
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from jaxlin.data import tables
from jaxlin.data.tables import Table

_DELIMITERS = ",;\t"
# Numbers among labels. Python's int and float also accept 1_1, and digits of other
# scripts; NumPy's float accepts 1e5, which may be a hash.
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+|inf|infinity)", re.IGNORECASE)


class _OpenQuoteError(ValueError):
    """A file ends inside a quote."""


def read(paths: Sequence[Path], *, label: str | None = None) -> list[Table]:
    """Reads files whose columns are numbers, except for that of the labels.

    Args:
      paths: files as text in UTF-8, or with ``.gz``, ``.bz2`` or ``.xz``. Commas,
        semicolons or tabs separate columns, whichever the first line has most.
      label: name of the column of the labels; None is ``"label"``.

    Returns:
      A table for each file, features as float64. Labels are numbers if those of all
      files are and no two different ones would become the same, else text.

    Raises:
      ValueError: if names are missing, a cell is no number or an integer that float64
        does not hold, lines differ in length, or a quote is not closed; the message
        names file, row and column. Rows are counted from 0, without the names.
      OSError: if a file cannot be read.
    """
    found = [_table(path, label) for path in paths]
    # One label type for all files: read as a number in one and as text in another, 01
    # would be two classes.
    kind = _kind(np.concatenate([np.unique(one.labels) for one in found]))
    return [one._replace(labels=one.labels.astype(kind)) for one in found]


def _table(path: Path, label: str | None) -> Table:
    """Returns the table of a file, labels as text."""
    with (
        tables.opened(path) as raw,
        io.TextIOWrapper(raw, "utf-8-sig", newline="") as text,
    ):
        try:
            names, delimiter, rows = _opened_rows(path, text)
            column = names.index(tables.label_column(path, names, label))
            values, labels = _cells(path, rows, names, column, delimiter)
            if (np.abs(values) >= 2**53).any():
                text.seek(0)
                _check_integers(path, text, label=names[column])
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}: must be text in UTF-8 ({error}); save it with that encoding"
            ) from error
    features = np.delete(values, column, axis=1)
    return Table(features, labels, tuple(names[:column] + names[column + 1 :]))


def _opened_rows(path: Path, text: IO[str]) -> tuple[list[str], str, Iterator[str]]:
    """Returns the names of the columns, what separates them, and the rows below."""
    line = text.readline()
    delimiter = max(_DELIMITERS, key=line.count)
    rows = _rows(path, itertools.chain([line], text), delimiter)
    header = next(rows)
    names = [
        name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])
    ]
    if not names or all(map(_is_number, names)):
        raise ValueError(
            f"{path}: first line must hold the names of the columns, got "
            f"{header.strip()[:60]!r}; add such a line"
        )
    if "" in names:
        raise ValueError(
            f"{path}: columns must have names, got none for column {names.index('')}; "
            "if pandas has written its index there, save with index=False"
        )
    tables.check_distinct(path, names)
    return names, delimiter, rows


def _rows(path: Path, lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """Yields the rows with text, the lines of a quoted cell in one piece.

    Raises:
      _OpenQuoteError: if the file ends inside a quote; all rows behind it would be a
        cell.
    """
    lines = iter(lines)
    row = -1  # the names of the columns
    for line in lines:
        if '"' not in line:
            yield line
        else:
            taken: list[str] = []
            try:
                next(csv.reader(_taken(line, lines, taken), delimiter=delimiter))
            # The reader asks for more lines inside a quote alone, up to a largest cell.
            except (csv.Error, EOFError) as error:
                where = "the names of the columns" if row < 0 else f"row {row}"
                raise _OpenQuoteError(
                    f"{path}: quotes must be closed, got one in {where} that is not; "
                    'close it, or write a quote inside a quoted cell as ""'
                ) from error
            yield "".join(taken)
        row += row < 0 or bool(line.strip("\r\n"))


def _taken(line: str, others: Iterator[str], taken: list[str]) -> Iterator[str]:
    """Yields a line and those behind it, and keeps those that were asked for."""
    for one in itertools.chain([line], others):
        taken.append(one)
        yield one
    raise EOFError


def _cells(
    path: Path, rows: Iterator[str], names: list[str], column: int, delimiter: str
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
                rows,
                delimiter=delimiter,
                comments=None,
                quotechar='"',
                converters={column: code},
                ndmin=2,
            )
        # Raised by the rows themselves, the others by NumPy for a cell.
        except (UnicodeDecodeError, _OpenQuoteError):
            raise
        except ValueError as error:
            raise ValueError(f"{path}: {_with_name(str(error), names)}") from error
    if not values.size or values.shape[1] != len(names):
        width = values.shape[1] if values.size else 0
        raise ValueError(
            f"{path}: rows must have {len(names)} cells, one per column, got {width}"
        )
    found = values[:, column].astype(int)
    for cell, number in codes.items():
        if cell.lower() in ("", "nan"):
            row = int(np.argmax(found == number))
            raise ValueError(
                f"{path}: {names[column]} must be given for every example, got "
                f"{cell or 'none'} in row {row}; leave such examples out"
            )
    return values, np.array(list(codes))[found]


def _check_integers(path: Path, text: IO[str], *, label: str) -> None:
    """Raises a ValueError for an integer feature that float64 may not hold."""
    names, delimiter, rows = _opened_rows(path, text)
    reader = csv.reader(rows, delimiter=delimiter)
    for row, cells in enumerate(filter(None, reader)):
        for name, cell in zip(names, map(str.strip, cells), strict=True):
            is_integer = name != label and _INTEGER.fullmatch(cell)
            if is_integer and decimal.Decimal(cell).copy_abs() > 2**53:
                raise ValueError(
                    f"{path}: {name} must lie within 2^53 of 0, where float64 holds "
                    f"every integer, got {cell:.40} in row {row}; subtract what they "
                    "have in common"
                )


def _with_name(message: str, names: list[str]) -> str:
    """Message of NumPy with the name of the column, and the remedy."""
    found = re.search(r"columns changed from \d+ to (\d+) at row (\d+)", message)
    if found is not None:
        # NumPy counts these rows from 1, and those of other errors from 0.
        return (
            f"rows must have {len(names)} cells, one per column, got {found[1]} in row "
            f"{int(found[2]) - 1}"
        )
    found = re.search(r"string '(.*)' to float64 at row (\d+), column (\d+)", message)
    if found is None:
        return message
    cell, row, column = found[1], found[2], int(found[3]) - 1
    if column >= len(names):
        return (
            f"rows must have {len(names)} cells, one per column, got more in row {row}"
        )
    remedy = "encode text as numbers" if cell else "impute it or leave the row out"
    return f"{names[column]} must be a number, got {cell!r} in row {row}; {remedy}"


def _kind(labels: np.ndarray) -> type[np.generic]:
    """Returns the type of numbers if all labels are numbers, else that of text."""
    if all(map(_INTEGER.fullmatch, labels)):
        limits = np.iinfo(np.int64)
        numbers = {decimal.Decimal(one) for one in labels}
        is_held = limits.min <= min(numbers) and max(numbers) <= limits.max
        return np.int64 if is_held else np.str_
    if not all(map(_DECIMAL.fullmatch, labels)):
        return np.str_
    numbers = {decimal.Decimal(one) for one in labels}
    is_near = all(abs(one) <= 2**53 for one in numbers if one.is_finite())
    is_distinct = len(set(map(float, numbers))) == len(numbers)
    return np.float64 if is_near and is_distinct else np.str_


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
