"""Covariance of linear functions of a fit's parameters, by systems with its Hessian."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.linear import Bias
from jaxlin.objective import row_norms
from jaxlin.solvers import hessian_system, score_gradients
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.typing import Array, Loss

# Largest count of scores that are held at once.
_MAX_SCORES = 20_000_000
# Norm of the residual of a system, relative to its right side.
_TOLERANCE = 1e-8
# The shift by the penalty: rounds of conjugate gradients; curvature that counts as 0,
# relative to l2; rounding of curvature, relative to the mean squared norm of rows.
_MAX_ROUNDS = 50
_FLAT = 1e-6
_ROUNDING = 1e-14


def shift(system: HessianSystem, *, loss: Loss) -> np.ndarray:
    r"""First-order shift of the optimum by the penalty, :math:`-\lambda_2 J^+ W`.

    It is minus a Newton step without penalty from the optimum, and exact for a
    quadratic loss. At most 50 rounds of conjugate gradients, preconditioned by H, solve
    its system: directions in which the curvature of the loss is far below l2 count in
    part.

    Args:
      system: the Hessian at the optimum.
      loss: its loss.

    Returns:
      Shape ``(classes, features + 1)``, the bias last.
    """
    with jax.enable_x64(True):
        right = -system.l2 * system.settings.bias.penalized_part(system.weights)
        mean_loss, least = _without_penalty(system), _least_curvature(system)
        found, residual = jnp.zeros_like(right), right
        direction = jnp.zeros_like(right)
        before = 1.0
        for _ in range(_MAX_ROUNDS):
            if jnp.linalg.norm(residual) <= _TOLERANCE * jnp.linalg.norm(right):
                break
            along = hessian_system.solve(
                system, residual[None], loss=loss, tolerance=_TOLERANCE
            ).values[0]
            now = float(jnp.vdot(along, residual))
            direction = along + now / before * direction
            product = hessian_system.products(mean_loss, direction[None], loss=loss)[0]
            curvature = float(jnp.vdot(direction, product))
            if not curvature > least * float(jnp.vdot(direction, direction)):
                break
            found += now / curvature * direction
            residual -= now / curvature * product
            before = now
        return np.asarray(found)


def _without_penalty(system: HessianSystem) -> HessianSystem:
    """The system whose products are those of the Hessian J of the mean loss."""
    settings = system.settings._replace(l2=np.zeros_like(system.settings.l2))
    return system._replace(settings=settings)


def _least_curvature(system: HessianSystem) -> float:
    """Curvature of the mean loss below which there is none, or rounding error."""
    examples, shares = system.examples, system.shares
    norms = row_norms.norms(examples.features, normalization=examples.normalization)
    # Rows of weight 0 may overflow.
    squares = jnp.sum(jnp.where(shares > 0, shares * jnp.square(norms), 0))
    return _FLAT * float(system.l2) + _ROUNDING * float(squares)


def factors(
    system: HessianSystem,
    vectors: np.ndarray,
    *,
    loss: Loss,
    num_examples: int | None,
    groups: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Factors of the covariance matrix L R^T of linear functions.

    Args:
      system: the Hessian.
      vectors: shape ``(functions, classes, features + 1)``.
      loss: its loss.
      num_examples: sample size of the covariance of the model; None for a sandwich.
      groups: index of the group of each example, or None.

    Returns:
      For the model the solutions and their products with J, for a sandwich the effects
      of all examples or groups, twice.
    """
    with jax.enable_x64(True):
        # Coefficients sum to 0 over the classes.
        centered = vectors - vectors.mean(axis=1, keepdims=True)
        if system.settings.bias is Bias.NONE:
            centered[..., -1] = 0
        solutions = hessian_system.solve(
            system, centered, loss=loss, tolerance=_TOLERANCE
        ).values
        if num_examples is None:
            effects = _in_blocks(
                lambda some: removal_effects(system, some), solutions, system
            )
            if groups is not None:
                order = np.argsort(groups, kind="stable")
                starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
                effects = np.add.reduceat(effects[:, order], starts, axis=1)
            return effects, effects
        mean_loss = _without_penalty(system)
        products = _in_blocks(
            lambda some: hessian_system.products(mean_loss, some, loss=loss),
            solutions,
            system,
        )
        shape = (len(vectors), -1)
        left = np.asarray(solutions).reshape(shape)
        return left, products.reshape(shape) / num_examples


@jax.jit
@jax.default_matmul_precision("highest")
def removal_effects(system: HessianSystem, solutions: Array) -> Array:
    """First-order changes of the functions by removing each example.

    Args:
      system: the Hessian at the optimum.
      solutions: solutions of the systems whose right sides are the gradients of the
        functions, shape ``(functions, classes, features + 1)``.

    Returns:
      Shape ``(functions, examples)``.
    """
    rows, shares = score_gradients.rows_of(system.examples), system.shares
    penalized = system.settings.bias.penalized_part(system.weights)

    def of_one(solution: Array) -> Array:
        products = system.gradients * rows.scores(solution)
        # Rows of weight 0 may overflow.
        of_loss = jnp.sum(jnp.where(shares[None] > 0, products, 0), axis=0)
        return shares * (of_loss + system.l2 * jnp.vdot(penalized, solution))

    return jax.vmap(of_one)(solutions)


def _in_blocks(
    function: Callable[[Array], Array], vectors: Array, system: HessianSystem
) -> np.ndarray:
    size = max(1, _MAX_SCORES // system.scores.size)
    starts = range(0, len(vectors), size)
    parts = [np.asarray(function(vectors[start : start + size])) for start in starts]
    return np.concatenate(parts)
