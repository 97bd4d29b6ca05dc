"""Fits with a free bias, against other software and its published digits."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import jaxlin
from experiments import published_digits
from jaxlin import losses
from jaxlin.objective import penalties

SOFTMAX = losses.softmax_cross_entropy


def test_the_published_digits_of_a_multinomial_logit():
    """At an l2 that moves the seventh digit, on standardised features.

    It moves standard errors by 4e-8 of them.
    """
    config = published_digits.Config()
    row = published_digits.measured(config, None, "anes96")
    assert row["relative_gap"] < 1e-10
    likelihood = row["log_likelihood"]
    np.testing.assert_allclose(likelihood, published_digits.LOG_LIKELIHOOD, rtol=1e-8)
    np.testing.assert_allclose(
        row["coefficients"], published_digits.COEFFICIENTS, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        row["standard_errors"], published_digits.STANDARD_ERRORS, rtol=1e-7
    )
    printed = published_digits.report(config, [row])
    published, ours = printed.splitlines()[1].split()[2:4]
    assert published == "-1461.922747"
    assert float(ours) == pytest.approx(likelihood, rel=1e-9)
    assert len(printed.splitlines()) == 2 + 2 * published_digits.COEFFICIENTS.size + 1


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
