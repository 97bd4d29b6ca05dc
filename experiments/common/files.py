"""Values as text and bytes that any other program can read, the same every time.

JSON is strict (no NaN), sorted and indented; archives hold no time stamps, so equal
arrays make equal files. `jaxlin.io.files` writes them.
"""

import csv
import dataclasses
import io
import json
import math
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def json_text(value: Any) -> str:
    """Returns strict JSON with sorted keys, ending in a newline."""
    plain = json_ready(value)
    return json.dumps(plain, indent=2, sort_keys=True, allow_nan=False) + "\n"


def json_ready(value: Any, *, name: str = "value") -> Any:
    """Returns ``value`` in the types of JSON.

    NaN and infinities become None; NumPy and JAX arrays and tuples become lists;
    dataclasses and NamedTuples become dictionaries; paths become strings.

    Args:
      value: what to write.
      name: what an error message calls it.

    Raises:
      TypeError: if a part is of another type; the message says which part.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic) or hasattr(value, "__array__"):
        array = np.asarray(value)
        # Extension types such as bfloat16 have no counterpart in Python.
        array = array.astype(float) if array.dtype.kind == "V" else array
        return json_ready(array.tolist(), name=name)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        value = {field.name: getattr(value, field.name) for field in fields}
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {
            _json_key(key, name): json_ready(entry, name=f"{name}.{key}")
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple):
        return [json_ready(entry, name=f"{name}[{i}]") for i, entry in enumerate(value)]
    raise TypeError(f"{name} must be of a JSON type, got {type(value).__name__}")


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file.

    Raises:
      ValueError: if the file is missing or is not JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} must exist, got no such file") from None
    except ValueError as error:
        raise ValueError(f"{path} must hold valid JSON, got {error}") from error


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns rows as comma-separated values.

    The columns are the keys of all rows in the order of their first appearance; a
    missing or undefined value (None, NaN) is an empty cell.
    """
    plain = [json_ready(dict(row), name="row") for row in rows]
    columns = list(dict.fromkeys(key for row in plain for key in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    return buffer.getvalue()


def npz_bytes(arrays: Mapping[str, Any]) -> bytes:
    """Returns an uncompressed `.npz` archive, the same bytes for the same arrays.

    Raises:
      TypeError: if an array has a dtype that a plain `numpy.load` cannot give back.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in arrays.items():
            array = np.asarray(value)
            if array.dtype.kind not in "biufcSU":
                raise TypeError(
                    f"{name} must hold numbers or text, got dtype {array.dtype}"
                )
            # An entry made by hand carries no date; `numpy.savez` writes the time.
            entry = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


def _json_key(key: Any, name: str) -> str:
    """Returns a key of a JSON object; integers are written in decimal."""
    if isinstance(key, bool) or not isinstance(key, str | int | np.integer):
        raise TypeError(f"keys of {name} must be strings, got {key!r}")
    return str(key)
