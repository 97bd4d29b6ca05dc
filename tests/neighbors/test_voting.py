"""Votes for every k: scikit-learn's answers, limits that are known, and ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import losses, neighbors
from jaxlin.neighbors import Neighbors, distances, voting

WIDTH, CLASSES = 6, 3


def some_data(count=200, seed=0):
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(count, WIDTH))
    labels = (rows[:, 0] + draw.normal(size=count) > 0).astype(int)
    labels[draw.integers(0, count, count // 4)] = 2
    queries = draw.normal(size=(8, WIDTH))
    queries[0] = rows[5]
    return rows, labels, queries


@pytest.fixture(scope="module")
def found():
    rows, _, queries = some_data()
    return neighbors.nearest(rows, queries, metric=distances.euclidean, k=200)


@pytest.mark.parametrize(
    ("weighting", "theirs"),
    [(neighbors.uniform, "uniform"), (neighbors.inverse_distance, "distance")],
)
def test_every_k_is_scikit_learns(found, weighting, theirs):
    classifier = pytest.importorskip("sklearn.neighbors").KNeighborsClassifier
    rows, labels, queries = some_data()
    voted = neighbors.vote(found, labels, num_classes=CLASSES, weighting=weighting)
    assert voted.shape == found.indices.shape
    for k in (1, 2, 3, 10, 77, 200):
        peer = classifier(k, weights=theirs, algorithm="brute").fit(rows, labels)
        np.testing.assert_array_equal(voted[:, k - 1], peer.predict(queries))
    shares = neighbors.shares(found, labels, num_classes=CLASSES, weighting=weighting)
    np.testing.assert_allclose(shares, peer.predict_proba(queries), rtol=1e-9)


def test_one_pass_is_each_k_alone(found):
    rows, labels, queries = some_data()
    options = {
        "num_classes": CLASSES,
        "weighting": neighbors.gaussian,
        "weighting_arguments": {"bandwidth": 0.7},
    }
    voted = neighbors.vote(found, labels, **options)
    for k in (1, 9, 13):
        alone = neighbors.nearest(rows, queries, metric=distances.euclidean, k=k)
        np.testing.assert_array_equal(alone.indices, found.indices[:, :k])
        last = neighbors.vote(alone, labels, **options)[:, -1]
        np.testing.assert_array_equal(last, voted[:, k - 1])


def test_all_neighbours_give_the_prior(found):
    _, labels, _ = some_data()
    shares = neighbors.shares(found, labels, num_classes=CLASSES)
    prior = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(shares, np.tile(prior, (8, 1)), rtol=1e-12)
    voted = neighbors.vote(found, labels, num_classes=CLASSES)
    np.testing.assert_array_equal(voted[:, -1], np.full(8, prior.argmax()))


@pytest.mark.parametrize("bandwidth", [1e-4, 1e-150])
def test_a_small_bandwidth_gives_the_nearest(found, bandwidth):
    _, labels, _ = some_data()
    voted = neighbors.vote(
        found,
        labels,
        num_classes=CLASSES,
        weighting=neighbors.gaussian,
        weighting_arguments={"bandwidth": bandwidth},
    )
    expected = np.tile(labels[found.indices[:, :1]], (1, 200))
    np.testing.assert_array_equal(voted, expected)


def test_a_large_bandwidth_counts_all_alike(found):
    _, labels, _ = some_data()
    shares = neighbors.shares(
        found,
        labels,
        num_classes=CLASSES,
        weighting=neighbors.gaussian,
        weighting_arguments={"bandwidth": 1e9},
    )
    np.testing.assert_allclose(shares[0], np.bincount(labels) / 200, rtol=1e-9)


def test_weights_by_hand():
    # Distances 1, 2, 4: inverse 1, 1/2, 1/4; Gaussian of bandwidth 1 by differences.
    found = Neighbors(np.array([[1, 2, 4], [0, 0, 4]]), np.array([[0, 1, 2]] * 2))
    inverse = neighbors.shares(
        found, [0, 1, 2], weighting=neighbors.inverse_distance, num_classes=3
    )
    np.testing.assert_allclose(inverse, [[4 / 7, 2 / 7, 1 / 7], [0.5, 0.5, 0]])
    bell = np.exp(-np.array([[1, 4, 16], [0, 0, 16]]) / 2)
    gaussian = neighbors.shares(
        found,
        [0, 1, 2],
        weighting=neighbors.gaussian,
        weighting_arguments={"bandwidth": 1},
        num_classes=3,
    )
    np.testing.assert_allclose(gaussian, bell / bell.sum(axis=1, keepdims=True))


def test_ties_go_to_the_smallest_class():
    found = Neighbors(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[0, 1, 2, 3]]))
    voted = neighbors.vote(found, [2, 1, 1, 2], num_classes=3)
    np.testing.assert_array_equal(voted, [[2, 1, 1, 1]])


def given_weights(weights):
    """A weighting of one's own whose weights are the distances."""
    return weights


