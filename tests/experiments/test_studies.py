"""Every study keeps one contract: files, results, page, resume, refusals."""

import contextlib
import dataclasses
import importlib
import json
import shutil

import numpy as np
import pytest
from run_helpers import compiled_programs, contents, quick_pictures, run_study
from strict_page import Page, assert_stands_alone

from experiments import page as page_command
from experiments.common import cli, run_folder, study
from experiments.common import config as configs
from experiments.common.config import to_dict
from experiments.common.run_folder import RunFolder
from experiments.studies import STUDIES

# Files that hold times or the machine.
_OF_A_START = {"environment.json", "report.html", "results.json"}


# Those that measure seconds, which are others in every run.
TIMED = {"nearest_neighbor", "benchmark_neighbors", "benchmark_sweep"}
# Those that run with --full only.
LONG = {*TIMED, "error_decomposition"}


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.full] * (name in LONG))
        for name in STUDIES
    ]
)
def whole(request, finished_study):
    """A study, the folder of a run that was never stopped, and what it printed."""
    made, run, printed = finished_study(request.param)
    return made, run.folder.path, printed


def settled(made):
    """The config of a smoke test, with what its data decide."""
    smoke = made.presets["smoke"]
    dataset, _ = made.load(smoke, None)
    return made.settle(smoke, dataset)


def parts_of(made):
    return list(made.parts(settled(made)))


def test_a_run_leaves_its_files(whole):
    made, out, printed = whole
    assert (out / "STATUS").read_text() == "done\n"
    assert printed.splitlines()[-1] == str(out / "report.html")
    config = json.loads((out / "config.json").read_text())
    assert config == to_dict(settled(made))
    saved = json.loads((out / "results.json").read_text())
    assert saved.keys() == {"study", "parts", "seconds"}
    assert saved["study"] == made.name
    assert set(saved["parts"]) == set(saved["seconds"]) == set(parts_of(made))
    for seconds in saved["seconds"].values():
        assert seconds.keys() == {"compile", "run"}
    headlines = made.headlines(saved["parts"])
    assert headlines
    assert all(np.isfinite(value) for value in headlines.values())
    assert all(name in printed for name in headlines)
    assert len((out / "results.csv").read_text().splitlines()) > 1


def test_its_page_is_well_formed_and_shows_every_figure(whole):
    made, out, _ = whole
    text = (out / "report.html").read_text()
    page = Page(text)
    assert_stands_alone(page)
    assert len(page.images) == len(list((out / "figures").iterdir())) > 0
    assert all(image["alt"] for image in page.images)
    assert len(set(page.ids)) == len(page.ids) > 2
    assert page.links == [f"#{name}" for name in page.ids]
    assert page.text["h2"][-1] == "Run"
    assert f"python -m experiments.{made.name}, run run" in text
    assert (
        json.loads((out / "environment.json").read_text())["command"]
        in (page.text["pre"])
    )
    shown = page.text["main"][0]
    # A placeholder that was never filled in.
    assert not {"{", "}", "%s", "None", "nan"} & set(shown.split())
    assert "{{" not in shown
    assert all(f"{name}" in shown for name in to_dict(made.config))


def test_the_page_of_a_run_is_made_again_without_measuring(
    whole, tmp_path, monkeypatch
):
    _, finished, _ = whole
    out = tmp_path / finished.name
    shutil.copytree(finished, out)
    before = contents(out)
    (out / "report.html").unlink()
    for path in (out / "figures").iterdir():
        path.unlink()
    monkeypatch.setattr(study, "_measure", None)
    with quick_pictures():
        assert page_command.write(out) == out / "report.html"
    assert contents(out) == before


class _Killed(BaseException):
    """Ends a run as abruptly as Python can."""


@contextlib.contextmanager
def killed(*, after):
    """Ends a run between the arrays and the numbers of a part, after so many parts."""
    really, budget = run_folder.RunFolder.write_json, [after]

    def write_json(folder, name, value):
        if name.startswith("parts/"):
            if budget[0] == 0:
                raise _Killed
            budget[0] -= 1
        return really(folder, name, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder.RunFolder, "write_json", write_json)
        with pytest.raises(_Killed):
            yield


