"""Estimates against scikit-learn, and coverage of their intervals in simulations."""

import math

import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics
from metric_table import scored_batch, softmax_of

from jaxlin.stats import estimates, intervals, metrics


def test_a_share_has_wilsons_interval():
    correct = np.arange(50) % 5 > 0
    found = estimates.share(correct)
    assert found.value == 0.8
    assert found.interval == intervals.proportion_interval(40, 50)


def test_a_mean_has_a_t_interval():
    found = estimates.mean(np.array([1.0, 2.0, 3.0, 6.0]))
    half = 3.182446 * math.sqrt(14 / 3) / 2
    assert found.value == 3
    np.testing.assert_allclose(found.interval, (3 - half, 3 + half), rtol=1e-6)
    assert estimates.mean(np.array([2.0])) == (2.0, (-math.inf, math.inf))


def test_mean_per_class_is_scikit_learns_balanced_accuracy():
    scores, labels, _ = scored_batch()
    predicted = scores.argmax(axis=1)
    found = estimates.mean_per_class(predicted == labels, labels)
    expected = sklearn.metrics.balanced_accuracy_score(labels, predicted)
    assert found.value == pytest.approx(expected)
    # A class without examples changes nothing.
    assert estimates.mean_per_class(predicted == labels, labels + 1) == found


def test_mean_per_class_of_classes_all_right_is_not_known_exactly():
    low, high = estimates.mean_per_class(np.full(20, True), np.arange(20) % 4).interval
    assert 0.8 < low < 0.95
    assert high == 1


def covered(draw, *, truth, repeats=400):
    """Share of the intervals of random samples that hold the true value."""
    found = [draw(np.random.default_rng(seed)).interval for seed in range(repeats)]
    return np.mean([low <= truth <= high for low, high in found])


def test_mean_per_class_covers_the_mean_of_unequal_classes():
    """A rare class that is mostly wrong, and a frequent one that is mostly right."""
    codes = np.repeat([0, 1], [15, 985])
    share = np.array([0.4, 0.98])

    def draw(random):
        return estimates.mean_per_class(random.random(1000) < share[codes], codes)

    assert covered(draw, truth=share.mean()) > 0.92


# Numbers of examples and of bins that leave few examples to a bin.
SMALL = [(1, 15), (30, 15), (100, 15), (200, 100)]


def calibration_of(random, *, shift, size=1000, num_bins=15):
    """Estimate of a model whose confidence is too high by the shift."""
    confidence = 0.4 + 0.6 * random.beta(3, 1, size=size)
    return estimates.calibration_error(
        confidence, random.random(size) < confidence - shift, num_bins=num_bins
    )


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.1])
def test_calibration_intervals_cover_the_true_error(shift):
    """Those of the percentile bootstrap never cover 0."""
    assert covered(lambda r: calibration_of(r, shift=shift), truth=shift) > 0.93


@pytest.mark.parametrize(("size", "num_bins"), SMALL)
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_calibration_intervals_of_small_bins_cover_the_true_error(
    size, num_bins, shift
):
    """Bins of one example have no variance of their own, and an error above 0."""

    def draw(random):
        return calibration_of(random, shift=shift, size=size, num_bins=num_bins)

    assert covered(draw, truth=shift) > 0.93


@pytest.mark.parametrize("size", [10, 30, 1000])
def test_calibration_intervals_of_a_confident_model_cover_0(size):
    """Bins of several examples that are all right have no variance of their own."""

    def draw(random):
        confidence = 0.9 + 0.1 * random.beta(3, 1, size=size)
        return estimates.calibration_error(confidence, random.random(size) < confidence)

    assert covered(draw, truth=0) > 0.93


def test_calibration_intervals_are_not_too_wide():
    value, (low, high) = calibration_of(np.random.default_rng(0), shift=0.1)
    assert 0.03 < low < value < high < 0.15


def test_calibration_error_is_that_of_the_metrics():
    scores, labels, _ = scored_batch()
    probabilities = np.asarray(softmax_of(scores))
    correct = probabilities.argmax(axis=1) == labels
    for num_bins in (1, 7, 15):
        found = estimates.calibration_error(
            probabilities.max(axis=1), correct, num_bins=num_bins
        )
        bins = metrics.calibration_bins(probabilities, labels, num_bins=num_bins)
        expected = metrics.expected_calibration_error(bins)
        assert found.value == pytest.approx(float(expected), rel=1e-5)
        assert 0 <= found.interval.low < found.value < found.interval.high <= 1


