"""Patch features against plain loops; whitening, clustering, blocks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlin
from jaxlin.features import encodings, image_patches, patches, spherical

SCALE = 255.0
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 7, 6, 2), np.uint8)
# Flat regions and strong edges, as images have.
IMAGES[:, :3] = IMAGES[:, :1, :1]
FIT_OPTIONS = {"scale": SCALE, "patch_size": 3, "num_filters": 4, "num_patches": 300}


def fitted(**changes):
    return patches.fit(jax.random.key(0), IMAGES, **{**FIT_OPTIONS, **changes})


@pytest.fixture(scope="module")
def stats():
    return fitted()


# Shared by the tests, so that each is compiled once.
apply = jax.jit(patches.apply, static_argnames=("encoding", "pool"))
drawn_of = jax.jit(image_patches.sampled, static_argnames=("patch_size", "num_patches"))


def drawn():
    """The patches that `fitted` draws."""
    key = jax.random.split(jax.random.key(0))[0]
    return drawn_of(key, IMAGES, patch_size=3, num_patches=300)


def plain_whitened(stats, image):
    """All patches of one image by loops over pixels, in float64."""
    size = 3
    mean, whitening = (np.asarray(x, np.float64) for x in (stats.mean, stats.whitening))
    found = {}
    for top in range(image.shape[0] - size + 1):
        for left in range(image.shape[1] - size + 1):
            values = [
                float(image[top + i, left + j, channel]) / SCALE
                for i in range(size)
                for j in range(size)
                for channel in range(image.shape[2])
            ]
            middle = sum(values) / len(values)
            spread = sum((x - middle) ** 2 for x in values) / len(values)
            floor = float(stats.contrast_floor)
            normalized = [(x - middle) / math.sqrt(spread + floor) for x in values]
            found[top, left] = (np.array(normalized) - mean) @ whitening
    return found


def plain_features(stats, image, encode, pool):
    """Means over parts of what ``encode`` makes of each patch, one after another."""
    whitened = plain_whitened(stats, image)
    rows = max(top for top, _ in whitened) + 1
    columns = max(left for _, left in whitened) + 1
    parts = {}
    for (top, left), patch in whitened.items():
        part = (top * pool // rows, left * pool // columns)
        parts.setdefault(part, []).append(encode(patch))
    return np.concatenate([np.mean(parts[part], axis=0) for part in sorted(parts)])


def plain_triangle(patch, filters):
    distances = [math.dist(patch, one) for one in filters]
    mean = sum(distances) / len(distances)
    return [max(0.0, mean - one) for one in distances]


def plain_two_sided(patch, filters, threshold):
    products = [sum(x * f for x, f in zip(patch, one, strict=True)) for one in filters]
    positive = [max(0.0, z - threshold) for z in products]
    return positive + [max(0.0, -z - threshold) for z in products]


@pytest.mark.parametrize("pool", [1, 2, pytest.param(3, marks=pytest.mark.full)])
def test_two_sided_features_are_those_of_a_loop(stats, pool):
    filters = np.asarray(stats.filters, np.float64)
    found = apply(stats, IMAGES[3], encoding_arguments={"threshold": 0.3}, pool=pool)
    expected = plain_features(
        stats, IMAGES[3], lambda patch: plain_two_sided(patch, filters, 0.3), pool
    )
    assert found.shape == (pool * pool * 8,)
    assert np.count_nonzero(expected) > len(expected) / 2
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_triangle_features_are_those_of_a_loop(stats):
    filters = np.asarray(stats.filters, np.float64)
    found = apply(stats, IMAGES[5], encoding=encodings.triangle)
    expected = plain_features(
        stats, IMAGES[5], lambda patch: plain_triangle(patch, filters), 2
    )
    assert found.shape == (16,)
    assert np.count_nonzero(expected) > 8
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_triangle_of_a_patch_that_is_a_filter():
    filters = np.eye(3, dtype=np.float32)
    # Distances 0, sqrt 2, sqrt 2.
    found = jax.jit(encodings.triangle)(filters[0], filters)
    expected = [2 * math.sqrt(2) / 3, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    slope = jax.jit(jax.jacobian(encodings.triangle))(filters[0], filters)
    assert np.isfinite(slope).all()


def test_whitened_patches_have_identity_covariance(stats):
    """But for the brightness, which is taken out, and what the floor takes."""
    values = np.asarray(drawn(), np.float64) / SCALE
    values -= values.mean(axis=1, keepdims=True)
    floor = float(stats.contrast_floor)
    values /= np.sqrt(values.var(axis=1, keepdims=True) + floor)
    np.testing.assert_allclose(values.mean(axis=0), stats.mean, atol=1e-5)
    covariance = np.cov(values.T, bias=True)
    before = np.linalg.eigvalsh(covariance)
    for whitening, whitening_floor in (
        (stats.whitening, 0.1),
        (fitted(whitening_floor=1e-6).whitening, 1e-6),
    ):
        white = (values - values.mean(axis=0)) @ np.asarray(whitening, np.float64)
        after = np.linalg.eigvalsh(np.cov(white.T, bias=True))
        expected = before / (before + whitening_floor)
        np.testing.assert_allclose(after, expected, atol=2e-3)
        np.testing.assert_allclose(whitening, np.asarray(whitening).T, atol=1e-4)
    # One direction is empty, all others have variance 1.
    assert abs(after[0]) < 1e-3
    np.testing.assert_allclose(after[1:], 1, atol=2e-3)


def test_clustering_gains_at_every_step(stats):
    objective = np.asarray(stats.objective)
    assert objective.shape == (11,)
    assert (np.diff(objective) <= 1e-6).all()
    assert objective[-1] < objective[0] - 0.02
    np.testing.assert_allclose(np.linalg.norm(stats.filters, axis=1), 1, atol=1e-5)


def test_clustering_finds_what_was_planted():
    """Three directions with a little noise: each is found by one filter."""
    random = np.random.default_rng(1)
    planted = np.linalg.qr(random.normal(size=(6, 6)))[0][:3]
    rows = np.repeat(planted, 100, axis=0) + 0.02 * random.normal(size=(300, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    lloyd_step = jax.jit(spherical.lloyd_step)
    narrow = rows.astype(np.float32)
    filters = narrow[[0, 100, 200]]
    # And one more, which is nobody's nearest and stays what it is.
    lost = -filters.sum(axis=0) / np.float32(3**0.5)
    filters = np.concatenate([filters, lost[None]])
    for _ in range(3):
        filters, objective = lloyd_step(narrow, filters)
    filters = np.asarray(filters)
    np.testing.assert_array_equal(filters[3], lost)
    cosines = filters[:3] @ planted.T
    np.testing.assert_allclose(np.diagonal(cosines), 1, atol=1e-3)
    nearest = (rows @ filters[:3].T).max(axis=1)
    np.testing.assert_allclose(objective, 1 - nearest.mean(), atol=1e-5)


def test_without_iterations_filters_are_patches():
    stats = fitted(num_iterations=0)
    assert stats.objective.shape == (1,)
    raw = np.asarray(drawn(), np.float64) / SCALE
    contrast = np.sqrt(raw.var(axis=1, keepdims=True) + stats.contrast_floor)
    normalized = (raw - raw.mean(axis=1, keepdims=True)) / contrast
    centered = normalized - np.asarray(stats.mean)
    white = centered @ np.asarray(stats.whitening)
    white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-9)
    assert (np.asarray(stats.filters) @ white.T).max(axis=1) == pytest.approx(1)


def test_the_same_key_gives_the_same_filters(stats):
    np.testing.assert_array_equal(fitted().filters, stats.filters)
    other = patches.fit(jax.random.key(1), IMAGES, **FIT_OPTIONS)
    assert np.abs(np.subtract(other.filters, stats.filters)).max() > 0.1


@pytest.mark.parametrize("block_size", [7, pytest.param(100, marks=pytest.mark.full)])
def test_in_blocks_and_one_by_one_it_is_the_same(stats, block_size):
    options = {"encoding_arguments": {"threshold": 0.3}, "pool": 2}
    together = patches.apply_all(stats, IMAGES, **options)
    blocked = patches.apply_all(stats, IMAGES, block_size=block_size, **options)
    np.testing.assert_allclose(blocked, together, atol=1e-5)
    alone = np.stack([apply(stats, image, **options) for image in IMAGES])
    np.testing.assert_allclose(alone, together, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": 0}, "scale must be above 0, got 0"),
        ({"patch_size": 7}, "patch_size must be at most 6, got 7"),
        ({"num_filters": 0}, "num_filters must be at least 1"),
        ({"num_patches": 3}, "num_patches must be at least 4, got 3"),
        ({"num_iterations": -1}, "num_iterations must be at least 0"),
        ({"whitening_floor": 0}, "whitening_floor must be above 0"),
        ({"contrast_floor": -1}, "contrast_floor must be above 0"),
    ],
)
def test_bad_settings(changes, words):
    with pytest.raises(ValueError, match=words):
        fitted(**changes)


def test_bad_images(stats):
    with pytest.raises(
        ValueError, match=r"shape \(images, height, .* images\[..., Non"
    ):
        patches.fit(jax.random.key(0), IMAGES[..., 0], **FIT_OPTIONS)
    with pytest.raises(ValueError, match=r"key must be a key, got 0; .*random.key"):
        patches.fit(0, IMAGES, **FIT_OPTIONS)
    with pytest.raises(ValueError, match="image must be of one example, with 3 axes"):
        patches.apply(stats, IMAGES)
    with pytest.raises(ValueError, match="must have the channels that the patches had"):
        patches.apply_all(stats, IMAGES[..., :1])
    with pytest.raises(ValueError, match="patch_size must be at most 2, got 3"):
        patches.apply_all(stats, IMAGES[:, :2])
    with pytest.raises(ValueError, match="pool must be at most 4, got 5"):
        apply(stats, IMAGES[0], pool=5)


def test_images_that_are_not_finite_are_refused(stats):
    images = IMAGES.astype(np.float32)
    images[4, 2, 3, 1] = np.nan
    for act in (lambda: fitted_to(images), lambda: patches.apply_all(stats, images)):
        with pytest.raises(ValueError, match="images must be finite, got nan at row 4"):
            act()


def test_rows_are_no_images(stats):
    with pytest.raises(ValueError, match=r"images must have shape .* got \(30, 84\)"):
        patches.apply_all(stats, IMAGES.reshape(30, -1))


def fitted_to(images):
    return patches.fit(jax.random.key(0), images, **FIT_OPTIONS)


@pytest.mark.full
@pytest.mark.cifar10
def test_a_linear_classifier_on_patches_of_cifar10(real_cifar10):
    """800 filters, 20,000 training images: at least 72 %. Some minutes."""
    from jaxlin import losses, normalization, objective
    from jaxlin.selection import splits
    from jaxlin.stats import metrics

    part = splits.stratified_split(
        jax.random.key(0), real_cifar10.train.labels, fraction=0.4
    ).held_out
    train, test = (
        rows.reshape(-1, 32, 32, 3)
        for rows in (real_cifar10.train.features[part], real_cifar10.test.features)
    )
    stats = patches.fit(jax.random.key(1), train, scale=255.0)
    rows = np.asarray(patches.apply_all(stats, train))
    fit = jaxlin.fit(
        rows,
        real_cifar10.train.labels[part],
        loss=losses.softmax_cross_entropy,
        l2=0.01,
        normalization=(scaled := normalization.fit_standard(rows)),
        stop=jaxlin.Stop(1e-3),
    )
    assert fit.converged
    scores = objective.blocked_scores(
        fit.params, patches.apply_all(stats, test), normalization=scaled
    )
    found = metrics.accuracy(scores, jnp.asarray(real_cifar10.test.labels)).value
    assert found >= 0.72, float(found)


def test_rows_are_added_to_their_centers_in_either_way():
    rows = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    nearest = np.random.default_rng(1).integers(0, 6, 40)
    total = np.ones((6, 5), np.float32)
    expected = total.astype(np.float64)
    for row, center in zip(rows, nearest, strict=True):
        expected[center] += row
    for add in (spherical._scattered, spherical._multiplied):
        found = jax.jit(add)(total, nearest, rows)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
