r"""Newton's method in float64, for smooth losses of small problems.

The Hessian is

.. math:: H = \frac{1}{\sum_i a_i} \sum_i a_i\, S_i \otimes x_i x_i^\top + \lambda_2 I,

S_i that of the loss in the scores. An iteration makes one certified pass at its
candidate. Where that is accepted, conjugate gradients solve the Newton system in the
metric of L-BFGS, approximately: the residual follows the gap. Each of their iterations
takes two products with the rows. The line search needs no pass: along a direction the
scores are linear. float64 proves gaps that float32 cannot.

On standardised digits, to a relative gap of 1e-6 at l2 = 1e-4, six of these Newton
steps take 6 ms each. Steps with a factorised Hessian took 27 ms each; three sufficed.

Hinges and the squared hinge are left to `jaxlin.solvers.interior_point`.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import linear
from jaxlin.certificates import duality, fenchel_young
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.numerics import compilation, device_mesh
from jaxlin.objective import row_sums
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    certified,
    class_hessian,
    conjugate_gradients,
    full_batch,
    full_hessian,
    interior_point,
    line_search,
    optimizer,
    optimizer_state,
    preconditioner,
)
from jaxlin.solvers.class_hessian import SampledRows
from jaxlin.solvers.fit_loop import Iteration, Iterations, Start
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.optimizer_state import Duals
from jaxlin.solvers.preconditioner import SecondMoment
from jaxlin.typing import Array, Loss

# Largest number of unknowns of a small problem: the Hessian of 2,000, which the
# interior-point method factorises, takes 32 MB and .1 s on two cores.
MAX_UNKNOWNS = 2000
# Largest count of numbers in rows, duals and Hessians of all examples in the scores:
# 400 MB.
_MAX_NUMBERS = 50_000_000
# A step is taken once the slope there is at most this share of the slope at 0.
_SLOPE_SHARE = 0.3
_MAX_TRIALS = 30
# Squared residual of a Newton system, relative to the right side: the best relative gap
# so far, within these bounds.
_LEAST_RESIDUAL = 1e-10
_LARGEST_RESIDUAL = 0.1
# Passes without a better certificate after which the method has stalled.
_PATIENCE = 20
_SMALLEST_STEP = 2.0**-30


class NewtonState(NamedTuple):
    """State of Newton's method between two passes.

    Attributes:
      params: best parameters so far, by their certificate.
      certificate: certificate of ``params``.
      candidate: folded weights of the next pass, shape ``(classes, features + 1)``.
      iterate: folded weights at which the line search began.
      value: objective at the iterate.
      gradient: gradient at the iterate.
      direction: direction of the line search.
      step: length of the step that leads to the candidate.
      begins_round: whether the next pass is at the iterate itself.
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
    begins_round: Array
    failures: Array
    idle_passes: Array


def is_small(*, num_classes: int, num_features: int, num_examples: int) -> bool:
    """Returns whether `iterations` is meant for a problem of this shape.

    The interior-point method factorises a Hessian at each iterate; smooth losses share
    its limit. The rows must fit into the memory of one device in float64.
    """
    unknowns = num_classes * (num_features + 1)
    # The interior-point method holds four arrays of Hessians in the scores at once.
    numbers = num_examples * (num_features + 16 * num_classes + 4 * num_classes**2)
    is_on_one_device = device_mesh.num_shards(num_examples) == 1
    is_short = unknowns <= MAX_UNKNOWNS and numbers <= _MAX_NUMBERS
    return is_short and is_on_one_device and device_mesh.has_float64()


def iterations(examples: Examples, *, loss: Loss, settings: Settings) -> Iterations:
    """Iterations of a fit, each one pass, for `jaxlin.solvers.fit_loop.minimize`.

    They are meant for parameters in float64, under ``jax.enable_x64(True)``. Products
    of rows and directions are not counted as passes.

    Args:
      examples: prepared examples (`jaxlin.solvers.certified.prepare`).
      loss: one of the six losses that have a conjugate; a hinge or its square takes the
        iterations of `jaxlin.solvers.interior_point`.
      settings: l2 and loss arguments; all else None.
    """
    if conjugates.of(loss).violations is not None:
        return interior_point.iterations(examples, loss=loss, settings=settings)
    source = certified.row_source(examples, loss=loss)

    def iterations_from(start: Start, budget: int) -> Iterator[Iteration]:
        begun, centers = full_batch.begin(source, start, loss=loss, settings=settings)
        state = NewtonState(*(getattr(begun, name) for name in NewtonState._fields))
        cast = full_batch.in_dtype_of(settings, state.candidate)
        quickly = compilation.is_worth_it(state.candidate.size)
        advance = _advance_quickly if quickly else _advance
        sampled = source.sampled(centers)
        for _ in range(budget):
            sums, _ = source.evaluate(
                state.candidate, centers, begun.smoothing, cast.loss_arguments
            )
            state, info, takes_direction = advance(state, sums, cast)
            info, takes_direction = device_mesh.on_host((info, takes_direction))
            yield Iteration(state.params, Duals(centers, begun.smoothing), info)
            # A fit that is over needs no direction.
            if takes_direction:
                state = _with_direction(
                    state, examples, source.moment, sampled, cast, loss=loss
                )

    return iterations_from


