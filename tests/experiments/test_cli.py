"""The command line says what it does, refuses plainly and repeats exactly."""

import dataclasses
import json
import os
import sys
import types
from pathlib import Path

import processes
import pytest

from experiments import __main__ as overview
from experiments.common import cli, open_run, program_cache, run_folder
from experiments.common import progress as progress_module
from experiments.common.files import json_ready
from experiments.common.progress import progress
from experiments.studies import STUDIES
from jaxlin import check


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes:
      dataset: name of the data set.
      l2: penalties to try.
    """

    dataset: str = "cifar10"
    l2: tuple[float, ...] = (1e-4, 1e-3)
    seeds: tuple[int, ...] = (0, 1)
    epochs: int = 40
    augment: bool = False
    limit: int | None = None


SMOKE = Config(dataset="digits", l2=(1e-2,), epochs=1)
SAVED = Config(dataset="d", l2=(1 / 3, 1e-300), seeds=(), augment=True, limit=7)


def parse(*arguments):
    return cli.parse(Config(), smoke=SMOKE, arguments=arguments, description="Why?")


@pytest.fixture
def saved(tmp_path):
    """Path of the config of an earlier run."""
    folder = run_folder.create(tmp_path / "saved", config=json_ready(SAVED))
    return str(folder.path / "config.json")


def test_flags_override_the_values_that_a_command_starts_from(saved):
    for start, values in (
        ((), Config()),
        (("--smoke",), SMOKE),
        (("--config", saved), SAVED),
    ):
        assert parse(*start)[0] == values
        assert parse(*start, "--epochs", "3")[0] == dataclasses.replace(
            values, epochs=3
        )


def test_flags_of_both_groups():
    assert parse()[1] == cli.RunOptions()
    config, options = parse(
        *("--l2", "1e-4", "3", "--seeds", "5", "--augment"),
        *("--out", "somewhere", "--data-dir", "data"),
    )
    assert config == Config(l2=(1e-4, 3.0), seeds=(5,), augment=True)
    assert options == cli.RunOptions(out=Path("somewhere"), data_dir=Path("data"))


def test_resume_needs_no_other_flag_and_sees_the_one_that_differs(tmp_path):
    out = tmp_path / "run"

    def start(*arguments):
        config, options = parse(*arguments)
        return open_run.open_run(config, experiment="test", options=options)

    first = ("--smoke", "--epochs", "3")
    assert start(*first, "--out", str(out)).path == out
    assert start("--resume", str(out)).path == out
    assert start(*first, "--resume", str(out)).path == out
    with pytest.raises(ValueError, match=r"epochs is 3 in the run and 4 now"):
        start("--resume", str(out), "--epochs", "4")
    with pytest.raises(ValueError, match=r"epochs is 3 in the run and 1 now"):
        start("--smoke", "--resume", str(out))


def test_a_package_may_have_its_docstring_in_its_main_file_alone(tmp_path):
    (tmp_path / "penalty").mkdir()
    (tmp_path / "penalty/__main__.py").write_text('"""Which penalty?"""')
    listed = overview.table(tmp_path).split(maxsplit=3)
    assert listed[2:] == ["experiments.penalty", "Which penalty?"]


def test_the_list_of_experiments_is_complete():
    lines = overview.table().splitlines()
    commands = [line.split()[2] for line in lines]
    assert commands == sorted(commands)
    named = {name.removeprefix("experiments.") for name in commands}
    assert named >= {*STUDIES, "svm_vs_softmax", "lecture", "small_data", "page"}
    # Neither shared modules nor this list is an experiment.
    assert not named & {"common", "studies", "__main__"}
    assert all(len(line.split()) > 5 for line in lines)


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit) as info:
        parse("--help")
    assert info.value.code == 0
    shown = capsys.readouterr().out
    for word in ("Why?", "penalties to try", "0.0001 0.001", "run folder to"):
        assert word in shown
    for field in dataclasses.fields(cli.RunOptions):
        assert f"--{field.name.replace('_', '-')}" in shown
    # Of the one field that may be None.
    shown = shown.replace("{None}|INT", "").replace("(default: None)", "", 1)
    assert "None" not in shown


# Errors


def interrupted():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("run", "code", "shown"),
    [
        (
            lambda: check.integer("batch_size", 0, at_least=1),
            2,
            "error: batch_size must be at least 1, got 0\n",
        ),
        (
            lambda: Path("/gone").read_text(),
            2,
            "error: No such file or directory: /gone\n",
        ),
        (interrupted, 130, ""),
    ],
)
def test_what_the_user_did_is_one_line_and_a_code(
    capsys, monkeypatch, run, code, shown
):
    monkeypatch.delenv("JAXLIN_DEBUG", raising=False)
    with pytest.raises(SystemExit) as info:
        cli.main(run)
    assert (info.value.code, capsys.readouterr().err) == (code, shown)


def test_debug_keeps_the_traceback(monkeypatch):
    monkeypatch.setenv("JAXLIN_DEBUG", "1")
    with pytest.raises(ValueError, match="must be at least 1"):
        cli.main(lambda: check.integer("batch_size", 0, at_least=1))


def test_faults_of_the_program_keep_their_traceback(monkeypatch):
    monkeypatch.delenv("JAXLIN_DEBUG", raising=False)
    with pytest.raises(ValueError, match="invalid literal"):
        cli.main(lambda: json.loads("1", parse_int=lambda _: int("x")))
    with pytest.raises(ZeroDivisionError):
        cli.main(lambda: 1 / 0)


PROGRAM = """
import dataclasses
from experiments.common import cli, open_run

