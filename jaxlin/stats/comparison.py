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

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.stats import bootstrap
from jaxlin.stats.intervals import Interval, PointInterval, mean_and_spread, vector
from jaxlin.typing import Array


class Estimate(NamedTuple):
    """A point estimate and its confidence interval."""

    value: float
    interval: Interval

    def __str__(self) -> str:
        return f"{self.value} in {self.interval}"


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
    """Result of two one-sided tests that a mean difference lies inside its bounds.

    Attributes:
      value: mean difference.
      interval: interval of confidence 1 - 2 * level. One of width zero says so in its
        ``note``.
      bound: the smallest difference of practical relevance.
      equivalent: whether the interval lies inside (-bound, bound).
      p_value: larger p-value of the two tests by t; None by the bootstrap.
    """

    value: float
    interval: Interval
    bound: float
    equivalent: bool
    p_value: float | None = None

    def __str__(self) -> str:
        result = "" if self.equivalent else "not "
        return (
            f"{self.value} in {self.interval}, {result}equivalent within {self.bound}"
        )


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


def mcnemar(correct_a: Any, correct_b: Any, *, mid_p: bool = False) -> McNemar:
    """Exact two-sided McNemar test that two classifiers are equally often right.

    Under that hypothesis each discordant example (one classifier right, the other
    wrong) is a toss of a fair coin. Without discordant examples p is 1.

    Args:
      correct_a: booleans, shape ``(examples,)``.
      correct_b: booleans for the same examples in the same order.
      mid_p: whether to use the mid-p value, which counts half the probability of
        outcomes as likely as the observed one. The exact test
        rejects a true hypothesis more rarely than its level says, the mid-p test about
        as often, with more power; it may exceed the level slightly.

    Raises:
      ValueError: if the arguments are not boolean vectors of equal length.

    Reference:
      Q. McNemar. Note on the sampling error of the difference between correlated
      proportions or percentages. Psychometrika, 1947.

      M. W. Fagerland, S. Lydersen and P. Laake. The McNemar test for binary
      matched-pairs data: mid-p and asymptotic are better than exact conditional. BMC
      Medical Research Methodology, 2013.
    """
    from scipy import stats

    counts = overlap(correct_a, correct_b)
    discordant = counts.only_a + counts.only_b
    p_value = 1.0
    if discordant:
        p_value = float(stats.binomtest(counts.only_a, discordant, 0.5).pvalue)
    if discordant and mid_p:
        outcomes = {counts.only_a, counts.only_b}
        likely = float(stats.binom.pmf(counts.only_a, discordant, 0.5))
        p_value -= len(outcomes) * likely / 2
    return McNemar(counts.only_a, counts.only_b, discordant, p_value)


def paired_bootstrap(
    differences: Any,
    *,
    key: Array,
    num_resamples: int = 10_000,
    confidence: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
) -> Estimate:
    """Mean of a per-example difference with its bootstrap interval.

    Examples are drawn with replacement, so each resample evaluates both classifiers on
    the same examples (`jaxlin.stats.bootstrap`). The ends are resampled means, not
    interpolated, and integer differences below 2^24 / n (of zero-one correctness, for
    instance) are summed without rounding: an end that should be 0 is 0.

    Args:
      differences: finite numbers, shape ``(examples,)``: value of b minus value of a.
      key: a `jax.random.key`; the same key gives the same interval.
      num_resamples: number of bootstrap resamples, at least 1; 10,000 places each end
        within about 2 % of the width of the interval.
      confidence: coverage of the interval, in (0, 1).
      method: ``"percentile"``, or ``"bca"``, bias-corrected and accelerated, whose
        ends miss the true mean of skewed differences (log losses) equally often: the
        error of their levels falls as 1 / n instead of 1 / sqrt(n).

    Returns:
      The mean and its interval. A single example, or equal differences, give an
      interval of width zero: resampling reflects only the variation in the sample. So
      do differences that are almost all equal, and a single resample. The ``note`` of
      the interval says which.

    Raises:
      ValueError: if an argument is out of range or a difference is not finite.

    Reference:
      B. Efron. Bootstrap methods: another look at the jackknife. Annals of Statistics,
      1979. BCa: `jaxlin.stats.bootstrap.bca_tails`.
    """
    values = vector("differences", differences)
    check.key("key", key)
    check.integer("num_resamples", num_resamples, at_least=1)
    check.number("confidence", confidence, above=0, below=1)
    check.choice("method", method, ("percentile", "bca"))
    means = bootstrap.resampled_means(values, key=key, num_resamples=num_resamples)
    tails = bootstrap.percentile_tails(confidence)
    if method == "bca":
        tails = bootstrap.bca_tails(means, values, confidence=confidence)
    low, high = np.quantile(means.values, tails, method="nearest")
    varies = bool((values != values[0]).any())
    interval = (Interval if varies else PointInterval)(float(low), float(high))
    return Estimate(float(values.mean()), interval)


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


def t_equivalence(
    differences: Any, *, bound: float, level: float = 0.05
) -> Equivalence:
    """Two one-sided t tests (TOST) that the mean difference lies inside its bounds.

    As `equivalence`, with normal means in place of the bootstrap: without a key, and
    with a p-value. Of few or very skewed differences prefer `equivalence`.

    Args:
      differences: finite numbers, shape ``(examples,)``, at least two: value of b minus
        value of a.
      bound: the smallest difference of practical relevance, above 0, in the units of
        the differences. Fix it before looking at the data.
      level: probability of declaring equivalence at a true difference of ``bound``, in
        (0, 0.5).

    Raises:
      ValueError: if an argument is out of range, a difference is not finite, or there
        is only one.

    Example:
      >>> found = t_equivalence([0.0, 0.1, -0.1, 0.0], bound=0.2)
      >>> found.equivalent, round(found.p_value, 4)
      (True, 0.0081)
    """
    from scipy import stats

    bound = check.number("bound", bound, above=0)
    check.number("level", level, above=0, below=0.5)
    value, deviation, count, interval = mean_and_spread(
        vector("differences", differences), confidence=1 - 2 * level
    )
    if interval is None:
        raise ValueError(
            "differences must be at least two for a t test, got 1; a single one says "
            "nothing on their variation"
        )
    distance = bound - abs(value)
    p_value = 0.0 if distance > 0 else 1.0
    if deviation:
        statistic = distance / (deviation / math.sqrt(count))
        p_value = float(stats.t.sf(statistic, count - 1))
    return Equivalence(value, interval, bound, p_value < level, p_value)


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
