"""Fitted on rows in blocks, applied to one row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import normalization, sharding
from jaxlin.solvers import base


def pixels(rows=10_000, width=5):
    """More rows than one block, far from centred."""
    generator = np.random.default_rng(0)
    return generator.integers(100, 256, size=(rows, width)).astype(np.uint8)


def test_centered_rows_have_mean_zero_and_the_given_scale():
    raw = pixels()
    fitted = normalization.fit_centered(raw, scale=255.0)
    normalized = jax.vmap(normalization.normalize, (None, 0))(fitted, raw)
    np.testing.assert_allclose(normalized.mean(axis=0), 0, atol=1e-6)
    step = np.ptp(np.asarray(normalized)) / np.ptp(raw.astype(float) - fitted.mean)
    np.testing.assert_allclose(step, 1 / 255, rtol=1e-5)


def test_standard_scores_equal_scikit_learns():
    from sklearn.preprocessing import StandardScaler

    raw = pixels().astype(np.float64)
    raw[:, 2] = 0.1  # constant: becomes 0, not NaN, though its mean is rounded
    fitted = normalization.fit_standard(raw)
    ours = jax.vmap(normalization.normalize, (None, 0))(
        fitted, raw[:100].astype(np.float32)
    )
    theirs = StandardScaler().fit(raw).transform(raw[:100])
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_identity_changes_nothing():
    row = np.array([1.5, -2.0], np.float32)
    np.testing.assert_array_equal(
        normalization.normalize(normalization.identity(2), row), row
    )


def test_blocks_do_not_matter(monkeypatch):
    raw = pixels(rows=1000)
    whole = normalization.fit_standard(raw)
    monkeypatch.setattr(normalization, "_ROWS_PER_BLOCK", 7)
    blocked = normalization.fit_standard(raw)
    for a, b in zip(whole, blocked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_wrong_width_is_refused():
    with pytest.raises(AssertionError):
        normalization.normalize(normalization.identity(2), jnp.zeros(3))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), "255"])
def test_wrong_scale_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be"):
        normalization.fit_centered(pixels(10), scale=scale)


def test_floating_rows_lose_nothing_before_the_subtraction():
    rows = 1e8 + np.arange(3.0)
    fitted = normalization.Normalization(np.full(3, 1e8, np.float32), np.float32(1))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(
            normalization.normalize(fitted, rows), [0.0, 1.0, 2.0]
        )
    whole = normalization.Normalization(np.zeros(3, int), np.float32(1))
    checked = normalization.check_normalization(whole, num_features=3)
    np.testing.assert_array_equal(
        normalization.normalize(checked, np.full(3, 0.5, np.float32)), 0.5
    )


@pytest.mark.parametrize(
    ("mean", "scale", "message"),
    [
        (np.zeros(4), 1.0, "must be for 3 features, got a mean of shape"),
        (np.zeros(3), np.ones(2), r"a scale of shape \(\) or \(3,\), got shape \(2,\)"),
        (np.zeros(3), 0.0, "scales other than 0"),
        (np.zeros(3), np.nan, "must be finite"),
        (np.full(3, np.inf), 1.0, "must be finite"),
    ],
)
def test_bad_normalizations_are_named(mean, scale, message):
    fitted = normalization.Normalization(mean, scale)
    with pytest.raises(ValueError, match=message):
        normalization.check_normalization(fitted, num_features=3)


def test_float64_rows_that_float32_cannot_tell_apart_are_refused():
    rows = np.random.default_rng(0).normal(size=(5000, 3))
    rows[:, 1] += 1e8
    fitted = normalization.fit_standard(rows)
    with pytest.raises(ValueError, match="of feature 1, with values about 1e.08 and"):
        normalization.check_rounding("features", rows, fitted)
    with jax.enable_x64(True):
        normalization.check_rounding("features", rows, fitted)
    # As far as float32 goes, or constant, or float32 from the start.
    near = rows - np.array([0, 1e8 - 1e4, 0])
    constant = np.where(np.arange(3) == 1, 1e8 + 0.5, rows)
    for kept in (near, constant, rows.astype(np.float32)):
        fitted = normalization.fit_standard(kept)
        normalization.check_rounding("features", kept, fitted)


@pytest.mark.devices(2)
def test_such_rows_are_refused_where_they_enter():
    rows = 1e8 + np.random.default_rng(0).normal(size=(60, 2))
    labels, fitted = np.arange(60) % 2, normalization.fit_standard(rows)
    with pytest.raises(ValueError, match="features must be told apart by float32"):
        base.problem(rows, labels, num_classes=2, normalization=fitted)
    with (
        jax.set_mesh(sharding.mesh(rows=2)),
        pytest.raises(ValueError, match="features must be told apart by float32"),
    ):
        sharding.problem(rows, labels, num_classes=2, normalization=fitted)
