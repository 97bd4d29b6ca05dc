"""Bootstrap against scipy, exact enumeration, closed forms and simulated truth."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxlin.stats import bootstrap, comparison

KEY = jax.random.key(0)


def test_resampled_means_follow_the_enumerated_distribution():
    """All 5^5 resamples of five numbers; Kolmogorov distance of 20,000 draws.

    The 1e-6 quantile of the distance is 2.7 / sqrt(20,000) = 0.019.
    """
    values = np.array([-1.3, 0.2, 0.45, 2.1, 7.7], np.float32)
    exact = np.sort([sum(draw) for draw in itertools.product(values, repeat=5)])
    drawn = np.sort(
        bootstrap._resampled_sums(jnp.asarray(values), KEY, num_resamples=20_000)
    )
    points = exact[::7] + 1e-4
    distance = np.searchsorted(exact, points) / len(exact)
    distance -= np.searchsorted(drawn, points) / len(drawn)
    assert np.abs(distance).max() < 0.019


def test_every_example_is_drawn_equally_often():
    """7 examples, 70,000 draws each on average; six standard deviations."""
    one_hot = np.eye(7, dtype=np.float32)
    for row in one_hot:
        sums = bootstrap._resampled_sums(jnp.asarray(row), KEY, num_resamples=70_000)
        assert abs(float(sums.sum()) - 70_000) < 6 * math.sqrt(490_000 * 6 / 49)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_bootstrap_interval_is_scipys(confidence, method):
    """Both ends within 4 % of the width, four Monte Carlo standard errors."""
    values = np.random.default_rng(3).gamma(0.7, size=100) - 0.5
    ours = comparison.paired_bootstrap(
        values, key=KEY, confidence=confidence, method=method
    )
    scipys = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=10_000,
        confidence_level=confidence,
        method=method,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean(), rel=1e-12)
    width = scipys.high - scipys.low
    np.testing.assert_allclose(
        ours.interval, (scipys.low, scipys.high), atol=0.04 * width
    )


def test_bootstrap_covers_the_truth():
    """400 samples of 40 skewed numbers with mean 1: nominal 90 %, band 84 % to 93 %.

    The percentile interval undercovers a little at this size; the binomial standard
    deviation is 1.5 %.
    """
    samples = np.random.default_rng(4).gamma(4.0, 0.25, size=(400, 40))
    covered = 0
    for seed, sample in enumerate(samples):
        low, high = comparison.paired_bootstrap(
            sample, key=jax.random.key(seed), num_resamples=1000, confidence=0.9
        ).interval
        covered += low <= 1.0 <= high
    assert 0.84 * 400 < covered < 0.93 * 400


def tails_by_scipy(sample, confidence):
    """Levels of both ends as scipy computes them, of its own resamples."""
    found = scipy.stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=50_000,
        confidence_level=confidence,
        method="BCa",
        rng=np.random.default_rng(1),
    )
    means = np.sort(found.bootstrap_distribution)
    return np.searchsorted(means, found.confidence_interval) / len(means)


def test_bca_tails_of_a_skewed_sample_are_scipys():
    """Apart from the percentile's 2.5 % and 97.5 %; Monte Carlo errors below .3 %."""
    sample = np.random.default_rng(5).gamma(0.5, size=30)
    means = bootstrap.resampled_means(sample, key=KEY, num_resamples=50_000)
    tails = bootstrap.bca_tails(means, sample, confidence=0.95)
    np.testing.assert_allclose(tails, tails_by_scipy(sample, 0.95), atol=0.003)
    assert tails[0] > 0.035
    assert tails[1] > 0.985


