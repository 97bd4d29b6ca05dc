"""Image-classification sets prepared by tensorflow-datasets, without TensorFlow.

TFDS decodes the fields of a record without TensorFlow as long as it does not decode
images: it returns them encoded, and Pillow decodes them. Records come from array_record
files by the package of that name, from tfrecord files by `tfrecords`.
"""

import errno
import hashlib
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxlin.data import encoded_images, tfds_folders, tfrecords
from jaxlin.data.dataset import Dataset, DataUnavailableError, Split

# Errors unrelated to the content of files: permissions, memory, file handles or disk.
_MACHINE_ERRORS = {
    *(errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE, errno.ENFILE),
    *(errno.EIO, errno.ENOSPC),
}

# Records per call of the reader, instead of one call per record.
_RECORDS_PER_READ = 512


def _import_tfds() -> Any:
    """Returns the module `tensorflow_datasets`.

    Raises:
      DataUnavailableError: if it is not installed.
    """
    encoded_images.require_pillow()
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataUnavailableError(
            "this data set needs tensorflow-datasets and importlib_resources "
            f'({error}): pip install "jaxlin[data]"'
        ) from error
    return tfds


def read(
    folder: Path, *, name: str, is_numbered: bool = False, progress: bool = True
) -> Dataset:
    """Reads a prepared set with the splits train and test.

    Image and label are the supervised keys of the set if it declares a pair, else its
    features ``image`` and ``label``. Examples are sorted by the feature ``id`` if there
    is one (TFDS stores them shuffled), else they stay in the order of TFDS.

    Args:
      folder: folder of the version, from `tfds_folders.find`.
      name: name of the set.
      is_numbered: whether the set was prepared with the keys 0, 1, 2, ..., as MNIST and
        its relatives are. Without ids, examples then come back in that order.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      The data set, not yet checked.

    Raises:
      DataUnavailableError: if a package is not installed or files cannot be opened on
        this machine.
      ValueError: if the set does not consist of images of one shape with one class
        label each, or its files are damaged or of another format.
    """
    tfds = _import_tfds()
    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:
        raise _unreadable(folder, error) from error
    image_key, label_key = _keys(tfds, builder.info)
    if not tfds_folders.is_readable(folder):
        # Only a missing package is a fault of this machine.
        lacks_package = builder.info.file_format.value == tfds_folders.ARRAY_RECORD
        kind = DataUnavailableError if lacks_package else ValueError
        raise kind(tfds_folders.unreadable(folder))
    (train_images, train_labels), (test_images, test_labels) = (
        _read_split(
            tfds,
            builder.info,
            split,
            (image_key, label_key),
            is_numbered=is_numbered,
            progress=progress,
        )
        for split in ("train", "test")
    )
    encoded_images.check_same_shape(name, train_images[0], test_images[0])
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
    if image.np_dtype != np.uint8 or image.shape[-1] not in encoded_images.MODES:
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
    return image_key, label_key


def _read_split(
    tfds: Any,
    info: Any,
    split: str,
    keys: tuple[str, str],
    *,
    is_numbered: bool,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images ``(examples, height, width, channels)`` and labels."""
    image_key, label_key = keys
    undecoded = {image_key: tfds.decode.SkipDecoding()}
    folder = Path(info.data_dir)
    try:
        records = [
            info.features.deserialize_example_np(content, decoders=undecoded)
            for content in _contents(info, split)
        ]
        expected = info.splits[split].num_examples
        if len(records) != expected:
            raise ValueError(f"{split} must have {expected} records, {len(records)}")
    except DataUnavailableError:
        raise
    except Exception as error:
        raise _unreadable(folder, error) from error
    if not records:
        raise ValueError(f"{info.name} must not be empty, got no {split} examples")
    if "id" in info.features:
        records.sort(key=operator.itemgetter("id"))
    elif is_numbered:
        numbers = _stored_order(split, len(records))
        records = [records[place] for place in np.argsort(numbers)]
    try:
        images = encoded_images.decode(
            [record[image_key] for record in records],
            name=f"{info.name} {split}",
            channels=info.features[image_key].shape[-1],
            progress=progress,
        )
    except OSError as error:
        raise _unreadable(folder, error) from error
    return images, np.array([record[label_key] for record in records])


def _contents(info: Any, split: str) -> Iterator[bytes]:
    """Yields the records of a split, not yet parsed."""
    paths = list(map(str, info.splits[split].filepaths))
    if info.file_format.value == tfds_folders.TFRECORD:
        for path in paths:
            yield from tfrecords.read(Path(path))
        return
    from array_record.python import array_record_data_source

    with array_record_data_source.ArrayRecordDataSource(paths) as source:
        for start in range(0, len(source), _RECORDS_PER_READ):
            stop = min(start + _RECORDS_PER_READ, len(source))
            yield from source.__getitems__(list(range(start, stop)))


def _stored_order(split: str, num_examples: int) -> list[int]:
    """Numbers of the examples in the order in which TFDS stores them.

    TFDS sorts by the MD5 of the key, salted with the name of the split.
    """
    salted = hashlib.md5(split.encode())

    def sort_key(number: int) -> int:
        digest = salted.copy()
        digest.update(str(number).encode())
        return int(digest.hexdigest(), 16)

    return sorted(range(num_examples), key=sort_key)


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
