"""Results of SGD: complete, equal to plain NumPy, made by the protocol."""

import math

import numpy as np
import plain_numpy
import pytest
import run_helpers
from run_helpers import HINGE, METHODS, SOFTMAX
from strict_page import Page

import jaxlin
from experiments.common import cli
from experiments.svm_vs_softmax import protocol
from experiments.train_sgd import measure
from experiments.train_sgd.config import SMOKE


@pytest.fixture(scope="module")
def finished(finished_study):
    return finished_study("train_sgd")


@pytest.fixture(scope="module")
def run(finished):
    return finished.run


@pytest.fixture(scope="module")
def examples(run):
    return run.arrays("test")


@pytest.fixture(scope="module")
def table(run):
    return run_helpers.table(run.folder.path)


def chosen(run, name):
    tuned = run.numbers(name)
    return tuned["settings"][tuned["choice"]]


# The run folder


def test_the_accuracies_are_printed(finished):
    for name in METHODS:
        accuracy = finished.run.numbers("test")["losses"][name]["accuracy"]
        line = f"test accuracy, {protocol.TITLES[name]}: {accuracy:.6g}"
        assert line in finished.printed.splitlines()


def test_training_lowers_the_loss_from_that_of_zero_weights(run):
    for name, expected in ((HINGE, 9), (SOFTMAX, math.log(10))):
        first = run.numbers(name)["first_loss"]
        assert first["expected"] == pytest.approx(expected)
        assert first["measured"] == pytest.approx(expected, rel=1e-3)
        losses = run.arrays(name)
        assert losses["grid_losses"].shape == (4, 2, 4)
        assert losses["refit_losses"].shape == (4, 2)
        assert losses["grid_losses"].max() < first["measured"]
        assert losses["refit_losses"].max() < first["measured"]


def test_page_holds_the_numbers_of_the_run(run):
    page = Page((run.folder.path / "report.html").read_text()).text["main"][0]
    test = run.numbers("test")
    for name in METHODS:
        accuracy = test["losses"][name]["accuracy"]
        assert f"{100 * accuracy:.2f}\N{NO-BREAK SPACE}%" in page
    assert f"{100 * test['comparison']['difference']:+.2f} points" in page
    assert "over 2 seeds" in page


# Results against plain NumPy


@pytest.mark.parametrize("name", METHODS)
def test_accuracies_are_means_over_examples_and_seeds(run, examples, name):
    one = run.numbers("test")["losses"][name]
    right = examples[f"{name}_predictions"] == examples["labels"]
    assert right.shape == (2, 500)
    per_seed = [sum(map(bool, row)) / 500 for row in right]
    assert one["accuracies"] == pytest.approx(per_seed, rel=1e-12)
    assert one["accuracy"] == pytest.approx(sum(per_seed) / 2, rel=1e-12)
    deviation = abs(per_seed[0] - per_seed[1]) / math.sqrt(2)
    assert one["standard_deviation"] == pytest.approx(deviation, abs=1e-9)
    plain_numpy.assert_interval(one, right.mean(axis=0))


def test_comparison_is_of_the_first_seeds(run, examples):
    compared = run.numbers("test")["comparison"]
    svm, softmax = (
        examples[f"{name}_predictions"][0] == examples["labels"] for name in METHODS
    )
    assert compared["only_second_right"] == (svm & ~softmax).sum()
    assert compared["only_first_right"] == (softmax & ~svm).sum()
    same = examples[f"{HINGE}_predictions"][0] == examples[f"{SOFTMAX}_predictions"][0]
    assert compared["agreement"] == pytest.approx(same.mean())