@pytest.mark.parametrize("num_classes", [3, 5, 8, 100])
@pytest.mark.parametrize("highest", [0, 1, 3])
def test_votes_are_a_loop_for_fewer_and_for_more_classes_than_neighbours(
    num_classes, highest
):
    """Small whole weights, 0 among them, so that ties and empty votes are common."""
    draw = np.random.default_rng(num_classes)
    weights = draw.integers(0, highest + 1, size=(40, 5)).astype(float)
    # Few classes in use, and not the first: who has no vote must not win a tie.
    labels = num_classes - 1 - draw.integers(0, 3, size=(40, 5))
    found = Neighbors(weights, np.arange(200).reshape(40, 5))
    voted = neighbors.vote(
        found, labels.ravel(), num_classes=num_classes, weighting=given_weights
    )
    for query in range(40):
        votes = np.zeros(num_classes)
        for rank in range(5):
            votes[labels[query, rank]] += weights[query, rank]
            assert voted[query, rank] == list(votes).index(max(votes))


@pytest.mark.parametrize(
    "num_classes", [200, pytest.param(1000, marks=pytest.mark.full), 10_000]
)
def test_the_memory_of_votes_does_not_grow_with_the_classes(num_classes):
    """The compiler's own count at k = 200; one-hot rows took 10 GB of 10,000."""
    shape = (50_000, 200)
    with jax.enable_x64(True):
        program = voting._winners.lower(
            jax.ShapeDtypeStruct(shape, jnp.float64),
            jax.ShapeDtypeStruct(shape, jnp.int32),
            num_classes=num_classes,
        ).compile()
    assert program.memory_analysis().temp_size_in_bytes < 1e9


def square_root_rank(found):
    return 1 / jnp.sqrt(1 + found)


def unbounded(found):
    return 1 / found


def test_weightings_of_ones_own():
    found = Neighbors(np.array([[0.0, 3.0, 8.0]]), np.array([[0, 1, 2]]))
    shares = neighbors.shares(
        found, [0, 1, 1], num_classes=2, weighting=square_root_rank
    )
    np.testing.assert_allclose(shares, [[6 / 11, 5 / 11]])
    with pytest.raises(ValueError, match="finite weights .* inf at distance 0"):
        neighbors.vote(found, [0, 1, 1], num_classes=2, weighting=unbounded)


def one_for_all(found):
    return jnp.sum(found)


def test_weightings_that_give_no_weight_a_neighbour_are_refused():
    words = r"weighting must return shape \(2,\) .* got shape \(\) of one_for_all"
    with pytest.raises(ValueError, match=words):
        neighbors.vote(GOOD, [0, 1], num_classes=2, weighting=one_for_all)


@pytest.mark.parametrize("weighting", [neighbors.inverse_distance, neighbors.gaussian])
def test_negative_distances_have_no_weight(weighting):
    """Less an inner product is a metric to search by; its bell curve means nothing."""
    found = Neighbors(np.array([[-2.0, -1.0]]), np.array([[0, 1]]))
    arguments = {"bandwidth": 1.0} if weighting is neighbors.gaussian else {}
    with pytest.raises(ValueError, match="distances must be at least 0 .* got -2.0"):
        neighbors.vote(
            found,
            [0, 1],
            num_classes=2,
            weighting=weighting,
            weighting_arguments=arguments,
        )
    assert neighbors.vote(found, [0, 1], num_classes=2).tolist() == [[0, 0]]


GOOD = Neighbors(np.array([[1.0, 2.0]]), np.array([[0, 1]]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": [0]}, "train_labels must have one entry per training row"),
        ({"train_labels": [0, 2]}, r"train_labels must lie in \[0, 1\], got 2"),
        ({"num_classes": 1}, "num_classes must be at least 2"),
        ({"weighting": "uniform"}, "weighting must be a function"),
        ({"weighting": neighbors.gaussian}, "must fit gaussian, got .*bandwidth"),
        ({"weighting_arguments": {"bandwidth": 1}}, "must fit uniform"),
        (
            {
                "weighting": neighbors.gaussian,
                "weighting_arguments": {"bandwidth": -1.0},
            },
            "bandwidth must be above 0, got -1",
        ),
    ],
)
def test_bad_votes_are_refused(changes, message):
    asked = {"train_labels": [0, 1], "num_classes": 2} | changes
    with pytest.raises(ValueError, match=message):
        neighbors.vote(GOOD, asked.pop("train_labels"), **asked)


LINEAR = neighbors.linear_classifier(loss=losses.softmax_cross_entropy)


def locally(found, data, k, fit=LINEAR, l2=1e-2, **more):
    rows, labels, queries = data
    near = Neighbors(found.distances[:, :k], found.indices[:, :k])
    arguments = {"l2": l2} if fit is LINEAR else {}
    return neighbors.local_fit(
        near,
        rows,
        labels,
        queries,
        num_classes=CLASSES,
        fit=fit,
        fit_arguments=arguments,
        **more,
    )


