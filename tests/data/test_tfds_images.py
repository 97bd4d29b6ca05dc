import errno
import json
import os
import shutil
import sys

import image_copies
import numpy as np
import pytest
import tensorflow_datasets as tfds
from data_makers import encoded, in_order

from jaxlin import data
from jaxlin.data import tfds_folders, tfds_images

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 5, 4), dtype=np.uint8)


def gray_features(**changes):
    features = {
        "image": tfds.features.Image(shape=(5, 4, 1)),
        "label": tfds.features.ClassLabel(names=["zero", "one", "two"]),
    }
    return {**features, **changes}


def gray_rows(start, stop, **changes):
    return [
        {"image": encoded(PIXELS[i]), "label": i % 3, **changes}
        for i in range(start, stop)
    ]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tfds"


@pytest.fixture
def load(folder, tmp_path):
    def load(name="toy"):
        return data.load(name, folder, cache_dir=tmp_path / "cache", progress=False)

    return load


@pytest.fixture
def toy(prepare_set, folder):
    """Twenty training and ten test images of one channel, prepared."""
    splits = {"train": gray_rows(0, 20), "test": gray_rows(20, 30)}
    return prepare_set(folder, gray_features(), splits)


@pytest.mark.usefixtures("toy")
def test_any_prepared_set_by_name(load):
    """TFDS shuffles, so images are found again by their pixels."""
    found = load()
    assert found.image_shape == (5, 4, 1)
    assert found.class_names == ("zero", "one", "two")
    assert (found.version, found.max_value) == ("1.0.0", 255.0)
    assert found.train.features.dtype == np.uint8
    for split, indices in ((found.train, range(20)), (found.test, range(20, 30))):
        expected = {PIXELS[i].tobytes(): i % 3 for i in indices}
        rows = zip(split.features, split.labels, strict=True)
        assert {row.tobytes(): label for row, label in rows} == expected


def test_ids_give_the_order_and_supervised_keys_the_names(prepare_set, folder, load):
    features = {
        "id": tfds.features.Text(),
        "picture": tfds.features.Image(shape=(5, 4, 3)),
        "label": tfds.features.ClassLabel(num_classes=7),
        "fine": tfds.features.ClassLabel(num_classes=10),
    }
    colors = np.stack([PIXELS, PIXELS[::-1], PIXELS], axis=-1)
    rows = [
        {"id": f"{i:03d}", "picture": encoded(colors[i]), "label": 0, "fine": i % 10}
        for i in range(30)
    ]
    splits = {"train": rows, "test": rows}
    prepare_set(folder, features, splits, supervised=("picture", "fine"))
    found = load()
    np.testing.assert_array_equal(found.train.features, colors.reshape(30, 60))
    np.testing.assert_array_equal(found.test.labels, np.arange(30) % 10)
    assert found.class_names == tuple("0123456789")


def test_jpeg_images(prepare_set, folder, load):
    flat = np.full((8, 8, 3), 77, np.uint8)
    features = gray_features(
        image=tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
    )
    rows = [{"image": encoded(flat, "JPEG"), "label": i} for i in range(3)]
    prepare_set(folder, features, {"train": rows, "test": rows})
    found = load()
    assert found.image_shape == (8, 8, 3)
    assert set(np.unique(found.train.features)) == {77}


def test_the_newest_version_is_taken(toy, load):
    for version in ("1.9.0", "1.10.0", "incomplete.2_3.0.0"):
        shutil.copytree(toy, toy.parent / version)
    shutil.copytree(toy, toy.parent / "2.0.0")
    (toy.parent / "2.0.0" / "dataset_info.json").unlink()
    assert tfds_folders.find("toy", toy.parent.parent) == toy.parent / "1.10.0"


def test_prepared_names(toy, folder):
    shutil.copytree(toy, folder / "emnist" / "balanced" / "3.0.0")
    shutil.copytree(toy, folder / ".jaxlin-incomplete-x" / "cifar10" / "3.0.2")
    (folder / "downloads").mkdir(exist_ok=True)
    assert tfds_folders.prepared_names(folder) == ["emnist/balanced", "toy"]
    assert tfds_folders.find("../tfds/toy", folder) is None


def without_test(prepare_set, folder):
    return prepare_set(folder, gray_features(), {"train": gray_rows(0, 9)})


def two_sizes(prepare_set, folder):
    features = gray_features(image=tfds.features.Image(shape=(None, None, 1)))
    odd = {"image": encoded(PIXELS[0][:4]), "label": 0}
    splits = {"train": [*gray_rows(0, 9), odd], "test": gray_rows(9, 12)}
    return prepare_set(folder, features, splits)


def sizes_by_split(prepare_set, folder):
    features = gray_features(image=tfds.features.Image(shape=(None, None, 1)))
    odd = {"image": encoded(PIXELS[0].T.copy()), "label": 0}
    return prepare_set(folder, features, {"train": gray_rows(0, 9), "test": [odd]})


def regression(prepare_set, folder):
    rows = [{"image": encoded(PIXELS[0]), "label": 0.5}]
    features = gray_features(label=np.float32)
    return prepare_set(folder, features, {"train": rows, "test": rows})


