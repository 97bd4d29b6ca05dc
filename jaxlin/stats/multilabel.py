r"""Average precision and F1 of several labels per example, with 95 % intervals.

Labels are the columns of arrays of shape ``(examples, labels)``, on the host:

  >>> import numpy as np
  >>> from jaxlin.stats import multilabel
  >>> scores = np.array([[0.9], [0.8], [0.4], [0.1]])
  >>> present = np.array([[True], [False], [True], [False]])
  >>> print(multilabel.average_precision(scores, present))
  [0.83333333]
  >>> print(multilabel.f1(scores > 0.5, present))
  [0.5]

A label without a positive example has no average precision, one without a positive
example or prediction no F1: they are NaN, and means over labels leave them out, where
scikit-learn counts 0.

Intervals are normal, with the variance of the infinitesimal jackknife, which is that of
a bootstrap over examples for small changes of their weights:
:math:`\sum_i (\partial T / \partial w_i)^2` for a statistic T of examples of weight 1.
Labels of an example count together, so that their correlation is allowed for. They are
of the sampling error alone, too narrow for a label with few positive examples, and
without width where all are right. Average precision of few positive examples is biased
upwards, which a mean over labels does not remove: with scores N(0, 1), 1.5 higher for
positives, by .08 at 5 of them and .01 at 100, so that the interval of the mean over 50
labels holds the true value in 3 % and 71 % of cases.

Reference:
  B. Efron. Nonparametric standard errors and confidence intervals. Canadian Journal of
  Statistics, 1981.
"""

import math
import statistics
from typing import NamedTuple

import numpy as np

from jaxlin.stats.comparison import Estimate
from jaxlin.stats.intervals import Interval

_Z = statistics.NormalDist().inv_cdf(0.975)


class MultilabelMetrics(NamedTuple):
    """Metrics of several labels, each with a 95 % interval over examples.

    Attributes:
      average_precision: average precision of each label; value and interval are NaN
        without positive examples.
      f1: F1 of each label.
      mean_average_precision: mean of the average precisions over labels (mAP).
      micro_f1: F1 of all pairs of example and label together.
      macro_f1: mean of F1 over labels.
    """

    average_precision: tuple[Estimate, ...]
    f1: tuple[Estimate, ...]
    mean_average_precision: Estimate
    micro_f1: Estimate
    macro_f1: Estimate


def measure(scores: np.ndarray, present: np.ndarray) -> MultilabelMetrics:
    """All metrics, where a label is predicted if its score is above 0.

    Args:
      scores: score of each label, such as the logarithm of the odds, shape
        ``(examples, labels)``; finite.
      present: booleans, shape ``(examples, labels)``.
    """
    predicted = scores > 0
    precision = average_precision(scores, present)
    of_label = f1(predicted, present)
    precision_slopes = _precision_slopes(scores, present)
    terms = _f1_terms(predicted, present)
    f1_slopes = _f1_slopes(*terms)
    micro_slopes = _f1_slopes(*(each.sum(axis=1, keepdims=True) for each in terms))
    return MultilabelMetrics(
        average_precision=_each(precision, precision_slopes),
        f1=_each(of_label, f1_slopes),
        mean_average_precision=_mean(precision, precision_slopes),
        micro_f1=_estimate(micro_f1(predicted, present), micro_slopes[:, 0]),
        macro_f1=_mean(of_label, f1_slopes),
    )


