"""Templates, contributions, hyperplanes, regions: what they have to satisfy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import linear, normalization
from jaxlin.geometry import hyperplanes
from jaxlin.linear import Params

CLASSES, FEATURES = 5, 7
SCORES = jax.jit(linear.scores)
DISTANCES = jax.jit(hyperplanes.signed_distances)
TEMPLATES = jax.jit(hyperplanes.templates, static_argnames=("image_shape", "scale"))
PLANES = jax.jit(hyperplanes.hyperplanes)
PREDICT = jax.jit(jax.vmap(linear.predict, (None, 0)))


def random_params(seed, classes=CLASSES, features=FEATURES):
    random = np.random.default_rng(seed)
    return linear.Params(
        random.normal(size=(classes, features)).astype(np.float32),
        random.normal(size=classes).astype(np.float32),
    )


def random_rows(seed, count, features=FEATURES):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, features)).astype(np.float32)


def inside(polygon, point, slack):
    """Test of a point in a convex polygon given counterclockwise."""
    edges = np.roll(polygon, -1, axis=0) - polygon
    to_point = point - polygon
    turns = edges[:, 0] * to_point[:, 1] - edges[:, 1] * to_point[:, 0]
    return len(polygon) > 2 and (turns >= -slack).all()


def area(polygon):
    """The shoelace formula; negative if the corners run clockwise."""
    if len(polygon) == 0:
        return 0.0
    x, y = polygon.T
    return 0.5 * float(x @ np.roll(y, -1) - y @ np.roll(x, -1))


def test_templates_are_pictures_of_each_row():
    weights = np.arange(24, dtype=np.float32).reshape(2, 12) - 12
    own = np.asarray(TEMPLATES(weights, image_shape=(2, 2, 3)))
    shared = np.asarray(TEMPLATES(weights, image_shape=(2, 2, 3), scale="shared"))
    assert own.shape == shared.shape == (2, 2, 2, 3)
    for c in range(2):
        for place, weight in zip(np.ndindex(2, 2, 3), weights[c], strict=True):
            largest = max(abs(float(w)) for w in weights[c])
            assert own[c][place] == pytest.approx(0.5 + 0.5 * weight / largest)
            assert shared[c][place] == pytest.approx(0.5 + 0.5 * weight / 12)
    empty = np.asarray(TEMPLATES(0 * weights, image_shape=(2, 2, 3)))
    assert (empty == 0.5).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_shape": (2, 2)}, r"image_shape must have 12 entries .* got \(2, 2\)"),
        ({"scale": "loud"}, "scale must be one of per_class, shared, got 'loud'"),
    ],
)
def test_templates_that_cannot_be_drawn(changes, words):
    with pytest.raises(ValueError, match=words):
        hyperplanes.templates(np.ones((2, 12)), **{"image_shape": (12,), **changes})


def test_contributions_and_bias_sum_to_the_scores():
    params, rows = random_params(0), random_rows(1, 30)
    for x in rows[:3]:
        parts = np.asarray(jax.jit(hyperplanes.contributions)(params, x))
        assert parts[2, 4] == params.weights[2, 4] * x[4]
    parts = jax.jit(jax.vmap(hyperplanes.contributions, (None, 0)))(params, rows)
    scores = jax.jit(jax.vmap(linear.scores, (None, 0)))(params, rows)
    assert parts.shape == (30, CLASSES, FEATURES)
    summed = np.asarray(parts, np.float64).sum(axis=2) + np.asarray(params.bias)
    np.testing.assert_allclose(summed, scores, atol=1e-5)


def test_contributions_of_pixels_with_the_normalisation_folded_in():
    params = random_params(2)
    pixels = np.arange(FEATURES * 4, dtype=np.uint8).reshape(4, FEATURES) * 9
    fitted = normalization.fit_centered(pixels, scale=255.0)

    @jax.jit
    def both(params, fitted, row):
        folded = linear.fold_normalization(params, fitted)
        added = hyperplanes.contributions(folded, row).sum(axis=1) + folded.bias
        return added, linear.scores(params, normalization.normalize(fitted, row))

    np.testing.assert_allclose(*both(params, fitted, pixels[1]), atol=1e-5)


def test_a_step_of_the_signed_distance_ends_where_two_classes_tie():
    params = random_params(3)
    for x in np.asarray(random_rows(4, 5)):
        for label in range(CLASSES):
            distances = np.asarray(DISTANCES(params, x, label))
            planes = PLANES(params, label)
            normals = np.asarray(planes.normals, np.float64)
            assert distances[label] == np.inf
            for j in set(range(CLASSES)) - {label}:
                step = distances[j] * normals[j] / np.linalg.norm(normals[j])
                scores = np.asarray(SCORES(params, x - step.astype(np.float32)))
                assert scores[label] == pytest.approx(float(scores[j]), abs=1e-4)
                before = np.asarray(SCORES(params, x))
                assert (distances[j] > 0) == (before[label] > before[j])


def test_all_pairs_of_hyperplanes_by_vmap():
    params = random_params(5)
    every = jax.jit(jax.vmap(hyperplanes.hyperplanes, (None, 0)))(
        params, np.arange(CLASSES)
    )
    every = jax.tree.map(np.asarray, every)
    assert every.normals.shape == (CLASSES, CLASSES, FEATURES)
    np.testing.assert_array_equal(every.normals, -every.normals.swapaxes(0, 1))
    np.testing.assert_array_equal(every.offsets, -every.offsets.T)


def test_classes_of_one_template_have_no_hyperplane():
    weights = np.float32([[1.0, 2.0]] * 3 + [[0.0, 0.0]])
    params = linear.Params(weights, np.float32([0.5, 0.5, 0.0, 0.0]))
    x = np.float32([1.0, 1.0])
    inf = np.inf
    found = (np.asarray(DISTANCES(params, x, label)) for label in range(3))
    first, second, third = (distances[:3] for distances in found)
    assert first.tolist() == [inf, inf, inf]
    assert second.tolist() == [-inf, inf, inf]  # a tie goes to the smaller index
    assert third.tolist() == [-inf, -inf, inf]


def test_restricted_to_a_plane_the_scores_are_the_same():
    params = random_params(6)
    origin, axes = random_rows(7, 1)[0], random_rows(8, 2)
    flat = jax.jit(hyperplanes.restrict)(params, origin, axes)
    assert flat.weights.shape == (CLASSES, 2)
    for t in random_rows(9, 6, features=2):
        point = origin + t[0] * axes[0] + t[1] * axes[1]
        np.testing.assert_allclose(SCORES(flat, t), SCORES(params, point), atol=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_regions_agree_with_predict(seed):
    params = random_params(seed, features=2)
    low, high = np.array([-2.0, -1.0]), np.array([1.5, 3.0])
    polygons = hyperplanes.regions(params, low=low, high=high)
    assert len(polygons) == CLASSES
    points = np.random.default_rng(seed).uniform(low, high, size=(300, 2))
    labels = np.asarray(PREDICT(params, points))
    for point, label in zip(points, labels, strict=True):
        found = [inside(polygon, point, slack=1e-5) for polygon in polygons]
        assert found[label]
        well_inside = [inside(polygon, point, slack=-1e-5) for polygon in polygons]
        assert sum(well_inside) <= 1
    areas = [area(polygon) for polygon in polygons]
    assert min(areas) >= 0
    assert sum(areas) == pytest.approx(3.5 * 4.0)
    # Not only where points happened to fall.
    shares = np.bincount(labels, minlength=CLASSES) / 300
    np.testing.assert_allclose(np.array(areas) / 14, shares, atol=0.12)


def test_a_class_that_wins_nowhere_has_no_region():
    weights = np.float32([[1, 0], [0, 0], [-1, 0], [1, 0]])
    params = linear.Params(weights, np.float32([0.0, -0.5, 0.0, 0.0]))
    right, none, left, twin = hyperplanes.regions(params, low=-1.0, high=1.0)
    assert area(right) == area(left) == pytest.approx(2.0)
    assert abs(area(none)) < 1e-12
    # The twin ties with class 0 everywhere, and ties go to the smaller index.
    assert len(twin) == 0


@pytest.mark.parametrize(
    ("params", "limits", "words"),
    [
        (random_params(0), (-1, 1), "params.weights must have 2 features, got 7"),
        (
            linear.Params(np.full((2, 2), np.nan), np.zeros(2)),
            (-1, 1),
            "params.weights must be finite",
        ),
        (
            linear.Params(np.ones((2, 2)), np.full(2, np.inf)),
            (-1, 1),
            "params.bias must be 2 finite numbers",
        ),
        (linear.Params(np.ones((2, 2)), np.zeros(2)), (1, 1), "high must be above low"),
        (
            linear.Params(np.ones((2, 2)), np.zeros(2)),
            ((0, 0, 0), 1),
            "low must be one or two finite numbers",
        ),
    ],
)
def test_regions_of_bad_input(params, limits, words):
    with pytest.raises(ValueError, match=words):
        hyperplanes.regions(params, low=limits[0], high=limits[1])


def test_distances_have_gradients_in_the_parameters():
    params = Params(np.float32([[3.0, 4.0], [0.0, 0.0]]), np.float32([5.0, 0.0]))
    x = np.float32([0.0, -5.0])
    slope = jax.jit(jax.grad(signed_distance))(params, x)
    assert all(np.isfinite(leaf).all() for leaf in slope)
    # The lead of class 1 over class 0 grows with its bias by one over the length.
    np.testing.assert_allclose(slope.bias, [-1 / 5, 1 / 5], rtol=1e-6)


def signed_distance(params, x):
    return hyperplanes.signed_distances(params, x, 1)[0]


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (
            lambda params, x: hyperplanes.contributions(params, x),
            r"features must be of one example, with 1 axis, got shape \(3, 4\)",
        ),
        (
            lambda params, x: hyperplanes.contributions(params, x[0, :3]),
            "features must have 4 entries, got 3",
        ),
        (
            lambda params, x: hyperplanes.signed_distances(params, x, 0),
            "features must be of one example",
        ),
        (
            lambda params, x: hyperplanes.signed_distances(params, x[0], jnp.arange(3)),
            "label must be of one example, with no axes",
        ),
        (
            lambda params, x: hyperplanes.restrict(params, x, x),
            "origin must be of one example",
        ),
        (
            lambda params, x: hyperplanes.restrict(params, x[0], x[:, :3]),
            r"axes must have shape \(axes, 4\), got \(3, 3\)",
        ),
        (
            lambda params, _: hyperplanes.templates(params, image_shape=(2, 2)),
            "weights must be an array, got Params; give params.weights",
        ),
        (
            lambda params, x: hyperplanes.templates(x[0], image_shape=(2, 2)),
            r"weights must have shape \(classes, features\), got shape \(4,\)",
        ),
    ],
)
def test_wrong_shapes_are_named(act, words):
    with pytest.raises(ValueError, match=words):
        act(linear.Params(np.ones((2, 4)), np.zeros(2)), np.ones((3, 4)))
