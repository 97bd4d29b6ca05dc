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


def test_a_run_holds_its_config_environment_and_status(folder):
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
    # Later starts are recorded beside the first.
    for _ in range(2):
        with folder.running():
            pass
    again = folder.read_json("environment.json")
    resumed = again.pop("resumed")
    assert again == facts
    assert [one["versions"] for one in resumed] == [facts["versions"]] * 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("in two\nlines"), "failed: RuntimeError: in two lines"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_what_ends_a_run_is_recorded_and_raised(folder, capsys, error, status):
    with pytest.raises(type(error)), folder.running():
        raise error
    assert folder.status == status
    told = f"--resume {folder.path}" in capsys.readouterr().err
    assert told == (status == "interrupted")


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
    folder = run_folder.create(tmp_path, config=FOLDER_CONFIG)
    assert folder.read_json("config.json") == FOLDER_CONFIG


def test_differing_fields_are_those_that_json_would_tell_apart():
    saved = {"same": [1, 2], "l2": [0.1], "gone": 1, "null": None, "absent": None}
    given = {"same": (1, 2), "l2": (0.1, 1.0), "new": 2, "null": None}
    assert open_run.differing_fields(saved, given) == {
        "l2": ([0.1], [0.1, 1.0]),
        "gone": (1, None),
        "new": (None, 2),
        # A null field is not an absent one.
        "absent": (None, None),
    }


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