BELL = {"weighting": neighbors.gaussian, "weighting_arguments": {"bandwidth": 1.0}}


def test_constant_local_fits_are_votes(found):
    data = some_data()
    voted = neighbors.vote(found, data[1], num_classes=CLASSES, **BELL)[:, 19]
    scores = locally(found, data, 20, fit=neighbors.weighted_vote, **BELL)
    np.testing.assert_array_equal(scores.argmax(axis=1), voted)
    counts = locally(found, data, 20, fit=neighbors.majority, **BELL)
    near = data[1][found.indices[:, :20]]
    expected = [np.bincount(row, minlength=CLASSES) for row in near]
    np.testing.assert_array_equal(counts, expected)
    # So strong a penalty leaves only the order of the votes.
    flat = locally(found, data, 20, l2=1e4, **BELL)
    np.testing.assert_array_equal(flat.argmax(axis=1), voted)


def test_a_local_linear_fit_is_scikit_learns(found):
    """The bias penalised too: by a column of ones, without an intercept."""
    logistic = pytest.importorskip("sklearn.linear_model").LogisticRegression
    rows, labels, queries = data = some_data()
    scores = locally(found, data, 20, l2=1e-2, **BELL)
    for query, (near, found_scores) in enumerate(
        zip(found.indices[:, :20], scores, strict=True)
    ):
        apart = found.distances[query, :20] ** 2
        weights = np.exp((apart[0] - apart) / 2)
        moved = np.hstack([rows[near] - queries[query], np.ones((20, 1))])
        peer = logistic(
            C=1 / (1e-2 * weights.sum()), fit_intercept=False, tol=1e-10, max_iter=1000
        ).fit(moved, labels[near], sample_weight=weights)
        mine = found_scores[peer.classes_]
        if len(peer.classes_) == CLASSES:
            np.testing.assert_allclose(mine - mine.mean(), peer.coef_[:, -1], atol=2e-3)


@pytest.mark.full
def test_more_features_than_neighbours_change_nothing(found):
    """Turned into many dimensions, rows have the same local fits."""
    rows, labels, queries = some_data()
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(40, WIDTH)))
    wide = (rows @ turn.T, labels, queries @ turn.T)
    np.testing.assert_allclose(
        locally(found, wide, 20), locally(found, (rows, labels, queries), 20), atol=2e-3
    )


def test_neighbours_of_one_class_give_that_class(found):
    rows, labels, queries = some_data()
    for fit in (LINEAR, neighbors.majority, neighbors.weighted_vote):
        scores = locally(found, (rows, np.full_like(labels, 1), queries), 20, fit=fit)
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores.argmax(axis=1), np.ones(8))


def counts_all(query, rows, labels, weights, /, *, num_classes):
    return jnp.sum(weights, keepdims=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_rows": np.zeros((2, 3))}, "must be as many as labels and neighbours"),
        ({"query_rows": np.zeros((1, 4))}, "query_rows must have 3 features"),
        ({"fit_arguments": {"l2": 0.0}}, "l2 must be above 0, got 0"),
        ({"fit_arguments": {}}, r"must fit local_linear, got \[\]: .*'l2'"),
        (
            {"fit_arguments": {"l2": 1.0, "num_classes": 2}},
            "fit_arguments must leave out num_classes, which local_linear is given",
        ),
        (
            {"fit": neighbors.linear_classifier},
            r"of \(query, rows, labels, weights\), got linear_classifier.*call it",
        ),
        (
            {"fit": counts_all, "fit_arguments": {}},
            r"fit must return shape \(2,\) .* got shape \(1,\) of counts_all",
        ),
        ({"fit": "linear"}, "fit must be a function"),
    ],
)
def test_bad_local_fits_are_refused(changes, message):
    asked = {
        "query_rows": np.zeros((1, 3)),
        "num_classes": 2,
        "fit": LINEAR,
        "fit_arguments": {"l2": 1.0},
    } | changes
    with pytest.raises(ValueError, match=message):
        neighbors.local_fit(
            GOOD, np.zeros((2, 3)), [0, 1], asked.pop("query_rows"), **asked
        )
    with pytest.raises(ValueError, match="num_steps must be at least 1"):
        neighbors.linear_classifier(loss=losses.softmax_cross_entropy, num_steps=0)


def test_missing_neighbours_do_not_vote():
    found = neighbors.Neighbors(np.array([[1.0, 2.0]]), np.array([[0, -1]]))
    with pytest.raises(ValueError, match="indices must be at least 0, got -1"):
        neighbors.vote(found, [0, 1], num_classes=2)


def test_the_name_of_a_weighting_is_no_weighting():
    found = neighbors.Neighbors(np.array([[1.0]]), np.array([[0]]))
    with pytest.raises(ValueError, match="weighting must .* jaxlin.neighbors.gaussian"):
        neighbors.vote(found, [0, 1], num_classes=2, weighting="distance")
