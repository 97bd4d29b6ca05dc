"""Leave-one-out: scores of each example by the model that was fitted without it.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(200, 3))
>>> names = np.where(rows[:, 0] > 0, "right", "left")
>>> problem = jaxlin.problem(rows, names)
>>> fit = jaxlin.fit(problem, loss=losses.softmax_cross_entropy, l2=1e-2)
>>> found = jaxlin.leave_one_out(fit, problem)
>>> found.scores.shape, bool(found.errors.max() < 1e-9)
((200, 2), True)
>>> print(found.accuracy.value == np.mean(found.labels == names))
True
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, losses, objective, predictions, problems
from jaxlin.check.diagnosis import counted
from jaxlin.linear import Bias
from jaxlin.problems import Problem, fit_hessian
from jaxlin.sensitivity import kronecker, left_out, refits, sampling_checks
from jaxlin.sensitivity.left_out import LeftOut
from jaxlin.sensitivity.refits import Refits
from jaxlin.solvers import hessian_system
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.stats import estimates
from jaxlin.stats.comparison import Estimate
from jaxlin.typing import Loss

# Largest number of examples squared times unknowns with exact optima by default: 30 s
# on two cores.
_MAX_PRODUCTS = 5e10
# Relative to the largest score: an example with a larger bound is fitted anew.
_LARGEST_ERROR = 1e-6
# Refits by default where errors have no bound.
_NUM_REFITS = 20


class LeaveOneOut(NamedTuple):
    """Predictions of each example by the model fitted without it.

    Attributes:
      scores: scores of each example, shape ``(examples, classes)``.
      losses: its loss, shape ``(examples,)``.
      labels: its predicted label, of the kind given to the fit, shape ``(examples,)``.
      errors: bounds on the error of each example's scores, up to a shift of all of
        them, shape ``(examples,)``; infinite where none is known.
      is_proven: whether the bound proves the label, shape ``(examples,)``; False where
        there is no bound.
      is_correct: whether the label is that of the example, shape ``(examples,)``; for
        distributions, whether it is the likeliest.
      example_weights: weights of the examples, or None for all ones.
      refits: certified refits of some examples; none of them where errors are bounded.
    """

    scores: np.ndarray
    losses: np.ndarray
    labels: np.ndarray
    errors: np.ndarray
    is_proven: np.ndarray
    is_correct: np.ndarray
    example_weights: np.ndarray | None
    refits: Refits

    @property
    def accuracy(self) -> Estimate:
        """Share of correct labels among examples of positive weight, with interval.

        The interval is that of independent examples; the models share nearly all rows.
        """
        return estimates.share(self.is_correct[self._counts])

    @property
    def loss(self) -> Estimate:
        """Unweighted mean loss of examples of positive weight, with interval."""
        return estimates.mean(self.losses[self._counts])

    @property
    def _counts(self) -> np.ndarray:
        if self.example_weights is None:
            return np.ones(len(self.losses), bool)
        return np.asarray(self.example_weights) > 0

    def __str__(self) -> str:
        low, high = (100 * end for end in self.accuracy.interval)
        found = (
            f"leave-one-out accuracy {100 * self.accuracy.value:.2f} % "
            f"[{low:.2f}, {high:.2f}] of {counted(len(self.losses), 'example')}"
        )
        if np.isfinite(self.errors).any():
            found += f", {100 * np.mean(self.is_proven):.1f} % of labels proven"
        return f"{found}; {self.refits}" if len(self.refits.examples) else found


@problems.takes_problem
def leave_one_out(
    fit: Fit,
    problem: Problem,
    *,
    groups: ArrayLike | None = None,
    exact: bool | None = None,
    num_refits: int | None = None,
    key: Any = None,
) -> LeaveOneOut:
    """Predictions of each example by the model fitted without it.

    That model is `jaxlin.fit` of the same settings with the example's weight 0: the
    mean loss of the others plus the same penalty. Where the Hessian is factorised (up
    to 6,000 weights and biases), Newton steps lead to each of these models, and their
    errors are bounded; an example whose steps do not converge is fitted anew. For many
    examples one Newton step is taken, whose error is of second order. Larger
    problems have one step with an approximate Hessian (`jaxlin.sensitivity.kronecker`).
    With ``groups`` an example is predicted by the model without its whole group, which
    is fitted anew, one certified fit a group.

    Args:
      fit: a fit of ``problem`` with softmax, cross-entropy or the squared hinge. The
        smaller its gap, the better: 1e-6 or less for large problems.
      problem: the examples that were fitted, in memory.
      groups: group of each example, integers or text, shape ``(examples,)``; None makes
        each example its own.
      exact: whether Newton steps go on until the bounds are rounding errors. None does
        so where that takes less than about half a minute. True is refused where the
        Hessian is not factorised.
      num_refits: number of examples, drawn at random, that are fitted anew with a
        certificate and compared. None is 0 with exact steps and bounds, which a free
        bias of the squared hinge has not, else 20. None or 0 with groups.
      key: draws the examples to refit; None is ``jax.random.key(0)``.

    Raises:
      ValueError: that names the argument, the rule and the value; among others for a
        hinge; see `jaxlin.sensitivity.support`.
    """
    predictions.check_fit(fit)
    fit_hessian.check(fit, problem, use="leave_one_out")
    _check_classes(fit, problem)
    weights = problem.whole_rows.example_weights
    is_square = fit.loss is losses.weston_watkins_squared_hinge
    has_bounds = not (is_square and fit.bias == Bias.FREE.value)
    is_dense = hessian_system.is_dense(*np.shape(fit.params.weights))
    if exact and not is_dense:
        raise ValueError(
            "exact must be False or None where the Hessian is not factorised, above "
            f"{hessian_system.MAX_DENSE:,} weights and biases, got True for "
            f"{np.size(fit.params.weights):,} weights; raise num_refits instead"
        )
    if groups is not None and (exact or num_refits):
        raise ValueError(
            "exact and num_refits must be left out with groups, whose models are all "
            f"fitted anew, got exact={exact} and num_refits={num_refits}"
        )
    if exact is None:
        size = problem.num_examples**2 * np.size(fit.params.weights)
        exact = groups is None and is_dense and size <= _MAX_PRODUCTS
    if num_refits is None:
        num_refits = min(_NUM_REFITS, problem.num_examples)
        if groups is not None or (exact and has_bounds):
            num_refits = 0
    check.integer("num_refits", num_refits, at_least=0, at_most=problem.num_examples)
    key = jax.random.key(0) if key is None else check.key("key", key)
    drawn = jax.random.choice(key, problem.num_examples, (num_refits,), replace=False)
    loss: Loss = fit.loss  # type: ignore[assignment]
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(fit, problem, at_optimum=False)
        if groups is not None:
            own = sampling_checks.group_codes(
                groups, sampling_checks.weights_of(problem)
            )
            found = _without_groups(fit, problem, own)
        elif is_dense:
            found = left_out.without_each(system, loss=loss, exact=bool(exact))
        else:
            found = _approximate(system, problem, loss)
        if exact:
            largest = float(jnp.max(jnp.abs(system.scores)))
            found = _completed(found, fit, problem, largest)
        of_examples = objective.example_losses(
            jnp.asarray(found.scores),
            system.examples.targets,
            loss=loss,
            loss_arguments=fit.loss_arguments,
        )
    return _result(
        found,
        np.asarray(of_examples),
        fit,
        problem,
        np.sort(np.asarray(drawn)),
        weights,
    )


def _approximate(system: HessianSystem, problem: Problem, loss: Loss) -> LeftOut:
    scores = kronecker.without_each(system, problem, loss=loss)
    return LeftOut(scores, np.full(len(scores), np.inf))


def _completed(found: LeftOut, fit: Fit, problem: Problem, largest: float) -> LeftOut:
    """The same, with new fits where the steps did not converge.

    Args:
      found: scores and bounds by the steps.
      fit: the fit of all examples.
      problem: its problem.
      largest: largest score of the fit.
    """
    scores, errors = found.scores.copy(), found.errors.copy()
    is_good = errors <= _LARGEST_ERROR * largest
    if found.is_converged is not None and not np.isfinite(errors).any():
        # No bounds are known for this loss and bias.
        is_good = found.is_converged
    for example in np.flatnonzero(~is_good):
        one = np.array([example])
        scores[one], errors[one], _ = _fitted_anew(fit, problem, one)
    return LeftOut(scores, errors)


def _without_groups(fit: Fit, problem: Problem, codes: np.ndarray) -> LeftOut:
    """Scores of all examples, each by the model fitted without its group."""
    scores = np.zeros((len(codes), problem.num_classes))
    errors = np.zeros(len(codes))
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        scores[members], errors[members], _ = _fitted_anew(fit, problem, members)
    return LeftOut(scores, errors)


def _fitted_anew(fit: Fit, problem: Problem, examples: np.ndarray) -> LeftOut:
    """Scores of examples by a new fit without them, at its optimum where possible."""
    if not hessian_system.is_dense(*np.shape(fit.params.weights)):
        return refits.held_out(fit, problem, examples)
    system = refits.optimum_without(fit, problem, examples)
    return left_out.at_optimum(
        system,
        examples,
        loss=fit.loss,  # type: ignore[arg-type]
    )


def _result(
    found: LeftOut,
    losses: np.ndarray,
    fit: Fit,
    problem: Problem,
    drawn: np.ndarray,
    weights: np.ndarray | None,
) -> LeaveOneOut:
    codes = np.argmax(found.scores, axis=1)
    targets = problem.whole_rows.targets
    likeliest = targets if targets.ndim == 1 else np.argmax(targets, axis=1)
    second, first = np.sort(found.scores, axis=1)[:, -2:].T
    return LeaveOneOut(
        scores=found.scores,
        losses=losses,
        labels=fit.classes[codes],
        errors=found.errors,
        is_proven=first - second > 2 * found.errors,
        is_correct=codes == likeliest,
        example_weights=weights,
        refits=_compared(found, fit, problem, drawn),
    )


def _compared(found: LeftOut, fit: Fit, problem: Problem, drawn: np.ndarray) -> Refits:
    """Certified refits of the drawn examples, beside the answer."""
    rows = problem.whole_rows.features
    scores = np.zeros((len(drawn), found.scores.shape[1]))
    is_proven = np.zeros(len(drawn), bool)
    for place, example in enumerate(drawn):
        own, _ = refits.without(fit, problem, example)
        row = rows[example : example + 1]
        scores[place] = predictions.scores(own, row)[0]
        is_proven[place] = predictions.certified_labels(own, row)[0]
    difference = scores - found.scores[drawn]
    difference -= difference.mean(axis=1, keepdims=True)
    return Refits(
        examples=drawn,
        scores=scores,
        deviations=np.abs(difference).max(axis=1),
        same_labels=scores.argmax(axis=1) == found.scores[drawn].argmax(axis=1),
        is_proven=is_proven,
    )


def _check_classes(fit: Fit, problem: Problem) -> None:
    """Raises a ValueError where a class has one example and the bias is free."""
    if fit.bias != Bias.FREE.value:
        return
    rows = problem.whole_rows
    targets = rows.targets
    if rows.example_weights is not None:
        targets = targets[rows.example_weights > 0]
    if targets.ndim == 2:
        counts = np.count_nonzero(targets, axis=0)
    else:
        counts = np.bincount(targets, minlength=problem.num_classes)
    if counts.min() < 2:
        name = problem.classes[np.argmin(counts)]
        raise ValueError(
            "problem must have two examples of each class for leave_one_out with a "
            f"free bias, got {counts.min()} of class {name!s}; without it the optimum "
            "is infinite"
        )
