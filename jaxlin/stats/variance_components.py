"""Variances of means over examples and over runs, and intervals from them.

Losses form a matrix with one row per run (seed, split or refit) and one column per test
example. Part of the variance between row means is sampling noise from finitely many
examples; the rest is the variance component of the runs:

  >>> import numpy as np
  >>> from jaxlin.stats import variance_components
  >>> random = np.random.default_rng(0)
  >>> losses = random.normal(size=(50, 1)) + 3 * random.normal(size=(50, 400))
  >>> between = variance_components.component(losses)
  >>> print(f"{losses.mean(axis=1).var(ddof=1):.3f} {between.value:.3f}")
  0.807 0.785

Zero-one losses of which none, or hardly one, differs have a sample variance near 0 by
chance. `PAIRED` and `SHARE` are pseudo-observations that are added to such losses.

  >>> unchanged = np.zeros(500)
  >>> variance_components.mean_of(unchanged, confidence=0.95).interval
  Interval(low=0.0, high=0.0)
  >>> found = variance_components.mean_of(
  ...     unchanged, confidence=0.95, added=variance_components.PAIRED)
  >>> print(f"{found.value} and at most {found.interval.high:.4f}")
  0.0 and at most 0.0039

References:
  A. Agresti and B. A. Coull. Approximate is better than "exact" for interval estimation
  of binomial proportions. American Statistician, 1998.
  A. Agresti and Y. Min. Simple improved confidence intervals for comparing matched
  proportions. Statistics in Medicine, 2005.
  F. E. Satterthwaite. An approximate distribution of estimates of variance components.
  Biometrics Bulletin, 1946.
  S. R. Searle, G. Casella and C. E. McCulloch. Variance components. Wiley, 1992.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jaxlin.stats.comparison import Estimate
from jaxlin.stats.intervals import Interval

# Values and weights of pseudo-observations. For a difference of two zero-one losses:
# half a pair in each cell of their 2 x 2 table (Agresti and Min).
PAIRED = ((1.0, 0.5), (-1.0, 0.5), (0.0, 1.0))
# For one zero-one loss: two failures and two successes (Agresti and Coull).
SHARE = ((1.0, 2.0), (0.0, 2.0))
PseudoObservations = tuple[tuple[float, float], ...]


class Variance(NamedTuple):
    """An estimated variance and its degrees of freedom."""

    value: float
    freedom: float


def component(rows: np.ndarray) -> Variance:
    """Variance component of the runs, free of sampling noise of the examples.

    Estimated by a two-way analysis of variance without replication, and floored at 0.
    A single run carries no information on it and has 0.

    Args:
      rows: losses, float64, shape ``(runs, examples)``.
    """
    number, size = rows.shape
    if number == 1:
        return Variance(0.0, math.inf)
    means = rows.mean(axis=1)
    residuals = rows - means[:, None] - rows.mean(axis=0) + rows.mean()
    noise = np.square(residuals).sum() / ((number - 1) * (size - 1))
    value = float(means.var(ddof=1) - noise / size)
    return Variance(max(0.0, value), number - 1)


def of_runs(rows: np.ndarray) -> Variance:
    """Variance of the mean over runs that is due to their finite number."""
    value, freedom = component(rows)
    return Variance(value / len(rows), freedom)


def of_examples(values: np.ndarray, *, added: PseudoObservations = ()) -> Variance:
    """Variance of a mean over test examples.

    Args:
      values: losses or differences of losses, shape ``(examples,)``.
      added: values and weights of pseudo-observations, such as `PAIRED`; none by
        default. With them the divisor is the total weight, as in the papers.
    """
    freedom = len(values) - 1
    if not added:
        return Variance(float(values.var(ddof=1)) / len(values), freedom)
    points, weights = np.array(added).T
    total = len(values) + weights.sum()
    mean = (values.sum() + weights @ points) / total
    square = (np.square(values).sum() + weights @ np.square(points)) / total
    return Variance(float(square - mean**2) / total, freedom)


def _half_width(parts: Iterable[Variance], *, confidence: float) -> float:
    """Half the width of the confidence interval of a sum of independent terms.

    Student's t with the degrees of freedom of Welch and Satterthwaite.

    Args:
      parts: variances of the terms.
      confidence: coverage of the interval, in (0, 1).
    """
    from scipy import stats

    parts = list(parts)
    total = sum(part.value for part in parts)
    if total == 0:
        return 0.0
    by_freedom = sum(part.value**2 / part.freedom for part in parts)
    freedom = total**2 / by_freedom if by_freedom else math.inf
    quantile = stats.t.ppf((1 + confidence) / 2, freedom)
    return float(quantile * math.sqrt(total))


def mean_of(
    values: np.ndarray,
    *others: Variance,
    confidence: float,
    added: PseudoObservations = (),
) -> Estimate:
    """Mean over test examples with its confidence interval.

    Args:
      values: losses or differences of losses, shape ``(examples,)``.
      *others: further variances of the mean, independent of the examples.
      confidence: coverage of the interval, in (0, 1).
      added: values and weights of pseudo-observations, such as `PAIRED`; none by
        default. They enter the variance alone: the observed mean is both the value and
        the centre of the interval.
    """
    parts = [of_examples(values, added=added), *others]
    half = _half_width(parts, confidence=confidence)
    value = float(values.mean())
    return Estimate(value, Interval(value - half, value + half))
