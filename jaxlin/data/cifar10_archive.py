"""CIFAR-10 from its official archive to the layout of TFDS, without TensorFlow.

The builder of tensorflow-datasets is used as it is, except that the binary files are
read with plain Python and images are handed over as PNG, so that nothing is left for
TensorFlow to do. What comes out is the standard ``cifar10/3.0.2`` in array_record.
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
    """An archive in the binary format of CIFAR-10 and what is known about it.

    Attributes:
      url: where it is fetched from.
      num_bytes: its size.
      sha256: its checksum, in hexadecimal.
      train_per_class: training images of each class.
      test_per_class: test images of each class.
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


def found(folder: Path) -> Path | None:
    """Returns a prepared version that is read without TensorFlow, or None."""
    for place in (folder, folder / tfds_images.ARRAY_RECORD):
        version = tfds_images.find("cifar10", place)
        if version is not None and tfds_images.is_readable(version):
            return version
    return None


def prepare(
    folder: Path, *, archive: Archive = OFFICIAL, progress: bool = True
) -> Path:
    """Fetches the archive if need be and writes ``folder/cifar10/3.0.2``.

    Where TensorFlow's users have prepared CIFAR-10 for themselves, theirs is left alone
    and ours is ``folder/array_record/cifar10/3.0.2``.

    The archive is kept in ``folder/downloads``, where a copy put there by hand is found
    too. Neither it nor the prepared set gets its name before it is complete.

    Args:
      folder: where TFDS keeps its sets.
      archive: what to fetch.
      progress: whether to draw progress bars if this is a terminal.

    Returns:
      The folder of the prepared version.

    Raises:
      DataUnavailableError: saying what failed and the ways out.
    """
    try:
        # Better missed before the download than after it.
        tfds_images.import_tfds()
        tfds_images.import_array_record()
        packed = _fetch(archive, folder / "downloads", progress=progress)
        is_taken = _unread(folder) is not None
        place = folder / tfds_images.ARRAY_RECORD if is_taken else folder
        return _prepare(packed, archive, place, progress=progress)
    except (OSError, http.client.HTTPException, RuntimeError, ValueError) as error:
        raise unavailable(folder, str(error) or type(error).__name__) from error


def unavailable(folder: Path, reason: str) -> DataUnavailableError:
    """Returns the error that names the ways out when there is no CIFAR-10."""
    other = _unread(folder)
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


def checked_counts(dataset: Dataset, *, archive: Archive = OFFICIAL) -> Dataset:
    """Returns ``dataset`` if each class has as many images as it must.

    Raises:
      ValueError: otherwise; a partial copy is worse than none.
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


def _unread(folder: Path) -> Path | None:
    """Returns a prepared version in files of another format than ours, or None."""
    version = tfds_images.find("cifar10", folder)
    if version is None or tfds_images.is_readable(version):
        return None
    return version


def _fetch(archive: Archive, folder: Path, *, progress: bool) -> Path:
    """Returns the path of the verified archive, downloaded if it is not there."""
    target = folder / PurePosixPath(archive.url).name
    if target.is_file() and _sha256(target) == archive.sha256:
        return target
    # Connected first, so that a machine without a network gets no empty folders.
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
    """Returns the folder of the version written from the archive."""
    class_names, splits = _unpack(packed, archive)
    with staging.staging(folder) as stage:
        made = _write(stage, class_names, splits, progress=progress)
        target = folder / made.relative_to(stage)
        target.parent.mkdir(exist_ok=True)
        try:
            os.replace(made, target)
        except OSError:
            # Another process may have been faster; a folder in the way is an error.
            if tfds_images.find("cifar10", folder) is None:
                raise
    return target


def _unpack(packed: Path, archive: Archive) -> tuple[list[str], dict[str, np.ndarray]]:
    """Returns the class names and, per split, records ``(examples, 1 + 3072)``."""
    with tarfile.open(packed, "r:gz") as tar:
        # Read, never extracted: no path of the archive is written to.
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
        """The builder of TFDS, fed with records that are already in memory."""

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
            self.info.features["label"].names = class_names
            return {
                split: _examples(split, records, bar)
                for split, records in splits.items()
            }

    # Written into dataset_info.json, where readers expect the module of TFDS.
    Cifar10.__module__ = cifar.__name__
    builder = Cifar10(data_dir=stage, file_format="array_record")
    config = tfds.download.DownloadConfig(
        try_download_gcs=False, compute_stats=tfds.download.ComputeStatsMode.SKIP
    )
    bar = tfds_images.progress_bar(
        sum(map(len, splits.values())), "preparing cifar10", "images", progress=progress
    )
    # TFDS prints and draws bars of its own, with the names of temporary folders.
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
        # A record is the label, then the red, the green and the blue plane.
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
