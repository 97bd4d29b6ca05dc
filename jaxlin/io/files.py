"""Files that are whole or absent: one way of writing, for everything that is kept.

>>> import pathlib, tempfile
>>> from jaxlin.io import files
>>> path = pathlib.Path(tempfile.mkdtemp()) / "note.txt"
>>> files.replace(path, b"first")
>>> files.replace(path, b"second")
>>> path.read_bytes()
b'second'
"""

import contextlib
import os
from pathlib import Path

# What a kill in the middle of a write may leave behind; nobody reads it.
PARTIAL_PATTERN = ".*.partial"


def replace(path: Path, content: bytes) -> None:
    """Replaces the file at ``path`` by ``content``, wholly or not at all.

    The bytes go to ``.<name>.partial`` in the same folder, are forced to disk, and are
    then renamed. Whenever the process or the machine stops, ``path`` holds what it held
    before or ``content``. One process may write to a path at a time.

    Raises:
      OSError: if the file cannot be written (a full disk, no permission). What was
        there before is then unchanged and no partial file is left.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def cannot_write(path: Path, error: OSError) -> OSError:
    """Returns an error that says which file could not be written, and what remains."""
    return OSError(
        error.errno,
        f"cannot write {path}: {error.strerror or error}; what was there before is "
        "intact",
    )


def _sync_folder(folder: Path) -> None:
    """Forces a rename to disk; Windows cannot open a folder and needs no such call."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
