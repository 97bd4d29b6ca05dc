"""Atomic replacement of files, used for every file that the library writes.

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
import re
from pathlib import Path

# Files that a process killed during a write may leave behind; they are never read.
PARTIAL_PATTERN = ".*.partial"
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")


def expanded(path: str | os.PathLike[str]) -> Path:
    """Returns a path with ``~`` and environment variables replaced.

    Args:
      path: a path, such as ``"~/data"`` or ``"$SCRATCH/fit.npz"``.

    Raises:
      ValueError: if an environment variable is not set. A file that has a dollar sign
        in its name and exists is taken as it is.
    """
    given = Path(path)
    found = Path(os.path.expandvars(given)).expanduser()
    unset = _VARIABLE.search(str(found))
    if unset and not given.exists():
        raise ValueError(
            f"path must have environment variables that are set, got {unset[0]} in "
            f"{os.fspath(path)!r}; export it, or write the path out"
        )
    return given if unset else found


def replace(path: Path, content: bytes) -> None:
    """Replaces the file at ``path`` by ``content`` atomically.

    The bytes go to ``.<name>.partial`` in the same folder, are forced to disk, and are
    then renamed. Whenever the process or the machine stops, ``path`` holds either its
    previous content or ``content``. Only one process may write to a path at a time.

    Args:
      path: file to replace, in an existing folder.
      content: bytes of the new file.

    Raises:
      OSError: if the file cannot be written (a full disk, no permission). The previous
        file is then unchanged and no partial file is left.
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
    """Returns an OSError that names the file and states that the old one is intact."""
    return OSError(
        error.errno,
        f"cannot write {path}: {error.strerror or error}; what was there before is "
        "intact",
    )


def _sync_folder(folder: Path) -> None:
    """Forces a rename to disk; on Windows, where folders cannot be opened, a no-op."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
