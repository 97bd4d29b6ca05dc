"""Cache of decoded data sets as memory-mapped ``.npy`` files.

An entry is a folder with the four arrays and ``meta.json``. Its name contains a
fingerprint of the source files, so that a changed source is decoded again. The
checksums in ``meta.json`` are verified on every load (40 ms for CIFAR-10), so that a
damaged entry is rebuilt, never used. The cache may be deleted at any time.
"""

import functools
import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxlin.data import staging
from jaxlin.data.dataset import Dataset, Split
from jaxlin.io import files

_LOGGER = logging.getLogger(__name__)

# Part of the fingerprint: increment it when decoding or the format of entries changes.
_FORMAT = 3
_META = "meta.json"


def cache_folder(cache_dir: str | os.PathLike[str] | None) -> Path:
    """Returns ``cache_dir``, else ``$JAXLIN_CACHE``, else ``~/.cache/jaxlin``."""
    chosen = cache_dir or os.environ.get("JAXLIN_CACHE") or "~/.cache/jaxlin"
    return files.expanded(chosen)


def through_cache(
    decode: Callable[[], Dataset],
    *,
    name: str,
    source: Path,
    folder: Path,
    is_checked: bool = False,
) -> Dataset:
    """Returns the data set decoded from ``source``, from the cache if present.

    Args:
      decode: function that decodes the data set from its source.
      name: name of the data set, the first part of the name of the entry.
      source: file or folder that ``decode`` reads; its path, and names, sizes and
        modification times of its files, make up the fingerprint.
      folder: folder of the entries. If it cannot be written, the data set stays in
        memory and a warning is logged once.
      is_checked: whether ``decode`` compares the content with that of a published set
        and takes its class names; such an entry is never that of a plain path.

    Returns:
      The data set; its features are read-only memory maps if the cache is usable.
    """
    fingerprint = _fingerprint(source, is_checked)
    entry = folder / f"{name.replace('/', '-')}-{source.name}-{fingerprint}"
    try:
        return _open(entry)._replace(source=str(source))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        # Missing permissions, memory or file handles: the entry may be valid, and may
        # belong to another user.
        _warn_once(
            f"the cache entry {entry} cannot be read ({error}) and is left alone; the "
            "data set is decoded on every load"
        )
        return decode()
    except (ValueError, KeyError, TypeError) as error:
        _LOGGER.info("rebuilding the damaged cache entry %s (%s)", entry, error)
    dataset = decode()
    try:
        _write(entry, dataset)
        return _open(entry)._replace(source=str(source))
    except OSError as error:
        _warn_once(
            f"the data cache {folder} cannot be written ({error}); data sets are "
            "decoded on every load; set JAXLIN_CACHE to a writable folder"
        )
        return dataset


def _fingerprint(source: Path, is_checked: bool) -> str:
    states = sorted(
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path in (source.iterdir() if source.is_dir() else [source])
    )
    facts = (_FORMAT, is_checked, str(source.resolve()), states)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _open(entry: Path) -> Dataset:
    """Opens an entry; raises an exception if it is missing or damaged."""
    meta = json.loads((entry / _META).read_text("utf-8"))
    arrays = {}
    for name, facts in meta["arrays"].items():
        path = entry / f"{name}.npy"
        # Checked first: reading a map beyond the end of its file kills the process.
        if path.stat().st_size != facts["bytes"]:
            raise ValueError(f"{path} must have {facts['bytes']} bytes")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if _description(array, path) != facts:
            raise ValueError(f"{path} must be as described in {_META}")
        arrays[name] = array
    described = meta["dataset"]
    shape = described["image_shape"]
    return Dataset(
        train=Split(arrays["train_features"], np.array(arrays["train_labels"])),
        test=Split(arrays["test_features"], np.array(arrays["test_labels"])),
        class_names=tuple(described["class_names"]),
        image_shape=None if shape is None else tuple(shape),
        name=described["name"],
        max_value=described["max_value"],
        version=described["version"],
    )


def _write(entry: Path, dataset: Dataset) -> None:
    """Writes an entry in a staging folder and publishes it."""
    with staging.staging(entry.parent) as stage:
        made = stage / entry.name
        made.mkdir()
        arrays = {}
        for split in ("train", "test"):
            for field, array in getattr(dataset, split)._asdict().items():
                path = made / f"{split}_{field}.npy"
                np.save(path, array, allow_pickle=False)
                arrays[path.stem] = _description(array, path)
        described = {
            key: value
            for key, value in dataset._asdict().items()
            if key not in ("train", "test", "source")
        }
        meta = {"arrays": arrays, "dataset": described}
        (made / _META).write_text(json.dumps(meta, indent=1), "utf-8")
        shutil.rmtree(entry, ignore_errors=True)
        os.replace(made, entry)


def _description(array: np.ndarray, path: Path) -> dict[str, Any]:
    return {
        "shape": [*array.shape],
        "dtype": str(array.dtype),
        "bytes": path.stat().st_size,
        "crc32": zlib.crc32(np.ascontiguousarray(array).data),
    }


@functools.cache
def _warn_once(message: str) -> None:
    _LOGGER.warning(message)
