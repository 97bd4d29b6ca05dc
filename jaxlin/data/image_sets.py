"""Published image sets from any copy of them, checked by content.

A set is looked for in these forms: prepared by tensorflow-datasets, as its official
files, as the hub's parquet. If there is none, the official files are downloaded. What
was read is compared with the official content (`official_sets`), so that every form
gives the same images with the same labels. For CIFAR-100 and KMNIST no checksum of all
images is published: their official files are compared by the checksums of the files,
CIFAR-100 in other forms by its labels and the sums of its pixels, KMNIST by its numbers
of images per class.

Examples are in the official order: sorted by the ids or keys of tensorflow-datasets,
in the order of the official files, and with the batches of the hub's CIFAR-10 sorted.
A copy of CIFAR-10 in any other order keeps that order.
"""

import contextlib
import hashlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxlin.data import (
    cifar_files,
    downloads,
    idx_files,
    parquet,
    readers,
    tfds_folders,
    tfds_images,
)
from jaxlin.data.dataset import (
    Dataset,
    DataUnavailableError,
    Split,
    check_dataset,
)
from jaxlin.data.official_sets import ImageSet, idx_md5
from jaxlin.data.summaries import class_histogram
from jaxlin.io import files

# Where the hub's library keeps files, by its environment variables or by default.
_HUB_CACHES = ("$HF_HUB_CACHE", "$HF_HOME/hub", "~/.cache/huggingface/hub")
_SPLITS = ("train", "test")


def is_source(path: Path) -> bool:
    """Returns whether a path holds images in a form that `read_source` reads."""
    return (
        tfds_folders.is_prepared(path)
        or cifar_files.is_official(path)
        or idx_files.is_idx(path)
    )


def read_source(
    path: Path,
    *,
    name: str,
    is_numbered: bool = False,
    max_bytes: int | None = None,
    progress: bool = True,
) -> Dataset:
    """Reads images and their labels in any of the forms of image sets.

    Args:
      path: a version prepared by tensorflow-datasets, official files of CIFAR-10 or
        CIFAR-100 (folder or archive), or a folder of IDX files.
      name: name of the data set.
      is_numbered: as for `tfds_images.read`.
      max_bytes: number of bytes that an archive or a packed file may hold, unpacked;
        None is no limit.
      progress: whether to draw progress bars on a terminal.

    Returns:
      The checked data set, in the order of the source.

    Raises:
      DataUnavailableError: if a package is missing or a file cannot be opened.
      ValueError: if a file is damaged or values are not valid; the message names it.
    """
    if tfds_folders.is_prepared(path):
        found = tfds_images.read(
            path, name=name, is_numbered=is_numbered, progress=progress
        )
    elif cifar_files.is_official(path):
        found = cifar_files.read(path, max_bytes=max_bytes)
    else:
        found = idx_files.read(path, max_bytes=max_bytes)
    return check_dataset(found._replace(name=name))


def locate(
    known: ImageSet, folder: Path, *, download: bool = True, progress: bool = True
) -> Path:
    """Returns the path of a copy of a published set, downloaded if there is none.

    Args:
      known: the set.
      folder: folder of data sets, or that of the copy itself.
      download: whether a download is allowed.
      progress: whether to draw progress bars on a terminal.

    Raises:
      DataUnavailableError: if there is no copy that can be read, and no download.
    """
    found = next(_candidates(known, folder), None)
    if found is not None:
        return found
    if not download:
        raise _unavailable(known, folder, "downloads are switched off")
    try:
        for file in known.remote:
            downloads.fetch(file, _downloaded(known, folder)[0], progress=progress)
    except (OSError, http.client.HTTPException) as error:
        raise _unavailable(known, folder, str(error) or type(error).__name__) from error
    return _downloaded(known, folder)[1]


def read(known: ImageSet, source: Path, *, progress: bool = True) -> Dataset:
    """Reads a published set from a copy and compares it with the official content.

    Args:
      known: the set.
      source: path of the copy, from `locate`.
      progress: whether to draw progress bars on a terminal.

    Raises:
      DataUnavailableError: as `read_source`.
      ValueError: as `read_source`, and if images or labels are not the official ones.
    """
    if is_source(source):
        _check_files(known, source)
        found = read_source(
            source,
            name=known.name,
            is_numbered=known.is_numbered,
            max_bytes=known.max_bytes,
            progress=progress,
        )
    else:
        label = known.hub[2] if known.hub else None
        found = readers.read(source, parquet.read, label=label)
    if found.image_shape != known.image_shape:
        raise ValueError(
            f"{known.name} must have images of shape {known.image_shape}, got "
            f"{found.image_shape} in {source}"
        )
    train = _in_official_order(found.train, known.batches)
    found = found._replace(
        name=known.name,
        train=train,
        class_names=known.class_names or found.class_names,
        source=str(source),
    )
    for split, expected in zip(_SPLITS, known.expected, strict=True):
        _check_content(known, found, split, expected)
    return found


