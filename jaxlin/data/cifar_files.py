"""Official files of CIFAR-10 and CIFAR-100, in a folder or as the archive.

Both come in a binary form and as pickles of Python 2, which `array_pickles` reads. An
image is its red, green and blue plane; rows are flattened as (height, width, channel).

Reference:
  A. Krizhevsky. Learning multiple layers of features from tiny images. Technical
  report, University of Toronto, 2009.
"""

import gzip
import math
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from jaxlin.data import array_pickles
from jaxlin.data.bounded_files import BoundedFile
from jaxlin.data.dataset import Dataset, Split

_IMAGE_SHAPE = (32, 32, 3)
_WIDTH = math.prod(_IMAGE_SHAPE)
_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_BLOCK = 2**20
# First bytes of a file of gzip.
_GZIP = b"\x1f\x8b"


class _Form(NamedTuple):
    """Names of the files of one form, and places of the labels in them.

    Attributes:
      train: files of training images, in their order.
      test: files of test images.
      names: file of the class names.
      label: key of the labels in a pickle, or the byte of the label in a record.
      names_key: key of the class names in a pickle; None for a binary form.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    label: bytes | int
    names_key: bytes | None = None

    @property
    def files(self) -> set[str]:
        """Names of all files."""
        return {*self.train, *self.test, self.names}


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
# The labels of CIFAR-100 are its fine ones, which come after the coarse one.
_FORMS = (
    _Form(
        tuple(f"{name}.bin" for name in _BATCHES),
        ("test_batch.bin",),
        "batches.meta.txt",
        0,
    ),
    _Form(_BATCHES, ("test_batch",), "batches.meta", b"labels", b"label_names"),
    _Form(("train.bin",), ("test.bin",), "fine_label_names.txt", 1),
    _Form(("train",), ("test",), "meta", b"fine_labels", b"fine_label_names"),
)


def is_official(path: Path) -> bool:
    """Returns whether a path is a folder of official files, or an archive."""
    if path.name.lower().endswith(_ARCHIVES):
        return path.is_file()
    return any(all((path / name).is_file() for name in form.files) for form in _FORMS)


def read(path: Path, *, max_bytes: int | None = None) -> Dataset:
    """Reads CIFAR-10 or CIFAR-100, or a set in one of their forms.

    Args:
      path: folder of the files, such as ``cifar-10-batches-py``, or an archive of one.
      max_bytes: number of bytes that an archive may hold, unpacked; None is no limit.

    Returns:
      The data set in the order of the files, not yet checked.

    Raises:
      ValueError: if a file is missing, damaged or of another form; the message names
        the path.
      OSError: if a file cannot be read.
    """
    try:
        contents = _contents(path, max_bytes)
        for form in _FORMS:
            if form.files <= set(contents):
                return _dataset(path, form, contents)
        raise ValueError(
            "must hold the files of CIFAR-10 or CIFAR-100, such as "
            f"{', '.join(sorted(_FORMS[0].files))}, got "
            f"{', '.join(sorted(contents)[:8]) or 'none'}"
        )
    except (
        ValueError,
        tarfile.TarError,
        gzip.BadGzipFile,
        EOFError,
        zlib.error,
    ) as error:
        raise ValueError(
            f"{path}: {error}; take a new copy of the official files"
        ) from error


def _contents(path: Path, max_bytes: int | None) -> dict[str, bytes]:
    """Returns the files of a folder or an archive that any form has, by name."""
    wanted = set().union(*(form.files for form in _FORMS))
    if path.is_dir():
        return {
            name: (path / name).read_bytes()
            for name in wanted
            if (path / name).is_file()
        }
    with path.open("rb") as file:
        is_packed = file.read(2) == _GZIP
    with gzip.open(path) if is_packed else path.open("rb") as opened:
        unpacked = BoundedFile(opened, max_bytes)
        return _members(unpacked, wanted)


def _members(archive: BoundedFile, wanted: set[str]) -> dict[str, bytes]:
    """Returns the files of an archive with some names."""
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=archive, mode="r:") as tar:
        # Members are read, never extracted: no path of the archive is written to.
        for member in tar:
            name = PurePosixPath(member.name).name
            if name not in wanted or member.isdir():
                continue
            opened = tar.extractfile(member) if member.isreg() else None
            if opened is None:
                raise ValueError(
                    f"{member.name} must be a file, got a link or a device"
                )
            contents[name] = opened.read()
    # A checksum is checked where the compressed bytes end, behind the last member.
    while archive.read(_BLOCK):
        pass
    return contents


def _dataset(path: Path, form: _Form, contents: Mapping[str, bytes]) -> Dataset:
    """Returns the data set of the files of one form."""
    train, test = (_split(names, form, contents) for names in (form.train, form.test))
    return Dataset(
        name=path.name.removesuffix(".gz").removesuffix(".tar"),
        train=train,
        test=test,
        class_names=_class_names(form, contents[form.names]),
        image_shape=_IMAGE_SHAPE,
        max_value=255.0,
        source=str(path),
    )


def _split(names: tuple[str, ...], form: _Form, contents: Mapping[str, bytes]) -> Split:
    """Returns the examples of several files."""
    parts = []
    for name in names:
        try:
            if isinstance(form.label, int):
                parts.append(_records(contents[name], form.label))
            else:
                parts.append(_pickled(contents[name], form.label))
        except ValueError as error:
            raise ValueError(f"{name} {error}") from error
    planes = np.concatenate([part[0] for part in parts])
    images = planes.reshape(-1, 3, *_IMAGE_SHAPE[:2]).transpose(0, 2, 3, 1)
    return Split(
        images.reshape(-1, _WIDTH), np.concatenate([part[1] for part in parts])
    )


def _records(content: bytes, label: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns planes ``(examples, 3072)`` and labels of a binary file."""
    width = label + 1 + _WIDTH
    if not content or len(content) % width:
        raise ValueError(
            f"must hold records of {width} bytes, got {len(content)} bytes in all"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, width)
    return records[:, label + 1 :], records[:, label]


