"""How near the optimum a peer came is judged by our objective alone."""

import numpy as np
import pytest
from solver_problems import L2, loop_objective, problem

from experiments.benchmark_solvers import judge
from experiments.common.losses import CERTIFIED


@pytest.mark.parametrize("loss", CERTIFIED)
def test_objectives_are_those_of_the_definition(loss, monkeypatch):
    monkeypatch.setattr(judge, "_ROWS_PER_BLOCK", 7)
    rows, labels = problem(3)
    weights = np.random.default_rng(1).normal(size=(7, 3, 5)).astype(np.float32)
    found = judge.objectives(weights, rows, labels, loss=loss, l2=L2)
    assert found.dtype == np.float64
    expected = [loop_objective(one, rows, labels, loss) for one in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    weights[5, 1, 2] = np.nan
    spoilt = judge.objectives(weights, rows, labels, loss=loss, l2=L2)
    np.testing.assert_array_equal(np.isfinite(spoilt), np.arange(7) != 5)


def test_accuracy_counts_the_first_of_equal_scores():
    rows = np.array([[3, 0, 1], [0, 3, 1], [2, 1, 1], [1, 2, 1]], np.float32)
    labels = np.array([0, 1, 0, 0], np.int32)
    weights = np.eye(2, 3, dtype=np.float32)
    assert judge.accuracy(weights, rows, labels) == 0.75
    assert judge.accuracy(weights[::-1], rows, labels) == 0.25
    assert judge.accuracy(0 * weights, rows, labels) == 0.75


def test_no_weights_have_no_objectives():
    rows, labels = problem(3)
    how = {"loss": "one_vs_rest_hinge", "l2": L2}
    assert judge.objectives(np.zeros((0, 3, 5)), rows, labels, **how).shape == (0,)


def test_other_losses_are_refused():
    rows, labels = problem(3)
    with pytest.raises(ValueError, match="loss must be one of .* got 'hinge'"):
        judge.objectives(np.zeros((1, 3, 5)), rows, labels, loss="hinge", l2=L2)
