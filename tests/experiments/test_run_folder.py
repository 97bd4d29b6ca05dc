"""A run folder survives kills, full disks and wrong commands, and loses nothing."""

import csv
import dataclasses
import errno
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections import namedtuple
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import environment, files, run_folder
from jaxlin import plotting
from jaxlin.files import PARTIAL_PATTERN

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"dataset": "digits", "l2": [1e-4, 1e-3]}


@pytest.fixture
def folder(tmp_path):
    return run_folder.create(tmp_path / "run", config=CONFIG)


def _full_disk(monkeypatch, when=lambda: True):
    """Makes the system report a full disk when data are forced to it."""
    really = os.fsync

    def fsync(descriptor):
        if when():
            raise OSError(errno.ENOSPC, "No space left on device")
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def _python(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


# Files


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


@pytest.mark.parametrize("number", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 1e23])
def test_json_gives_floats_back_exactly(number):
    assert json.loads(files.json_text([number, np.float64(number)])) == [number] * 2


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


def test_a_disk_that_fills_up_half_way_leaves_whole_files(folder):
    """A real partial write: the system refuses files of more than 2000 bytes."""
    pytest.importorskip("resource")
    folder.write_json("results.json", [1])
    folder.append_metrics({"step": 0})
    code = """
        import pathlib, resource, sys
        from experiments.common.run_folder import RunFolder
        folder = RunFolder(pathlib.Path(sys.argv[1]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        for act in (
            lambda: folder.write_json("results.json", list(range(10_000))),
            lambda: folder.append_metrics({"step": 1, "text": "x" * 10_000}),
        ):
            try:
                act()
            except OSError as error:
                print(error.strerror)
    """
    process = _python(code, folder.path)
    output, errors = process.communicate(timeout=60)
    assert errors == ""
    assert output.count("cannot write") == 2
    assert folder.read_json("results.json") == [1]
    assert (folder.path / "metrics.jsonl").read_text() == '{"step": 0}\n'
    assert not list(folder.path.glob(PARTIAL_PATTERN))


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_kill_leaves_whole_files(folder):
    """Killed while it writes without pause, at growing delays."""
    code = """
        import itertools, pathlib, sys
        from experiments.common.run_folder import RunFolder
        folder = RunFolder(pathlib.Path(sys.argv[1]))
        for i in itertools.count():
            folder.write_json("results.json", [i] * 20_000)
            folder.append_metrics(*({"step": i, "text": "x" * 999} for _ in range(99)))
            print(i, flush=True)
    """
    for delay in range(1, 4):
        (folder.path / "metrics.jsonl").unlink(missing_ok=True)
        process = _python(code, folder.path)
        for _ in range(delay):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        written = folder.read_json("results.json")
        assert written == [written[0]] * 20_000
        assert len(folder.read_metrics()) >= 99 * delay
        with folder.running():
            steps = [record["step"] for record in folder.read_metrics()]
            assert (folder.path / "metrics.jsonl").read_bytes().endswith(b"}\n")
            assert not list(folder.path.glob(PARTIAL_PATTERN))
        assert steps == sorted(steps)


def test_what_a_kill_left_half_written_is_removed(folder):
    (folder.path / "figures").mkdir()
    leftovers = [
        folder.path / ".results.json.123.partial",
        folder.path / "figures" / ".checkpoint.npz.partial",
    ]
    for leftover in leftovers:
        leftover.write_text("{")
    with folder.running():
        assert not any(leftover.exists() for leftover in leftovers)


# Metrics