@pytest.mark.parametrize("counts", [[30, 8, 2], [50, 5, 3], [10, 8, 2]])
def test_bca_intervals_of_integers_with_ties_are_scipys(counts):
    """A tenth of the resampled means equal that of the sample: they count half."""
    values = np.repeat([0.0, 1.0, -1.0], counts)
    ours = comparison.paired_bootstrap(values, key=KEY, method="bca").interval
    scipys = scipy.stats.bootstrap(
        (values,), np.mean, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(ours, scipys, atol=1e-12)


def test_bca_intervals_miss_as_often_above_as_below():
    """400 samples of 40 very skewed numbers with mean 1: 5 % at each end, nominally.

    Percentile intervals lie too low: 13 are above the mean and 35 below it.
    """
    samples = np.random.default_rng(4).gamma(0.5, 2.0, size=(400, 40))
    missed = {"percentile": [0, 0], "bca": [0, 0]}
    for seed, sample in enumerate(samples):
        for method, (above, below) in missed.items():
            low, high = comparison.paired_bootstrap(
                sample,
                key=jax.random.key(seed),
                num_resamples=1000,
                confidence=0.9,
                method=method,
            ).interval
            missed[method] = [above + (low > 1), below + (high < 1)]
    assert missed["percentile"][1] > 2 * missed["percentile"][0]
    assert missed["bca"][1] < 1.5 * missed["bca"][0]
    assert sum(missed["bca"]) <= sum(missed["percentile"]) + 8


def test_bca_of_symmetric_differences_is_the_percentile_interval():
    """Mirrored pairs have no skew: the tails differ by Monte Carlo errors alone."""
    half = np.random.default_rng(8).normal(size=50)
    sample = np.r_[half, -half]
    means = bootstrap.resampled_means(sample, key=KEY, num_resamples=10_000)
    tails = bootstrap.bca_tails(means, sample, confidence=0.95)
    np.testing.assert_allclose(tails, bootstrap.percentile_tails(0.95), atol=0.006)


def test_bca_of_a_single_resample_is_finite():
    for sample in ([0.0, 1.0], [1.0, 5.0, 5.5]):
        low, high = comparison.paired_bootstrap(
            sample, key=KEY, num_resamples=1, method="bca"
        ).interval
        assert sample[0] <= low <= high <= sample[-1]


def test_bootstrap_of_many_examples_is_normal():
    """n = 900: mean -+ 1.96 standard errors, within 4 % of the width."""
    values = np.random.default_rng(5).choice([-1, 0, 1], p=[0.1, 0.7, 0.2], size=900)
    estimate = comparison.paired_bootstrap(values, key=KEY)
    half = 1.959964 * values.std() / 30
    expected = (values.mean() - half, values.mean() + half)
    np.testing.assert_allclose(estimate.interval, expected, atol=0.08 * half)


def test_counts_stay_counts():
    """Ends of integer differences are counts over n, and 0 is 0 to the last bit.

    10 % of the resamples of two wins and eight ties have no win at all, so that the
    lower end of the 90 % interval is 0 exactly, not 1e-9.
    """
    estimate = comparison.paired_bootstrap(
        [1, 1] + 8 * [0], key=KEY, num_resamples=9_999, confidence=0.9
    )
    assert estimate.interval.low == 0.0
    zeros = 0
    for wins in range(33):
        differences = np.repeat([1, -1, 0], [wins, 5, 32 - wins])
        ends = comparison.paired_bootstrap(
            differences, key=KEY, num_resamples=200, confidence=0.9
        ).interval
        for end in ends:
            assert end * 37 == pytest.approx(round(end * 37), rel=1e-14, abs=0)
            zeros += end == 0
    assert zeros > 0


def test_bootstrap_repeats_and_depends_on_the_key():
    values = np.random.default_rng(6).normal(size=100)
    first = comparison.paired_bootstrap(values, key=KEY)
    assert comparison.paired_bootstrap(values, key=jax.random.key(0)) == first
    assert comparison.paired_bootstrap(values, key=jax.random.key(1)) != first


def test_draws_do_not_depend_on_the_block():
    values = np.arange(50, dtype=np.float32)
    whole = bootstrap._resampled_sums(values, KEY, num_resamples=103)
    blocks = bootstrap._resampled_sums(
        values, KEY, num_resamples=103, draws_per_block=500
    )
    np.testing.assert_array_equal(whole, blocks)


def test_bootstrap_traces_once_a_shape():
    values = np.random.default_rng(7).normal(size=37)
    comparison.paired_bootstrap(values, key=KEY, num_resamples=200)
    traced = bootstrap._resampled_sums._cache_size()
    comparison.paired_bootstrap(
        values * 3, key=jax.random.key(9), num_resamples=200, confidence=0.8
    )
    assert bootstrap._resampled_sums._cache_size() == traced


@pytest.mark.parametrize("values", [[0.1] * 10_000, [7.0], [1e300] * 3, [0] * 3])
def test_equal_differences_give_an_interval_of_width_zero(values):
    for method in ("percentile", "bca"):
        estimate = comparison.paired_bootstrap(
            values, key=KEY, num_resamples=100, method=method
        )
        assert estimate.interval == (values[0], values[0])
        assert estimate.value == pytest.approx(values[0], rel=1e-12)
        assert "width zero: the values do not vary" in str(estimate)


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([1] + 99 * [0], {"confidence": 0.2}),
        ([1.0, 2.0, 3.0], {"num_resamples": 1, "method": "bca"}),
    ],
)
def test_width_zero_of_values_that_vary_is_not_said_to_be_theirs(values, options):
    estimate = comparison.paired_bootstrap(values, key=KEY, **options)
    assert estimate.interval.low == estimate.interval.high
    assert "width zero at this confidence" in str(estimate)
    assert "do not vary" not in str(estimate)


def test_an_interval_of_some_width_has_no_note():
    estimate = comparison.paired_bootstrap([0.0, 1.0], key=KEY, num_resamples=100)
    assert estimate.interval.note == ""
    assert str(estimate) == "0.5 in [0.0, 1.0]"


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_bootstrap_follows_a_change_of_units(scale, shift):
    """Float32 inside must neither overflow, nor underflow, nor lose a large mean."""
    values = np.random.default_rng(8).normal(size=37)
    plain = comparison.paired_bootstrap(values, key=KEY, num_resamples=200)
    moved = comparison.paired_bootstrap(
        scale * (values + shift), key=KEY, num_resamples=200
    )
    np.testing.assert_allclose(
        np.array(moved.interval) / scale - shift, plain.interval, atol=1e-6
    )


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "differences must be a non-empty vector"),
        ([[1.0]], {}, r"got shape \(1, 1\)"),
        ([0.0, math.nan], {}, "differences must be finite, got nan at position 1"),
        ([math.inf], {}, "differences must be finite, got inf at position 0"),
        (
            [1.7e308, -1.7e308],
            {},
            r"within 1e\+300 of 0, .* got 1.7e\+308 at position 0",
        ),
        ([True], {}, "differences must be numbers, got bool"),
        ([1.0], {"method": "t"}, "method must be one of percentile, bca, got 't'"),
        ([1.0], {"num_resamples": 0}, "num_resamples must be at least 1, got 0"),
        ([1.0], {"confidence": 1.0}, "confidence must be below 1, got 1.0"),
        ([1.0], {"confidence": 95}, "confidence must be below 1, got 95"),
    ],
)
def test_bootstrap_refuses(values, options, message):
    with pytest.raises(ValueError, match=message):
        comparison.paired_bootstrap(values, key=KEY, **options)
