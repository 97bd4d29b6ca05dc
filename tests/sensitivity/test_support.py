"""Certified non-support vectors against optima without them."""

import numpy as np
import pytest
from left_out_problems import LABELS, ROWS, WEIGHTS, fit_of, problem_of

import jaxlin
from jaxlin import losses
from jaxlin.sensitivity import support

HINGES = (
    losses.weston_watkins_hinge,
    losses.weston_watkins_squared_hinge,
    losses.crammer_singer_hinge,
    losses.one_vs_rest_hinge,
)
# Classes that the rows separate, so that many examples have no loss.
FAR = 3 * np.eye(3)[LABELS] @ np.eye(3, 4) + ROWS


@pytest.mark.parametrize("bias", ["penalized", "none"])
@pytest.mark.parametrize("loss", HINGES, ids=lambda loss: loss.__name__)
def test_optima_without_certified_examples_stay(loss, bias):
    problem = jaxlin.problem(FAR, LABELS, weights=WEIGHTS)
    fit = fit_of(problem, loss, bias)
    found = support.non_support(fit, problem)
    certified = np.flatnonzero(found.mask & (WEIGHTS > 0))
    assert 5 < len(certified) < 39
    scores = jaxlin.scores(fit, FAR)
    for example in certified[::9]:
        weights = WEIGHTS.copy()
        weights[example] = 0
        left = jaxlin.problem(FAR, LABELS, weights=weights)
        share = WEIGHTS[example] / WEIGHTS.sum()
        same_sum = fit_of(left, loss, bias, fit.l2 / (1 - share))
        np.testing.assert_allclose(
            same_sum.params.weights,
            fit.params.weights,
            atol=fit.radius + same_sum.radius,
        )
        other = fit_of(left, loss, bias)
        distance = np.sqrt(
            sum(
                np.sum((one - two) ** 2)
                for one, two in zip(other.params, fit.params, strict=True)
            )
        )
        assert distance <= found.radii[example] + other.radius
        if found.same_labels[example]:
            label = jaxlin.predict(other, FAR[example : example + 1])[0]
            assert label == scores[example].argmax()
    assert found.same_labels[certified].any()
    assert np.isinf(found.radii[~found.mask]).all()
    assert not found.same_labels[~found.mask].any()


@pytest.mark.parametrize("loss", HINGES, ids=lambda loss: loss.__name__)
def test_no_example_with_a_loss_is_certified(loss):
    problem = jaxlin.problem(FAR, LABELS, weights=WEIGHTS)
    fit = fit_of(problem, loss)
    found = support.non_support(fit, problem)
    scores = jaxlin.scores(fit, FAR).astype(np.float32)
    own = np.array([loss(*one) for one in zip(scores, LABELS, strict=True)])
    assert (own > 0).any()
    assert not found.mask[own > 1e-4].any()
    more = jaxlin.problem(np.r_[FAR, -FAR], np.r_[LABELS, LABELS])
    with pytest.raises(ValueError, match="problem must be the one that was fitted"):
        support.non_support(fit, more)
    loose = fit._replace(certificate=fit.certificate._replace(gap=10.0))
    assert not support.non_support(loose, problem).mask.any()


def test_fits_without_such_examples_are_refused():
    problem = problem_of(losses.softmax_cross_entropy)
    softmax = fit_of(problem, losses.softmax_cross_entropy)
    with pytest.raises(ValueError, match="fit must be of a hinge"):
        support.non_support(softmax, problem)
    hinge = fit_of(problem, losses.weston_watkins_hinge, "free")
    with pytest.raises(ValueError, match="fit must have a penalized bias"):
        support.non_support(hinge, problem)
    other = fit_of(problem, losses.weston_watkins_hinge)
    with pytest.raises(ValueError, match="problem must be the one"):
        support.non_support(other, jaxlin.problem(ROWS[:, :3], LABELS))
