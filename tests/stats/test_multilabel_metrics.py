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


def test_where_all_are_right_intervals_are_wilsons():
    """At most the share z^2 / (n + z^2) of n trials without a failure fails."""
    present = np.arange(60).reshape(30, 2) % 3 == 0
    scores = np.where(present, 1.0, -1.0)
    scores[0, 1] = 1.0
    found = multilabel.measure(scores, present)
    failed = 1.959964**2 / (10 + 1.959964**2)
    precision, f1 = found.average_precision[0], found.f1[0]
    assert (precision.value, precision.interval.high) == (1, 1)
    assert precision.interval.low == pytest.approx(1 - failed)
    assert (f1.value, f1.interval.high) == (1, 1)
    assert f1.interval.low == pytest.approx(2 * (1 - failed) / (2 - failed))
    # The other label has derivatives; those of the mean are half of them.
    for name in ("average_precision", "f1"):
        right, other = getattr(found, name)
        mean = found.macro_f1 if name == "f1" else found.mean_average_precision
        half = (other.value - other.interval.low) / 2
        expected = mean.value - half - (1 - right.interval.low) / 2
        assert mean.interval.low == pytest.approx(expected)
    wrong = multilabel.measure(np.where(present, -1.0, 1.0), present).micro_f1
    all_right = multilabel.measure(np.where(present, 1.0, -1.0), present).micro_f1
    assert (wrong.value, wrong.interval.low) == (0, 0)
    assert (all_right.value, all_right.interval.high) == (1, 1)
    num_counted = np.count_nonzero(present.any(axis=1))
    failed = 1.959964**2 / (num_counted + 1.959964**2)
    assert all_right.interval.low == pytest.approx(2 * (1 - failed) / (2 - failed))
    failed = 1.959964**2 / (30 + 1.959964**2)
    assert wrong.interval.high == pytest.approx(2 * failed / (1 + failed))


def test_intervals_of_rare_errors_cover_the_true_value():
    """40 examples at a share of errors of 2 %: in 44 % of cases all are right."""
    generator = np.random.default_rng(3)
    truth, covered = None, []
    for size in (400_000, *(2_000 * [40])):
        present = generator.random((size, 1)) < 0.5
        is_error = generator.random((size, 1)) < 0.02
        found = multilabel.measure(np.where(present ^ is_error, 1.0, -1.0), present)
        if truth is None:
            truth = found.f1[0].value
            continue
        low, high = found.f1[0].interval
        covered.append(low <= truth <= high)
    assert np.mean(covered) > 0.9


GOOD = np.array([[0.5, -1.0], [2.0, 3.0], [-1.0, 0.0]])


@pytest.mark.parametrize(
    ("scores", "present", "words"),
    [
        (GOOD, GOOD[:2] > 0, r"scores must have the shape of present, \(2, 2\), got"),
        (GOOD[:, :1], GOOD > 0, "scores must have the shape of present"),
        (np.where(GOOD > 2, np.nan, GOOD), GOOD > 0, "scores must be finite"),
        (np.where(GOOD > 2, np.inf, GOOD), GOOD > 0, "scores must be finite"),
        (GOOD, GOOD, "present must be booleans, or 0 and 1, got 0.5 in row 0"),
        (GOOD[:, 0], GOOD[:, 0] > 0, r"present must have shape \(examples, labels\)"),
        (GOOD[:0], GOOD[:0] > 0, r"present must have shape \(examples, labels\)"),
    ],
)
def test_arguments_are_checked(scores, present, words):
    for function in (multilabel.measure, multilabel.average_precision):
        with pytest.raises(ValueError, match=words):
            function(scores, present)


@pytest.mark.parametrize("function", [multilabel.f1, multilabel.micro_f1])
def test_predictions_are_checked(function):
    present = GOOD > 0
    assert np.all(function(1 * present, 1 * present) == 1)
    for predicted, labels, words in (
        (GOOD, present, "predicted must be booleans, or 0 and 1, got 0.5"),
        (present[:2], present, r"predicted must have the shape of present, \(3, 2\)"),
        (present, GOOD, "present must be booleans, or 0 and 1"),
    ):
        with pytest.raises(ValueError, match=words):
            function(predicted, labels)
