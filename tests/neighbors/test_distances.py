"""Distances of one pair: SciPy's, gradients that stay finite, and what is refused."""

import functools

import jax
import numpy as np
import pytest
from scipy.spatial import distance as scipy_distance

from jaxlin.neighbors import distances

MATRIX = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.25], [0.0, -0.25, 3.0]])
# Ours, SciPy's, keywords of each.
METRICS = {
    "squared": (distances.squared_euclidean, scipy_distance.sqeuclidean, {}, {}),
    "euclidean": (distances.euclidean, scipy_distance.euclidean, {}, {}),
    "manhattan": (distances.manhattan, scipy_distance.cityblock, {}, {}),
    "chebyshev": (distances.chebyshev, scipy_distance.chebyshev, {}, {}),
    "minkowski": (
        distances.minkowski,
        scipy_distance.minkowski,
        {"power": 3.5},
        {"p": 3.5},
    ),
    "cosine": (distances.cosine, scipy_distance.cosine, {}, {}),
    "mahalanobis": (
        distances.mahalanobis,
        scipy_distance.mahalanobis,
        {"matrix": MATRIX},
        {"VI": MATRIX},
    ),
}


@functools.cache
def compiled(name):
    """The metric of that name and its gradients in both vectors, as one program."""
    ours, _, keywords, _ = METRICS[name]
    metric = functools.partial(ours, **keywords)
    return jax.jit(jax.value_and_grad(metric, argnums=(0, 1)))


every_metric = pytest.mark.parametrize("name", METRICS)


@every_metric
def test_equals_scipy(name, float64):
    _, theirs, _, their_keywords = METRICS[name]
    draw = np.random.default_rng(0)
    for first, second in draw.normal(size=(5, 2, 3)):
        expected = theirs(first, second, **their_keywords)
        found, _ = compiled(name)(first, second)
        assert float(found) == pytest.approx(expected, rel=1e-12)


@every_metric
def test_is_zero_at_equal_vectors_and_symmetric(name):
    first, second = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    pairs = (first, first), (first, second), (second, first)
    nothing, there, back = (float(compiled(name)(*pair)[0]) for pair in pairs)
    assert nothing == 0
    assert there == pytest.approx(back, rel=1e-6)


@every_metric
@pytest.mark.parametrize("first", [[0.0, 0.0, 0.0], [1.0, -2.0, 0.5]])
def test_gradients_at_zero_are_zero(name, first):
    first = np.array(first, np.float32)
    _, gradients = compiled(name)(first, first)
    for found in gradients:
        np.testing.assert_array_equal(found, np.zeros(3))


@every_metric
def test_gradients_are_slopes(name, float64):
    first, second = np.random.default_rng(2).normal(size=(2, 3))
    both = compiled(name)
    found = np.asarray(both(first, second)[1][0])
    for j, step in enumerate(1e-5 * np.eye(3)):
        higher, lower = (both(first + sign * step, second)[0] for sign in (1, -1))
        assert found[j] == pytest.approx(float(higher - lower) / 2e-5, abs=1e-8)


def test_the_power_has_a_slope_too(float64):
    def of_power(power):
        return distances.minkowski(np.array([3.0, 0.0]), np.zeros(2), power=power)

    # One coordinate differs: every power gives the same.
    assert jax.jit(jax.grad(of_power))(2.0) == 0
    slope = jax.jit(jax.grad(distances.minkowski))
    assert np.isfinite(slope(np.zeros(2), np.ones(2), power=1.0)).all()


def test_minkowski_joins_its_neighbours():
    minkowski = jax.jit(distances.minkowski)
    first, second = np.float32([1, 5, -2]), np.float32([4, 1, -2])
    assert float(minkowski(first, second, power=1.0)) == 7
    assert float(minkowski(first, second, power=2.0)) == pytest.approx(5)
    assert float(minkowski(first, second, power=1e6)) == pytest.approx(4)
    # No power of these fits float32.
    huge = (some * np.float32(1e30) for some in (first, second))
    assert float(minkowski(*huge, power=2.0)) == pytest.approx(5e30)


def test_bytes_are_exact():
    black, white = np.zeros(3072, np.uint8), np.full(3072, 255, np.uint8)
    white[0] = 254
    squares, total, most = (
        jax.jit(metric)
        for metric in (
            distances.squared_euclidean,
            distances.manhattan,
            distances.chebyshev,
        )
    )
    assert int(squares(black, white)) == 3071 * 255**2 + 254**2
    assert int(total(white, black)) == 3072 * 255 - 1
    assert int(most(white, black)) == 255
    assert squares(black, white).dtype == np.int32


def test_a_zero_vector_is_at_right_angles_to_all():
    zero, other = np.zeros(3, np.float32), np.float32([3, 4, 0])
    cosine = compiled("cosine")
    value, (slope, _) = cosine(zero, other)
    assert float(value) == 1
    assert float(cosine(zero, zero)[0]) == 1
    np.testing.assert_array_equal(slope, [0, 0, 0])
    assert float(cosine(other, -other)[0]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("metric", "arguments", "message"),
    [
        ("euclidean", {}, "metric must be a function, got 'euclidean'"),
        (distances.minkowski, {}, "metric_arguments must fit minkowski, got .*power"),
        (distances.euclidean, {"power": 2}, "must fit euclidean, got .*'power'"),
        (distances.minkowski, {"power": 0.5}, "power must be at least 1"),
        (distances.minkowski, {"power": np.nan}, "power must be finite"),
        (distances.mahalanobis, {"matrix": np.eye(2)}, r"shape \(3, 3\), got"),
        (
            distances.mahalanobis,
            {"matrix": np.diag([1.0, -1.0, 1.0])},
            "matrix must be positive definite, got smallest eigenvalue -1",
        ),
        (distances.mahalanobis, {"matrix": np.zeros((3, 3))}, "positive definite"),
        (
            distances.mahalanobis,
            {"matrix": np.triu(np.ones((3, 3)))},
            "matrix must be symmetric",
        ),
        (distances.mahalanobis, {"matrix": np.full((3, 3), np.nan)}, "finite"),
    ],
)
def test_bad_arguments_are_named(metric, arguments, message):
    with pytest.raises(ValueError, match=message):
        distances.check_arguments(metric, arguments, num_features=3)


def test_pairs_must_match():
    with pytest.raises(AssertionError):
        distances.euclidean(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match=r"first .* \(2, 2\); jax.vmap"):
        distances.cosine(np.zeros((2, 2)), np.zeros((2, 2)))


def test_bytes_of_very_many_features_do_not_overflow():
    black, white = (np.full(150_528, value, np.uint8) for value in (0, 255))
    found = jax.jit(distances.euclidean)(black, white)
    assert float(found) == pytest.approx(255 * 150_528**0.5, rel=1e-6)