def _decide(
    state: NewtonState, sums: RowSums, settings: Settings
) -> tuple[NewtonState, optimizer.OptimizerInfo, Array]:
    """State after a pass, its diagnostics, and whether the iterate is a new one."""
    params = linear.unfold_bias(state.candidate)
    found = duality.pass_values(sums, params, l2=jnp.asarray(settings.l2))
    accepted = state.begins_round | line_search.decreases_enough(state, found)
    shorter = line_search.backtracked_step(state, found)
    failed = ~accepted & (shorter < _SMALLEST_STEP)
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
    after = NewtonState(
        params=best,
        certificate=certificate,
        candidate=jnp.where(failed, iterate, iterate + shorter * state.direction),
        iterate=iterate,
        value=value,
        gradient=gradient,
        direction=state.direction,
        step=shorter,
        begins_round=failed,
        # The pass that begins anew after a failure is no success.
        failures=jnp.where(
            failed, state.failures + 1, jnp.where(state.begins_round, state.failures, 0)
        ),
        idle_passes=jnp.where(improved, 0, state.idle_passes + 1),
    )
    info = optimizer.OptimizerInfo(
        certificate=certificate,
        relative_gap=duality.relative_gap(certificate),
        objective=found.certificate.primal,
        gap=found.certificate.gap,
        rounds=jnp.zeros((), jnp.int32),
        stalled=(after.failures > 1) | (after.idle_passes >= _PATIENCE),
    )
    return after, info, accepted


_advance = jax.jit(_decide)
_advance_quickly = jax.jit(_decide, compiler_options=compilation.FEW_OPTIMISATIONS)


@functools.partial(jax.jit, static_argnames=("loss",))
def _with_direction(
    state: NewtonState,
    examples: Examples,
    moment: SecondMoment,
    sampled: SampledRows,
    settings: Settings,
    *,
    loss: Loss,
) -> NewtonState:
    """State with a Newton direction at its iterate and the candidate along it."""
    dtype, l2 = state.iterate.dtype, jnp.asarray(settings.l2)
    rows = row_sums.extended_rows(examples.features, examples.normalization, dtype)
    shares = full_hessian.shares(examples, dtype)
    arguments = dict(settings.loss_arguments or {})
    conjugate = conjugates.of(loss)

    def score_gradient(scores: Array, target: Any) -> Array:
        target = fenchel_young.target_in_dtype(target, dtype)
        duals = conjugate.duals(
            scores, target, jnp.zeros_like(scores), smoothing=1.0, **arguments
        )
        return conjugate.score_gradient(target, duals)

    def weighted_gradients(scores: Array) -> Array:
        gradients = jax.vmap(score_gradient)(scores, examples.targets)
        # The scores of rows with weight 0 may overflow.
        return jnp.where(shares[:, None] > 0, shares[:, None] * gradients, 0)

    scores = rows @ state.iterate.T
    _, along_scores = jax.linearize(weighted_gradients, scores)
    classes = class_hessian.of_loss(
        loss,
        state.iterate,
        sampled,
        smoothing=jnp.ones((), dtype),
        loss_arguments=settings.loss_arguments,
    )
    direction = conjugate_gradients.solution(
        lambda vector: along_scores(rows @ vector.T).T @ rows + l2 * vector,
        lambda vector: preconditioner.solve(moment, classes, vector, l2=l2),
        -state.gradient,
        tolerance=jnp.clip(
            jnp.nan_to_num(
                duality.relative_gap(state.certificate), nan=_LARGEST_RESIDUAL
            ),
            _LEAST_RESIDUAL,
            _LARGEST_RESIDUAL,
        ),
    )
    direction = optimizer_state.centered(loss, direction)

    along = rows @ direction.T
    at_iterate = jnp.vdot(state.iterate, direction)
    squares = jnp.vdot(direction, direction)

    def slope(step: Array) -> Array:
        gradients = jax.vmap(score_gradient)(scores + step * along, examples.targets)
        products = jnp.sum(gradients * along, axis=1)
        of_loss = jnp.sum(jnp.where(shares > 0, shares * products, 0))
        return of_loss + l2 * (at_iterate + step * squares)

    step = _step_of_small_slope(slope, dtype)
    candidate = state.iterate + step * direction
    return state._replace(candidate=candidate, direction=direction, step=step)


def _step_of_small_slope(slope: Callable[[Array], Array], dtype: Any) -> Array:
    """Step along a descent direction of a convex function, near its minimum.

    The step starts at 1 and is doubled while the slope is negative. The bracket is then
    cut at the zero of the slopes' secant, and at its middle in every third trial, in
    case the secant makes slow progress.
    """
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    first = slope(zero)

    def is_far(search: Any) -> Array:
        *_, found, trials = search
        return (jnp.abs(found) > -_SLOPE_SHARE * first) & (trials < _MAX_TRIALS)

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
    return step
