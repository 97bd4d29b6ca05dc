"""Metrics against scikit-learn, double loops, and the rules of adding up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxlin import metrics, neighbors

NUM_CLASSES = 7


@pytest.fixture(scope="module")
def batch():
    """Scores without ties, labels and integer weights of 211 examples."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(211, NUM_CLASSES)).astype(np.float32)
    labels = random.integers(NUM_CLASSES, size=211)
    scores[np.arange(211), labels] += 1.0
    weights = random.integers(0, 4, size=211).astype(np.float32)
    return jnp.asarray(scores), jnp.asarray(labels), jnp.asarray(weights)


def softmax_of(scores):
    return jax.nn.softmax(scores, axis=1)


# Every metric as a compiled function (scores, labels, **weights) of one batch.
METRICS = {
    "accuracy": jax.jit(metrics.accuracy),
    "top_3": jax.jit(lambda s, y, **w: metrics.top_k_accuracy(s, y, k=3, **w)),
    "confusion": jax.jit(
        lambda s, y, **w: metrics.confusion(
            predictions=jnp.argmax(s, axis=1), labels=y, num_classes=NUM_CLASSES, **w
        )
    ),
    "calibration": jax.jit(
        lambda s, y, **w: metrics.calibration_bins(softmax_of(s), y, **w)
    ),
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())


def assert_trees_close(actual, expected, rtol=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6),
        actual,
        expected,
    )


def test_accuracy_is_scikit_learns(batch):
    scores, labels, weights = batch
    predictions = np.argmax(scores, axis=1)
    right = sklearn.metrics.accuracy_score(labels, predictions, normalize=False)
    ours = metrics.accuracy(scores, labels)
    assert (int(ours.total), int(ours.count)) == (right, 211)
    assert ours.total.dtype == ours.count.dtype == jnp.int32
    weighted = metrics.accuracy(scores, labels, example_weights=weights)
    expected = sklearn.metrics.accuracy_score(
        labels, predictions, sample_weight=weights
    )
    np.testing.assert_allclose(weighted.value, expected, rtol=1e-6)


@pytest.mark.parametrize("k", range(1, NUM_CLASSES))
def test_top_k_is_scikit_learns(batch, k):
    scores, labels, _ = batch
    expected = sklearn.metrics.top_k_accuracy_score(
        labels, scores, k=k, labels=np.arange(NUM_CLASSES), normalize=False
    )
    assert int(metrics.top_k_accuracy(scores, labels, k=k).total) == expected


def test_all_classes_are_always_enough(batch):
    scores, labels, _ = batch
    assert metrics.top_k_accuracy(scores, labels, k=NUM_CLASSES).value == 1.0


def test_ties_go_to_the_smaller_class_for_every_k():
    """Scores from {1, 2, 3} tie often; a stable sort is the reference."""
    random = np.random.default_rng(1)
    scores = random.integers(1, 4, size=(500, 5)).astype(np.float32)
    labels = random.integers(5, size=500)
    order = np.argsort(-scores, axis=1, kind="stable")
    for k in range(1, 6):
        expected = [labels[i] in order[i, :k] for i in range(500)]
        np.testing.assert_array_equal(
            metrics.correct(jnp.asarray(scores), jnp.asarray(labels), k=k), expected
        )
    np.testing.assert_array_equal(
        metrics.correct(jnp.asarray(scores), jnp.asarray(labels)),
        np.argmax(scores, axis=1) == labels,
    )


@pytest.mark.parametrize("where", range(3))
@pytest.mark.parametrize("label", range(3))
def test_nan_is_never_right_and_infinity_is_a_score(where, label):
    scores = jnp.zeros((1, 3)).at[0, where].set(jnp.nan)
    labels = jnp.array([label])
    assert not metrics.correct(scores, labels).any()
    assert not metrics.correct(scores, labels, k=3).any()
    high = jnp.zeros((1, 3)).at[0, where].set(jnp.inf)
    assert bool(metrics.correct(high, labels)[0]) == (where == label)
    low = jnp.full((1, 3), -jnp.inf).at[0, where].set(-1e9)
    assert bool(metrics.correct(low, labels)[0]) == (where == label)


@pytest.mark.parametrize("k", range(1, 7))
def test_a_class_without_a_vote_is_never_among_the_k_highest(k):
    """Few neighbours of many classes: those without a vote tie at 0."""
    random = np.random.default_rng(3)
    votes = np.zeros((300, 6), np.float32)
    for row in votes:
        np.add.at(row, random.integers(6, size=3), 1)
    labels = random.integers(6, size=300)
    # Votes count down the ranks; a class that has none is not in the list at all.
    ranked = [
        [c for c in np.argsort(-row, kind="stable") if row[c] > 0] for row in votes
    ]
    expected = [label in order[:k] for label, order in zip(labels, ranked, strict=True)]
    shares = votes / votes.sum(axis=1, keepdims=True)
    masked = np.where(votes > 0, votes - 10, -np.inf)
    for scores in (votes, shares, masked, votes.astype(np.int32)):
        np.testing.assert_array_equal(
            metrics.correct(jnp.asarray(scores), jnp.asarray(labels), k=k), expected
        )