def adaptive_error_by_classes(probabilities, labels, num_bins):
    """Mean over classes, from scikit-learn's curves by quantiles."""
    errors = []
    for k, given in enumerate(np.asarray(probabilities, np.float64).T):
        indicator = labels == k
        shares, means = sklearn.calibration.calibration_curve(
            indicator, given, n_bins=num_bins, strategy="quantile"
        )
        edges = np.quantile(given, np.arange(1, num_bins) / num_bins)
        counts = np.bincount(np.searchsorted(edges, given), minlength=num_bins)
        counts = counts[counts > 0]
        errors.append(counts @ abs(shares - means) / len(labels))
    return np.mean(errors)


@pytest.mark.parametrize("num_bins", [1, 7, 15])
def test_adaptive_calibration_error_is_that_of_scikit_learns_curves(num_bins):
    scores, labels, _ = scored_batch()
    for given in (scores, scores.round()):  # without and with ties
        probabilities = np.asarray(softmax_of(given), np.float64)
        found = estimates.adaptive_calibration_error(
            probabilities, labels, num_bins=num_bins
        )
        expected = adaptive_error_by_classes(probabilities, labels, num_bins)
        assert found.value == pytest.approx(expected, rel=1e-9)
        assert 0 <= found.interval.low < found.value < found.interval.high <= 1


def test_adaptive_calibration_error_by_hand():
    """Nixon's sum: two bins of two examples for each of two classes.

    Class 1 has probabilities .1, .2 | .6, .7 and indicators 0, 1 | 1, 1, so that its
    bins err by .35 and .35; class 0 is its mirror image.
    """
    second = np.array([0.6, 0.1, 0.7, 0.2])
    probabilities = np.stack([1 - second, second], axis=1)
    found = estimates.adaptive_calibration_error(
        probabilities, np.array([1, 0, 1, 1]), num_bins=2
    )
    assert found.value == pytest.approx(0.35)


def adaptive_error_of(random, *, shift, size=1000, num_bins=15):
    """Estimate of a model of three classes that mixes in a share of class 0."""
    probabilities = random.dirichlet([1, 1, 1], size=size)
    labels = (random.random((size, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    given = (1 - shift) * probabilities + shift * np.eye(3)[0]
    return estimates.adaptive_calibration_error(given, labels, num_bins=num_bins)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_adaptive_calibration_intervals_cover_the_true_error(shift):
    """True error: shift times the mean over classes of |p - [class 0]|."""
    truth = shift * (2 / 3 + 1 / 3 + 1 / 3) / 3
    assert covered(lambda r: adaptive_error_of(r, shift=shift), truth=truth) > 0.93


@pytest.mark.parametrize(("size", "num_bins"), SMALL)
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_adaptive_intervals_of_small_bins_cover_the_true_error(size, num_bins, shift):
    def draw(random):
        return adaptive_error_of(random, shift=shift, size=size, num_bins=num_bins)

    assert covered(draw, truth=shift * 4 / 9) > 0.93


def test_adaptive_calibration_intervals_are_not_too_wide():
    value, (low, high) = adaptive_error_of(np.random.default_rng(0), shift=0.3)
    assert 0.08 < low < value < high < 0.18


@pytest.mark.parametrize(
    ("probabilities", "labels", "options", "message"),
    [
        ([[0.5, 0.6]], [0], {}, "probabilities must be distributions"),
        ([[0.5, 0.5]], [2], {}, r"labels must lie in \[0, 1\], got 2"),
        ([[0.5, 0.5]], [0, 1], {}, "labels must have one entry per example"),
        ([[0.5, 0.5]], [0], {"num_bins": 0}, "num_bins must be at least 1, got 0"),
    ],
)
def test_adaptive_calibration_error_refuses(probabilities, labels, options, message):
    with pytest.raises(ValueError, match=message):
        estimates.adaptive_calibration_error(
            np.array(probabilities), np.array(labels), **options
        )


def test_results_are_plain_numbers():
    codes, correct = np.arange(8) % 2, np.arange(8) < 6
    for found in (
        estimates.share(correct),
        estimates.mean(np.arange(8.0)),
        estimates.mean_per_class(correct, codes),
        estimates.calibration_error(np.full(8, 0.9, np.float32), correct),
        estimates.adaptive_calibration_error(np.full((8, 2), 0.5, np.float32), codes),
    ):
        assert {type(number) for number in (found.value, *found.interval)} == {float}


def test_confidence_at_an_edge_is_in_the_bin_below():
    """0.5 of two bins: with 0.2 it sums to 0.3 of one example right, not to 0 and 0."""
    found = estimates.calibration_error(
        np.array([0.5, 0.2]), np.array([True, False]), num_bins=2
    )
    assert found.value == pytest.approx(0.15)
