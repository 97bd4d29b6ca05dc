"""The path of a probe on generated embeddings, beside scikit-learn."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import benchmark_probes
from experiments.common import cli, measurements
from experiments.common.numpy_objective import Data, objective

MADE = benchmark_probes.MEASUREMENTS
LOSS = "softmax_cross_entropy"
SHAPE = MADE.smoke.shapes[0]


def peer_times(solver, rows, labels, l2s, config, objectives):
    """Times of a peer on rows to which it gets the constant 1."""
    extended = np.c_[rows, np.ones(len(rows), rows.dtype)]
    data = Data(extended, labels, np.ones(len(rows)))
    return benchmark_probes.peer_times(solver, data, l2s, objectives, config)


def test_embeddings_are_standardised_imbalanced_and_of_their_seed():
    rows, labels = benchmark_probes.embeddings(5000, 6, 4, seed=3)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.std(axis=0), 1, rtol=1e-5)
    expected = 1 / (5 + np.arange(4))
    shares = np.bincount(labels) / 5000
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.03)
    again, _ = benchmark_probes.embeddings(5000, 6, 4, seed=3)
    np.testing.assert_array_equal(rows, again)
    other, _ = benchmark_probes.embeddings(5000, 6, 4, seed=4)
    assert not np.array_equal(rows, other)


def test_the_peer_minimises_our_objective(monkeypatch):
    """Given all the iterations that it needs; a wrong C would lead elsewhere."""
    rows, labels = benchmark_probes.embeddings(*SHAPE, seed=0)
    kept = []
    model_of = benchmark_probes.sklearn_models.logistic_regression

    def tight(labels, **settings):
        settings |= {"tol": 1e-8, "max_iter": 10_000}
        kept.append(model_of(labels, **settings))
        return kept[-1]

    monkeypatch.setattr(benchmark_probes.sklearn_models, "logistic_regression", tight)
    l2s = (1e-1, 1e-3)
    config = dataclasses.replace(MADE.smoke, peer_step=1)
    found = benchmark_probes.sweep_times(rows, labels, l2s, config)
    peer = peer_times("lbfgs", rows, labels, l2s, config, found["objectives"])
    assert (peer["fitted"], peer["at_limit"], peer["within"]) == (2, 0, 2)
    assert peer["seconds_to_gap"] == peer["seconds"]
    data = Data(np.c_[rows, np.ones(len(rows))], labels, np.ones(len(rows)))
    for model, l2, ours in zip(kept, l2s, found["objectives"], strict=True):
        theirs = objective(model.coef_.astype(float), data, loss=LOSS, l2=l2)
        assert theirs <= ours * (1 + 1e-6)
        assert ours <= theirs * (1 + config.relative_gap)


def test_an_answer_that_is_far_off_costs_more_iterations_to_the_gap(monkeypatch):
    """One iteration at the defaults."""
    rows, labels = benchmark_probes.embeddings(*SHAPE, seed=0)
    model_of = benchmark_probes.sklearn_models.logistic_regression

    def short(labels, **settings):
        return model_of(labels, **{"max_iter": 1, **settings})

    monkeypatch.setattr(benchmark_probes.sklearn_models, "logistic_regression", short)
    (ours,) = benchmark_probes.sweep_times(rows, labels, (1e-3,), MADE.smoke)[
        "objectives"
    ]
    found = peer_times("lbfgs", rows, labels, (1e-3,), MADE.smoke, [ours])
    assert (found["at_limit"], found["within"], found["reached"]) == (1, 0, 1)
    assert found["distances"][0] > 1e-2
    monkeypatch.setattr(benchmark_probes, "_LEAST_TOLERANCE", 1e-4)
    found = peer_times("lbfgs", rows, labels, (1e-3,), MADE.smoke, [ours])
    assert (found["reached"], found["seconds_to_gap"]) == (0, None)


def test_the_extension_for_scikit_learn_minimises_the_same_objective():
    pytest.importorskip("sklearnex", reason="needs scikit-learn-intelex")
    rows, labels = benchmark_probes.embeddings(*SHAPE, seed=0)
    (ours,) = benchmark_probes.sweep_times(rows, labels, (1e-2,), MADE.smoke)[
        "objectives"
    ]
    found = peer_times("intelex", rows, labels, (1e-2,), MADE.smoke, [ours])
    assert (found["fitted"], found["within"]) == (1, 1)


def test_a_peer_that_needs_too_much_memory_is_left_out(monkeypatch):
    monkeypatch.setattr(benchmark_probes, "_MAX_CHOLESKY", 26)
    rows, labels = benchmark_probes.embeddings(*SHAPE, seed=0)
    arguments = ("newton-cholesky", rows, labels, (1e-2,), MADE.smoke, [1.0])
    assert peer_times(*arguments) is None
    monkeypatch.setattr(benchmark_probes, "_MAX_CHOLESKY", 27)
    assert peer_times(*arguments)["fitted"] == 1


def test_a_run_has_a_line_per_shape(tmp_path, capsys):
    measurements.run(MADE, MADE.smoke, cli.RunOptions(out=tmp_path / "run"))
    (found,) = json.loads((tmp_path / "run" / "results.json").read_text())["rows"]
    assert found["shape"] == list(SHAPE)
    assert found["ours"]["proven"] == 4
    assert found["ours"]["largest_gap"] <= 1e-3
    ratio = found["peers"]["lbfgs"]["seconds"] / found["ours"]["seconds"]
    assert found["ratio"] == pytest.approx(ratio)
    ratio = found["peers"]["lbfgs"]["seconds_to_gap"] / found["ours"]["seconds"]
    assert found["ratio_to_gap"] == pytest.approx(ratio)
    assert "300 x 8 x 3" in capsys.readouterr().out
