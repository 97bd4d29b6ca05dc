"""IDX files, written here by the definition of the format."""

import gzip
import struct

import image_copies
import numpy as np
import pytest

from jaxlin import data

IMAGES = image_copies.small((6, 5, 1))


@pytest.fixture
def load(tmp_path):
    return lambda path: data.load(path, cache_dir=tmp_path / "cache", progress=False)


def assert_is(found, images=IMAGES):
    for name in ("train", "test"):
        split, (pixels, labels) = getattr(found, name), images.split(name)
        np.testing.assert_array_equal(split.features.reshape(pixels.shape), pixels)
        np.testing.assert_array_equal(split.labels, labels)


@pytest.mark.parametrize(
    "options", [{}, {"pack": gzip.compress, "suffix": ".gz"}], ids=["plain", "gz"]
)
def test_images_and_labels_come_back(tmp_path, load, options):
    found = load(image_copies.idx_files(tmp_path / "raw", IMAGES, **options))
    assert_is(found)
    assert found.image_shape == (6, 5, 1)
    assert found.class_names == tuple("0123456789")
    assert (found.name, found.max_value) == ("raw", 255.0)


def test_names_as_emnist_has_them_and_a_class_that_is_absent(tmp_path, load):
    """EMNIST's letters are 1 to 26; its test files are called test."""
    letters = image_copies.small((6, 5, 1), num_classes=26)
    letters = letters._replace(
        train_labels=letters.train_labels + 1, test_labels=letters.test_labels + 1
    )
    folder = image_copies.idx_files(tmp_path / "letters", letters)
    for path in list(folder.iterdir()):
        name = path.name.replace("t10k", "test").replace("-idx", ".idx")
        path.rename(folder / f"emnist-letters-{name}")
    found = load(folder)
    assert_is(found, letters)
    assert data.absent_classes(found) == ("0",)
    assert found.num_classes == 27


def test_unpacked_files_come_before_packed_ones(tmp_path, load):
    """torchvision leaves both; a broken download may be the packed one."""
    folder = image_copies.idx_files(tmp_path / "raw", IMAGES)
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(b"broken")
    assert_is(load(folder))


def header(*axes, code=8):
    return b"\0\0" + bytes([code, len(axes)]) + struct.pack(f">{len(axes)}I", *axes)


TRAIN, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
DAMAGES = {
    "cut": (TRAIN, lambda content: content[:-1], "must have 1516 bytes, got 1515"),
    "longer": (TRAIN, lambda content: content + b"x", "must have 1516 bytes, got 1517"),
    "header cut": (TRAIN, lambda content: content[:7], "must have .* bytes, got 7"),
    "empty": (
        LABELS,
        lambda content: b"",
        "must be an IDX file of uint8, begins with b''",
    ),
    "html": (
        LABELS,
        lambda content: b"<html>",
        "must be an IDX file of uint8, begins with b'<h",
    ),
    "floats": (
        LABELS,
        lambda content: header(2, code=0x0D) + struct.pack(">2f", 0, 1),
        "must be an IDX file of uint8, begins with",
    ),
    "axes": (TRAIN, lambda content: header(2) + b"ab", r"train images with 3 .*\(2,\)"),
    "other shape": (
        TRAIN,
        lambda content: header(50, 5, 6) + content[16:],
        r"images of one shape, got \(5, 6\) for training and \(6, 5\) for testing",
    ),
    "no images": (TRAIN, lambda content: header(0, 6, 5), "must not be empty"),
    "images without pixels": (
        TRAIN,
        lambda content: header(50, 0, 5),
        r"images of one shape, got \(0, 5\)",
    ),
    "many axes": (
        TRAIN,
        lambda content: header(*[0] * 255),
        "train-images-idx3-ubyte must have 1 axis or 3, got 255",
    ),
    "fewer labels": (
        LABELS,
        lambda content: header(3) + b"\0\1\2",
        "3 for 50 examples",
    ),
}


@pytest.mark.parametrize(("name", "damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_files_are_named(tmp_path, load, name, damage, words):
    folder = image_copies.idx_files(tmp_path / "raw", IMAGES)
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=words):
        load(folder)


def test_packed_files_that_are_damaged(tmp_path, load):
    folder = image_copies.idx_files(
        tmp_path / "raw", IMAGES, pack=gzip.compress, suffix=".gz"
    )
    path = folder / f"{LABELS}.gz"
    for content in (path.read_bytes()[:-9], b"no gzip"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{LABELS}.gz is damaged"):
            load(folder)


def test_missing_files_and_several_sets_are_named(tmp_path, load):
    folder = image_copies.idx_files(tmp_path / "raw", IMAGES)
    (folder / "t10k-labels-idx1-ubyte").rename(tmp_path / "away")
    with pytest.raises(ValueError, match="missing test labels"):
        load(folder)
    (tmp_path / "away").rename(folder / "emnist-test-labels-idx1-ubyte")
    with pytest.raises(
        ValueError, match="one data set, got files that begin with .*emn"
    ):
        load(folder)
