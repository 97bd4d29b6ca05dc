r"""Readers of labelled files, by file extension.

A reader is a function of paths that returns a `jaxlin.data.tables.Table` for each:

  >>> import pathlib, tempfile
  >>> import numpy as np
  >>> from jaxlin import data
  >>> from jaxlin.data.tables import Table
  >>> def read(paths, *, label=None):
  ...     tables = []
  ...     for path in paths:
  ...         rows = np.array([line.split() for line in path.read_text().splitlines()])
  ...         tables.append(Table(rows[:, 1:].astype(float), rows[:, 0]))
  ...     return tables
  >>> path = pathlib.Path(tempfile.mkdtemp(), "animals.txt")
  >>> _ = path.write_text("cat 1 2\ndog 3 4\n")
  >>> data.load(path, reader=read).class_names
  ('cat', 'dog')

To add one to the library, write it as the function ``read`` of a module of its own, and
give it a row in `READERS`.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxlin import check
from jaxlin.data import csv_text, parquet, svmlight, tables
from jaxlin.data.dataset import Dataset
from jaxlin.data.tables import Table
from jaxlin.io import files

#: Function ``read(paths, label=None)`` that returns a table for each path.
Reader = Callable[..., list[Table]]

#: Readers by file extension, before ``.gz``, ``.bz2`` or ``.xz``.
READERS: Mapping[str, Reader] = {
    ".csv": csv_text.read,
    ".tsv": csv_text.read,
    ".parquet": parquet.read,
    ".svm": svmlight.read,
    ".svmlight": svmlight.read,
    ".libsvm": svmlight.read,
}

# Names without file extensions, such as train, test-2 and val-00000-of-00001.
_NAME = re.compile(r"(train|test|val|validation)([0-9-].*)?", re.IGNORECASE)
_SPLITS = {"train": ("train",), "test": ("test",), "validation": ("val", "validation")}


def reader_of(path: Path) -> Reader | None:
    """Returns the reader of a file, or of a folder of ``train`` files, or None."""
    if path.is_dir():
        path = next(iter(_files(path)["train"]), path)
    return READERS.get(_format(path))


def read(
    path: Path,
    reader: Reader,
    *,
    test: str | os.PathLike[str] | None = None,
    label: str | None = None,
) -> Dataset:
    """Reads a data set from files of examples with labels.

    Args:
      path: a file of training examples; or a folder of files that are called ``train``,
        and where there are such splits ``test`` and ``val`` or ``validation``, before
        the file extension or before a digit or hyphen: ``train.csv``, ``train-2.csv``.
        Several files of a split are joined in the order of their names.
      reader: function that reads the files.
      test: file of test examples in the same format; None, the default, for none, or
        for those of the folder.
      label: column of the labels, for formats that have names; None is ``"label"``.

    Returns:
      The checked data set. Without test examples its test split has no rows.

    Raises:
      ValueError: if a file is wrong; the message names it.
      OSError: if a file cannot be read.
    """
    if not callable(reader):
        raise ValueError(
            f"reader must be a function of paths, got {reader!r:.40}; give one, such "
            "as jaxlin.data.svmlight.read"
        )
    given = [] if test is None else [files.expanded(test)]
    paths = {"train": [path]}
    if path.is_dir():
        paths = _files(path)
        _check_names(path, {_format(one) for one in paths["train"]}, given)
    if given:
        paths["test"] = []
    _check_one_copy(path, [one for split in paths.values() for one in split])
    if given:
        paths["test"] = given
    if not paths["train"]:
        raise ValueError(f"{path} must have files of training examples, such as train")
    # All at once: the width of svmlight files is that of the widest.
    every = [one for split in paths.values() for one in split]
    for one in every:
        try:
            one.open("rb").close()
        except OSError as error:
            raise ValueError(
                f"{one} cannot be opened ({error.strerror}); check the path"
            ) from error
    found = _tables(every, reader(every, label=label))
    try:
        splits = {
            split: tables.joined([found[one] for one in group])
            for split, group in paths.items()
            if group
        }
        name = Path(tables.uncompressed_name(path)).stem
        return tables.dataset_of(splits, name=name, source=str(path.resolve()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _tables(paths: Sequence[Path], found: Any) -> dict[Path, Table]:
    """Returns the tables of a reader by path, their columns as arrays.

    Raises:
      ValueError: if it has returned anything but a table for each path.
    """
    is_list = isinstance(found, list | tuple) and not isinstance(found, Table)
    others = [one for one in found if not isinstance(one, Table)] if is_list else []
    if not is_list or others:
        kind = type(found).__name__
        if others:
            kind = f"a list with a {type(others[0]).__name__}"
        raise ValueError(
            "reader must return a list of one jaxlin.data.tables.Table for each path, "
            f"got {kind}"
        )
    if len(found) != len(paths):
        raise ValueError(
            f"reader must return a table for each of {len(paths)} paths, got "
            f"{len(found)}"
        )
    return {
        path: one._replace(
            features=one.features
            if check.is_sparse(one.features)
            else check.dense(f"{path}: features", one.features),
            labels=check.dense(f"{path}: labels", one.labels),
        )
        for path, one in zip(paths, found, strict=True)
    }


def _files(folder: Path) -> dict[str, list[Path]]:
    """Returns the files of each split of a folder that have a reader, sorted.

    If no training file has one, those of the format of the first.
    """
    names = {one: _name(one) for one in sorted(folder.iterdir()) if one.is_file()}
    formats = [_format(one) for one, name in names.items() if name == "train"]
    known = [one for one in formats if one in READERS] or formats or [""]
    return {
        split: [
            one
            for one, name in names.items()
            if name in of_split and _format(one) in (known[0], *READERS)
        ]
        for split, of_split in _SPLITS.items()
    }


def _name(path: Path) -> str | None:
    """Returns ``train``, ``test``, ``val`` or ``validation``, as a file is called."""
    found = _NAME.fullmatch(Path(tables.uncompressed_name(path)).stem)
    return None if found is None else found[1].lower()


def _check_names(folder: Path, formats: set[str], others: Sequence[Path]) -> None:
    """Raises a ValueError for a file of examples whose name says no split.

    Left out without a word, dev.csv would be missed, and so would training.csv.

    Args:
      folder: folder of the files.
      formats: file extensions of examples, apart from those of `READERS`.
      others: files that are given by their paths and may have any name.
    """
    paths = {*folder.iterdir()} - {folder / one.name for one in others}
    names = {
        one: _name(one)
        for one in sorted(paths)
        if one.is_file() and not one.name.startswith(".")
        if _format(one) in (formats | READERS.keys())
    }
    for one, name in names.items():
        if name is None:
            raise ValueError(
                f"{folder} must have files of examples called train, test, val or "
                f"validation, or these before a digit or hyphen, got {one.name}; "
                "rename it, or move it out of the folder"
            )
    if {"val", "validation"} <= {*names.values()}:
        raise ValueError(
            f"{folder} must have validation examples under one name, got val and "
            "validation; keep one of them, or call them val-1 and val-2"
        )


def _check_one_copy(folder: Path, paths: Sequence[Path]) -> None:
    """Raises a ValueError if examples are there packed and unpacked, or in two formats.

    Joined, such copies would count every example twice.
    """
    first: dict[str, Path] = {}
    for one in paths:
        other = first.setdefault(tables.uncompressed_name(one), one)
        if other != one:
            raise ValueError(
                f"{folder} must have each file once, got {other.name} and {one.name}; "
                "keep one of them"
            )
    by_format = {_format(one): one.name for one in reversed(paths)}
    if len(by_format) > 1:
        raise ValueError(
            f"{folder} must have files of one format, got "
            f"{' and '.join(sorted(by_format.values()))}; keep those of one format"
        )


def _format(path: Path) -> str:
    return Path(tables.uncompressed_name(path)).suffix.lower()