def test_votes_of_neighbours_in_the_top_five():
    """Three neighbours name two of ten classes: the other eight are no answers."""
    found = neighbors.Neighbors(np.array([[1.0, 2.0, 3.0]] * 10), np.array([[0, 1, 2]]))
    found = found._replace(indices=np.tile(found.indices, (10, 1)))
    shares = neighbors.shares(found, [7, 9, 7], num_classes=10)
    right = metrics.correct(jnp.asarray(shares), jnp.arange(10), k=5)
    assert np.flatnonzero(right).tolist() == [7, 9]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_zero_is_a_score_like_others_where_one_is_below_it(k):
    scores = jnp.array([[0.0, 2.0, -1.0]] * 3)
    right = metrics.correct(scores, jnp.arange(3), k=k)
    assert right.tolist() == [k >= 2, True, k >= 3]
    # A model that has learned nothing ranks classes by their numbers.
    right = metrics.correct(jnp.zeros((3, 3)), jnp.arange(3), k=k)
    assert right.tolist() == [True, k >= 2, k >= 3]


def test_a_masked_label_is_wrong_even_where_all_classes_are_masked():
    scores = jnp.array([[-jnp.inf] * 3, [-1.0, -jnp.inf, -jnp.inf]])
    for k in (1, 2, 3):
        for label in range(3):
            right = metrics.correct(scores, jnp.array([label] * 2), k=k)
            assert right.tolist() == [False, label == 0]


OUT_OF_RANGE = [-1, -7, NUM_CLASSES, 100]


@every_metric
@pytest.mark.parametrize("label", OUT_OF_RANGE)
def test_labels_that_are_no_classes(metric, label, batch):
    """Refused where they can be looked at; compiled they are right for no prediction.

    Whatever the class that a wrapped or clamped index would name, its score is best.
    """
    scores, labels, _ = batch
    wrong = labels.at[3].set(label)
    best = scores.at[3, label % NUM_CLASSES].set(9.0).at[3, -1].set(9.0)
    with pytest.raises(ValueError, match=rf"labels must lie in .* got {label} at pos"):
        metric.__wrapped__(best, wrong)
    found = metric(best, wrong)
    kept = jnp.arange(211) != 3
    others = metric(best[kept], labels[kept])
    if isinstance(found, jax.Array):
        np.testing.assert_array_equal(found, others)
    elif isinstance(found, metrics.Ratio):
        assert (found.total, found.count) == (others.total, others.count + 1)
    else:
        np.testing.assert_array_equal(found.correct, others.correct)
        assert found.count.sum() == others.count.sum() + 1
    # Of weight 0, as padding has it, any label will do.
    padded = metric.__wrapped__(best, wrong, example_weights=kept.astype(jnp.float32))
    assert_trees_close(padded, others)


@pytest.mark.parametrize("prediction", OUT_OF_RANGE)
def test_predictions_that_are_no_classes(prediction):
    given = {"predictions": jnp.array([0, prediction]), "labels": jnp.array([0, 1])}
    with pytest.raises(
        ValueError, match=f"predictions must lie in .* got {prediction}"
    ):
        metrics.confusion(**given, num_classes=NUM_CLASSES)
    compiled = jax.jit(metrics.confusion, static_argnames="num_classes")
    matrix = compiled(**given, num_classes=NUM_CLASSES)
    assert matrix.sum() == matrix[0, 0] == 1


def test_predictions_and_labels_are_told_apart_by_their_names():
    """As scikit-learn's confusion_matrix(labels, predictions) it was transposed."""
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
    predictions = jnp.argmax(scores, axis=1)
    both = {"predictions": predictions, "labels": labels}
    plain = metrics.confusion(**both, num_classes=NUM_CLASSES)
    assert plain.dtype == jnp.int32
    np.testing.assert_array_equal(
        plain, sklearn.metrics.confusion_matrix(labels, predictions)
    )
    weighted = metrics.confusion(
        **both, num_classes=NUM_CLASSES, example_weights=weights
    )
    expected = np.zeros((NUM_CLASSES, NUM_CLASSES))
    triples = map(np.asarray, (labels, predictions, weights))
    for label, prediction, weight in zip(*triples, strict=True):
        expected[label, prediction] += weight
    np.testing.assert_array_equal(weighted, expected)


