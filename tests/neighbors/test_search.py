"""The k nearest: of a brute force by SciPy in float64, whatever the kind of rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxlin import neighbors
from jaxlin.neighbors import distances, top_k

MATRIX = np.diag(np.arange(1.0, 7)) + 0.3
# Metric, its keywords, SciPy's name, keywords there.
METRICS = {
    "squared": (distances.squared_euclidean, {}, "sqeuclidean", {}),
    "euclidean": (distances.euclidean, {}, "euclidean", {}),
    "manhattan": (distances.manhattan, {}, "cityblock", {}),
    "chebyshev": (distances.chebyshev, {}, "chebyshev", {}),
    "minkowski": (distances.minkowski, {"power": 3.0}, "minkowski", {"p": 3.0}),
    "cosine": (distances.cosine, {}, "cosine", {}),
    "mahalanobis": (
        distances.mahalanobis,
        {"matrix": MATRIX},
        "mahalanobis",
        {"VI": MATRIX},
    ),
}
# Few kinds of rows, so that the cases share programs: 20 cases each, 300 in all.
KINDS = [
    ("squared", np.uint8, 40),
    ("euclidean", np.float32, 6),
    ("mahalanobis", np.float64, 6),
    ("manhattan", np.uint8, 40),
    ("euclidean", np.uint8, 40),
    ("chebyshev", np.uint8, 40),
    ("cosine", np.uint8, 40),
    ("squared", np.float32, 6),
    ("euclidean", np.float64, 6),
    ("euclidean", np.float16, 6),
    ("manhattan", np.float64, 6),
    ("chebyshev", np.float32, 6),
    ("minkowski", np.float32, 6),
    ("cosine", np.float32, 6),
    ("euclidean", np.float32, 3000),
]
DEFAULT_KINDS = 3
CASES = 20


def draw_rows(draw, dtype, count, width):
    """Rows with duplicates, of few values each (many ties) or of many."""
    few = bool(draw.integers(2))
    if dtype == np.uint8:
        rows = draw.integers(0, 3 if few else 256, (count, width), dtype=np.uint8)
    elif few:
        rows = draw.integers(-2, 3, (count, width)).astype(dtype)
    else:
        rows = (draw.normal(size=(count, width)) + draw.choice([0, 3])).astype(dtype)
    rows[draw.integers(0, count, count // 8)] = rows[draw.integers(0, count)]
    return rows


def assert_nearest(found, rows, queries, name, *, hidden=None):
    """Fails unless these are the nearest, up to rounding, ties by index."""
    _, _, theirs, keywords = METRICS[name]
    every = cdist(queries.astype(float), rows.astype(float), theirs, **keywords)
    if name == "cosine":
        zeros = ~(queries.any(axis=1)[:, None] & rows.any(axis=1)[None, :])
        every = np.where(zeros, 1.0, every)
    if hidden is not None:
        every = np.where(hidden, np.inf, every)
    k = found.indices.shape[1]
    own = np.take_along_axis(every, found.indices, axis=1)
    np.testing.assert_allclose(found.distances, own, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        own, np.sort(every, axis=1)[:, :k], rtol=1e-9, atol=1e-12
    )
    assert all(len(set(row)) == k for row in found.indices.tolist())
    # Of equal distances the smaller index: everywhere, for sums of whole numbers.
    is_whole = all((some == np.round(some)).all() for some in (rows, queries))
    if name in ("squared", "euclidean", "manhattan", "chebyshev") and is_whole:
        order = np.argsort(every, axis=1, kind="stable")[:, :k]
        np.testing.assert_array_equal(found.indices, order)


@pytest.mark.parametrize(
    ("name", "dtype", "width"),
    [
        *KINDS[:DEFAULT_KINDS],
        *(
            pytest.param(*kind, marks=pytest.mark.full)
            for kind in KINDS[DEFAULT_KINDS:]
        ),
    ],
)
def test_equals_a_brute_force_in_float64(name, dtype, width):
    metric, arguments, _, _ = METRICS[name]
    draw = np.random.default_rng(KINDS.index((name, dtype, width)))
    for case in range(CASES):
        # Few numbers of queries and neighbours: a program each.
        count = int(draw.choice([200, 256]))
        num_queries, k = [(1, 1), (7, 14), (7, 14), (7, count)][case % 4]
        rows = draw_rows(draw, dtype, count, width)
        queries = draw_rows(draw, dtype, 8, width)[:num_queries]
        queries[0] = rows[draw.integers(count)]
        found = neighbors.nearest(
            rows, queries, metric=metric, k=k, metric_arguments=arguments
        )
        assert_nearest(found, rows, queries, name)


def test_blocks_change_no_bit_of_integers():
    draw = np.random.default_rng(0)
    rows = draw_rows(draw, np.uint8, 200, 40)
    whole = neighbors.nearest(rows, rows[:7], metric=distances.manhattan, k=14)
    assert whole.distances.dtype == np.int32
    assert_nearest(whole, rows, rows[:7], "manhattan")
    for block_size in (64, 500):
        found = neighbors.nearest(
            rows, rows[:7], metric=distances.manhattan, k=14, block_size=block_size
        )
        np.testing.assert_array_equal(found.indices, whole.indices)
        np.testing.assert_array_equal(found.distances, whole.distances)


def test_many_equal_rows_are_found_by_float64_in_the_end():
    # Rows that float32 cannot tell apart, and five that are nearer.
    draw = np.random.default_rng(1)
    rows = 1 + 1e-9 * draw.normal(size=(250, 6))
    rows[[3, 77, 78, 120, 249]] = 1 + 1e-11 * draw.normal(size=(5, 6))
    query = np.ones((1, 6))
    found = neighbors.nearest(rows, query, metric=distances.euclidean, k=5)
    assert set(found.indices[0]) == {3, 77, 78, 120, 249}
    assert_nearest(found, rows, query, "euclidean")


@pytest.mark.parametrize("scale", [1e-100, 1e150])
def test_numbers_that_float32_cannot_square(scale):
    rows = scale * np.random.default_rng(2).normal(size=(200, 6))
    found = neighbors.nearest(rows, rows[:8], metric=distances.euclidean, k=4)
    expected = neighbors.nearest(
        rows / scale, rows[:8] / scale, metric=distances.euclidean, k=4
    )
    np.testing.assert_array_equal(found.indices, expected.indices)


def test_memory_maps_and_device_arrays_are_the_same(tmp_path):
    rows = draw_rows(np.random.default_rng(3), np.uint8, 200, 40)
    expected = neighbors.nearest(rows, rows[:7], metric=distances.manhattan, k=14)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for some in (mapped, jnp.asarray(rows)):
        found = neighbors.nearest(some, some[:7], metric=distances.manhattan, k=14)
        np.testing.assert_array_equal(found.indices, expected.indices)


def hellinger(first, second):
    return jnp.sum(jnp.square(jnp.sqrt(jnp.abs(first)) - jnp.sqrt(jnp.abs(second))))


def test_a_metric_of_ones_own_is_computed_in_float64():
    rows = np.abs(np.random.default_rng(4).normal(size=(200, 6)))
    found = neighbors.nearest(rows, rows[:8], metric=hellinger, k=5)
    every = cdist(np.sqrt(rows[:8]), np.sqrt(rows), "sqeuclidean")
    np.testing.assert_array_equal(found.indices, np.argsort(every, axis=1)[:, :5])
    own = np.take_along_axis(every, found.indices, axis=1)
    np.testing.assert_allclose(found.distances, own, rtol=1e-12, atol=1e-30)


def per_feature(first, second):
    return jnp.abs(first - second)


def by_numpy(first, second):
    return np.abs(np.asarray(first) - np.asarray(second)).sum()


def with_a_mask(first, second):
    return jnp.sum(jnp.abs(first - second)[first > 0])


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (with_a_mask, "metric must compute by jax.numpy.*with_a_mask.*BooleanIndex"),
        (per_feature, r"metric must return shape \(\) .* shape \(3,\) of per_feature"),
        (by_numpy, "metric must compute by jax.numpy.*by_numpy.*TracerArrayConversion"),
    ],
)
def test_what_is_no_metric_is_refused_in_words(metric, message):
    with pytest.raises(ValueError, match=message):
        neighbors.nearest(ROWS, ROWS[:1], metric=metric, k=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_leave_one_out_and_folds(dtype):
    draw = np.random.default_rng(5)
    width = 40 if dtype == np.uint8 else 6
    rows = draw_rows(draw, dtype, 200, width)
    alone = neighbors.nearest_others(rows, metric=distances.euclidean, k=9)
    assert_nearest(alone, rows, rows, "euclidean", hidden=np.eye(200, dtype=bool))
    folds = draw.integers(0, 5, 200)
    found = neighbors.nearest_others(
        rows, metric=distances.euclidean, k=9, groups=folds
    )
    same = folds[:, None] == folds[None, :]
    assert_nearest(found, rows, rows, "euclidean", hidden=same)


def test_whole_numbers_that_float32_does_not_hold_are_kept():
    rows = 2**24 + np.arange(6)[:, None]
    found = neighbors.nearest(rows, rows[:1], metric=distances.euclidean, k=3)
    np.testing.assert_array_equal(found.distances, [[0, 1, 2]])


def infinite_beyond_one(first, second):
    apart = jnp.sum(jnp.abs(first - second))
    return jnp.where(apart > 1, jnp.inf, apart)


@pytest.mark.parametrize(
    ("metric", "scale"), [(infinite_beyond_one, 1.0), (distances.euclidean, 1e200)]
)
def test_neighbours_without_a_distance_are_refused(metric, scale):
    rows = scale * np.array([[0.0], [0.5], [0.75], [3.0]])
    with pytest.raises(ValueError, match="must be finite between each query and 4"):
        neighbors.nearest(rows, rows[:1], metric=metric, k=4)
    if scale == 1:
        found = neighbors.nearest(rows, rows[:1], metric=metric, k=3)
        assert found.indices.tolist() == [[0, 1, 2]]


def test_all_others_are_neighbours_at_most():
    rows = np.arange(5, dtype=np.uint8)[:, None]
    found = neighbors.nearest_others(rows, metric=distances.manhattan, k=4)
    assert [sorted(row) for row in found.indices.tolist()] == [
        [j for j in range(5) if j != i] for i in range(5)
    ]


@pytest.mark.parametrize(
    "metric",
    [
        distances.squared_euclidean,
        pytest.param(distances.manhattan, marks=pytest.mark.full),
    ],
)
def test_recall_of_an_approximate_search(metric):
    rows = draw_rows(np.random.default_rng(6), np.uint8, 256, 40)
    options = {"metric": metric, "k": 14}
    exact = neighbors.nearest(rows, rows[:7], **options)
    found = neighbors.nearest(rows, rows[:7], recall_target=0.9, **options)
    share = neighbors.recall(found, exact)
    assert 0.8 < share <= 1  # ties may go to others
    some = neighbors.Neighbors(None, np.array([[1, 2], [3, 4]]))
    other = neighbors.Neighbors(None, np.array([[2, 9], [4, 3]]))
    assert neighbors.recall(some, other) == 0.75


ROWS = np.zeros((5, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": 6}, "k must be at most 5, got 6"),
        ({"k": 1.5}, "k must be an integer"),
        ({"queries": np.zeros((2, 4))}, "query_rows must have 3 features, got 4"),
        ({"queries": np.zeros(3)}, "query_rows must have shape"),
        ({"queries": np.full((1, 3), np.nan)}, "query_rows must be finite, got nan"),
        ({"rows": np.full((5, 3), np.inf)}, "train_rows must be finite, got inf"),
        (
            {"rows": np.zeros((5, 3), np.uint8)},
            "query_rows must be uint8 as train_rows, got float64; convert one",
        ),
        ({"block_size": 0}, "block_size must be at least 1"),
        ({"recall_target": 1.5}, "recall_target must be at most 1"),
        ({"metric": "l2"}, "metric must be a function"),
        (
            {
                "metric": distances.mahalanobis,
                "metric_arguments": {"matrix": -np.eye(3)},
            },
            "matrix must be positive definite",
        ),
        (
            {"metric": distances.minkowski, "metric_arguments": {"power": 0}},
            "power must be at least 1",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_compiled(changes, message):
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: compiled.append(event) if "compile" in event else None
    )
    asked = {"rows": ROWS, "queries": ROWS, "k": 1, "metric": distances.euclidean}
    asked |= changes
    with pytest.raises(ValueError, match=message):
        neighbors.nearest(asked.pop("rows"), asked.pop("queries"), **asked)
    assert compiled == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 5}, "k must be at most 4, got 5"),
        ({"groups": [0, 0, 0, 0, 1], "k": 2}, "k must be at most 1, got 2"),
        ({"groups": [0, 0, 0, 0, 0]}, "groups must be at least two"),
        ({"groups": [0, 1]}, "groups must have one entry per example"),
    ],
)
def test_bad_groups_are_refused(changes, message):
    asked = {"k": 1, "metric": distances.euclidean} | changes
    with pytest.raises(ValueError, match=message):
        neighbors.nearest_others(ROWS, **asked)


@functools.partial(jax.jit, static_argnums=1)
def smallest(values, k):
    keys = top_k.key_of_integer(values)
    return keys, *top_k.smallest(keys, k)


@pytest.mark.parametrize(("count", "k"), [(1, 1), (300, 1), (5000, 16), (1100, 300)])
@pytest.mark.parametrize("highest", [2, 2**31 - 2**25])
def test_the_smallest_of_many_ties_by_position(count, k, highest):
    values = np.random.default_rng(count).integers(0, highest, (3, count))
    values[0], values[1, 0] = 1, 0
    keys, found, positions = smallest(values, k)
    np.testing.assert_array_equal(top_k.integer_of_key(keys), values)
    order = np.argsort(values, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(positions, order)
    own = np.take_along_axis(values, order, axis=1)
    np.testing.assert_array_equal(top_k.integer_of_key(found), own)
