r"""The search for the optimum: what is decided after each evaluation.

An evaluation is one pass over the rows at one candidate iterate, which gives value,
gradient and `jaxlin.certificates.duality.Certificate` together. What happens next,
another try of the line search, a new direction or a new round, is decided by `advance`
from the state alone, so models under `jax.vmap` each do what they need at every
iteration; who makes the passes, over arrays (`jaxlin.solvers.certified`) or blocks
(`jaxlin.solvers.streaming`), is not known here.

Smooth losses: L-BFGS in the metric of `jaxlin.solvers.preconditioner`.

Hinges: the same on a smoothed hinge, whose maximiser is kept near a center,

.. math:: \ell_\mu(s; c) = \max_g \langle s, u(g) \rangle - \ell^*(u(g))
          - \frac{\mu}{2} \|g - c\|^2

(the augmented Lagrangian of the exact problem, with duals c, one vector an
example). When the smoothed problem is solved about as well as it represents the exact
one (stationarity below excess, the two terms of the gap), the maximisers become the
next center, and the curvature S is taken afresh. So the smoothing need not go to 0,
which is what makes smoothed hinges slow: at l2 = 1e-3 on CIFAR-10 the Weston-Watkins
hinge takes 67 evaluations to a certified gap of 1e-4; driving the smoothing to 0
instead reached 4e-4 in 250.

References:
  R. T. Rockafellar. Augmented Lagrangians and applications of the proximal iterate
  algorithm in convex programming. Mathematics of Operations Research, 1976.
  W. W. Hager and H. Zhang. A new conjugate gradient method with guaranteed descent and
  an efficient line search. SIAM Journal on Optimization, 2005: approximate Wolfe test.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import linear
from jaxlin.certificates import duality, fenchel_young
from jaxlin.certificates.duality import Certificate, PassValues
from jaxlin.losses import conjugates
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import lbfgs, optimizer_state, preconditioner
from jaxlin.solvers.interface import Settings
from jaxlin.solvers.optimizer_state import OptimizerState
from jaxlin.typing import Array, Loss, PyTree

# Evaluations of a round below which its smoothing is halved and above which it grows by
# half.
_EASY_ROUND = 6
_HARD_ROUND = 16
# The first round, from an iterate where all examples may violate the margin fully, has
# no curvature at that smoothing; this one sees all of them half way.
_FIRST_SMOOTHING = 2.0
_SUFFICIENT_DECREASE = 1e-4
# Below this step a line search has failed.
_SMALLEST_STEP = 2.0**-20
# Evaluations without a better certificate after which a model counts as stalled. A
# hinge's certificates come and go with its rounds, so it gets more of them; few are
# enough once what rounding may hide is more than the gap that is left.
_PATIENCE = 40
_PATIENCE_OF_HINGES = 200
_PATIENCE_IN_ROUNDING = 20


class OptimizerInfo(NamedTuple):
    """What an evaluation tells.

    Attributes:
      certificate: the best so far.
      relative_gap: of that: gap and rounding over the objective.
      objective: at the iterate just evaluated.
      gap: of the iterate just evaluated, without rounding.
      rounds: how often the duals were renewed, an earlier fit's counted as once.
      stalled: whether to give up: line searches fail, or nothing has improved for long.
    """

    certificate: Certificate
    relative_gap: Array
    objective: Array
    gap: Array
    rounds: Array
    stalled: Array


def shared(state: OptimizerState, settings: Settings) -> fenchel_young.TermArguments:
    """The traced arguments of the next pass: smoothing and the loss's own."""
    return fenchel_young.term_arguments(
        linear.unfold_bias(state.candidate), state.smoothing, settings.loss_arguments
    )


