"""Line search of certified fits: acceptance of a candidate, and shorter steps.

L-BFGS (`jaxlin.solvers.optimizer`) and Newton's method (`jaxlin.solvers.newton`) share
it. Their states have a candidate, the value and gradient at the iterate, and the
direction and step that lead from one to the other.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate, PassValues
from jaxlin.typing import Array, PyTree

SUFFICIENT_DECREASE = 1e-4


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
