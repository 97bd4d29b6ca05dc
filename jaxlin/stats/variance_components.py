"""Variances of means over examples and runs, and the intervals that they make.

Losses come as a matrix: a row a run (a seed, a split, a refit), a column a test
example. Runs differ in part because each was judged on finitely many examples; what is
left is theirs:

  >>> import numpy as np
  >>> from jaxlin.stats import variance_components
  >>> random = np.random.default_rng(0)
  >>> losses = random.normal(size=(50, 1)) + 3 * random.normal(size=(50, 400))
  >>> between = variance_components.component(losses)
  >>> print(f"{losses.mean(axis=1).var(ddof=1):.3f} {between.value:.3f}")
  0.807 0.785

Zero-one losses of which none, or hardly one, differs have next to no variance, but that
is luck: `PAIRED` and `SHARE` are imagined observations that are added for such losses.

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

# Values and weights of imagined observations. Of a difference of two zero-one losses:
# half a pair in each cell of the table of both (Agresti and Min).
PAIRED = ((1.0, 0.5), (-1.0, 0.5), (0.0, 1.0))
# Of one zero-one loss: two failures and two successes (Agresti and Coull).
SHARE = ((1.0, 2.0), (0.0, 2.0))
Added = tuple[tuple[float, float], ...]


class Variance(NamedTuple):
    """A variance and the degrees of freedom it was estimated with."""

    value: float
    freedom: float


def component(rows: np.ndarray) -> Variance:
    """Variance between rows beyond what finitely many columns bring.

    By a two-way analysis of variance without repetition; floored at 0, and 0 of a
    single row, of which nothing can be said.

    Args:
      rows: float64, shape ``(runs, examples)``.
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
    """Variance of the mean over runs that comes from there being so few."""
    value, freedom = component(rows)
    return Variance(value / len(rows), freedom)


def of_examples(values: np.ndarray, *, added: Added = ()) -> Variance:
    """Variance of a mean over test examples.

    Args:
      values: shape ``(examples,)``.
      added: values and weights of imagined observations, such as `PAIRED`; with them
        the divisor is the total weight, as in the papers.
    """
    freedom = len(values) - 1
    if not added:
        return Variance(float(values.var(ddof=1)) / len(values), freedom)
    points, weights = np.array(added).T
    total = len(values) + weights.sum()
    mean = (values.sum() + weights @ points) / total
    square = (np.square(values).sum() + weights @ np.square(points)) / total
    return Variance(float(square - mean**2) / total, freedom)


def half_width(parts: Iterable[Variance], *, confidence: float) -> float:
    """Half the width of the interval of a sum of independent parts.

    Student's t with the degrees of freedom of Welch and Satterthwaite.

    Args:
      parts: the variances.
      confidence: of the interval, in (0, 1).
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
    values: np.ndarray, *others: Variance, confidence: float, added: Added = ()
) -> Estimate:
    """A mean over test examples, with the interval that they and others make.

    Args:
      values: shape ``(examples,)``.
      *others: further variances of the mean, independent of the examples.
      confidence: of the interval, in (0, 1).
      added: as in `of_examples`. They count in the variance alone: value and centre are
        the observed mean.
    """
    parts = [of_examples(values, added=added), *others]
    half = half_width(parts, confidence=confidence)
    value = float(values.mean())
    return Estimate(value, Interval(value - half, value + half))
