"""Points of each case lie where they should, as far apart as they should."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import linear
from jaxlin.data import toy
from jaxlin.geometry import separability

HARD = {
    toy.quadrants: toy.lift_quadrants,
    toy.ring: toy.lift_ring,
    toy.three_modes: toy.lift_three_modes,
}
EVERY = [*HARD, toy.half_planes, toy.sectors]
every_case = pytest.mark.parametrize("draw", EVERY, ids=lambda one: one.__name__)
every_hard_case = pytest.mark.parametrize("draw", HARD, ids=lambda one: one.__name__)


def is_where_it_says(draw, x):
    """The label of a point by the words of the lecture."""
    norm = np.hypot(*x)
    if draw is toy.quadrants:
        return int((x[0] > 0) == (x[1] > 0))
    if draw is toy.ring:
        return int(1 <= norm <= 2)
    if draw is toy.three_modes:
        return int(any(np.hypot(*(x - c)) <= 0.5 for c in np.array(toy.MODE_CENTERS)))
    if draw is toy.half_planes:
        return int(x[0] * np.cos(np.pi / 3) + x[1] * np.sin(np.pi / 3) > 0.3)
    return round(np.arctan2(x[1], x[0]) / (2 * np.pi) * 3) % 3


@every_case
@pytest.mark.parametrize(("count", "gap"), [(200, 0.0), (200, 0.3)])
def test_labels_and_gap(draw, count, gap):
    features, labels = draw(jax.random.key(1), num_examples=count, gap=gap)
    assert features.shape == (count, 2)
    assert (features.dtype, labels.dtype) == (np.float32, np.int32)
    classes = 3 if draw is toy.sectors else 2
    assert np.ptp(np.bincount(labels, minlength=classes)) <= 1
    if gap:
        assert [is_where_it_says(draw, x) for x in features] == labels.tolist()
        some = slice(0, 300)
        apart = np.linalg.norm(features[:, None] - features[None, some], axis=2)
        assert apart[labels[:, None] != labels[None, some]].min() >= gap - 1e-6


def test_the_rest_of_the_ring_lies_on_both_sides():
    features, labels = toy.ring(jax.random.key(0), num_examples=200)
    norms = np.linalg.norm(features[labels == 0], axis=1)
    assert (norms < 1).sum() == (norms > 2).sum() == 50
    assert norms.max() <= 3 + 1e-6


def test_all_modes_and_quadrants_occur():
    features, labels = toy.three_modes(jax.random.key(0), num_examples=200)
    nearest = np.linalg.norm(
        features[labels == 1][:, None] - np.array(toy.MODE_CENTERS), axis=2
    ).argmin(axis=1)
    assert np.bincount(nearest).tolist() == [34, 33, 33]
    features, _ = toy.quadrants(jax.random.key(0), num_examples=200)
    quarters = np.bincount(2 * (features[:, 0] > 0) + (features[:, 1] > 0))
    assert quarters.min() > 30


@every_case
def test_the_key_decides_and_noise_is_added(draw):
    def points(seed, **options):
        return draw(jax.random.key(seed), num_examples=200, **options)

    first, again, other = points(0), points(0), points(1)
    np.testing.assert_array_equal(first.features, again.features)
    assert (first.features != other.features).any(axis=1).all()
    noisy = points(0, noise=0.5)
    np.testing.assert_array_equal(first.labels, noisy.labels)
    moved = noisy.features - first.features
    assert moved.std() == pytest.approx(0.5, rel=0.15)
    assert abs(moved.mean()) < 0.1


@every_hard_case
@pytest.mark.parametrize("gap", [0.15, 0.4])
def test_hard_until_lifted(draw, gap):
    """Proofs either way: of the points, and of the points with one feature more."""
    features, labels = draw(jax.random.key(3), num_examples=200, gap=gap)
    proof = separability.prove(features, labels)
    assert isinstance(proof, separability.CommonPoint)
    assert separability.holds(proof, features, labels)
    lifted = np.asarray(jax.vmap(HARD[draw])(jnp.asarray(features)))
    np.testing.assert_array_equal(lifted[:, :2], features)
    # What is appended does it alone.
    plane = separability.prove(lifted[:, 2:], labels)
    assert isinstance(plane, separability.Plane)
    assert separability.holds(plane, lifted[:, 2:], labels)


def test_the_norm_alone_does_not_mend_the_ring():
    features, labels = toy.ring(jax.random.key(0), num_examples=200)
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    proof = separability.prove(norms, labels)
    assert isinstance(proof, separability.CommonPoint)


def test_easy_cases_are_separable():
    points = toy.half_planes(jax.random.key(0), num_examples=200)
    assert isinstance(separability.prove(*points), separability.Plane)
    for classes in (2, 3, 7):
        features, labels = toy.sectors(
            jax.random.key(0), num_examples=200, num_classes=classes
        )
        middles = 2 * np.pi * np.arange(classes) / classes
        weights = np.stack([np.cos(middles), np.sin(middles)], axis=1)
        params = linear.Params(jnp.asarray(weights, jnp.float32), jnp.zeros(classes))
        found = jax.vmap(linear.predict, (None, 0))(params, jnp.asarray(features))
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    ("draw", "changes", "words"),
    [
        (toy.quadrants, {"num_examples": 1}, "num_examples must be at least 2, got 1"),
        (toy.ring, {"noise": -1.0}, "noise must be at least 0, got -1.0"),
        (toy.ring, {"gap": 1.0}, "gap must be at most 0.99, got 1.0"),
        (toy.three_modes, {"gap": 0.8}, "gap must be at most 0.7, got 0.8"),
        (toy.half_planes, {"gap": -0.1}, "gap must be at least 0, got -0.1"),
        (toy.half_planes, {"gap": np.nan}, "gap must be finite, got nan"),
        (toy.sectors, {"num_classes": 1}, "num_classes must be at least 2, got 1"),
        (
            toy.sectors,
            {"num_classes": 9, "num_examples": 8},
            "num_examples must be at least 9, got 8",
        ),
    ],
)
def test_bad_input(draw, changes, words):
    with pytest.raises(ValueError, match=words):
        draw(jax.random.key(0), **{"num_examples": 10, **changes})


def test_a_seed_is_no_key():
    for draw in (
        toy.quadrants,
        toy.ring,
        toy.three_modes,
        toy.half_planes,
        toy.sectors,
    ):
        with pytest.raises(ValueError, match="key must be a key, got 0"):
            draw(0, num_examples=10)


@pytest.mark.parametrize(
    "lift", [toy.lift_quadrants, toy.lift_ring, toy.lift_three_modes]
)
@pytest.mark.parametrize(
    ("shape", "words"), [((5, 2), "one example"), ((3,), "must have 2 entries, got 3")]
)
def test_lifts_are_of_one_point(lift, shape, words):
    with pytest.raises(ValueError, match=words):
        lift(jnp.ones(shape))
