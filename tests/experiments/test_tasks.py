"""Parts of a run, measured by tasks in any order, make the run of one process."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import processes
import pytest
import sweep_problems
from run_helpers import contents, main, stopped

from experiments.common import tasks
from experiments.common.cli import RunOptions
from experiments.common.tasks import TaskPart
from experiments.probe import source
from jaxlin.io import checkpoint

LAUNCH = processes.ROOT / "experiments" / "launch"
# The same in whatever order parts were measured, and by whom.
KEPT = re.compile(r"(parts/.*|results.csv|samples.json|figures/.*|.*sweep.npz)")


@pytest.fixture(scope="module", autouse=True)
def small_features():
    """Random features in the shape of the sweeps of other tests."""
    sizes = {"_TRAIN": "EXAMPLES", "_TEST": "EXAMPLES", "_FEATURES": "WIDTH"}
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(source, name, getattr(sweep_problems, size))
        yield


def run(*flags, name="probe"):
    """Runs a command line that ends well."""
    code, errors = main("--smoke", *flags, name=name)
    assert code == 0, errors


def kept(folder):
    """Contents of the files that hold results, without seconds."""
    found = {}
    for name, content in contents(folder).items():
        if content is not None and KEPT.fullmatch(name):
            is_part = name.endswith(".json") and name.startswith("parts/")
            found[name] = json.loads(content)["numbers"] if is_part else content
    assert "results.csv" in found
    return found


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory):
    """Folder of a probe whose parts one process has measured in turn."""
    out = tmp_path_factory.mktemp("tasks") / "in-turn"
    run("--out", out, "--parts", 3)
    return out


def test_a_probe_of_tasks_is_that_of_one_process(in_turn, tmp_path):
    """In another order; a task is killed, one never starts, and both are named."""
    out = tmp_path / "run"
    run("--out", out, "--part", "2/3")

    def has_finished(path, tree, metadata):
        return len(metadata["finished"]) >= 1

    with stopped(checkpoint, "save", now=has_finished):
        main("--smoke", "--out", out, "--part", "3/3", name="probe")
    code, errors = main("--merge", out, name="probe")
    assert code == 2
    named = f"error: --merge must find all 3 parts of {out} done, got 1/3 (not started)"
    assert errors.startswith(f"{named}, 3/3 (failed: _Stopped:); run python -m ")
    assert not (out / "config.json").exists()
    config = out / "part-2-of-3" / "config.json"
    command = f"experiments.probe --config {config} --out {out} --part 1/3, and so"
    assert command in errors
    code, errors = main("--config", config, "--out", out, "--part", "1/3", name="probe")
    assert code == 0, errors
    run("--out", out, "--part", "3/3")
    assert not (out / "results.json").exists()
    code, errors = main("--merge", out, name="probe")
    assert code == 0, errors
    assert kept(out) == kept(in_turn)
    assert (out / "STATUS").read_text() == "done\n"
    config = json.loads((out / "config.json").read_text())
    assert config == json.loads((in_turn / "config.json").read_text())
    assert config["parts"] == 3
    # A finished part, given again, is read.
    before = (out / "part-3-of-3" / "sweep.npz").stat().st_mtime_ns
    run("--out", out, "--part", "3/3")
    assert (out / "part-3-of-3" / "sweep.npz").stat().st_mtime_ns == before


def test_a_part_of_another_run_is_refused_by_name(in_turn, tmp_path):
    out = shutil.copytree(in_turn, tmp_path / "run")
    code, errors = main(
        *("--smoke", "--out", out, "--part", "2/3", "--seed", 1), name="probe"
    )
    assert code == 2
    assert "part-2-of-3, but seed is 0 in the run and 1 now" in errors
    path = out / "part-2-of-3" / "config.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    code, errors = main("--merge", out, name="probe")
    assert code == 2
    assert "part-2-of-3, but seed is 1 in the run and 0 now" in errors
    # The config alone was changed back: the file itself knows its inputs.
    shutil.copy(in_turn / "part-2-of-3" / "config.json", path)
    shutil.copy(
        in_turn / "part-1-of-3" / "sweep.npz", out / "part-2-of-3" / "sweep.npz"
    )
    (out / "parts" / "probe.json").unlink()
    code, errors = main("--merge", out, name="probe")
    assert code == 2
    assert "part-2-of-3/sweep.npz must be of a sweep of the same facts" in errors


def test_samples_of_tasks_are_those_of_one_process(finished_study, tmp_path):
    """Each sample has sweeps of its own: parts change no number at all."""
    name, out = "cross_validation", tmp_path / "run"
    for part in ("2/2", "1/2"):
        run("--out", out, "--part", part, name=name)
    numbers = [
        [
            row["sample"]
            for row in json.loads((part / "samples.json").read_text())["rows"]
        ]
        for part in sorted(out.glob("part-*"))
    ]
    assert numbers == [[0, 2], [1]]
    code, errors = main("--merge", out, name=name)
    assert code == 0, errors
    whole = kept(finished_study(name).run.folder.path)
    found = kept(out)
    assert {name: found[name] for name in whole} == whole


@pytest.mark.parametrize(
    ("name", "flags", "words"),
    [
        ("probe", ("--part", "3/2", "--out", "x"), "--part must be K/N with K from 1"),
        (
            "probe",
            ("--part", "3", "--out", "x"),
            "must be K/N with K from 1 to N, got 3",
        ),
        ("probe", ("--part", "1/2"), "--part must be given with --out, the folder"),
        ("probe", ("--part", "1/2", "--out", "x", "--parts", "3"), "of the 3 parts"),
        ("probe", ("--part", "1/13", "--out", "x"), "parts must be at most 12, got 13"),
        ("cross_validation", ("--parts", "4", "--out", "x"), "parts must be at most 3"),
        ("train_sgd", ("--part", "1/2", "--out", "x"), "that can be dealt to tasks"),
        (
            "probe",
            ("--merge", "x"),
            "must hold folders part-1-of-N, ..., got x .no such",
        ),
    ],
)
def test_flags_that_do_not_go_together(name, flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smoke = () if "--merge" in flags else ("--smoke",)
    code, errors = main(*smoke, *flags, name=name)
    assert code == 2
    assert re.search(words, errors), errors
    assert list(tmp_path.iterdir()) == []


def test_a_merge_goes_where_its_parts_are(in_turn):
    with pytest.raises(ValueError, match="--merge must be given without --out"):
        tasks.asked(RunOptions(merge=in_turn, out=Path("x")))
    assert tasks.asked(RunOptions(merge=in_turn)) is None


def test_parts_of_a_list_are_all_of_it():
    items = np.arange(11)
    some = [items[part.every] for part in tasks.all_parts(4)]
    assert sorted(np.concatenate(some)) == items.tolist()
    assert some[2].tolist() == [2, 6, 10]
    assert TaskPart(3, 4) in tasks.all_parts(4)


def shell_command_of_manifest():
    """The folded scalar of the container's command."""
    text = (LAUNCH / "kubernetes_job.yaml").read_text()
    (block,) = re.findall(r"- >-\n((?:              .*\n)+)", text)
    return " ".join(block.split())


