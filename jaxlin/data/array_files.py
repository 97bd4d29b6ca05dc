"""Named arrays from a ``.npz`` file or a folder of ``.npy`` files.

Large arrays belong in a folder: its files are memory-mapped read-only and read on
access. Nothing is unpickled.

`numpy.save` writes bfloat16 arrays (of the package `ml_dtypes`) as raw items of two
bytes, and no other dtype in that way: raw items of two bytes are read as bfloat16.
uint16 arrays are integers. NumPy has no bfloat16 of its own; a PyTorch tensor is saved
by ``numpy.save(path, tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16))``.
"""

import logging
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import ml_dtypes
import numpy as np

_LOGGER = logging.getLogger(__name__)


def read(
    path: str | os.PathLike[str], names: Sequence[str], *, optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays by name, without a check of their values.

    Args:
      path: a ``.npz`` file, or a folder with ``NAME.npy`` for each name.
      names: names of required arrays.
      optional: names of arrays that are read if present; none by default.

    Raises:
      ValueError: if an array is missing or damaged; the message states the remedy and
        leaves the path to the caller.
    """
    path = Path(path)
    if is_folder(path):
        return _from_folder(path, names, optional)
    return _from_npz(path, names, optional)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is a folder with at least one ``.npy`` file."""
    path = Path(path)
    return path.is_dir() and any(path.glob("*.npy"))


def warn_if_copied(
    path: Path, stored: dict[str, np.ndarray], used: dict[str, np.ndarray]
) -> None:
    """Logs a warning for each array of a folder that was copied into memory.

    Args:
      path: path of the folder or file.
      stored: arrays as `read` returned them, by name.
      used: arrays derived from some of them, by the same names.
    """
    if not is_folder(path):
        return
    for name, array in used.items():
        if not np.may_share_memory(array, stored[name]):
            _LOGGER.warning(
                "%s is %s in %s order and is read whole, into %.0f MB as %s; mapped "
                "are uint8 and float32 in C order, and feature vectors of float16 and "
                "bfloat16 (in all splits)",
                path / f"{name}.npy",
                stored[name].dtype,
                "C" if stored[name].flags.c_contiguous else "Fortran",
                array.nbytes / 1e6,
                array.dtype,
            )


def _remedy(names: Sequence[str]) -> str:
    listed = ", ".join(f"{name}=..." for name in names)
    return f"save it with numpy.savez(path, {listed})"


def _from_folder(
    path: Path, names: Sequence[str], optional: Sequence[str]
) -> dict[str, np.ndarray]:
    found = sorted(file.stem for file in path.glob("*.npy"))
    _check_names(names, found, 'save each with numpy.save("FOLDER/NAME.npy", array)')
    arrays = {}
    for name in [*names, *(name for name in optional if name in found)]:
        file = path / f"{name}.npy"
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            # Not reported as damage: permissions or a lack of memory may be the cause.
            raise ValueError(
                f"{name}.npy cannot be opened ({error.strerror or error}); it is left "
                "alone"
            ) from error
        except (EOFError, ValueError) as error:
            raise ValueError(
                f"{name}.npy must be a numeric array as numpy.save writes it, got "
                f"other or damaged data ({error})"
            ) from error
        arrays[name] = _as_numbers(name, array)
    return arrays


def _as_numbers(name: str, array: np.ndarray) -> np.ndarray:
    """Returns an array, raw items of two bytes as bfloat16, without a copy."""
    if array.dtype.kind != "V":
        return array
    if array.dtype == np.dtype("V2"):
        return array.view(ml_dtypes.bfloat16)
    raise ValueError(
        f"{name} must be numbers, got raw bytes ({array.dtype}), as numpy.save writes "
        "dtypes that NumPy lacks; save array.astype(numpy.float32)"
    )


def _from_npz(
    path: Path, names: Sequence[str], optional: Sequence[str]
) -> dict[str, np.ndarray]:
    remedy = _remedy(names)
    try:
        path.open("rb").close()
    except OSError as error:
        message = f"cannot be opened ({error.strerror}); check the path"
        raise ValueError(message) from error
    # A zip file ends with its directory, so a truncated one is not recognised.
    if not zipfile.is_zipfile(path):
        raise ValueError(f"is not a .npz file, or was cut short; {remedy}")
    with np.load(path, allow_pickle=False) as stored:
        found = stored.files
        if {"indices", "indptr"} <= set(found):
            raise ValueError(
                "holds a sparse matrix without labels; save both as svmlight text "
                "(sklearn.datasets.dump_svmlight_file), or call .toarray() if it fits "
                f"in memory and {remedy}"
            )
        _check_names(names, found, remedy)
        wanted = [*names, *(name for name in optional if name in found)]
        return {name: _member(stored, name, remedy) for name in wanted}


def _check_names(names: Sequence[str], found: Sequence[str], remedy: str) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(
            f"must hold {', '.join(names)}, missing {', '.join(missing)}, found "
            f"{', '.join(found) or 'nothing'}; {remedy}"
        )


def _member(stored: np.lib.npyio.NpzFile, name: str, remedy: str) -> np.ndarray:
    try:
        value = stored[name]
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{name} is damaged ({error}); {remedy}") from error
    except ValueError as error:
        raise ValueError(
            f"{name} must be a rectangular numeric array, got Python objects or "
            f"damaged data ({error}); such arrays are not loaded, because unpickling "
            "can run any code"
        ) from error
    # NumPy returns members that are not arrays as bytes.
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} must be a NumPy array, got other data; {remedy}")
    return _as_numbers(name, value)
