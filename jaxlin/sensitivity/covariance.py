r"""Covariance of the coefficients of a fit: `jaxlin.covariance`.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(300, 2))
>>> names = np.where(rows[:, 0] + np.cos(range(300)) > 0, "yes", "no")
>>> problem = jaxlin.problem(rows, names)
>>> fit = jaxlin.fit(
...     problem, loss=losses.softmax_cross_entropy, l2=1e-6, bias="free")
>>> found = jaxlin.covariance(fit, problem)
>>> table = found.coefficients(reference="no")
>>> table.names, table.standard_errors.shape
((('yes',), ('feature 0', 'feature 1', 'bias')), (1, 3))
>>> print(*(f"{one:.0e}" for one in table.p_values[0, :2]))
6e-19 4e-01

The objective of n examples with weights :math:`a_i` is :math:`P(W) = \sum_i a_i
\ell_i(W) / \sum_i a_i + \lambda_2 |W|^2 / 2`; H is its Hessian, and J that of the mean
loss alone. An example moves the optimum by

.. math:: \delta_i = -H^{-1} \frac{a_i}{\sum_j a_j}
    \left(\nabla \ell_i(W) + \lambda_2 W\right)

to first order. Both covariances are of the estimate that the penalty has shrunk:

* ``"model"``, model-based: :math:`H^{-1} J H^{-1} / \sum_i a_i`. It holds where labels
  are drawn from the probabilities of the model, and for small l2 it is the inverse of
  the information matrix.
* ``"sandwich"``: :math:`\sum_i \delta_i \delta_i^\top`, or the same of sums over groups
  of examples. It holds where examples, or groups, are independent.

The penalty shifts the optimum by :math:`-\lambda_2 H^{-1} W_0`, to first order, with
the optimum :math:`W_0` without penalty. One Newton step without penalty estimates that,
:math:`W_0 \approx W + \lambda_2 J^+ W`, and makes it :math:`-\lambda_2 J^+ W`. It is
exact for a quadratic loss. Elsewhere it is too small where W is much smaller than
:math:`W_0`, and in directions in which the loss has a curvature far below l2. Separable
classes have no :math:`W_0`, and no bias in this sense. No interval here corrects for
the shift; tables print a note where it matters.

References:
  S. le Cessie and J. C. van Houwelingen. Ridge estimators in logistic regression.
  Applied Statistics, 1992.
  H. White. Maximum likelihood estimation of misspecified models. Econometrica, 1982.
  K.-Y. Liang and S. L. Zeger. Longitudinal data analysis using generalized linear
  models. Biometrika, 1986.
"""

from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, linear, predictions
from jaxlin.problems import Problem, fit_hessian, takes_problem
from jaxlin.sensitivity import function_covariance, sampling_checks
from jaxlin.sensitivity.covariance_result import Covariance, Kind
from jaxlin.solvers.fitted import Fit


@takes_problem
def covariance(
    fit: Fit,
    problem: Problem,
    *,
    kind: Kind = "model",
    groups: ArrayLike | None = None,
) -> Covariance:
    """Covariance of a fit's coefficients, for standard errors and intervals.

    The formulas are those of the module `jaxlin.sensitivity.covariance`.

    Args:
      fit: a fit of a smooth loss: softmax, cross-entropy, or the squared
        Weston-Watkins hinge (sandwich only).
      problem: the examples that it was fitted to, dense rows in memory.
      kind: ``"model"``, the model-based covariance (statsmodels: ``nonrobust``),
        assumes the probabilities of the model. Weights then are frequencies, whole
        numbers, and the sample size is their sum. A distribution over the classes
        counts as the shares among that many draws; as soft labels it makes these
        standard errors too large. ``"sandwich"`` (HC0, without a factor for
        the sample size) needs independent rows alone. Each row is one observation,
        whatever its weight; repeat rows whose weights are frequencies.
      groups: group of each example for a sandwich of independent groups, integers or
        text, shape ``(examples,)``; at least two of positive weight. Without a factor
        for their number G, as in Stata's G / (G - 1): standard errors of few groups are
        too small. None is independent rows.

    Returns:
      The covariance, with tables of coefficients, contrasts and probabilities.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    check.choice("kind", kind, ("model", "sandwich"))
    fit_hessian.check(predictions.check_fit(fit), problem, use="jaxlin.covariance")
    weights, is_model = sampling_checks.weights_of(problem), kind == "model"
    if is_model:
        sampling_checks.check_likelihood(fit, use='kind="model"')
        sampling_checks.check_frequencies(weights, use='kind="model"')
    if is_model and groups is not None:
        raise ValueError(
            'groups must be None for kind="model", which has independent examples; '
            'take kind="sandwich"'
        )
    codes = None if groups is None else sampling_checks.group_codes(groups, weights)
    loss: Any = fit.loss
    num_examples = int(weights.sum()) if is_model else int((weights > 0).sum())
    options: Any = {
        "loss": loss,
        "num_examples": num_examples if is_model else None,
        "groups": codes,
    }
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(fit, problem)
        folded: Any = np.asarray(system.weights)
    shift: Any = function_covariance.shift(system, loss=loss)
    is_dense = system.factor is not None
    matrix_of_params = None
    if is_dense:
        units = np.eye(folded.size).reshape(-1, *folded.shape)
        left, right = function_covariance.factors(system, units, **options)
        matrix_of_params = (left @ right.T + right @ left.T) / 2
    return Covariance(
        fit,
        kind,
        num_examples,
        None if codes is None else len(np.unique(codes[weights > 0])),
        linear.unfold_bias(folded),
        linear.unfold_bias(shift),
        matrix_of_params,
        None if is_dense else system,
        codes,
    )
