"""Published sets from every form of a copy: the same bits, or a refusal."""

import gzip
import hashlib
import sys
from urllib import request

import image_copies
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxlin import data
from jaxlin.data import image_sets, official_sets, readers, tfds_folders
from jaxlin.data.downloads import RemoteFile

IMAGES = image_copies.small()
GRAY = image_copies.small((28, 28, 1))


def pairs(images):
    """SHA-256 of the sorted digests of each label and image, by a loop."""
    found = []
    for split in ("train", "test"):
        pixels, labels = images.split(split)
        digests = sorted(
            hashlib.sha256(bytes([label, *image.ravel()])).digest()
            for image, label in zip(pixels, labels, strict=True)
        )
        whole = hashlib.sha256()
        for digest in digests:
            whole.update(digest)
        found.append(whole.hexdigest())
    return tuple(found)


SMALL_CIFAR10 = official_sets.CIFAR10._replace(
    expected=pairs(IMAGES),
    batches=tuple(
        official_sets.idx_md5(labels) for _, labels in image_copies.batches(IMAGES)
    ),
)
SMALL_MNIST = official_sets.MNIST._replace(
    expected=tuple(
        official_sets.mnist_md5(
            data.Split(GRAY.split(split)[0].reshape(-1, 784), GRAY.split(split)[1])
        )
        for split in ("train", "test")
    ),
)


@pytest.fixture(autouse=True)
def small_sets(monkeypatch, tmp_path):
    """The names mean the small sets, and nothing is found or fetched elsewhere."""
    for known in (SMALL_CIFAR10, SMALL_MNIST):
        monkeypatch.setitem(official_sets.SETS, known.name, known)
    for name in ("HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def load(tmp_path):
    def load(name, folder):
        return data.load(
            name,
            folder,
            cache_dir=tmp_path / "cache",
            download=False,
            progress=False,
        )

    return load


def assert_is(found, images):
    for name in ("train", "test"):
        split, (pixels, labels) = getattr(found, name), images.split(name)
        np.testing.assert_array_equal(
            split.features.reshape(pixels.shape), pixels, strict=True
        )
        np.testing.assert_array_equal(split.labels, labels.astype("i4"), strict=True)


def prepared(prepare_set, folder, name, images, *, with_ids):
    """Prepares a set with tensorflow-datasets under a name of its own."""
    features = {
        "image": tfds.features.Image(shape=images.train.shape[1:]),
        "label": tfds.features.ClassLabel(names=list(image_copies.CIFAR10_NAMES)),
    }
    if with_ids:
        features["id"] = tfds.features.Text()
    png = image_copies.encoded
    splits = {
        split: image_copies.tfds_rows(
            images,
            split,
            with_ids=with_ids,
            png=lambda one: png(one[..., 0] if one.shape[-1] == 1 else one),
        )
        for split in ("train", "test")
    }
    made = prepare_set(folder / "made", features, splits)
    target = folder / name / "3.0.2"
    target.parent.mkdir()
    return made.rename(target)


def cifar_forms(prepare_set, folder):
    """A folder of data sets for each form of the small CIFAR-10."""
    as_records = prepared(prepare_set, folder, "cifar10", IMAGES, with_ids=True)
    binary = image_copies.cifar_binary(folder / "bin", IMAGES)
    pickled = image_copies.cifar_python(folder / "py", IMAGES)
    forms = {"array_record": folder, "binary": folder / "bin", "pickles": folder / "py"}
    image_copies.as_tfrecord(as_records, folder / "tfrecord" / "cifar10" / "3.0.2")
    forms["tfrecord"] = folder / "tfrecord"
    for name, made in (("binary", binary), ("python", pickled)):
        forms[f"{name} archive"] = folder / f"{name}-archive"
        forms[f"{name} archive"].mkdir()
        path = forms[f"{name} archive"] / f"cifar-10-{name}.tar.gz"
        image_copies.archive(made, path)
    forms["hub"] = folder / "hub"
    image_copies.hub_parquet(folder / "hub" / "plain_text", IMAGES)
    return forms


def test_every_form_of_cifar10_gives_the_same_bits(prepare_set, tmp_path, load):
    forms = cifar_forms(prepare_set, tmp_path / "tfds")
    for name, folder in forms.items():
        found = load("cifar10", folder)
        assert_is(found, IMAGES)
        assert found.class_names == image_copies.CIFAR10_NAMES, name
        assert (found.name, found.image_shape) == ("cifar10", (32, 32, 3)), name
        assert isinstance(found.train.features, np.memmap), name
    # The folder of the copy itself does as well as the one above it.
    assert_is(load("cifar10", forms["hub"] / "plain_text"), IMAGES)
    assert_is(load("cifar10", forms["pickles"] / "cifar-10-batches-py"), IMAGES)


def test_batches_of_the_hub_come_in_the_official_order(tmp_path, load):
    """The hub has them as 4, 3, 2, 5, 1."""
    order = np.arange(50).reshape(5, 10)[[3, 2, 1, 4, 0]].ravel()
    folder = image_copies.hub_parquet(tmp_path / "plain_text", IMAGES, order=order)
    assert_is(load("cifar10", tmp_path), IMAGES)
    by_path = readers.read(folder, readers.reader_of(folder))
    np.testing.assert_array_equal(by_path.train.labels, IMAGES.train_labels[order])


def test_a_copy_in_an_order_of_its_own_keeps_it(tmp_path, load):
    order = np.random.default_rng(3).permutation(50)
    image_copies.hub_parquet(tmp_path / "plain_text", IMAGES, order=order)
    found = load("cifar10", tmp_path)
    np.testing.assert_array_equal(found.train.labels, IMAGES.train_labels[order])


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "HOME"])
def test_the_cache_of_the_hub_is_looked_into(tmp_path, load, monkeypatch, variable):
    below = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "HOME": ".cache/huggingface/hub"}
    folder = tmp_path / "hf" / below[variable] / "datasets--uoft-cs--cifar10"
    image_copies.hub_parquet(folder / "snapshots" / "ab12" / "plain_text", IMAGES)
    monkeypatch.setenv(variable, str(tmp_path / "hf"))
    assert_is(load("cifar10", tmp_path / "nothing"), IMAGES)


