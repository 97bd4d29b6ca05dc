r"""Examples of a hinge that are certified to be no support vectors.

Weights within the radius :math:`\rho` of a fit's certificate move the difference of two
scores of a row x by at most :math:`\sqrt{2} \rho \|x\|`, and by as much a bound on a
free bias. An example whose violations are below 0 by more than that has loss 0, and no
part in the gradient, at the exact optimum: without it the optimum of the sum of losses
and penalty is the same. `jaxlin.fit` without it divides the losses by fewer examples;
with :math:`\pi` its share of the weights its optimum is that for
:math:`(1 - \pi) \lambda_2` and is at most
:math:`\pi / (1 - \pi) \, \|W^*\|` away.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(200, 3))
>>> problem = jaxlin.problem(rows, (rows[:, 0] > 0).astype(int))
>>> fit = jaxlin.fit(problem, loss=losses.weston_watkins_hinge, l2=1e-2, refine=True,
...                  stop=jaxlin.Stop(1e-8))
>>> found = jaxlin.sensitivity.support.non_support(fit, problem)
>>> bool(100 < found.mask.sum() < 200), bool(found.same_labels[found.mask].all())
(True, True)
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import losses, objective, predictions, problems
from jaxlin.certificates import label_certificates
from jaxlin.linear import Bias, Params
from jaxlin.objective import row_norms
from jaxlin.problems import Problem, fit_hessian
from jaxlin.solvers.fitted import Fit

_HINGES = (
    losses.weston_watkins_hinge,
    losses.weston_watkins_squared_hinge,
    losses.crammer_singer_hinge,
    losses.one_vs_rest_hinge,
)
# Relative rounding errors of float64 scores and of float32 norms, up to 1e6 features.
_ROUNDING = 1e-12
_ROUNDING_OF_NORMS = 1e-4


class NonSupport(NamedTuple):
    """Examples that are certified to be no support vectors.

    Attributes:
      mask: whether the exact optimum has loss 0 and no kink at the example, shape
        ``(examples,)``. False is not certified.
      radii: distance from the fit within which the optimum of `jaxlin.fit` without the
        example lies, weights and penalised bias, shape ``(examples,)``; infinite where
        ``mask`` is False.
      same_labels: whether that optimum provably predicts the fit's label of the
        example, shape ``(examples,)``.
    """

    mask: np.ndarray
    radii: np.ndarray
    same_labels: np.ndarray


@problems.takes_problem
def non_support(fit: Fit, problem: Problem) -> NonSupport:
    """Certifies which examples of a hinge cannot change the optimum.

    Args:
      fit: a fit of ``problem`` with a hinge or the squared hinge; the smaller its gap,
        the more examples are certified.
      problem: the examples that were fitted, in memory.

    Raises:
      ValueError: for another loss, a free bias, whose distance from the optimum is not
        known for hinges, and rows that the fit cannot be of.
    """
    predictions.check_fit(fit)
    if fit.loss not in _HINGES:
        raise ValueError(
            "fit must be of a hinge for non_support, got one of "
            f"{getattr(fit.loss, '__name__', fit.loss)}; for softmax and cross-entropy "
            "every example counts: jaxlin.leave_one_out has their models"
        )
    if fit.bias == Bias.FREE.value:
        raise ValueError(
            "fit must have a penalized bias or none for non_support, got a free one, "
            "whose distance from the optimum is not known for hinges"
        )
    fit_hessian.check_same(fit, problem, use="non_support")
    rows = problem.whole_rows
    with jax.enable_x64(True):
        scores = predictions.scores(_in_float64(fit), rows.features)
        norms = np.asarray(
            row_norms.norms(jnp.asarray(rows.features), normalization=fit.normalization)
        ).astype(np.float64)
    norms *= 1 + _ROUNDING_OF_NORMS
    fit_hessian.check_objective(fit, _objective(fit, problem, scores))
    lead = _largest_violations(fit, scores, rows.targets)
    rounding = _ROUNDING * norms * np.linalg.norm(fit.params.weights)
    num_scores = 1.0 if fit.loss is losses.one_vs_rest_hinge else np.sqrt(2.0)
    mask = lead + num_scores * fit.radius * norms + rounding < 0
    own = np.ones(len(norms)) if rows.example_weights is None else rows.example_weights
    shares = np.asarray(own, np.float64) / np.sum(own, dtype=np.float64)
    size = np.sqrt(sum(np.sum(np.square(part)) for part in fit.params)) + fit.radius
    with np.errstate(divide="ignore"):
        radii = np.where(mask, fit.radius + shares / (1 - shares) * size, np.inf)
    lead_of_labels = label_certificates.label_radii(
        fit.params, rows.features, normalization=fit.normalization
    )
    return NonSupport(mask, radii, np.asarray(lead_of_labels) > radii)


def _objective(fit: Fit, problem: Problem, scores: np.ndarray) -> float:
    """Objective of the fit on these rows."""
    rows, arguments = problem.whole_rows, dict(fit.loss_arguments)
    with jax.enable_x64(True):
        found = objective.example_losses(
            jnp.asarray(scores),
            jnp.asarray(rows.targets),
            loss=fit.loss,  # type: ignore[arg-type]
            loss_arguments=arguments,
        )
    own = np.ones(len(scores)) if rows.example_weights is None else rows.example_weights
    counts = np.asarray(own) > 0
    mean = np.average(np.asarray(found)[counts], weights=np.asarray(own)[counts])
    return float(
        mean + fit.l2 / 2 * sum(np.sum(np.square(part)) for part in fit.params)
    )


def _in_float64(fit: Fit) -> Fit:
    params: Any = [np.asarray(part, np.float64) for part in fit.params]
    return fit._replace(params=Params(*params))


def _largest_violations(
    fit: Fit, scores: np.ndarray, targets: np.ndarray
) -> np.ndarray:
    """Largest violation of each example; below 0 where its loss is flat."""
    margin = float(np.asarray(fit.loss_arguments.get("margin", 1.0)))
    is_label = np.arange(scores.shape[1])[None, :] == targets[:, None]
    if fit.loss is losses.one_vs_rest_hinge:
        return np.max(margin - np.where(is_label, scores, -scores), axis=1)
    label = np.take_along_axis(scores, targets[:, None], axis=1)
    return np.max(np.where(is_label, -np.inf, margin + scores - label), axis=1)
