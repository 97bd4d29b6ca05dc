"""The certified comparison: what it proves is true, whole, and resumed bit for bit."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import run_helpers
import sealed_data
from plain_numpy import digits_rows, folded, objective, softmax_minimum
from run_helpers import HINGE, METHODS, SOFTMAX

import jaxlin
from experiments.svm_vs_softmax.certified import verdict
from experiments.svm_vs_softmax.config import SMOKE
from jaxlin.io import checkpoint

STAGES = tuple(
    f"{name}-{part}" for name in METHODS for part in ("path", "optimum", "sgd")
)


# The run compiles for half a minute; by default that of minibatches stands for both.
pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def certified_run(tmp_path_factory):
    """The smoke-size certified run. Tests must not write into it."""
    return run_helpers.run(SMOKE, out=tmp_path_factory.mktemp("certified") / "run")


@pytest.fixture(scope="module")
def rows():
    return digits_rows()


def _losses(run):
    return run_helpers.results(run.path)["losses"]


# The run folder


def test_every_file_is_there(certified_run):
    expected = {"config.json", "environment.json", "data.json", "STATUS", "figures"}
    expected |= {"metrics.jsonl", "results.json", "results.csv", "per_example.npz"}
    expected |= {"report.html", *(f"model-{name}.npz" for name in METHODS)}
    expected |= {f"checkpoint-{name}-sgd.npz" for name in METHODS}
    expected |= {
        f"fits-{name}-{part}.npz" for name in METHODS for part in ("path", "optimum")
    }
    assert {path.name for path in certified_run.path.iterdir()} == expected
    assert (certified_run.path / "STATUS").read_text() == "done\n"
    figures = {path.stem for path in (certified_run.path / "figures").iterdir()}
    assert {"path", "distance", "per_class", "confusion", "calibration"} <= figures


def test_metrics_have_every_fit_evaluation_and_epoch_once_in_order(certified_run):
    found = run_helpers.metrics(certified_run.path)
    assert list(dict.fromkeys(one["stage"] for one in found)) == [*STAGES]
    losses = _losses(certified_run)
    for name in METHODS:
        of_stage = {
            part: [one for one in found if one["stage"] == f"{name}-{part}"]
            for part in ("path", "optimum", "sgd")
        }
        assert [(one["fit"], one["l2"]) for one in of_stage["path"]] == [
            (1, 0.1),
            (2, 0.01),
        ]
        evaluations = losses[name]["evaluations"]
        assert [one["evaluation"] for one in of_stage["optimum"]] == [
            *range(1, evaluations + 1)
        ]
        bounds = [one["proven_bound"] for one in of_stage["optimum"]]
        assert bounds == sorted(bounds, reverse=True)
        assert [one["epoch"] for one in of_stage["sgd"]] == [1, 2, 3, 4]
        for one in of_stage["sgd"]:
            assert np.shape(one["relative_distance"]) == (1, 2)


def test_report_says_what_is_proven_and_pretends_no_seeds(certified_run):
    page = run_helpers.Page((certified_run.path / "report.html").read_text())
    assert all(one.startswith(("data:", "#")) for one in page.references)
    for name, one in _losses(certified_run).items():
        assert f"{100 * one['test_accuracy']:.2f} %" in page.text
        assert f"{one['training_objective']:.6g}" in page.text
        assert f"{one['relative_gap']:.1e}" in page.text
        assert one["exact_optimum"]["in_words"] in page.text
        assert "of labels certified" in one["exact_optimum"]["in_words"]
        line = next(x for x in certified_run.printed.splitlines() if name in x[:30])
        assert "step 0" in line
    # The verdict on the terminal, too.
    assert certified_run.printed.count("test accuracy of the exact optimum") == 2
    for text in (page.text.partition("Data and machine")[0], certified_run.printed):
        assert "first seed" not in text
        assert "over seeds" not in text
        assert "±" not in text
    flat = json.dumps(run_helpers.results(certified_run.path))
    assert "seed" not in flat
    assert "{" not in page.text


def test_table_has_a_row_for_each_fit_and_each_run_of_sgd(certified_run):
    table = run_helpers.table(certified_run.path)
    kinds = [(row["loss"], row["stage"]) for row in table]
    parts = ("path", "path", "optimum", "sgd", "sgd")
    assert kinds == [(name, part) for name in METHODS for part in parts]
    for row in table:
        # The test set is read for the two models that were chosen, and no other.
        assert (row["test_accuracy"] == "") == (row["stage"] != "optimum")


# What is proven, against NumPy and SciPy


@pytest.mark.parametrize("name", METHODS)
def test_objective_is_that_of_the_saved_model(certified_run, rows, name):
    one = _losses(certified_run)[name]
    model = jaxlin.load(certified_run.path / f"model-{name}.npz")
    value, _ = objective(name, folded(model.params), rows, one["l2"])
    # The model was rounded to float32 after the proof.
    assert one["training_objective"] == pytest.approx(value, rel=1e-6)
    proof = one["certificate"]
    assert one["relative_gap"] == pytest.approx(
        (proof["gap"] + proof["rounding"]) / proof["primal"], rel=1e-4
    )
    assert proof["gap"] >= 0
    assert one["relative_gap"] < SMOKE.relative_gap
    assert one["evaluations_to_relative_gap"] <= one["evaluations"]


@pytest.fixture(scope="module")
def softmax_optimum(certified_run, rows):
    return softmax_minimum(rows, _losses(certified_run)[SOFTMAX]["l2"])


def test_the_minimum_of_scipy_lies_within_the_certificate(
    certified_run, softmax_optimum
):
    proof = _losses(certified_run)[SOFTMAX]["certificate"]
    assert proof["primal"] - proof["gap"] - proof["rounding"] <= softmax_optimum.fun
    assert softmax_optimum.fun <= proof["primal"] + proof["rounding"]


def test_labels_said_to_be_certified_are_those_of_scipys_optimum(
    certified_run, rows, softmax_optimum
):
    one = _losses(certified_run)[SOFTMAX]["exact_optimum"]
    exact = (rows.test @ softmax_optimum.x.reshape(10, -1).T).argmax(axis=1)
    with np.load(certified_run.path / "per_example.npz") as arrays:
        certified = arrays[f"{SOFTMAX}_certified"]
        ours = arrays[f"{SOFTMAX}_predictions"]
    assert ours.shape == (500,)
    assert certified.mean() == pytest.approx(one["labels_certified"])
    assert certified.mean() > 0.9
    np.testing.assert_array_equal(ours[certified], exact[certified])
    accuracy = (exact == rows.test_labels).mean()
    assert one["test_accuracy_at_least"] - 1e-6 <= accuracy
    assert accuracy <= one["test_accuracy_at_most"] + 1e-6
    model = jaxlin.load(certified_run.path / f"model-{SOFTMAX}.npz")
    apart = folded(model.params) - softmax_optimum.x.reshape(10, -1)
    # SciPy's own gradient of 1e-7 leaves it so far from the optimum itself.
    assert np.linalg.norm(apart) <= one["parameters_within"] + 1e-4


@pytest.mark.parametrize("name", METHODS)
def test_interval_counts_certified_labels(certified_run, rows, name):
    one = _losses(certified_run)[name]["exact_optimum"]
    with np.load(certified_run.path / "per_example.npz") as arrays:
        certified = arrays[f"{name}_certified"]
        right = arrays[f"{name}_predictions"] == rows.test_labels
    sure, wrong = (sum(certified & r) / 500 for r in (right, ~right))
    assert one["test_accuracy_at_least"] == pytest.approx(sure)
    assert one["test_accuracy_at_most"] == pytest.approx(1 - wrong)


@pytest.mark.parametrize("name", METHODS)
def test_distance_of_sgd_is_its_objective_over_the_lower_bound(
    certified_run, rows, name
):
    one = _losses(certified_run)[name]
    path = certified_run.path / f"checkpoint-{name}-sgd.npz"
    with np.load(path, allow_pickle=False) as arrays:
        weights = arrays[".state.params.weights"][0]
        bias = arrays[".state.params.bias"][0]
    proof = one["certificate"]
    lower = proof["primal"] - proof["gap"] - proof["rounding"]
    assert np.shape(one["sgd"]["relative_distance"]) == (2, 4)
    assert np.min(one["sgd"]["relative_distance"]) > 0
    for i in range(2):
        value, _ = objective(name, folded((weights[i], bias[i])), rows, one["l2"])
        found = one["sgd"]["relative_distance"][i][-1]
        assert found == pytest.approx((value - lower) / proof["primal"], rel=1e-5)


# The choice


@pytest.mark.parametrize("name", METHODS)
def test_choice_is_the_best_on_validation_of_fits_that_reached_the_gap(
    certified_run, name
):
    one = _losses(certified_run)[name]
    path = one["path"]
    assert [fit["l2"] for fit in path] == [0.1, 0.01]
    assert all(fit["converged"] for fit in path)
    assert all(fit["relative_gap"] <= SMOKE.relative_gap for fit in path)
    best = max(path, key=lambda fit: (fit["validation_accuracy"], fit["l2"]))
    assert (one["l2"], one["validation_accuracy"]) == (
        best["l2"],
        best["validation_accuracy"],
    )
    assert one["chosen_at_edge_of"] == ["l2"]


def test_the_test_set_is_sealed_until_all_is_fitted(
    certified_run, digits, tmp_path, monkeypatch
):
    seen, evaluate = [], verdict.evaluate

    def watched(method, optimum, problem, test):
        seen.append({one["stage"] for one in run_helpers.metrics(tmp_path / "run")})
        return evaluate(method, optimum, problem, digits.test)

    sealed_data.seal(monkeypatch, digits, lambda: seen)
    monkeypatch.setattr(verdict, "evaluate", watched)
    again = run_helpers.run(SMOKE, out=tmp_path / "run")
    assert seen == [set(STAGES)] * 2
    # A second run is the same, and compiles nothing.
    assert again.programs == []
    run_helpers.assert_same_run(again.path, certified_run.path)


# What falls short


@pytest.fixture(scope="module")
def poor_run(certified_run, tmp_path_factory):
    """Too few evaluations for the hinge, learning rates at which SGD diverges."""
    config = dataclasses.replace(
        SMOKE,
        max_evaluations=20,
        hinge_learning_rates=(0.3, 1e30),
        softmax_learning_rates=(1e30, 1e31),
    )
    run = run_helpers.run(config, out=tmp_path_factory.mktemp("poor") / "run")
    assert run.programs == []
    return run


def test_a_gap_that_was_not_reached_is_said_plainly(poor_run):
    losses = _losses(poor_run)
    hinge = losses[HINGE]
    assert not hinge["converged"]
    assert hinge["evaluations"] == 20
    assert hinge["evaluations_to_relative_gap"] is None
    assert not any(fit["converged"] for fit in hinge["path"])
    assert losses[SOFTMAX]["converged"]
    page = run_helpers.Page((poor_run.path / "report.html").read_text())
    reached = f"the fit reached {hinge['relative_gap']:.1e} in 20 evaluations"
    assert f"asked for a gap of 1e-06, {reached}" in page.text
    assert "Softmax: the gap of 1e-06 that was asked for is proven" in page.text
    assert "not reached" in page.text


def test_an_interval_too_wide_to_say_anything_says_so(poor_run):
    optimum = _losses(poor_run)[HINGE]["exact_optimum"]
    width = optimum["test_accuracy_at_most"] - optimum["test_accuracy_at_least"]
    assert width > 0.05
    assert optimum["in_words"].startswith("uninformative (")
    assert "labels certified" in optimum["in_words"]
    text = (poor_run.path / "report.html").read_text()
    assert "say nothing useful of the difference" in text


def test_sgd_that_diverges_is_shown_as_such(poor_run):
    losses = _losses(poor_run)
    hinge, softmax = (losses[name]["sgd"]["relative_distance"] for name in METHODS)
    assert hinge[0][-1] > 0
    assert [one[-1] for one in (hinge[1], *softmax)] == [None] * 3
    page = run_helpers.Page((poor_run.path / "report.html").read_text())
    assert "diverged" in page.text


# Stopped and resumed


@pytest.mark.parametrize("before", [True, False])
def test_stopped_around_every_save_of_a_fit(certified_run, tmp_path, before):
    """The first method's path (two saves), its optimum, an epoch of SGD; the next."""
    out = tmp_path / "run"
    for start, allowed in enumerate([0, 0, 0, 0, 4] if before else [1, 1, 1, 1, 4]):
        with run_helpers.stopped_at_a_save(allowed, before=before):
            run_helpers.run(SMOKE, **({"resume": out} if start else {"out": out}))
        assert (out / "STATUS").read_text().startswith("failed")
    run_helpers.run(SMOKE, resume=out)
    run_helpers.assert_same_run(out, certified_run.path)


