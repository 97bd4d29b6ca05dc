r"""How much of an error is the model's, the sample's, the optimiser's.

.. math::
   R(f) - R_\text{Bayes}
     = \underbrace{R(f_H) - R_\text{Bayes}}_\text{modelling}
     + \underbrace{R(f_n) - R(f_H)}_\text{estimation}
     + \underbrace{R(f) - R(f_n)}_\text{optimisation}

f is what was trained, :math:`f_n` the optimum of the class on the training sample,
:math:`f_H` the optimum of the class on all examples that there could be, each of the
objective that was trained (penalty included, at one l2). R is any loss of one example,
so the same functions serve the surrogate and the zero-one error; of the latter a term
may be below 0, because nobody minimised it. The terms are those of this training
sample, not means over samples.

**What is measured.** Losses of single test examples: of f, of :math:`f_n`, of refits on
random halves of the sample (both halves of each split) and on quarters. All intervals
are over paired test examples.

**Estimation.** Near the optimum :math:`R(f_n) - R(f_H) \approx g^\top \delta + \frac12
\delta^\top Q \delta` with :math:`\delta = f_n - f_H`. The two halves of the sample give
:math:`f_n \pm d`, where d has the distribution of :math:`\delta`. So the mean risk of
the halves less :math:`R(f_n)` is :math:`\frac12 d^\top Q d`, which estimates the term,
and its spread over splits tells how far off this sample may be. Half the difference of
the two halves, :math:`(g + Q \delta)^\top d`, has a variance that exceeds twice that
spread squared by the variance of :math:`g^\top \delta`, which is 0 where g is: for the
objective itself. That is a learning curve :math:`a + b / n` from n / 2 and n. The
quarters give its next term, :math:`c / n^2`, which overshoots as a rule where there are
not many more examples than parameters (so it can be worked out for least squares): half
of it is added, and half of it widens the interval.

Why the curve and not the bracket (training error of the optimum below, test error
above): on average that holds for the objective alone, not for the zero-one error.

**Classes without such a theory** (networks): what is best in the class is known to lie
between that and the reference alone. So the interval reaches from a curve that falls as
1 / n to one that falls so slowly that it ends at the reference; the value is that of a
power law through the three sizes.

  >>> import numpy as np
  >>> from jaxlin import decomposition
  >>> random = np.random.default_rng(0)
  >>> noise = random.uniform(size=2000)
  >>> measured = decomposition.Measured(
  ...     trained=(noise < 0.23)[None], optimum=(noise < 0.22)[None],
  ...     halves=np.broadcast_to(noise < 0.24, (4, 2, 2000)),
  ...     quarters=np.broadcast_to(noise < 0.28, (4, 2000)))
  >>> found = decomposition.decompose(measured, reference=(0.1, 0.1))
  >>> [round(term.value, 2) for term in (found.modelling, found.estimation)]
  [0.1, 0.02]

References:
  P. J. McCarthy. Pseudo-replication: half samples. Review of the International
  Statistical Institute, 1969.
  L. Bottou and O. Bousquet. The tradeoffs of large scale learning. NIPS 2007.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.comparison import Estimate
from jaxlin.intervals import Interval


class Measured(NamedTuple):
    """Losses of single test examples, of one kind; booleans for the zero-one error.

    Attributes:
      trained: of what was trained, shape ``(runs, examples)``; several runs are seeds.
      optimum: of the best on the sample, one a run of ``trained``.
      halves: of refits on both halves of random splits, ``(splits, 2, examples)``, at
        least two splits; of several runs, the same number.
      quarters: of refits on random quarters, shape ``(refits, examples)``.
    """

    trained: Any
    optimum: Any
    halves: Any
    quarters: Any


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


class _Variance(NamedTuple):
    """A variance and the degrees of freedom it was estimated with."""

    value: float
    freedom: float


def decompose(
    measured: Measured,
    *,
    reference: tuple[float, float],
    is_regular: bool = True,
    confidence: float = 0.95,
) -> Decomposition:
    """The three terms, each with an interval.

    Args:
      measured: losses of one kind.
      reference: two ends between which the Bayes error (or the least mean loss that any
        function has) is known to lie; equal if it is known.
      is_regular: whether the error of the optimum falls with the sample as a + b / n,
        as for a convex penalised class of fixed size. If not, see above.
      confidence: of each interval, in (0, 1).

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    trained, optimum, halves, quarters = _checked(measured)
    bayes = _checked_reference(reference)
    check.number("confidence", confidence, above=0, below=1)
    middle = (bayes.low + bayes.high) / 2

    best_on_sample = optimum.mean(axis=0)
    gains = halves.mean(axis=1) - optimum  # one row a split
    first = gains.mean(axis=0)
    before = quarters.mean(axis=0) - halves.mean(axis=(0, 1))
    next_order = (2 * first - before) / 3
    exponent = _exponent(first.mean(), before.mean())

    half = _half_width([_examples(trained.mean(axis=0)), _runs(trained)], confidence)
    error = _around(trained.mean(), half)
    lost = trained - optimum
    half = _half_width([_examples(lost.mean(axis=0)), _runs(lost)], confidence)
    optimisation = _around(lost.mean(), half)

    of_sample = _of_sample(halves, gains, quarters)
    systematic = _Variance(
        max(0.0, next_order.mean() ** 2 - _examples(next_order).value) / 4, math.inf
    )
    if is_regular:
        per_example = first + next_order / 2
        others = [*of_sample, systematic]
        half = _half_width([_examples(per_example), *others], confidence)
        estimation = _around(per_example.mean(), half)
        limits = best_on_sample - per_example
        half = _half_width([_examples(limits), *others], confidence)
        best = _around(limits.mean(), half)
        low, high = best.interval
        modelling = Estimate(
            best.value - middle, Interval(low - bayes.high, high - bayes.low)
        )
    else:
        most = float(best_on_sample.mean()) - middle
        value = _power_law(float(first.mean()), float(before.mean()), most)
        half = _half_width([_examples(first), *of_sample], confidence)
        least = min(float(first.mean()) - half, value)
        estimation = Estimate(value, Interval(least, max(most, value)))
        half = _half_width([_examples(best_on_sample - first), *of_sample], confidence)
        highest = float((best_on_sample - first).mean()) + half
        value = most - value
        modelling = Estimate(
            value,
            Interval(min(0.0, value), max(highest - bayes.low, value)),
        )
        best = Estimate(
            value + middle,
            Interval(min(bayes.low, value + middle), max(highest, value + middle)),
        )
    return Decomposition(
        error=error,
        reference=bayes,
        modelling=modelling,
        estimation=estimation,
        optimisation=optimisation,
        best_of_class=best,
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
    large, since a resample has only 63 % of the examples.

    Args:
      optimum: losses of test examples, shape ``(examples,)``.
      resamples: of the refits, shape ``(resamples, examples)``, at least two.
      confidence: of the interval, in (0, 1). It takes the sample to vary as the refits
        do, which is too wide where the loss is the one that was minimised.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    refits = _losses("resamples", resamples, rank=2)
    best = _losses("optimum", optimum, rank=1)
    _same_examples({"resamples": refits, "optimum": best})
    check.integer("number of resamples", len(refits), at_least=2)
    check.number("confidence", confidence, above=0, below=1)
    differences = refits - best
    of_sample = _runs(differences)
    varying = of_sample._replace(value=of_sample.value * (len(refits) + 1))
    half = _half_width([_examples(differences.mean(axis=0)), varying], confidence)
    return _around(differences.mean(), half)


def least_cross_entropy(error: float, *, num_classes: int) -> float:
    r"""What the conditional entropy of the label is at most, by Fano's inequality.

    .. math:: H(Y | X) \le h(e) + e \log(C - 1)

    in nats, if some classifier is wrong with probability e. So a published error bounds
    the least mean cross-entropy that any function can have, too.

    Args:
      error: e, from 0 to 1 - 1 / C.
      num_classes: C, at least 2.

    Raises:
      ValueError: if an argument is out of range.

    Example:
      >>> print(f"{least_cross_entropy(0.005, num_classes=10):.4f}")
      0.0425

    Reference:
      T. M. Cover and J. A. Thomas. Elements of information theory. Wiley, 2006.
    """
    check.integer("num_classes", num_classes, at_least=2)
    check.number("error", error, at_least=0, at_most=1 - 1 / num_classes)
    if error == 0:
        return 0.0
    entropy = -error * math.log(error) - (1 - error) * math.log1p(-error)
    return entropy + error * math.log(num_classes - 1)


def _of_sample(
    halves: np.ndarray, gains: np.ndarray, quarters: np.ndarray
) -> list[_Variance]:
    """What of the error of the estimation term comes from the training examples."""
    quadratic, freedom = _component(gains)
    linear, _ = _component((halves[:, 0] - halves[:, 1]) / 2)
    gradient = max(0.0, linear - 2 * quadratic)
    refits, more = _component(quarters)
    return [
        # Of this sample, about which splits of it say how others would vary.
        _Variance(quadratic + gradient, freedom),
        # Of means over finitely many splits: of 3 halves / 2 less quarters / 6.
        _Variance(2.25 * quadratic / len(gains), freedom),
        _Variance(refits / (36 * len(quarters)), more),
    ]


def _component(rows: np.ndarray) -> tuple[float, float]:
    """Variance between rows beyond what finitely many examples bring, and its freedom.

    By a two-way analysis of variance without repetition.
    """
    number, size = rows.shape
    if number == 1:
        return 0.0, math.inf
    means = rows.mean(axis=1)
    residuals = rows - means[:, None] - rows.mean(axis=0) + rows.mean()
    noise = np.square(residuals).sum() / ((number - 1) * (size - 1))
    return max(0.0, float(means.var(ddof=1) - noise / size)), number - 1


def _runs(rows: np.ndarray) -> _Variance:
    """Variance of the mean over runs that comes from there being so few."""
    value, freedom = _component(rows)
    return _Variance(value / len(rows), freedom)


def _examples(values: np.ndarray) -> _Variance:
    """Variance of a mean over test examples."""
    return _Variance(float(values.var(ddof=1)) / len(values), len(values) - 1)


def _half_width(parts: list[_Variance], confidence: float) -> float:
    """Half the width of the interval, by Welch and Satterthwaite."""
    from scipy import stats

    total = sum(part.value for part in parts)
    if total == 0:
        return 0.0
    by_freedom = sum(part.value**2 / part.freedom for part in parts)
    freedom = total**2 / by_freedom if by_freedom else math.inf
    quantile = stats.t.ppf((1 + confidence) / 2, freedom)
    return float(quantile * math.sqrt(total))


def _around(value: Any, half: float) -> Estimate:
    value = float(value)
    return Estimate(value, Interval(value - half, value + half))


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


def _checked(measured: Measured) -> list[np.ndarray]:
    ranks = {"trained": 2, "optimum": 2, "halves": 3, "quarters": 2}
    found = {
        name: _losses(name, getattr(measured, name), rank=rank)
        for name, rank in ranks.items()
    }
    _same_examples(found)
    runs, splits = len(found["trained"]), len(found["halves"])
    if len(found["optimum"]) != runs:
        raise ValueError(
            f"optimum must have a row for each of {runs} runs of trained, got "
            f"{len(found['optimum'])}"
        )
    if found["halves"].shape[1] != 2 or splits < 2 or runs not in (1, splits):
        raise ValueError(
            "halves must have shape (splits, 2, examples) with at least 2 splits, and "
            f"as many as there are runs if there are several, got "
            f"{found['halves'].shape} for {runs} runs"
        )
    return list(found.values())


def _losses(name: str, value: Any, *, rank: int) -> np.ndarray:
    array = np.asarray(value)
    if array.ndim != rank or 0 in array.shape:
        raise ValueError(
            f"{name} must have rank {rank}, examples last, and not be empty, got shape "
            f"{array.shape}"
        )
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} must be numbers, got {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be finite, got {array[~np.isfinite(array)][0]}; a loss that "
            "is infinite has no mean"
        )
    return array


def _same_examples(arrays: dict[str, np.ndarray]) -> None:
    sizes = {name: array.shape[-1] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1 or min(sizes.values()) < 2:
        raise ValueError(
            f"losses must be of the same test examples, at least two, got {sizes}"
        )


def _checked_reference(reference: Any) -> Interval:
    low, high = (
        check.number(f"reference[{i}]", end, at_least=0)
        for i, end in enumerate(reference)
    )
    if low > high:
        raise ValueError(
            f"reference must be a lower and an upper end, got {low} and {high}"
        )
    return Interval(low, high)
