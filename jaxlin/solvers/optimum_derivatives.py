r"""Derivatives of a function of the optimum, by the implicit function theorem.

The gradient g of the objective is 0 at the optimum W, whatever the data and settings
:math:`\theta`. The optimum therefore moves by
:math:`dW = -H^{-1} (\partial g / \partial \theta)\, d\theta`, H the Hessian. Let v be
the gradient of an outer function F in the optimal parameters. One solve, for the
adjoint :math:`u = H^{-1} v`, gives the derivatives of F in all data and settings:

.. math:: \frac{dF}{d\theta} = -\Big\langle u, \frac{\partial g}{\partial \theta}
          \Big\rangle, \quad
          g = \sum_i s_i\, \gamma_i x_i^\top + \lambda_2 W,

:math:`\gamma_i` the gradient of the loss in the scores of example i, and s the example
weights divided by their sum.

`jaxlin.solvers.derivative_bounds` bounds the errors.

Reference:
  Y. Bengio. Gradient-based optimization of hyperparameters. Neural Computation, 2000.
  M. Blondel et al. Efficient and modular implicit differentiation. NeurIPS 2022.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import linear
from jaxlin.objective import score_hessian
from jaxlin.solvers import hessian_system, optimizer_state, score_gradients
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.typing import Array, Loss


class Adjoint(NamedTuple):
    """Solution of the system whose right side is the gradient of an outer function.

    Attributes:
      values: the solution u, shape ``(classes, features + 1)``.
      right: the right side v, same shape.
      residual: Euclidean norm of the residual, shape ``()``.
      scores: scores of all examples by the solution, up to a shift of all, shape
        ``(classes, examples)``.
    """

    values: Array
    right: Array
    residual: Array
    scores: Array


def adjoint(system: HessianSystem, cotangent: Array, *, loss: Loss) -> Adjoint:
    """Solves for the adjoint; under ``jax.enable_x64(True)``.

    Args:
      system: the Hessian at the optimum.
      cotangent: gradient of the outer function in the folded parameters, shape
        ``(classes, features + 1)``. Its part along a bias that is kept at 0, or along a
        shift of all scores by a free one, is ignored.
      loss: the loss of the system, a smooth one.
    """
    right, shift = _right_side(system, cotangent, loss=loss)
    found = hessian_system.solve(system, right[None], loss=loss)
    return _adjoint(system, right, shift, found.values[0], found.residuals[0])


@functools.partial(jax.jit, static_argnames=("loss",))
def _right_side(
    system: HessianSystem, cotangent: Array, *, loss: Loss
) -> tuple[Array, Array]:
    """The right side without and with nothing but a shift of all scores."""
    cotangent = cotangent.astype(system.weights.dtype)
    right, bias = optimizer_state.centered(loss, cotangent), system.settings.bias
    allowed = linear.fold_bias(bias.allowed(linear.unfold_bias(right)))
    return allowed, bias.penalized_part(cotangent - right)


@jax.jit
@jax.default_matmul_precision("highest")
def _adjoint(
    system: HessianSystem, right: Array, shift: Array, values: Array, residual: Array
) -> Adjoint:
    scores = score_gradients.rows_of(system.examples).scores(values)
    # A shift of all scores changes the penalty alone.
    return Adjoint(values + shift / system.l2, right + shift, residual, scores)


def in_l2(system: HessianSystem, adjoint: Adjoint, *, axis: int | None = None) -> Array:
    """Derivative in l2.

    Args:
      system: the Hessian at the optimum.
      adjoint: the adjoint of the outer function.
      axis: None for one l2, shape ``()``; 1 for one of each class, shape
        ``(classes,)``; 0 for one of each feature and of the bias, shape ``(features +
        1,)``, 0 for a bias that is not penalised. All at their common value.
    """
    penalized = system.settings.bias.penalized_part(system.weights)
    return -jnp.sum(adjoint.values * penalized, axis=axis)


@jax.jit
def in_weights(system: HessianSystem, adjoint: Adjoint) -> Array:
    """Derivatives in the example weights, before their division by the sum.

    They have the shape ``(examples,)``.
    """
    along = jnp.sum(adjoint.scores * system.gradients, axis=0)
    mean = jnp.sum(jnp.where(system.shares > 0, system.shares * along, 0))
    return (mean - along) / total_weight(system)


def total_weight(system: HessianSystem) -> Array:
    """Sum of the example weights, shape ``()``."""
    weights, dtype = system.examples.example_weights, system.weights.dtype
    if weights is None:
        return jnp.asarray(system.shares.shape[0], dtype)
    return jnp.sum(weights.astype(dtype))


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def in_features(system: HessianSystem, adjoint: Adjoint, *, loss: Loss) -> Array:
    """Derivatives in the raw features, shape ``(examples, features)``.

    The normalization does not change with them.
    """
    of_gradients = score_hessian.product(loss, system.in_scores, adjoint.scores)
    shares = system.shares[None, :]
    gradients = jnp.where(shares > 0, shares * system.gradients, 0)
    of_rows = of_gradients.T @ system.weights[:, :-1]
    of_rows += gradients.T @ adjoint.values[:, :-1]
    return -of_rows / feature_scales(system)[None, :]


def feature_scales(system: HessianSystem) -> Array:
    """Divisors of the features in the normalization, shape ``(features,)``."""
    normalization, dtype = system.examples.normalization, system.weights.dtype
    scale = jnp.ones(()) if normalization is None else jnp.asarray(normalization.scale)
    return jnp.broadcast_to(scale.astype(dtype), (system.weights.shape[1] - 1,))


@functools.partial(jax.jit, static_argnames=("loss",))
def in_loss_arguments(
    system: HessianSystem, adjoint: Adjoint, *, loss: Loss
) -> dict[str, Array]:
    """Derivatives in the loss arguments of the system's settings, each of shape ()."""
    return jax.grad(
        lambda given: _pairing(
            system, adjoint, system.examples.targets, given, loss=loss
        )
    )(loss_arguments(system))


@functools.partial(jax.jit, static_argnames=("loss",))
def in_targets(system: HessianSystem, adjoint: Adjoint, *, loss: Loss) -> Array:
    """Derivatives in target distributions, shape ``(examples, classes)``.

    The loss divides a distribution by its sum; that is differentiated, too.
    """
    targets = system.examples.targets.astype(system.weights.dtype)
    arguments = loss_arguments(system)
    return jax.grad(
        lambda given: _pairing(system, adjoint, given, arguments, loss=loss)
    )(targets)


def loss_arguments(system: HessianSystem) -> dict[str, Array]:
    """Loss arguments of the system's settings in its dtype, each of shape ``()``."""
    given = dict(system.settings.loss_arguments or {})
    return {
        name: jnp.asarray(value, system.weights.dtype) for name, value in given.items()
    }


def _pairing(
    system: HessianSystem,
    adjoint: Adjoint,
    targets: Array,
    arguments: dict[str, Array],
    *,
    loss: Loss,
) -> Array:
    """Minus the product of the adjoint and the gradient of the mean loss."""
    gradients = score_gradients.of_mean_loss(
        loss,
        targets,
        system.shares,
        jnp.zeros_like(system.scores.T),
        smoothing=jnp.ones((), system.weights.dtype),
        loss_arguments=arguments,
    )(system.scores.T)
    # Rows of weight 0 may overflow.
    products = jnp.where(system.shares[:, None] > 0, gradients * adjoint.scores.T, 0)
    return -jnp.sum(products)