# Devices that multiply float32 with fewer digits would spoil the directions, and with
# them the number of evaluations, though not the certificate.
@jax.default_matmul_precision("highest")
def advance(
    loss: Loss,
    state: OptimizerState,
    sums: RowSums,
    sampled: preconditioner.Sampled,
    moment: preconditioner.SecondMoment,
    settings: Settings,
) -> tuple[OptimizerState, OptimizerInfo]:
    """Decides what to evaluate next, given the pass at ``state.candidate``.

    Args:
      loss: static.
      state: before the evaluation. Its dual_centers are not touched: if the new state
        begins a round (``is_round``), the caller puts the example function's outputs
        there.
      sums: of `fenchel_young.example_function` at ``state.candidate``.
      sampled: rows for the curvature of the loss.
      moment: second moment of the rows.
      settings: of the model.
    """
    smooth, l2 = conjugates.of(loss).smooth, jnp.asarray(settings.l2)
    found = duality.pass_values(sums, linear.unfold_bias(state.candidate), l2=l2)
    improved = _unproven(found.certificate) < _unproven(state.certificate)

    # Line search. A round has none: its iterate is where the last one ended.
    accepted = state.is_round | _is_enough(state, found)
    history = lbfgs.remember(
        state.history,
        state.candidate - state.iterate,
        found.gradient - state.gradient,
        l2=l2,
        when=accepted & ~state.is_round,
    )
    shorter = _shorter_step(state, found)
    failed = ~accepted & (shorter < _SMALLEST_STEP)
    history = _where(failed, lbfgs.forget(history), history)
    iterate, value, gradient = _where(
        accepted,
        (state.candidate, found.smoothed, found.gradient),
        (state.iterate, state.value, state.gradient),
    )

    # A hinge's round is over when it is solved as well as it represents the problem. A
    # failed search begins one too, without the history that may have caused it.
    solved = accepted & ~state.is_round & (found.stationarity <= found.excess)
    next_round = failed if smooth else failed | solved
    smoothing = jnp.where(solved, _next_smoothing(state), state.smoothing)
    # The part of the curvature that is the loss's goes with 1 / smoothing.
    history = _where(
        solved,
        lbfgs.rescale(history, state.smoothing / smoothing, l2=l2),
        history,
    )

    # Afresh within rounds, or for smooth losses after some steps, gains nothing.
    # With the first smoothing no example is half way if all violate the margin fully.
    wide = _FIRST_SMOOTHING * optimizer_state.margin(
        settings.loss_arguments, state.smoothing.dtype
    )
    classes = preconditioner.renewed(
        loss,
        state.classes,
        state.candidate,
        sampled,
        smoothing=jnp.where(state.rounds == 0, wide, state.smoothing),
        loss_arguments=settings.loss_arguments,
        when=state.is_round,
    )
    downhill = lbfgs.direction(
        history,
        gradient,
        lambda vector: preconditioner.solve(moment, classes, vector, l2=l2),
        l2=l2,
    )
    direction = jnp.where(accepted, downhill, state.direction)
    step = jnp.where(accepted, jnp.ones_like(state.step), shorter)
    candidate = jnp.where(next_round, iterate, iterate + step * direction)

    params, certificate = _where(
        improved,
        (linear.unfold_bias(state.candidate), found.certificate),
        (state.params, state.certificate),
    )
    state = OptimizerState(
        params=params,
        certificate=certificate,
        candidate=candidate,
        iterate=iterate,
        value=value,
        gradient=gradient,
        direction=direction,
        step=step,
        history=history,
        classes=classes,
        dual_centers=state.dual_centers,
        smoothing=smoothing,
        is_round=next_round,
        iterations=jnp.where(next_round, 0, state.iterations + 1),
        rounds=state.rounds + next_round,
        failures=jnp.where(
            failed, state.failures + 1, jnp.where(state.is_round, state.failures, 0)
        ),
        idle=jnp.where(improved, 0, state.idle + 1),
    )
    in_rounding = certificate.rounding > certificate.gap
    usual = _PATIENCE if smooth else _PATIENCE_OF_HINGES
    patience = jnp.where(in_rounding, _PATIENCE_IN_ROUNDING, usual)
    return state, OptimizerInfo(
        certificate=certificate,
        relative_gap=duality.relative_gap(certificate),
        objective=found.certificate.primal,
        gap=found.certificate.gap,
        rounds=state.rounds,
        stalled=(state.failures > 1) | (state.idle >= patience),
    )


