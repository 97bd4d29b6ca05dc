"""Statistics against scipy, exact enumeration, closed forms and simulated truth."""

import itertools
import math
from fractions import Fraction
from functools import partial
from operator import eq, lt

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


@pytest.mark.parametrize(
    ("only_a", "only_b"), [(0, 1), (1, 8), (5, 5), (6, 5), (40, 70), (300, 200)]
)
def test_mid_p_counts_outcomes_as_likely_half(only_a, only_b):
    tosses = only_a + only_b
    ways = [math.comb(tosses, i) for i in range(tosses + 1)]
    less, equal = (sum(w for w in ways if keep(w, ways[only_a])) for keep in (lt, eq))
    found = comparison.mcnemar(*correct_pair(17, only_a, only_b, 11), mid_p=True)
    expected = float(Fraction(2 * less + equal, 2 * 2**tosses))
    assert found.p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("only_a", "only_b", "exact", "mid_p"),
    [(1, 7, 0.070, 0.039), (6, 16, 0.052, 0.035)],
)
def test_p_values_are_those_published(only_a, only_b, exact, mid_p):
    """Fagerland, Lydersen and Laake (2013), both of their examples."""
    pair = correct_pair(10, only_a, only_b, 3)
    for is_mid, expected in ((False, exact), (True, mid_p)):
        found = comparison.mcnemar(*pair, mid_p=is_mid).p_value
        assert found == pytest.approx(expected, abs=5e-4)


def test_mcnemar_is_that_of_statsmodels():
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    for counts in ((5, 4, 3, 2), (50, 30, 12, 8)):
        expected = tables.mcnemar(np.reshape(counts, (2, 2)), exact=True).pvalue
        found = comparison.mcnemar(*correct_pair(*counts)).p_value
        assert found == pytest.approx(expected, rel=1e-9)


def test_mid_p_rejects_a_true_hypothesis_about_as_often_as_its_level_says():
    """Exact sums over all outcomes of 20 to 60 coins, at level 5 %, in the mean."""
    rejected = {False: 0.0, True: 0.0}
    sizes = range(20, 60, 3)
    for size in sizes:
        for heads in range(size + 1):
            pair = correct_pair(0, heads, size - heads, 0)
            for mid_p in rejected:
                if comparison.mcnemar(*pair, mid_p=mid_p).p_value <= 0.05:
                    rejected[mid_p] += math.comb(size, heads) / 2**size / len(sizes)
    assert rejected[False] < 0.037
    assert 0.045 < rejected[True] < 0.05


def test_mcnemar_without_discordant_examples_is_one():
    a, _ = correct_pair(5, 0, 0, 5)
    for mid_p in (False, True):
        assert comparison.mcnemar(a, a, mid_p=mid_p) == (0, 0, 0, 1.0)


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
    for test in (comparison.t_equivalence, partial(comparison.equivalence, key=KEY)):
        with pytest.raises(ValueError, match=message):
            test([1.0, 2.0], **options)


@pytest.mark.parametrize("bound", [0.2, 0.4, 0.56, 1.0, 2.0])
def test_t_equivalence_is_that_of_scipy_and_statsmodels(bound):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    values = np.random.default_rng(9).normal(0.4, 2.0, size=100)
    result = comparison.t_equivalence(values, bound=bound)
    above = scipy.stats.ttest_1samp(values, -bound, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(values, bound, alternative="less").pvalue
    assert result.p_value == pytest.approx(max(above, below), rel=1e-9)
    theirs = weightstats.ttost_paired(values, np.zeros(100), -bound, bound)[0]
    assert result.p_value == pytest.approx(theirs, rel=1e-9)
    interval = weightstats.DescrStatsW(values).tconfint_mean(alpha=0.1)
    np.testing.assert_allclose(result.interval, interval, rtol=1e-9)
    inside = -bound < result.interval.low and result.interval.high < bound
    assert result.equivalent is inside
    assert result.equivalent is (result.p_value < 0.05)
    assert (result.value, result.bound) == (pytest.approx(values.mean()), bound)


def test_t_equivalence_changes_signs_with_the_differences():
    values = np.random.default_rng(11).normal(0.3, 1.0, size=30)
    one, other = (
        comparison.t_equivalence(sign * values, bound=0.5, level=0.1)
        for sign in (1, -1)
    )
    assert one.p_value == other.p_value
    np.testing.assert_allclose(one.interval, np.negative(other.interval[::-1]))


@pytest.mark.parametrize(("bound", "p_value"), [(0.4, 1.0), (0.5, 1.0), (0.51, 0.0)])
def test_t_equivalence_of_equal_differences(bound, p_value):
    """The limit of ever smaller variation; the interval says that there is none."""
    result = comparison.t_equivalence([0.5] * 3, bound=bound)
    assert result.p_value == p_value
    assert result.equivalent is (p_value == 0)
    assert "width zero: the values do not vary" in result.interval.note


def test_equivalence_is_printed_with_the_note_of_its_interval():
    equal = comparison.equivalence([0.01] * 3, bound=0.1, key=KEY, num_resamples=50)
    assert "width zero: the values do not vary" in str(equal)
    assert str(equal).endswith(", equivalent within 0.1")
    other = comparison.t_equivalence([0.0, 1.0], bound=0.1)
    assert str(other).endswith("], not equivalent within 0.1")


def test_t_equivalence_of_huge_differences_follows_a_change_of_units():
    """Squares of 1e200 are beyond float64."""
    values = np.array([1.0, -1.0, 0.25])
    plain = comparison.t_equivalence(values, bound=0.1)
    for scale in (1e-200, 1e200):
        found = comparison.t_equivalence(scale * values, bound=0.1 * scale)
        assert found.p_value == pytest.approx(plain.p_value, rel=1e-12)
        np.testing.assert_allclose(
            np.divide(found.interval, scale), plain.interval, rtol=1e-12
        )
    with pytest.raises(ValueError, match=r"differences must lie within 1e\+300 of 0"):
        comparison.t_equivalence([1.7e308, -1.7e308], bound=0.1)


def test_one_difference_has_no_t_test():
    with pytest.raises(ValueError, match="must be at least two for a t test, got 1"):
        comparison.t_equivalence([0.1], bound=1.0)


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
        comparison.t_equivalence(a.astype(np.float32), bound=0.1),
        comparison.mcnemar(a, b, mid_p=True),
        comparison.holm(np.array([0.1, 0.2])),
    ]
    for leaf in jax.tree.leaves(results):
        assert type(leaf) in (int, float, bool)
