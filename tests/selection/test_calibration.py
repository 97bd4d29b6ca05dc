"""Temperature: against scipy's minimiser, and on scores of a known temperature."""

import jax
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from jaxlin.selection import calibration


def drawn(temperature, *, num_examples=500, num_classes=4, seed=0):
    """Scores whose labels are drawn at a temperature."""
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(num_examples, num_classes)) * 3
    chances = scipy.special.softmax(scores / temperature, axis=1)
    labels = [generator.choice(num_classes, p=row) for row in chances]
    return scores.astype(np.float32), np.array(labels)


def mean_loss(scores, labels, weights=None):
    each = -scipy.special.log_softmax(scores.astype(float), axis=1)
    return np.average(each[np.arange(len(labels)), labels], weights=weights)


@pytest.mark.parametrize("truth", [0.2, 1.0, 7.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_is_the_minimum_of_the_cross_entropy(truth, weighted):
    scores, labels = drawn(truth)
    weights = np.arange(500.0) if weighted else None
    found = calibration.temperature(scores, labels, example_weights=weights)
    best = scipy.optimize.minimize_scalar(
        lambda log_t: mean_loss(scores / np.exp(log_t), labels, weights),
        bounds=(-5, 5),
        method="bounded",
        options={"xatol": 1e-7},
    )
    np.testing.assert_allclose(found.value, np.exp(best.x), rtol=1e-3)
    np.testing.assert_allclose(found.loss_after, best.fun, rtol=1e-5)
    np.testing.assert_allclose(
        found.loss_before, mean_loss(scores, labels, weights), rtol=1e-5
    )
    assert not found.at_bound


def test_the_true_temperature_is_found():
    scores, labels = drawn(2.5, num_examples=20_000)
    np.testing.assert_allclose(
        calibration.temperature(scores, labels).value, 2.5, rtol=0.05
    )


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_does_not_depend_on_the_size_of_the_scores(size):
    scores, labels = drawn(1.5)
    found = calibration.temperature(scores * np.float32(size), labels)
    usual = calibration.temperature(scores, labels)
    np.testing.assert_allclose(found.value / size, usual.value, rtol=1e-4)
    np.testing.assert_allclose(found.loss_after, usual.loss_after, rtol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_scores_that_tell_everything_or_its_opposite_have_none(sign):
    labels = np.arange(500) % 4
    scores = sign * np.eye(4, dtype=np.float32)[labels]
    assert calibration.temperature(scores, labels).at_bound


def test_probabilities_are_softmax_of_what_is_left():
    scores = np.array([[1.0, 2.0, 4.0]])
    np.testing.assert_allclose(
        calibration.probabilities(scores, temperature=2.0),
        jax.nn.softmax(scores / 2),
        rtol=1e-6,
    )
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        calibration.probabilities(scores, temperature=0)


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        (np.ones(3), [0, 1, 2], "scores must have shape"),
        (np.ones((2, 3)), [0, 3], r"labels must lie in \[0, 2\], got 3"),
        (np.array([[1.0, np.inf]]), [0], "scores must be finite"),
        (np.ones((2, 3)), [0], "labels must have one entry per example, got 1"),
        (np.ones((2, 1)), [0, 0], "scores must be of at least two classes"),
    ],
)
def test_bad_input(scores, labels, words):
    with pytest.raises(ValueError, match=words):
        calibration.temperature(scores, labels)
