"""Official files of CIFAR-10 and CIFAR-100, written here by their definition."""

import io
import tarfile

import image_copies
import numpy as np
import pytest

from jaxlin import data
from jaxlin.data import cifar_files

IMAGES = image_copies.small()
WRITERS = {"binary": image_copies.cifar_binary, "python": image_copies.cifar_python}
every_form = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@pytest.fixture
def load(tmp_path):
    return lambda path: data.load(path, cache_dir=tmp_path / "cache", progress=False)


def assert_is(found, images=IMAGES):
    """Pixels one by one for some, and all of them at once."""
    for name in ("train", "test"):
        split, (pixels, labels) = getattr(found, name), images.split(name)
        rows = split.features.reshape(-1, 32, 32, 3)
        for place in [(0, 0, 0, 0), (1, 2, 3, 1), (-1, 31, 30, 2)]:
            assert rows[place] == pixels[place]
        np.testing.assert_array_equal(rows, pixels)
        np.testing.assert_array_equal(split.labels, labels)


@every_form
def test_folders_and_archives_of_any_kind(tmp_path, load, write):
    folder = write(tmp_path, IMAGES)
    for path in (folder, image_copies.archive(folder, tmp_path / f"{folder.name}.tgz")):
        found = load(path)
        assert_is(found)
        assert found.class_names == image_copies.CIFAR10_NAMES
        assert found.image_shape == (32, 32, 3)
        assert (found.max_value, found.source) == (255.0, str(path))


def test_the_cache_follows_a_changed_archive(tmp_path, load):
    path = tmp_path / "mine.tar.gz"
    image_copies.archive(image_copies.cifar_binary(tmp_path / "a", IMAGES), path)
    assert_is(load(path))
    assert isinstance(load(path).train.features, np.memmap)
    other = image_copies.small(seed=1)
    image_copies.archive(image_copies.cifar_binary(tmp_path / "b", other), path)
    assert_is(load(path), other)


def test_pickles_of_python_3(tmp_path, load):
    """Text keys and newer protocols, as a set that somebody has written anew."""
    folder = tmp_path / "mine"
    folder.mkdir()
    parts = [*image_copies.batches(IMAGES), IMAGES.split("test")]
    names = [f"data_batch_{number}" for number in range(1, 6)]
    for name, (pixels, labels) in zip([*names, "test_batch"], parts, strict=True):
        content = {"data": image_copies.planes(pixels), "labels": labels}
        (folder / name).write_bytes(image_copies.python3_pickle(content, 4))
    names = {"label_names": [*image_copies.CIFAR10_NAMES]}
    (folder / "batches.meta").write_bytes(image_copies.python3_pickle(names, 2))
    found = load(folder)
    assert_is(found)
    assert found.class_names == image_copies.CIFAR10_NAMES


HUNDRED = image_copies.small(num_classes=100)


@pytest.mark.parametrize(
    "write", [image_copies.cifar100_binary, image_copies.cifar100_python]
)
def test_cifar100_by_its_fine_labels(tmp_path, load, write):
    found = load(write(tmp_path, HUNDRED))
    assert_is(found, HUNDRED)
    assert found.class_names == image_copies.CIFAR100_NAMES


def cut(name, length):
    def change(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:length])

    return change


def pickled(name, value):
    def change(folder):
        (folder / name).write_bytes(image_copies.python2_pickle(value))

    return change


DAMAGES = {
    "binary cut": ("binary", cut("data_batch_3.bin", -1), "data_batch_3.bin .*3073"),
    "binary empty": (
        "binary",
        cut("test_batch.bin", 0),
        "test_batch.bin .*got 0 bytes",
    ),
    "pickle cut": ("python", cut("data_batch_3", -9), "data_batch_3 .*damaged"),
    "no table": (
        "python",
        pickled("test_batch", [1]),
        "test_batch .*dictionary, got l",
    ),
    "no data": (
        "python",
        pickled("test_batch", {"a": 1}),
        "must hold data, labels, got",
    ),
    "no array": (
        "python",
        pickled("test_batch", {"data": [1], "labels": [1]}),
        r"test_batch .*uint8 of shape \(examples, 3072\)",
    ),
    "labels cut": (
        "python",
        pickled(
            "test_batch", {"data": np.zeros((3, 3072), np.uint8), "labels": [1, 2]}
        ),
        r"got uint8 of shape \(3, 3072\) and 2 labels",
    ),
    "ragged labels": (
        "python",
        pickled(
            "test_batch",
            {"data": np.zeros((2, 3072), np.uint8), "labels": [[1], [2, 3]]},
        ),
        r"test_batch must hold labels, an integer per image, got list \[\[1\]",
    ),
    "labels in two axes": (
        "python",
        pickled(
            "test_batch",
            {"data": np.zeros((2, 3072), np.uint8), "labels": np.zeros((2, 1), int)},
        ),
        "test_batch must hold labels, an integer per image, got ndarray",
    ),
    "no labels": (
        "python",
        pickled("test_batch", {"data": np.zeros((2, 3072), np.uint8), "labels": None}),
        "test_batch must hold labels, an integer per image, got NoneType",
    ),
    "data ragged": (
        "python",
        pickled("test_batch", {"data": [[1], [2, 3]], "labels": [1, 2]}),
        "test_batch must hold data, uint8 of .* got list",
    ),
    "names as numbers": (
        "python",
        pickled("batches.meta", {"label_names": [1, 2]}),
        r"batches.meta must hold label_names, a list of text, got \[1, 2\]",
    ),
    "names as nothing": (
        "python",
        pickled("batches.meta", {"label_names": None}),
        "batches.meta must hold label_names, a list of text, got None",
    ),
    "keys of several types": (
        "python",
        pickled("batches.meta", {1: 1, "a": 1, None: 2}),
        "batches.meta must hold label_names, got .*'1'.*'None'",
    ),
    "no names": (
        "python",
        pickled("batches.meta", {"a": 1}),
        "batches.meta must hold l",
    ),
    "one name": (
        "python",
        pickled("batches.meta", {"label_names": ["cat"]}),
        r"train labels must lie in \[0, 0\]",
    ),
}


