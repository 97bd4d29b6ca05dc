"""Quarters, halves and bootstrap counts: disjoint, even, repeatable, multinomial."""

import jax
import numpy as np
import pytest

from jaxlin.selection import resampling

KEY = jax.random.key(0)


def test_quarters_are_disjoint_and_even():
    parts = resampling.quarters(KEY, 43, num_splits=50)
    assert parts.shape == (50, 4, 43)
    assert set(np.unique(parts)) == {0, 1}
    assert (parts.sum(axis=2) == 10).all()
    # Three of 43 are in no part, and no one in two.
    assert (np.sort(parts.sum(axis=1), axis=1) == [0] * 3 + [1] * 40).all()
    # Each example is in each part about equally often.
    assert np.abs(parts.mean(axis=0) - 10 / 43).max() < 0.25


def test_halves_are_two_quarters_each():
    parts = resampling.quarters(KEY, 43, num_splits=3)
    halves = resampling.halves(parts)
    for split, both in zip(parts, halves, strict=True):
        np.testing.assert_array_equal(both[0], split[0] + split[1])
        np.testing.assert_array_equal(both[1], split[2] + split[3])


def test_bootstrap_counts_are_multinomial():
    counts = resampling.bootstrap(KEY, 43, num_resamples=400)
    assert (counts.sum(axis=1) == 43).all()
    # Of a multinomial: variance 1 - 1 / n, covariance -1 / n, a share e^-1 left out.
    assert counts.var() == pytest.approx(1 - 1 / 43, rel=0.05)
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 43) ** 43, abs=0.01)


def test_more_of_them_keep_the_first_ones():
    few, many = (resampling.quarters(KEY, 43, num_splits=k) for k in (2, 3))
    np.testing.assert_array_equal(few, many[:2])
    few, many = (resampling.bootstrap(KEY, 43, num_resamples=k) for k in (2, 3))
    np.testing.assert_array_equal(few, many[:2])
    other = resampling.bootstrap(jax.random.key(1), 43, num_resamples=2)
    assert (other != few).any()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: resampling.quarters(KEY, 3, num_splits=1), "num_examples .* least 4"),
        (lambda: resampling.quarters(KEY, 9, num_splits=0), "num_splits .* least 1"),
        (
            lambda: resampling.bootstrap(KEY, 1, num_resamples=1),
            "num_examples must be at least 2, got 1",
        ),
        (
            lambda: resampling.bootstrap(KEY, 9, num_resamples=0),
            "num_resamples must be at least 1, got 0",
        ),
    ],
)
def test_bad_numbers(act, words):
    with pytest.raises(ValueError, match=words):
        act()


@pytest.mark.parametrize("shape", [(5, 64), (5, 2, 64), (4,)])
def test_halves_of_what_are_no_quarters(shape):
    with pytest.raises(ValueError, match=r"quarters must have shape \(splits, 4, exam"):
        resampling.halves(np.ones(shape))
