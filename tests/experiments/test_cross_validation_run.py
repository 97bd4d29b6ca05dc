"""The four ideas: each estimate and truth by hand, bias where there is one."""

import contextlib
import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from run_helpers import compiled_programs, metrics, results

from experiments.common import cli
from experiments.cross_validation import __main__ as command
from experiments.cross_validation import protocol
from experiments.cross_validation.config import LOSSES, SMOKE, Config, checked
from jaxlin import data, normalization
from jaxlin.solvers import fitting


def run(config=SMOKE, **options):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        command.run(config, cli.RunOptions(**options))
    return printed.getvalue()


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("cv") / "run"
    return out, run(out=out)


def test_a_run_leaves_what_it_says(smoke):
    out, printed = smoke
    assert printed.splitlines()[-1] == str(out / "report.html")
    assert "models at once" in printed
    assert json.loads((out / "config.json").read_text())["slots"] == 12
    assert {path.stem for path in (out / "figures").iterdir()} == {
        "estimates",
        "choices",
        "folds",
        "curves",
    }
    found = results(out)
    with open(out / "results.csv") as file:
        rows = list(csv.DictReader(file))
    for name, one in found["estimates"].items():
        errors = np.array(
            [
                float(row["estimate"]) - float(row["truth"])
                for row in rows
                if row["name"] == name
            ]
        )
        assert len(errors) == SMOKE.samples
        assert one["bias"] == pytest.approx(errors.mean())
        assert one["spread"] == pytest.approx(errors.std(ddof=1))
        low, high = one["bias_interval"]
        assert low <= one["bias"] <= high


def test_one_sample_by_hand(smoke):
    """Single fits on rows cut out, accuracies in NumPy."""
    record = metrics(smoke[0])[1]
    dataset = data.load("digits")
    features = np.concatenate([dataset.train.features, dataset.test.features])
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    drawn = protocol.drawn(SMOKE, labels, 1)
    assert len(drawn) == len(set(drawn.tolist())) == SMOKE.examples
    rows, answers = features[drawn], labels[drawn]
    fitted = normalization.fit_centered(rows, scale=16.0)
    train, judge = protocol.parts(SMOKE, answers, 1)
    # A fifth, a fifth and folds of the rest; what is trained on is not judged by.
    assert (judge[1].sum(), judge[2].sum(), train[2].sum()) == (30, 30, 90)
    assert not (train[1:] * judge[1:]).any()
    np.testing.assert_array_equal(judge[3:].sum(axis=0), 1 - judge[1])
    rest = np.setdiff1d(np.arange(len(labels)), drawn)

    def accuracy(weights, l2, on, answers_on):
        fit = fitting.fit(
            rows[weights > 0],
            answers[weights > 0],
            loss=LOSSES[SMOKE.loss],
            l2=l2,
            num_classes=10,
            normalization=fitted,
        )
        scores = ((on - fitted.mean) / fitted.scale) @ np.asarray(fit.params.weights).T
        scores += np.asarray(fit.params.bias)
        return np.mean(scores.argmax(axis=1) == answers_on)

    for place, l2 in enumerate(record["l2"]):
        curves = record["curves"]
        for name, part in (("training", 0), ("test", 1), ("validation", 2)):
            out = judge[part] > 0
            found = accuracy(train[part], l2, rows[out], answers[out])
            assert curves[name][place] == pytest.approx(found, abs=0.035)
        truth = accuracy(train[1], l2, features[rest], labels[rest])
        assert curves["truth"][place] == pytest.approx(truth, abs=0.01)
    for name, one in record["estimates"].items():
        assert one["l2"] in record["l2"], name
    best = int(np.argmax(record["curves"]["validation"]))
    three = record["estimates"]["3: train / validation / test"]
    assert (
        record["curves"]["validation"][record["l2"].index(three["l2"])]
        == (record["curves"]["validation"][best])
    )
    assert (
        three["estimate"] == record["curves"]["test"][record["l2"].index(three["l2"])]
    )


def test_killed_and_resumed_it_is_the_same_run(smoke, tmp_path):
    out = tmp_path / "run"
    run(out=out)
    names = compiled_programs()
    lines = (out / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    # A kill in the middle of a line; the samples after the first one are lost.
    (out / "metrics.jsonl").write_bytes(lines[0] + lines[1][:40])
    (out / "results.json").unlink()
    before = len(names)
    run(dataclasses.replace(SMOKE, slots=12), resume=out)
    assert results(out) == results(smoke[0])
    assert (out / "metrics.jsonl").read_bytes() == (
        smoke[0] / "metrics.jsonl"
    ).read_bytes()
    # Two samples were fitted again, by the programs of the first.
    assert not {"jit(evaluate)", "jit(advance)"} & set(names[before:])


def test_more_samples_keep_the_first_ones(smoke, tmp_path):
    more = dataclasses.replace(SMOKE, samples=4)
    run(more, out=tmp_path / "run")
    assert metrics(tmp_path / "run")[:3] == metrics(smoke[0])


@pytest.mark.full
def test_labels_of_noise_show_who_deceives_himself(tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(1200, 20)).astype(np.float32)
    labels = random.integers(0, 2, 1200)
    path = tmp_path / "noise.npz"
    np.savez(
        path,
        x_train=rows[:600],
        y_train=labels[:600],
        x_test=rows[600:],
        y_test=labels[600:],
    )
    config = Config(
        dataset=str(path),
        examples=100,
        samples=200,
        l2=(1e-3, 1e-2, 1e-1, 1.0, 10.0),
    )
    run(config, out=tmp_path / "run")
    found = results(tmp_path / "run")["estimates"]
    for name, one in found.items():
        standard_errors = one["bias"] / one["bias_standard_error"]
        if name.startswith(("1", "2")) or "winner on" in name:
            assert standard_errors > 3, name
        elif "winner" not in name:
            assert abs(standard_errors) < 3, name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "hinge"}, "loss must be one of"),
        ({"examples": 5}, "examples must be at least 10"),
        ({"samples": 1}, "samples must be at least 2"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"l2": (0.0,)}, r"l2\[0\] must be above 0"),
        ({"relative_gap": 1.0}, "relative_gap must be below 1"),
        ({"slots": 0}, "slots must be at least 1"),
    ],
)
def test_bad_configs(changes, words):
    with pytest.raises(ValueError, match=words):
        checked(Config(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"examples": 1500}, "examples must be at most 898"),
        ({"examples": 60}, "examples must give each class at least 9 of a sample"),
        ({"folds": 30}, "examples must give each class at least 40 of a sample"),
    ],
)
def test_samples_that_the_data_cannot_give(tmp_path, changes, words):
    with pytest.raises(ValueError, match=words):
        run(dataclasses.replace(SMOKE, **changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
