"""Expected numbers of the comparisons, and a weighted problem with its optimum."""

import math
from typing import NamedTuple

import numpy as np
import optima
import pytest
import scipy.optimize
from run_helpers import HINGE, METHODS, SOFTMAX

from experiments.common.numpy_objective import Data
from jaxlin import data


def example_loss(name, scores, label):
    """Loss of one example by a loop, as the lecture says it in words."""
    if name == HINGE:
        others = (s for j, s in enumerate(scores) if j != label)
        return sum(max(0.0, s - scores[label] + 1) for s in others)
    return math.log(sum(math.exp(s - scores[label]) for s in scores))


def assert_belong_together(name, examples):
    """Fails unless losses and predictions are those of the scores; returns the loss.

    Args:
      name: of the loss.
      examples: arrays of a run, of one model or of several.
    """
    scores = examples[f"{name}_scores"].astype(float)
    flat = scores.reshape(-1, scores.shape[-1])
    labels = np.tile(examples["labels"], len(flat) // len(examples["labels"]))
    expected = [example_loss(name, s, y) for s, y in zip(flat, labels, strict=True)]
    found = examples[f"{name}_losses"]
    np.testing.assert_allclose(found.ravel(), expected, 2e-5, 2e-5)
    predictions = examples[f"{name}_predictions"]
    np.testing.assert_array_equal(predictions, scores.argmax(axis=-1))
    assert found.shape == predictions.shape
    return np.mean(expected)


def assert_comparison(run):
    """Fails unless the comparison counts examples of the first seeds; returns it."""
    compared, examples = run.numbers("test")["comparison"], run.arrays("test")
    svm, softmax = (
        np.atleast_2d(examples[f"{name}_predictions"])[0] for name in METHODS
    )
    svm_right, softmax_right = (said == examples["labels"] for said in (svm, softmax))
    assert compared["only_second_right"] == (svm_right & ~softmax_right).sum()
    assert compared["only_first_right"] == (softmax_right & ~svm_right).sum()
    assert compared["agreement"] == pytest.approx((svm == softmax).mean())
    return compared


def assert_interval(found, right):
    """Wilson's interval against the normal approximation that 500 examples allow."""
    low, high = found["interval"]
    assert low <= found["accuracy"] <= high
    width = 2 * 1.96 * right.std() / math.sqrt(len(right))
    assert high - low == pytest.approx(width, rel=0.15)


class Rows(NamedTuple):
    """Digits in float64, normalised by NumPy, with the constant feature."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def digits_rows():
    """Returns the rows of digits."""
    digits = data.load("digits")
    mean = digits.train.features.astype(float).mean(axis=0).astype(np.float32)

    def normalised(features):
        rows = (features - mean.astype(float)) / 16
        return np.hstack([rows, np.ones((len(rows), 1))])

    return Rows(
        normalised(digits.train.features),
        digits.train.labels,
        normalised(digits.test.features),
        digits.test.labels,
    )


def objective(name, folded, rows, l2):
    """Objective and gradient in float64 by NumPy; the gradient of softmax only."""
    scores = rows.train @ folded.T
    index = np.arange(len(scores))
    right = scores[index, rows.train_labels]
    penalty = l2 / 2 * (folded**2).sum()
    if name == HINGE:
        margins = np.maximum(0, scores - right[:, None] + 1)
        return (margins.sum(axis=1) - 1).mean() + penalty, None
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares = shifted / shifted.sum(axis=1, keepdims=True)
    value = -np.log(shares[index, rows.train_labels]).mean() + penalty
    shares[index, rows.train_labels] -= 1
    return value, shares.T @ rows.train / len(scores) + l2 * folded


def folded(params):
    weights, bias = (np.asarray(leaf, float) for leaf in params)
    return np.hstack([weights, bias[:, None]])


def softmax_minimum(rows, l2):
    """The minimum of the softmax objective by SciPy, in float64."""

    def fun(flat):
        value, gradient = objective(SOFTMAX, flat.reshape(10, -1), rows, l2)
        return value, gradient.ravel()

    found = scipy.optimize.minimize(
        *(fun, np.zeros(10 * 65)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "ftol": 1e-16, "gtol": 1e-9},
    )
    assert np.abs(found.jac).max() < 1e-7
    return found


def weighted_problem(name, classes=3):
    """Rows, targets and weights, one of them 0, and the same for `optima`."""
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(25, 3))
    targets = generator.integers(classes, size=25)
    if name == "cross_entropy":
        targets = generator.dirichlet(np.ones(classes), 25)
    weights = generator.uniform(0.1, 2, 25)
    weights[3] = 0
    folded = np.c_[rows, np.ones(25)]
    exact = optima.Data(folded, targets, weights / weights.sum(), classes, name, 1e-2)
    return rows, Data(folded, targets, weights), exact
