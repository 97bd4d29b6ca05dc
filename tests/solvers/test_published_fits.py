"""Fits with a free bias, against other software and its published digits."""

import pathlib

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import jaxlin
from jaxlin import losses, normalization
from jaxlin.objective import penalties

SOFTMAX = losses.softmax_cross_entropy
ANES96 = pathlib.Path(__file__).parents[1] / "published" / "anes96.csv"

# Stata 11's mlogit of the party identification in the American National Election
# Studies of 1996, base category 0; the digits are in statsmodels (BSD licence),
# statsmodels/discrete/tests/results/results_discrete.py. One column per category: the
# logarithm of population + .1, left to right, age, education, income, constant.
COEFFICIENTS = np.transpose(
    [
        [-0.01153598, 0.29771435, -0.024945, 0.08249144, 0.00519655, -0.37340167],
        [-0.08875065, 0.39166864, -0.02289784, 0.18104276, 0.04787398, -2.2509132],
        [-0.1059667, 0.57345051, -0.01485121, -0.00715242, 0.05757516, -3.6655835],
        [-0.0915567, 1.2787718, -0.00868135, 0.19982796, 0.08449838, -7.6138431],
        [-0.0932846, 1.3469616, -0.01790407, 0.21693885, 0.08095841, -7.0604782],
        [-0.14088069, 2.0700801, -0.00943265, 0.3219257, 0.10889408, -12.105751],
    ]
)
LOG_LIKELIHOOD = -1461.922747312


def test_the_published_digits_of_a_multinomial_logit():
    """At an l2 that moves the seventh digit, on standardised features."""
    table = np.loadtxt(ANES96, delimiter=",", skiprows=1)
    rows, labels = table[:, :-1], table[:, -1].astype(int)
    rows[:, 0] = np.log(rows[:, 0] + 0.1)
    fit = jaxlin.fit(
        rows,
        labels,
        loss=SOFTMAX,
        l2=1e-9,
        bias="free",
        normalization=normalization.fit_standard,
        stop=jaxlin.Stop(1e-12),
        refine=True,
    )
    assert fit.relative_gap < 1e-10
    likelihood = -fit.certificate.primal * len(rows)
    np.testing.assert_allclose(likelihood, LOG_LIKELIHOOD, rtol=1e-8)
    mean, scale = fit.normalization
    weights = fit.params.weights / scale
    bias = fit.params.bias - weights @ mean
    folded = np.c_[weights, bias]
    found = (folded - folded[:1])[1:].T
    np.testing.assert_allclose(found, COEFFICIENTS, rtol=1e-4, atol=1e-6)


def noisy(num_classes):
    """Features with means of their own, classes of unequal shares, weights."""
    generator = np.random.default_rng(num_classes)
    rows = generator.normal(size=(150, 4)) + [0, 1, -2, 0.5]
    teacher = generator.normal(size=(4, num_classes))
    scores = rows @ teacher + 2 * np.eye(num_classes)[0]
    labels = np.argmax(scores + 2 * generator.normal(size=scores.shape), axis=1)
    return rows, labels, np.round(generator.uniform(0.25, 4, size=150), 2)


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("c", [1e-6, 1e-2, 1.0, 1e5])
def test_logistic_regression_of_scikit_learn(num_classes, c):
    """Objective to six digits, probabilities to four, with weights."""
    rows, labels, weights = noisy(num_classes)
    theirs = LogisticRegression(C=c, tol=1e-12, max_iter=10_000, solver="newton-cg")
    theirs.fit(rows, labels, sample_weight=weights)
    (l2,) = penalties.l2_of_c((c,), total_weight=weights.sum(), num_classes=num_classes)
    fit = jaxlin.fit(
        rows,
        labels,
        weights=weights,
        loss=SOFTMAX,
        l2=l2,
        bias="free",
        stop=jaxlin.Stop(1e-9),
        refine=True,
    )
    assert fit.relative_gap < 1e-8
    given = theirs.coef_, theirs.intercept_
    if num_classes == 2:
        given = tuple(np.concatenate([-part, part]) / 2 for part in given)
    # In float64: a fit that float32 proves has a float32 objective.
    theirs_there, ours_there = (
        jaxlin.certify(
            jaxlin.problem(rows, labels, weights=weights),
            jaxlin.linear.Params(*map(np.float64, params)),
            loss=SOFTMAX,
            l2=l2,
            bias="free",
        )
        for params in (given, fit.params)
    )
    ratio = theirs_there.certificate.primal / ours_there.certificate.primal
    assert 1 - 1e-8 <= ratio <= 1 + 1e-6
    np.testing.assert_allclose(
        jaxlin.probabilities(fit, rows), theirs.predict_proba(rows), atol=1e-4
    )
    if c == 1e-6:
        # The penalty leaves the shares of the classes.
        shares = np.bincount(labels, weights=weights) / weights.sum()
        found = jaxlin.probabilities(fit, rows).mean(axis=0)
        np.testing.assert_allclose(found, shares, atol=1e-3)
