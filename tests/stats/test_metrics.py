"""Metrics against scikit-learn, double loops, and the rules of adding up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from metric_table import (
    COUNT,
    METRICS,
    NUM_CLASSES,
    OUT_OF_RANGE,
    as_numpy,
    scored_batch,
    softmax_of,
)

from jaxlin import neighbors
from jaxlin.stats import metrics


@pytest.fixture(scope="module")
def batch():
    return scored_batch()


@jax.jit
def of_every_k(scores, labels):
    """`correct` and `top_k_accuracy` from k = 1 up to all classes, in one program."""
    ks = range(1, scores.shape[1] + 1)
    return (
        [metrics.correct(scores, labels, k=k) for k in ks],
        [metrics.top_k_accuracy(scores, labels, k=k) for k in ks],
    )


def correct_of_every_k(scores, labels):
    return as_numpy(of_every_k(scores, labels)[0])


def top_of_every_k(scores, labels):
    return as_numpy(of_every_k(scores, labels)[1])


correct = jax.jit(metrics.correct, static_argnames="k")
confusion = jax.jit(metrics.confusion, static_argnames="num_classes")
calibration_bins = jax.jit(metrics.calibration_bins, static_argnames="num_bins")
calibration_error = jax.jit(metrics.expected_calibration_error)
per_class = jax.jit(
    lambda matrix: (
        metrics.per_class_accuracy(matrix),
        metrics.per_class_precision(matrix),
    )
)


def test_accuracy_is_scikit_learns(batch):
    scores, labels, weights = batch
    predictions = np.argmax(scores, axis=1)
    right = sklearn.metrics.accuracy_score(labels, predictions, normalize=False)
    accuracy = METRICS["accuracy"]
    ours = accuracy(scores, labels)
    assert (int(ours.total), int(ours.count)) == (right, COUNT)
    assert ours.total.dtype == ours.count.dtype == jnp.int32
    weighted = accuracy(scores, labels, example_weights=weights)
    expected = sklearn.metrics.accuracy_score(
        labels, predictions, sample_weight=weights
    )
    np.testing.assert_allclose(weighted.value, expected, rtol=1e-6)


def test_top_k_is_scikit_learns(batch):
    scores, labels, _ = batch
    found = top_of_every_k(scores, labels)
    for k in range(1, NUM_CLASSES):
        expected = sklearn.metrics.top_k_accuracy_score(
            labels, scores, k=k, labels=np.arange(NUM_CLASSES), normalize=False
        )
        assert int(found[k - 1].total) == expected


def test_all_classes_are_always_enough(batch):
    scores, labels, _ = batch
    assert top_of_every_k(scores, labels)[NUM_CLASSES - 1].value == 1.0


def test_ties_go_to_the_smaller_class_for_every_k():
    """Scores from {1, 2, 3} tie often; a stable sort is the reference."""
    random = np.random.default_rng(1)
    scores = random.integers(1, 4, size=(COUNT, NUM_CLASSES)).astype(np.float32)
    labels = random.integers(NUM_CLASSES, size=COUNT)
    order = np.argsort(-scores, axis=1, kind="stable")
    for k, found in enumerate(correct_of_every_k(scores, labels), start=1):
        expected = [labels[i] in order[i, :k] for i in range(COUNT)]
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        correct(scores, labels),
        np.argmax(scores, axis=1) == labels,
    )


def test_nan_is_never_right_and_infinity_is_a_score():
    where, labels = (np.arange(3).repeat(3), np.tile(np.arange(3), 3))
    there = where[:, None] == np.arange(3)
    scores = np.where(there, np.nan, 0).astype(np.float32)
    for found in correct_of_every_k(scores, labels):
        assert not np.any(found)
    high = np.where(there, np.inf, 0).astype(np.float32)
    low = np.where(there, -1e9, -np.inf).astype(np.float32)
    for scores in (high, low):
        found = correct_of_every_k(scores, labels)[0]
        np.testing.assert_array_equal(found, where == labels)


def test_a_class_without_a_vote_is_never_among_the_k_highest():
    """Few neighbours of many classes: those without a vote tie at 0."""
    random = np.random.default_rng(3)
    votes = np.zeros((COUNT, NUM_CLASSES), np.float32)
    for row in votes:
        np.add.at(row, random.integers(NUM_CLASSES, size=3), 1)
    labels = random.integers(NUM_CLASSES, size=COUNT)
    # Votes count down the ranks; a class that has none is not in the list at all.
    ranked = [
        [c for c in np.argsort(-row, kind="stable") if row[c] > 0] for row in votes
    ]
    expected = [
        [label in order[:k] for label, order in zip(labels, ranked, strict=True)]
        for k in range(1, NUM_CLASSES + 1)
    ]
    shares = votes / votes.sum(axis=1, keepdims=True)
    masked = np.where(votes > 0, votes - 10, -np.inf)
    for scores in (votes, shares, masked, votes.astype(np.int32)):
        np.testing.assert_array_equal(correct_of_every_k(scores, labels), expected)


def test_votes_of_neighbours_in_the_top_five():
    """Three neighbours name two of ten classes: the other eight are no answers."""
    found = neighbors.Neighbors(np.array([[1.0, 2.0, 3.0]] * 10), np.array([[0, 1, 2]]))
    found = found._replace(indices=np.tile(found.indices, (10, 1)))
    shares = neighbors.shares(found, [7, 9, 7], num_classes=10)
    right = correct(np.asarray(shares), np.arange(10), k=5)
    assert np.flatnonzero(right).tolist() == [7, 9]


def test_zero_is_a_score_like_others_where_one_is_below_it():
    # As many rows as above, so that the program is the same.
    scores, labels = np.float32([[0.0, 2.0, -1.0]] * 9), np.tile(np.arange(3), 3)
    # A model that has learned nothing ranks classes by their numbers.
    found, at_zero = (correct_of_every_k(s, labels) for s in (scores, 0 * scores))
    for k in (1, 2, 3):
        assert found[k - 1].tolist() == [k >= 2, True, k >= 3] * 3
        assert at_zero[k - 1].tolist() == [True, k >= 2, k >= 3] * 3


def test_a_masked_label_is_wrong_even_where_all_classes_are_masked():
    rows = [[-np.inf] * 3, [-1.0, -np.inf, -np.inf], [-np.inf] * 3]
    scores, labels = np.float32(rows * 3), np.arange(3).repeat(3)
    for right in correct_of_every_k(scores, labels):
        expected = [[False, label == 0, False] for label in range(3)]
        assert right.tolist() == sum(expected, [])


@pytest.mark.parametrize("prediction", OUT_OF_RANGE)
def test_predictions_that_are_no_classes(prediction):
    given = {"predictions": np.array([0, prediction]), "labels": np.array([0, 1])}
    with pytest.raises(
        ValueError, match=f"predictions must lie in .* got {prediction}"
    ):
        metrics.confusion(**given, num_classes=NUM_CLASSES)
    matrix = np.asarray(confusion(**given, num_classes=NUM_CLASSES))
    assert matrix.sum() == matrix[0, 0] == 1


def test_predictions_and_labels_are_told_apart_by_their_names():
    """scikit-learn's confusion_matrix(labels, predictions) was its transpose."""
    with pytest.raises(TypeError, match="positional"):
        metrics.confusion(jnp.array([0, 1]), jnp.array([0, 0]), num_classes=2)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(ValueError, match=f"k must be at .*, got {k}"):
        metrics.top_k_accuracy(jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32), k=k)


