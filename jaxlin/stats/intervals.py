"""Confidence intervals of an accuracy over test images and of a mean over runs.

Functions return plain Python numbers:

  >>> from jaxlin.stats import intervals
  >>> low, high = intervals.proportion_interval(4130, 10_000)
  >>> print(f"41.30 % in [{100 * low:.2f}, {100 * high:.2f}] %")
  41.30 % in [40.34, 42.27] %
  >>> spread = intervals.mean_and_spread([0.41, 0.42, 0.40])
  >>> print(f"{spread.mean:.2f} +- {spread.standard_deviation:.2f}")
  0.41 +- 0.01

Intervals over examples cover the variation between test sets for one model; the spread
over seeds covers the variation between training runs. `jaxlin.stats.comparison`
compares two models on the same examples.
"""

import math
import statistics
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check

_LARGEST = 1e300


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float

    @property
    def note(self) -> str:
        """Warning about an interval of width zero; "" for all others."""
        if self.low != self.high:
            return ""
        return "width zero at this confidence, which does not make the value certain"

    def __str__(self) -> str:
        note = self.note and f" ({self.note})"
        return f"[{self.low}, {self.high}]{note}"


class PointInterval(Interval):
    """An interval of width zero from values that do not vary."""

    __slots__ = ()

    @property
    def note(self) -> str:
        """Reason for the width of zero."""
        return "width zero: the values do not vary, which does not make them certain"


class Spread(NamedTuple):
    """Mean over repeated runs; deviation and interval are None for a single run."""

    mean: float
    standard_deviation: float | None
    num_runs: int
    interval: Interval | None

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.mean} of a single run"
        return (
            f"{self.mean} +- {self.standard_deviation} of {self.num_runs} runs, mean "
            f"in {self.interval}"
        )


def proportion_interval(
    successes: int, trials: int, *, confidence: float = 0.95
) -> Interval:
    r"""Wilson interval of a proportion, such as an accuracy over test images.

    All :math:`p` with :math:`|\hat p - p| \le z \sqrt{p (1 - p) / n}`: unlike the
    normal approximation (Wald interval) it stays in [0, 1] and has positive width for
    0 or n successes.

    Args:
      successes: number of successes, from 0 to ``trials``.
      trials: number of trials n, at least 1.
      confidence: coverage of the interval, in (0, 1).

    Raises:
      ValueError: if an argument is out of range.

    Example:
      >>> low, high = proportion_interval(4130, 10_000)
      >>> print(f"{low:.4f} to {high:.4f}")
      0.4034 to 0.4227

    Reference:
      E. B. Wilson. Probable inference, the law of succession, and statistical
      inference. Journal of the American Statistical Association, 1927.
    """
    trials = check.integer("trials", trials, at_least=1)
    successes = check.integer("successes", successes, at_least=0, at_most=trials)
    check.number("confidence", confidence, above=0, below=1)
    z2 = statistics.NormalDist().inv_cdf((1 + confidence) / 2) ** 2
    share = successes / trials
    centre = share + z2 / (2 * trials)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * trials)) / trials)
    scale = 1 + z2 / trials
    # Rounding would place the two exact ends 1e-17 away from 0 and 1.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return Interval(low, high)


def mean_and_spread(values: Iterable[float], *, confidence: float = 0.95) -> Spread:
    """Mean, sample standard deviation and t interval over repeated runs.

    Args:
      values: one finite number per run, such as the accuracy of each seed.
      confidence: coverage of the interval of the mean, in (0, 1).

    Returns:
      Mean, standard deviation with divisor n - 1, and interval. The last two are None
      for one run, which carries no information on the variation between runs. The
      interval assumes that runs are independent and normally distributed.

    Raises:
      ValueError: if there are no values, or one is not finite or above 1e300.

    Example:
      >>> mean_and_spread([0.41])
      Spread(mean=0.41, standard_deviation=None, num_runs=1, interval=None)
    """
    from scipy import stats

    runs = vector("values", values if hasattr(values, "__len__") else list(values))
    check.number("confidence", confidence, above=0, below=1)
    num_runs, mean = len(runs), float(runs.mean())
    if num_runs == 1:
        return Spread(mean, None, 1, None)
    if (runs == runs[0]).all():
        # Rounding of the mean would be a deviation.
        mean = float(runs[0])
        return Spread(mean, 0.0, num_runs, PointInterval(mean, mean))
    # A power of two, which rounds nothing, so that squares do not overflow.
    scale = math.ldexp(1.0, math.frexp(np.abs(runs).max())[1])
    deviation = scale * float((runs / scale).std(ddof=1))
    quantile = float(stats.t.ppf((1 + confidence) / 2, num_runs - 1))
    half = quantile * deviation / math.sqrt(num_runs)
    return Spread(mean, deviation, num_runs, Interval(mean - half, mean + half))


def vector(name: str, value: Any) -> np.ndarray:
    """Returns float64 numbers within 1e300 of 0, shape (n,), n at least 1."""
    array = np.asarray(value)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"{name} must be a non-empty vector of numbers, got shape {array.shape}"
        )
    if array.dtype.kind not in "uif" and array.dtype.name != "bfloat16":
        raise ValueError(
            f"{name} must be numbers, got {array.dtype}; convert booleans with "
            ".astype(float)"
        )
    array = array.astype(np.float64)
    bad = ~np.isfinite(array)
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(
            f"{name} must be finite, got {array[where]} at position {where}"
        )
    where = int(np.argmax(np.abs(array)))
    if abs(array[where]) > _LARGEST:
        raise ValueError(
            f"{name} must lie within {_LARGEST:g} of 0, where float64 holds sums, "
            f"got {array[where]} at position {where}; divide them by a common unit"
        )
    return array