def test_torn_last_line_is_dropped_before_the_next_is_written(folder):
    folder.append_metrics({"step": 0}, {"step": 1})
    with open(folder.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "lo')
    assert [record["step"] for record in folder.read_metrics()] == [0, 1]
    with folder.running():
        folder.append_metrics({"step": 2, "loss": np.float32("nan")})
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert lines == ['{"step": 0}', '{"step": 1}', '{"loss": null, "step": 2}']


def test_resuming_at_a_checkpoint_repeats_no_record(folder):
    folder.append_metrics(*({"step": step} for step in range(5)))
    folder.truncate_metrics(lambda record: record["step"] <= 2)
    folder.append_metrics(*({"step": step} for step in range(3, 5)))
    assert [record["step"] for record in folder.read_metrics()] == [0, 1, 2, 3, 4]


def test_damage_inside_the_metrics_is_named(folder):
    (folder.path / "metrics.jsonl").write_text('{"step": 0}\n{"st\n{"step": 2}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl must .* damaged line 2"):
        folder.read_metrics()


def test_full_disk_takes_back_the_lines_it_could_not_keep(folder, monkeypatch):
    folder.append_metrics({"step": 0})
    counter = itertools.count()
    _full_disk(monkeypatch, when=lambda: next(counter) == 0)
    with pytest.raises(OSError, match=r"cannot write .*metrics.jsonl: No space"):
        folder.append_metrics({"step": 1})
    folder.append_metrics({"step": 2})
    assert [record["step"] for record in folder.read_metrics()] == [0, 2]


# The folder


def test_new_run_holds_its_config_environment_and_status(folder):
    assert folder.read_json("config.json") == CONFIG
    assert folder.status == ""
    with folder.running() as same:
        assert same is folder
        assert folder.status == "running"
    assert folder.status == "done"
    facts = folder.read_json("environment.json")
    assert facts["versions"]["jax"] == jax.__version__
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["device"] == {"platform": "cpu", "kind": "cpu", "count": 8}
    assert facts["machine"]["cores"] == os.cpu_count()
    assert "device_count=8" in facts["variables"]["XLA_FLAGS"]
    assert facts["variables"]["JAX_PLATFORMS"] == "cpu"
    assert facts["command"].startswith("python")
    assert facts["started"].endswith("+00:00")


def test_later_starts_are_recorded_beside_the_first(folder):
    for _ in range(3):
        with folder.running():
            pass
    facts = folder.read_json("environment.json")
    assert len(facts["resumed"]) == 2
    assert facts["resumed"][0]["versions"] == facts["versions"]


def test_failure_is_recorded_and_raised(folder):
    with pytest.raises(RuntimeError, match="broken"), folder.running():
        raise RuntimeError("broken\nin two lines")
    assert folder.status == "failed: RuntimeError: broken in two lines"


def test_interrupt_is_recorded_and_tells_how_to_continue(folder, capsys):
    with pytest.raises(KeyboardInterrupt), folder.running():
        raise KeyboardInterrupt
    assert folder.status == "interrupted"
    assert f"--resume {folder.path}" in capsys.readouterr().err


def test_full_disk_does_not_hide_the_first_error(folder, monkeypatch):
    def run():
        with folder.running():
            _full_disk(monkeypatch)
            raise RuntimeError("first")

    with pytest.raises(RuntimeError, match="first"):
        run()
    assert folder.status == "running"


@pytest.mark.skipif(os.name != "posix", reason="needs file locks")
def test_two_processes_do_not_share_a_folder(folder):
    with (
        folder.running(),
        pytest.raises(ValueError, match="must not be in use"),
        run_folder.RunFolder(folder.path).running(),
    ):
        pass
    with folder.running():
        pass


def test_figure_is_a_png_and_equal_figures_are_equal_files(folder):
    contents = []
    for _ in range(2):
        figure, axes = plotting.new_figure(width=3, height=2)
        plotting.learning_curves(axes[0, 0], [0, 1], [[1.0, 2.0]], label="a")
        path = folder.write_figure("curves", figure)
        contents.append(path.read_bytes())
    assert path == folder.path / "figures" / "curves.png"
    assert contents[0].startswith(b"\x89PNG")
    assert contents[0] == contents[1]


def test_default_folder_is_named_after_the_run_and_never_reused(tmp_path):
    paths = []
    for dataset in ("digits", "digits", "some/where/my data.npz"):
        path = run_folder.default_path("svm", dataset, root=tmp_path)
        run_folder.create(path, config={})
        paths.append(path.name)
    assert len(set(paths)) == 3
    assert paths[0].startswith("svm-digits-20")
    assert paths[2].startswith("svm-my-data-20")


def test_an_empty_folder_may_be_given(tmp_path):
    assert run_folder.create(tmp_path, config=CONFIG).read_json("config.json") == CONFIG


def _is_a_file(path):
    path.write_text("precious")
    return path


def _lies_under_a_file(path):
    return _is_a_file(path) / "run"


def _holds_a_run(path):
    return run_folder.create(path, config={"precious": 1}).path


def _holds_files(path):
    path.mkdir()
    (path / "notes.txt").write_text("precious")
    return path


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_is_a_file, r"out must be a folder, got .*run, where .*run is a file"),
        (_lies_under_a_file, r"out must be a folder, got .*run, where .*run is a file"),
        (_holds_a_run, r"out must be new or empty, got .*continue .* --resume"),
        (_holds_files, r"out must be new or empty, got .*choose another with --out"),
    ],
)
def test_out_that_cannot_be_used_is_refused_untouched(tmp_path, prepare, message):
    out = prepare(tmp_path / "run")

    def everything():
        return {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}

    before = everything()
    with pytest.raises(ValueError, match=message):
        run_folder.create(out, config=CONFIG)
    assert everything() == before


