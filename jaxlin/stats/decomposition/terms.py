"""Terms of the decomposition: values, and intervals over paired test examples."""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.stats import variance_components
from jaxlin.stats.comparison import Estimate
from jaxlin.stats.decomposition import measured as measured_losses
from jaxlin.stats.decomposition import reference as bayes_reference
from jaxlin.stats.decomposition.measured import Measured
from jaxlin.stats.intervals import Interval, proportion_interval
from jaxlin.stats.variance_components import Variance


class Decomposition(NamedTuple):
    """The error of the trained model and the terms that add up to it.

    ``error.value`` is the sum of the midpoint of the reference and of the values of the
    three terms.

    Attributes:
      error: risk of the trained model on the test set.
      reference: interval in which the Bayes error is known to lie.
      modelling: risk of the best of the class minus the midpoint of the reference; its
        interval allows for both ends of the reference.
      estimation: risk of the optimum on the sample minus that of the best of the class.
      optimisation: risk of the trained model minus that of the optimum on the sample.
      best_of_class: risk of the best of the class.
      exponent: exponent of the power law through the three sample sizes; NaN if the
        errors do not fall.
      next_order: contribution of the 1 / n^2 term of the curve to the estimation term,
        half of which was added.
    """

    error: Estimate
    reference: Interval
    modelling: Estimate
    estimation: Estimate
    optimisation: Estimate
    best_of_class: Estimate
    exponent: float
    next_order: float


def decompose(
    measured: Measured,
    *,
    reference: tuple[float, float],
    is_regular: bool = True,
    confidence: float = 0.95,
) -> Decomposition:
    """Modelling, estimation and optimisation error, each with a confidence interval.

    Where all losses are booleans, the intervals are those of zero-one errors. The error
    of one run has the Wilson interval. A difference of two errors has the variance of
    Agresti and Min, with half a pair added to each cell of the 2 x 2 table. A mean of
    several runs and the best of the class have the variance of Agresti and Coull, with
    two successes and two failures added (`jaxlin.stats.variance_components`), to each
    run if there are several. Values stay as observed. Thus no interval has width 0
    merely because none of a few hundred labels changed.

    Intervals are clipped to the possible range: the error and the best of the class to
    at least the reference, zero-one errors to at most 1, and modelling to at least 0.
    Where the value itself is outside, as with a reference above the measured error,
    that side of its interval is not clipped.

    Args:
      measured: losses of one kind per test example.
      reference: lower and upper bound of the Bayes error (or of the least mean loss of
        any function); equal if it is known. A reference above the measured error, which
        is only an estimate, is accepted: the modelling term is then negative.
      is_regular: whether the error of the optimum falls with the sample size n as
        a + b / n, as for a convex penalised class of fixed size. If not, the split
        between modelling and estimation is bounded by a power law
        (`jaxlin.stats.decomposition`).
      confidence: coverage of each interval, in (0, 1).

    Raises:
      ValueError: if a field of ``measured``, an end of ``reference`` or ``confidence``
        is not valid.
    """
    trained, optimum, halves, quarters = measured_losses.as_arrays(measured)
    is_zero_one = measured_losses.are_booleans(*measured)
    highest = 1.0 if is_zero_one else math.inf
    bayes = bayes_reference.as_interval(reference, at_most=1.0 if is_zero_one else None)
    check.number("confidence", confidence, above=0, below=1)

    best_on_sample = optimum.mean(axis=0)
    gains = halves.mean(axis=1) - optimum  # one row per split
    first = gains.mean(axis=0)
    before = quarters.mean(axis=0) - halves.mean(axis=(0, 1))
    next_order = (2 * first - before) / 3
    exponent = _exponent(first.mean(), before.mean())

    settings = {"confidence": confidence, "is_zero_one": is_zero_one}
    error = _error_estimate(trained, **settings)
    optimisation = _optimisation(trained - optimum, **settings)
    others = _sample_variances(halves, gains, quarters)
    if is_regular:
        gain = first + next_order / 2
        others.append(Variance(_squared_mean(next_order) / 4, math.inf))
        estimation, best, modelling = _by_curve(
            gain, best_on_sample, others, reference=bayes, **settings
        )
    else:
        mean_before = float(before.mean())
        estimation, best, modelling = _by_power_law(
            first, mean_before, best_on_sample, others, reference=bayes, **settings
        )
    least = float(best_on_sample.mean()) - highest
    return Decomposition(
        error=_clipped(error, bayes.low, highest),
        reference=bayes,
        modelling=_clipped(modelling, 0.0, highest - bayes.low),
        estimation=_clipped(estimation, least, math.inf),
        optimisation=_clipped(optimisation, -highest, highest),
        best_of_class=_clipped(best, bayes.low, highest),
        exponent=exponent,
        next_order=float(next_order.mean()),
    )


