"""Paired comparisons by counting, and the conclusion that a page shows."""

import jax
import numpy as np
import pytest
from run_helpers import mcnemar_p

from experiments.common import pages, paired

KEY = jax.random.key(0)


def compared(only_first, only_second, *, both=80, neither=20):
    """Two classifiers of labels 0 that are right on so many examples."""
    first = [0] * (both + only_first) + [1] * (only_second + neither)
    second = [0] * both + [1] * only_first + [0] * only_second + [1] * neither
    labels = np.zeros(len(first), int)
    return paired.compare(np.array(first), np.array(second), labels, key=KEY)


@pytest.mark.parametrize(("first", "second"), [(30, 10), (10, 30), (12, 10), (0, 0)])
def test_numbers_are_counts_and_the_exact_test(first, second):
    found = compared(first, second)
    total = 100 + first + second
    assert found["num_examples"] == total
    assert (found["only_first_right"], found["only_second_right"]) == (first, second)
    assert found["discordant"] == first + second
    assert found["difference"] == pytest.approx((first - second) / total)
    p_value = mcnemar_p(first, second)
    assert found["mcnemar_p"] == pytest.approx(p_value, rel=1e-9)
    assert found["agreement"] == pytest.approx(100 / total)
    better = {True: 1, False: 2}[first > second] if p_value < 0.05 else None
    assert found["better"] == better
    low, high = found["interval"]
    variance = found["discordant"] / total - found["difference"] ** 2
    width = 2 * 1.96 * np.sqrt(variance / total)
    assert high - low == pytest.approx(width, rel=0.2)


@pytest.mark.parametrize("discordant", [6, 17, 40, 101])
def test_the_least_difference_is_the_first_that_the_test_tells(discordant):
    told = [k for k in range(discordant + 1) if mcnemar_p(k, discordant - k) < 0.05]
    least = min(abs(2 * k - discordant) for k in told)
    found = compared(discordant, 0)["least_difference"]
    assert found == pytest.approx(least / (100 + discordant))


@pytest.mark.parametrize("discordant", [0, 1, 5])
def test_with_too_few_discordant_examples_nothing_is_told(discordant):
    assert compared(discordant, 0)["least_difference"] is None
    assert compared(discordant, 0)["better"] is None


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (30, 10, "A classifies better here"),
        (10, 30, "B classifies better here"),
        (12, 10, "does not tell the two apart"),
    ],
)
def test_the_verdict_names_the_better_one(first, second, words):
    found = compared(first, second)
    shown = pages.macros().verdict(found, "A", "B", caller=lambda: "other data")
    assert words in shown
    assert "other data" in shown
    assert f"{100 * found['difference']:+.2f} points" in shown
    assert f"p = {found['mcnemar_p']:.2g}" in shown
