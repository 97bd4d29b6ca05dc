"""State of the interior-point method, and the linear system of a step.

`jaxlin.solvers.interior_point` has the equations that are linearised here.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import losses
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.solvers import full_hessian, optimizer_state
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Array, Loss

# Solutions of the linear system per direction: the first, and two steps of iterative
# refinement. Near the optimum the derivatives of the duals exceed 1e12, and with one
# solution the change of the duals would lose the digits of the gap.
_SOLVES = 3


class InteriorState(NamedTuple):
    """State between two iterations.

    Attributes:
      params: best parameters so far, by their certificate.
      certificate: certificate of ``params``.
      weights: folded weights, shape ``(classes, features + 1)``.
      duals: duals g, above 0, shape ``(examples, classes)``. Where their sum is
        bounded, the dual of the right class is the rest to 1.
      slack: 1 - g, same shape; 1 where no single dual is bounded.
      lower: multipliers z of g >= 0, same shape.
      upper: multipliers t of g <= 1, same shape; 0 where no single dual is bounded.
      shift: relative shift of the Hessian's diagonal.
      failures: number of failed factorisations.
      idle_passes: number of passes in a row without a better certificate.
    """

    params: Params
    certificate: Certificate
    weights: Array
    duals: Array
    slack: Array
    lower: Array
    upper: Array
    shift: Array
    failures: Array
    idle_passes: Array


class Data(NamedTuple):
    """Arrays that all iterations share.

    Attributes:
      rows: normalised rows with the constant 1, shape ``(examples, features + 1)``.
      targets: labels, shape ``(examples,)``.
      shares: example weights that sum to 1, shape ``(examples,)``.
      is_free: whether a dual is a variable, shape ``(examples, classes)``.
    """

    rows: Array
    targets: Array
    shares: Array
    is_free: Array


def directions(
    state: InteriorState, data: Data, settings: Settings, *, loss: Loss
) -> Callable[[Array, Array, Array], InteriorState]:
    """Function ``(mu, of_lower, of_upper)`` to the change of duals and multipliers.

    It leads towards products mu; ``of_lower`` and ``of_upper`` are the products of
    changes that a corrector takes into account. The equations of the duals and the
    multipliers give the change of the duals as K (dv - kappa), where dv is the change
    of the violations. K is diagonal, or diagonal minus a matrix of rank one where the
    sum of the duals is bounded. Inserted into the equation of the weights, it leaves a
    system whose matrix is factorised once.
    """
    conjugate, l2 = conjugates.of(loss), jnp.asarray(settings.l2)
    duals, slack, lower, upper = state.duals, state.slack, state.lower, state.upper
    of_weights = functools.partial(violations, data=data, settings=settings, loss=loss)
    signed = of_weights(state.weights)
    cap_multiplier = upper
    if conjugate.cap == "sum":
        # The multiplier of the sum is that of the right class, whose violation is 0.
        is_label = jax.vmap(losses.is_label)(duals, data.targets)
        cap_multiplier = jnp.sum(jnp.where(is_label, lower, 0), axis=1, keepdims=True)
    residual = cap_multiplier - lower - signed + conjugate.curvature * duals
    curvature = lower / duals + upper / slack + conjugate.curvature
    diagonal = jnp.where(data.is_free, 1 / curvature, 0)
    gradient_of = jax.vmap(conjugate.score_gradient)

    def times_k(vectors: Array) -> Array:
        if conjugate.cap != "sum":
            return diagonal * vectors
        total = jnp.sum(diagonal, axis=1, keepdims=True)
        mean = jnp.sum(diagonal * vectors, axis=1, keepdims=True)
        return diagonal * (vectors - mean / jnp.where(total > 0, total, 1))

    def change_by(weights: Array) -> Array:
        # The difference of two violations would lose digits of a small change.
        return jax.jvp(of_weights, (state.weights,), (weights,))[1]

    def summed(duals: Array) -> Array:
        gradients = data.shares[:, None] * gradient_of(data.targets, duals)
        return gradients.T @ data.rows

    # The columns of K, mapped to the scores from both sides.
    basis = jnp.eye(duals.shape[1], dtype=duals.dtype)
    columns = jax.vmap(lambda unit: times_k(jnp.broadcast_to(unit, duals.shape)))(basis)
    for _ in range(2):
        mapped = jax.vmap(gradient_of, in_axes=(None, 0))(data.targets, columns)
        columns = jnp.transpose(mapped, (2, 1, 0))
    in_scores = data.shares[:, None, None] * jnp.transpose(columns, (1, 0, 2))
    matrix = full_hessian.full_hessian(
        data.rows, in_scores, is_separable=loss is losses.one_vs_rest_hinge
    )
    # Without a bias the constant of the rows is 0, and that entry stays 0.
    is_free = settings.bias is Bias.FREE
    penalized = Bias.FREE.penalized_part if is_free else Bias.PENALIZED.penalized_part
    matrix += jnp.diag(l2 * penalized(jnp.ones_like(state.weights)).ravel())
    if is_free and conjugate.shift_invariant:
        matrix = full_hessian.without_shift(matrix, *state.weights.shape)
    shift = state.shift * jnp.diag(jnp.diagonal(matrix))
    factor = jax.scipy.linalg.cho_factor(matrix + shift, lower=True)
    masked = jnp.where(data.is_free, duals, 0)
    stationarity = summed(masked) + l2 * penalized(state.weights)

    def direction(mu: Array, of_lower: Array, of_upper: Array) -> InteriorState:
        kappa = residual - (mu - of_lower) / duals + lower
        if conjugate.cap == "each":
            kappa += (mu - of_upper) / slack - upper
        weights, dual_change = jnp.zeros_like(state.weights), -times_k(kappa)
        for _ in range(_SOLVES):
            rest = -(stationarity + l2 * penalized(weights) + summed(dual_change))
            solved = jax.scipy.linalg.cho_solve(factor, rest.ravel())
            solved = optimizer_state.centered(loss, solved.reshape(weights.shape))
            weights, dual_change = (
                weights + solved,
                dual_change + times_k(change_by(solved)),
            )
        none = jnp.zeros_like(duals)
        is_capped = conjugate.cap == "each"
        of_cap = (mu - of_upper + upper * dual_change) / slack - upper
        return state._replace(
            weights=weights,
            duals=dual_change,
            slack=-dual_change if is_capped else none,
            lower=(mu - of_lower - lower * dual_change) / duals - lower,
            upper=of_cap if is_capped else none,
        )

    return direction


def violations(weights: Array, *, data: Data, settings: Settings, loss: Loss) -> Array:
    """Violations of all examples; 0 where a dual is no variable."""
    of_example = conjugates.of(loss).violations
    assert of_example is not None, "a hinge"
    arguments = dict(settings.loss_arguments or {})
    scores = data.rows @ weights.T
    found = jax.vmap(lambda *example: of_example(*example, **arguments))(
        scores, data.targets
    )
    # Rows of weight 0 may have overflowed; a NaN of another must be seen.
    return jnp.where(data.is_free & (found != -jnp.inf), found, 0)
