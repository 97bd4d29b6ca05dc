"""Reader of svmlight and LIBSVM text: ``label index:value index:value ...``."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

from jaxlin.data import tables
from jaxlin.data.dataset import DataUnavailableError
from jaxlin.data.tables import Table


def read(paths: Sequence[Path], *, label: str | None = None) -> list[Table]:
    """Reads files of sparse rows by scikit-learn's loader.

    Indices start at 1, unless a 0 occurs in any of the files. All files get the width
    of the widest. Comments and ``qid`` are skipped.

    Args:
      paths: files as text, or with ``.gz``, ``.bz2`` or ``.xz``.
      label: must be None, since the format has no names.

    Returns:
      A table for each file, features as a sparse CSR matrix of float64.

    Raises:
      ValueError: if a line is wrong; the message names file and line.
      DataUnavailableError: if scikit-learn is not installed.
      OSError: if a file cannot be read.
    """
    if label is not None:
        raise ValueError(
            f"{paths[0]}: svmlight files have no columns with names, got label="
            f"{label!r}; leave it out: the label is the first number of a line"
        )
    try:
        from sklearn.datasets import load_svmlight_files
    except ImportError as error:
        raise DataUnavailableError(
            'svmlight files need scikit-learn: pip install "jaxlin[sklearn]"'
        ) from error
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(tables.opened(path)) for path in paths]
        try:
            loaded = load_svmlight_files(opened)
        except (ValueError, OverflowError) as error:
            raise ValueError(_located(paths, error)) from error
    return [
        Table(features, labels)
        for features, labels in zip(loaded[::2], loaded[1::2], strict=True)
    ]


def _located(paths: Sequence[Path], error: Exception) -> str:
    """Returns the message of the first wrong line of the files."""
    for path in paths:
        with tables.opened(path) as file:
            lines = file.read().splitlines(keepends=True)
        if _fails(lines):
            # Halving finds the first wrong line in about one more reading of the file.
            good, bad = 0, len(lines)
            while bad - good > 1:
                middle = (good + bad) // 2
                good, bad = (
                    (good, middle) if _fails(lines[good:middle]) else (middle, bad)
                )
            text = lines[good].decode(errors="replace").strip()
            return (
                f"{path}: line {good + 1} must be a label and index:value pairs with "
                f"rising indices, got {text[:60]!r} ({error})"
            )
    return f"{paths[0]}: {error}"


def _fails(lines: Sequence[bytes]) -> bool:
    from sklearn.datasets import load_svmlight_file

    try:
        load_svmlight_file(io.BytesIO(b"".join(lines)))
    except (ValueError, OverflowError):
        return True
    return False
