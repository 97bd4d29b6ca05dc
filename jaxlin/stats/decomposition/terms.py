"""The terms from losses: values, and intervals over paired test examples."""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.stats import variance_components
from jaxlin.stats.comparison import Estimate
from jaxlin.stats.decomposition import measured as losses_of
from jaxlin.stats.decomposition import reference as ends
from jaxlin.stats.decomposition.measured import Measured
from jaxlin.stats.intervals import Interval, proportion_interval
from jaxlin.stats.variance_components import Variance


class Decomposition(NamedTuple):
    """The error of what was trained, in parts that add up to it.

    ``error.value`` is the middle of the reference and the values of the three terms.

    Attributes:
      error: on the test set, as it is: nothing is taken off.
      reference: where the Bayes error is known to lie.
      modelling: best of the class less the middle of the reference; the interval counts
        with both ends of it.
      estimation: best on the sample less best of the class.
      optimisation: what was trained less best on the sample.
      best_of_class: nothing taken off.
      exponent: of the power law through the three sizes of samples; NaN if the errors
        do not fall.
      next_order: what the 1 / n^2 term of the curve would add to the estimation term;
        half of it was added.
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
    """The three terms, each with an interval.

    Where all losses are booleans, intervals are those of zero-one errors: the error of
    one run has Wilson's; a difference of two gets the variance of Agresti and Min, with
    half a pair more in each cell of the table of both; and a mean of several runs or
    the best of the class that of Agresti and Coull, with two successes and two failures
    more (`jaxlin.stats.variance_components`); of several runs they are imagined in
    each. Values stay as observed. So no interval has width 0 because no label of some
    hundred changed.

    Intervals end where a risk cannot be: of the error and the best of the class below
    the reference, for zero-one errors above 1, and of modelling below 0. Where the
    value itself is there, as with a reference above the measured error, that side of
    its interval is left as it is.

    Args:
      measured: losses of one kind.
      reference: two ends between which the Bayes error (or the least mean loss that any
        function has) is known to lie; equal if it is known. One that lies above the
        measured error is no error, since that is but an estimate: the modelling term is
        then negative.
      is_regular: whether the error of the optimum falls with the sample as a + b / n,
        as for a convex penalised class of fixed size. If not, see above.
      confidence: of each interval, in (0, 1).

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    trained, optimum, halves, quarters = losses_of.checked(measured)
    is_zero_one = losses_of.are_booleans(*measured)
    highest = 1.0 if is_zero_one else math.inf
    bayes = ends.checked(reference, at_most=1.0 if is_zero_one else None)
    check.number("confidence", confidence, above=0, below=1)

    best_on_sample = optimum.mean(axis=0)
    gains = halves.mean(axis=1) - optimum  # one row a split
    first = gains.mean(axis=0)
    before = quarters.mean(axis=0) - halves.mean(axis=(0, 1))
    next_order = (2 * first - before) / 3
    exponent = _exponent(first.mean(), before.mean())

    error = _error(trained, confidence=confidence, is_zero_one=is_zero_one)
    lost = trained - optimum
    optimisation = variance_components.mean_of(
        lost.mean(axis=0),
        variance_components.of_runs(lost),
        confidence=confidence,
        added=variance_components.PAIRED if is_zero_one else (),
    )
    of_sample = _of_sample(halves, gains, quarters)
    if is_regular:
        wrong_order = Variance(_beyond_noise(next_order) / 4, math.inf)
        estimation, best, modelling = _by_curve(
            first + next_order / 2,
            best_on_sample,
            [*of_sample, wrong_order],
            reference=bayes,
            confidence=confidence,
            is_zero_one=is_zero_one,
        )
    else:
        estimation, best, modelling = _by_power_law(
            first,
            float(before.mean()),
            best_on_sample,
            of_sample,
            reference=bayes,
            confidence=confidence,
            is_zero_one=is_zero_one,
        )
    least = float(best_on_sample.mean()) - highest
    return Decomposition(
        error=_within(error, bayes.low, highest),
        reference=bayes,
        modelling=_within(modelling, 0.0, highest - bayes.low),
        estimation=_within(estimation, least, math.inf),
        optimisation=_within(optimisation, -highest, highest),
        best_of_class=_within(best, bayes.low, highest),
        exponent=exponent,
        next_order=float(next_order.mean()),
    )


