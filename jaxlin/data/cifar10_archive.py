"""Preparation of CIFAR-10 from its official archive for TFDS, without TensorFlow.

The unmodified builder of tensorflow-datasets runs on records that plain Python reads
from the binary files, with images encoded as PNG, so that TensorFlow is not needed. The
result is the standard ``cifar10/3.0.2`` in array_record.
"""

import contextlib
import hashlib
import http.client
import io
import math
import os
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from jaxlin.data import staging, tfds_images
from jaxlin.data.dataset import Dataset, DataUnavailableError, class_histogram

_NUM_CLASSES = 10
_IMAGE_SHAPE = (32, 32, 3)
_TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST_FILES = ("test_batch.bin",)
_NAMES_FILE = "batches.meta.txt"

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60.0


class Archive(NamedTuple):
    """An archive in the binary format of CIFAR-10.

    Attributes:
      url: URL of the download.
      num_bytes: size of the archive in bytes.
      sha256: SHA-256 checksum of the archive, in hexadecimal.
      train_per_class: number of training images per class.
      test_per_class: number of test images per class.
    """

    url: str
    num_bytes: int
    sha256: str
    train_per_class: int
    test_per_class: int


# Size and checksum as in tensorflow_datasets/url_checksums/cifar10.txt.
OFFICIAL = Archive(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    num_bytes=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    train_per_class=5000,
    test_per_class=1000,
)


def find(folder: Path) -> Path | None:
    """Returns a prepared version that is readable without TensorFlow, or None."""
    for place in (folder, folder / tfds_images.ARRAY_RECORD):
        version = tfds_images.find("cifar10", place)
        if version is not None and tfds_images.is_readable(version):
            return version
    return None


def prepare(
    folder: Path, *, archive: Archive = OFFICIAL, progress: bool = True
) -> Path:
    """Downloads the archive if necessary and writes ``folder/cifar10/3.0.2``.

    A copy prepared for TensorFlow is left alone; the prepared version is then
    ``folder/array_record/cifar10/3.0.2``.

    The archive is kept in ``folder/downloads``; a copy placed there by hand is used
    too. Both the archive and the prepared set get their names only when complete.

    Args:
      folder: folder of the data sets of TFDS.
      archive: archive to download; the official one by default.
      progress: whether to draw progress bars on a terminal.

    Returns:
      The folder of the prepared version.

    Raises:
      DataUnavailableError: if a step fails; the message states the cause and the
        alternatives.
    """
    try:
        # Missing packages are reported before the download.
        tfds_images.import_tfds()
        tfds_images.import_array_record()
        packed = _fetch(archive, folder / "downloads", progress=progress)
        is_taken = _foreign_copy(folder) is not None
        place = folder / tfds_images.ARRAY_RECORD if is_taken else folder
        return _prepare(packed, archive, place, progress=progress)
    except (OSError, http.client.HTTPException, RuntimeError, ValueError) as error:
        raise unavailable_error(folder, str(error) or type(error).__name__) from error


def unavailable_error(folder: Path, reason: str) -> DataUnavailableError:
    """Returns the error for a missing CIFAR-10, with the alternatives."""
    other = _foreign_copy(folder)
    what = f"cifar10 is not prepared in {folder}"
    if other is not None:
        what = (
            f"cifar10 in {other} is prepared in files that need TensorFlow to be read; "
            "they are left alone. A copy of format array_record is not beside them, in "
            f"{folder / tfds_images.ARRAY_RECORD},"
        )
    return DataUnavailableError(
        f"{what} and was not fetched: {reason}. Three ways out: take the "
        "digits, which need no download (--dataset digits); set "
        "TFDS_DATA_DIR (or data_dir) to a folder that holds a prepared cifar10/3.0.2; "
        f"or allow a download of {OFFICIAL.num_bytes / 1e6:.0f} MB, once, from "
        f"{OFFICIAL.url} (fetched by hand, it belongs in {folder / 'downloads'})"
    )


def check_counts(dataset: Dataset, *, archive: Archive = OFFICIAL) -> Dataset:
    """Returns ``dataset`` if each class has the number of images of the archive.

    Raises:
      ValueError: if a count differs, as in a partial copy.
    """
    for split, expected in (
        ("train", archive.train_per_class),
        ("test", archive.test_per_class),
    ):
        histogram = class_histogram(getattr(dataset, split).labels, _NUM_CLASSES)
        if (histogram != expected).any():
            raise ValueError(
                f"cifar10 must have {expected} {split} images of each class, got "
                f"{histogram.tolist()}; delete {dataset.source} and load it again"
            )
    return dataset


def _foreign_copy(folder: Path) -> Path | None:
    """Returns a prepared version in a format that needs TensorFlow, or None."""
    version = tfds_images.find("cifar10", folder)
    if version is None or tfds_images.is_readable(version):
        return None
    return version


def _fetch(archive: Archive, folder: Path, *, progress: bool) -> Path:
    """Returns the path of the verified archive, downloaded if necessary."""
    target = folder / PurePosixPath(archive.url).name
    if target.is_file() and _sha256(target) == archive.sha256:
        return target
    # The connection comes first, so that a machine without a network gets no empty
    # folders.
    with (
        urllib.request.urlopen(archive.url, timeout=_TIMEOUT_SECONDS) as response,
        staging.staging(folder) as stage,
    ):
        part = stage / target.name
        _receive(response, archive, part, progress=progress)
        os.replace(part, target)
    return target


