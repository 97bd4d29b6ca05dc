"""Paired comparison of classifiers on the same examples, with confidence intervals.

Predictions on one test set are paired: two classifiers fail on much the same images, so
the interval of their difference is far narrower than their two separate intervals
suggest. Functions take NumPy or JAX arrays and return plain Python numbers:

  >>> import jax, numpy as np
  >>> from jaxlin.stats import comparison
  >>> svm = np.repeat([True, True, False, False], [350, 50, 80, 120])
  >>> softmax = np.repeat([True, False, True, False], [350, 50, 80, 120])
  >>> test = comparison.mcnemar(svm, softmax)
  >>> print(f"{test.only_a} against {test.only_b}, p = {test.p_value:.3f}")
  50 against 80, p = 0.011
  >>> difference = softmax.astype(float) - svm.astype(float)
  >>> lead = comparison.paired_bootstrap(difference, key=jax.random.key(0))
  >>> print(f"{lead.value:.2f} in [{lead.interval.low:.2f}, {lead.interval.high:.2f}]")
  0.05 in [0.01, 0.09]

Intervals over examples cover the variation between test sets for these two models;
`jaxlin.stats.intervals.mean_and_spread` over seeds covers the variation between
training runs.
"""

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.stats.intervals import Interval, vector
from jaxlin.typing import Array

# Draws per block of the bootstrap: about 8 MB of indices and values.
_DRAWS_PER_BLOCK = 2**20


class Estimate(NamedTuple):
    """A point estimate and its confidence interval."""

    value: float
    interval: Interval


class Overlap(NamedTuple):
    """Numbers of examples on which both, one or neither of two classifiers is right."""

    both_right: int
    only_a: int
    only_b: int
    both_wrong: int


class McNemar(NamedTuple):
    """Result of `mcnemar`: numbers of discordant examples and the p-value."""

    only_a: int
    only_b: int
    discordant: int
    p_value: float


class Equivalence(NamedTuple):
    """Result of `equivalence`: whether the interval lies inside (-bound, bound)."""

    value: float
    interval: Interval
    bound: float
    equivalent: bool


def overlap(correct_a: Any, correct_b: Any) -> Overlap:
    """Counts examples by which of two classifiers is right.

    Args:
      correct_a: booleans, shape ``(examples,)``.
      correct_b: booleans for the same examples in the same order.

    Raises:
      ValueError: if the arguments are not boolean vectors of equal length.
    """
    a = _booleans("correct_a", correct_a)
    b = _booleans("correct_b", correct_b)
    if len(a) != len(b):
        raise ValueError(
            "correct_a and correct_b must be of the same examples, got "
            f"{len(a)} and {len(b)}"
        )
    return Overlap(
        both_right=int(np.sum(a & b)),
        only_a=int(np.sum(a & ~b)),
        only_b=int(np.sum(~a & b)),
        both_wrong=int(np.sum(~a & ~b)),
    )


def agreement(predictions_a: Any, predictions_b: Any) -> float:
    """Share of examples to which two classifiers give the same label, right or wrong.

    Args:
      predictions_a: integer labels, shape ``(examples,)``.
      predictions_b: integer labels for the same examples in the same order.

    Raises:
      ValueError: if the arguments are not vectors of labels of equal length.

    Example:
      >>> agreement([0, 1, 2, 2], [0, 1, 2, 1])
      0.75
    """
    a = check.labels("predictions_a", predictions_a)
    b = check.labels("predictions_b", predictions_b, num_examples=len(a))
    return float(np.mean(a == b))


def mcnemar(correct_a: Any, correct_b: Any) -> McNemar:
    """Exact two-sided McNemar test that two classifiers are equally often right.

    Under that hypothesis each discordant example (one classifier right, the other
    wrong) is a toss of a fair coin. Without discordant examples p is 1. Arguments and
    errors are those of `overlap`.

    Reference:
      Q. McNemar. Note on the sampling error of the difference between correlated
      proportions or percentages. Psychometrika, 1947.
    """
    from scipy import stats

    counts = overlap(correct_a, correct_b)
    discordant = counts.only_a + counts.only_b
    p_value = 1.0
    if discordant:
        p_value = float(stats.binomtest(counts.only_a, discordant, 0.5).pvalue)
    return McNemar(counts.only_a, counts.only_b, discordant, p_value)


