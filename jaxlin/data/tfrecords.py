"""Records of a TFRecord file, read without TensorFlow.

A record is its length (64 bits), a checksum of the length, the content, and a checksum
of the content. Checksums are CRC-32C, rotated and shifted by a constant.

Reference:
  https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxlin.data.dataset import DataUnavailableError

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8


def read(path: Path) -> Iterator[bytes]:
    """Yields the content of each record.

    Args:
      path: an uncompressed TFRecord file.

    Raises:
      ValueError: if the file is cut short or a checksum is wrong.
      DataUnavailableError: if the package of the checksum is not installed.
      OSError: if the file cannot be read.
    """
    masked_crc = _masked_crc()
    with path.open("rb") as file:
        while header := file.read(_HEADER.size):
            if len(header) < _HEADER.size:
                raise ValueError(f"{path.name} must end with a whole record")
            length, crc = _HEADER.unpack(header)
            # Checked first: a wrong length would be read into memory.
            if masked_crc(header[:8]) != crc:
                raise ValueError(f"{path.name} must be a TFRecord file without damage")
            content, footer = file.read(length), file.read(_FOOTER.size)
            if len(footer) < _FOOTER.size:
                raise ValueError(f"{path.name} must end with a whole record")
            if masked_crc(content) != _FOOTER.unpack(footer)[0]:
                raise ValueError(f"{path.name} must match its checksums")
            yield content


def _masked_crc() -> Callable[[bytes], int]:
    try:
        import google_crc32c
    except ImportError as error:
        raise DataUnavailableError(
            f"tfrecord files need google-crc32c ({error}): pip install "
            '"jaxlin[data]". A copy that is there is good and is left alone'
        ) from error

    def masked_crc(content: bytes) -> int:
        crc = google_crc32c.value(content)
        return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF

    return masked_crc
