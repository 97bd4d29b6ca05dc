"""Named arrays out of a ``.npz`` file, or out of a folder of ``.npy`` files.

A folder is for arrays that are large: they are mapped, read-only, and read where they
are looked at. Nothing is unpickled.
"""

import logging
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_LOGGER = logging.getLogger(__name__)


def read(
    path: str | os.PathLike[str], names: Sequence[str], *, optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads arrays by name; their values are not looked at.

    Args:
      path: a ``.npz`` file, or a folder that has ``NAME.npy`` for each name.
      names: that must be there.
      optional: that are read if they are there.

    Raises:
      ValueError: saying what is missing or damaged and what to do, without the path.
    """
    path = Path(path)
    if is_folder(path):
        return _from_folder(path, names, optional)
    return _from_npz(path, names, optional)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder with at least one ``.npy`` file in it."""
    path = Path(path)
    return path.is_dir() and any(path.glob("*.npy"))


def say_if_copied(
    path: Path, stored: dict[str, np.ndarray], used: dict[str, np.ndarray]
) -> None:
    """Logs a warning for each array of a folder that is not used as it is mapped.

    Args:
      path: of the folder or file.
      stored: as `read` returned them.
      used: some of them by name, as they are handed on.
    """
    if not is_folder(path):
        return
    for name, array in used.items():
        if not np.may_share_memory(array, stored[name]):
            _LOGGER.warning(
                "%s is %s in %s order and is read whole, into %.0f MB as %s; mapped "
                "are uint8 and float32 in C order, and float16 feature vectors",
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
            arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)
        except OSError as error:
            # No word of damage: it may be a permission, or no room to map the file.
            raise ValueError(
                f"{name}.npy cannot be opened ({error.strerror or error}); it is left "
                "alone"
            ) from error
        except (EOFError, ValueError) as error:
            raise ValueError(
                f"{name}.npy must be a numeric array as numpy.save writes it, got "
                f"other or damaged data ({error})"
            ) from error
        if arrays[name].dtype.kind == "V":
            raise ValueError(_of_no_numbers(name))
    return arrays


def _of_no_numbers(name: str) -> str:
    return (
        f"{name} must be numbers, got raw bytes, as numpy.save writes bfloat16; save "
        "array.astype(numpy.float32)"
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
    # A zip file ends with its table of contents, so one that was cut short is none.
    if not zipfile.is_zipfile(path):
        raise ValueError(f"is not a .npz file, or was cut short; {remedy}")
    with np.load(path, allow_pickle=False) as stored:
        found = stored.files
        if {"indices", "indptr"} <= set(found):
            raise ValueError(
                "holds a sparse matrix; sparse input is out of scope: call .toarray() "
                f"if it fits in memory and {remedy}"
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
    # NumPy hands over members that are no arrays as bytes.
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name} must be a NumPy array, got other data; {remedy}")
    if value.dtype.kind == "V":
        raise ValueError(_of_no_numbers(name))
    return value
