"""Bootstrap of a fit: refits to resampled examples or labels, in one sweep.

>>> import jax
>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> from jaxlin.sensitivity import fit_bootstrap
>>> rows = np.random.default_rng(0).normal(size=(300, 2))
>>> names = np.where(rows[:, 0] + np.cos(range(300)) > 0, "yes", "no")
>>> problem = jaxlin.problem(rows, names)
>>> fit = jaxlin.fit(problem, loss=losses.softmax_cross_entropy, l2=1e-3)
>>> found = fit_bootstrap.bootstrap(
...     fit, problem, key=jax.random.key(0), num_resamples=20)
>>> found.coefficients(reference="no").standard_errors.shape, found.num_unproven
((1, 3), 0)

All fits are certified. The tables are those of `jaxlin.covariance`, with percentile
intervals and without tests.

Reference:
  B. Efron and R. J. Tibshirani. An introduction to the bootstrap. Chapman and Hall,
  1993.
"""

from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, predictions, problems
from jaxlin.losses import conjugates
from jaxlin.objective import row_blocks
from jaxlin.problems import Problem, fit_hessian, takes_problem
from jaxlin.problems.target_sets import TargetSets
from jaxlin.selection import grids, resampling, sweep
from jaxlin.sensitivity import sampling_checks
from jaxlin.sensitivity.bootstrap_result import Bootstrap, Kind
from jaxlin.solvers import stopping
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array

# Largest error of a refit, in standard errors, by its gap.
_LARGEST_ERROR = 0.05


@takes_problem
def bootstrap(
    fit: Fit,
    problem: Problem,
    *,
    key: Array,
    kind: Kind = "nonparametric",
    num_resamples: int = 1000,
    groups: ArrayLike | None = None,
    stop: Stop | None = None,
) -> Bootstrap:
    """Refits a model to resamples of its examples or of their labels.

    Args:
      fit: a fit of one of the six losses with a certificate.
      problem: the examples that it was fitted to, dense rows in memory. The
        normalisation stays as it is.
      key: a `jax.random.key`; a larger ``num_resamples`` keeps the first resamples.
      kind: ``"nonparametric"`` draws the rows of positive weight, or their groups, with
        replacement; the weights of a problem multiply the counts. ``"parametric"``
        draws labels from the probabilities of a fit of softmax; weights then are
        frequencies, whole numbers.
      num_resamples: number of fits, at least 2. Standard errors need about 200, the
        ends of intervals about 1,000.
      groups: group of each example, integers or text, shape ``(examples,)``, which
        are drawn whole; None draws rows.
      stop: stopping criterion of each fit. None asks for a gap that lets a fit of a
        smooth loss be off by at most .05 standard errors, and takes the default for
        others.

    Returns:
      The fits, with tables of coefficients, contrasts and probabilities.

    Raises:
      ValueError: that names the argument, the rule and the value; also if a resample
        has no example of some class, for a fit with a free bias, which has no optimum
        then.
    """
    check.choice("kind", kind, ("nonparametric", "parametric"))
    fit_hessian.check_same(predictions.check_fit(fit), problem, use="bootstrap")
    check.key("key", key)
    check.integer("num_resamples", num_resamples, at_least=2)
    options: Any = {
        "losses": (fit.loss,),
        "l2s": (fit.l2,),
        "loss_arguments": {name: (v,) for name, v in fit.loss_arguments.items()},
        "bias": fit.bias,
    }
    if kind == "parametric":
        _check_parametric(fit, problem, groups)
        problem = _repeated(problem)
        sets = _drawn_labels(key, fit, problem, num_resamples)
        models = grids.product(**options, num_target_sets=num_resamples)
        chosen = _stop(fit, problem) if stop is None else stop
        fits = sweep.fit_models(problem, models, target_sets=sets, stop=chosen)
        return Bootstrap(fit, kind, fits, None)
    weights, num_groups = _drawn_weights(key, fit, problem, num_resamples, groups)
    models = grids.product(**options, num_weight_sets=num_resamples)
    chosen = _stop(fit, problem) if stop is None else stop
    fits = sweep.fit_models(problem, models, weight_sets=weights, stop=chosen)
    return Bootstrap(fit, kind, fits, num_groups)