def test_wrong_shapes_are_refused():
    with pytest.raises(AssertionError):
        metrics.accuracy(jnp.zeros(3), jnp.zeros((), jnp.int32))
    with pytest.raises(AssertionError):
        metrics.accuracy(jnp.zeros((2, 3)), jnp.zeros(1, jnp.int32))
    with pytest.raises(AssertionError):
        metrics.accuracy(
            jnp.zeros((2, 3)), jnp.zeros(2, jnp.int32), example_weights=jnp.ones(1)
        )


def test_confusion_is_scikit_learns_and_a_double_loop(batch):
    scores, labels, weights = batch
    predictions = np.argmax(scores, axis=1)
    both = {"predictions": predictions, "labels": labels}
    plain = confusion(**both, num_classes=NUM_CLASSES)
    assert plain.dtype == jnp.int32
    np.testing.assert_array_equal(
        plain, sklearn.metrics.confusion_matrix(labels, predictions)
    )
    weighted = confusion(**both, num_classes=NUM_CLASSES, example_weights=weights)
    expected = np.zeros((NUM_CLASSES, NUM_CLASSES))
    triples = map(np.asarray, (labels, predictions, weights))
    for label, prediction, weight in zip(*triples, strict=True):
        expected[label, prediction] += weight
    np.testing.assert_array_equal(weighted, expected)


