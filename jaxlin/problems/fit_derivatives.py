"""Derivatives of a function of a fit's optimum, each with a bound on its error.

>>> import jax, numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> from jaxlin.problems import fit_derivatives
>>> rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
>>> problem = jaxlin.problem(rows, rows[:, 0] > 0.1)
>>> fit = jaxlin.fit(problem, loss=losses.softmax_cross_entropy, l2=1e-2)
>>> of_squares = jax.tree.map(lambda leaf: 2 * leaf, fit.params)
>>> found = fit_derivatives.of_fit(fit, problem, of_squares)
>>> value, error = found.in_l2()
>>> bool(value < 0), bool(error < 1e-9 * abs(value))
(True, True)

`jax.grad` through `jaxlin.fit` gives the derivatives alone.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check, linear
from jaxlin.linear import Params
from jaxlin.problems import construction, first_iterate, fit_hessian
from jaxlin.problems.checked import Problem
from jaxlin.solvers import derivative_bounds, optimum_derivatives
from jaxlin.solvers.derivative_bounds import Distance
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.solvers.optimum_derivatives import Adjoint
from jaxlin.typing import Array, Loss


class Derivative(NamedTuple):
    """Derivatives and bounds on their errors, float64.

    Attributes:
      value: the derivatives.
      error: bounds on the absolute error of each, of the same shape; infinite where
        none is known.
    """

    value: np.ndarray
    error: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class FitDerivatives:
    """Derivatives of one function of the optimum, made by `of_fit`.

    Each method computes its own derivatives, from the one solve that all share.

    Attributes:
      loss: the loss of the fit.
      system: the Hessian at its optimum, float64.
      adjoint: solution of the system whose right side is the gradient of the function.
      distance: bounds on the distance of the system's point from the optimum.
    """

    loss: Loss
    system: HessianSystem
    adjoint: Adjoint
    distance: Distance

    def in_l2(self, *, axis: int | None = None) -> Derivative:
        """Derivative in l2.

        Args:
          axis: None for one l2, shape ``()``; 1 for one l2 of each class, shape
            ``(classes,)``; 0 for one of each feature, and of the bias at the end,
            shape ``(features + 1,)``. They are the derivatives at a common value.

        Raises:
          ValueError: for another axis.
        """
        if axis not in (None, 0, 1):
            raise ValueError(
                "axis must be None (one l2), 0 (one of each feature) or 1 (one of each "
                f"class), got {axis!r}"
            )
        return self._found(
            lambda: optimum_derivatives.in_l2(self.system, self.adjoint, axis=axis),
            lambda: derivative_bounds.of_l2(
                self.system, self.adjoint, self.distance, axis=axis
            ),
        )

    def in_weights(self) -> Derivative:
        """Derivatives in the example weights, shape ``(examples,)``.

        Derivatives with respect to unnormalised weights; also defined at weight 0.
        """
        return self._found(
            lambda: optimum_derivatives.in_weights(self.system, self.adjoint),
            lambda: derivative_bounds.of_weights(
                self.system, self.adjoint, self.distance, loss=self.loss
            ),
        )

    def in_features(self) -> Derivative:
        """Derivatives in the raw features, shape ``(examples, features)``.

        The normalization is a constant.
        """
        return self._found(
            lambda: optimum_derivatives.in_features(
                self.system, self.adjoint, loss=self.loss
            ),
            lambda: derivative_bounds.of_features(
                self.system, self.adjoint, self.distance, loss=self.loss
            ),
        )

    def in_margin(self) -> Derivative:
        """Derivative in the margin of the squared hinge, shape ``()``.

        Raises:
          ValueError: if the fit has no loss argument ``margin``.
        """
        if "margin" not in (self.system.settings.loss_arguments or {}):
            raise ValueError(
                "fit must have a margin among its loss_arguments, got one of "
                f'{self.loss.__name__}; give loss_arguments={{"margin": 1.0}} to '  # type: ignore[attr-defined]
                "jaxlin.fit of the squared hinge"
            )
        return self._found(
            lambda: optimum_derivatives.in_loss_arguments(
                self.system, self.adjoint, loss=self.loss
            )["margin"],
            lambda: derivative_bounds.of_margin(
                self.system, self.adjoint, self.distance
            ),
        )

    def in_labels(self) -> Derivative:
        """Derivatives in labels that are distributions, ``(examples, classes)``.

        The loss divides each distribution by its sum.

        Raises:
          ValueError: for labels that are not distributions.
        """
        if self.system.examples.targets.ndim != 2:
            raise ValueError(
                "labels must be distributions (jaxlin.losses.cross_entropy) to have "
                "derivatives, got classes"
            )
        return self._found(
            lambda: optimum_derivatives.in_targets(
                self.system, self.adjoint, loss=self.loss
            ),
            lambda: derivative_bounds.of_targets(
                self.system, self.adjoint, self.distance
            ),
        )

    @staticmethod
    def _found(value: Callable[[], Array], error: Callable[[], Array]) -> Derivative:
        with jax.enable_x64(True):
            return Derivative(np.asarray(value()), np.asarray(error()))


@construction.takes_problem
def of_fit(fit: Fit, problem: Problem, cotangent: Params) -> FitDerivatives:
    """Solves for the derivatives of a function of the optimal parameters.

    Small problems, of up to 6,000 weights and biases, are factorised at the optimum
    itself. For others the Hessian is that at the fit, and the bounds are as tight as
    the fit: ask it for a relative gap of 1e-10 or less.

    Args:
      fit: a fit of a smooth loss.
      problem: the problem that it was fitted to.
      cotangent: gradient of the function in weights ``(classes, features)`` and bias
        ``(classes,)``, taken as exact.

    Raises:
      ValueError: for a loss without a Hessian, another problem, or a cotangent that is
        not finite; inside ``jax.jit``, ``jax.vmap`` and ``jax.grad``.
    """
    if not isinstance(fit, Fit):
        raise ValueError(
            f"fit must be a jaxlin.Fit, got a {type(fit).__name__}; give the result of "
            "jaxlin.fit"
        )
    fit_hessian.check(fit, problem, use="derivatives")
    _check_cotangent(cotangent, (problem.num_classes, problem.num_features))
    loss: Loss = fit.loss  # type: ignore[assignment]
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(fit, problem)
        right = linear.fold_bias(
            Params(*(jnp.asarray(leaf, jnp.float64) for leaf in cotangent))
        )
        adjoint = optimum_derivatives.adjoint(system, right, loss=loss)
        distance = derivative_bounds.distance(system, loss=loss)
    return FitDerivatives(loss, system, adjoint, distance)


def _check_cotangent(cotangent: Params, shape: tuple[int, int]) -> None:
    if not isinstance(cotangent, Params):
        raise ValueError(
            "cotangent must be jaxlin.linear.Params, such as jax.grad of a function of "
            f"fit.params gives, got a {type(cotangent).__name__}"
        )
    first_iterate.check_shapes("cotangent", cotangent, shape)
    check.concrete("cotangent", *cotangent)
    for name, leaf in zip(Params._fields, cotangent, strict=True):
        if not np.isfinite(leaf).all():
            raise ValueError(
                f"cotangent must be finite, got NaN or infinity in its {name}; look at "
                "the function whose gradient it is"
            )
