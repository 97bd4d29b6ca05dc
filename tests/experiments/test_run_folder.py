"""A run folder tells how a run went, refuses wrong commands, and loses nothing."""

import os
import subprocess

import jax
import numpy as np
import pytest
import run_helpers
from run_helpers import FOLDER_CONFIG

from experiments.common import environment, open_run, run_folder
from jaxlin import plotting

# The folder


def test_new_run_holds_its_config_environment_and_status(folder):
    assert folder.read_json("config.json") == FOLDER_CONFIG
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
            run_helpers.full_disk(monkeypatch)
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
    for dataset in ("digits", "digits", "some/where/my data.npz", ""):
        path = open_run.default_path("svm", dataset, root=tmp_path)
        run_folder.create(path, config={})
        paths.append(path.name)
    assert len(set(paths)) == 4
    assert paths[0].startswith("svm-digits-20")
    assert paths[2].startswith("svm-my-data-20")
    assert paths[3].startswith("svm-20")


def test_an_empty_folder_may_be_given(tmp_path):
    assert (
        run_folder.create(tmp_path, config=FOLDER_CONFIG).read_json("config.json")
        == FOLDER_CONFIG
    )


# Resuming


def test_differing_fields_are_those_that_json_would_tell_apart():
    saved = {"same": [1, 2], "l2": [0.1], "gone": 1, "null": None}
    given = {"same": (1, 2), "l2": (0.1, 1.0), "new": 2, "null": None}
    assert open_run.differing_fields(saved, given) == {
        "l2": ([0.1], [0.1, 1.0]),
        "gone": (1, None),
        "new": (None, 2),
    }


def test_a_null_field_is_not_an_absent_one():
    assert open_run.differing_fields({"a": None}, {}) == {"a": (None, None)}


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
