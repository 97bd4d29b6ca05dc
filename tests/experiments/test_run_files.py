"""Files of a run survive kills and full disks whole, and give back what was written.

What holds for one file that is replaced, `tests/io` asserts of checkpoints, which are
written by the same function.
"""

import csv
import dataclasses
import io
import json
import os
import signal
import zipfile
from collections import namedtuple
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import processes
import pytest

from experiments.common import files
from jaxlin.io.files import PARTIAL_PATTERN

# What is written


def test_json_is_strict_sorted_and_takes_what_experiments_have():
    Pair = namedtuple("Pair", "low high")

    @dataclasses.dataclass
    class Point:
        x: float

    value = {
        "b": (np.float32(0.5), np.int64(3), np.bool_(True), None),
        "a": [float("nan"), float("inf"), np.float64("-inf")],
        "c": {"array": np.arange(2), "jax": jnp.float32(0.25), "pair": Pair(1, 2)},
        "d": [Point(1.5), Path("x/y"), jnp.bfloat16(1.5), jnp.array([jnp.nan])],
        7: "é",
    }
    text = files.json_text(value)

    def refuse(constant):
        raise AssertionError(f"not JSON: {constant}")

    assert json.loads(text, parse_constant=refuse) == {
        "7": "é",
        "a": [None, None, None],
        "b": [0.5, 3, True, None],
        "c": {"array": [0, 1], "jax": 0.25, "pair": {"low": 1, "high": 2}},
        "d": [{"x": 1.5}, "x/y", 1.5, [None]],
    }
    assert list(json.loads(text)) == ["7", "a", "b", "c", "d"]
    assert text.endswith("}\n")


def test_json_gives_floats_back_exactly():
    numbers = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 1e23]
    assert json.loads(files.json_text([numbers, np.array(numbers)])) == [numbers] * 2


def test_json_names_the_part_that_it_cannot_write():
    with pytest.raises(TypeError, match=r"value\.losses\[1\] must be .*, got set"):
        files.json_text({"losses": [1, {2}]})
    with pytest.raises(TypeError, match=r"keys of value\.a must be strings, got \(1,"):
        files.json_text({"a": {(1, 2): 3}})


def test_csv_has_the_columns_of_all_rows():
    rows = [{"loss": "a,b", "l2": 0.1}, {"loss": "c", "l2": np.nan, "seed": 3}]
    read = list(csv.DictReader(io.StringIO(files.csv_text(rows))))
    assert read == [
        {"loss": "a,b", "l2": "0.1", "seed": ""},
        {"loss": "c", "l2": "", "seed": "3"},
    ]


def test_npz_of_equal_arrays_is_equal_and_numpy_reads_it(tmp_path):
    arrays = {"x": np.arange(6.0).reshape(2, 3), "names": np.array(["a", "bc"])}
    first = files.npz_bytes(arrays)
    # JAX has it in float32.
    assert files.npz_bytes({**arrays, "x": jnp.asarray(arrays["x"])}) != first
    assert files.npz_bytes(dict(arrays)) == first
    path = tmp_path / "a.npz"
    path.write_bytes(first)
    with zipfile.ZipFile(path) as archive:
        dates = {entry.date_time for entry in archive.infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}  # The earliest that the format can hold.
    with np.load(path, allow_pickle=False) as read:
        assert set(read) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array, strict=True)


@pytest.mark.parametrize("array", [np.array([{}]), jnp.ones(2, jnp.bfloat16)])
def test_npz_refuses_what_numpy_could_not_read(array):
    with pytest.raises(TypeError, match="bad must hold numbers or text, got dtype"):
        files.npz_bytes({"bad": array})


# Writes cut off

# Writes without pause.
WRITER = """
import itertools, pathlib, sys
from experiments.common.run_folder import RunFolder
folder = RunFolder(pathlib.Path(sys.argv[1]))
for i in itertools.count():
    folder.write_json("results.json", [i] * 20_000)
    print(i, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_kill_leaves_whole_files(folder):
    process = processes.start("-c", WRITER, folder.path)
    for _ in range(2):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    processes.finish(process)
    written = folder.read_json("results.json")
    assert written == [written[0]] * 20_000
    with folder.running():
        assert not list(folder.path.glob(PARTIAL_PATTERN))


def test_what_a_kill_left_half_written_is_removed(folder):
    (folder.path / "figures").mkdir()
    for name in (".results.json.123.partial", "figures/.checkpoint.npz.partial"):
        (folder.path / name).write_text("{")
    with folder.running():
        assert not list(folder.path.rglob(PARTIAL_PATTERN))