@jax.default_matmul_precision("highest")
def warm_started(
    loss: Loss,
    state: OptimizerState,
    sampled: preconditioner.Sampled,
    moment: preconditioner.SecondMoment,
    settings: Settings,
    *,
    l2: Array,
) -> OptimizerState:
    """The state of a search that goes on with another l2 from where it has come to.

    What was learnt of the loss stays: pairs of L-BFGS, which are kept without the
    penalty's part, and the duals and smoothing of a hinge. Value and gradient of
    a smooth loss there follow from those at the old l2, so that its next evaluation is
    at a new iterate already; a hinge begins a round. Along 26 l2 of CIFAR-10 from 20
    down to 1e-5, each to a gap of 1e-3, softmax takes 101 evaluations so, 181 from the
    solution before alone, 290 from 0.

    Args:
      loss: static.
      state: after an `advance`.
      sampled: as of `advance`.
      moment: as of `advance`.
      settings: of the model before.
      l2: of the model that begins.
    """
    old, iterate = jnp.asarray(settings.l2), state.iterate
    smooth = conjugates.of(loss).smooth
    if not smooth:
        first = optimizer_state.first_smoothing(settings.loss_arguments, iterate.dtype)
        smoothing = optimizer_state.smoothing_again(first, state.smoothing)
        history = lbfgs.rescale(state.history, state.smoothing / smoothing, l2=l2)
        return optimizer_state.restarted_at(
            state._replace(history=history, smoothing=smoothing), iterate
        )
    value = state.value + (l2 - old) / 2 * jnp.sum(jnp.square(iterate))
    gradient = state.gradient + (l2 - old) * iterate
    classes = preconditioner.of_loss(
        loss,
        iterate,
        sampled,
        smoothing=state.smoothing,
        loss_arguments=settings.loss_arguments,
    )
    # Without the curvature of a stronger penalty some may have none.
    history = lbfgs.rescale(state.history, jnp.ones_like(l2), l2=l2)
    direction = lbfgs.direction(
        history,
        gradient,
        lambda vector: preconditioner.solve(moment, classes, vector, l2=l2),
        l2=l2,
    )
    begun = optimizer_state.restarted_at(state, iterate + direction)
    return begun._replace(
        # Kept, with the objective alone, if no candidate is lower.
        params=linear.unfold_bias(iterate),
        certificate=begun.certificate._replace(primal=value),
        iterate=iterate,
        value=value,
        gradient=gradient,
        direction=direction,
        step=jnp.ones_like(state.step),
        history=history,
        classes=classes,
        is_round=jnp.zeros_like(state.is_round),
    )


def _unproven(certificate: Certificate) -> Array:
    """How much lower the minimum may be: no loss is negative, whatever was proven.

    So what is kept is the best proof, and the lowest objective where none is worth more
    than that.
    """
    return jnp.minimum(duality.bound(certificate), certificate.primal)


def _where(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    return jax.tree.map(lambda *leaves: jnp.where(condition, *leaves), yes, no)


def _is_enough(state: OptimizerState, found: PassValues) -> Array:
    """Whether the candidate iterate decreases the smoothed objective enough."""
    slope = jnp.vdot(state.gradient, state.direction)
    change = found.smoothed - state.value
    decrease = change <= _SUFFICIENT_DECREASE * state.step * slope
    # Near the optimum the change drowns in rounding; the slopes still tell.
    noise = 8 * jnp.finfo(slope.dtype).eps * jnp.abs(state.value)
    slope_there = jnp.vdot(found.gradient, state.direction)
    return decrease | ((change <= noise) & (slope_there <= -0.8 * slope))


def _shorter_step(state: OptimizerState, found: PassValues) -> Array:
    """Minimum of the parabola through both values and the slope, within bounds."""
    slope = jnp.vdot(state.gradient, state.direction)
    rise = found.smoothed - state.value - state.step * slope
    step = -slope * jnp.square(state.step) / (2 * rise)
    # The lower bound also takes the place of a NaN, from a candidate that overflowed.
    step = jnp.where(jnp.isfinite(step), step, 0)
    return jnp.clip(step, 0.1 * state.step, 0.5 * state.step)


def _next_smoothing(state: OptimizerState) -> Array:
    """Less where rounds are too easy to be worth their number, more where too hard."""
    easy, hard = state.iterations < _EASY_ROUND, state.iterations > _HARD_ROUND
    factor = jnp.where(easy, 0.5, jnp.where(hard, 1.5, 1.0))
    return factor.astype(state.smoothing.dtype) * state.smoothing
