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
of the sampling error alone, and too narrow for a label with few positive examples.
Where all are right, or none, the derivatives are 0, and Wilson's interval takes their
place: of the positive examples for average precision; for F1, which is 2 J / (1 + J),
of the share J = TP / (TP + FP + FN). Average precision of few positive examples is
biased upwards, which a mean over labels does not remove: with scores N(0, 1), 1.5
higher for positives, by .08 at 5 of them and .01 at 100, so that the interval of the
mean over 50 labels holds the true value in 3 % and 71 % of cases.

Reference:
  B. Efron. Nonparametric standard errors and confidence intervals. Canadian Journal of
  Statistics, 1981.
"""

import math
import statistics
from typing import NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.stats import intervals
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
      present: booleans, or 0 and 1, shape ``(examples, labels)``.

    Raises:
      ValueError: if a shape is another, a score is not finite or an indicator not 0 or
        1.
    """
    scores, present = _checked_scores(scores, present)
    predicted = scores > 0
    rankings = [_Ranking(*pair) for pair in zip(scores.T, present.T, strict=True)]
    precision_slopes = np.stack([one.slopes() for one in rankings], axis=1)
    precisions = [
        _estimate(one.value, slopes, _of_share(one.value, one.positives[-1]))
        for one, slopes in zip(rankings, precision_slopes.T, strict=True)
    ]
    parts, total = _f1_terms(predicted, present)
    f1_slopes = _f1_slopes(parts, total)
    f1s = [
        _estimate(value, slopes, _of_f1(value, count))
        for value, slopes, count in zip(
            _f1(parts, total),
            f1_slopes.T,
            np.count_nonzero(total, axis=0),
            strict=True,
        )
    ]
    parts, total = (each.sum(axis=1, keepdims=True) for each in (parts, total))
    micro = _f1(parts, total)[0]
    return MultilabelMetrics(
        average_precision=tuple(precisions),
        f1=tuple(f1s),
        mean_average_precision=_mean(precisions, precision_slopes),
        micro_f1=_estimate(
            micro,
            _f1_slopes(parts, total)[:, 0],
            # Labels of an example may all be wrong together.
            _of_f1(micro, int(np.count_nonzero(total))),
        ),
        macro_f1=_mean(f1s, f1_slopes),
    )


def average_precision(scores: np.ndarray, present: np.ndarray) -> np.ndarray:
    r"""Average precision of each label, shape ``(labels,)``.

    The mean over the positive examples of the precision among the examples whose score
    is at least as high: :math:`\sum_k (R_k - R_{k-1}) P_k` over the distinct scores,
    without interpolation, as in scikit-learn.

    Args:
      scores: higher for examples that are more likely to have the label, shape
        ``(examples, labels)``; finite.
      present: booleans, or 0 and 1, shape ``(examples, labels)``.

    Raises:
      ValueError: as `measure`.
    """
    columns = (each.T for each in _checked_scores(scores, present))
    return np.array([_Ranking(*pair).value for pair in zip(*columns, strict=True)])


def f1(predicted: np.ndarray, present: np.ndarray) -> np.ndarray:
    """F1 of each label, 2 TP / (2 TP + FP + FN), shape ``(labels,)``.

    Args:
      predicted: booleans, or 0 and 1, shape ``(examples, labels)``.
      present: likewise, same shape.

    Raises:
      ValueError: as `measure`.
    """
    return _f1(*_f1_terms(*_checked_predictions(predicted, present)))


def micro_f1(predicted: np.ndarray, present: np.ndarray) -> float:
    """F1 of all pairs of example and label; arguments and errors are those of `f1`."""
    parts, total = _f1_terms(*_checked_predictions(predicted, present))
    return float(_ratio(parts.sum(), total.sum()))


def _checked_scores(
    scores: np.ndarray, present: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finite scores, and booleans of the same shape."""
    present = check.indicators("present", present)
    _check_shape("scores", scores, present.shape)
    return check.features("scores", scores), present == 1


def _checked_predictions(
    predicted: np.ndarray, present: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Booleans of the same shape."""
    present = check.indicators("present", present)
    _check_shape("predicted", predicted, present.shape)
    return check.indicators("predicted", predicted) == 1, present == 1


def _check_shape(name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raises a ValueError for an array of another shape than that of present."""
    if np.shape(value) != shape:
        raise ValueError(
            f"{name} must have the shape of present, {shape}, got {np.shape(value)}; "
            "give one row per example and one column per label"
        )


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


def _f1_terms(predicted: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, ...]:
    """Numerator 2 TP and denominator 2 TP + FP + FN of F1, for each example."""
    return 2.0 * (predicted & present), predicted.astype(float) + present


def _f1(parts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """F1 of each label, from its terms."""
    return _ratio(parts.sum(axis=0), total.sum(axis=0))


def _f1_slopes(parts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Derivatives of F1 in the weights of the examples, ``(examples, labels)``."""
    value = _f1(parts, total)
    return _ratio(parts - value * total, total.sum(axis=0))


def _ratio(numerator, denominator) -> np.ndarray:
    """The quotient; NaN where the denominator is 0."""
    denominator = np.asarray(denominator, float)
    return numerator / np.where(denominator > 0, denominator, np.nan)


def _estimate(value: float, slopes: np.ndarray, without_width: Interval) -> Estimate:
    """A value in [0, 1] with the interval of its derivatives, or another if all are 0.

    Args:
      value: value of the metric.
      slopes: derivatives in the weights of the examples, shape ``(examples,)``.
      without_width: interval where all derivatives are 0.
    """
    half = _Z * math.sqrt(np.sum(np.square(slopes)))
    if half == 0:
        return Estimate(float(value), without_width)
    low, high = np.clip([value - half, value + half], 0, 1)
    return Estimate(float(value), Interval(float(low), float(high)))


def _of_share(value: float, trials: int) -> Interval:
    """Wilson's interval where all trials succeed or all fail; NaN elsewhere."""
    if trials == 0 or value not in (0, 1):
        return Interval(math.nan, math.nan)
    return intervals.proportion_interval(int(value * trials), int(trials))


def _of_f1(value: float, trials: int) -> Interval:
    """Interval of an F1 of 0 or 1, from that of the share J = F1 / (2 - F1)."""
    low, high = (2 * share / (1 + share) for share in _of_share(value, trials))
    return Interval(low, high)


def _mean(estimates: list[Estimate], slopes: np.ndarray) -> Estimate:
    """Mean over the labels that have a value; NaN if none has one.

    Labels without derivatives widen the interval by their own: as if all of them were
    wrong together.
    """
    values = np.array([one.value for one in estimates])
    known = ~np.isnan(values)
    if not known.any():
        return Estimate(math.nan, Interval(math.nan, math.nan))
    value, ends = values[known].mean(), np.array([one.interval for one in estimates])
    half = _Z * math.sqrt(np.sum(np.square(slopes[:, known].mean(axis=1))))
    is_flat = (slopes[:, known] == 0).all(axis=0)
    beyond = is_flat[:, None] * (ends[known] - values[known, None])
    low, high = np.clip(value + [-half, half] + beyond.mean(axis=0), 0, 1)
    return Estimate(float(value), Interval(float(low), float(high)))
