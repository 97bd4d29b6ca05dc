"""Metrics of several labels: scikit-learn's, derivatives, coverage in simulations."""

import numpy as np
import pytest
import sklearn.metrics

from jaxlin.stats import multilabel


@pytest.fixture(params=["distinct", "ties", "constant"])
def batch(request):
    generator = np.random.default_rng(1)
    present = generator.random((90, 6)) < np.linspace(0.05, 0.6, 6)
    scores = 2 * present + generator.normal(size=present.shape) - 1
    if request.param == "ties":
        scores = np.round(scores)
    if request.param == "constant":
        scores = np.ones_like(scores)
    return scores, present


def test_average_precision_is_scikit_learns(batch):
    scores, present = batch
    found = multilabel.average_precision(scores, present)
    expected = sklearn.metrics.average_precision_score(present, scores, average=None)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    mean = multilabel.measure(scores, present).mean_average_precision.value
    expected = sklearn.metrics.average_precision_score(present, scores)
    assert mean == pytest.approx(expected, rel=1e-12)


def test_f1_is_scikit_learns(batch):
    scores, present = batch
    found = multilabel.measure(scores, present)
    for average in ("micro", "macro", None):
        expected = sklearn.metrics.f1_score(present, scores > 0, average=average)
        value = {
            "micro": found.micro_f1.value,
            "macro": found.macro_f1.value,
            None: [one.value for one in found.f1],
        }[average]
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_labels_without_examples_are_left_out(batch):
    scores, present = batch
    without = present.copy()
    without[:, 0] = False
    scores = scores.copy()
    scores[:, 0] = -1
    found, rest = (
        multilabel.measure(scores[:, kept], without[:, kept])
        for kept in (slice(None), slice(1, None))
    )
    assert np.isnan(found.average_precision[0].value)
    assert np.isnan(found.f1[0].value)
    assert found.mean_average_precision == rest.mean_average_precision
    assert found.macro_f1 == rest.macro_f1
    expected = sklearn.metrics.f1_score(
        without, scores > 0, average="macro", zero_division=np.nan
    )
    assert found.macro_f1.value == pytest.approx(expected, rel=1e-12)


def test_nothing_to_measure_is_nan():
    none = np.zeros((4, 2), bool)
    found = multilabel.measure(none - 1.0, none)
    assert np.isnan(found.mean_average_precision.value)
    assert np.isnan(found.micro_f1.value)
    assert np.isnan(found.macro_f1.value)


def half_width(estimate):
    low, high = estimate.interval
    return (high - low) / 2


def test_intervals_are_of_the_derivatives_in_the_weights(batch):
    """Derivatives of scikit-learn's metrics in sample weights, by differences."""
    scores, present = batch
    found = multilabel.measure(scores, present)
    step = 1e-4

    def slopes(metric):
        changes = []
        for example in range(len(scores)):
            values = []
            for change in (step, -step):
                weights = np.ones(len(scores))
                weights[example] += change
                values.append(metric(weights))
            changes.append((values[0] - values[1]) / (2 * step))
        return np.array(changes)

    def precision(weights):
        return sklearn.metrics.average_precision_score(
            present, scores, sample_weight=weights
        )

    def micro(weights):
        return sklearn.metrics.f1_score(
            present, scores > 0, average="micro", sample_weight=weights
        )

    def macro(weights):
        return sklearn.metrics.f1_score(
            present, scores > 0, average="macro", sample_weight=weights
        )

    for metric, estimate in (
        (precision, found.mean_average_precision),
        (micro, found.micro_f1),
        (macro, found.macro_f1),
    ):
        expected = 1.959964 * np.sqrt(np.square(slopes(metric)).sum())
        assert half_width(estimate) == pytest.approx(expected, rel=1e-4)


def test_intervals_cover_the_values_of_the_population():
    """Intervals of 91 to 98 % of 300 test sets of 400 examples have the truth."""
    generator = np.random.default_rng(0)

    def draw(size):
        # Labels of an example are correlated.
        shared = generator.normal(size=(size, 1))
        present = shared + generator.normal(size=(size, 5)) > 1
        return present + shared + generator.normal(size=(size, 5)) - 1, present

    truth = multilabel.measure(*draw(100_000))
    fields = ("mean_average_precision", "micro_f1", "macro_f1")
    covered = []
    for _ in range(300):
        found = multilabel.measure(*draw(400))
        pairs = [(getattr(found, name), getattr(truth, name)) for name in fields]
        pairs.append((found.average_precision[0], truth.average_precision[0]))
        pairs.append((found.f1[0], truth.f1[0]))
        covered.append(
            [one.interval.low <= all_.value <= one.interval.high for one, all_ in pairs]
        )
    shares = np.mean(covered, axis=0)
    assert ((shares > 0.91) & (shares < 0.98)).all(), shares