def _stop(fit: Fit, problem: Problem) -> Stop:
    """Stopping criterion for errors that are small beside the standard errors.

    Parameters with a gap g to the optimum are off by at most sqrt(2 n g) standard
    errors, to first order and where l2 is small; n is the effective sample size.
    """
    if not conjugates.of(fit.loss).smooth:  # type: ignore[arg-type]
        return stopping.DEFAULT
    weights = sampling_checks.weights_of(problem)
    # Of Kish: the number of rows of equal weight, whatever the scale of the weights.
    num_examples = weights.sum() ** 2 / np.sum(weights**2)
    gap = _LARGEST_ERROR**2 / (2 * num_examples)
    objective = max(fit.certificate.primal, gap)
    return Stop(min(stopping.DEFAULT.relative_gap, gap / objective))


def _check_parametric(fit: Fit, problem: Problem, groups: ArrayLike | None) -> None:
    use = 'kind="parametric"'
    sampling_checks.check_likelihood(fit, use=use)
    sampling_checks.check_frequencies(sampling_checks.weights_of(problem), use=use)
    if groups is not None:
        raise ValueError(
            f"groups must be None for {use}, which draws each label by itself; take "
            'kind="nonparametric"'
        )
    if problem.rank == 2:
        raise ValueError(
            f"labels must be integers (examples,) for {use}, got distributions; take "
            'kind="nonparametric"'
        )


def _repeated(problem: Problem) -> Problem:
    """Problem with each row as often as its weight says."""
    rows, codes, weights = problem.whole_rows
    if weights is None:
        return problem
    order = np.repeat(np.arange(len(codes)), np.asarray(weights, int))
    return problems.problem(
        rows[order],
        problem.classes[np.asarray(codes)[order]],
        normalization=problem.normalization,
        classes=problem.classes,
    )


def _drawn_labels(
    key: Array, fit: Fit, problem: Problem, num_resamples: int
) -> TargetSets:
    model = fit._replace(temperature=1.0, feature_names=None)
    found = predictions.probabilities(model, problem.whole_rows.features)
    # The last class takes what rounding leaves.
    ends = np.cumsum(found, axis=1)[:, :-1]
    codes = np.empty((len(found), num_resamples), np.int32)
    for number in range(num_resamples):
        own_key = jax.random.fold_in(key, number)
        drawn = np.asarray(jax.random.uniform(own_key, (len(found),)))
        codes[:, number] = np.sum(drawn[:, None] >= ends, axis=1)
        counts = np.bincount(codes[:, number], minlength=found.shape[1])
        _check_every_class(counts, fit, number)
    names = tuple(f"resample {number}" for number in range(num_resamples))
    return TargetSets(codes, names)


def _drawn_weights(
    key: Array,
    fit: Fit,
    problem: Problem,
    num_resamples: int,
    groups: ArrayLike | None,
) -> tuple[np.ndarray, int | None]:
    """Counts of all rows, shape ``(resamples, examples)``; number of groups or None."""
    weights = sampling_checks.weights_of(problem)
    own = np.arange(len(weights))
    if groups is not None:
        own = sampling_checks.group_codes(groups, weights)
    is_used = weights > 0
    units, codes = np.unique(own[is_used], return_inverse=True)
    counts = resampling.bootstrap(key, len(units), num_resamples=num_resamples)
    sets = np.zeros((num_resamples, len(weights)), np.float32)
    sets[:, is_used] = counts[:, codes]
    targets = problem.whole_rows.targets
    for number, one in enumerate(sets):
        found = row_blocks.class_weights(
            targets, one * weights, num_classes=problem.num_classes
        )
        _check_every_class(found, fit, number)
    return sets, None if groups is None else len(units)


def _check_every_class(found: np.ndarray, fit: Fit, number: int) -> None:
    # A free bias of a class without examples has no optimum.
    if fit.bias == "free" and not (found > 0).all():
        absent = fit.classes[int(np.argmin(found))]
        raise ValueError(
            "problem must have enough examples of each class for a bootstrap of a fit "
            f"with a free bias, got none of class {absent!s} in resample {number}; "
            'leave the class out, fit with bias="penalized", or take jaxlin.covariance'
        )
