"""Folders of sets that tensorflow-datasets has prepared, found without its import."""

import importlib.util
import json
import os
import re
from pathlib import Path

from jaxlin.io import files

_VERSION = re.compile(r"\d+\.\d+\.\d+")
_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_INFO = "dataset_info.json"

# The formats that are read. TFDS also reads its parquet files, but silently drops most
# rows.
ARRAY_RECORD, TFRECORD = "array_record", "tfrecord"


def data_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    """Returns ``data_dir``, else ``$TFDS_DATA_DIR``, else ``~/tensorflow_datasets``."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return files.expanded(chosen)


def find(name: str, folder: Path) -> Path | None:
    """Returns the folder of the newest prepared version of a set, or None.

    A version that cannot be read is returned if there is no other.

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


def is_prepared(path: Path) -> bool:
    """Returns whether a path is the folder of a prepared version."""
    return (path / _INFO).is_file()


def is_readable(version: Path) -> bool:
    """Returns whether a prepared version can be read with the installed packages."""
    file_format = _file_format(version)
    if file_format == ARRAY_RECORD:
        return _has_array_record()
    return file_format in (TFRECORD, None)  # `read` reports damage


def unreadable(version: Path) -> str:
    """Returns why a prepared version cannot be read, with the remedy."""
    file_format = _file_format(version)
    what = f"{version} is in files of format {file_format}"
    if file_format == ARRAY_RECORD:
        return (
            f"{what}, which need the package array_record: pip install array_record. "
            "The copy is good and is left alone. Where the package does not exist "
            "(Windows, some Macs), every other form of a data set is read: tfrecord "
            "files, official archives, parquet, .npz"
        )
    return (
        f"{what}, which jaxlin does not read; leave that copy where it is and prepare "
        f"another in a data_dir of its own, with file_format='{ARRAY_RECORD}'"
    )


def _file_format(version: Path) -> str | None:
    """Returns the format of the files of a version; None if its facts are damaged."""
    try:
        info = json.loads((version / _INFO).read_text("utf-8"))
        # Old versions have no entry for the format, which was always tfrecord.
        return info.get("fileFormat", TFRECORD)
    except (OSError, ValueError, AttributeError):
        return None


def _has_array_record() -> bool:
    """Returns whether array_record is installed, without the time of its import."""
    try:
        return importlib.util.find_spec("array_record.python") is not None
    except (ImportError, ValueError):
        return False


def prepared_names(folder: Path) -> list[str]:
    """Returns the names of all sets prepared in ``folder``, sorted."""
    infos = [*folder.glob(f"*/*/{_INFO}"), *folder.glob(f"*/*/*/{_INFO}")]
    names = {info.parent.parent.relative_to(folder).as_posix() for info in infos}
    return sorted(name for name in names if find(name, folder) is not None)


def _version_order(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.name.split("."))
