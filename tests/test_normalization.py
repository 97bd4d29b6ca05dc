"""Fitted on rows in blocks, applied to one row."""

import fractions
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlin
from jaxlin import linear, losses, normalization, sharding
from jaxlin.certificates import certification
from jaxlin.normalization import moments, rounding
from jaxlin.objective import row_blocks


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
    monkeypatch.setattr(moments, "ROWS_PER_BLOCK", 7)
    blocked = normalization.fit_standard(raw)
    for a, b in zip(whole, blocked, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_unit_rows_are_scikit_learns_and_of_their_dtype():
    from sklearn.preprocessing import normalize

    rows = np.random.default_rng(0).normal(size=(5000, 3))
    rows[7] = 0
    found = normalization.unit_rows(rows)
    np.testing.assert_allclose(found, normalize(rows), rtol=1e-12)
    for dtype, kept in (
        (np.float16, np.float16),
        (np.float32, np.float32),
        (np.uint8, np.float32),
        (int, np.float32),
    ):
        some = (100 * np.abs(rows)).astype(dtype)
        found = normalization.unit_rows(some)
        assert found.dtype == kept
        expected = normalize(some.astype(np.float64))
        np.testing.assert_allclose(found, expected, atol=2 * np.finfo(kept).eps)


def test_unit_rows_neither_overflow_nor_vanish():
    found = normalization.unit_rows(np.array([[3e200, 4e200], [3e-200, 4e-200]]))
    np.testing.assert_allclose(found, [[0.6, 0.8]] * 2)


def test_unit_rows_may_be_written_to_a_memory_map_or_in_place(tmp_path):
    rows = pixels(50)
    out = np.lib.format.open_memmap(
        tmp_path / "rows.npy", mode="w+", dtype=np.float16, shape=rows.shape
    )
    assert normalization.unit_rows(rows, out=out) is out
    np.testing.assert_allclose(np.linalg.norm(out.astype(float), axis=1), 1, rtol=1e-3)
    own = rows.astype(np.float32)
    normalization.unit_rows(own, out=own)
    np.testing.assert_array_equal(own, normalization.unit_rows(rows))
    for wrong in (np.empty((50, 4), np.float32), np.empty((50, 5), np.uint8)):
        with pytest.raises(
            ValueError, match=r"out must be floating of shape \(50, 5\)"
        ):
            normalization.unit_rows(rows, out=wrong)


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
        rounding.check_rounding("features", rows, fitted)
    with jax.enable_x64(True):
        rounding.check_rounding("features", rows, fitted)
    # As far as float32 goes, or constant, or float32 from the start.
    near = rows - np.array([0, 1e8 - 1e4, 0])
    constant = np.where(np.arange(3) == 1, 1e8 + 0.5, rows)
    for kept in (near, constant, rows.astype(np.float32)):
        fitted = normalization.fit_standard(kept)
        rounding.check_rounding("features", kept, fitted)


@pytest.mark.devices(2)
def test_such_rows_are_refused_where_they_enter():
    rows = 1e8 + np.random.default_rng(0).normal(size=(60, 2))
    labels, fitted = np.arange(60) % 2, normalization.fit_standard(rows)
    with pytest.raises(ValueError, match="features must be told apart by float32"):
        _ = jaxlin.problem(rows, labels, normalization=fitted).examples
    with (
        jax.set_mesh(sharding.mesh(rows=2)),
        pytest.raises(ValueError, match="features must be told apart by float32"),
    ):
        _ = jaxlin.problem(rows, labels, normalization=fitted).examples


def test_beyond_float32_rows_are_not_told_apart():
    """Also where all of a feature overflows, so that no two rows differ."""
    for rows in (np.array([[1e39], [0.0]]), np.array([[1e39], [2e39]])):
        plain = normalization.Normalization(np.zeros(1), np.float64(1))
        with pytest.raises(ValueError, match="must be told apart by float32"):
            rounding.check_rounding("features", rows, plain)


def test_what_all_rows_lose_alike_counts_too():
    """x - mean is off by 3 of 8 scales in every row, none moves against another."""
    rows = 1e8 + 3 + np.array([[0.0], [8.0]])
    plain = normalization.Normalization(np.full(1, 1e8), np.float64(8))
    with pytest.raises(ValueError, match="rounding moves some by 0.38 scales"):
        rounding.check_rounding("features", rows, plain)


# --- Moments, against exact fractions.


def exact_moments(column, weights=None):
    """Mean and standard deviation of doubles, rounded once."""
    weights = [1] * len(column) if weights is None else weights
    column = [fractions.Fraction(float(x)) for x in column]
    weights = [fractions.Fraction(float(x)) for x in weights]
    total = sum(weights)
    mean = sum(a * x for a, x in zip(weights, column, strict=True)) / total
    squares = sum(a * (x - mean) ** 2 for a, x in zip(weights, column, strict=True))
    # The root of an integer keeps digits that a float may not have room for.
    variance = squares / total
    up = 2**4000
    root = math.isqrt(int(variance * up)) / fractions.Fraction(2**2000)
    return float(mean), float(root)


CONSTANTS = [14.62, 0.1, -3e-20, 1e8 + 0.5, 1e300, 5e-324, 1 / 3, 0.0]


@pytest.mark.parametrize("examples", [2, 7, 1000, 4999])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constant_features_get_scale_1_and_become_0(examples, dtype):
    fits_in = [x for x in CONSTANTS if abs(x) < 1e38]
    column = np.random.default_rng(0).normal(size=(examples, 1))
    rows = np.hstack([np.tile(fits_in, (examples, 1)), column]).astype(dtype)
    fitted = normalization.fit_standard(rows)
    assert (fitted.scale[:-1] == 1).all()
    assert fitted.scale[-1] != 1
    np.testing.assert_array_equal(fitted.mean[:-1], rows[0, :-1])
    # Means keep what the rows had of digits.
    assert fitted.mean.dtype == fitted.scale.dtype == dtype


NEARLY = {
    "a few roundoffs about a mean": 14.62 + 2e-13 * (np.arange(1000) % 7),
    "one row off by 100 roundoffs": np.where(
        np.arange(1000) == 3, 14.62 + 2e-13, 14.62
    ),
    "one huge value, first": np.r_[1e12, np.linspace(-1, 1, 99)],
    "one huge value, last": np.r_[np.linspace(-1, 1, 99), -1e12],
    "large and narrow": 1e15 + np.arange(500) % 3,
    "small": 1e-25 * np.linspace(-1, 2, 300),
    "squares that underflow": 1e-29 * np.linspace(-1, 2, 300),
}


@pytest.mark.parametrize("column", NEARLY.values(), ids=NEARLY.keys())
def test_deviations_have_their_digits(column):
    fitted = normalization.fit_standard(column[:, None])
    mean, deviation = exact_moments(column)
    if deviation < 10 * np.finfo(float).eps * abs(mean):
        assert fitted.scale == 1
        return
    # The mean is a double: it cannot be nearer than half a roundoff of itself.
    unit = np.spacing(abs(mean))
    assert abs(fitted.mean[0] - mean) <= unit + 1e-14 * deviation
    assert abs(fitted.scale[0] / deviation - 1) <= (unit / deviation) ** 2 + 1e-12
    for one in (np.random.default_rng(0).permutation(column), column[::-1]):
        again = normalization.fit_standard(one[:, None])
        np.testing.assert_allclose(again.mean, fitted.mean, rtol=1e-15, atol=unit)
        np.testing.assert_allclose(again.scale, fitted.scale, rtol=1e-12)


@pytest.mark.parametrize("size", [1e-32, 1e-36, 1e-40, 1e-200, 5e-324, 1e35, 1e300])
def test_deviations_that_float32_cannot_divide_by_are_refused(size):
    rows = np.array([[0.0, 1.0], [size, 2.0], [3 * size, 0.0]])
    with pytest.raises(
        ValueError, match="features that are not constant .* for feature 0; multiply"
    ):
        normalization.fit_standard(rows)
    if size < 1:
        # In units of its own there is nothing wrong with it.
        normalization.fit_standard(rows / [size, 1])
    if size > 1e38:
        with pytest.raises(ValueError, match="must have means within 3.4e.38 of 0"):
            normalization.fit_centered(rows, scale=1.0)
    # Constant, it is no matter.
    rows[:, 0] = min(size, 1e30)
    assert normalization.fit_standard(rows).scale[0] == 1


BAD_SCALES = [1e-40, 1e-36, -1e-33, 1e39, np.float32(1e-40), np.float64(1e-300)]


@pytest.mark.devices(2)
@pytest.mark.parametrize("scale", BAD_SCALES)
def test_scales_that_float32_cannot_divide_by_are_refused_at_every_door(scale):
    rows = np.arange(12.0).reshape(6, 2).astype(np.float32)
    labels = np.arange(6) % 2
    fitted = normalization.Normalization(np.zeros(2, np.float32), np.array([1, scale]))
    options = {"classes": range(2), "normalization": fitted}
    loss = {"loss": losses.softmax_cross_entropy, "l2": 0.1}
    params = linear.Params(np.zeros((2, 2)), np.zeros(2))

    def of_mesh():
        with jax.set_mesh(sharding.mesh(rows=2)):
            jaxlin.problem(rows, labels, **options)

    for door in (
        lambda: jaxlin.problem(rows, labels, **options),
        of_mesh,
        lambda: jaxlin.fit(row_blocks.over(rows, labels), **options, **loss),
        lambda: certification.certificate(
            params, rows, labels, normalization=fitted, **loss
        ),
    ):
        with pytest.raises(
            ValueError, match=r"normalization must have scales from .* for feature 1"
        ):
            door()


def test_half_precision_normalizations_are_widened():
    """1 / 1e-5 is infinite in float16."""
    fitted = normalization.check_normalization(
        normalization.Normalization(np.zeros(1, np.float16), np.float16(1e-5)),
        num_features=1,
    )
    assert fitted.scale.dtype == np.float32
    np.testing.assert_allclose(
        normalization.normalize(fitted, np.full(1, 0.5)),
        0.5 / np.float32(np.float16(1e-5)),
    )


# --- Example weights.


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("blocks", [4096, 7])
def test_weights_count_rows_as_often(dtype, blocks, monkeypatch):
    """Whole weights are repeated rows; weight 0 is no row, whatever it holds."""
    monkeypatch.setattr(moments, "ROWS_PER_BLOCK", blocks)
    rows = pixels(60).astype(dtype)
    weights = np.arange(60) % 4
    repeated = np.repeat(rows, weights, axis=0)
    if dtype != np.uint8:
        rows[weights == 0] = np.finfo(dtype).max
    for fit in (
        normalization.fit_standard,
        lambda rows, **options: normalization.fit_centered(
            rows, scale=255.0, **options
        ),
    ):
        for one, other in zip(
            fit(rows, example_weights=weights), fit(repeated), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-7)
    constant = np.where(weights[:, None] == 0, rows, dtype(7))
    fitted = normalization.fit_standard(constant, example_weights=0.1 * weights)
    assert (fitted.mean == 7).all()
    assert (fitted.scale == 1).all()


def test_bad_weights_of_a_normalization_are_named():
    for weights, message in (
        (np.ones(3), r"example_weights must have shape \(10,\)"),
        (np.zeros(10), "example_weights must have a positive sum"),
        (-np.ones(10), "example_weights must be finite and at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            normalization.fit_standard(pixels(10), example_weights=weights)
    # NaN is refused whatever its weight.
    rows = np.where(np.arange(10)[:, None] == 3, np.nan, pixels(10))
    with pytest.raises(ValueError, match="features must be finite, got nan at row 3"):
        normalization.fit_standard(rows, example_weights=np.arange(10) != 3)


def test_rows_of_weight_0_are_not_rounded():
    rows = np.array([[0.0], [1.0], [1e8 + 0.3]])
    plain = normalization.Normalization(np.zeros(1), np.float64(1))
    weights = np.array([1.0, 1.0, 0.0])
    rounding.check_rounding("features", rows, plain, example_weights=weights)
    with pytest.raises(ValueError, match="must be told apart"):
        rounding.check_rounding("features", rows, plain, example_weights=weights + 1)


def test_only_rows_of_weight_0_that_overflow_are_put_at_the_mean():
    rows = np.array([[1.0], [5e12], [1e300], [1e300]])
    weights = np.array([1.0, 0.0, 0.0, 1.0])
    plain = normalization.Normalization(np.full(1, 3.0), np.float64(100))
    for fitted, expected in (
        (plain, [1.0, 5e12, 3.0, 1e300]),
        (None, [1.0, 0.0, 0.0, 1e300]),
    ):
        found = rounding.without_overflow(rows, weights, fitted)
        np.testing.assert_array_equal(found[:, 0], expected)
    assert rounding.without_overflow(rows, None, plain) is rows
    assert rounding.without_overflow(rows, np.ones(4), plain) is rows