@pytest.mark.parametrize(
    ("form", "damage", "words"), DAMAGES.values(), ids=DAMAGES.keys()
)
def test_damaged_files_are_named(tmp_path, load, form, damage, words):
    folder = WRITERS[form](tmp_path, IMAGES)
    damage(folder)
    with pytest.raises(ValueError, match=words):
        load(folder)


def test_a_pickle_that_calls_something_is_refused(tmp_path, load):
    folder = image_copies.cifar_python(tmp_path, IMAGES)
    (folder / "test_batch").write_bytes(b"cos\nsystem\n(S'touch was_run'\ntR.")
    with pytest.raises(
        ValueError, match="test_batch .*names os.system; it is not load"
    ):
        load(folder)


def test_files_that_are_no_archives_and_cut_ones(tmp_path, load):
    path = tmp_path / "some.tar.gz"
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"(?s)some.tar.gz: .*take a new copy"):
        load(path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="must hold the files of CIFAR-10 .* got none"):
        load(image_copies.archive(empty, path))
    whole = image_copies.archive(image_copies.cifar_binary(tmp_path, IMAGES), path)
    cut(path.name, -5000)(tmp_path)
    with pytest.raises(ValueError, match=r"(?s)some.tar.gz: .*take a new copy"):
        load(whole)


def test_the_checksum_of_an_archive_is_checked(tmp_path, load):
    """A flipped byte of stored blocks changes a pixel and nothing else."""
    folder = image_copies.cifar_binary(tmp_path, IMAGES)
    path = tmp_path / "some.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=0) as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, file.name)
    content = bytearray(path.read_bytes())
    pixels = image_copies.planes(IMAGES.test[:1]).tobytes()
    content[content.index(pixels[:1000])] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some.tar.gz: CRC check failed .*new copy"):
        load(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["absent", "data_batch_1.bin"])
def test_members_that_are_no_files_are_refused(tmp_path, load, kind, target):
    """A link may lead to no member, or to itself."""
    path = tmp_path / "some.tar"
    folder = image_copies.cifar_binary(tmp_path, IMAGES)
    with tarfile.open(path, "w") as tar:
        for file in folder.iterdir():
            member = tarfile.TarInfo(file.name)
            if file.name == "data_batch_1.bin":
                member.type, member.linkname = kind, target
                tar.addfile(member)
            else:
                tar.add(file, file.name)
    with pytest.raises(ValueError, match=r"some.tar: data_batch_1.bin must be a file"):
        load(path)


def test_a_folder_of_an_archive_may_be_called_as_a_file(tmp_path, load):
    folder = image_copies.cifar_binary(tmp_path, IMAGES)
    folder = folder.rename(tmp_path / "train")
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        tar.add(folder, "train")
    assert_is(load(tmp_path / "some.tar"))


def test_members_of_an_archive_are_never_written(tmp_path, load, monkeypatch):
    """A name that leads out of the folder is only a name."""
    path = tmp_path / "some.tar"
    folder = image_copies.cifar_binary(tmp_path, IMAGES)
    with tarfile.open(path, "w") as tar:
        for file in folder.iterdir():
            tar.add(file, f"../../{file.name}")
        member = tarfile.TarInfo("../../outside")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
    before = sorted(one.name for one in tmp_path.parent.iterdir())
    assert_is(cifar_files.read(path))
    assert sorted(one.name for one in tmp_path.parent.iterdir()) == before
