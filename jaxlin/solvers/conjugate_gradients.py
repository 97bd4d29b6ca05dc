"""Preconditioned conjugate gradients.

Reference:
  M. R. Hestenes and E. Stiefel. Methods of conjugate gradients for solving linear
  systems. Journal of Research of the National Bureau of Standards, 1952.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxlin.typing import Array

# Largest number of products with the matrix.
_MAX_PRODUCTS = 500


def solution(
    times_hessian: Callable[[Array], Array],
    solve: Callable[[Array], Array],
    right: Array,
    *,
    tolerance: Array,
) -> Array:
    """Solution of a positive definite system, from 0.

    Args:
      times_hessian: applies the matrix to an array of the shape of ``right``.
      solve: applies the inverse of a preconditioner.
      right: right side.
      tolerance: squared norm of the residual, in the preconditioner's metric and
        relative to that of the right side, at which to stop.
    """
    first = solve(right)
    wanted = tolerance * jnp.vdot(right, first)

    def is_far(search: Any) -> Array:
        *_, size, count = search
        return (size > wanted) & (count < _MAX_PRODUCTS)

    def improve(search: Any) -> Any:
        found, residual, direction, size, count = search
        product = times_hessian(direction)
        curvature = jnp.vdot(direction, product)
        # Rounding may leave no curvature; such a step would lead uphill.
        step = jnp.where(curvature > 0, size / curvature, 0)
        count = jnp.where(curvature > 0, count, _MAX_PRODUCTS)
        found, residual = found + step * direction, residual - step * product
        solved = solve(residual)
        next_size = jnp.vdot(residual, solved)
        direction = solved + next_size / size * direction
        return found, residual, direction, next_size, count + 1

    search = (jnp.zeros_like(right), right, first, jnp.vdot(right, first), jnp.int32(0))
    found = jax.lax.while_loop(is_far, improve, search)[0]
    # Overflow, or no curvature at the start, leaves the step of the preconditioner.
    is_step = jnp.isfinite(found).all() & jnp.any(found != 0)
    return jnp.where(is_step, found, first)
