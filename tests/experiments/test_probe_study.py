"""The probe from the command line: any features in, one answer out, killed or not."""

import json

import numpy as np
import pytest
import run_helpers
import sweep_problems
from probe_runs import numbers, run
from run_helpers import write_data

import jaxlin
from experiments.probe import source
from experiments.probe.config import SMOKE
from jaxlin import data
from jaxlin.selection import sweep, sweep_checkpoint
from jaxlin.stats import intervals

# The shape of the sweeps of other tests, whose programs a run then has.
SIZES = {
    "_TRAIN": sweep_problems.EXAMPLES,
    "_TEST": sweep_problems.EXAMPLES,
    "_FEATURES": sweep_problems.WIDTH,
}


@pytest.fixture(scope="module", autouse=True)
def small_features():
    """Random features of these sizes, more of which show nothing more."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in SIZES.items():
            patch.setattr(source, name, size)
        yield


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("probe") / "run"
    return out, run("--smoke", "--out", out)


def test_a_run_leaves_what_it_says(smoke):
    out, printed = smoke
    found = numbers(out)
    made = source.made(0)
    saved = jaxlin.load(out / "parts" / "probe-model.npz")
    assert tuple(saved.classes) == made.class_names
    predictions = jaxlin.predict(saved, made.test.features)
    right = predictions == saved.classes[made.test.labels]
    assert found["test_accuracy"] == pytest.approx(right.mean())
    accuracy = found["metrics"]["accuracy"]
    assert accuracy["value"] == found["test_accuracy"]
    assert [accuracy["low"], accuracy["high"]] == pytest.approx(
        list(intervals.proportion_interval(int(right.sum()), len(right)))
    )
    assert saved.l2 == found["l2"] == pytest.approx(1 / (found["c"] * SIZES["_TRAIN"]))
    with np.load(out / "parts" / "probe.npz") as stored:
        np.testing.assert_array_equal(saved.classes[stored["prediction"]], predictions)
        np.testing.assert_allclose(stored["probability"].sum(axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(
            stored["probability"].argmax(axis=1), stored["prediction"]
        )
        np.testing.assert_allclose(
            jaxlin.probabilities(saved, made.test.features),
            stored["probability"],
            rtol=1e-6,
        )
    assert saved.temperature == found["temperature"] != 1
    # No label is certified at the default gap: no bounds are shown.
    optimum = found["optimum_in_words"]
    assert optimum == "uninformative (0.0 % of labels certified)"
    assert f"accuracy of the exact optimum: {optimum}" in printed
    assert optimum in (out / "report.html").read_text()
    ends = (f"{accuracy[end]:.4f}" for end in ("value", "low", "high"))
    assert ["accuracy", *ends] in [line.split() for line in printed.splitlines()]
    rows = run_helpers.table(out)
    assert [float(row["c"]) for row in rows] == pytest.approx(sorted(SMOKE.cs))
    best = max(rows, key=lambda row: float(row["accuracy"]))
    chosen = [row for row in rows if row["chosen"] == "True"]
    assert [row["accuracy"] for row in chosen] == [best["accuracy"]]
    # The plan is kept.
    config = json.loads((out / "config.json").read_text())
    assert config["slots"] == 1
    assert "random: 4 values of C, 1 model at once" in printed


def test_stopped_and_resumed_it_is_the_same_run(smoke, tmp_path, monkeypatch):
    """Stopped once a finished model is in the file of the first fold's sweep."""
    out = tmp_path / "run"

    def now(path, tree, *, metadata=None):
        return path.name == "sweep-0.npz" and metadata["finished"]

    with run_helpers.stopped(sweep_checkpoint.checkpoint, "save", now=now):
        run("--smoke", "--out", out)
    metadata = sweep_checkpoint.checkpoint.load_metadata(out / "sweep-0.npz")
    finished = {model for model, *_ in metadata["finished"]}
    assert finished
    begun = []
    whole = sweep.sweep_run.run

    def watched(*data, **options):
        begun.append(set())
        for state in whole(*data, **options):
            begun[-1].update(model for queue in state.queues for model in queue.running)
            yield state

    monkeypatch.setattr(sweep.sweep_run, "run", watched)
    run("--resume", out)
    # No model that was finished is in a slot again; the other folds had not begun.
    first, *others = begun
    assert not finished & first
    assert [models - {-1} for models in others] == [{0, 1, 2, 3}] * 2
    run_helpers.assert_same(out, smoke[0])


@pytest.mark.full
def test_joined_embeddings_and_answers_outside(tmp_path):
    """Digits as two half images, the seven most frequent of ten answers in words."""
    digits = data.load("digits")
    words = np.array(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    )
    folder = tmp_path / "halves"
    folder.mkdir()
    for split, (rows, labels) in (("train", digits.train), ("test", digits.test)):
        np.save(folder / f"top_{split}.npy", rows[:, :32])
        np.save(folder / f"bottom_{split}.npy", rows[:, 32:])
        np.save(folder / f"y_{split}.npy", words[labels])
    out = tmp_path / "run"
    flags = ("--join", "top", "bottom", "--answers", 7, "--cs", 0.01, 0.1, "--out", out)
    printed = run(folder, *flags)
    assert "accuracy is at most 70.00 %" in printed
    found = numbers(out)
    answers = json.loads((out / "data.json").read_text())["answers"]
    assert answers["test_outside"] == 150
    assert answers["ceiling"] == pytest.approx(0.7)
    saved = jaxlin.load(out / "parts" / "probe-model.npz")
    assert set(saved.classes) < set(words)
    said = jaxlin.predict(saved, digits.test.features)
    right = said == words[digits.test.labels]
    assert found["num_test"] == 500
    assert found["test_accuracy"] == pytest.approx(right.mean())
    assert 0.6 < found["test_accuracy"] <= answers["ceiling"]
    low, high = found["optimum_accuracy"]
    assert low <= found["test_accuracy"] <= high <= 0.7 + 1e-9
    assert "counted as wrong" in (out / "report.html").read_text()


ROWS = sweep_problems.ROWS
LABELS = np.arange(len(ROWS)) % 2


def test_too_few_examples_to_choose_by_leave_no_folder(tmp_path):
    write_data(tmp_path / "two.npz", ROWS[:2], LABELS[:2])
    with pytest.raises(ValueError, match="must have two examples of some"):
        run(tmp_path / "two.npz", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_a_class_without_training_example_is_said(tmp_path):
    path = tmp_path / "from_one.npz"
    labels = 1 + LABELS
    write_data(path, ROWS, labels)
    printed = run(path, "--cs", 1, 10, "--out", tmp_path / "run")
    assert "note: class '0' has no training example" in printed


def test_one_example_a_class_is_a_run(tmp_path):
    path, out = tmp_path / "few.npz", tmp_path / "run"
    labels = np.arange(5)
    write_data(path, ROWS[:5], labels, test=(ROWS, LABELS))
    printed = run(path, "--cs", 10, "--out", out)
    assert "note: 5 classes have a single training example" in printed
    assert "note: nothing was held out: the temperature is 1" in printed
    found = numbers(out)
    assert (found["temperature"], found["num_held_out"]) == (1, 0)
    assert jaxlin.load(out / "parts" / "probe-model.npz").temperature == 1
    assert "nothing held out: none was chosen" in (out / "report.html").read_text()