def bootstrap_estimation(
    optimum: Any, resamples: Any, *, confidence: float = 0.95
) -> Estimate:
    r"""Estimation term from bootstrap refits, for comparison with `decompose`.

    Refits on n of n examples drawn with replacement relate to the optimum on the sample
    as that optimum relates to the best of the class: the excess of their mean risk over
    its risk estimates the term. This holds with many more examples than parameters;
    with fewer the estimate is too large, since a resample has only 63 % of the
    examples. Where all losses are booleans, the interval is that of a difference of
    zero-one errors (`decompose`).

    Args:
      optimum: losses of the optimum per test example, shape ``(examples,)``.
      resamples: losses of the refits, shape ``(resamples, examples)``, at least two.
      confidence: coverage of the interval, in (0, 1). The interval assumes that samples
        vary as the refits do, and is too wide for the loss that was minimised.

    Raises:
      ValueError: if losses are not finite, their shapes do not agree, or ``confidence``
        is out of range.
    """
    is_zero_one = measured_losses.are_booleans(optimum, resamples)
    refits = measured_losses.losses("resamples", resamples, rank=2)
    best = measured_losses.losses("optimum", optimum, rank=1)
    measured_losses.same_examples({"resamples": refits, "optimum": best})
    check.integer("number of resamples", len(refits), at_least=2)
    check.number("confidence", confidence, above=0, below=1)
    differences = refits - best
    of_mean = variance_components.of_runs(differences)
    varying = of_mean._replace(value=of_mean.value * (len(refits) + 1))
    return variance_components.mean_of(
        differences.mean(axis=0),
        varying,
        confidence=confidence,
        added=variance_components.PAIRED if is_zero_one else (),
    )


def _error_estimate(trained, *, confidence, is_zero_one):
    """Risk of the trained model with its interval."""
    if is_zero_one and len(trained) == 1:
        wrong, size = int(trained.sum()), trained.shape[1]
        interval = proportion_interval(wrong, size, confidence=confidence)
        return Estimate(float(trained.mean()), interval)
    return variance_components.mean_of(
        trained.mean(axis=0),
        variance_components.of_runs(trained),
        confidence=confidence,
        added=variance_components.SHARE if is_zero_one else (),
    )


def _optimisation(excess, *, confidence, is_zero_one):
    """Excess risk of the trained model over the optimum on the sample.

    Args:
      excess: loss of the trained model minus that of the optimum, shape
        ``(runs, examples)``.
      confidence: coverage of the interval, in (0, 1).
      is_zero_one: whether all losses are 0 or 1.
    """
    return variance_components.mean_of(
        excess.mean(axis=0),
        variance_components.of_runs(excess),
        confidence=confidence,
        added=variance_components.PAIRED if is_zero_one else (),
    )


def _clipped(estimate: Estimate, low: float, high: float) -> Estimate:
    """Clips an interval to [low, high], except on a side where its value is outside."""
    value, (start, end) = estimate
    start = max(start, low) if value >= low else start
    end = min(end, high) if value <= high else end
    return Estimate(value, Interval(start, end))


