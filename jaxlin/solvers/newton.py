r"""Newton's method in float64, for problems whose Hessian fits into memory.

With C (D + 1) unknowns up to a few thousand the Hessian

.. math:: H = \frac{1}{\sum_i a_i} \sum_i a_i\, S_i \otimes x_i x_i^\top + \lambda_2 I,

S_i the Hessian of the loss in the scores, is factorised in less time than L-BFGS needs
for the last digits, and float64 proves gaps that float32 cannot. A step makes one
certified pass at its candidate and, where the candidate is accepted, a second pass for
the Hessian there.

Smooth losses: Newton's method with backtracking.

Hinges: the augmented Lagrangian rounds of `jaxlin.solvers.optimizer`, each solved by a
semismooth Newton method, whose Hessian has only the examples in the smoothed part of
the hinge. The smoothing falls by a factor at each round.

On standardised digits (650 unknowns) softmax at l2 = 1e-3, 1e-4 and 1e-5 takes 2, 4 and
11 steps after 60 float32 passes to a relative gap of 1e-6; the Weston-Watkins hinge 24,
40, 72, 84 and about 120 at l2 = 1e-1 .. 1e-5.

Reference:
  X. Li, D. Sun and K.-C. Toh. A highly efficient semismooth Newton augmented Lagrangian
  method for solving Lasso problems. SIAM Journal on Optimization, 2018.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import linear, objective
from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.numerics import compilation, device_mesh
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    certified,
    full_batch,
    full_hessian,
    line_search,
    optimizer,
    optimizer_state,
)
from jaxlin.solvers.fit_loop import Iteration, Iterations, Start
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.optimizer_state import Duals
from jaxlin.typing import Array, Loss

# Unknowns up to which a problem is small: the Hessian of 2,000 takes 32 MB and its
# factorisation .1 s on two cores.
MAX_UNKNOWNS = 2000
# The smoothing of a hinge, in units of its margin: factor per round, and the least.
_SMOOTHING_FACTOR = 0.3
_LEAST_SMOOTHING = 1e-4
# A round ends once its stationarity is below this share of the excess.
_SHARE_OF_EXCESS = 0.1
# Steps without a better certificate after which the method has stalled.
_PATIENCE = 20
_PATIENCE_OF_HINGES = 400
_SMALLEST_STEP = 2.0**-30


class NewtonState(NamedTuple):
    """State of Newton's method between two passes.

    Attributes:
      params: best parameters so far, by their certificate.
      certificate: certificate of ``params``.
      candidate: folded weights of the next pass, shape ``(classes, features + 1)``.
      iterate: folded weights at which the line search began.
      value: smoothed objective at the iterate.
      gradient: gradient at the iterate.
      direction: direction of the line search.
      step: length of the step that leads to the candidate.
      smoothing: smoothing of a hinge, in units of score.
      begins_round: whether the next pass begins a round, at the iterate itself.
      rounds: number of rounds begun.
      failures: number of failed line searches in a row.
      idle_passes: number of passes in a row without a better certificate.
    """

    params: Params
    certificate: Certificate
    candidate: Array
    iterate: Array
    value: Array
    gradient: Array
    direction: Array
    step: Array
    smoothing: Array
    begins_round: Array
    rounds: Array
    failures: Array
    idle_passes: Array


class _Decision(NamedTuple):
    """Decision after a pass, for the host.

    Attributes:
      takes_direction: whether the iterate is new and needs a Newton direction.
      solved: whether a hinge's round has ended, so that its duals become the centers.
    """

    takes_direction: Array
    solved: Array


def is_small(num_classes: int, num_features: int) -> bool:
    """Returns whether the Hessian of a problem of this shape is worth factorising."""
    return num_classes * (num_features + 1) <= MAX_UNKNOWNS


def iterations(examples: Examples, *, loss: Loss, settings: Settings) -> Iterations:
    """Iterations of a fit, each one pass, for `jaxlin.solvers.fit_loop.certify`.

    They are meant for parameters in float64, under ``jax.enable_x64(True)``.

    Args:
      examples: prepared examples (`jaxlin.solvers.certified.prepare`).
      loss: one of the six losses that have a conjugate.
      settings: l2 and loss arguments; all else None.
    """
    rows = certified.row_source(examples, loss=loss)

    def iterations_from(start: Start, budget: int) -> Iterator[Iteration]:
        begun, centers = full_batch.begin(rows, start, loss=loss, settings=settings)
        state = NewtonState(*(getattr(begun, name) for name in NewtonState._fields))
        cast = full_batch.in_dtype_of(settings, state.candidate)
        for _ in range(budget):
            sums, duals = rows.evaluate(
                state.candidate, centers, state.smoothing, cast.loss_arguments
            )
            state, info, decision = _advance(state, sums, cast, loss=loss)
            info, decision = device_mesh.on_host((info, decision))
            if decision.takes_direction:
                state = _with_direction(state, examples, centers, cast, loss=loss)
            if decision.solved:
                centers = duals
            yield Iteration(state.params, Duals(centers, state.smoothing), info)

    return iterations_from


# The problems of this method are small.
@functools.partial(
    jax.jit,
    static_argnames=("loss",),
    compiler_options=compilation.FEW_OPTIMISATIONS,
)
def _advance(
    state: NewtonState, sums: RowSums, settings: Settings, *, loss: Loss
) -> tuple[NewtonState, optimizer.OptimizerInfo, _Decision]:
    """State after a pass: a shorter step, a new iterate or a new round."""
    params, smooth = linear.unfold_bias(state.candidate), conjugates.of(loss).smooth
    found = duality.pass_values(sums, params, l2=jnp.asarray(settings.l2))
    accepted = state.begins_round | line_search.decreases_enough(state, found)
    shorter = line_search.backtracked_step(state, found)
    failed = ~accepted & (shorter < _SMALLEST_STEP)
    solved = jnp.zeros((), bool)
    if not smooth:
        solved = accepted & (found.stationarity <= _SHARE_OF_EXCESS * found.excess)
    next_round = failed | solved
    iterate, value, gradient = line_search.where(
        accepted,
        (state.candidate, found.smoothed, found.gradient),
        (state.iterate, state.value, state.gradient),
    )
    bound = line_search.suboptimality_bound
    improved = bound(found.certificate) < bound(state.certificate)
    best, certificate = line_search.where(
        improved, (params, found.certificate), (state.params, state.certificate)
    )
    least = _LEAST_SMOOTHING * optimizer_state.margin(
        settings.loss_arguments, state.smoothing.dtype
    )
    smaller = jnp.maximum(_SMOOTHING_FACTOR * state.smoothing, least)
    after = NewtonState(
        params=best,
        certificate=certificate,
        candidate=jnp.where(next_round, iterate, iterate + shorter * state.direction),
        iterate=iterate,
        value=value,
        gradient=gradient,
        direction=state.direction,
        step=shorter,
        smoothing=jnp.where(solved, smaller, state.smoothing),
        begins_round=next_round,
        rounds=state.rounds + next_round,
        failures=jnp.where(accepted, 0, state.failures + failed),
        idle_passes=jnp.where(improved, 0, state.idle_passes + 1),
    )
    patience = _PATIENCE if smooth else _PATIENCE_OF_HINGES
    info = optimizer.OptimizerInfo(
        certificate=certificate,
        relative_gap=duality.relative_gap(certificate),
        objective=found.certificate.primal,
        gap=found.certificate.gap,
        rounds=after.rounds,
        stalled=(after.failures > 1) | (after.idle_passes >= patience),
    )
    return after, info, _Decision(accepted & ~next_round, solved)


@functools.partial(jax.jit, static_argnames=("loss",))
def _with_direction(
    state: NewtonState,
    examples: Examples,
    dual_centers: Array,
    settings: Settings,
    *,
    loss: Loss,
) -> NewtonState:
    """State with a Newton direction at its iterate and the candidate along it."""
    direction, step = _direction_and_step(
        state, examples, dual_centers, settings, loss=loss
    )
    candidate = state.iterate + step * direction
    return state._replace(candidate=candidate, direction=direction, step=step)


def _direction_and_step(
    state: NewtonState,
    examples: Examples,
    dual_centers: Array,
    settings: Settings,
    *,
    loss: Loss,
) -> tuple[Array, Array]:
    """Newton direction at the iterate, and a step that decreases the objective."""
    l2, iterate, gradient = jnp.asarray(settings.l2), state.iterate, state.gradient
    matrix = full_hessian.full_hessian(
        iterate,
        examples,
        dual_centers,
        state.smoothing,
        settings.loss_arguments,
        loss=loss,
    )
    matrix += l2 * jnp.eye(len(matrix), dtype=matrix.dtype)
    factor = jax.scipy.linalg.cho_factor(matrix, lower=True)
    solved = -jax.scipy.linalg.cho_solve(factor, gradient.ravel())
    # A factorisation that rounding breaks gives NaN.
    solved = jnp.where(jnp.isfinite(solved).all(), solved, -gradient.ravel())
    direction = solved.reshape(gradient.shape)
    slope = jnp.vdot(gradient, direction)

    # The scores along the direction are linear, so that a trial needs no pass.
    smoothed = _smoothed_loss(
        examples, dual_centers, state.smoothing, settings, loss=loss
    )
    at_iterate = _scores(iterate, examples)
    along = _scores(direction, examples)
    linear_term = jnp.vdot(iterate, direction)
    quadratic_term = jnp.vdot(direction, direction)
    start = smoothed(at_iterate)

    def change(step: Array) -> Array:
        penalty = l2 * (step * linear_term + step**2 / 2 * quadratic_term)
        return smoothed(at_iterate + step * along) - start + penalty

    def is_too_long(search: tuple[Array, Array]) -> Array:
        step, found = search
        return ~(found <= line_search.SUFFICIENT_DECREASE * step * slope) & (
            step > _SMALLEST_STEP
        )

    def shorten(search: tuple[Array, Array]) -> tuple[Array, Array]:
        step, found = search
        # Minimum of the parabola through both values and the slope, within bounds.
        best = -slope * step**2 / (2 * (found - step * slope))
        best = jnp.where(jnp.isfinite(best), best, 0)
        step = jnp.clip(best, 0.1 * step, 0.5 * step)
        return step, change(step)

    one = jnp.ones_like(state.step)
    step, _ = jax.lax.while_loop(is_too_long, shorten, (one, change(one)))
    # Near the optimum the change is lost in rounding; the next pass looks at slopes.
    return direction, jnp.where(step > _SMALLEST_STEP, step, 1)


def _scores(weights: Array, examples: Examples) -> Array:
    """Scores of all rows by folded weights, shape ``(examples, classes)``."""
    params = linear.unfold_bias(weights)
    return objective.blocked_scores(
        params, examples.features, normalization=examples.normalization
    )


def _smoothed_loss(
    examples: Examples,
    dual_centers: Array,
    smoothing: Array,
    settings: Settings,
    *,
    loss: Loss,
) -> Callable[[Array], Array]:
    """Weighted mean of the smoothed loss as a function of all scores."""
    conjugate, arguments = conjugates.of(loss), dict(settings.loss_arguments or {})

    def of_example(scores: Array, target: Any, center: Array) -> Array:
        if conjugate.smooth:
            return loss(scores, target, **arguments)
        given = {"smoothing": smoothing, **arguments}
        duals = conjugate.duals(scores, target, center, **given)
        return conjugate.smoothed(scores, target, duals, center, **given)

    def mean(scores: Array) -> Array:
        values = jax.vmap(of_example)(scores, examples.targets, dual_centers)
        weights = examples.example_weights
        if weights is not None:
            weights = weights.astype(values.dtype)
        return objective.weighted_mean(values, example_weights=weights)

    return mean
