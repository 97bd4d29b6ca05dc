r"""Influence of training examples on test losses and scores, to first order.

Without example i, of share :math:`\pi_i`, the optimum moves by
:math:`\pi_i H^{-1} (g_i \otimes x_i + \lambda_2 W)` to first order in the share, H the
Hessian, :math:`g_i` the gradient of the example's loss in its scores. The change of a
test loss is the product of that and the gradient of the test loss: one linear system
for each test example, whatever the number of training examples.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(100, 3))
>>> problem = jaxlin.problem(rows, (rows[:, 0] > 0).astype(int))
>>> fit = jaxlin.fit(problem, loss=losses.softmax_cross_entropy, l2=1e-2)
>>> found = jaxlin.influence(fit, problem, [[0.5, 0.0, 0.0]], [1])
>>> found.changes.shape, found.most_helpful(3).shape
((1, 100), (1, 3))

Reference:
  P. W. Koh and P. Liang. Understanding black-box predictions via influence functions.
  ICML 2017. Its objective keeps the sum of losses and penalty, so that its influences
  have no term in W.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, predictions, problems
from jaxlin.linear import Bias
from jaxlin.numerics import row_arrays
from jaxlin.objective import row_products
from jaxlin.problems import Problem, fit_hessian
from jaxlin.selection import group_folds
from jaxlin.sensitivity import function_covariance
from jaxlin.solvers import hessian_system, score_gradients
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.typing import Array, Loss


class Influence(NamedTuple):
    """First-order changes of test losses or scores by leaving out training examples.

    Attributes:
      changes: change of each test quantity without each training example, shape
        ``(tests, examples)``. A training example whose removal raises a test loss,
        above 0, helps that test example.
      residuals: relative norms of the residuals of the linear systems, ``(tests,)``.
    """

    changes: np.ndarray
    residuals: np.ndarray

    def most_helpful(self, number: int) -> np.ndarray:
        """Training examples whose removal raises each test quantity most.

        Args:
          number: how many.

        Returns:
          Their indices, the most helpful first, shape ``(tests, number)``.
        """
        return _largest(self.changes, number)

    def most_harmful(self, number: int) -> np.ndarray:
        """Training examples whose removal lowers each test quantity most.

        Args:
          number: how many.

        Returns:
          Their indices, the most harmful first, shape ``(tests, number)``.
        """
        return _largest(-self.changes, number)

    def of_groups(self, groups: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Changes without each group of training examples: the sums of its members'.

        Args:
          groups: group of each training example, integers, text or booleans, shape
            ``(examples,)``.

        Returns:
          The groups in ascending order, and the changes, shape ``(tests, groups)``.
        """
        if np.asarray(groups).dtype.kind == "b":
            groups = np.asarray(groups).astype(np.int8)
        groups = group_folds.checked_groups(groups)
        check.one_per_example("groups", len(groups), num_examples=self.changes.shape[1])
        names, codes = np.unique(groups, return_inverse=True)
        sums = np.zeros((len(names), len(self.changes)))
        np.add.at(sums, codes, self.changes.T)
        return names, sums.T


