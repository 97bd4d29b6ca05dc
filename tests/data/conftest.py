"""Small data sets made on the spot, and the real CIFAR-10 where there is one."""

import os
from pathlib import Path

import pytest
import small_image_sets

from jaxlin import data
from jaxlin.data import official_sets, tfds_folders


@pytest.fixture
def prepare_set():
    """Returns a function that prepares a set of given examples with TFDS."""
    import tensorflow_datasets as tfds

    def prepare(folder, features, splits, *, version="1.0.0", supervised=None):
        class Toy(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version(version)

            def _info(self):
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    supervised_keys=supervised,
                )

            def _split_generators(self, dl_manager):
                return {name: enumerate(rows) for name, rows in splits.items()}

            def _generate_examples(self):
                raise AssertionError("the splits above are used instead")

        builder = Toy(data_dir=folder, file_format="array_record")
        builder.download_and_prepare(
            file_format="array_record",
            download_config=tfds.download.DownloadConfig(try_download_gcs=False),
        )
        return Path(builder.data_dir)

    return prepare


@pytest.fixture(scope="session")
def cifar10_dir():
    """The folder of a prepared CIFAR-10, or a skip."""
    folder = tfds_folders.data_folder(None)
    if "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("TFDS_DATA_DIR is not set")
    if tfds_folders.find("cifar10", folder) is None:
        pytest.skip(f"no prepared cifar10 in {folder}")
    return folder


@pytest.fixture
def small_sets(monkeypatch, tmp_path):
    """The names mean the small sets, and nothing is found or fetched elsewhere."""
    for known in (small_image_sets.SMALL_CIFAR10, small_image_sets.SMALL_MNIST):
        monkeypatch.setitem(official_sets.SETS, known.name, known)
    for name in ("HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def load_copy(tmp_path):
    """Returns a function that loads a copy that is there."""

    def load(name, folder):
        return data.load(
            name,
            folder,
            cache_dir=tmp_path / "cache",
            download=False,
            progress=False,
        )

    return load
