r"""Optimizer of certified fits: the decisions after each pass.

A pass over the rows at one candidate gives value, gradient and
`jaxlin.certificates.duality.Certificate` together. `advance` then decides from the
state alone whether to shorten the step of the line search, take a new direction or
begin a new round, so that each model under `jax.vmap` takes its own decision at every
iteration. The passes themselves are made over arrays (`jaxlin.solvers.certified`) or
blocks (`jaxlin.solvers.streaming`).

Smooth losses: L-BFGS with the preconditioner of `jaxlin.solvers.preconditioner`.

A free bias is no variable here: each pass minimises the objective over it
(`jaxlin.certificates.bias_search`), and what is left is a convex function of the
weights alone.

Hinges: the same on a smoothed hinge, whose maximiser is kept near a dual center c,

.. math:: \ell_\mu(s; c) = \max_g \langle s, u(g) \rangle - \ell^*(u(g))
          - \frac{\mu}{2} \|g - c\|^2

(the augmented Lagrangian of the exact problem, with one vector of duals c per example).
A round ends when the smoothed problem is solved about as well as it represents the
exact one (stationarity below excess, the two terms of the gap). The maximisers are then
the next dual centers, and the class Hessian S is computed anew. The smoothing therefore
need not go to 0, which is what makes smoothed hinges slow: at l2 = 1e-3 on CIFAR-10 the
Weston-Watkins hinge takes 67 passes to a certified gap of 1e-4; driving the smoothing
to 0 instead reached 4e-4 in 250. Rounds that end at half, twice or four times that
stationarity take as many passes, within 10 %, or up to half as many again.
So do dual centers beyond the maximisers: by .4 of the way 5 to 10 % fewer passes, by .8
up to half as many again.

References:
  R. T. Rockafellar. Augmented Lagrangians and applications of the proximal point
  algorithm in convex programming. Mathematics of Operations Research, 1976.
  W. W. Hager and H. Zhang. A new conjugate gradient method with guaranteed descent and
  an efficient line search. SIAM Journal on Optimization, 2005: approximate Wolfe test.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import linear
from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate, PassValues
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    class_hessian,
    lbfgs,
    line_search,
    optimizer_state,
    preconditioner,
)
from jaxlin.solvers.interface import Settings
from jaxlin.solvers.optimizer_state import OptimizerState
from jaxlin.typing import Array, Loss

# After a round of fewer passes than _EASY_ROUND the smoothing is halved; after one of
# more than _HARD_ROUND it grows by half.
_EASY_ROUND = 6
_HARD_ROUND = 16
# Smoothing of the first round's class Hessian, in units of the margin. At the first
# iterate all examples may violate the margin fully, and at the smoothing of the round
# the hinge has no curvature there; with this smoothing all of them are half way up.
_FIRST_HESSIAN_SMOOTHING = 2.0
# Below this step a line search has failed.
_SMALLEST_STEP = 2.0**-20
# Passes without a better certificate after which a model counts as stalled. A hinge's
# certificates vary from round to round, so it is allowed more; few are enough once
# rounding error exceeds the remaining gap.
_PATIENCE = 40
_PATIENCE_OF_HINGES = 200
_PATIENCE_IN_ROUNDING = 20


class OptimizerInfo(NamedTuple):
    """Diagnostics of a pass.

    Attributes:
      certificate: best certificate so far.
      relative_gap: sum of gap and rounding error of ``certificate``, over its
        objective.
      objective: objective at the candidate of the pass.
      gap: gap at the candidate of the pass, without rounding error.
      rounds: number of renewals of the dual centers; an earlier fit counts as one.
      stalled: whether to give up, because line searches fail or the certificate has not
        improved for long.
    """

    certificate: Certificate
    relative_gap: Array
    objective: Array
    gap: Array
    rounds: Array
    stalled: Array


class _LineSearch(NamedTuple):
    """Result of a line search after a pass at its candidate.

    Attributes:
      accepted: whether the candidate is the new iterate.
      failed: whether the step has become too small.
      shorter_step: step of the next candidate if this one was not accepted.
      history: pairs of L-BFGS, with the accepted step, or without any after a failure.
      iterate: folded weights of the iterate.
      value: smoothed objective at the iterate.
      gradient: gradient at the iterate.
    """

    accepted: Array
    failed: Array
    shorter_step: Array
    history: lbfgs.History
    iterate: Array
    value: Array
    gradient: Array


# Devices that multiply float32 with fewer digits would make the directions worse and
# with them the number of passes, though not the certificate.
@jax.default_matmul_precision("highest")
def advance(
    loss: Loss,
    state: OptimizerState,
    sums: RowSums,
    sampled: class_hessian.SampledRows,
    moment: preconditioner.SecondMoment,
    settings: Settings,
) -> tuple[OptimizerState, OptimizerInfo]:
    """Decides the next candidate, given the pass at ``state.candidate``.

    Args:
      loss: loss that has a conjugate; static.
      state: state before the pass. Its dual centers are not changed: if the new state
        begins a round (``begins_round``), the caller replaces them by the duals of the
        pass.
      sums: sums of `fenchel_young.example_function` at ``state.candidate``.
      sampled: sampled rows for the Hessian of the loss.
      moment: second moment of the rows.
      settings: hyperparameters of the model.

    Returns:
      The state before the next pass, and the diagnostics of this one.
    """
    smooth, l2 = conjugates.of(loss).smooth, jnp.asarray(settings.l2)
    found = judged(loss, linear.unfold_bias(state.candidate), sums, moment, settings)
    bound = line_search.suboptimality_bound(found.certificate)
    improved = bound < line_search.suboptimality_bound(state.certificate)
    search = _search_line(state, found, l2=l2, bias=settings.bias)
    next_round, smoothing, history = _end_round(
        state, search, found, smooth=smooth, l2=l2
    )
    classes = _class_hessian(loss, state, sampled, settings)
    descent = descent_direction(history, search.gradient, moment, classes, l2=l2)
    descent = optimizer_state.finished_direction(
        loss, descent, bias=settings.bias, center=moment.center
    )
    direction = jnp.where(search.accepted, descent, state.direction)
    step = jnp.where(search.accepted, jnp.ones_like(state.step), search.shorter_step)
    iterate = search.iterate
    candidate = jnp.where(next_round, iterate, iterate + step * direction)

    params, certificate = line_search.where(
        improved,
        (linear.unfold_bias(state.candidate), found.certificate),
        (state.params, state.certificate),
    )
    state = OptimizerState(
        params=params,
        certificate=certificate,
        candidate=candidate,
        iterate=iterate,
        value=search.value,
        gradient=search.gradient,
        direction=direction,
        step=step,
        history=history,
        classes=classes,
        dual_centers=state.dual_centers,
        smoothing=smoothing,
        begins_round=next_round,
        round_passes=jnp.where(next_round, 0, state.round_passes + 1),
        rounds=state.rounds + next_round,
        failures=jnp.where(
            search.failed,
            state.failures + 1,
            jnp.where(state.begins_round, state.failures, 0),
        ),
        idle_passes=jnp.where(improved, 0, state.idle_passes + 1),
        before=state.before,
    )
    return state, _info(state, found, smooth=smooth)


def judged(
    loss: Loss,
    params: Params,
    sums: RowSums,
    moment: preconditioner.SecondMoment,
    settings: Settings,
) -> PassValues:
    """Gradient and certificate at the parameters of a pass (`duality.pass_values`)."""
    return duality.pass_values(
        sums,
        params,
        loss=loss,
        l2=jnp.asarray(settings.l2),
        loss_arguments=settings.loss_arguments,
        bias=settings.bias,
        center=moment.center,
    )


def _search_line(
    state: OptimizerState, found: PassValues, *, l2: Array, bias: Bias
) -> _LineSearch:
    """Accepts or rejects the candidate, and chooses a shorter step."""
    # A round begins without a line search, at the last iterate of the round before.
    accepted = state.begins_round | line_search.decreases_enough(state, found)
    history = lbfgs.add_pair(
        state.history,
        bias.penalized_part(state.candidate - state.iterate),
        found.gradient - state.gradient,
        l2=l2,
        when=accepted & ~state.begins_round,
    )
    shorter_step = line_search.backtracked_step(state, found)
    failed = ~accepted & (shorter_step < _SMALLEST_STEP)
    history = line_search.where(failed, lbfgs.clear(history), history)
    iterate, value, gradient = line_search.where(
        accepted,
        (state.candidate, found.smoothed, found.gradient),
        (state.iterate, state.value, state.gradient),
    )
    return _LineSearch(
        accepted, failed, shorter_step, history, iterate, value, gradient
    )


def _end_round(
    state: OptimizerState,
    search: _LineSearch,
    found: PassValues,
    *,
    smooth: bool,
    l2: Array,
) -> tuple[Array, Array, lbfgs.History]:
    """Returns whether the next pass begins a round, with its smoothing and history."""
    # A hinge's round ends when its problem is solved as well as it represents the exact
    # one. A failed line search begins a round too, without the history that may have
    # caused the failure.
    is_near = found.stationarity <= found.excess
    solved = search.accepted & ~state.begins_round & is_near
    next_round = search.failed if smooth else search.failed | solved
    smoothing = jnp.where(solved, _next_smoothing(state), state.smoothing)
    # The loss's part of the curvature is proportional to 1 / smoothing.
    history = line_search.where(
        solved,
        lbfgs.rescale(search.history, state.smoothing / smoothing, l2=l2),
        search.history,
    )
    return next_round, smoothing, history


def _class_hessian(
    loss: Loss,
    state: OptimizerState,
    sampled: class_hessian.SampledRows,
    settings: Settings,
) -> class_hessian.ClassHessian:
    """Mean Hessian of the loss in the scores, computed anew as a round begins."""
    # Renewing it within rounds, or for smooth losses after some steps, gains nothing.
    # With the first smoothing no example is in the smoothed part of a hinge if all
    # violate the margin fully.
    wide = _FIRST_HESSIAN_SMOOTHING * optimizer_state.margin(
        settings.loss_arguments, state.smoothing.dtype
    )
    return class_hessian.renewed(
        loss,
        state.classes,
        state.candidate,
        sampled,
        smoothing=jnp.where(state.rounds == 0, wide, state.smoothing),
        loss_arguments=settings.loss_arguments,
        when=state.begins_round,
    )


def descent_direction(
    history: lbfgs.History,
    gradient: Array,
    moment: preconditioner.SecondMoment,
    classes: class_hessian.ClassHessian,
    *,
    l2: Array,
) -> Array:
    """Direction of L-BFGS in the preconditioner's metric."""
    return lbfgs.direction(
        history,
        gradient,
        lambda vector: preconditioner.solve(moment, classes, vector, l2=l2),
        l2=l2,
    )


def _info(state: OptimizerState, found: PassValues, *, smooth: bool) -> OptimizerInfo:
    """Diagnostics of a pass, given the state after it."""
    in_rounding = state.certificate.rounding > state.certificate.gap
    usual = _PATIENCE if smooth else _PATIENCE_OF_HINGES
    patience = jnp.where(in_rounding, _PATIENCE_IN_ROUNDING, usual)
    return OptimizerInfo(
        certificate=state.certificate,
        relative_gap=duality.relative_gap(state.certificate),
        objective=found.certificate.primal,
        gap=found.certificate.gap,
        rounds=state.rounds,
        stalled=(state.failures > 1) | (state.idle_passes >= patience),
    )


def _next_smoothing(state: OptimizerState) -> Array:
    """Smoothing of the next round: less after a short round, more after a long one."""
    easy, hard = state.round_passes < _EASY_ROUND, state.round_passes > _HARD_ROUND
    factor = jnp.where(easy, 0.5, jnp.where(hard, 1.5, 1.0))
    return factor.astype(state.smoothing.dtype) * state.smoothing