def test_half_a_copy_of_the_hub_is_none(tmp_path, load):
    folder = image_copies.hub_parquet(tmp_path / "plain_text", IMAGES)
    (folder / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(data.DataUnavailableError, match="downloads are switched off"):
        load("cifar10", tmp_path)


def test_files_of_another_set_in_the_folder_are_not_this_one(tmp_path, load):
    image_copies.idx_files(tmp_path / "home", GRAY)
    with pytest.raises(data.DataUnavailableError, match="cifar10 is not in .*home"):
        load("cifar10", tmp_path / "home")
    assert_is(load("mnist", tmp_path / "home"), GRAY)


def flipped_pixel(images):
    train = images.train.copy()
    train[17, 3, 4, 1] ^= 1
    return images._replace(train=train)


def swapped_labels(images):
    """Every class keeps its number of images."""
    labels = images.test_labels.copy()
    one, other = np.flatnonzero(labels == 0)[0], np.flatnonzero(labels == 1)[0]
    labels[[one, other]] = labels[[other, one]]
    return images._replace(test_labels=labels)


def one_image_twice(images):
    train = images.train.copy()
    train[1], labels = train[0], images.train_labels.copy()
    labels[1] = labels[0]
    return images._replace(train=train, train_labels=labels)


@pytest.mark.parametrize("change", [flipped_pixel, swapped_labels, one_image_twice])
def test_other_images_are_not_cifar10(tmp_path, load, change):
    changed = change(IMAGES)
    folder = image_copies.cifar_binary(tmp_path, changed)
    with pytest.raises(ValueError, match="cifar10 must have the .* official") as caught:
        load("cifar10", tmp_path)
    assert str(folder) in str(caught.value)
    assert list((tmp_path / "cache").glob("cifar10*")) == []
    # By its path it is a data set of its own.
    assert_is(load(folder, None), changed)


def mnist_forms(prepare_set, folder):
    as_records = prepared(prepare_set, folder, "mnist", GRAY, with_ids=False)
    image_copies.as_tfrecord(as_records, folder / "tfrecord" / "mnist" / "3.0.1")
    raw, packed = folder / "torchvision", folder / "packed"
    image_copies.idx_files(raw / "MNIST" / "raw", GRAY)
    image_copies.idx_files(packed / "mnist", GRAY, pack=gzip.compress, suffix=".gz")
    hub = folder / "hub"
    png = image_copies.encoded
    image_copies.hub_parquet(
        hub / "mnist", GRAY, column="image", png=lambda one: png(one[..., 0])
    )
    return [folder, folder / "tfrecord", raw, packed, hub]


def test_every_form_of_mnist_gives_the_same_bits(prepare_set, tmp_path, load):
    """tensorflow-datasets stores it shuffled and without ids."""
    for folder in mnist_forms(prepare_set, tmp_path / "tfds"):
        found = load("mnist", folder)
        assert_is(found, GRAY)
        assert found.class_names == tuple("0123456789")
        assert found.image_shape == (28, 28, 1)


def test_the_order_of_mnist_counts(tmp_path, load):
    order = np.random.default_rng(3).permutation(50)
    mixed = GRAY._replace(
        train=GRAY.train[order], train_labels=GRAY.train_labels[order]
    )
    image_copies.idx_files(tmp_path / "mnist", mixed)
    with pytest.raises(ValueError, match="mnist must have the train images and labels"):
        load("mnist", tmp_path)


def test_images_of_another_shape_are_another_set(tmp_path, load):
    image_copies.idx_files(tmp_path / "mnist", image_copies.small((6, 5, 1)))
    with pytest.raises(
        ValueError, match=r"mnist must have images of shape \(28, 28, 1"
    ):
        load("mnist", tmp_path)


def test_sets_known_by_their_numbers_alone(tmp_path, load, monkeypatch):
    known = official_sets.KMNIST._replace(expected=((5,), (2,)))
    monkeypatch.setitem(official_sets.SETS, "kmnist", known)
    image_copies.idx_files(tmp_path / "KMNIST" / "raw", GRAY)
    found = load("kmnist", tmp_path)
    assert_is(found, GRAY)
    assert found.class_names[:3] == ("o", "ki", "su")
    labels = np.where(GRAY.train_labels == 3, 4, GRAY.train_labels).astype(np.uint8)
    image_copies.idx_files(tmp_path / "two", GRAY._replace(train_labels=labels))
    with pytest.raises(ValueError, match=r"kmnist .*per class: \[5, 5, 5, 0, 10, 5,"):
        load("kmnist", tmp_path / "two")


def test_cifar100_is_known_by_its_labels_in_their_order(tmp_path, load, monkeypatch):
    hundred = image_copies.small(num_classes=100)
    known = official_sets.CIFAR100._replace(
        expected=tuple(
            official_sets.idx_md5(hundred.split(split)[1])
            for split in ("train", "test")
        )
    )
    monkeypatch.setitem(official_sets.SETS, "cifar100", known)
    image_copies.cifar100_python(tmp_path / "python", hundred)
    image_copies.hub_parquet(tmp_path / "hub" / "cifar100", hundred, label="fine_label")
    for form in ("python", "hub"):
        found = load("cifar100", tmp_path / form)
        assert_is(found, hundred)
        assert found.class_names == image_copies.CIFAR100_NAMES
    order = np.roll(np.arange(500), 1)
    rolled = hundred._replace(
        train=hundred.train[order], train_labels=hundred.train_labels[order]
    )
    image_copies.cifar100_binary(tmp_path / "other", rolled)
    with pytest.raises(ValueError, match="cifar100 must have the train images and lab"):
        load("cifar100", tmp_path / "other")


def test_without_array_record_another_form_is_read(
    prepare_set, tmp_path, load, monkeypatch
):
    """Its own format alone is out of reach, and named if there is nothing else."""
    version = prepared(prepare_set, tmp_path, "cifar10", IMAGES, with_ids=True)
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(data.DataUnavailableError) as caught:
        load("cifar10", tmp_path)
    for words in (str(version), "pip install array_record", "left alone", "Windows"):
        assert words in str(caught.value)
    assert "delete" not in str(caught.value)
    for write in (image_copies.cifar_python, image_copies.cifar_binary):
        folder = write(tmp_path, IMAGES)
        found = load("cifar10", tmp_path)
        assert_is(found, IMAGES)
        assert found.source == str(folder)


def test_a_prepared_copy_that_is_read_comes_first(prepare_set, tmp_path, load):
    version = prepared(prepare_set, tmp_path, "cifar10", IMAGES, with_ids=True)
    image_copies.cifar_binary(tmp_path, image_copies.small(seed=1))
    assert load("cifar10", tmp_path).source == str(version)


@pytest.fixture
def archive(tmp_path):
    """An archive of the small set, and its description at an address of the disk."""
    path = image_copies.archive(
        image_copies.cifar_binary(tmp_path / "made", IMAGES), tmp_path / "made.tar.gz"
    )
    content = path.read_bytes()
    return RemoteFile(
        "cifar-10-binary.tar.gz",
        (path.as_uri(),),
        len(content),
        hashlib.sha256(content).hexdigest(),
    )


class TestDownloads:
    @pytest.fixture
    def fetch(self, tmp_path, archive, monkeypatch):
        """Loads with a download from the disk."""
        # Files on the disk have no status, which only answers of servers have.
        real = request.urlopen

        def urlopen(*args, **kwargs):
            response = real(*args, **kwargs)
            response.code = 200
            return response

        monkeypatch.setattr(request, "urlopen", urlopen)

        def fetch(**changes):
            known = SMALL_CIFAR10._replace(remote=(archive._replace(**changes),))
            monkeypatch.setitem(official_sets.SETS, "cifar10", known)
            return data.load(
                "cifar10",
                tmp_path / "tfds",
                cache_dir=tmp_path / "cache",
                progress=False,
            )

        return fetch

    def test_the_archive_is_fetched_and_read(self, tmp_path, fetch, load):
        found = fetch()
        assert_is(found, IMAGES)
        path = tmp_path / "tfds" / "downloads" / "cifar-10-binary.tar.gz"
        assert found.source == str(path)
        assert not found.train.features.flags.writeable
        # Found again with no network.
        assert_is(load("cifar10", tmp_path / "tfds"), IMAGES)

    def test_a_truncated_archive_there_is_replaced(self, tmp_path, fetch):
        folder = tmp_path / "tfds" / "downloads"
        folder.mkdir(parents=True)
        (folder / "cifar-10-binary.tar.gz").write_bytes(b"cut")
        assert_is(fetch(), IMAGES)

    def test_a_failure_names_the_ways_out(self, tmp_path, fetch):
        with pytest.raises(data.DataUnavailableError, match="SHA-256 000000") as caught:
            fetch(sha256="0" * 64)
        for words in ("--dataset digits", "TFDS_DATA_DIR", "cifar-10-batches-py"):
            assert words in str(caught.value)
        assert not (tmp_path / "tfds").exists()
        assert_is(fetch(), IMAGES)

    def test_the_four_files_of_mnist(self, tmp_path, load):
        """Placed there by hand, complete by their sizes; then one is missing."""
        folder = tmp_path / "downloads" / "mnist"
        image_copies.idx_files(folder, GRAY, pack=gzip.compress, suffix=".gz")
        files = tuple(
            file._replace(num_bytes=(folder / file.name).stat().st_size)
            for file in SMALL_MNIST.remote
        )
        known = SMALL_MNIST._replace(remote=files)
        assert image_sets.locate(known, tmp_path, download=False) == folder
        (folder / files[2].name).unlink()
        with pytest.raises(data.DataUnavailableError, match="belongs in .*mnist"):
            image_sets.locate(known, tmp_path, download=False)


def test_offline_error_of_a_copy_in_another_format(tmp_path, load):
    version = tmp_path / "cifar10" / "3.0.2"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text('{"fileFormat": "riegeli"}')
    with pytest.raises(data.DataUnavailableError) as caught:
        load("cifar10", tmp_path)
    for words in (str(version), "riegeli", "leave that copy", "a download of"):
        assert words in str(caught.value)
    assert "delete" not in str(caught.value)


@pytest.mark.full
@pytest.mark.cifar10
def test_every_form_of_the_whole_cifar10(tmp_path, monkeypatch, cifar10_dir):
    """All of CIFAR-10 written in every form from the copy that is there."""
    monkeypatch.setitem(official_sets.SETS, "cifar10", official_sets.CIFAR10)
    expected = data.load("cifar10", cifar10_dir)
    whole = image_copies.Images(
        expected.train.features.reshape(-1, 32, 32, 3),
        expected.train.labels.astype(np.uint8),
        expected.test.features.reshape(-1, 32, 32, 3),
        expected.test.labels.astype(np.uint8),
    )
    binary = image_copies.cifar_binary(tmp_path, whole)
    forms = [
        binary,
        image_copies.cifar_python(tmp_path, whole),
        image_copies.archive(binary, tmp_path / "cifar-10-binary.tar.gz"),
        image_copies.hub_parquet(tmp_path / "plain_text", whole),
        image_copies.as_tfrecord(
            tfds_folders.find("cifar10", cifar10_dir), tmp_path / "cifar10" / "3.0.2"
        ),
    ]
    for form in forms:
        found = image_sets.read(official_sets.CIFAR10, form, progress=False)
        for split in ("train", "test"):
            for one, other in zip(
                getattr(found, split), getattr(expected, split), strict=True
            ):
                np.testing.assert_array_equal(one, other, strict=True)


def test_a_path_and_a_name_share_no_entry_of_the_cache(tmp_path, load, monkeypatch):
    """By its path a set has its own class names; by its name the content is checked."""
    known = official_sets.KMNIST._replace(expected=((5,), (2,)))
    monkeypatch.setitem(official_sets.SETS, "kmnist", known)
    for first in ("path", "name"):
        parent = tmp_path / first
        folder = image_copies.idx_files(parent / "kmnist", GRAY)
        if first == "path":
            assert load(folder, None).class_names[:2] == ("0", "1")
        assert load("kmnist", parent).class_names[:2] == ("o", "ki")
        assert load(folder, None).class_names[:2] == ("0", "1")
    other = tmp_path / "other"
    folder = image_copies.idx_files(other / "kmnist", image_copies.small((6, 5, 1)))
    load(folder, None)
    with pytest.raises(ValueError, match="kmnist must have images of shape"):
        load("kmnist", other)
