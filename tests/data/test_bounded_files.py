"""Files that are unpacked up to a limit."""

import gzip
import io

import pytest

from jaxlin.data.bounded_files import BoundedFile

CONTENT = bytes(range(100))


def packed(max_bytes):
    return BoundedFile(gzip.open(io.BytesIO(gzip.compress(CONTENT))), max_bytes)


@pytest.mark.parametrize("max_bytes", [100, 150, None])
def test_positions_up_to_the_limit(max_bytes):
    file = packed(max_bytes)
    assert (file.seek(60), file.tell()) == (60, 60)
    assert file.read() == CONTENT[60:]
    assert (file.seek(10), file.read(5)) == (10, CONTENT[10:15])
    assert file.seek(100) == 100
    assert file.read() == b""


@pytest.mark.parametrize("offset", [100, 10**15])
def test_a_position_behind_the_limit_is_refused_before_it_is_unpacked(offset):
    file = packed(99)
    assert file.seek(99) == 99
    with pytest.raises(ValueError, match="at most 99 bytes, unpacked, got more"):
        file.seek(offset)
    assert file.tell() == 99


def test_a_position_from_the_end_is_refused():
    with pytest.raises(io.UnsupportedOperation, match="must be from the start"):
        packed(None).seek(0, io.SEEK_END)
