"""The command line says what it does, refuses plainly and repeats exactly."""

import dataclasses
import json
import textwrap
from pathlib import Path
from typing import Literal

import processes
import pytest

from experiments import __main__ as overview
from experiments.common import cli, open_run, run_folder
from experiments.common.config import check as check_config
from experiments.common.config import from_dict
from experiments.common.files import json_ready
from experiments.studies import STUDIES
from jaxlin import check


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of a run.

    Attributes:
      dataset: name of the data set.
      l2: strengths of the penalty to try.
    """

    dataset: str = "cifar10"
    l2: tuple[float, ...] = (1e-4, 1e-3)
    seeds: tuple[int, ...] = (0, 1)
    epochs: int = 40
    momentum: float = 0.9
    augment: bool = False
    kind: Literal["a", "b"] = "a"
    limit: int | None = None
    pair: tuple[int, str] = (1, "x")
    pairs: tuple[tuple[int, int], ...] = ((1, 2),)


SMOKE = Config(dataset="digits", l2=(1e-2,), epochs=1)


def _parse(*arguments):
    return cli.parse(Config(), smoke=SMOKE, arguments=arguments, description="Why?")


# Config to JSON and back

CHANGED = Config(
    dataset="d",
    l2=(1 / 3, 1e-300),
    seeds=(),
    augment=True,
    kind="b",
    limit=7,
    pair=(2, "y"),
    pairs=((1, 2), (3, 4)),
)


@pytest.mark.parametrize("config", [Config(), SMOKE, CHANGED])
def test_config_survives_json_exactly(config):
    assert from_dict(Config, json.loads(json.dumps(json_ready(config)))) == config


def test_absent_fields_keep_their_default_and_integers_become_floats():
    config = from_dict(Config, {"l2": [1], "momentum": 0})
    assert config == Config(l2=(1.0,), momentum=0.0)
    assert type(config.momentum) is float
    assert type(config.l2[0]) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"l3": 1}, r"config has no field 'l3'; it must be one of dataset, l2"),
        (
            {"pairs": [[1, 2], [3, "y"]]},
            r"pairs\[1\]\[1\] must be of type int, got 'y'",
        ),
        ({"epochs": "ten"}, r"epochs must be of type int, got 'ten'"),
        ({"epochs": 1.5}, r"epochs must be of type int, got 1.5"),
        ({"epochs": True}, r"epochs must be of type int, got True"),
        ({"momentum": True}, r"momentum must be of type float, got True"),
        ({"momentum": None}, r"momentum must be of type float, got None"),
        ({"l2": 0.1}, r"l2 must be a list, got 0.1"),
        ({"l2": [0.1, "x"]}, r"l2\[1\] must be of type float, got 'x'"),
        ({"pair": [1]}, r"pair must be a list of 2 entries, got \[1\]"),
        ({"kind": "c"}, r"kind must be one of a, b, got 'c'"),
        ({"limit": "x"}, r"limit must be of type int, got 'x'"),
        ([1], r"config must be an object with named fields, got \[1\]"),
    ],
)
def test_values_that_do_not_fit_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(Config, values)


def test_numbers_that_json_cannot_hold_are_refused():
    with pytest.raises(ValueError, match=r"l2\[1\] must be finite, got inf"):
        check_config(Config(l2=(0.1, float("inf"))))
    with pytest.raises(ValueError, match=r"momentum must be finite, got nan"):
        from_dict(Config, {"momentum": float("nan")})


# Flags


def test_no_flag_gives_the_defaults():
    assert _parse() == (Config(), cli.RunOptions())


def test_flags_of_both_groups():
    config, options = _parse(
        *("--l2", "1e-4", "3", "--seeds", "5", "--augment"),
        *("--out", "somewhere", "--data-dir", "data"),
    )
    assert config == Config(l2=(1e-4, 3.0), seeds=(5,), augment=True)
    assert options == cli.RunOptions(out=Path("somewhere"), data_dir=Path("data"))


def test_smoke_starts_from_the_tiny_preset_and_flags_override():
    assert _parse("--smoke")[0] == SMOKE
    assert _parse("--smoke", "--epochs", "3")[0] == dataclasses.replace(SMOKE, epochs=3)


def test_saved_config_reruns_exactly_and_flags_override(tmp_path):
    folder = run_folder.create(tmp_path / "run", config=json_ready(CHANGED))
    path = str(folder.path / "config.json")
    assert _parse("--config", path)[0] == CHANGED
    config = _parse("--config", path, "--epochs", "3")[0]
    assert config == dataclasses.replace(CHANGED, epochs=3)


def test_resume_needs_no_other_flag_and_sees_the_one_that_differs(tmp_path):
    out = tmp_path / "run"

    def start(*arguments):
        config, options = _parse(*arguments)
        return open_run.open_run(config, experiment="test", options=options)

    first = ("--smoke", "--epochs", "3")
    assert start(*first, "--out", str(out)).path == out
    assert start("--resume", str(out)).path == out
    assert start(*first, "--resume", str(out)).path == out
    with pytest.raises(ValueError, match=r"epochs is 3 in the run and 4 now"):
        start("--resume", str(out), "--epochs", "4")
    with pytest.raises(ValueError, match=r"epochs is 3 in the run and 1 now"):
        start("--smoke", "--resume", str(out))


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
        _parse("--help")
    assert info.value.code == 0
    shown = capsys.readouterr().out
    for word in ("Why?", "strengths of the penalty", "0.0001 0.001", "run folder to"):
        assert word in shown
    for field in dataclasses.fields(cli.RunOptions):
        assert f"--{field.name.replace('_', '-')}" in shown
    assert "None" not in shown.replace("{None}|INT", "").replace(
        "(default: None)", "", 1
    )


# Errors


def _main(capsys, run):
    with pytest.raises(SystemExit) as info:
        cli.main(run)
    return info.value.code, capsys.readouterr().err


def test_error_in_the_input_is_one_line_and_code_2(capsys, monkeypatch):
    monkeypatch.delenv("JAXLIN_DEBUG", raising=False)
    code, shown = _main(capsys, lambda: check.integer("batch_size", 0, at_least=1))
    assert code == 2
    assert shown == "error: batch_size must be at least 1, got 0\n"


def test_system_errors_are_plain_too(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("JAXLIN_DEBUG", raising=False)
    code, shown = _main(capsys, lambda: (tmp_path / "gone").read_text())
    assert code == 2
    assert shown == f"error: No such file or directory: {tmp_path / 'gone'}\n"


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


def test_interrupt_ends_with_code_130(capsys):
    def run():
        raise KeyboardInterrupt

    assert _main(capsys, run) == (130, "")


@pytest.mark.parametrize("resumed", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_run_from_the_shell(tmp_path, resumed):
    """The outline of an experiment: run, refuse the same folder, resume."""
    (tmp_path / "experiment.py").write_text(
        textwrap.dedent(
            """
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
        )
    )

    def shell(*arguments):
        return processes.finish(
            processes.start("experiment.py", *arguments, cwd=tmp_path)
        )

    code, printed, errors = shell("--smoke", "--out", "run")
    assert (code, errors) == (0, "")
    assert printed.splitlines()[-1] == "run/report.html"
    assert json.loads((tmp_path / "run/config.json").read_text()) == {"epochs": 1}
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["command"] == "python experiment.py --smoke --out run"
    code, _, errors = shell("--smoke", "--out", "run")
    assert code == 2
    assert errors.startswith("error: out must be new or empty, got run; continue")
    assert "Traceback" not in errors
    if resumed:
        assert shell("--resume", "run")[0] == 0
    assert (tmp_path / "run/STATUS").read_text() == "done\n"