def test_per_class_ratios_are_recall_and_precision(batch):
    scores, labels, _ = batch
    predictions = np.argmax(scores, axis=1)
    matrix = confusion(predictions=predictions, labels=labels, num_classes=NUM_CLASSES)
    recall, precision = per_class(matrix)
    np.testing.assert_allclose(
        recall.value,
        sklearn.metrics.recall_score(labels, predictions, average=None),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        precision.value,
        sklearn.metrics.precision_score(labels, predictions, average=None),
        rtol=1e-6,
    )


def test_a_class_without_examples_has_no_value():
    matrix = confusion(
        predictions=np.array([0, 0]), labels=np.array([0, 1]), num_classes=3
    )
    recall, precision = per_class(matrix)
    np.testing.assert_array_equal(recall.count, [1, 1, 0])
    np.testing.assert_array_equal(recall.value, [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(precision.value, [0.5, np.nan, np.nan])


@pytest.mark.parametrize("num_bins", [1, pytest.param(4, marks=pytest.mark.full), 15])
def test_calibration_error_is_guos_sum_over_bins(batch, num_bins):
    """Bin by bin as the paper writes it: mean accuracy and mean confidence."""
    scores, labels, _ = batch
    probabilities = np.asarray(softmax_of(scores), np.float64)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    expected = 0.0
    for m in range(num_bins):
        inside = (confidence > m / num_bins) & (confidence <= (m + 1) / num_bins)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            expected += inside.mean() * gap
    bins = calibration_bins(softmax_of(scores), labels, num_bins=num_bins)
    np.testing.assert_allclose(calibration_error(bins), expected, rtol=1e-5)
    assert np.sum(bins.count) == COUNT


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    # Of one shape with those below, so that the program is the same.
    for m in range(1, 16):
        probabilities = np.tile(np.array([[m / 15, 0.0]], np.float32), (4, 1))
        bins = calibration_bins(probabilities, np.zeros(4, int))
        np.testing.assert_array_equal(bins.count, 4 * (np.arange(15) == m - 1))


def test_nan_probabilities_make_the_error_nan_unless_weighted_out():
    probabilities = np.array([[np.nan, np.nan]] + 3 * [[0.75, 0.25]], np.float32)
    labels = np.array([0, 1, 1, 1])
    bins = calibration_bins(probabilities, labels)
    assert np.isnan(calibration_error(bins))
    masked = calibration_bins(
        probabilities, labels, example_weights=np.array([0, 1, 1, 1], np.float32)
    )
    assert calibration_error(masked) == 0.75


def test_perfect_calibration_has_error_zero():
    """Four predictions at confidence 3/4, three of them right."""
    probabilities = np.tile(np.array([[0.75, 0.25]], np.float32), (4, 1))
    bins = calibration_bins(probabilities, np.array([0, 0, 1, 0]))
    assert calibration_error(bins) == 0.0


def test_bfloat16_sums_do_not_stall():
    """In bfloat16 a sum of ones stops growing at 256."""
    probabilities = np.ones((1000, 1), jnp.bfloat16)
    weights = np.ones(1000, jnp.bfloat16)
    labels = np.zeros(1000, np.int32)
    bins = calibration_bins(probabilities, labels, example_weights=weights)
    bins = as_numpy(bins)
    assert bins.confidence_sum[-1] == bins.count[-1] == bins.correct[-1] == 1000
    ratio = as_numpy(
        METRICS["accuracy"](probabilities, labels, example_weights=weights)
    )
    assert ratio.total == ratio.count == 1000
