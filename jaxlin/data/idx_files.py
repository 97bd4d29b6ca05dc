"""IDX files, in which MNIST and its relatives come.

A file is two zero bytes, a code of its dtype (8 for uint8), the number of axes, their
lengths (32 bits each, most significant byte first) and the items in C order.

Reference:
  Y. LeCun, C. Cortes and C. Burges. The MNIST database of handwritten digits, 1998.
"""

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from jaxlin.data.bounded_files import BoundedFile
from jaxlin.data.dataset import Dataset, Split

_NAME = re.compile(r"(.*)(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")
_PARTS = ("train images", "train labels", "test images", "test labels")


def is_idx(folder: Path) -> bool:
    """Returns whether a folder has files of images and labels in IDX format."""
    return folder.is_dir() and any(
        _NAME.fullmatch(one.name) for one in folder.iterdir()
    )


def read(folder: Path, *, max_bytes: int | None = None) -> Dataset:
    """Reads training and test images with their labels.

    Args:
      folder: folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, each as it is or
        with ``.gz``; names may have a common beginning, as EMNIST's have.
      max_bytes: number of bytes that a file may hold, unpacked; None is no limit.

    Returns:
      The data set in the order of the files, images with one channel, not yet checked.
      Classes are named by their numbers.

    Raises:
      ValueError: if a file is missing, damaged or of another kind; the message names
        it.
      OSError: if a file cannot be read.
    """
    files = _files(folder)
    arrays = {part: _array(path, max_bytes) for part, path in files.items()}
    for part, array in arrays.items():
        rank = 3 if part.endswith("images") else 1
        if array.ndim != rank:
            raise ValueError(
                f"{files[part]} must hold {part} with {rank} axes, got shape "
                f"{array.shape}"
            )
    train, test = (
        Split(
            _as_rows(arrays[f"{split} images"]),
            arrays[f"{split} labels"],
        )
        for split in ("train", "test")
    )
    shapes = {split: arrays[f"{split} images"].shape[1:] for split in ("train", "test")}
    if shapes["train"] != shapes["test"]:
        raise ValueError(
            f"{folder} must have images of one shape, got {shapes['train']} for "
            f"training and {shapes['test']} for testing"
        )
    top = max(int(split.labels.max(initial=0)) for split in (train, test))
    return Dataset(
        name=folder.name,
        train=train,
        test=test,
        class_names=tuple(map(str, range(top + 1))),
        image_shape=(*shapes["train"], 1),
        max_value=255.0,
        source=str(folder),
    )


def _as_rows(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), math.prod(images.shape[1:]))


def _files(folder: Path) -> dict[str, Path]:
    """Returns the files of one set, by what they hold; unpacked ones come first."""
    found: dict[str, Path] = {}
    sets = set()
    for path in sorted(folder.iterdir(), key=lambda one: one.suffix == ".gz"):
        if match := _NAME.fullmatch(path.name):
            sets.add(match[1])
            split = "train" if match[2] == "train" else "test"
            found.setdefault(f"{split} {match[3]}", path)
    if len(sets) > 1:
        raise ValueError(
            f"{folder} must hold one data set, got files that begin with "
            f"{', '.join(sorted(sets))}; move each set into a folder of its own"
        )
    missing = [part for part in _PARTS if part not in found]
    if missing:
        raise ValueError(
            f"{folder} must hold IDX files of {', '.join(_PARTS)}, missing "
            f"{', '.join(missing)}"
        )
    return found


def _array(path: Path, max_bytes: int | None) -> np.ndarray:
    """Returns the array of one IDX file."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = BoundedFile(file, max_bytes).read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); take a new copy") from error
    except ValueError as error:
        raise ValueError(f"{path} {error}; take a new copy") from error
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        raise ValueError(
            f"{path} must be an IDX file of uint8, begins with {content[:4]!r}"
        )
    rank, num_bytes = content[3], len(content)
    if rank not in (1, 3):
        raise ValueError(f"{path} must have 1 axis or 3, got {rank}; take a new copy")
    start = 4 + 4 * rank
    shape = tuple(map(int, np.frombuffer(content[4:start].ljust(4 * rank), ">u4")))
    if num_bytes != start + math.prod(shape):
        raise ValueError(
            f"{path} must have {start + math.prod(shape)} bytes, got {num_bytes}; take "
            "a new copy"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