def test_a_finished_run_resumed_fits_nothing(certified_run, tmp_path, monkeypatch):
    out = shutil.copytree(certified_run.path, tmp_path / "run")

    def refuse(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(jaxlin, "fit", refuse)
    config, options = run_helpers.parse("--resume", out)
    assert config == SMOKE
    again = run_helpers.run(config, resume=options.resume)
    assert again.programs == []
    run_helpers.assert_same_run(out, certified_run.path)


@pytest.mark.parametrize("part", ["path", "optimum"])
def test_a_flipped_bit_in_a_fit_is_refused(certified_run, tmp_path, part):
    out = shutil.copytree(certified_run.path, tmp_path / "run")
    path = out / f"fits-{SOFTMAX}-{part}.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    code, errors = run_helpers.main("--resume", out)
    assert code == 2
    assert errors.startswith(f"error: {path} is damaged")


def test_a_file_of_another_kind_is_refused(certified_run, tmp_path):
    out = shutil.copytree(certified_run.path, tmp_path / "run")
    checkpoint.save(out / f"fits-{HINGE}-path.npz", {"x": np.ones(2)})
    code, errors = run_helpers.main("--resume", out)
    assert code == 2
    assert "must hold certified fits, got another kind" in errors


def test_resume_keeps_the_solver(certified_run, tmp_path):
    out = shutil.copytree(certified_run.path, tmp_path / "run")
    code, errors = run_helpers.main("--resume", out, "--solver", "minibatch")
    assert code == 2
    assert 'solver is "certified" in the run and "minibatch" now' in errors
