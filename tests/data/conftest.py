"""Small data sets made on the spot, and the real CIFAR-10 where there is one."""

import hashlib
import io
import os
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from jaxlin.data import cifar10_archive, tfds_images

CIFAR10_NAMES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


class SmallArchive(NamedTuple):
    """An archive in the format of CIFAR-10, with what went into it."""

    content: bytes
    train: np.ndarray
    test: np.ndarray

    def at(self, url, **changes):
        """Describes the archive as it should be found at ``url``."""
        facts = cifar10_archive.Archive(
            url=url,
            num_bytes=len(self.content),
            sha256=hashlib.sha256(self.content).hexdigest(),
            train_per_class=5,
            test_per_class=2,
        )
        return facts._replace(**changes)


@pytest.fixture(scope="session")
def small_archive():
    """Fifty training and twenty test records of 3,073 random bytes."""
    draw = np.random.default_rng(0)

    def records(per_class):
        labels = draw.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
        pixels = draw.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
        return np.concatenate([labels[:, None], pixels], axis=1)

    train, test = records(5), records(2)
    members = {
        f"data_batch_{i + 1}.bin": train[10 * i : 10 * i + 10].tobytes()
        for i in range(5)
    }
    members["test_batch.bin"] = test.tobytes()
    members["batches.meta.txt"] = "\n".join([*CIFAR10_NAMES, ""]).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        # The official archive has its members in no particular order either.
        for name in sorted(members, reverse=True):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(members[name])
            tar.addfile(member, io.BytesIO(members[name]))
    return SmallArchive(packed.getvalue(), train, test)


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
    folder = tfds_images.data_folder(None)
    if "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("TFDS_DATA_DIR is not set")
    if tfds_images.find("cifar10", folder) is None:
        pytest.skip(f"no prepared cifar10 in {folder}")
    return folder
