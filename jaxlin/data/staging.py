"""Atomic publication of files and folders.

Files are written to a staging folder and published by one `os.replace`, so that a run
interrupted at any moment leaves no incomplete file under its final name.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STAGING_PREFIX = ".jaxlin-incomplete-"

# Far longer than any download or preparation: older folders belong to killed runs.
_ABANDONED_SECONDS = 24 * 3600.0


@contextlib.contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """Yields a new folder inside ``parent``, which is removed on exit.

    It is on the file system of ``parent``, so that `os.replace` can publish its
    contents. Folders that killed runs left a day ago or earlier are removed too.

    Raises:
      OSError: if ``parent`` cannot be created or written.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(f"{STAGING_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(leftover)
    folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