def _by_curve(gain, best_on_sample, others, *, reference, confidence, is_zero_one):
    """Estimation, best of the class and modelling by the learning curve.

    Args:
      gain: reduction of the loss by an infinite sample, shape ``(examples,)``.
      best_on_sample: losses of the optimum on the sample, shape ``(examples,)``.
      others: variances that do not come from the test examples.
      reference: interval of the Bayes error.
      confidence: coverage of the intervals, in (0, 1).
      is_zero_one: whether all losses are 0 or 1.
    """
    of_pairs, of_share = _pseudo_observations(is_zero_one)
    estimation = variance_components.mean_of(
        gain, *others, confidence=confidence, added=of_pairs
    )
    best = variance_components.mean_of(
        best_on_sample - gain, *others, confidence=confidence, added=of_share
    )
    low, high = best.interval
    modelling = Estimate(
        best.value - bayes_reference.middle(reference),
        Interval(low - reference.high, high - reference.low),
    )
    return estimation, best, modelling


def _by_power_law(
    gain, before, best_on_sample, others, *, reference, confidence, is_zero_one
):
    """Estimation, best of the class and modelling by a power law.

    Args:
      gain: reduction of the loss from n / 2 to n examples, shape ``(examples,)``.
      before: mean reduction of the loss from n / 4 to n / 2 examples.
      best_on_sample: losses of the optimum on the sample, shape ``(examples,)``.
      others: variances that do not come from the test examples.
      reference: interval of the Bayes error.
      confidence: coverage of the intervals, in (0, 1).
      is_zero_one: whether all losses are 0 or 1.
    """
    of_pairs, of_share = _pseudo_observations(is_zero_one)
    middle = bayes_reference.middle(reference)
    largest = float(best_on_sample.mean()) - middle
    first = variance_components.mean_of(
        gain, *others, confidence=confidence, added=of_pairs
    )
    value = _power_law(first.value, before, largest)
    # All of the excess, if the best of the class reaches the Bayes error.
    whole = variance_components.mean_of(
        best_on_sample, confidence=confidence, added=of_share
    )
    highest = whole.interval.high - reference.low
    estimation = Estimate(
        value, Interval(min(first.interval.low, value), max(highest, value))
    )
    # The smallest gain leaves the largest error to the class.
    highest = variance_components.mean_of(
        best_on_sample - gain, *others, confidence=confidence, added=of_share
    ).interval.high
    remaining = largest - value
    modelling = Estimate(
        remaining,
        Interval(min(0.0, remaining), max(highest - reference.low, remaining)),
    )
    best = Estimate(
        remaining + middle,
        Interval(
            min(reference.low, remaining + middle), max(highest, remaining + middle)
        ),
    )
    return estimation, best, modelling


def _pseudo_observations(
    is_zero_one: bool,
) -> tuple[
    variance_components.PseudoObservations, variance_components.PseudoObservations
]:
    """Pseudo-observations for a difference and for a single risk."""
    return (
        (variance_components.PAIRED, variance_components.SHARE)
        if is_zero_one
        else ((), ())
    )


def _squared_mean(values: np.ndarray) -> float:
    """Unbiased estimate of the squared mean over examples, floored at 0."""
    return max(0.0, values.mean() ** 2 - variance_components.of_examples(values).value)


def _sample_variances(
    halves: np.ndarray, gains: np.ndarray, quarters: np.ndarray
) -> list[Variance]:
    """Variances of the estimation term that come from the training examples."""
    quadratic, freedom = variance_components.component(gains)
    linear, _ = variance_components.component((halves[:, 0] - halves[:, 1]) / 2)
    gradient = max(0.0, linear - 2 * quadratic)
    refits, more = variance_components.component(quarters)
    return [
        # Variance over training samples, estimated from splits of this one.
        Variance(quadratic + gradient, freedom),
        # Variance from finitely many splits: of 3 halves / 2 minus quarters / 6.
        Variance(2.25 * quadratic / len(gains), freedom),
        Variance(refits / (36 * len(quarters)), more),
    ]


def _exponent(gain: float, before: float) -> float:
    """Exponent c of a + b n^-c through the errors at n / 4, n / 2 and n."""
    falls = gain > 0 and before > 0
    return float(np.log2(before / gain)) if falls else math.nan


def _power_law(gain: float, before: float, largest: float) -> float:
    """Gain of an infinite sample by a + b n^-c with c at most 1."""
    if gain <= 0:
        return min(gain, largest)
    ratio = min(before / gain, 2.0)
    return largest if ratio <= 1 else min(gain / (ratio - 1), largest)
