"""Distances of peers from the optimum, judged by our objective alone."""

import numpy as np
import pytest
from solver_problems import L2, loop_objective, problem, stored

from experiments.benchmark_solvers import rows as judge
from experiments.benchmark_solvers.rows import Rows
from experiments.common.losses import CERTIFIED


@pytest.mark.parametrize("loss", CERTIFIED)
def test_objectives_are_those_of_the_definition(loss):
    rows, labels = problem(3)
    weights = np.random.default_rng(1).normal(size=(7, 3, 5)).astype(np.float32)
    found = judge.objectives(weights, stored(3), loss=loss, l2=L2)
    assert found.dtype == np.float64
    expected = [loop_objective(one, rows, labels, loss) for one in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    weights[5, 1, 2] = np.nan
    spoilt = judge.objectives(weights, stored(3), loss=loss, l2=L2)
    np.testing.assert_array_equal(np.isfinite(spoilt), np.arange(7) != 5)


def test_accuracy_counts_the_first_of_equal_scores():
    features = np.array([[3, 0], [0, 3], [2, 1], [1, 2]], np.float32)
    labels = np.array([0, 1, 0, 0], np.int32)
    rows = Rows(features, labels, np.zeros(2, np.float32), np.float32(1), 2)
    weights = np.eye(2, 3, dtype=np.float32)
    assert judge.accuracy(weights, rows) == 0.75
    assert judge.accuracy(weights[::-1], rows) == 0.25
    assert judge.accuracy(0 * weights, rows) == 0.75


def test_no_weights_have_no_objectives():
    how = {"loss": "one_vs_rest_hinge", "l2": L2}
    assert judge.objectives(np.zeros((0, 3, 5)), stored(3), **how).shape == (0,)


def test_rows_are_those_of_the_definition(digits):
    train, test = judge.of(digits)
    expected = (digits.test.features - digits.train.features.mean(axis=0)) / 16
    np.testing.assert_allclose(test.extended()[:, :-1], expected, atol=1e-6)
    assert (test.extended()[:, -1] == 1).all()
    assert test.extended().dtype == train.extended().dtype == np.float32