@problems.takes_problem
def influence(
    fit: Fit,
    problem: Problem,
    features: Any,
    labels: ArrayLike | None = None,
    *,
    mean: bool = False,
    tolerance: float = 1e-6,
) -> Influence:
    """First-order influence of each training example on test losses or scores.

    It is the change by removal of the example: above 0 for a test loss that the example
    makes smaller. The influence of Koh and Liang, by more weight, has the other sign.
    Scores are those without their mean over the classes. For single examples
    `jaxlin.leave_one_out` is more exact.
    Leaving an example out means weight 0 in `jaxlin.fit` at the same l2, as in
    `jaxlin.leave_one_out`. The error is of second order in the share of what is left
    out, and grows with its leverage: groups of a tenth of the examples can be checked
    by `jaxlin.sensitivity.refits.without`.

    Args:
      fit: a fit of ``problem`` with softmax, cross-entropy or the squared hinge. Where
        the Hessian is not factorised (above 6,000 weights and biases) its gap should be
        1e-6 or less, and each test example takes as long as dozens of passes.
      problem: the examples that were fitted, in memory.
      features: raw features of test examples, shape ``(tests, features)``.
      labels: their labels of the kind given to the fit, shape ``(tests,)``, or
        distributions ``(tests, classes)`` of a fit of cross-entropy, for influences on
        test losses; None is for those on all scores, whose tests are then the classes
        of the first test example, of the second, and so on.
      mean: whether the tests are one: the mean of all losses, or of the scores of each
        class.
      tolerance: relative residual of the linear systems, above 0, where the Hessian is
        not factorised.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    predictions.check_fit(fit)
    fit_hessian.check(fit, problem, use="influence")
    rows, targets = _checked(fit, problem, features, labels)
    check.number("tolerance", tolerance, above=0, below=1)
    loss: Loss = fit.loss  # type: ignore[assignment]
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(fit, problem)
        cotangents = _cotangents(system, jnp.asarray(rows), targets, loss=loss)
        if mean:
            per_test = 1 if targets is not None else problem.num_classes
            grouped = cotangents.reshape(-1, per_test, *system.weights.shape)
            cotangents = jnp.mean(grouped, axis=0)
        solved = hessian_system.solve(
            system, cotangents, loss=loss, tolerance=tolerance
        )
        norms = jnp.sqrt(jnp.sum(jnp.square(cotangents), axis=(1, 2)))
        effects = function_covariance.removal_effects
        changes = [np.asarray(effects(system, one[None]))[0] for one in solved.values]
        residuals = solved.residuals / jnp.where(norms > 0, norms, 1)
    return Influence(np.stack(changes), np.asarray(residuals))


def _checked(
    fit: Fit, problem: Problem, features: Any, labels: ArrayLike | None
) -> tuple[np.ndarray, Any]:
    """Checked test rows, and their label codes or distributions, or None."""
    if labels is not None and problem.rank == 1:
        rows, targets = predictions.check_examples(
            features,
            labels,
            num_features=problem.num_features,
            classes=fit.classes,
            feature_names=fit.feature_names,
        )
    else:
        rows = predictions.rows_of(fit, features)
        targets = None
        if labels is not None:
            targets = check.distributions(
                "labels", labels, num_classes=problem.num_classes
            )
            check.one_per_example("labels", len(targets), num_examples=rows.shape[0])
    return row_arrays.block("features", rows), targets


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def _cotangents(
    system: HessianSystem, features: Array, targets: Any, *, loss: Loss
) -> Array:
    """Gradients of the test quantities in the folded weights, one a test."""
    dtype, bias = system.weights.dtype, system.settings.bias
    rows = row_products.extended_rows(features, system.examples.normalization, dtype)
    rows = bias.penalized_part(rows) if bias is Bias.NONE else rows
    num_classes = system.weights.shape[0]
    if targets is None:
        units = jnp.eye(num_classes, dtype=dtype)
        # A shift of all scores tells nothing, and a free bias does not answer it.
        units -= jnp.mean(units, axis=0, keepdims=True)
        found = units[None, :, :, None] * rows[:, None, None, :]
        return found.reshape(-1, *system.weights.shape)
    scores = rows @ system.weights.T
    gradients = score_gradients.of_mean_loss(
        loss,
        targets,
        jnp.ones(len(rows), dtype),
        jnp.zeros_like(scores),
        smoothing=jnp.ones((), dtype),
        loss_arguments=system.settings.loss_arguments,
    )(scores)
    return gradients[:, :, None] * rows[:, None, :]


def _largest(values: np.ndarray, number: int) -> np.ndarray:
    check.integer("number", number, at_least=1, at_most=values.shape[1])
    return np.argsort(-values, axis=1, kind="stable")[:, :number]
