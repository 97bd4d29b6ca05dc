"""TFRecord files, written here by the definition of the format."""

import sys

import image_copies
import numpy as np
import pytest

from jaxlin import data
from jaxlin.data import tfrecords

CONTENTS = [b"", b"a", b"123456789", bytes(range(256)) * 5]


def crc32c(content):
    """CRC-32C bit by bit, by its polynomial."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def write(path, contents=CONTENTS):
    path.write_bytes(b"".join(image_copies.tfrecord(one, crc32c) for one in contents))
    return path


def test_records_come_back(tmp_path):
    # The check value of CRC-32C, in every catalogue of checksums.
    assert crc32c(b"123456789") == 0xE3069283
    assert list(tfrecords.read(write(tmp_path / "some"))) == CONTENTS
    assert list(tfrecords.read(write(tmp_path / "none", []))) == []


@pytest.mark.parametrize("place", [0, 9, 12, 40, 47, -1])
def test_one_wrong_bit_is_found_anywhere(tmp_path, place):
    path = write(tmp_path / "some", [b"123456789", b"abcdefghij"])
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[place] ^= 4
    path.write_bytes(content.tobytes())
    with pytest.raises(ValueError, match="some must (be a TFRecord|match its check)"):
        list(tfrecords.read(path))


@pytest.mark.parametrize("length", [5, 12, 15, 24, 30, 44])
def test_a_cut_file_is_not_read_as_a_shorter_one(tmp_path, length):
    path = write(tmp_path / "some", [b"123456789", b"abcdefghij"])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match="some must end with a whole record"):
        list(tfrecords.read(path))


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    with pytest.raises(data.DataUnavailableError, match="google-crc32c.*pip install"):
        list(tfrecords.read(write(tmp_path / "some")))
