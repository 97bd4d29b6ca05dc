"""Distances of all pairs: SciPy's; on bytes, integers to the last digit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxlin.neighbors import distances, integer_distances, pairwise

INTEGERS = {
    distances.squared_euclidean: lambda apart: (apart**2).sum(axis=-1),
    distances.manhattan: lambda apart: np.abs(apart).sum(axis=-1),
    distances.chebyshev: lambda apart: np.abs(apart).max(axis=-1),
}
FLOATS = {
    distances.squared_euclidean: "sqeuclidean",
    distances.euclidean: "euclidean",
    distances.manhattan: "cityblock",
    distances.chebyshev: "chebyshev",
    distances.cosine: "cosine",
}
between = functools.partial(jax.jit, static_argnames="metric")(pairwise.between)


@pytest.mark.parametrize("metric", INTEGERS, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    "num_features", [1, pytest.param(100, marks=pytest.mark.full), 2500]
)
def test_bytes_are_exact(metric, num_features):
    draw = np.random.default_rng(num_features)
    queries = draw.integers(0, 256, (3, num_features), dtype=np.uint8)
    rows = draw.integers(0, 256, (300, num_features), dtype=np.uint8)
    # The farthest that bytes can be apart, and all the same.
    queries[0], rows[0], rows[1] = 0, 255, 0
    expected = INTEGERS[metric](queries.astype(int)[:, None] - rows.astype(int)[None])
    found = between(queries, rows, metric=metric)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("metric", FLOATS, ids=lambda metric: metric.__name__)
def test_floats_are_scipys(metric):
    queries, rows = np.split(np.random.default_rng(0).normal(size=(25, 7)) + 2, [5])
    found = between(np.float32(queries), np.float32(rows), metric=metric)
    expected = cdist(queries, rows, FLOATS[metric])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_matrices_and_functions_of_ones_own():
    queries, rows = np.split(np.random.default_rng(1).normal(size=(25, 3)), [5])
    matrix = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 3.0]])
    found = between(
        queries,
        rows,
        metric=distances.mahalanobis,
        metric_arguments={"matrix": matrix},
    )
    expected = cdist(queries, rows, "mahalanobis", VI=matrix)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    found = between(queries, rows, metric=canberra)
    np.testing.assert_allclose(found, cdist(queries, rows, "canberra"), rtol=1e-4)


def canberra(first, second):
    return jnp.sum(jnp.abs(first - second) / (jnp.abs(first) + jnp.abs(second)))


def test_too_many_bytes_for_integers_are_floats():
    wide = np.full((1, distances.MAX_EXACT_FEATURES + 1), 255, np.uint8)
    form = integer_distances.integer_form
    assert form(distances.squared_euclidean, wide, wide) is None
    assert form(distances.euclidean, wide[:, 1:], wide[:, 1:]) is not None
    assert form(distances.manhattan, wide, wide) is not None


@pytest.mark.parametrize(
    "block_size", [pytest.param(1, marks=pytest.mark.full), 4, 10, None]
)
def test_blocks_are_the_whole(block_size):
    rows = np.random.default_rng(2).integers(0, 256, (10, 6), dtype=np.uint8)
    whole = np.zeros((3, 10), int)
    for where, found in pairwise.blocks(
        rows[:3], rows, metric=distances.manhattan, block_size=block_size
    ):
        whole[:, where] = found
    np.testing.assert_array_equal(whole, cdist(rows[:3], rows, "cityblock"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": np.zeros((4, 3))}, "rows must have 2 features, got 3"),
        ({"queries": np.full((1, 2), np.nan)}, "queries must be finite"),
        ({"block_size": 0}, "block_size must be at least 1"),
        ({"metric": distances.minkowski}, "must fit minkowski"),
    ],
)
def test_bad_input_is_named_at_the_call(changes, message):
    good = {"queries": np.zeros((1, 2)), "rows": np.zeros((4, 2))}
    asked = {"metric": distances.euclidean} | good | changes
    with pytest.raises(ValueError, match=message):
        pairwise.blocks(asked.pop("queries"), asked.pop("rows"), **asked)


@jax.jit
def products(queries, rows):
    by_floats = integer_distances._product_of_whole_floats(queries, rows)
    return by_floats, integer_distances.integer_product(queries, rows)


@pytest.mark.parametrize("num_features", [1, 1024, 2501])
def test_whole_floats_are_exact_integers(num_features):
    """The path of accelerators; 2501 times 127^2 is odd and above 2^24."""
    draw = np.random.default_rng(num_features)
    queries, rows = draw.integers(-128, 128, (2, 5, num_features)).astype(np.int8)
    queries[0] = rows[0] = -128
    rows[1] = queries[2] = rows[2] = 127
    found, others = products(queries, rows)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, queries.astype(int) @ rows.astype(int).T)
    np.testing.assert_array_equal(found, others)
