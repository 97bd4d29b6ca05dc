"""Objectives in NumPy, and the examination of certificates by them."""

import math
import types

import numpy as np
import optima
import pytest
from plain_numpy import weighted_problem

import jaxlin
from experiments.common import numpy_objective
from jaxlin import losses, normalization

NAMES = tuple(numpy_objective.LOSSES)


def test_a_small_softmax_loss_keeps_its_digits():
    scores = np.array([[60.0, 0.0, 0.0]])
    values, _ = numpy_objective.softmax_cross_entropy(scores, np.array([0]))
    assert values[0] == pytest.approx(math.log1p(2 * math.exp(-60)), rel=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_descent_from_zero_reaches_the_optimum(name):
    """Values, slopes and smoothing are right, or it would end elsewhere."""
    _, data, exact = weighted_problem(name)
    best = optima.optimum(exact)
    found = numpy_objective.descended(np.zeros((3, 4)), data, loss=name, l2=1e-2)
    value = numpy_objective.objective(found, data, loss=name, l2=1e-2)
    assert value == pytest.approx(optima.objective(found, exact), rel=1e-13)
    assert best.lower <= value <= best.value * (1 + 1e-8)


def test_descent_never_returns_more_than_its_start():
    _, data, exact = weighted_problem("crammer_singer_hinge")
    start = optima.optimum(exact).weights
    how = {"loss": "crammer_singer_hinge", "l2": 1e-2}
    found = numpy_objective.descended(start, data, **how)
    before, after = (numpy_objective.objective(w, data, **how) for w in (start, found))
    assert after <= before


def test_a_false_certificate_is_found():
    """A gap that is claimed to be smaller than it is."""
    rows, data, exact = weighted_problem("crammer_singer_hinge")
    fit = jaxlin.fit(
        rows,
        data.targets,
        loss=losses.crammer_singer_hinge,
        l2=1e-2,
        weights=data.weights,
        stop=jaxlin.Stop(1e-1),
        refine=False,
    )
    data = numpy_objective.seen_by(fit, rows, data.targets, data.weights)
    found = numpy_objective.examined(fit, data)
    assert not found["false"]
    assert 0 < found["true_share"] <= 1
    assert found["objective"] == pytest.approx(fit.certificate.primal, rel=1e-6)

    distance = found["objective"] - optima.optimum(exact).value
    primal = fit.certificate.primal

    def claiming(gap, dual):
        proof = fit.certificate._replace(gap=gap, rounding=0.0, dual=dual)
        return numpy_objective.examined(fit._replace(certificate=proof), data)

    assert not claiming(1.01 * distance, primal - 1.01 * distance)["false"]
    assert claiming(0.99 * distance, primal - 1.01 * distance)["false"]
    # The lower bound alone is false.
    assert claiming(1.01 * distance, primal - 0.99 * distance)["false"]
    assert claiming(distance / 2, 0.0)["true_share"] == pytest.approx(2, rel=1e-3)


def test_rows_are_normalised_in_float64():
    """By loops; 1 / 3 is no float32."""
    features = np.array([[1 / 3, 5.0], [4 / 3, 5.0], [1.0, 5.0]])
    fit = types.SimpleNamespace(
        normalization=normalization.fit_standard(features), bias="penalized"
    )
    data = numpy_objective.seen_by(fit, features, np.array([0, 1, 1]))
    mean, scale = features[:, 0].mean(), features[:, 0].std()
    for row, given in zip(data.rows, features, strict=True):
        assert row[0] == pytest.approx((given[0] - mean) / scale, rel=1e-12)
        assert (row[1], row[2]) == (0, 1)
    np.testing.assert_array_equal(data.weights, np.ones(3))
