"""Covariance of linear functions of a fit's parameters, by systems with its Hessian."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.linear import Bias
from jaxlin.solvers import hessian_system, score_gradients
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.typing import Array, Loss

# Largest count of scores that are held at once.
_MAX_SCORES = 20_000_000
# Norm of the residual of a system, relative to its right side.
_TOLERANCE = 1e-8


def shift(system: HessianSystem, *, loss: Loss) -> np.ndarray:
    r"""First-order shift of the optimum by the penalty, :math:`-\lambda_2 H^{-1} W`.

    Args:
      system: the Hessian at the optimum.
      loss: its loss.

    Returns:
      Shape ``(classes, features + 1)``, the bias last.
    """
    with jax.enable_x64(True):
        penalized = system.settings.bias.penalized_part(system.weights)
        found = hessian_system.solve(
            system, -system.l2 * penalized[None], loss=loss, tolerance=_TOLERANCE
        )
        return np.asarray(found.values[0])


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
        settings = system.settings._replace(l2=np.zeros_like(system.settings.l2))
        mean_loss = system._replace(settings=settings)
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