def bootstrap_estimation(
    optimum: Any, resamples: Any, *, confidence: float = 0.95
) -> Estimate:
    r"""The estimation term by bootstrap refits, to compare with `decompose`.

    Refits on n of n examples drawn with replacement are to the optimum of the sample
    what that is to the best of the class: their mean risk exceeds its risk by as much.
    So it is if there are many more examples than parameters; with fewer it is too
    large, since a resample has only 63 % of the examples. Where all losses are
    booleans, the interval is that of a difference of zero-one errors (`decompose`).

    Args:
      optimum: losses of test examples, shape ``(examples,)``.
      resamples: of the refits, shape ``(resamples, examples)``, at least two.
      confidence: of the interval, in (0, 1). It takes the sample to vary as the refits
        do, which is too wide where the loss is the one that was minimised.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    is_zero_one = losses_of.are_booleans(optimum, resamples)
    refits = losses_of.losses("resamples", resamples, rank=2)
    best = losses_of.losses("optimum", optimum, rank=1)
    losses_of.same_examples({"resamples": refits, "optimum": best})
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


def _error(trained, *, confidence, is_zero_one):
    """Of what was trained, by itself."""
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


def _within(estimate: Estimate, low: float, high: float) -> Estimate:
    """Cuts an interval to what can be; not on a side where its value cannot be."""
    value, (start, end) = estimate
    start = max(start, low) if value >= low else start
    end = min(end, high) if value <= high else end
    return Estimate(value, Interval(start, end))


def _by_curve(gain, best_on_sample, others, *, reference, confidence, is_zero_one):
    """Estimation, best of the class and modelling, each around its value.

    Args:
      gain: what an infinite sample would gain on each example.
      best_on_sample: losses of each.
      others: variances that do not come from the test examples.
      reference: where the Bayes error lies.
      confidence: of the intervals.
      is_zero_one: whether all losses are 0 or 1.
    """
    of_pairs, of_share = _added(is_zero_one)
    estimation = variance_components.mean_of(
        gain, *others, confidence=confidence, added=of_pairs
    )
    best = variance_components.mean_of(
        best_on_sample - gain, *others, confidence=confidence, added=of_share
    )
    low, high = best.interval
    modelling = Estimate(
        best.value - ends.middle(reference),
        Interval(low - reference.high, high - reference.low),
    )
    return estimation, best, modelling


def _by_power_law(
    gain, before, best_on_sample, others, *, reference, confidence, is_zero_one
):
    """The same three where the class has no theory.

    Args:
      gain: of n examples over n / 2, on each test example.
      before: mean gain of n / 2 over n / 4.
      best_on_sample: as above.
      others: as above.
      reference: as above.
      confidence: as above.
      is_zero_one: as above.
    """
    of_pairs, of_share = _added(is_zero_one)
    middle = ends.middle(reference)
    most = float(best_on_sample.mean()) - middle
    first = variance_components.mean_of(
        gain, *others, confidence=confidence, added=of_pairs
    )
    value = _power_law(first.value, before, most)
    # All of it, if the best of the class is as good as can be.
    whole = variance_components.mean_of(
        best_on_sample, confidence=confidence, added=of_share
    )
    highest = whole.interval.high - reference.low
    estimation = Estimate(
        value, Interval(min(first.interval.low, value), max(highest, value))
    )
    # The least that is gained leaves the highest error to the class.
    highest = variance_components.mean_of(
        best_on_sample - gain, *others, confidence=confidence, added=of_share
    ).interval.high
    left = most - value
    modelling = Estimate(
        left, Interval(min(0.0, left), max(highest - reference.low, left))
    )
    best = Estimate(
        left + middle,
        Interval(min(reference.low, left + middle), max(highest, left + middle)),
    )
    return estimation, best, modelling


def _added(
    is_zero_one: bool,
) -> tuple[variance_components.Added, variance_components.Added]:
    """Imagined observations of a difference and of a risk by itself."""
    return (
        (variance_components.PAIRED, variance_components.SHARE)
        if is_zero_one
        else ((), ())
    )


def _beyond_noise(values: np.ndarray) -> float:
    """Square of the mean of test examples, less what their number brings to it."""
    return max(0.0, values.mean() ** 2 - variance_components.of_examples(values).value)


def _of_sample(
    halves: np.ndarray, gains: np.ndarray, quarters: np.ndarray
) -> list[Variance]:
    """What of the error of the estimation term comes from the training examples."""
    quadratic, freedom = variance_components.component(gains)
    linear, _ = variance_components.component((halves[:, 0] - halves[:, 1]) / 2)
    gradient = max(0.0, linear - 2 * quadratic)
    refits, more = variance_components.component(quarters)
    return [
        # Of this sample, about which splits of it say how others would vary.
        Variance(quadratic + gradient, freedom),
        # Of means over finitely many splits: of 3 halves / 2 less quarters / 6.
        Variance(2.25 * quadratic / len(gains), freedom),
        Variance(refits / (36 * len(quarters)), more),
    ]


def _exponent(gain: float, before: float) -> float:
    """The c of a + b n^-c through errors at n / 4, n / 2 and n."""
    falls = gain > 0 and before > 0
    return float(np.log2(before / gain)) if falls else math.nan


def _power_law(gain: float, before: float, most: float) -> float:
    """What an infinite sample would gain, by a + b n^-c with c at most 1."""
    if gain <= 0:
        return min(gain, most)
    ratio = min(before / gain, 2.0)
    return most if ratio <= 1 else min(gain / (ratio - 1), most)
