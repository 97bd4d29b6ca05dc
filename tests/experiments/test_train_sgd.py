"""Training with SGD: the choice, the protocol, and nothing compiled twice."""

import dataclasses
import math

import jax
import numpy as np
import plain_numpy
import pytest
import run_helpers
from run_helpers import HINGE, METHODS, SOFTMAX

import jaxlin
from experiments.common import cli
from experiments.svm_vs_softmax import protocol
from experiments.train_sgd import measure
from experiments.train_sgd.config import SMOKE


@pytest.fixture(scope="module")
def run(finished_study):
    return finished_study("train_sgd").run


@pytest.fixture(scope="module")
def table(run):
    return run_helpers.table(run.folder.path)


def chosen(run, name):
    tuned = run.numbers(name)
    return tuned["settings"][tuned["choice"]]


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
    assert "over 2 seeds" in (run.folder.path / "report.html").read_text()


@pytest.mark.parametrize("name", METHODS)
def test_the_objective_is_that_of_the_saved_models(run, digits, name):
    train = digits.train.features.astype(float)
    rows, labels = (train - train.mean(axis=0)) / 16, digits.train.labels
    objectives, l2 = [], chosen(run, name)["l2"]
    for seed in range(2):
        fit = run.fit(name, f"seed{seed}")
        assert fit.l2 == l2
        weights, bias = (np.asarray(leaf, float) for leaf in fit.params)
        scores = rows @ weights.T + bias
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


def test_table_has_a_row_for_each_model(run, table):
    assert len(table) == 2 * (2 * 2 * 2 + 2)
    names = ("loss", "stage", "l2", "learning_rate", "seed")
    assert len({tuple(row[name] for name in names) for row in table}) == len(table)
    for row in table:
        # Models of a grid never see the test set.
        assert (row["test_accuracy"] == "") == (row["stage"] == "grid")
        assert (row["validation_accuracy"] == "") == (row["stage"] == "refit")
        if row["stage"] == "refit":
            name, seed = row["loss"], int(row["seed"])
            tested = run.numbers("test")["losses"][name]["accuracies"][seed]
            assert float(row["test_accuracy"]) == pytest.approx(tested)
            setting = {field: float(row[field]) for field in ("l2", "learning_rate")}
            assert setting.items() <= chosen(run, name).items()


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
        # Of equally good settings the one with the strongest penalty, then the slowest.
        best = max(
            settings,
            key=lambda one: (
                *(np.mean(one["validation_accuracy"]).round(6), one["l2"]),
                -one["learning_rate"],
            ),
        )
        assert chosen(run, name) == best


# The protocol


def test_a_rerun_and_other_settings_of_the_same_shapes_compile_nothing(run, tmp_path):
    """Both losses have the same start, order of examples and examples."""
    path = run.folder.path / "config.json"
    flags = ("--config", path, "--out", tmp_path / "again")
    config, options = run_helpers.parse("train_sgd", *flags)
    assert config == SMOKE
    assert options == cli.RunOptions(out=tmp_path / "again", config=path)
    # Another file's test may have dropped the programs of the first run.
    run_helpers.run_study("train_sgd", out=tmp_path / "warm")
    other = dataclasses.replace(
        SMOKE,
        hinge_l2=(1e-4, 3e-3),
        hinge_learning_rates=(0.1, 2.0),
        softmax_l2=(3e-5, 3e-3),
        softmax_learning_rates=(0.2, 0.9),
    )
    calls, train = [], jaxlin.train

    def watched(key, problem, **arguments):
        calls.append((key, problem, arguments))
        return train(key, problem, **arguments)

    with run_helpers.nothing_compiled(), pytest.MonkeyPatch.context() as patch:
        run_helpers.run_study("train_sgd", config, out=options.out)
        patch.setattr(jaxlin, "train", watched)
        out = tmp_path / "other"
        made = run_helpers.run_study("train_sgd", other, out=out, page=False).run
    run_helpers.assert_same(options.out, run.folder.path)
    compared = plain_numpy.assert_comparison(made)
    # In the smoke run both are alike, so that a swap would not be seen.
    assert compared["only_first_right"] != compared["only_second_right"]
    trained_alike(calls)


def trained_alike(calls):
    """Fails unless draws are from a key and the seed, and from nothing else."""
    assert [len(arguments["l2s"]) for _, _, arguments in calls] == [2, 1, 2, 1]
    keys = [jax.random.key_data(key) for key, _, _ in calls]
    for key in keys[1:]:
        np.testing.assert_array_equal(key, keys[0])
    for _, _, arguments in calls:
        assert (arguments["num_epochs"], arguments["num_seeds"]) == (4, 2)
    sizes = [problem.num_examples for _, problem, _ in calls]
    assert sizes == [1297 - 130, 1297] * 2
    for of_hinge, of_softmax in ((0, 2), (1, 3)):
        first, second = (calls[i][1].examples for i in (of_hinge, of_softmax))
        np.testing.assert_array_equal(first.features, second.features)
        np.testing.assert_array_equal(first.targets, second.targets)


def test_a_grid_is_one_program(digits, compiled):
    """One for 4 settings x 2 seeds."""
    split = protocol.split(SMOKE, digits.train.labels)
    problem = protocol.problem(digits, split.train)
    measure._trained(SMOKE, problem, SOFTMAX, [0.1, 0.2], [1e-3, 1e-2])
    assert len([name for name in compiled if "_advance" in name]) == 1
