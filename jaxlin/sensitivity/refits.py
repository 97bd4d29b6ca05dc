"""Certified fits without some examples, against which other answers are held.

A refit starts from the whole fit and shares its rows on the device.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import fits, predictions
from jaxlin.linear import Bias
from jaxlin.objective import row_norms
from jaxlin.problems import Problem, fit_hessian, weight_checks
from jaxlin.sensitivity.left_out import LeftOut
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.solvers.stopping import Stop

# An example's share of the objective is about 1 / examples; a refit that should show
# what it changes needs a smaller gap.
STOP = Stop(relative_gap=1e-10, max_passes=1000)
_ROUNDING_OF_NORMS = 1e-4


class Refits(NamedTuple):
    """Certified refits of a sample of examples, each without one of them.

    Attributes:
      examples: indices of the examples, shape ``(refits,)``.
      scores: scores of each example by the fit without it, ``(refits, classes)``.
      deviations: largest difference of an example's scores, up to a shift of all of
        them, between the answer and the refit, shape ``(refits,)``. It is the error of
        both: where the answer has a bound, mostly that of the refit.
      same_labels: whether both predict the same label, shape ``(refits,)``.
      is_proven: whether the exact optimum without the example provably predicts the
        label of the refit, shape ``(refits,)``.
    """

    examples: np.ndarray
    scores: np.ndarray
    deviations: np.ndarray
    same_labels: np.ndarray
    is_proven: np.ndarray

    def __str__(self) -> str:
        if not len(self.examples):
            return "no refits"
        return (
            f"{len(self.examples)} certified refits: scores differ by at most "
            f"{self.deviations.max():.1e}, {self.deviations.mean():.1e} on average; "
            f"{np.count_nonzero(self.same_labels)} labels equal, "
            f"{np.count_nonzero(self.is_proven)} proven"
        )


def without(
    fit: Fit, problem: Problem, examples: np.ndarray | int, *, stop: Stop = STOP
) -> tuple[Fit, Problem]:
    """Certified fit without some examples, whose weight becomes 0, and its problem.

    Args:
      fit: the fit of all examples.
      problem: its problem.
      examples: their indices.
      stop: the gap to be proven and the largest number of passes.

    Raises:
      ValueError: for indices that are none, and if fewer than two classes are left, or
        not all of them with a free bias.
    """
    fit_hessian.check_rows(problem, use="a refit")
    weights = _weights_without(problem, examples, is_free=fit.bias == Bias.FREE.value)
    left = problem.with_weights(weights)
    found = fits.fit(
        left,
        loss=fit.loss,  # type: ignore[arg-type]
        l2=fit.l2,
        bias=fit.bias,
        stop=stop,
        loss_arguments=fit.loss_arguments,
        start=fit,
        refine=True,
    )
    return found, left


def _weights_without(
    problem: Problem, examples: np.ndarray | int, *, is_free: bool
) -> np.ndarray:
    """Example weights with 0 at these indices, checked."""
    indices = np.atleast_1d(np.asarray(examples))
    count = problem.num_examples
    is_index = np.issubdtype(indices.dtype, np.integer) and indices.ndim == 1
    if not is_index or np.any((indices < 0) | (indices >= count)):
        raise ValueError(
            f"examples must be indices in [0, {count}), one or a list, got {examples}"
        )
    rows = problem.whole_rows
    given = rows.example_weights
    weights = np.ones(count, np.float32) if given is None else np.array(given)
    weights[indices] = 0
    weight_checks.check_classes(
        "weights without the examples",
        (weights > 0)[None].astype(np.float32),
        rows=rows,
        classes=problem.classes,
        allow_one_class=False,
        every_class=is_free,
    )
    return weights


def held_out(
    fit: Fit, problem: Problem, examples: np.ndarray, *, stop: Stop = STOP
) -> LeftOut:
    """Scores of some examples by a certified fit without them, with bounds.

    Arguments are those of `without`. The bounds are those of the fit's radius: with a
    free bias they are infinite where that of the bias is not known.
    """
    found, _ = without(fit, problem, examples, stop=stop)
    rows = problem.whole_rows.features[examples]
    norms = np.asarray(
        row_norms.norms(jnp.asarray(rows), normalization=problem.normalization)
    )
    radius = found.radius * (1 + _ROUNDING_OF_NORMS)
    return LeftOut(predictions.scores(found, rows), norms * radius + found.bias_radius)


def optimum_without(
    fit: Fit, problem: Problem, examples: np.ndarray | int
) -> HessianSystem:
    """The Hessian at the optimum without some examples, where it is factorised.

    Arguments are those of `without`.
    """
    found, left = without(fit, problem, examples, stop=Stop(1e-8, STOP.max_passes))
    with jax.enable_x64(True):
        return fit_hessian.of_fit(found, left)