@dataclasses.dataclass(frozen=True)
class Config:
    epochs: int = 40

def run(config, options):
    folder = open_run.open_run(config, experiment="e", options=options)
    with folder.running():
        page = folder.write_text("report.html", "")
    print(page)

cli.main(lambda: run(*cli.parse(Config(), smoke=Config(epochs=1))))
"""


def test_a_run_from_the_shell(tmp_path):
    """The outline of an experiment: run, refuse the same folder."""
    (tmp_path / "experiment.py").write_text(PROGRAM)

    def shell():
        flags = ("--smoke", "--out", "run")
        started = processes.start("experiment.py", *flags, cwd=tmp_path)
        return processes.finish(started)

    code, printed, errors = shell()
    assert (code, errors) == (0, "")
    assert printed.splitlines()[-1] == "run/report.html"
    assert json.loads((tmp_path / "run/config.json").read_text()) == {"epochs": 1}
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["command"] == "python experiment.py --smoke --out run"
    code, _, errors = shell()
    assert code == 2
    assert errors.startswith("error: out must be new or empty, got run; continue")
    assert "Traceback" not in errors
    assert (tmp_path / "run/STATUS").read_text() == "done\n"


# Progress


def test_without_a_terminal_lines_are_rare_and_the_last_is_whole(capsys, monkeypatch):
    """Thirty steps of .4 s, by a clock that is set by hand: a line after 10 s."""
    now = types.SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(
        progress_module, "time", types.SimpleNamespace(monotonic=lambda: now.seconds)
    )
    with progress("training", total=100, unit="epochs", done=40) as advance:
        for step in range(30):
            now.seconds += 0.4
            advance(2, f"loss {step}")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "training: 90/100 epochs in 10.0 s, 2 s left, loss 24",
        "training: 100/100 epochs in 12.0 s, loss 29",
    ]


def test_on_a_terminal_one_line_is_written_again(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(progress_module, "_SECONDS_ON_A_TERMINAL", 0)
    with progress("training", total=2, unit="epochs") as advance:
        advance(1, "loss 0.5")
        advance(1, "a note that is wider than the terminal")
    before, first, last, end = capsys.readouterr().err.split("\r\33[2K")
    assert before == ""
    assert first.startswith("training: 1/2 epochs in 0.0 s, 0 s left")
    assert last.startswith("training: 2/2 epochs in 0.0 s, a note t")
    assert end == last + "\n"
    assert len(last) == len(first) == 39


# Programs kept between runs

DAMAGES_AN_ENTRY = """
import warnings
import jax, jax.numpy as jnp
from experiments.common import program_cache

folder = program_cache.enable()
run = jax.jit(lambda x: jnp.sin(x).sum())
run(jnp.ones(3))
(entry,) = folder.glob("jit__lambda-*-cache")
whole = entry.read_bytes()
entry.write_bytes(whole[:50])
jax.clear_caches()
run(jnp.ones(3))
print(len(entry.read_bytes()) > 50)
warnings.warn("another warning is shown")
"""


def test_a_damaged_entry_costs_a_compilation_and_no_warning(tmp_path):
    names = {"JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"}
    environment = {name: os.environ[name] for name in os.environ if name not in names}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    process = processes.start("-c", DAMAGES_AN_ENTRY, env=environment)
    code, printed, complained = processes.finish(process)
    assert (code, printed.strip()) == (0, "True"), complained
    assert "Error reading" not in complained
    assert "another warning is shown" in complained
    (folder,) = (tmp_path / "jaxlin" / "programs").iterdir()
    assert folder.name.startswith("jaxlib-")


def test_the_variable_of_jax_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    assert program_cache.enable() is None