def one_class(prepare_set, folder):
    rows = [{"image": encoded(PIXELS[i]), "label": 1} for i in range(3)]
    return prepare_set(folder, gray_features(), {"train": rows, "test": rows})


def unlabelled_test(prepare_set, folder):
    splits = {"train": gray_rows(0, 9), "test": gray_rows(9, 12, label=-1)}
    return prepare_set(folder, gray_features(), splits)


BAD_SETS = {
    "no test split": (without_test, "toy splits train and test, got train .npz"),
    "two sizes": (two_sizes, "toy must share one shape (5, 4, 1) (4, 4, 1) .npz"),
    "sizes by split": (sizes_by_split, "toy must share one shape (5, 4, 1) (4, 5, 1)"),
    "no class": (regression, "toy must be an image-classification set image, label"),
    "one class": (one_class, "toy train labels at least two classes"),
    "unlabelled": (unlabelled_test, "toy test labels must lie in [0, 2], got -1"),
}


@pytest.mark.parametrize(("make", "words"), BAD_SETS.values(), ids=BAD_SETS)
def test_sets_of_another_kind_are_refused(prepare_set, folder, load, make, words):
    make(prepare_set, folder)
    with pytest.raises(ValueError, match=in_order(*words.split())):
        load()


def as_format(name):
    def change(folder):
        info = json.loads((folder / "dataset_info.json").read_text())
        info["fileFormat"] = name
        (folder / "dataset_info.json").write_text(json.dumps(info))

    return change


def shard_of(folder):
    return next(folder.glob("*train*"))


DAMAGES = {
    "parquet": (as_format("parquet"), "parquet does not read file_format="),
    "files of another format": (as_format("tfrecord"), "delete prepare again"),
    "shard gone": (lambda folder: shard_of(folder).unlink(), "delete prepare again"),
    "shard cut": (lambda folder: os.truncate(shard_of(folder), 99), "delete again"),
    "info cut": (
        lambda folder: os.truncate(folder / "dataset_info.json", 9),
        "delete prepare again",
    ),
    "features gone": (lambda folder: (folder / "features.json").unlink(), "delete"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_copies_are_named(toy, load, damage, words):
    damage(toy)
    with pytest.raises(ValueError, match=in_order("toy", *words.split())):
        load()


@pytest.mark.usefixtures("toy")
def test_without_array_record_the_copy_is_left_alone(load, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(data.DataUnavailableError, match="array_record") as caught:
        load()
    assert "pip install array_record" in str(caught.value)
    assert "left alone" in str(caught.value)
    assert "delete" not in str(caught.value)
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("toy")
def test_a_missing_package_is_named(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(data.DataUnavailableError, match=r'pip install "jaxlin\['):
        load()


def test_tfrecord_files_give_the_same_bits(toy, load, folder, monkeypatch):
    """Without TensorFlow, and where array_record does not exist."""
    expected = load()
    made = image_copies.as_tfrecord(toy, folder / "again" / "1.0.0")
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    found = load("again")
    assert found.source == str(made)
    assert "tensorflow" not in sys.modules
    for split in ("train", "test"):
        for one, other in zip(
            getattr(found, split), getattr(expected, split), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    by_path = load(made)
    np.testing.assert_array_equal(by_path.train.features, found.train.features)


def test_missing_records_are_found(toy, load, folder):
    made = image_copies.as_tfrecord(toy, folder / "again" / "1.0.0")
    (shard,) = made.glob("*train.tfrecord*")
    content = shard.read_bytes()
    length = int.from_bytes(content[:8], "little")
    shard.write_bytes(content[length + 16 :])
    with pytest.raises(ValueError, match="train must have 20 records, 19.*delete that"):
        load("again")


def after(cause):
    """A failure of another type that something else has led to."""
    try:
        try:
            raise cause
        except Exception:
            raise RuntimeError("cannot read") from None
    except RuntimeError as error:
        return error


NO_DAMAGE = {
    "permission": PermissionError(errno.EACCES, "Permission denied"),
    "memory": MemoryError("Unable to allocate"),
    "no room to map": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "too many files": OSError(errno.EMFILE, "Too many open files"),
    "a package": ModuleNotFoundError("No module named 'etils'"),
    "behind another error": after(PermissionError(errno.EACCES, "Permission denied")),
}


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("error", NO_DAMAGE.values(), ids=NO_DAMAGE)
def test_only_damage_is_to_be_deleted(load, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(tfds, "builder_from_directory", fail)
    with pytest.raises(data.DataUnavailableError, match="left alone") as caught:
        load()
    assert "delete" not in str(caught.value)


@pytest.mark.usefixtures("toy")
def test_a_version_that_is_read_is_taken_before_a_newer_one(toy, load):
    newer = shutil.copytree(toy, toy.parent / "2.0.0")
    as_format("parquet")(newer)
    assert load().version == "1.0.0"


@pytest.mark.usefixtures("toy")
def test_a_hit_needs_no_tensorflow_datasets(load, monkeypatch):
    first = load()

    def fail():
        raise AssertionError("tensorflow-datasets is imported on a hit")

    monkeypatch.setattr(tfds_images, "_import_tfds", fail)
    second = load()
    np.testing.assert_array_equal(first.train.features, second.train.features)
    assert data.summary(first) == data.summary(second)
