"""What was measured of a class or a network, in two files of the run folder.

The numbers are written last: where they are, the arrays are whole. A resumed run reads
both and measures nothing again.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.common.run_folder import RunFolder


class Found(NamedTuple):
    """Losses of single test examples, and numbers.

    Attributes:
      arrays: by name, such as ``trained-zero_one``.
      numbers: what JSON can hold.
    """

    arrays: Mapping[str, np.ndarray]
    numbers: Mapping[str, Any]


def read(folder: RunFolder, name: str) -> Found | None:
    """What an earlier start has measured, or None.

    Raises:
      ValueError: if a file is damaged; it is named.
    """
    if not (folder.path / f"measured-{name}.json").exists():
        return None
    path = folder.path / f"measured-{name}.npz"
    try:
        with np.load(path) as archive:
            arrays = dict(archive)
    except (PermissionError, MemoryError):
        raise  # the file may be good
    except Exception as error:
        raise ValueError(
            f"{path} must hold the arrays of an earlier start, got {error}; delete "
            f"measured-{name}.json to measure them again"
        ) from error
    return Found(arrays, folder.read_json(f"measured-{name}.json"))


def write(folder: RunFolder, name: str, found: Found) -> Found:
    """Writes and reads back, so that a resumed run has the same numbers."""
    folder.write_npz(f"measured-{name}.npz", found.arrays)
    folder.write_json(f"measured-{name}.json", found.numbers)
    again = read(folder, name)
    assert again is not None
    return again