@pytest.mark.parametrize("name", METHODS)
def test_scores_predictions_and_losses_belong_together(run, examples, name):
    expected = plain_numpy.assert_belong_together(name, examples)
    found = run.numbers("test")["losses"][name]
    assert found["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_saved_models_make_the_saved_predictions(run, examples, digits, name):
    """By jaxlin.predict, and by NumPy with nothing but the arrays of the file."""
    objectives, l2 = [], chosen(run, name)["l2"]
    for seed in range(2):
        expected = examples[f"{name}_predictions"][seed]
        images = digits.test.features.reshape(-1, 8, 8)
        trained = run.fit(name, f"seed{seed}")
        np.testing.assert_array_equal(
            jaxlin.predict(trained, images), np.array(digits.class_names)[expected]
        )
        assert (trained.loss.__name__, trained.l2) == (name, l2)
        assert tuple(trained.classes) == digits.class_names
        train = digits.train.features.astype(float)
        mean = train.mean(axis=0)
        weights, bias = (np.asarray(leaf, float) for leaf in trained.params)
        rows = (digits.test.features - mean) / 16
        scores = rows @ weights.T + bias
        np.testing.assert_allclose(scores, examples[f"{name}_scores"][seed], atol=1e-4)
        scores = (train - mean) / 16 @ weights.T + bias
        labels = digits.train.labels
        losses = map(plain_numpy.example_loss, [name] * len(labels), scores, labels)
        squares = (weights**2).sum() + (bias**2).sum()
        objectives.append(np.mean([*losses]) + l2 / 2 * squares)
    found = run.numbers(name)["objective"]
    assert found == pytest.approx(np.mean(objectives), rel=1e-4)


# The choice


@pytest.mark.parametrize(
    ("accuracies", "choice"),
    [
        ([0.5, 0.7, 0.6, 0.7], 3),
        ([0.7, 0.7, 0.7, 0.7], 2),
        ([0.7, 0.7, np.nan, 0.7], 3),
        ([0.7, 0.1, np.nan, np.nan], 0),
    ],
)
def test_ties_go_to_the_stronger_penalty_then_the_slower_rate(accuracies, choice):
    settings = [(0.1, 1.0), (0.1, 2.0), (0.2, 1.0), (0.2, 2.0)]
    # Of two seeds one suffices to count as diverged.
    validation = np.stack([np.full(4, 0.7), accuracies], axis=1)
    assert measure.choose(validation, settings) == choice


def test_if_all_diverge_the_rates_are_to_blame():
    with pytest.raises(ValueError, match="rates must let one setting converge"):
        measure.choose(np.full((2, 1), np.nan), [(0.1, 1.0), (0.1, 2.0)])


def test_table_has_a_row_for_each_model(table, examples):
    assert len(table) == 2 * (2 * 2 * 2 + 2)
    keys = [
        (row["loss"], row["stage"], row["l2"], row["learning_rate"], row["seed"])
        for row in table
    ]
    assert len(set(keys)) == len(table)
    for row in table:
        # Models of a grid never see the test set.
        assert (row["test_accuracy"] == "") == (row["stage"] == "grid")
        assert (row["validation_accuracy"] == "") == (row["stage"] == "refit")
        if row["stage"] == "refit":
            said = examples[f"{row['loss']}_predictions"][int(row["seed"])]
            right = said == examples["labels"]
            assert float(row["test_accuracy"]) == pytest.approx(right.mean())


@pytest.mark.parametrize("name", METHODS)
def test_choice_is_the_best_mean_validation_accuracy(run, table, name):
    by_setting = {}
    for row in table:
        if row["loss"] == name and row["stage"] == "grid":
            setting = float(row["l2"]), float(row["learning_rate"])
            accuracy = float(row["validation_accuracy"])
            by_setting.setdefault(setting, []).append(accuracy)
    assert len(by_setting) == 4
    assert {len(seeds) for seeds in by_setting.values()} == {2}
    means = {setting: np.mean(seeds) for setting, seeds in by_setting.items()}
    best = max(means.values())
    # Of equally good settings the one with the strongest penalty, then the slowest.
    expected = max(
        (one for one in means if best - means[one] < 1e-6),
        key=lambda one: (one[0], -one[1]),
    )
    found = chosen(run, name)
    assert (found["l2"], found["learning_rate"]) == expected
    refits = [row for row in table if (row["loss"], row["stage"]) == (name, "refit")]
    assert {(float(r["l2"]), float(r["learning_rate"])) for r in refits} == {expected}


def test_validation_is_of_examples_that_the_grid_never_saw(run, digits):
    """Recomputed by NumPy from the weights of the grid, which is trained again."""
    split = protocol.split(SMOKE, digits.train.labels)
    everything = digits.train.features
    searched, held_out = (everything[part].astype(float) for part in split)
    assert len(held_out) == 130
    together = np.sort(np.concatenate(split))
    np.testing.assert_array_equal(together, np.arange(1297))
    labels = digits.train.labels[split.held_out]
    assert np.ptp(np.bincount(labels)) <= 1, "stratified"
    rows = (held_out - searched.mean(axis=0)) / 16
    problem = protocol.problem(digits, split.train)
    for name in METHODS:
        settings = run.numbers(name)["settings"]
        rates = [one["learning_rate"] for one in settings[:2]]
        l2s = [one["l2"] for one in settings[::2]]
        grid = measure._trained(SMOKE, problem, name, rates, l2s)
        weights, bias = (np.asarray(leaf[0, 0], float) for leaf in grid.params)
        scores = np.einsum("nd,sgcd->sgnc", rows, weights) + bias[:, :, None]
        expected = (scores.argmax(axis=-1) == labels).mean(axis=-1)
        found = [one["validation_accuracy"] for one in settings]
        np.testing.assert_allclose(found, expected.T, atol=1e-6)


def test_saved_config_reruns_exactly_and_compiles_nothing(run, tmp_path):
    config, options = run_helpers.parse(
        "train_sgd",
        *("--config", run.folder.path / "config.json", "--out", tmp_path / "again"),
    )
    assert config == SMOKE
    assert options == cli.RunOptions(
        out=tmp_path / "again", config=run.folder.path / "config.json"
    )
    # Another file's test may have dropped the programs of the first run.
    run_helpers.run_study("train_sgd", out=tmp_path / "warm")
    with run_helpers.nothing_compiled():
        again = run_helpers.run_study("train_sgd", config, out=options.out)
    run_helpers.assert_same(again.run.folder.path, run.folder.path)
