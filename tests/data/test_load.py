import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest

from jaxlin import data
from jaxlin.data import tfds_folders, tfds_images


@pytest.fixture
def offline(monkeypatch):
    def fail(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", fail)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("options", "reason"),
    [({}, "no route to host"), ({"download": False}, "downloads are switched off")],
)
def test_offline_and_no_copy(tmp_path, options, reason):
    with pytest.raises(OSError, match=reason) as caught:
        data.load("cifar10", tmp_path, **options)
    assert type(caught.value) is data.DataUnavailableError
    for words in (
        str(tmp_path),
        "--dataset digits",
        "TFDS_DATA_DIR",
        "download of 170 MB",
    ):
        assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("offline")
def test_a_data_folder_that_cannot_be_made(tmp_path):
    taken = tmp_path / "a file"
    taken.touch()
    with pytest.raises(data.DataUnavailableError, match="TFDS_DATA_DIR"):
        data.load("cifar10", taken / "folder")


@pytest.mark.parametrize("name", ["cifr10", "svhn", "", "../digits", "my.npy"])
def test_unknown_names_list_what_there_is(tmp_path, name):
    version = tmp_path / "emnist" / "3.0.2"
    version.mkdir(parents=True)
    (version / "dataset_info.json").touch()
    with pytest.raises(ValueError, match="data set must be") as caught:
        data.load(name, tmp_path)
    for words in ("cifar10,", "digits", ".npz", "emnist", ".csv", repr(name)):
        assert words in str(caught.value)


@pytest.mark.parametrize("given", [3, None, np.zeros((2, 2)), b"digits"])
def test_data_in_the_place_of_a_name_is_refused(given):
    with pytest.raises(ValueError, match=r"name must be .*got a .*jaxlin\.problem"):
        data.load(given)


def test_the_folder_is_the_argument_else_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert tfds_folders.data_folder("/elsewhere").as_posix() == "/elsewhere"
    assert tfds_folders.data_folder(None) == tmp_path
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tfds_folders.data_folder(None) == tmp_path / "tensorflow_datasets"


@pytest.mark.parametrize(
    ("package", "name"),
    [("filelock", "cifar10"), ("tqdm", "mnist"), ("sklearn", "digits")],
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, package, name):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(data.DataUnavailableError, match=r'pip install "jaxlin\['):
        data.load(name, tmp_path)


def test_importing_is_cheap():
    heavy = ["tensorflow_datasets", "sklearn", "PIL", "tqdm", "jax", "tensorflow"]
    heavy += ["pyarrow", "scipy", "filelock", "google_crc32c", "array_record"]
    code = f"import sys, jaxlin.data; print(*(set({heavy!r}) & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ""


@pytest.fixture(
    scope="module", params=["kept", pytest.param("empty", marks=pytest.mark.full)]
)
def cifar10_cache(request, tmp_path_factory):
    """The one that every load has, since decoding takes half a minute; or a new one."""
    return None if request.param == "kept" else tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cifar10(cifar10_dir, cifar10_cache):
    return data.load("cifar10", cifar10_dir, cache_dir=cifar10_cache)


@pytest.mark.full
@pytest.mark.cifar10
def test_cifar10_counts(cifar10):
    described = data.summary(cifar10)
    assert described["train"]["features"]["shape"] == [50_000, 3072]
    assert described["test"]["features"]["shape"] == [10_000, 3072]
    assert described["train"]["class_histogram"] == [5000] * 10
    assert described["test"]["class_histogram"] == [1000] * 10
    assert described["train"]["features"]["dtype"] == "uint8"
    assert cifar10.image_shape == (32, 32, 3)
    assert cifar10.class_names[:2] == ("airplane", "automobile")


@pytest.mark.cifar10
def test_cifar10_channel_means(cifar10):
    """The means that every paper on CIFAR-10 subtracts."""
    means = cifar10.train.features.reshape(-1, 3).mean(axis=0) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=5e-5)


@pytest.mark.cifar10
def test_cifar10_second_load(cifar10, cifar10_dir, cifar10_cache, monkeypatch):
    """It takes no second, since nothing is decoded: TFDS need not even be there."""
    monkeypatch.setattr(tfds_images, "read", None)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    again = data.load("cifar10", cifar10_dir, cache_dir=cifar10_cache)
    assert isinstance(again.train.features, np.memmap)
    assert data.summary(again) == data.summary(cifar10)
