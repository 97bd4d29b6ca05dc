"""Files that are either complete or not there.

What is written goes to a staging folder first and gets its name by one `os.replace`, so
that a run that is stopped at any moment leaves nothing that looks complete.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STAGING_PREFIX = ".jaxlin-incomplete-"

# Far longer than any download or preparation: what is older belongs to a killed run.
_ABANDONED_SECONDS = 24 * 3600.0


@contextlib.contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """Yields a new folder inside ``parent`` that is gone afterwards, come what may.

    It is on the file system of ``parent``, so that `os.replace` can publish what was
    made in it. Folders that killed runs left a day ago or more are removed too.

    Raises:
      OSError: if ``parent`` cannot be made or written.
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
