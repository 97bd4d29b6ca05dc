"""Published sets from every form of a copy: the same bits, or a refusal."""

import gzip
import hashlib
import tarfile

import image_copies
import numpy as np
import pytest
from small_image_sets import (
    GRAY,
    IMAGES,
    SMALL_CIFAR10,
    SMALL_MNIST,
    assert_is,
    prepared,
)

from jaxlin import data
from jaxlin.data import cifar_files, image_sets, official_sets, readers, tfds_folders

pytestmark = pytest.mark.usefixtures("small_sets")


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


def test_every_form_of_cifar10_gives_the_same_bits(prepare_set, tmp_path, load_copy):
    forms = cifar_forms(prepare_set, tmp_path / "tfds")
    for name, folder in forms.items():
        found = load_copy("cifar10", folder)
        assert_is(found, IMAGES)
        assert found.class_names == image_copies.CIFAR10_NAMES, name
        assert (found.name, found.image_shape) == ("cifar10", (32, 32, 3)), name
        assert isinstance(found.train.features, np.memmap), name
    # The folder of the copy itself does as well as the one above it.
    assert_is(load_copy("cifar10", forms["hub"] / "plain_text"), IMAGES)
    assert_is(load_copy("cifar10", forms["pickles"] / "cifar-10-batches-py"), IMAGES)


def test_batches_of_the_hub_come_in_the_official_order(tmp_path, load_copy):
    """The hub has them as 4, 3, 2, 5, 1."""
    order = np.arange(50).reshape(5, 10)[[3, 2, 1, 4, 0]].ravel()
    folder = image_copies.hub_parquet(tmp_path / "plain_text", IMAGES, order=order)
    assert_is(load_copy("cifar10", tmp_path), IMAGES)
    by_path = readers.read(folder, readers.reader_of(folder))
    np.testing.assert_array_equal(by_path.train.labels, IMAGES.train_labels[order])


def test_a_copy_in_an_order_of_its_own_keeps_it(tmp_path, load_copy):
    order = np.random.default_rng(3).permutation(50)
    image_copies.hub_parquet(tmp_path / "plain_text", IMAGES, order=order)
    found = load_copy("cifar10", tmp_path)
    np.testing.assert_array_equal(found.train.labels, IMAGES.train_labels[order])


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
def test_other_images_are_not_cifar10(tmp_path, load_copy, change):
    changed = change(IMAGES)
    folder = image_copies.cifar_binary(tmp_path, changed)
    with pytest.raises(ValueError, match="cifar10 must have the .* official") as caught:
        load_copy("cifar10", tmp_path)
    assert str(folder) in str(caught.value)
    assert list((tmp_path / "cache").glob("cifar10*")) == []
    # By its path it is a data set of its own.
    assert_is(load_copy(folder, None), changed)


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


def test_every_form_of_mnist_gives_the_same_bits(prepare_set, tmp_path, load_copy):
    """tensorflow-datasets stores it shuffled and without ids."""
    for folder in mnist_forms(prepare_set, tmp_path / "tfds"):
        found = load_copy("mnist", folder)
        assert_is(found, GRAY)
        assert found.class_names == tuple("0123456789")
        assert found.image_shape == (28, 28, 1)


def test_the_order_of_mnist_counts(tmp_path, load_copy):
    order = np.random.default_rng(3).permutation(50)
    mixed = GRAY._replace(
        train=GRAY.train[order], train_labels=GRAY.train_labels[order]
    )
    image_copies.idx_files(tmp_path / "mnist", mixed)
    with pytest.raises(ValueError, match="mnist must have the train images and labels"):
        load_copy("mnist", tmp_path)


def test_images_of_another_shape_are_another_set(tmp_path, load_copy):
    image_copies.idx_files(tmp_path / "mnist", image_copies.small((6, 5, 1)))
    with pytest.raises(
        ValueError, match=r"mnist must have images of shape \(28, 28, 1"
    ):
        load_copy("mnist", tmp_path)


def test_sets_known_by_their_numbers_alone(tmp_path, load_copy, monkeypatch):
    known = official_sets.KMNIST._replace(expected=((5,), (2,)))
    monkeypatch.setitem(official_sets.SETS, "kmnist", known)
    image_copies.idx_files(tmp_path / "KMNIST" / "raw", GRAY)
    found = load_copy("kmnist", tmp_path)
    assert_is(found, GRAY)
    assert found.class_names[:3] == ("o", "ki", "su")
    labels = np.where(GRAY.train_labels == 3, 4, GRAY.train_labels).astype(np.uint8)
    image_copies.idx_files(tmp_path / "two", GRAY._replace(train_labels=labels))
    with pytest.raises(ValueError, match=r"kmnist .*per class: \[5, 5, 5, 0, 10, 5,"):
        load_copy("kmnist", tmp_path / "two")


HUNDRED = image_copies.small(num_classes=100)


def sums(images, split):
    """Digest of the labels, and the sum of each color channel by a loop."""
    pixels, labels = images.split(split)
    channels = tuple(sum(pixels[..., one].ravel().tolist()) for one in range(3))
    return official_sets.idx_md5(labels), channels


SMALL_CIFAR100 = official_sets.CIFAR100._replace(
    expected=(sums(HUNDRED, "train"), sums(HUNDRED, "test")), checksums={}
)