def paired_bootstrap(
    differences: Any,
    *,
    key: Array,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of a per-example difference with its percentile bootstrap interval.

    Examples are drawn with replacement, so each resample evaluates both classifiers on
    the same examples. An index is a random 32-bit integer modulo n, uniform up to a
    factor of 1 + n / 2^32. Memory does not grow with ``num_resamples`` times n. The
    ends are resampled means, not interpolated, and integer differences below 2^24 / n
    (of zero-one correctness, for instance) are summed without rounding: an end that
    should be 0 is 0.

    Args:
      differences: finite numbers, shape ``(examples,)``: value of b minus value of a.
      key: a `jax.random.key`; the same key gives the same interval.
      num_resamples: number of bootstrap resamples, at least 1; 10,000 places each end
        within about 2 % of the width of the interval.
      confidence: coverage of the interval, in (0, 1).

    Returns:
      The mean and its interval. A single example, or equal differences, give an
      interval of width zero: resampling reflects only the variation in the sample.

    Raises:
      ValueError: if an argument is out of range or a difference is not finite.

    Reference:
      B. Efron. Bootstrap methods: another look at the jackknife. Annals of Statistics,
      1979.
    """
    values = vector("differences", differences)
    check.key("key", key)
    check.integer("num_resamples", num_resamples, at_least=1)
    check.number("confidence", confidence, above=0, below=1)
    # float32 sums of small residuals: the shift is one of the values and the scale is
    # a power of two, so that neither rounds integers.
    shift = np.quantile(values, 0.5, method="lower")
    residuals = values - shift
    scale = math.ldexp(1.0, math.frexp(np.abs(residuals).max())[1])
    sums = _resampled_sums(
        jnp.asarray(residuals / scale, jnp.float32), key, num_resamples=num_resamples
    )
    means = shift + scale * np.asarray(sums, np.float64) / len(values)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(means, tails, method="nearest")
    return Estimate(float(values.mean()), Interval(float(low), float(high)))


def equivalence(
    differences: Any,
    *,
    bound: float,
    key: Array,
    level: float = 0.05,
    num_resamples: int = 10_000,
) -> Equivalence:
    """Two one-sided tests that the mean difference lies inside (-bound, bound).

    A large p-value of `mcnemar` does not show that two classifiers are equally good;
    this test does. Both tests reject at ``level`` exactly when the bootstrap interval
    of confidence 1 - 2 * level lies inside the bounds.

    Args:
      differences: finite numbers, shape ``(examples,)``: value of b minus value of a.
      bound: the smallest difference of practical relevance, above 0, in the units of
        the differences. Fix it before looking at the data.
      key: a `jax.random.key`; the same key gives the same interval.
      level: probability of declaring equivalence at a true difference of ``bound``, in
        (0, 0.5).
      num_resamples: number of bootstrap resamples, at least 1.

    Raises:
      ValueError: if an argument is out of range or a difference is not finite.

    Reference:
      D. J. Schuirmann. A comparison of the two one-sided tests procedure and the power
      approach for assessing the equivalence of average bioavailability. Journal of
      Pharmacokinetics and Biopharmaceutics, 1987.
    """
    bound = check.number("bound", bound, above=0)
    check.number("level", level, above=0, below=0.5)
    value, interval = paired_bootstrap(
        differences, key=key, num_resamples=num_resamples, confidence=1 - 2 * level
    )
    inside = -bound < interval.low and interval.high < bound
    return Equivalence(value, interval, bound, inside)


def holm(p_values: Iterable[float]) -> tuple[float, ...]:
    """Holm's step-down adjustment of p-values, which controls the family-wise error.

    The i-th smallest of m p-values is multiplied by m - i + 1, raised to the largest
    adjusted p-value before it and clipped at 1. Rejecting where the result is at most
    0.05 makes any false rejection with probability at most 0.05, under any dependence
    between the comparisons.

    Args:
      p_values: numbers in [0, 1].

    Returns:
      Adjusted p-values in the order given.

    Raises:
      ValueError: if ``p_values`` is empty or an entry is outside [0, 1].

    Example:
      >>> holm([0.01, 0.04, 0.02])
      (0.03, 0.04, 0.04)

    Reference:
      S. Holm. A simple sequentially rejective multiple test procedure. Scandinavian
      Journal of Statistics, 1979.
    """
    given = [
        check.number(f"p_values[{i}]", value, at_least=0, at_most=1)
        for i, value in enumerate(p_values)
    ]
    if not given:
        raise ValueError("p_values must not be empty, got none")
    adjusted = [0.0] * len(given)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(given)), key=given.__getitem__)):
        largest = max(largest, min(1.0, (len(given) - rank) * given[i]))
        adjusted[i] = largest
    return tuple(adjusted)


@functools.partial(jax.jit, static_argnames=("num_resamples", "draws_per_block"))
def _resampled_sums(
    values: Array,
    key: Array,
    *,
    num_resamples: int,
    draws_per_block: int = _DRAWS_PER_BLOCK,
) -> Array:
    """Returns sums over resamples of ``values`` (n,), shape ``(num_resamples,)``."""
    size = len(values)

    def resampled_sum(key: Array) -> Array:
        bits = jax.random.bits(key, (size,), jnp.uint32)
        return jnp.sum(values[bits % jnp.uint32(size)])

    # One key per resample, so that the block size does not change the draws.
    keys = jax.random.split(key, num_resamples)
    block = min(num_resamples, max(1, draws_per_block // size))
    return jax.lax.map(resampled_sum, keys, batch_size=block)


def _booleans(name: str, value: Any) -> np.ndarray:
    """Returns booleans of shape (n,), n at least 1."""
    array = np.asarray(value)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty vector, got shape {array.shape}")
    if array.dtype != bool:
        raise ValueError(
            f"{name} must be booleans, got {array.dtype}; pass predictions == labels"
        )
    return array