def _pickled(content: bytes, label: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Returns planes ``(examples, 3072)`` and labels of a pickle."""
    entries = _unpickled(content, (b"data", label))
    planes, labels = entries[b"data"], _labels(label.decode(), entries[label])
    dtype = getattr(planes, "dtype", type(planes).__name__)
    shape = getattr(planes, "shape", ())
    if dtype != np.uint8 or shape != (labels.size, _WIDTH):
        raise ValueError(
            f"must hold data, uint8 of shape (examples, {_WIDTH}), and as many labels, "
            f"got {dtype} of shape {shape} and {labels.size} labels"
        )
    return planes, labels


def _labels(name: str, value: Any) -> np.ndarray:
    """Returns labels as an array, shape ``(examples,)``."""
    if isinstance(value, list) and all(isinstance(one, int) for one in value):
        value = np.array(value)
    if getattr(value, "ndim", None) != 1:
        found = f"{type(value).__name__} {value!r:.40}"
        raise ValueError(f"must hold {name}, an integer per image, got {found}")
    return value


def _class_names(form: _Form, content: bytes) -> tuple[str, ...]:
    """Returns the class names in a file of them."""
    if form.names_key is None:
        return tuple(content.decode().split())
    try:
        names = _unpickled(content, (form.names_key,))[form.names_key]
    except ValueError as error:
        raise ValueError(f"{form.names} {error}") from error
    if not isinstance(names, list) or not all(
        isinstance(n, str | bytes) for n in names
    ):
        raise ValueError(
            f"{form.names} must hold {form.names_key.decode()}, a list of text, got "
            f"{names!r:.60}"
        )
    return tuple(name if isinstance(name, str) else name.decode() for name in names)


def _unpickled(content: bytes, keys: tuple[bytes, ...]) -> dict[bytes, Any]:
    """Returns the dictionary in a pickle, which must have some keys."""
    loaded = array_pickles.load(content)
    if not isinstance(loaded, dict):
        raise ValueError(f"must be a dictionary, got {type(loaded).__name__}")
    # Python 3 writes the keys as text.
    entries = {
        key.encode() if isinstance(key, str) else key: value
        for key, value in loaded.items()
    }
    missing = [key.decode() for key in keys if key not in entries]
    if missing:
        raise ValueError(
            f"must hold {', '.join(missing)}, got {sorted(map(str, entries))}"
        )
    return entries