def test_per_class_ratios_are_recall_and_precision(batch):
    scores, labels, _ = batch
    predictions = jnp.argmax(scores, axis=1)
    matrix = metrics.confusion(
        predictions=predictions, labels=labels, num_classes=NUM_CLASSES
    )
    np.testing.assert_allclose(
        metrics.per_class_accuracy(matrix).value,
        sklearn.metrics.recall_score(labels, predictions, average=None),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        metrics.per_class_precision(matrix).value,
        sklearn.metrics.precision_score(labels, predictions, average=None),
        rtol=1e-6,
    )


def test_a_class_without_examples_has_no_value():
    matrix = metrics.confusion(
        predictions=jnp.array([0, 0]), labels=jnp.array([0, 1]), num_classes=3
    )
    recall = metrics.per_class_accuracy(matrix)
    precision = metrics.per_class_precision(matrix)
    np.testing.assert_array_equal(recall.count, [1, 1, 0])
    np.testing.assert_array_equal(recall.value, [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(precision.value, [0.5, np.nan, np.nan])


@pytest.mark.parametrize("num_bins", [1, 4, 15])
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
    bins = metrics.calibration_bins(softmax_of(scores), labels, num_bins=num_bins)
    error = metrics.expected_calibration_error(bins)
    np.testing.assert_allclose(error, expected, rtol=1e-5)
    assert int(bins.count.sum()) == 211


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    confidences = jnp.asarray(np.arange(1, 11)[:, None] / 10, jnp.float32)
    for m in range(1, 11):
        bins = metrics.calibration_bins(
            confidences[m - 1 : m], jnp.array([0]), num_bins=10
        )
        assert int(jnp.argmax(bins.count)) == m - 1


def test_nan_probabilities_make_the_error_nan_unless_weighted_out():
    probabilities = jnp.array([[jnp.nan, jnp.nan], [0.75, 0.25]])
    labels = jnp.array([0, 1])
    bins = metrics.calibration_bins(probabilities, labels)
    assert jnp.isnan(metrics.expected_calibration_error(bins))
    masked = metrics.calibration_bins(
        probabilities, labels, example_weights=jnp.array([0.0, 1.0])
    )
    assert metrics.expected_calibration_error(masked) == 0.75


def test_perfect_calibration_has_error_zero():
    """Four predictions at confidence 3/4, three of them right."""
    probabilities = jnp.tile(jnp.array([[0.75, 0.25]]), (4, 1))
    bins = metrics.calibration_bins(probabilities, jnp.array([0, 0, 1, 0]))
    assert metrics.expected_calibration_error(bins) == 0.0


def test_bfloat16_sums_do_not_stall():
    """In bfloat16 a sum of ones stops growing at 256."""
    probabilities = jnp.ones((1000, 1), jnp.bfloat16)
    weights = jnp.ones(1000, jnp.bfloat16)
    labels = jnp.zeros(1000, jnp.int32)
    bins = metrics.calibration_bins(probabilities, labels, example_weights=weights)
    assert bins.confidence_sum[-1] == bins.count[-1] == bins.correct[-1] == 1000
    ratio = metrics.accuracy(probabilities, labels, example_weights=weights)
    assert ratio.total == ratio.count == 1000


@every_metric
def test_merged_batches_are_the_whole(metric, batch):
    """The last batch has 11 examples, the others 50."""
    scores, labels, weights = batch
    whole = metric(scores, labels, example_weights=weights)
    parts = [
        metric(scores[i : i + 50], labels[i : i + 50], example_weights=w)
        for i in range(0, 211, 50)
        for w in [weights[i : i + 50]]
    ]
    merged = parts[0]
    for part in parts[1:]:
        merged = metrics.merge(merged, part)
    assert type(merged) is type(whole)
    assert_trees_close(merged, whole)


@every_metric
def test_weights_are_repetition(metric, batch):
    scores, labels, weights = batch
    weighted = metric(scores, labels, example_weights=weights)
    times = np.asarray(weights, int)
    repeated = metric(np.repeat(scores, times, axis=0), np.repeat(labels, times))
    assert_trees_close(weighted, repeated)


@every_metric
def test_padding_of_weight_zero_changes_nothing(metric, batch):
    scores, labels, _ = batch
    padded_scores = jnp.concatenate([scores, jnp.full((5, NUM_CLASSES), jnp.nan)])
    padded_labels = jnp.concatenate([labels, jnp.zeros(5, labels.dtype)])
    mask = jnp.arange(216) < 211
    padded = metric(padded_scores, padded_labels, example_weights=mask)
    assert_trees_close(padded, metric(scores, labels))


@every_metric
def test_jit_and_vmap_are_a_loop(metric, batch):
    """Three models on the same labels; the loop runs op by op."""
    scores, labels, _ = batch
    stack = jnp.stack([scores, -scores, scores[:, ::-1]])
    mapped = jax.vmap(metric, in_axes=(0, None))(stack, labels)
    for i in range(3):
        one = metric.__wrapped__(stack[i], labels)
        assert_trees_close(jax.tree.map(lambda leaf, i=i: leaf[i], mapped), one)
