"""Influences against derivatives of optima in the weights of examples."""

import jax
import numpy as np
import pytest
from left_out_problems import (
    DISTRIBUTIONS,
    LABELS,
    ROWS,
    WEIGHTS,
    fit_of,
    problem_of,
    scores_at,
    targets_of,
)
from smooth_cases import LOSS_AND_BIAS

import jaxlin
from jaxlin import losses
from jaxlin.solvers import hessian_system

SOFTMAX = losses.softmax_cross_entropy
# Test examples are the first rows; examples that are left out, some others.
TESTS, OTHERS, STEP = 3, [0, 7, 20, 39], 1e-4


def losses_of(loss, scores, targets):
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(loss)(scores, targets))


def change_of_scores(loss, bias):
    """Derivatives of the scores of the tests in the share that is left out."""
    sets = []
    for example in OTHERS:
        for share in (1 - STEP, 1 + STEP):
            weights = WEIGHTS.astype(np.float64)
            weights[example] *= share
            sets.append(weights)
    found = scores_at(np.array(sets), loss=loss, bias=bias)[:, :TESTS]
    return found[0::2], found[1::2]


@pytest.mark.parametrize("method", ["factorised", "conjugate gradients"])
@pytest.mark.parametrize(("loss", "bias"), LOSS_AND_BIAS)
def test_changes_are_derivatives_in_the_weight(loss, bias, method, monkeypatch):
    if method != "factorised":
        monkeypatch.setattr(hessian_system, "MAX_DENSE", 0)
    problem = problem_of(loss)
    fit = fit_of(problem, loss, bias)
    targets = targets_of(loss)[:TESTS]
    less, more = change_of_scores(loss, bias)
    of_losses = [
        (losses_of(loss, one, targets) - losses_of(loss, two, targets)) / (2 * STEP)
        for one, two in zip(less, more, strict=True)
    ]
    found = jaxlin.influence(fit, problem, ROWS[:TESTS], targets, tolerance=1e-12)
    assert found.changes.shape == (TESTS, len(ROWS))
    size = np.abs(found.changes).max()
    np.testing.assert_allclose(
        found.changes[:, OTHERS], np.transpose(of_losses), atol=2e-5 * size
    )
    assert found.residuals.max() < 1e-9
    of_scores = jaxlin.influence(fit, problem, ROWS[:TESTS], tolerance=1e-12).changes
    expected = ((less - more) / (2 * STEP)).reshape(len(OTHERS), -1).T
    by_class = of_scores.reshape(TESTS, 3, -1)
    np.testing.assert_allclose(by_class.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(
        of_scores[:, OTHERS], expected, atol=2e-5 * np.abs(of_scores).max()
    )


def test_the_mean_is_one_system_whose_changes_are_the_means():
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    for labels, per_test in ((LABELS[:TESTS], 1), (None, 3)):
        each = jaxlin.influence(fit, problem, ROWS[:TESTS], labels).changes
        mean = jaxlin.influence(fit, problem, ROWS[:TESTS], labels, mean=True).changes
        expected = each.reshape(TESTS, per_test, -1).mean(axis=0)
        np.testing.assert_allclose(mean, expected, atol=1e-12)


def test_groups_are_sums_and_orders_are_by_change():
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    found = jaxlin.influence(fit, problem, ROWS[:TESTS], LABELS[:TESTS])
    names, sums = found.of_groups(np.where(np.arange(40) < 10, "low", "high"))
    np.testing.assert_array_equal(names, ["high", "low"])
    expected = found.changes[:, :10].sum(axis=1)
    np.testing.assert_allclose(sums[:, 1], expected, atol=1e-15)
    np.testing.assert_allclose(sums.sum(axis=1), found.changes.sum(axis=1), atol=1e-15)
    mask = np.arange(40) < 10
    np.testing.assert_allclose(found.of_groups(mask)[1], sums)
    order = np.argsort(found.changes[1])
    np.testing.assert_array_equal(found.most_harmful(4)[1], order[:4])
    np.testing.assert_array_equal(found.most_helpful(4)[1], order[::-1][:4])


def test_small_groups_change_test_losses_as_predicted():
    """The removal of a group by optima without it."""
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX, l2=0.1)
    # Those that the fit does not see: at its own the gradient is about 0.
    tests, labels = ROWS[::-1] + 0.3, (ROWS[::-1, :3] + 0.3).argmax(axis=1)
    found = jaxlin.influence(fit, problem, tests, labels, mean=True)
    groups = [np.arange(first, first + 2) for first in range(8, 40, 2)]
    sets = np.array([WEIGHTS] * (len(groups) + 1))
    for weights, group in zip(sets, groups, strict=False):
        weights[group] = 0
    scores = scores_at(sets, loss=SOFTMAX, l2=0.1, rows=tests)
    means = np.array([losses_of(SOFTMAX, one, labels).mean() for one in scores])
    predicted = [found.changes[0, group].sum() for group in groups]
    assert np.corrcoef(predicted, means[:-1] - means[-1])[0, 1] > 0.98


def test_labels_and_shapes_are_checked():
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    with pytest.raises(ValueError, match="labels"):
        jaxlin.influence(fit, problem, ROWS[:2], [0, 5])
    with pytest.raises(ValueError, match="labels must have one entry per example"):
        jaxlin.influence(fit, problem, ROWS[:2], LABELS[:3])
    with pytest.raises(ValueError, match="features"):
        jaxlin.influence(fit, problem, ROWS[:2, :3], LABELS[:2])
    of_hinge = fit_of(problem, losses.crammer_singer_hinge)
    with pytest.raises(ValueError, match="fit must be of a smooth loss"):
        jaxlin.influence(of_hinge, problem, ROWS[:1], LABELS[:1])
    soft = problem_of(losses.cross_entropy)
    of_soft = fit_of(soft, losses.cross_entropy)
    with pytest.raises(ValueError, match="labels"):
        jaxlin.influence(of_soft, soft, ROWS[:2], DISTRIBUTIONS[:2, :2])
    found = jaxlin.influence(fit, problem, ROWS[:2], LABELS[:2])
    with pytest.raises(ValueError, match="tolerance must be"):
        jaxlin.influence(fit, problem, ROWS[:2], LABELS[:2], tolerance=0)
    with pytest.raises(ValueError, match="number must be"):
        found.most_helpful(41)
    for groups in ([1, 2], 3, [[1] * 40], [None] * 40, [np.nan] * 40):
        with pytest.raises(ValueError, match="groups must"):
            found.of_groups(groups)
