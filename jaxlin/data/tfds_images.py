"""Image-classification sets prepared by tensorflow-datasets, without TensorFlow.

TFDS reads array_record files without TensorFlow as long as it does not decode images:
it returns them encoded, and Pillow decodes them.
"""

import errno
import io
import json
import operator
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from jaxlin.data.dataset import Dataset, DataUnavailableError, Split

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_INFO = "dataset_info.json"

# File format that is readable without TensorFlow.
ARRAY_RECORD = "array_record"

# Errors unrelated to the content of files: permissions, memory, file handles or disk.
_MACHINE_ERRORS = {
    *(errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    *(errno.EIO, errno.ENOSPC),
}

# Records per call of the reader, instead of one call per record.
_RECORDS_PER_READ = 512

# Pillow's mode of 8-bit pixels by number of channels.
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    """Returns ``data_dir``, else ``$TFDS_DATA_DIR``, else ``~/tensorflow_datasets``."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def find(name: str, folder: Path) -> Path | None:
    """Returns the folder of the newest prepared version of a set, or None.

    A version that only TensorFlow can read is returned if there is no other. The search
    needs no import of tensorflow-datasets.

    Args:
      name: name of the set in TFDS, such as ``"mnist"`` or ``"emnist/balanced"``.
      folder: folder of the data sets of TFDS.
    """
    if not _NAME.fullmatch(name):
        return None
    versions = [
        info.parent
        for info in (folder / name).glob(f"*/{_INFO}")
        if _VERSION.fullmatch(info.parent.name)
    ]
    return max(
        versions,
        key=lambda one: (is_readable(one), _version_order(one)),
        default=None,
    )


def is_readable(version: Path) -> bool:
    """Returns whether a prepared version can be read without TensorFlow."""
    try:
        info = json.loads((version / _INFO).read_text("utf-8"))
        # Old versions have no entry for the format, which was always tfrecord.
        return info.get("fileFormat") == ARRAY_RECORD
    except (OSError, ValueError, AttributeError):
        return True  # `read` reports the damage


def prepared_names(folder: Path) -> list[str]:
    """Returns the names of all sets prepared in ``folder``, sorted."""
    infos = [*folder.glob(f"*/*/{_INFO}"), *folder.glob(f"*/*/*/{_INFO}")]
    names = {info.parent.parent.relative_to(folder).as_posix() for info in infos}
    return sorted(name for name in names if find(name, folder) is not None)


def import_tfds() -> Any:
    """Returns the module `tensorflow_datasets`.

    Raises:
      DataUnavailableError: if it is not installed.
    """
    try:
        import PIL.Image  # noqa: F401
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataUnavailableError(
            "this data set needs tensorflow-datasets, importlib_resources and pillow "
            f'({error}): pip install "jaxlin[data]"'
        ) from error
    return tfds


def import_array_record() -> None:
    """Imports the package that reads and writes the files of prepared sets.

    Raises:
      DataUnavailableError: if it is not installed.
    """
    try:
        from array_record.python import array_record_data_source  # noqa: F401
    except ImportError as error:
        raise DataUnavailableError(
            f"prepared data sets need the package array_record ({error}): pip install "
            "array_record. A copy that is there is good and is left alone. Where the "
            "package does not exist, save the set as .npz on another machine"
        ) from error


def progress_bar(total: int, action: str, unit: str, *, progress: bool) -> Any:
    """Returns a `tqdm` bar (tqdm comes with TFDS), drawn on a terminal only."""
    import tqdm

    return tqdm.tqdm(
        total=total,
        desc=action,
        unit=unit if unit == "B" else f" {unit}",
        unit_scale=unit == "B",
        disable=None if progress else True,
    )


def read(folder: Path, *, name: str, progress: bool = True) -> Dataset:
    """Reads a prepared set with the splits train and test.

    Image and label are the supervised keys of the set if it declares a pair, else its
    features ``image`` and ``label``. Examples are sorted by the feature ``id`` if there
    is one (TFDS stores them shuffled), else they stay in the order of TFDS.

    Args:
      folder: folder of the version, from `find`.
      name: name of the set.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      The data set, not yet checked.

    Raises:
      DataUnavailableError: if tensorflow-datasets is not installed or files cannot be
        opened on this machine.
      ValueError: if the set does not consist of images of one shape with one class
        label each, or its files are damaged or of another format.
    """
    tfds = import_tfds()
    # Imported before TFDS does, which would print a banner if it is missing.
    import_array_record()
    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:
        raise _unreadable(folder, error) from error
    image_key, label_key = _keys(tfds, builder.info)
    (train_images, train_labels), (test_images, test_labels) = (
        _read_split(tfds, builder, split, image_key, label_key, progress=progress)
        for split in ("train", "test")
    )
    _same_shape(name, train_images[0], test_images[0])
    return Dataset(
        name=name,
        train=Split(train_images.reshape(len(train_images), -1), train_labels),
        test=Split(test_images.reshape(len(test_images), -1), test_labels),
        class_names=tuple(builder.info.features[label_key].names),
        image_shape=train_images.shape[1:],
        max_value=255.0,
        version=str(builder.info.version),
        source=str(folder),
    )


def _keys(tfds: Any, info: Any) -> tuple[str, str]:
    """Returns the names of the features for image and label."""
    features = dict(info.features)
    keys = info.supervised_keys
    # The keys are trees, not names, if input or target has several parts.
    named = keys and len(keys) == 2 and all(isinstance(key, str) for key in keys)
    image_key, label_key = keys if named else ("image", "label")
    is_image = isinstance(features.get(image_key), tfds.features.Image)
    is_class = isinstance(features.get(label_key), tfds.features.ClassLabel)
    if not (is_image and is_class):
        raise ValueError(
            f"{info.name} must be an image-classification set, with an image and a "
            f"class label for each example, got features {', '.join(sorted(features))}"
        )
    image = features[image_key]
    if image.np_dtype != np.uint8 or image.shape[-1] not in _MODES:
        raise ValueError(
            f"images of {info.name} must be 8-bit with 1, 3 or 4 channels, got "
            f"{np.dtype(image.np_dtype)} of shape {image.shape}"
        )
    missing = {"train", "test"} - set(info.splits)
    if missing:
        raise ValueError(
            f"{info.name} must have the splits train and test, got "
            f"{', '.join(info.splits) or 'none'}; divide it as you want and save it as "
            ".npz"
        )
    # TFDS also reads its parquet files, but silently drops most rows.
    if info.file_format.value != ARRAY_RECORD:
        raise ValueError(
            f"{info.name} must be in files of format {ARRAY_RECORD}, got "
            f"{info.file_format.value}, which TensorFlow reads and jaxlin does not; "
            "leave that copy where it is and prepare another in a data_dir of its own, "
            f"with file_format='{ARRAY_RECORD}'"
        )
    return image_key, label_key


def _read_split(
    tfds: Any,
    builder: Any,
    split: str,
    image_key: str,
    label_key: str,
    *,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images ``(examples, height, width, channels)`` and labels."""
    info = builder.info
    folder = Path(builder.data_dir)
    try:
        source = builder.as_data_source(
            split=split, decoders={image_key: tfds.decode.SkipDecoding()}
        )
        records = [
            record
            for start in range(0, len(source), _RECORDS_PER_READ)
            for record in source.__getitems__(
                list(range(start, min(start + _RECORDS_PER_READ, len(source))))
            )
        ]
    except Exception as error:
        raise _unreadable(folder, error) from error
    if not records:
        raise ValueError(f"{info.name} must not be empty, got no {split} examples")
    if "id" in info.features:
        records.sort(key=operator.itemgetter("id"))
    bar = progress_bar(
        len(records), f"decoding {info.name} {split}", "images", progress=progress
    )
    channels = info.features[image_key].shape[-1]
    try:
        first = _decode(records[0][image_key], channels)
        images = np.empty((len(records), *first.shape), np.uint8)
        with bar:
            for image, record in zip(images, records, strict=True):
                pixels = _decode(record[image_key], channels)
                _same_shape(info.name, first, pixels)
                image[:] = pixels
                bar.update()
    except OSError as error:
        raise _unreadable(folder, error) from error
    return images, np.array([record[label_key] for record in records])


def _decode(encoded: bytes, channels: int) -> np.ndarray:
    """Returns the pixels of one PNG or JPEG, ``(height, width, channels)``, uint8."""
    from PIL import Image

    with Image.open(io.BytesIO(encoded)) as image:
        pixels = np.asarray(image.convert(_MODES[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def _same_shape(name: str, first: np.ndarray, other: np.ndarray) -> None:
    if first.shape != other.shape:
        raise ValueError(
            f"images of {name} must share one shape, got {first.shape} and "
            f"{other.shape}; resize them first and save them as .npz"
        )


def _unreadable(folder: Path, error: Exception) -> Exception:
    """The error for an unreadable set, with advice to delete it only if damaged."""
    what = (
        f"the prepared data set in {folder} cannot be read "
        f"({type(error).__name__}: {error})"
    )
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    if any(isinstance(one, ImportError) for one in causes):
        return DataUnavailableError(
            f'{what}; a package is missing: pip install "jaxlin[data]". The copy is '
            "left alone"
        )
    if any(isinstance(one, PermissionError | MemoryError) for one in causes) or any(
        isinstance(one, OSError) and one.errno in _MACHINE_ERRORS for one in causes
    ):
        return DataUnavailableError(
            f"{what}; remove that cause on this machine. The copy is left alone"
        )
    return ValueError(f"{what}; delete that folder and prepare it again")


def _version_order(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.split("."))
