"""Intervals against scipy, closed forms and exact sums over all outcomes."""

import math

import jax
import numpy as np
import pytest
import scipy.stats

from jaxlin.stats import intervals


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (3, 7), (0, 50), (4130, 10_000)]
)
def test_wilson_interval_is_scipys(successes, trials, confidence):
    ours = intervals.proportion_interval(successes, trials, confidence=confidence)
    scipys = scipy.stats.binomtest(successes, trials).proportion_ci(
        confidence, method="wilson"
    )
    np.testing.assert_allclose(ours, (scipys.low, scipys.high), rtol=1e-12, atol=1e-15)


def test_wilson_ends_solve_wilsons_equation():
    """At each end the share is z standard errors away, the error taken at that end."""
    z = scipy.stats.norm.ppf(0.975)
    for end in intervals.proportion_interval(30, 80):
        distance = abs(30 / 80 - end)
        assert distance == pytest.approx(z * math.sqrt(end * (1 - end) / 80), rel=1e-12)


def test_wilson_ends_at_zero_and_one_are_exact():
    assert intervals.proportion_interval(0, 10_000).low == 0.0
    assert intervals.proportion_interval(10_000, 10_000).high == 1.0


@pytest.mark.parametrize("truth", [0.05, 0.4, 0.9])
def test_wilson_coverage_is_near_nominal(truth):
    """Exact sum over all 201 outcomes; 95 % intervals at n = 200 cover 93 % to 97 %."""
    covered = 0.0
    for successes in range(201):
        low, high = intervals.proportion_interval(successes, 200)
        if low <= truth <= high:
            covered += scipy.stats.binom.pmf(successes, 200, truth)
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0), "trials must be at least 1, got 0"),
        ((3, 2), "successes must be at most 2, got 3"),
        ((-1, 2), "successes must be at least 0, got -1"),
        ((0.5, 2), "successes must be an integer, got 0.5"),
    ],
)
def test_wilson_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        intervals.proportion_interval(*arguments)


def test_spread_by_hand():
    """1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9 = 14, over n - 1 = 3."""
    spread = intervals.mean_and_spread(iter([1, 2, 3, 6]))
    assert (spread.mean, spread.num_runs) == (3.0, 4)
    assert spread.standard_deviation == pytest.approx(math.sqrt(14 / 3))
    half = 3.182446 * math.sqrt(14 / 3) / 2
    np.testing.assert_allclose(spread.interval, (3 - half, 3 + half), rtol=1e-6)


def test_spread_excludes_what_a_t_test_rejects():
    values = np.random.default_rng(11).normal(0.4, 0.01, size=5)
    low, high = intervals.mean_and_spread(values, confidence=0.9).interval
    assert scipy.stats.ttest_1samp(values, low).pvalue == pytest.approx(0.1)
    assert scipy.stats.ttest_1samp(values, high).pvalue == pytest.approx(0.1)


def test_one_run_has_no_spread():
    assert intervals.mean_and_spread(np.array([0.5])) == (0.5, None, 1, None)
    with pytest.raises(ValueError, match="values must be a non-empty vector"):
        intervals.mean_and_spread([])


def test_equal_runs_have_spread_zero():
    spread = intervals.mean_and_spread([0.1] * 1000)
    assert spread == (0.1, 0.0, 1000, (0.1, 0.1))
    assert "width zero: the values do not vary" in str(spread)
    assert str(intervals.mean_and_spread([0.5])) == "0.5 of a single run"


def test_results_are_plain_numbers():
    """So that they can be written as JSON and compared without NumPy."""
    results = [
        intervals.proportion_interval(np.int64(3), np.int32(7)),
        intervals.mean_and_spread(np.float32([1, 2])),
    ]
    for leaf in jax.tree.leaves(results):
        assert type(leaf) in (int, float, bool)