def _receive(response: Any, archive: Archive, part: Path, *, progress: bool) -> None:
    """Writes a response to ``part``; raises OSError if it is not the archive."""
    digest = hashlib.sha256()
    bar = tfds_images.progress_bar(
        archive.num_bytes, f"downloading {part.name}", "B", progress=progress
    )
    with part.open("wb") as out, bar:
        while (chunk := response.read(_CHUNK_BYTES)) and out.tell() < archive.num_bytes:
            out.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
        received = out.tell()
    if received < archive.num_bytes:
        raise OSError(
            f"{archive.url} broke off after {received} of {archive.num_bytes} bytes"
        )
    if digest.hexdigest() != archive.sha256:
        raise OSError(
            f"{archive.url} must have SHA-256 {archive.sha256}, got "
            f"{digest.hexdigest()}; what was received has been discarded"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _prepare(packed: Path, archive: Archive, folder: Path, *, progress: bool) -> Path:
    """Writes the prepared version from the archive and returns its folder."""
    class_names, splits = _unpack(packed, archive)
    with staging.staging(folder) as stage:
        made = _write(stage, class_names, splits, progress=progress)
        target = folder / made.relative_to(stage)
        target.parent.mkdir(exist_ok=True)
        try:
            os.replace(made, target)
        except OSError:
            # Another process may have finished first; any other cause is an error.
            if tfds_images.find("cifar10", folder) is None:
                raise
    return target


def _unpack(packed: Path, archive: Archive) -> tuple[list[str], dict[str, np.ndarray]]:
    """Returns the class names and the records ``(examples, 1 + 3072)`` per split."""
    with tarfile.open(packed, "r:gz") as tar:
        # Members are read, never extracted: no path of the archive is written to.
        contents = {
            PurePosixPath(member.name).name: opened.read()
            for member in tar
            if (opened := tar.extractfile(member)) is not None
        }
    missing = {*_TRAIN_FILES, *_TEST_FILES, _NAMES_FILE} - set(contents)
    if missing:
        raise ValueError(f"{packed} must hold {', '.join(sorted(missing))}")
    width = 1 + math.prod(_IMAGE_SHAPE)
    splits = {}
    for split, names, per_class in (
        ("train", _TRAIN_FILES, archive.train_per_class),
        ("test", _TEST_FILES, archive.test_per_class),
    ):
        values = np.frombuffer(b"".join(contents[name] for name in names), np.uint8)
        if len(values) != per_class * _NUM_CLASSES * width:
            raise ValueError(
                f"{packed} must hold {per_class * _NUM_CLASSES} {split} records of "
                f"{width} bytes, got {len(values)} bytes"
            )
        splits[split] = values.reshape(-1, width)
    class_names = contents[_NAMES_FILE].decode().split()
    return class_names, splits


def _write(
    stage: Path,
    class_names: list[str],
    splits: dict[str, np.ndarray],
    *,
    progress: bool,
) -> Path:
    """Runs the builder of TFDS in ``stage``; returns the folder of the version."""
    tfds = tfds_images.import_tfds()
    from tensorflow_datasets.image_classification import cifar

    class Cifar10(cifar.Cifar10, skip_registration=True):  # type: ignore[call-arg]
        """The builder of TFDS on records that are already in memory."""

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
            self.info.features["label"].names = class_names
            return {
                split: _examples(split, records, bar)
                for split, records in splits.items()
            }

    # Recorded in dataset_info.json, where readers expect the module of TFDS.
    Cifar10.__module__ = cifar.__name__
    builder = Cifar10(data_dir=stage, file_format="array_record")
    config = tfds.download.DownloadConfig(
        try_download_gcs=False, compute_stats=tfds.download.ComputeStatsMode.SKIP
    )
    bar = tfds_images.progress_bar(
        sum(map(len, splits.values())), "preparing cifar10", "images", progress=progress
    )
    # TFDS prints messages and progress bars with the names of temporary folders.
    with (
        bar,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        builder.download_and_prepare(download_config=config, file_format="array_record")
    written = {split: builder.info.splits[split].num_examples for split in splits}
    expected = {split: len(records) for split, records in splits.items()}
    if written != expected:
        raise RuntimeError(f"TFDS must write {expected} examples, wrote {written}")
    return Path(builder.data_dir)


def _examples(
    split: str, records: np.ndarray, bar: Any
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields key and example as the builder of TFDS does, images as PNG."""
    from PIL import Image

    height, width, channels = _IMAGE_SHAPE
    for index, record in enumerate(records):
        # A record consists of the label and the red, green and blue planes.
        planes = record[1:].reshape(channels, height, width)
        png = io.BytesIO()
        Image.fromarray(planes.transpose(1, 2, 0)).save(png, "PNG")
        yield (
            index,
            {
                "id": f"{split}_{index:05d}",
                "image": png.getvalue(),
                "label": int(record[0]),
            },
        )
        bar.update()
