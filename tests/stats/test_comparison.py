"""Statistics against scipy, exact enumeration, closed forms and simulated truth."""

import itertools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxlin.stats import comparison

KEY = jax.random.key(0)


# -- Overlap, agreement, McNemar ----------------------------------------------------


def correct_pair(both_right, only_a, only_b, both_wrong):
    counts = [both_right, only_a, only_b, both_wrong]
    a = np.repeat([True, True, False, False], counts)
    b = np.repeat([True, False, True, False], counts)
    order = np.random.default_rng(0).permutation(len(a))
    return a[order], b[order]


def test_overlap_counts_what_was_put_in():
    counts = comparison.overlap(*correct_pair(5, 4, 3, 2))
    assert counts == (5, 4, 3, 2)
    assert all(type(count) is int for count in counts)


def test_agreement_is_a_loop():
    random = np.random.default_rng(0)
    a, b = random.integers(3, size=(2, 100))
    expected = sum(x == y for x, y in zip(a, b, strict=True)) / 100
    assert comparison.agreement(a, jnp.asarray(b)) == pytest.approx(expected)


def exact_coin_p_value(heads, tosses):
    """Share of the 2^n outcomes no likelier than this one, in whole numbers."""
    ways = [math.comb(tosses, i) for i in range(tosses + 1)]
    return float(Fraction(sum(w for w in ways if w <= ways[heads]), 2**tosses))


@pytest.mark.parametrize(
    ("only_a", "only_b"), [(0, 1), (1, 8), (5, 5), (6, 5), (40, 70), (300, 200)]
)
def test_mcnemar_counts_coin_tosses(only_a, only_b):
    a, b = correct_pair(17, only_a, only_b, 11)
    result = comparison.mcnemar(a, b)
    assert result[:3] == (only_a, only_b, only_a + only_b)
    expected = exact_coin_p_value(only_a, only_a + only_b)
    assert result.p_value == pytest.approx(expected, rel=1e-9)
    mirrored = comparison.mcnemar(b, a)
    assert mirrored.p_value == result.p_value
    assert (mirrored.only_a, mirrored.only_b) == (only_b, only_a)


def test_mcnemar_by_hand():
    """One of nine: 2 (1 + 9) / 512."""
    assert comparison.mcnemar(*correct_pair(0, 1, 8, 0)).p_value == pytest.approx(
        20 / 512
    )


def test_mcnemar_without_discordant_examples_is_one():
    a, _ = correct_pair(5, 0, 0, 5)
    assert comparison.mcnemar(a, a) == (0, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([True], [True, False], "same examples, got 1 and 2"),
        ([1, 0], [True, False], "correct_a must be booleans, got int64"),
        ([True], [0.5], "correct_b must be booleans, got float64"),
        (np.zeros(0, bool), [True], "correct_a must be a non-empty vector"),
        ([[True]], [[True]], r"got shape \(1, 1\)"),
    ],
)
def test_pairs_that_are_not_pairs_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        comparison.mcnemar(a, b)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1], [1, 2], "predictions_b must have one entry per example, got 2"),
        (
            [0.5],
            [1],
            r"predictions_a must be integers, got 0.5 at position 0 \(float64\)",
        ),
        ([], [], "predictions_a must not be empty"),
    ],
)
def test_agreement_refuses(a, b, message):
    with pytest.raises(ValueError, match=message):
        comparison.agreement(a, b)


# -- Bootstrap ----------------------------------------------------------------------


def test_resampled_means_follow_the_enumerated_distribution():
    """All 5^5 resamples of five numbers; Kolmogorov distance of 20,000 draws.

    The 1e-6 quantile of the distance is 2.7 / sqrt(20,000) = 0.019.
    """
    values = np.array([-1.3, 0.2, 0.45, 2.1, 7.7], np.float32)
    exact = np.sort([sum(draw) for draw in itertools.product(values, repeat=5)])
    drawn = np.sort(
        comparison._resampled_sums(jnp.asarray(values), KEY, num_resamples=20_000)
    )
    points = exact[::7] + 1e-4
    distance = np.searchsorted(exact, points) / len(exact)
    distance -= np.searchsorted(drawn, points) / len(drawn)
    assert np.abs(distance).max() < 0.019


def test_every_example_is_drawn_equally_often():
    """7 examples, 70,000 draws each on average; six standard deviations."""
    one_hot = np.eye(7, dtype=np.float32)
    for row in one_hot:
        sums = comparison._resampled_sums(jnp.asarray(row), KEY, num_resamples=70_000)
        assert abs(float(sums.sum()) - 70_000) < 6 * math.sqrt(490_000 * 6 / 49)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_bootstrap_interval_is_scipys(confidence):
    """Both ends within 4 % of the width, four Monte Carlo standard errors."""
    values = np.random.default_rng(3).gamma(0.7, size=100) - 0.5
    ours = comparison.paired_bootstrap(values, key=KEY, confidence=confidence)
    scipys = scipy.stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=10_000,
        confidence_level=confidence,
        method="percentile",
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
    whole = comparison._resampled_sums(values, KEY, num_resamples=103)
    blocks = comparison._resampled_sums(
        values, KEY, num_resamples=103, draws_per_block=500
    )
    np.testing.assert_array_equal(whole, blocks)


