"""Metrics of a fit on test examples against scikit-learn."""

import jax
import numpy as np
import pytest
import sklearn.metrics
from small_fits import RAW, trained

import jaxlin
from jaxlin import linear
from jaxlin.stats import intervals, metrics

NAMES = np.array(["ant", "bee", "cat", "cow", "dog", "eel", "fox"])
CODES = np.arange(len(RAW)) * 5 % 7


def fit_of(num_classes, *, dtype=np.float32, temperature=1.7):
    """A classifier with random weights, whose scores have no ties."""
    random = np.random.default_rng(0)
    width = RAW.shape[1]
    params = linear.Params(
        0.3 * random.normal(size=(num_classes, width)).astype(dtype),
        random.normal(size=num_classes).astype(dtype),
    )
    return trained(params=params, classes=NAMES[:num_classes], temperature=temperature)


@pytest.fixture(scope="module", params=[np.float32, np.float64])
def fit(request):
    return fit_of(7, dtype=request.param)


@pytest.fixture(scope="module")
def found(fit):
    return jaxlin.evaluate(fit, RAW, NAMES[CODES])


def test_accuracies_are_scikit_learns(fit, found):
    scores, labels = jaxlin.scores(fit, RAW), NAMES[CODES]
    predicted = NAMES[scores.argmax(axis=1)]
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.predictions, predicted)
    assert found.accuracy.value == sklearn.metrics.accuracy_score(labels, predicted)
    right = int((predicted == labels).sum())
    assert found.accuracy.interval == intervals.proportion_interval(right, len(RAW))
    top_5 = sklearn.metrics.top_k_accuracy_score(
        CODES, scores, k=5, normalize=False, labels=range(7)
    )
    assert found.top_5_accuracy.value == top_5 / len(RAW)
    assert found.top_5_accuracy.interval == intervals.proportion_interval(
        int(top_5), len(RAW)
    )
    assert right < top_5 < len(RAW)
    assert found.mean_per_class_accuracy.value == pytest.approx(
        sklearn.metrics.balanced_accuracy_score(labels, predicted)
    )


def test_log_loss_and_calibration_before_and_after_the_temperature(fit, found):
    for at, log_loss, error in (
        (fit, found.log_loss, found.calibration_error),
        (
            fit._replace(temperature=1.0),
            found.log_loss_before,
            found.calibration_error_before,
        ),
    ):
        probabilities = np.asarray(jaxlin.probabilities(at, RAW), np.float32)
        exact = np.asarray(jaxlin.probabilities(at, RAW), np.float64)
        exact = exact / exact.sum(axis=1, keepdims=True)
        expected = sklearn.metrics.log_loss(CODES, exact)
        assert log_loss.value == pytest.approx(expected, rel=1e-5)
        low, high = log_loss.interval
        assert low < log_loss.value < high
        bins = metrics.calibration_bins(probabilities, CODES)
        assert error.value == pytest.approx(
            float(metrics.expected_calibration_error(bins)), abs=1e-5
        )
        assert error.interval.low <= error.value <= error.interval.high
    assert found.log_loss_before.value != pytest.approx(found.log_loss.value)
    assert found.log_loss.value == pytest.approx(found.example_log_losses.mean())


def test_five_classes_have_no_top_5():
    few = CODES < 5
    found = jaxlin.evaluate(fit_of(5), RAW[few], NAMES[CODES[few]])
    assert found.top_5_accuracy is None


def test_blocks_of_rows_change_nothing(fit, found, monkeypatch):
    from jaxlin import objective

    monkeypatch.setattr(objective, "BLOCK_ROWS", 7)
    jax.clear_caches()
    again = jaxlin.evaluate(fit, RAW, NAMES[CODES])
    assert again.accuracy == found.accuracy
    np.testing.assert_allclose(
        again.example_log_losses, found.example_log_losses, rtol=1e-5
    )
