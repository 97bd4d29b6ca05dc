"""Data sets as checked NumPy arrays, loaded deterministically.

`load` takes the name of a data set or a path:

  * ``"cifar10"``, ``"cifar100"``, ``"mnist"``, ``"fashion_mnist"``, ``"kmnist"``: from
    a copy in any form, else downloaded; compared with the official content (CIFAR-100
    and KMNIST in part, see `load`);
  * ``"digits"``: scikit-learn's handwritten digits, no download;
  * any other image-classification set prepared by tensorflow-datasets, such as
    ``"emnist/balanced"``;
  * ``"path/to/my.npz"`` with x_train, y_train, x_test, y_test (and optionally x_val,
    y_val, weights_train, groups_train, class_names), or a folder with x_train.npy and
    so on, which are memory-mapped (a warning is logged for arrays that have to be read
    whole);
  * a CSV, parquet, svmlight or LIBSVM file, or a folder with ``train.csv``,
    ``test.csv`` and so on;
  * a folder of IDX files, official files of CIFAR-10 or CIFAR-100 (folder or archive),
    or a version prepared by tensorflow-datasets.

`jaxlin.data.embeddings` reads features in several parts, and answers that are strings.

Images stay uint8 and are memory-mapped from a cache after the first load, which saves
the time and memory of a float copy. The folder of data sets is ``data_dir``, else the
environment variable ``TFDS_DATA_DIR``, else ``~/tensorflow_datasets``; the cache of the
Hugging Face hub is searched, too. The cache of decoded images is ``cache_dir``, else
``JAXLIN_CACHE``, else ``~/.cache/jaxlin``. In every path ``~`` and environment
variables are replaced.

The modules:

  staging         atomic publication of folders
  progress        progress bars
  array_files     named arrays of a ``.npz`` file or a folder of ``.npy`` files
  dataset         `Dataset`, `Split` and their checks
  summaries       numbers of examples and checksums of a data set
  digits          scikit-learn's handwritten digits
  npz             a data set of the user's own files
  embeddings      joined embeddings of the same examples, with frequent answers
  toy             generated points in the plane
  encoded_images  images decoded from PNG or JPEG
  tables          examples in files with a label each
  csv_text        reader of CSV
  svmlight        reader of svmlight and LIBSVM text
  parquet         reader of parquet
  readers         readers by the ends of names; how to add one
  array_pickles   pickles of arrays, read without running what they name
  bounded_files   files that are unpacked up to a limit
  cifar_files     official files of CIFAR-10 and CIFAR-100
  idx_files       IDX files of MNIST and its relatives
  tfrecords       records of TFRecord files
  tfds_folders    folders that tensorflow-datasets has prepared
  tfds_images     image sets prepared by tensorflow-datasets
  downloads       downloads that continue where they broke off
  official_sets   facts of published image sets
  image_sets      published image sets from any copy of them
  cache           decoded images as ``.npy`` files

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
from jaxlin.data import (
    array_files,
    cache,
    digits,
    image_sets,
    npz,
    official_sets,
    readers,
    tfds_folders,
)
from jaxlin.data.dataset import Dataset, DataUnavailableError, Split
from jaxlin.data.readers import Reader
from jaxlin.data.summaries import absent_classes, class_histogram, summary
from jaxlin.io import files

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
    test: str | os.PathLike[str] | None = None,
    label: str | None = None,
    reader: Reader | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    progress: bool = True,
) -> Dataset:
    """Loads a data set and checks it.

    Args:
      name: name of a published set (``"cifar10"``, ``"mnist"``, ...), ``"digits"``, the
        name of a set prepared by tensorflow-datasets, or a path of one of the forms
        above.
      data_dir: folder of data sets, or of the named one, by default
        ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``. Not used for digits and paths.
      test: file of test examples, for a CSV, parquet or svmlight file. Without it the
        test split has no rows.
      label: column of the labels of a CSV or parquet file; None is ``"label"``.
      reader: function that reads the file, for formats of one's own and for names that
        do not end as their format does; see `jaxlin.data.readers`.
      cache_dir: folder of decoded images, by default ``$JAXLIN_CACHE`` or
        ``~/.cache/jaxlin``.
      download: whether a published set may be downloaded if no copy is found.
      progress: whether to draw progress bars on a terminal.

    Returns:
      The data set. ``"cifar10"``, ``"mnist"`` and ``"fashion_mnist"`` have exactly the
      images and labels of the official files. Official files of ``"cifar100"`` and
      packed ones of ``"kmnist"`` have their published checksums; other copies are
      compared by labels in their order and sums of the color channels
      (``"cifar100"``), or by numbers of images per class (``"kmnist"``).

    Raises:
      DataUnavailableError: an OSError, if the set is not on this machine and could not
        be downloaded, or a package that reads it is not installed.
      ValueError: if the name is not known, a file is damaged, or values are not valid.
    """
    if not isinstance(name, str | os.PathLike):
        raise ValueError(
            "name must be the name of a data set or a path, got a "
            f"{type(name).__name__}; give arrays and tables to jaxlin.problem"
        )
    name = os.fspath(name)
    path = files.expanded(name)
    is_name = name == "digits" or name in official_sets.SETS
    is_npy = not is_name and array_files.is_folder(path)
    if reader is None and not is_name and not is_npy:
        reader = readers.reader_of(path)
    if reader is not None:
        return readers.read(path, reader, test=test, label=label)
    if test is not None or label is not None:
        raise ValueError(
            "test and label must be given with a CSV, parquet or svmlight file alone, "
            f"got {name!r}; leave them out, or check the path"
        )
    if name == "digits":
        return digits.load()
    if is_npy or path.name.lower().endswith(".npz"):
        return npz.load(path)
    return _images(
        name,
        path,
        tfds_folders.data_folder(data_dir),
        cache.cache_folder(cache_dir),
        download=download,
        progress=progress,
    )


def _images(
    name: str,
    path: Path,
    folder: Path,
    cache_folder: Path,
    *,
    download: bool,
    progress: bool,
) -> Dataset:
    """Returns a set of images, through the cache."""
    known = official_sets.SETS.get(name)
    if known is not None:
        source = image_sets.locate(known, folder, download=download, progress=progress)
        decode = partial(image_sets.read, known, source, progress=progress)
    else:
        is_path = image_sets.is_source(path)
        found = path if is_path else tfds_folders.find(name, folder)
        if found is None:
            raise ValueError(_unknown(name, path, folder))
        source, name = found, path.name if is_path else name
        decode = partial(image_sets.read_source, source, name=name, progress=progress)
    return cache.through_cache(
        decode,
        name=name,
        source=source,
        folder=cache_folder,
        is_checked=known is not None,
    )


def _unknown(name: str, path: Path, folder: Path) -> str:
    """Returns the message of a name that is no data set."""
    if path.is_file():
        return (
            f"{path} must have a name that ends in .npz, {', '.join(readers.READERS)}; "
            "give a reader for any other, such as reader=jaxlin.data.svmlight.read"
        )
    prepared = ", ".join(tfds_folders.prepared_names(folder)) or "none"
    return (
        f"data set must be {', '.join(official_sets.SETS)}, digits, the path of a file "
        f"(.npz, {', '.join(readers.READERS)}) or of a folder of .npy files, of train "
        "and test files, of IDX files or of CIFAR's, or an image set that "
        f"tensorflow-datasets has prepared in {folder} (there now: {prepared}), got "
        f"{name!r}; set TFDS_DATA_DIR or data_dir if it is elsewhere"
    )
