"""Downloads that continue where they stopped, verified by size and SHA-256.

Received bytes stay in ``NAME.part`` until the whole file is verified, so that a later
call requests only the rest, even after a kill. Processes that need the same file wait
for one another.
"""

import contextlib
import hashlib
import http.client
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jaxlin.data import progress as progress_bars
from jaxlin.data.dataset import DataUnavailableError

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60.0


class RemoteFile(NamedTuple):
    """A file that several addresses offer.

    Attributes:
      name: name of the file on disk.
      urls: addresses of the same bytes, tried in this order.
      num_bytes: size of the file in bytes.
      sha256: SHA-256 checksum of the file, in hexadecimal.
    """

    name: str
    urls: tuple[str, ...]
    num_bytes: int
    sha256: str


def fetch(file: RemoteFile, folder: Path, *, progress: bool = True) -> Path:
    """Returns the path of a verified file, downloaded if necessary.

    A copy that was placed in ``folder`` by hand is used if its checksum is right, and
    replaced if not.

    Args:
      file: file to fetch.
      folder: folder of the file; it is created, and removed if the download fails.
      progress: whether to draw a progress bar on a terminal.

    Raises:
      OSError: if no address delivers the file; the message names each with its reason.
      DataUnavailableError: an OSError, if a package is not installed.
    """
    target = folder / file.name
    if target.is_file() and _sha256(target) == file.sha256:
        return target
    with _locked_folder(folder, file.name):
        # Another process may have been faster.
        if not target.is_file() or _sha256(target) != file.sha256:
            _receive(file, folder / f"{file.name}.part", progress=progress)
            os.replace(folder / f"{file.name}.part", target)
    return target


@contextlib.contextmanager
def _locked_folder(folder: Path, name: str) -> Iterator[None]:
    """Holds a lock in a folder; removes a new folder that stayed empty."""
    try:
        import filelock
        import tqdm  # noqa: F401
    except ImportError as error:
        raise DataUnavailableError(
            f'downloads need filelock and tqdm ({error}): pip install "jaxlin[data]"'
        ) from error
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f".{name}.lock"
    try:
        with filelock.FileLock(lock):
            yield
    finally:
        if missing and not any(one != lock for one in folder.iterdir()):
            lock.unlink(missing_ok=True)
            for empty in missing:
                empty.rmdir()


def _receive(file: RemoteFile, part: Path, *, progress: bool) -> None:
    """Completes ``part`` from the addresses of a file.

    An address is tried again as long as it delivers something; after a broken
    connection only the missing bytes are requested.
    """
    urls, reasons, started_anew = list(file.urls), [], set()
    bar = progress_bars.bar(
        file.num_bytes, f"downloading {file.name}", "B", progress=progress
    )
    with bar:
        while urls:
            for url in tuple(urls):
                before = _size(part)
                try:
                    _continue(url, file, part, bar)
                    return
                except (OSError, http.client.HTTPException) as error:
                    reasons.append(f"{url}: {error or type(error).__name__}")
                if before and not _size(part) and url not in started_anew:
                    # The bytes of an earlier call may have been wrong.
                    started_anew.add(url)
                elif _size(part) <= before:
                    urls.remove(url)
    if not _size(part):
        part.unlink(missing_ok=True)
    raise OSError("; ".join(dict.fromkeys(reasons)))


def _continue(url: str, file: RemoteFile, part: Path, bar: Any) -> None:
    """Appends the rest of a file to ``part``; raises OSError unless it is verified."""
    if _size(part) < file.num_bytes:
        _append(url, file, part, bar)
    received = _size(part)
    if received < file.num_bytes:
        raise OSError(f"broke off after {received} of {file.num_bytes} bytes")
    found = _sha256(part)
    if found != file.sha256:
        part.unlink()
        raise OSError(
            f"must have SHA-256 {file.sha256}, got {found}; what was received has been "
            "discarded"
        )


def _append(url: str, file: RemoteFile, part: Path, bar: Any) -> None:
    """Writes what an address sends to the end of ``part``."""
    start = _size(part)
    request = urllib.request.Request(url)
    if start:
        request.add_header("Range", f"bytes={start}-")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
        # A server without ranges sends the whole file with status 200.
        start = start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        # A login page instead of the file must not replace what has been received.
        expected = str(file.num_bytes - start)
        length = response.headers.get("Content-Length", expected).strip()
        # Compared as text, since a server may send anything in its place.
        if length != expected:
            raise OSError(f"must send {expected} bytes, offers {length:.40} instead")
        with part.open("ab" if start else "wb") as out:
            bar.update(start - bar.n)
            # Without a length a server may send without end.
            while out.tell() <= file.num_bytes:
                chunk = response.read(_CHUNK_BYTES)
                if not chunk:
                    break
                out.write(chunk)
                bar.update(len(chunk))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