def test_a_run_killed_in_each_part_is_the_same_bit_for_bit(whole, tmp_path):
    made, out, _ = whole
    again = tmp_path / "run"
    with killed(after=0):
        run_study(made.name, out=again)
    for _ in parts_of(made)[1:]:
        assert (again / "STATUS").read_text().startswith("failed")
        assert not (again / "report.html").exists()
        with killed(after=1):
            run_study(made.name, resume=again)
    run_study(made.name, resume=again)
    if made.name in TIMED:
        assert contents(again).keys() == contents(out).keys()
    else:
        assert_same(again, out)


def assert_same(folder, other):
    """Fails unless two runs are equal bit for bit but for times and the machine."""
    found, expected = contents(folder), contents(other)
    assert found.keys() == expected.keys()
    for name in found:
        if name == "results.json" or (
            name.startswith("parts/") and name.endswith(".json")
        ):
            key = "parts" if name == "results.json" else "numbers"
            assert json.loads(found[name])[key] == json.loads(expected[name])[key]
        elif name not in _OF_A_START:
            assert found[name] == expected[name], name


BAD_CONFIGS = [
    ("error_decomposition", {"classes": ()}, "classes must not be empty"),
    (
        "error_decomposition",
        {"classes": ("forest",)},
        r"classes\[0\] must be one of pi",
    ),
    (
        "error_decomposition",
        {"train_examples": 10},
        "train_examples must be at least 20",
    ),
    ("error_decomposition", {"splits": 1}, "splits must be at least 2"),
    (
        "error_decomposition",
        {"quarter_splits": 13},
        "quarter_splits must be at most 12",
    ),
    ("error_decomposition", {"resamples": 1}, "resamples must be at least 2"),
    ("error_decomposition", {"l2": ()}, "l2 must not be empty"),
    ("error_decomposition", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    (
        "error_decomposition",
        {"sgd_learning_rates": (0.0,)},
        r"rates\[0\] must be above",
    ),
    ("error_decomposition", {"patches": 700}, "patches must be at least 800, got 700"),
    ("error_decomposition", {"threshold": -1.0}, "threshold must be at least 0"),
    ("error_decomposition", {"seeds": 1}, "seeds must be at least 2"),
    ("error_decomposition", {"dropout": 1.0}, "dropout must be below 1"),
    ("error_decomposition", {"head_l2": 0.0}, "head_l2 must be above 0"),
    (
        "error_decomposition",
        {"published_error": -0.1},
        "published_error must be at lea",
    ),
    ("error_decomposition", {"seed": 2**32}, "seed must be at most"),
    ("nearest_neighbor", {"metrics": ("hamming",)}, r"metrics\[0\] must be one of"),
    ("nearest_neighbor", {"metrics": ()}, "metrics must not be empty"),
    ("nearest_neighbor", {"metrics": ("cosine",) * 2}, "metrics must be distinct, got"),
    ("nearest_neighbor", {"ks": (0, 1)}, r"ks\[0\] must be at least 1"),
    ("nearest_neighbor", {"ks": ()}, "ks must not be empty"),
    ("nearest_neighbor", {"bandwidths": (0.0,)}, r"bandwidths\[0\] must be above 0"),
    ("nearest_neighbor", {"folds": 1}, "folds must be at least 2"),
    ("nearest_neighbor", {"seed": -1}, "seed must be at least 0"),
    ("nearest_neighbor", {"l2": 0.0}, "l2 must be above 0"),
    ("nearest_neighbor", {"noise_scale": 0.0}, "noise_scale must be above 0"),
    ("nearest_neighbor", {"local_l2": float("nan")}, "local_l2 must be finite"),
    ("nearest_neighbor", {"noise_features": (-1,)}, r"noise_features\[0\] must be at"),
    ("nearest_neighbor", {"noise_repeats": 1}, "noise_repeats must be at least 2"),
    ("nearest_neighbor", {"dimensions": (0,)}, r"dimensions\[0\] must be at least 1"),
    ("nearest_neighbor", {"train_examples": 1}, "train_examples must be at least 2"),
    ("nearest_neighbor", {"time_queries": 0}, "time_queries must be at least 1"),
    ("probe", {"answers": 1}, "answers must be at least 2"),
    ("probe", {"loss": "hinge"}, "loss must be one of softmax_cross_entropy"),
    ("probe", {"cs": (1.0, 1.0)}, "cs must be distinct"),
    ("probe", {"validation_fraction": 1.0}, "validation_fraction must be below 1"),
    ("probe", {"folds": 1}, "folds must be at least 2"),
    ("probe", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    ("probe", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("probe", {"slots": 0}, "slots must be at least 1"),
    ("probe", {"seed": -1}, "seed must be at least 0"),
    ("benchmark_neighbors", {"what": ()}, "what must not be empty"),
    ("benchmark_neighbors", {"k": 0}, "k must be at least 1, got 0"),
    ("benchmark_neighbors", {"l1_queries": 0}, "l1_queries must be at least 1"),
    ("benchmark_neighbors", {"rounds": 0}, "rounds must be at least 1"),
    ("benchmark_neighbors", {"recall_target": 0.0}, "recall_target must be above 0"),
    ("benchmark_neighbors", {"settle_s": -1.0}, "settle_s must be at least 0"),
    ("benchmark_sweep", {"what": ()}, "what must not be empty"),
    ("benchmark_sweep", {"cs": (0.0,)}, r"cs\[0\] must be above 0"),
    ("benchmark_sweep", {"rate_models": (0,)}, r"rate_models\[0\] must be at least 1"),
    ("benchmark_sweep", {"folds": 1}, "folds must be at least 2"),
    ("benchmark_sweep", {"peer_fits": 99}, "peer_fits must be at most 45"),
    ("cross_validation", {"loss": "hinge"}, "loss must be one of softmax_cross_entrop"),
    ("cross_validation", {"examples": 5}, "examples must be at least 10"),
    ("cross_validation", {"samples": 1}, "samples must be at least 2"),
    ("cross_validation", {"folds": 1}, "folds must be at least 2"),
    ("cross_validation", {"l2": (0.0, 1.0)}, r"l2\[0\] must be above 0"),
    ("cross_validation", {"seed": -1}, "seed must be at least 0"),
    ("cross_validation", {"relative_gap": 1.0}, "relative_gap must be below 1"),
    ("cross_validation", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("cross_validation", {"slots": 0}, "slots must be at least 1"),
    ("viewpoints", {"loss": "hinge"}, "loss must be one of softmax_cross_entropy"),
    ("viewpoints", {"l2": 0.0}, "l2 must be above 0"),
    ("viewpoints", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    ("viewpoints", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("viewpoints", {"images": 0}, "images must be at least 1"),
    ("viewpoints", {"images": 11}, "images must be at most 10"),
    ("viewpoints", {"shown_points": 0}, "shown_points must be at least 1"),
    ("viewpoints", {"boxed_images": 0}, "boxed_images must be at least 1"),
    ("viewpoints", {"sizes": 1}, "sizes must be at least 2"),
    ("hard_cases", {"cases": ()}, r"cases must not be empty, got \(\)"),
    ("hard_cases", {"cases": ("spiral",)}, r"cases\[0\] must be one of quadrants, "),
    (
        "hard_cases",
        {"cases": ("ring", "ring")},
        "cases must be distinct, got ring ring",
    ),
    ("hard_cases", {"examples": 9}, "examples must be at least 10, got 9"),
    ("hard_cases", {"noise": -0.1}, "noise must be at least 0, got -0.1"),
    ("hard_cases", {"gap": 0.8}, "gap must be at most 0.7, got 0.8"),
    ("hard_cases", {"seed": -1}, "seed must be at least 0"),
    ("hard_cases", {"l2": 0.0}, "l2 must be above 0"),
    ("hard_cases", {"lifted_l2": 0.0}, "lifted_l2 must be above 0"),
    ("hard_cases", {"relative_gap": 1.0}, "relative_gap must be below 1"),
    ("hard_cases", {"lifted_relative_gap": 0.0}, "lifted_relative_gap must be above 0"),
    ("hard_cases", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("loss_questions", {"points": 1}, "points must be at least 2"),
    ("loss_questions", {"temperatures": ()}, "temperatures must not be empty"),
    ("loss_questions", {"temperatures": (1.0,)}, r"temperatures\[0\] must be below 1"),
    ("loss_questions", {"temperatures": (0.0,)}, r"temperatures\[0\] must be above 0"),
    ("loss_questions", {"examples": 3}, "examples must be at least 10"),
    ("loss_questions", {"seed": -1}, "seed must be at least 0"),
    ("loss_questions", {"l2": -1.0}, "l2 must be above 0"),
    ("loss_questions", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    ("loss_questions", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
]


@pytest.mark.parametrize(("name", "changes", "words"), BAD_CONFIGS)
def test_a_bad_config_is_refused_before_anything_is_made(
    name, changes, words, tmp_path
):
    made = STUDIES[name]
    bad = dataclasses.replace(made.config, **changes)
    if hasattr(bad, "dataset"):
        bad = dataclasses.replace(bad, dataset="digits")
    compiled = compiled_programs()
    before = len(compiled)
    with pytest.raises(ValueError, match=words):
        study.run(made, bad, cli.RunOptions(out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert compiled[before:] == []


@pytest.mark.parametrize("name", STUDIES)
def test_defaults_and_presets_are_within_their_bounds(name):
    made = STUDIES[name]
    assert made.name == name
    assert "smoke" in made.presets
    for one in (made.config, *made.presets.values()):
        assert configs.check(one) is one
        assert made.parts(one)
    about = importlib.import_module(f"experiments.{name}").__doc__
    assert made.about == about
    assert f"python -m experiments.{name}" in about


def test_a_resumed_run_keeps_its_data(whole, tmp_path):
    made, finished, _ = whole
    if not (finished / "data.json").exists():
        return
    out = shutil.copytree(finished, tmp_path / "run")
    facts = json.loads((out / "data.json").read_text())
    facts["test"]["features"]["sha256"] = "another"
    (out / "data.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="--resume must keep the data of .* the test"):
        run_study(made.name, resume=out)


def test_an_index_lists_runs_with_what_differs(whole, tmp_path):
    made, out, _ = whole
    for copy in ("first", "second"):
        shutil.copytree(out, tmp_path / copy)
    RunFolder(tmp_path / "first").write_json("config.json", to_dict(made.config))
    RunFolder(tmp_path / "second").set_status("interrupted")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text("{}")
    path = page_command.write(tmp_path)
    assert path == tmp_path / "index.html"
    page = Page(path.read_text())
    assert page.links[-2:] == ["first/report.html", "second/report.html"]
    first, second = (row.split("\n")[0] for row in page.text["tr"][1:3])
    assert "defaultsdone" in first
    assert "interrupted" in second
    assert "foreign" in page.text["table"][-1]
    # One finished run is compared with none.
    assert page.images == []
    RunFolder(tmp_path / "second").set_status("done")
    page_command.write(tmp_path)
    assert len(Page(path.read_text()).images) == 1


def test_folders_that_have_no_page_are_refused(tmp_path):
    with pytest.raises(ValueError, match="folder must be a run or hold runs, got"):
        page_command.write(tmp_path)
    folder = run_folder.create(tmp_path / "run", config={})
    with pytest.raises(ValueError, match="folder must be a run of .*viewpoints"):
        page_command.write(folder.path)


def test_a_run_without_all_parts_has_no_page(whole, tmp_path):
    made, out, _ = whole
    shutil.copytree(out, tmp_path / "run")
    last = parts_of(made)[-1]
    (tmp_path / "run" / "parts" / f"{last}.json").unlink()
    with pytest.raises(ValueError, match=f"without {last}; continue it with --resume"):
        page_command.write(tmp_path / "run")