def test_cifar100_is_known_by_its_labels_and_sums(tmp_path, load_copy, monkeypatch):
    monkeypatch.setitem(official_sets.SETS, "cifar100", SMALL_CIFAR100)
    image_copies.cifar100_python(tmp_path / "python", HUNDRED)
    image_copies.hub_parquet(tmp_path / "hub" / "cifar100", HUNDRED, label="fine_label")
    for form in ("python", "hub"):
        found = load_copy("cifar100", tmp_path / form)
        assert_is(found, HUNDRED)
        assert found.class_names == image_copies.CIFAR100_NAMES
    order = np.roll(np.arange(500), 1)
    rolled = HUNDRED._replace(
        train=HUNDRED.train[order], train_labels=HUNDRED.train_labels[order]
    )
    for number, changed in enumerate((rolled, flipped_pixel(HUNDRED))):
        folder = tmp_path / f"changed-{number}"
        image_copies.cifar100_binary(folder, changed)
        with pytest.raises(ValueError, match="cifar100 must have the train images and"):
            load_copy("cifar100", folder)


def test_files_with_published_checksums_must_have_them(
    tmp_path, load_copy, monkeypatch
):
    """In a folder and in an archive; an archive by its path has no such checksum."""
    folder = image_copies.cifar100_python(tmp_path / "folder", HUNDRED)
    packed = image_copies.archive(folder, tmp_path / "cifar-100-python.tar.gz")
    right = {
        path.name: ("md5", hashlib.md5(path.read_bytes()).hexdigest())
        for path in (*folder.iterdir(), packed)
    }
    for name in ("cifar-100-python.tar.gz", "train"):
        place = packed if name == packed.name else folder / name
        for checksums, is_right in ((right, True), ({name: ("md5", "0" * 32)}, False)):
            known = SMALL_CIFAR100._replace(checksums=checksums)
            monkeypatch.setitem(official_sets.SETS, "cifar100", known)
            if is_right:
                assert_is(load_copy("cifar100", place.parent), HUNDRED)
                place.touch()  # a new entry of the cache
            else:
                words = f"{name} must have MD5 000.* official file of cifar100, got "
                with pytest.raises(ValueError, match=words + right[name][1]):
                    load_copy("cifar100", place.parent)
    assert_is(load_copy(packed, None), HUNDRED)


def test_packed_files_of_kmnist_have_published_checksums(
    tmp_path, load_copy, monkeypatch
):
    known = official_sets.KMNIST._replace(expected=((5,), (2,)))
    monkeypatch.setitem(official_sets.SETS, "kmnist", known)
    folder = tmp_path / "kmnist"
    image_copies.idx_files(folder, GRAY, pack=gzip.compress, suffix=".gz")
    with pytest.raises(ValueError, match=r"ubyte.gz must have SHA256 .* of kmnist"):
        load_copy("kmnist", tmp_path)
    # Only the unpacked files are read where both are there.
    for path in image_copies.idx_files(tmp_path / "unpacked", GRAY).iterdir():
        path.rename(folder / path.name)
    assert_is(load_copy("kmnist", tmp_path), GRAY)


class TestSizes:
    """Packed files that would unpack to more than a published set holds."""

    def test_archives(self, tmp_path, load_copy, monkeypatch):
        few = SMALL_CIFAR10._replace(num_images=30)
        monkeypatch.setitem(official_sets.SETS, "cifar10", few)
        folder = image_copies.cifar_binary(tmp_path / "made", IMAGES)
        path = image_copies.archive(folder, tmp_path / "cifar-10-binary.tar.gz")
        words = r"cifar-10-binary.tar.gz: must hold at most 184,320 bytes, unpacked"
        with pytest.raises(ValueError, match=words):
            load_copy("cifar10", tmp_path)
        assert_is(load_copy(path, None), IMAGES)

    def test_an_archive_of_zeros(self, tmp_path):
        """A member or an extended header that says it has 8 GB."""
        for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            member = tarfile.TarInfo("data_batch_1.bin")
            member.size, member.type = 8 * 10**9, kind
            path = tmp_path / "cifar-10-binary.tar.gz"
            path.write_bytes(gzip.compress(member.tobuf() + bytes(10**6)))
            with pytest.raises(ValueError, match="must hold at most 5,000 bytes"):
                cifar_files.read(path, max_bytes=5000)

    def test_zeros_behind_the_last_member(self, tmp_path):
        folder = image_copies.cifar_binary(tmp_path, IMAGES)
        path = image_copies.archive(folder, tmp_path / "some.tar.gz")
        whole = len(gzip.decompress(path.read_bytes()))
        assert len(cifar_files.read(path, max_bytes=whole).train.labels) == 50
        path.write_bytes(path.read_bytes() + gzip.compress(bytes(1)))
        assert len(cifar_files.read(path).train.labels) == 50
        with pytest.raises(ValueError, match=f"must hold at most {whole:,} bytes"):
            cifar_files.read(path, max_bytes=whole)

    def test_files_of_idx(self, tmp_path, load_copy, monkeypatch):
        few = SMALL_MNIST._replace(num_images=20)
        monkeypatch.setitem(official_sets.SETS, "mnist", few)
        folder = tmp_path / "mnist"
        image_copies.idx_files(folder, GRAY, pack=gzip.compress, suffix=".gz")
        words = r"ubyte.gz must hold at most 31,360 bytes, unpacked, got more; take a"
        with pytest.raises(ValueError, match=words):
            load_copy("mnist", tmp_path)
        assert_is(load_copy(folder, None), GRAY)


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