def average_precision(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    r"""Average precision of each label, shape ``(labels,)``.

    The mean over the positive examples of the precision among the examples whose score
    is at least as high: :math:`\sum_k (R_k - R_{k-1}) P_k` over the distinct scores,
    without interpolation, as in scikit-learn.

    Args:
      scores: higher for examples that are more likely to have the label, shape
        ``(examples, labels)``.
      present: booleans, shape ``(examples, labels)``.
    """
    return np.array([_Ranking(*pair).value for pair in _columns(scores, present)])


def f1(predicted: np.ndarray, present: np.ndarray) -> np.ndarray:
    """F1 of each label, 2 TP / (2 TP + FP + FN), shape ``(labels,)``.

    Args:
      predicted: booleans, shape ``(examples, labels)``.
      present: booleans, shape ``(examples, labels)``.
    """
    parts, total = _f1_terms(predicted, present)
    return _ratio(parts.sum(axis=0), total.sum(axis=0))


def micro_f1(predicted: np.ndarray, present: np.ndarray) -> float:
    """F1 of all pairs of example and label together; arguments are those of `f1`."""
    parts, total = _f1_terms(predicted, present)
    return float(_ratio(parts.sum(), total.sum()))


class _Ranking:
    """Examples of one label in the order of their scores, equal scores together."""

    def __init__(self, scores: np.ndarray, present: np.ndarray):
        _, group = np.unique(-scores, return_inverse=True)
        self.group, self.present = group, present
        self.own_positives = np.bincount(group, present)
        self.positives = np.cumsum(self.own_positives)
        self.sizes = np.cumsum(np.bincount(group))

    @property
    def value(self) -> float:
        """Average precision."""
        total = self.own_positives @ (self.positives / self.sizes)
        return float(_ratio(total, self.positives[-1]))

    def slopes(self) -> np.ndarray:
        """Derivatives of the average precision in the weights of the examples."""
        # An example counts in the precision at its own score and at all lower ones.
        precision = self.positives / self.sizes
        gained = _from_here_on(self.own_positives / self.sizes)
        lost = _from_here_on(self.own_positives * precision / self.sizes)
        own = precision[self.group] - self.value + gained[self.group]
        slopes = np.where(self.present, own, 0) - lost[self.group]
        return _ratio(slopes, self.positives[-1])


def _from_here_on(values: np.ndarray) -> np.ndarray:
    """Sums of each value and those after it."""
    return np.cumsum(values[::-1])[::-1]


def _precision_slopes(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Derivatives of the average precisions, shape ``(examples, labels)``."""
    found = [_Ranking(*pair).slopes() for pair in _columns(scores, present)]
    return np.stack(found, axis=1)


def _columns(scores: np.ndarray, present: np.ndarray):
    return zip(np.asarray(scores).T, np.asarray(present, bool).T, strict=True)


def _f1_terms(predicted: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, ...]:
    """Numerator 2 TP and denominator 2 TP + FP + FN of F1, for each example."""
    return 2.0 * (predicted & present), predicted.astype(float) + present


def _f1_slopes(parts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Derivatives of F1 in the weights of the examples, ``(examples, labels)``."""
    value = _ratio(parts.sum(axis=0), total.sum(axis=0))
    return _ratio(parts - value * total, total.sum(axis=0))


def _ratio(numerator, denominator) -> np.ndarray:
    """The quotient; NaN where the denominator is 0."""
    denominator = np.asarray(denominator, float)
    return numerator / np.where(denominator > 0, denominator, np.nan)


def _each(values: np.ndarray, slopes: np.ndarray) -> tuple[Estimate, ...]:
    return tuple(_estimate(*pair) for pair in zip(values, slopes.T, strict=True))


def _mean(values: np.ndarray, slopes: np.ndarray) -> Estimate:
    """Mean over the labels that have a value; NaN if none has one."""
    known = ~np.isnan(values)
    if not known.any():
        return _estimate(np.nan, np.full(len(slopes), np.nan))
    return _estimate(values[known].mean(), slopes[:, known].mean(axis=1))


def _estimate(value: float, slopes: np.ndarray) -> Estimate:
    """A value in [0, 1] with the interval of its derivatives."""
    half = _Z * math.sqrt(np.sum(np.square(slopes)))
    low, high = np.clip([value - half, value + half], 0, 1)
    return Estimate(float(value), Interval(float(low), float(high)))
