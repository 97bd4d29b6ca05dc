"""Files that are unpacked while they are read, up to a limit.

A few kilobytes may unpack to more than any memory holds. A published set is known to
need less than a certain number of bytes; what unpacks to more is not that set.

  >>> import gzip, io
  >>> from jaxlin.data import bounded_files
  >>> packed = gzip.compress(bytes(1000))
  >>> len(bounded_files.BoundedFile(gzip.open(io.BytesIO(packed)), 1000).read())
  1000
  >>> bounded_files.BoundedFile(gzip.open(io.BytesIO(packed)), 999).read()
  Traceback (most recent call last):
  ...
  ValueError: must hold at most 999 bytes, unpacked, got more
"""

import io


class BoundedFile(io.BufferedIOBase):
    """File for reading that raises a ValueError behind a number of bytes.

    Args:
      file: binary file, such as `gzip.open` returns.
      max_bytes: largest number of bytes; None is no limit.
    """

    def __init__(self, file: io.BufferedIOBase, max_bytes: int | None) -> None:
        self._file = file
        self._max_bytes = max_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns the next bytes; all of them if ``size`` is negative or None."""
        size = -1 if size is None else size
        if self._max_bytes is None:
            return self._file.read(size)
        left = self._max_bytes - self._file.tell()
        # One byte more than is left shows that there are more.
        content = self._file.read(left + 1 if size < 0 else min(size, left + 1))
        if len(content) > left:
            self._refuse()
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Goes to a position from the start; a packed file is unpacked up to there."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("seek must be from the start")
        if self._max_bytes is not None and offset > self._max_bytes:
            self._refuse()
        return self._file.seek(offset)

    def tell(self) -> int:
        """Returns the position."""
        return self._file.tell()

    def _refuse(self) -> None:
        raise ValueError(
            f"must hold at most {self._max_bytes:,} bytes, unpacked, got more"
        )