@pytest.mark.full
@pytest.mark.parametrize("system", ["slurm", "kubernetes"])
def test_launch_files_as_processes(system, tmp_path):
    """Each task is a process with the variables of its system, and so is the merge."""
    out = tmp_path / "run"
    probe = ("-m", "experiments.probe")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for number in (1, 2):
        if system == "slurm":
            experiment = ("python", *probe, "random", "--smoke")
            command = ("bash", LAUNCH / "slurm_array.sh", out, "2", *experiment)
            variables = {"SLURM_ARRAY_TASK_ID": str(number)}
        else:
            # The manifest has no preset: --smoke takes its place beside the features.
            shell = shell_command_of_manifest().replace("--out", "--smoke --out", 1)
            command = ("sh", "-c", shell)
            variables = {
                "JOB_COMPLETION_INDEX": str(number - 1),
                "PARTS": "2",
                "RUN": str(out),
                "FEATURES": "random",
            }
        task = processes.start_program(
            *command, env={**os.environ, **variables, "PATH": path}, cwd=processes.ROOT
        )
        code, _, errors = processes.finish(task)
        assert code == 0, errors
        if number == 1:
            lost = processes.start(*probe, "--merge", out, cwd=processes.ROOT)
            code, _, errors = processes.finish(lost)
            assert code == 2
            assert "got 2/2 (not started); run python -m experiments.probe" in errors
    merge = processes.start(*probe, "--merge", out, cwd=processes.ROOT)
    code, printed, errors = processes.finish(merge)
    assert code == 0, errors
    assert printed.splitlines()[-1] == str(out / "report.html")
    alone = tmp_path / "in-turn"
    whole = processes.start(
        *(*probe, "random", "--smoke", "--parts", "2", "--out", alone),
        cwd=processes.ROOT,
    )
    assert processes.finish(whole)[0] == 0
    assert kept(out) == kept(alone)