def _check_files(known: ImageSet, source: Path) -> None:
    """Raises a ValueError unless files with published checksums have them."""
    paths = [source] if source.is_file() else sorted(source.iterdir())
    names = {path.name for path in paths}
    for path in paths:
        # A packed file that is there unpacked, too, is not read.
        is_read = not (path.suffix == ".gz" and path.stem in names)
        if path.name not in known.checksums or not is_read:
            continue
        algorithm, expected = known.checksums[path.name]
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, algorithm).hexdigest()
        if digest != expected:
            raise ValueError(
                f"{path} must have {algorithm.upper()} {expected} as the official file "
                f"of {known.name}, got {digest}; take another copy, or load this one "
                "by its path as a data set of its own"
            )


def _check_content(
    known: ImageSet, found: Dataset, split: str, expected: object
) -> None:
    """Raises a ValueError unless a split has the official images and labels."""
    part: Split = getattr(found, split)
    if known.identity(part) != expected:
        counts = class_histogram(part.labels, found.num_classes).tolist()
        shown = f"{str(counts)[:60]}{'...' if len(str(counts)) > 60 else ''}"
        raise ValueError(
            f"{known.name} must have the {split} images and labels of the official "
            f"files, got others in {found.source} (images per class: {shown}); take "
            "another copy, or load this one by its path as a data set of its own"
        )


def _in_official_order(train: Split, batches: tuple[str, ...]) -> Split:
    """Sorts the official batches; images in any other order keep theirs."""
    if not batches or len(train.labels) % len(batches):
        return train
    labels = np.split(train.labels, len(batches))
    found = [idx_md5(batch) for batch in labels]
    if found == list(batches) or sorted(found) != sorted(batches):
        return train
    order = [found.index(batch) for batch in batches]
    rows = np.split(train.features, len(batches))
    return Split(
        np.concatenate([rows[place] for place in order]),
        np.concatenate([labels[place] for place in order]),
    )


def _candidates(known: ImageSet, folder: Path) -> Iterator[Path]:
    """Yields copies that can be read, the best form first."""
    version = tfds_folders.find(known.name, folder)
    if version is not None and tfds_folders.is_readable(version):
        yield version
    if _is_downloaded(known, folder):
        yield _downloaded(known, folder)[1]
    is_color = known.image_shape[-1] == 3
    is_official = cifar_files.is_official if is_color else idx_files.is_idx
    for path in (*(folder / place for place in known.places), folder):
        if is_official(path) or tfds_folders.is_prepared(path):
            yield path
    if known.hub is None:
        return
    hub_name, hub_folder, _ = known.hub
    snapshots = f"datasets--{hub_name.replace('/', '--')}/snapshots/*/{hub_folder}"
    for path in (folder / hub_folder, folder, *_in_hub_cache(snapshots)):
        # The hub's library may have fetched one split alone.
        if all(any(path.glob(f"{split}*.parquet")) for split in _SPLITS):
            yield path


def _in_hub_cache(pattern: str) -> list[Path]:
    """Returns the folders in the hub's cache that match a pattern."""
    found: list[Path] = []
    for root in _HUB_CACHES:
        with contextlib.suppress(ValueError):  # a variable that is not set
            found += sorted(files.expanded(root).glob(pattern))
    return found


def _downloaded(known: ImageSet, folder: Path) -> tuple[Path, Path]:
    """Folder of the downloads of a set, and the path that is read."""
    parent = folder / "downloads"
    if len(known.remote) == 1:
        return parent, parent / known.remote[0].name
    return parent / known.name, parent / known.name


def _is_downloaded(known: ImageSet, folder: Path) -> bool:
    """Returns whether all downloads are there, by their sizes."""
    parent, _ = _downloaded(known, folder)
    paths = {file: parent / file.name for file in known.remote}
    return all(
        path.is_file() and path.stat().st_size == file.num_bytes
        for file, path in paths.items()
    )


def _unavailable(known: ImageSet, folder: Path, reason: str) -> DataUnavailableError:
    """Returns the error for a set that is not there, with the alternatives."""
    parent, _ = _downloaded(known, folder)
    size = sum(file.num_bytes for file in known.remote) / 1e6
    what = f"{known.name} is not in {folder}"
    version = tfds_folders.find(known.name, folder)
    if version is not None:
        what = f"{tfds_folders.unreadable(version)}. No other copy is in {folder}"
    for file in known.remote:
        path = parent / file.name
        if path.is_file() and path.stat().st_size != file.num_bytes:
            found = f"{path.stat().st_size:,}"
            what += f" ({path} must have {file.num_bytes:,} bytes, got {found})"
    return DataUnavailableError(
        f"{what}, and none was fetched: {reason}. Three ways out: take the digits, "
        "which need no download (--dataset digits); set TFDS_DATA_DIR (or data_dir) to "
        "a folder that holds a copy, as tensorflow-datasets, torchvision or the hub "
        f"left it, or one of {', '.join(known.places)}; or allow a download of "
        f"{size:.0f} MB, once, from {known.remote[0].urls[0]} (fetched by hand, it "
        f"belongs in {parent})"
    )
