"""Inputs of the probe: published protocols, given validation examples, half floats."""

import dataclasses
import json

import ml_dtypes
import numpy as np
import pytest
import sweep_problems
from probe_runs import numbers, run
from run_helpers import write_data

import jaxlin
from experiments.probe import fit, source, splits
from experiments.probe.config import DEFAULT
from experiments.probe.protocols import PROTOCOLS, bisection

ROWS = sweep_problems.ROWS
LABELS = np.arange(len(ROWS)) % 2
FOLDS = ("--folds", 3)
PROTOCOL = ("--protocol", "dinov3")
GIVEN = {"x_val": ROWS, "y_val": LABELS}
GROUPS = {"groups_train": np.arange(len(ROWS)) // 4}


@pytest.mark.parametrize(
    ("arrays", "flags", "words"),
    [
        (
            {},
            ("--memory-bytes", 1),
            "memory_bytes must hold a slot .* got 1; give",
        ),
        ({}, ("--folds", 61), "validation must be at most 60, got 61"),
        (GIVEN, FOLDS, "folds must not be given with x_val, .* got 3"),
        (GROUPS, (), "folds must be given with groups_train, got none"),
        (GROUPS | GIVEN, (), "groups_train must not be given with x_val, got both"),
        (GROUPS, PROTOCOL, "groups_train must not be given with protocol"),
        ({"weights_train": 1.0 + LABELS}, PROTOCOL, "weights_train must not be given"),
        ({"weights_train": -ROWS[:, 0]}, (), "weights_train must be finite and at le"),
    ],
)
def test_bad_requests_leave_no_folder(tmp_path, arrays, flags, words):
    write_data(tmp_path / "rows.npz", ROWS, LABELS, **arrays)
    with pytest.raises(ValueError, match=words):
        run(tmp_path / "rows.npz", *flags, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def log_loss(model, rows, labels):
    probabilities = model.predict_proba(rows)[np.arange(len(labels)), labels]
    return -np.log(probabilities).mean()


@pytest.mark.parametrize(
    ("name", "hold_out"),
    [("dinov2", splits.first_tenth), ("dinov3", splits.tenth_of_each_class)],
)
def test_a_protocol_is_that_of_scikit_learn_on_the_published_split(
    tmp_path, name, hold_out
):
    """Every fourth C on the examples that are not held out, the chosen on all."""
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression

    rows, labels = ROWS.astype(np.float64), sweep_problems.LABELS
    path, out = tmp_path / "rows.npz", tmp_path / "run"
    write_data(path, ROWS, labels)
    flags = ("--protocol", name, "--relative-gap", 1e-8, "--out", out)
    printed = run(path, *flags)
    assert f"cite: {PROTOCOLS[name].citation}" in printed
    assert "note: not to the letter: models are the optimum" in printed
    held_out = hold_out(labels)

    def fitted(c, part):
        model = LogisticRegression(C=c, tol=1e-10, max_iter=10_000)
        return model.fit(rows[part], labels[part])

    found = numbers(out)
    assert found["num_held_out"] == held_out.sum()
    values = found["values"]
    assert [value["c"] for value in values] == list(PROTOCOLS[name].cs)
    # Of weaker penalties scikit-learn is far from the optimum.
    for value in values[:30:4]:
        model = fitted(value["c"], ~held_out)
        out_rows, out_labels = rows[held_out], labels[held_out]
        assert value["accuracy"] == pytest.approx(model.score(out_rows, out_labels))
        expected = log_loss(model, out_rows, out_labels)
        assert value["held_out_loss"] == pytest.approx(expected, rel=1e-4)
    best = max(value["accuracy"] for value in values)
    # Of equal accuracies the smallest C.
    first = next(value["c"] for value in values if value["accuracy"] == best)
    assert found["c"] == first
    model = fitted(first, slice(None))
    saved = jaxlin.load(out / "parts" / "probe-model.npz")
    assert saved.normalization is None
    weights = np.c_[saved.params.weights, saved.params.bias]
    expected = np.c_[model.coef_, model.intercept_]
    np.testing.assert_allclose(weights, expected, atol=1e-4 * np.abs(weights).max())
    page = (out / "report.html").read_text()
    assert "to cite" in page
    assert PROTOCOLS[name].source in page


def test_given_validation_examples_choose_as_those_of_the_split_do(tmp_path):
    labels = sweep_problems.LABELS
    held_out = splits.first_tenth(labels)
    write_data(tmp_path / "all.npz", ROWS, labels)
    write_data(
        tmp_path / "given.npz",
        *(ROWS[~held_out], labels[~held_out]),
        test=(ROWS, labels),
        x_val=ROWS[held_out],
        y_val=labels[held_out],
    )
    found = {}
    for name in ("all", "given"):
        out = tmp_path / name
        flags = ("--protocol", "dinov2", "--relative-gap", 1e-8)
        run(f"{out}.npz", *flags, "--out", out)
        found[name] = numbers(out)
    drawn, given = found["all"], found["given"]
    assert (drawn["has_validation"], given["has_validation"]) == (False, True)
    assert given["num_train"] == drawn["num_train"] - drawn["num_held_out"]
    for name in ("c", "l2", "num_held_out"):
        assert drawn[name] == pytest.approx(given[name])
    for one, other in zip(drawn["values"], given["values"], strict=True):
        assert one["accuracy"] == pytest.approx(other["accuracy"])
        assert one["held_out_loss"] == pytest.approx(other["held_out_loss"], rel=1e-3)
    page = (tmp_path / "given" / "report.html").read_text()
    assert "validation examples of the file" in page
    assert (
        "validation examples of the file"
        not in (out.parent / "all/report.html").read_text()
    )


@pytest.mark.full
def test_half_precision_folders_are_mapped_and_give_the_same_run(tmp_path):
    """bfloat16 rows against a float32 copy of them."""
    half, labels = ROWS.astype(ml_dtypes.bfloat16), sweep_problems.LABELS
    found = []
    for name, rows in (("half", half), ("single", half.astype(np.float32))):
        (tmp_path / name).mkdir()
        arrays = {"x_train": rows, "x_test": rows, "y_train": labels, "y_test": labels}
        for array, value in arrays.items():
            np.save(tmp_path / name / f"{array}.npy", value)
        out = tmp_path / f"run-{name}"
        run(tmp_path / name, "--cs", 0.01, 1, "--out", out)
        kept = json.loads((out / "data.json").read_text())
        assert kept["train"]["features"]["dtype"] == rows.dtype.name
        found.append(numbers(out))
        found[-1].pop("source")
    assert found[0] == found[1]


@pytest.mark.full
def test_weights_of_the_file_count_in_c(tmp_path):
    """A value of C multiplies the sum of weighted losses, of two classes here."""
    path, weights = tmp_path / "rows.npz", 1.0 + LABELS
    write_data(path, ROWS, LABELS, weights_train=weights)
    run(path, "--cs", 0.01, 1, "--out", tmp_path / "run")
    found = numbers(tmp_path / "run")
    assert found["l2"] == pytest.approx(2 / (found["c"] * weights.sum()))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "examples weighted as the file says" in page


def test_groups_are_held_out_whole(tmp_path):
    path = tmp_path / "rows.npz"
    write_data(path, ROWS, LABELS, **GROUPS)
    config = dataclasses.replace(DEFAULT, features=str(path), folds=3)
    dataset, _ = source.load(config, None)
    of_examples = fit.validation(config, dataset)
    assert set(of_examples) == {0, 1, 2}
    for group in set(GROUPS["groups_train"]):
        assert len(set(of_examples[GROUPS["groups_train"] == group])) == 1


@pytest.mark.full
def test_rows_of_unit_length_weighted_classes_and_clips_search(tmp_path):
    path, out = tmp_path / "rows.npz", tmp_path / "run"
    labels = np.array([0] * 40 + [1] * 15 + [2] * 5)
    write_data(path, ROWS, labels)
    flags = ("--normalization", "unit_length", "--class-weights", "balanced")
    printed = run(path, *flags, "--cs", 1, 10, "--out", out)
    assert "probabilities are of a population in which classes are" in printed
    saved = jaxlin.load(out / "parts" / "probe-model.npz")
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    with np.load(out / "parts" / "probe.npz") as stored:
        np.testing.assert_array_equal(
            saved.classes[stored["prediction"]], jaxlin.predict(saved, unit)
        )
    undone = run(path, *flags, "--undo-prior-shift", "--cs", 1, "--out", tmp_path / "b")
    assert "probabilities are of a population" not in undone
    clip = tmp_path / "clip"
    run(path, "--protocol", "clip", "--metric", "mean_per_class", "--out", clip)
    found = numbers(clip)
    accuracies = np.array([[value["accuracy"]] for value in found["values"]])
    strength = np.array([value["l2"] for value in found["values"]])
    chosen = bisection(accuracies, strength=strength)
    assert found["values"][chosen]["chosen"]
    assert found["c"] == found["values"][chosen]["c"]
    assert "Mean accuracy per class" in (clip / "report.html").read_text()


@pytest.mark.full
def test_without_a_refit_validation_examples_choose_alone(tmp_path):
    path, out = tmp_path / "rows.npz", tmp_path / "run"
    write_data(path, ROWS, sweep_problems.LABELS, x_val=ROWS + 1, y_val=LABELS)
    run(path, "--cs", 0.01, 1, "--no-refit", "--out", out)
    found = numbers(out)
    (chosen,) = [value for value in found["values"] if value["chosen"]]
    assert found["l2"] == chosen["l2"] == pytest.approx(1 / (chosen["c"] * len(ROWS)))
    # Standardised by the training examples alone.
    saved = jaxlin.load(out / "parts" / "probe-model.npz")
    np.testing.assert_allclose(saved.normalization.mean, ROWS.mean(axis=0), atol=1e-6)
    assert "the examples not held out" in (out / "report.html").read_text()
