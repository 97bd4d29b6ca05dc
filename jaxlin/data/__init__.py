"""Data sets as checked NumPy arrays, loaded deterministically.

`load` takes the name of a data set or the path of one in NumPy files:

  * ``"cifar10"``: read with tensorflow-datasets (no TensorFlow) from a prepared copy,
    which is made from the official archive if there is none;
  * ``"digits"``: scikit-learn's handwritten digits, no download;
  * any other image-classification set prepared by tensorflow-datasets, such as
    ``"mnist"`` or ``"cifar100"``;
  * ``"path/to/my.npz"`` with x_train, y_train, x_test, y_test (and optionally x_val,
    y_val, weights_train, groups_train, class_names), or a folder with x_train.npy and
    so on, which are memory-mapped (a warning is logged for arrays that have to be read
    whole).

`jaxlin.data.embeddings` reads features in several parts, and answers that are strings.

Images stay uint8 and are memory-mapped from a cache after the first load, which saves
the time and memory of a float copy. Prepared copies are looked for in ``data_dir``,
else the environment variable ``TFDS_DATA_DIR``, else ``~/tensorflow_datasets``; the
cache is ``cache_dir``, else ``JAXLIN_CACHE``, else ``~/.cache/jaxlin``.

The modules:

  staging          atomic publication of folders
  array_files      named arrays of a ``.npz`` file or a folder of ``.npy`` files
  dataset          `Dataset`, `Split` and their checks
  digits           scikit-learn's handwritten digits
  npz              a data set of the user's own files
  embeddings       joined embeddings of the same examples, with frequent answers
  toy              generated points in the plane
  tfds_images      image sets prepared by tensorflow-datasets
  cifar10_archive  CIFAR-10 from its official archive
  cache            decoded images as ``.npy`` files

  >>> from jaxlin import data
  >>> digits = data.load("digits")
  >>> digits.train.features.shape, digits.train.features.dtype, digits.max_value
  ((1297, 64), dtype('uint8'), 16.0)
  >>> data.summary(digits)["test"]["class_histogram"]
  [50, 50, 50, 50, 50, 50, 50, 50, 50, 50]
"""

import os
from functools import partial
from pathlib import Path

from jaxlin import chapters
from jaxlin.data import array_files, cache, cifar10_archive, digits, npz, tfds_images
from jaxlin.data.dataset import (
    Dataset,
    DataUnavailableError,
    Split,
    absent_classes,
    check_dataset,
    class_histogram,
    summary,
)

__getattr__ = chapters.loader(__name__)
__all__ = [
    "DataUnavailableError",
    "Dataset",
    "Split",
    "absent_classes",
    "class_histogram",
    "load",
    "summary",
]


def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: bool = True,
) -> Dataset:
    """Loads a data set and checks it.

    Args:
      name: ``"cifar10"``, ``"digits"``, the name of a set prepared by
        tensorflow-datasets, a path that ends in ``.npz``, or a folder of ``.npy``
        files.
      data_dir: folder of tensorflow-datasets, by default ``$TFDS_DATA_DIR`` or
        ``~/tensorflow_datasets``. Not used for the digits and NumPy files.
      cache_dir: folder of decoded images, by default ``$JAXLIN_CACHE`` or
        ``~/.cache/jaxlin``.
      download: whether CIFAR-10 may be downloaded if it is not prepared in
        ``data_dir``. A copy that only TensorFlow can read is left alone; a readable one
        is then made beside it, in ``data_dir/array_record``.
      progress: whether to draw progress bars on a terminal.

    Returns:
      The data set. CIFAR-10 has exactly 5,000 training and 1,000 test images of each
      class, in the order of their ids.

    Raises:
      DataUnavailableError: an OSError, if the set is not on this machine and could not
        be downloaded, or a package that reads it is not installed.
      ValueError: if the name is not known, a file is damaged, or values are not valid.
    """
    name = os.fspath(name)
    if name == "digits":
        return digits.load()
    if name.endswith(".npz") or array_files.is_folder(name):
        return npz.load(name)
    folder = tfds_images.data_folder(data_dir)
    if name == "cifar10":
        prepared = cifar10_archive.find(folder)
        if prepared is None:
            if not download:
                raise cifar10_archive.unavailable_error(
                    folder, "downloads are switched off"
                )
            prepared = cifar10_archive.prepare(folder, progress=progress)
    else:
        prepared = tfds_images.find(name, folder)
    if prepared is None:
        raise ValueError(_unknown(name, folder))
    loaded = cache.through_cache(
        partial(_read, name, prepared, progress),
        name=name,
        source=prepared,
        folder=cache.cache_folder(cache_dir),
    )
    return cifar10_archive.check_counts(loaded) if name == "cifar10" else loaded


def _read(name: str, prepared: Path, progress: bool) -> Dataset:
    return check_dataset(tfds_images.read(prepared, name=name, progress=progress))


def _unknown(name: str, folder: Path) -> str:
    found = ", ".join(tfds_images.prepared_names(folder)) or "none"
    return (
        "data set must be cifar10, digits, a path that ends in .npz, a folder of .npy "
        "files, or an image set that tensorflow-datasets has prepared as array_record "
        f"in {folder} (there now: {found}), got {name!r}; set TFDS_DATA_DIR or "
        "data_dir if it is elsewhere"
    )