def test_out_on_a_full_disk_leaves_no_folder(tmp_path, monkeypatch):
    _full_disk(monkeypatch)
    with pytest.raises(ValueError, match=r"out must be a folder that can be written"):
        run_folder.create(tmp_path / "run", config=CONFIG)
    assert not (tmp_path / "run").exists()


# Resuming


def test_differing_fields_are_those_that_json_would_tell_apart():
    saved = {"same": [1, 2], "l2": [0.1], "gone": 1, "null": None}
    given = {"same": (1, 2), "l2": (0.1, 1.0), "new": 2, "null": None}
    assert run_folder.differing_fields(saved, given) == {
        "l2": ([0.1], [0.1, 1.0]),
        "gone": (1, None),
        "new": (None, 2),
    }


def test_a_null_field_is_not_an_absent_one():
    assert run_folder.differing_fields({"a": None}, {}) == {"a": (None, None)}


def test_resume_continues_only_the_same_config(folder):
    options = {"experiment": "svm", "dataset": "digits", "resume": folder.path}
    same = {"dataset": "digits", "l2": (1e-4, 1e-3)}
    assert run_folder.open_run(config=same, **options) == folder
    with pytest.raises(
        ValueError, match=r"l2 is \[0.0001, 0.001\] in the run and \[0.1\] now"
    ):
        run_folder.open_run(config={**same, "l2": [0.1]}, **options)
    with pytest.raises(ValueError, match=r"--out must not be given with --resume"):
        run_folder.open_run(config=same, out=Path("elsewhere"), **options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a run folder must hold config.json, got"),
        ("", r"config.json must hold valid JSON, got"),
        ('{"l2": [', r"config.json must hold valid JSON, got"),
        (b"\xff\xfe", r"config.json must hold valid JSON, got"),
        ("[1]", r"config.json must hold a JSON object, got list"),
    ],
)
def test_resuming_what_is_no_run_says_so(tmp_path, content, message):
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "config.json").write_bytes(data)
    with pytest.raises(ValueError, match=message):
        run_folder.resume_run(tmp_path, config=CONFIG)


def test_resuming_nothing_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"got .*nowhere \(no such folder\)"):
        run_folder.resume_run(tmp_path / "nowhere", config=CONFIG)


# The environment


def test_git_state_is_of_this_folder_alone(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    assert environment.git_state(tmp_path) is None
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    state = environment.git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "code.py").write_text("")
    assert environment.git_state(tmp_path)["dirty"] is True
    assert environment.git_state(tmp_path / "copy") is None