def test_bootstrap_traces_once_a_shape():
    values = np.random.default_rng(7).normal(size=37)
    comparison.paired_bootstrap(values, key=KEY, num_resamples=200)
    traced = comparison._resampled_sums._cache_size()
    comparison.paired_bootstrap(
        values * 3, key=jax.random.key(9), num_resamples=200, confidence=0.8
    )
    assert comparison._resampled_sums._cache_size() == traced


@pytest.mark.parametrize("values", [[0.1] * 10_000, [7.0], [1e300] * 3, [0] * 3])
def test_equal_differences_give_an_interval_of_width_zero(values):
    estimate = comparison.paired_bootstrap(values, key=KEY, num_resamples=100)
    assert estimate.interval == (values[0], values[0])
    assert estimate.value == pytest.approx(values[0], rel=1e-12)


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
        ([True], {}, "differences must be numbers, got bool"),
        ([1.0], {"num_resamples": 0}, "num_resamples must be at least 1, got 0"),
        ([1.0], {"confidence": 1.0}, "confidence must be below 1, got 1.0"),
        ([1.0], {"confidence": 95}, "confidence must be below 1, got 95"),
    ],
)
def test_bootstrap_refuses(values, options, message):
    with pytest.raises(ValueError, match=message):
        comparison.paired_bootstrap(values, key=KEY, **options)


# -- Equivalence, Holm --------------------------------------------------------------


def test_equivalence_is_two_one_sided_tests():
    """Against two t tests at 5 %, for bounds away from the borderline."""
    values = np.random.default_rng(9).normal(0.4, 2.0, size=100)
    verdicts = []
    for bound in (0.2, 0.4, 0.56, 1.0, 2.0):
        above = scipy.stats.ttest_1samp(values, -bound, alternative="greater").pvalue
        below = scipy.stats.ttest_1samp(values, bound, alternative="less").pvalue
        result = comparison.equivalence(values, bound=bound, key=KEY)
        assert result.equivalent == (max(above, below) < 0.05)
        verdicts.append(result.equivalent)
    assert verdicts[0] is False
    assert verdicts[-1] is True


def test_equivalence_uses_the_ninety_percent_interval():
    values = np.random.default_rng(10).normal(size=100)
    result = comparison.equivalence(values, bound=1.0, key=KEY)
    assert (result.value, result.interval) == comparison.paired_bootstrap(
        values, key=KEY, confidence=0.9
    )


def test_a_difference_of_the_bound_is_not_equivalent():
    for bound, is_equivalent in ((0.5, False), (0.51, True)):
        result = comparison.equivalence(
            [0.5] * 3, key=KEY, bound=bound, num_resamples=100
        )
        assert result.equivalent is is_equivalent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bound": 0.0}, "bound must be above 0"),
        ({"bound": 1.0, "level": 0.5}, "level must be below 0.5"),
    ],
)
def test_equivalence_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        comparison.equivalence([1.0], key=KEY, **options)


def test_holm_is_the_closure_of_bonferroni():
    """A hypothesis is rejected when every set of hypotheses around it is."""
    random = np.random.default_rng(12)
    for count in range(1, 7):
        values = random.uniform(size=count) ** 3
        values[-1] = values[0]
        closure = [
            max(
                min(1.0, len(subset) * min(values[j] for j in subset))
                for size in range(1, count + 1)
                for subset in itertools.combinations(range(count), size)
                if i in subset
            )
            for i in range(count)
        ]
        np.testing.assert_allclose(comparison.holm(values), closure, rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "p_values must not be empty"),
        ([0.5, 1.5], r"p_values\[1\] must be at most 1, got 1.5"),
        ([math.nan], r"p_values\[0\] must be finite"),
    ],
)
def test_holm_refuses(values, message):
    with pytest.raises(ValueError, match=message):
        comparison.holm(values)


def test_results_are_plain_numbers():
    """So that they can be written as JSON and compared without NumPy."""
    a, b = correct_pair(5, 4, 3, 2)
    results = [
        comparison.mcnemar(jnp.asarray(a), b),
        comparison.paired_bootstrap(a.astype(np.float32), key=KEY, num_resamples=50),
        comparison.equivalence(a.astype(float), bound=0.1, key=KEY, num_resamples=50),
        comparison.holm(np.array([0.1, 0.2])),
    ]
    for leaf in jax.tree.leaves(results):
        assert type(leaf) in (int, float, bool)
