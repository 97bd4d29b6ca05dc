"""Places in which published sets are looked for, and downloads."""

import gzip
import hashlib
import sys
from urllib import request

import image_copies
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
from jaxlin.data import image_sets, official_sets
from jaxlin.data.downloads import RemoteFile

pytestmark = pytest.mark.usefixtures("small_sets")


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "HOME"])
def test_the_cache_of_the_hub_is_looked_into(
    tmp_path, load_copy, monkeypatch, variable
):
    below = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "HOME": ".cache/huggingface/hub"}
    folder = tmp_path / "hf" / below[variable] / "datasets--uoft-cs--cifar10"
    image_copies.hub_parquet(folder / "snapshots" / "ab12" / "plain_text", IMAGES)
    monkeypatch.setenv(variable, str(tmp_path / "hf"))
    assert_is(load_copy("cifar10", tmp_path / "nothing"), IMAGES)


def test_half_a_copy_of_the_hub_is_none(tmp_path, load_copy):
    folder = image_copies.hub_parquet(tmp_path / "plain_text", IMAGES)
    (folder / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(data.DataUnavailableError, match="downloads are switched off"):
        load_copy("cifar10", tmp_path)


def test_files_of_another_set_in_the_folder_are_not_this_one(tmp_path, load_copy):
    image_copies.idx_files(tmp_path / "home", GRAY)
    with pytest.raises(data.DataUnavailableError, match="cifar10 is not in .*home"):
        load_copy("cifar10", tmp_path / "home")
    assert_is(load_copy("mnist", tmp_path / "home"), GRAY)


def test_without_array_record_another_form_is_read(
    prepare_set, tmp_path, load_copy, monkeypatch
):
    """Its own format alone is out of reach, and named if there is nothing else."""
    version = prepared(prepare_set, tmp_path, "cifar10", IMAGES, with_ids=True)
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(data.DataUnavailableError) as caught:
        load_copy("cifar10", tmp_path)
    for words in (str(version), "pip install array_record", "left alone", "Windows"):
        assert words in str(caught.value)
    assert "delete" not in str(caught.value)
    for write in (image_copies.cifar_python, image_copies.cifar_binary):
        folder = write(tmp_path, IMAGES)
        found = load_copy("cifar10", tmp_path)
        assert_is(found, IMAGES)
        assert found.source == str(folder)


def test_a_prepared_copy_that_is_read_comes_first(prepare_set, tmp_path, load_copy):
    version = prepared(prepare_set, tmp_path, "cifar10", IMAGES, with_ids=True)
    image_copies.cifar_binary(tmp_path, image_copies.small(seed=1))
    assert load_copy("cifar10", tmp_path).source == str(version)


def test_the_folder_may_be_the_prepared_copy_itself(prepare_set, tmp_path, load_copy):
    version = prepared(prepare_set, tmp_path, "cifar10", IMAGES, with_ids=True)
    found = load_copy("cifar10", version)
    assert_is(found, IMAGES)
    assert found.source == str(version)


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

    def test_the_archive_is_fetched_and_read(self, tmp_path, fetch, load_copy):
        found = fetch()
        assert_is(found, IMAGES)
        path = tmp_path / "tfds" / "downloads" / "cifar-10-binary.tar.gz"
        assert found.source == str(path)
        assert not found.train.features.flags.writeable
        # Found again with no network.
        assert_is(load_copy("cifar10", tmp_path / "tfds"), IMAGES)

    def test_a_truncated_archive_there_is_replaced(self, tmp_path, fetch, load_copy):
        folder = tmp_path / "tfds" / "downloads"
        folder.mkdir(parents=True)
        (folder / "cifar-10-binary.tar.gz").write_bytes(b"cut")
        words = r"binary.tar.gz must have 170,052,171 bytes, got 3\), .*switched off"
        with pytest.raises(data.DataUnavailableError, match=words):
            load_copy("cifar10", tmp_path / "tfds")
        assert_is(fetch(), IMAGES)

    def test_a_failure_names_the_ways_out(self, tmp_path, fetch):
        with pytest.raises(data.DataUnavailableError, match="SHA-256 000000") as caught:
            fetch(sha256="0" * 64)
        for words in ("--dataset digits", "TFDS_DATA_DIR", "cifar-10-batches-py"):
            assert words in str(caught.value)
        assert not (tmp_path / "tfds").exists()
        assert_is(fetch(), IMAGES)

    def test_the_four_files_of_mnist(self, tmp_path, load_copy):
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


def test_offline_error_of_a_copy_in_another_format(tmp_path, load_copy):
    version = tmp_path / "cifar10" / "3.0.2"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text('{"fileFormat": "riegeli"}')
    with pytest.raises(data.DataUnavailableError) as caught:
        load_copy("cifar10", tmp_path)
    for words in (str(version), "riegeli", "leave that copy", "a download of"):
        assert words in str(caught.value)
    assert "delete" not in str(caught.value)


def test_a_path_and_a_name_share_no_entry_of_the_cache(
    tmp_path, load_copy, monkeypatch
):
    """By its path a set has its own class names; by its name the content is checked."""
    known = official_sets.KMNIST._replace(expected=((5,), (2,)))
    monkeypatch.setitem(official_sets.SETS, "kmnist", known)
    for first in ("path", "name"):
        parent = tmp_path / first
        folder = image_copies.idx_files(parent / "kmnist", GRAY)
        if first == "path":
            assert load_copy(folder, None).class_names[:2] == ("0", "1")
        assert load_copy("kmnist", parent).class_names[:2] == ("o", "ki")
        assert load_copy(folder, None).class_names[:2] == ("0", "1")
    other = tmp_path / "other"
    folder = image_copies.idx_files(other / "kmnist", image_copies.small((6, 5, 1)))
    load_copy(folder, None)
    with pytest.raises(ValueError, match="kmnist must have images of shape"):
        load_copy("kmnist", other)
