"""Line searches of certified fits.

L-BFGS (`jaxlin.solvers.optimizer`) and Newton's method (`jaxlin.solvers.newton`) test
candidates by passes (`decreases_enough`, `backtracked_step`). Newton's methods find a
step from the slopes along a direction, without passes (`step_of_small_slope`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate, PassValues
from jaxlin.typing import Array, PyTree

SUFFICIENT_DECREASE = 1e-4
# A step is taken once the slope there is at most this share of the slope at 0.
_SLOPE_SHARE = 0.3
_MAX_TRIALS = 30


def suboptimality_bound(certificate: Certificate) -> Array:
    """Bound on the distance of the objective from the minimum.

    The certificate's bound, or the objective itself where that is smaller: no loss is
    negative. Parameters without a useful certificate are thus compared by objective.
    """
    return jnp.minimum(duality.bound(certificate), certificate.primal)


def where(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    """Tree of ``yes`` where the condition holds, else of ``no``."""
    return jax.tree.map(lambda *leaves: jnp.where(condition, *leaves), yes, no)


def decreases_enough(state: Any, found: PassValues) -> Array:
    """Sufficient-decrease test of the candidate on the smoothed objective."""
    slope = jnp.vdot(state.gradient, state.direction)
    change = found.smoothed - state.value
    decrease = change <= SUFFICIENT_DECREASE * state.step * slope
    # Near the optimum the change is below rounding error; the slopes are not.
    noise = 8 * jnp.finfo(slope.dtype).eps * jnp.abs(state.value)
    slope_there = jnp.vdot(found.gradient, state.direction)
    return decrease | ((change <= noise) & (slope_there <= -0.8 * slope))


def backtracked_step(state: Any, found: PassValues) -> Array:
    """Next shorter step, between a tenth and half of the step.

    It is the minimiser of the parabola through the values at the iterate and the
    candidate, with the slope at the iterate.
    """
    slope = jnp.vdot(state.gradient, state.direction)
    rise = found.smoothed - state.value - state.step * slope
    step = -slope * jnp.square(state.step) / (2 * rise)
    # A NaN, from a candidate that overflowed, is replaced by the lower bound, too.
    step = jnp.where(jnp.isfinite(step), step, 0)
    return jnp.clip(step, 0.1 * state.step, 0.5 * state.step)


def step_of_small_slope(slope: Callable[[Array], Array], dtype: Any) -> Array:
    """Step along a descent direction of a convex function, near its minimum.

    The step starts at 1 and is doubled while the slope is negative. The bracket is then
    cut at the zero of the slopes' secant, and at its middle in every third trial, in
    case the secant makes slow progress. The step is 0 where the slope at 0 is not
    negative.
    """
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    first = slope(zero)

    def is_far(search: Any) -> Array:
        *_, found, trials = search
        return (
            (first < 0)
            & (jnp.abs(found) > -_SLOPE_SHARE * first)
            & (trials < _MAX_TRIALS)
        )

    def improve(search: Any) -> Any:
        low, slope_low, high, slope_high, step, found, trials = search
        falls = found < 0
        low = jnp.where(falls, step, low)
        slope_low = jnp.where(falls, found, slope_low)
        high = jnp.where(falls, high, step)
        slope_high = jnp.where(falls, slope_high, found)
        secant = low - slope_low * (high - low) / (slope_high - slope_low)
        inside = jnp.clip(secant, low + 0.1 * (high - low), high - 0.1 * (high - low))
        inside = jnp.where(trials % 3 == 2, (low + high) / 2, inside)
        step = jnp.where(high < jnp.inf, inside, 2 * low)
        return low, slope_low, high, slope_high, step, slope(step), trials + 1

    search = (zero, first, jnp.inf * one, one, one, slope(one), jnp.int32(0))
    *_, step, _, _ = jax.lax.while_loop(is_far, improve, search)
    return jnp.where(first < 0, step, 0)
