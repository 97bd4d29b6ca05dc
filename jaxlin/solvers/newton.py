r"""Newton's method by conjugate gradients in float64, for smooth losses.

The Hessian is

.. math:: H = \frac{1}{\sum_i a_i} \sum_i a_i\, S_i \otimes x_i x_i^\top + \lambda_2 I,

S_i that of the loss in the scores. An iteration makes one certified pass at its
candidate. Where that is accepted, conjugate gradients solve the Newton system in the
metric of L-BFGS, up to a squared residual of the gap, or of half the gap that is wanted
over it, if that is more. Each of their iterations
takes two products with the rows, in float32 unless the rows are float64: a direction
needs few digits. The line search needs no pass: along a direction the scores are
linear. float64 proves gaps that float32 cannot.

On standardised digits, to a relative gap of 1e-6 at l2 = 1e-4, six of these Newton
steps take 6 ms each. Steps with a factorised Hessian took 27 ms each; three sufficed.

Small problems with a hinge or its square have a method of their own, with a factorised
Hessian: `jaxlin.solvers.interior_point`.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import linear
from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.numerics import compilation, device_mesh
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    certified,
    class_hessian,
    conjugate_gradients,
    full_batch,
    line_search,
    optimizer,
    optimizer_state,
    preconditioner,
    score_gradients,
)
from jaxlin.solvers.class_hessian import SampledRows
from jaxlin.solvers.fit_loop import Iteration, Iterations, Start
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.optimizer_state import Duals
from jaxlin.solvers.preconditioner import SecondMoment
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array, Loss

# Squared residual of a Newton system, relative to the right side: within these bounds.
_LEAST_RESIDUAL = 1e-10
_LARGEST_RESIDUAL = 0.1
# A step that ends the fit should leave this share of the gap that is wanted.
_SHARE_OF_WANTED_GAP = 0.5
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


def iterations(examples: Examples, *, loss: Loss, settings: Settings) -> Iterations:
    """Iterations of a fit, each one pass, for `jaxlin.solvers.fit_loop.minimize`.

    They are meant for parameters in float64, under ``jax.enable_x64(True)``. Products
    of rows and directions are not counted as passes.

    Args:
      examples: prepared examples (`jaxlin.solvers.certified.prepare`).
      loss: a smooth one that has a conjugate.
      settings: l2 and loss arguments; all else None.
    """
    source = certified.row_source(examples, loss=loss)

    def iterations_from(start: Start, stop: Stop) -> Iterator[Iteration]:
        begun, centers = full_batch.begin(source, start, loss=loss, settings=settings)
        state = NewtonState(*(getattr(begun, name) for name in NewtonState._fields))
        cast = full_batch.in_dtype_of(settings, state.candidate)
        quickly = compilation.is_worth_it(state.candidate.size)
        advance = _advance_quickly if quickly else _advance
        sampled = source.sampled(centers)
        wanted = jnp.asarray(stop.relative_gap, state.candidate.dtype)
        for _ in range(stop.max_passes):
            candidate, sums, _ = source.evaluate(
                state.candidate, centers, begun.smoothing, cast
            )
            state, info, takes_direction = advance(
                state._replace(candidate=candidate),
                sums,
                source.moment,
                cast,
                loss=loss,
            )
            info, takes_direction = device_mesh.on_host((info, takes_direction))
            yield Iteration(state.params, Duals(centers, begun.smoothing), info)
            # A fit that is over needs no direction.
            if takes_direction:
                state = _with_direction(
                    state,
                    examples,
                    source.moment,
                    sampled,
                    cast,
                    relative_gap=wanted,
                    loss=loss,
                )

    return iterations_from


def _decide(
    state: NewtonState,
    sums: RowSums,
    moment: SecondMoment,
    settings: Settings,
    *,
    loss: Loss,
) -> tuple[NewtonState, optimizer.OptimizerInfo, Array]:
    """State after a pass, its diagnostics, and whether the iterate is a new one."""
    params = linear.unfold_bias(state.candidate)
    found = optimizer.judged(loss, params, sums, moment, settings)
    # A direction that does not descend has step 0.
    descends = line_search.decreases_enough(state, found) & (state.step > 0)
    accepted = state.begins_round | descends
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


_jit = functools.partial(jax.jit, static_argnames=("loss",))
_advance = _jit(_decide)
_advance_quickly = _jit(_decide, compiler_options=compilation.FEW_OPTIMISATIONS)


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def _with_direction(
    state: NewtonState,
    examples: Examples,
    moment: SecondMoment,
    sampled: SampledRows,
    settings: Settings,
    *,
    relative_gap: Array,
    loss: Loss,
) -> NewtonState:
    """State with a Newton direction at its iterate and the candidate along it."""
    dtype, rows = state.iterate.dtype, score_gradients.rows_of(examples)
    scores = rows.scores(state.iterate)
    direction = _direction(
        state,
        scores,
        examples,
        moment,
        sampled,
        settings,
        relative_gap=relative_gap,
        loss=loss,
    )
    gradients = score_gradients.of_mean_loss(
        loss,
        examples.targets,
        score_gradients.shares(examples, dtype),
        jnp.zeros_like(scores.T),
        smoothing=jnp.ones((), dtype),
        loss_arguments=settings.loss_arguments,
    )
    step = score_gradients.step_of_small_slope(
        gradients,
        scores.T,
        rows.scores(direction).T,
        weights=state.iterate,
        direction=direction,
        l2=jnp.asarray(settings.l2),
        bias=settings.bias,
    )
    candidate = state.iterate + step * direction
    return state._replace(candidate=candidate, direction=direction, step=step)


def _direction(
    state: NewtonState,
    scores: Array,
    examples: Examples,
    moment: SecondMoment,
    sampled: SampledRows,
    settings: Settings,
    *,
    relative_gap: Array,
    loss: Loss,
) -> Array:
    """Newton direction at the iterate, folded, by products in the dtype of the rows."""
    rows, penalized = score_gradients.rows_of(examples), settings.bias.penalized_part
    dtype = jnp.promote_types(examples.features.dtype, jnp.float32)
    l2, smoothing = jnp.asarray(settings.l2, dtype), jnp.ones((), scores.dtype)
    hessian = score_gradients.hessian_of_mean_loss(
        loss,
        scores,
        examples.targets,
        score_gradients.shares(examples, scores.dtype),
        jnp.zeros((scores.shape[1], 0), scores.dtype),
        smoothing=smoothing,
        loss_arguments=settings.loss_arguments,
        dtype=dtype,
    )
    curvature = score_gradients.curvature(loss, hessian, bias=settings.bias)
    classes = class_hessian.of_loss(
        loss,
        state.iterate.astype(dtype),
        sampled,
        smoothing=smoothing.astype(dtype),
        loss_arguments=settings.loss_arguments,
    )
    # In float32 a small gradient, squared, would be 0.
    size = jnp.max(jnp.abs(state.gradient))
    gradient = state.gradient / jnp.where(size > 0, size, 1)
    direction = conjugate_gradients.solution(
        lambda vector: penalized(
            rows.combinations(curvature.times(rows.scores(vector))) + l2 * vector
        ),
        lambda vector: preconditioner.solve(moment, classes, vector, l2=l2),
        -gradient.astype(dtype),
        tolerance=_tolerance(state.certificate, relative_gap).astype(dtype),
    )
    change = curvature.bias_change(rows.scores(penalized(direction)))
    # Centred with all digits: the weights of an optimum sum to 0 over the classes.
    direction = optimizer_state.centered(loss, direction.astype(scores.dtype))
    return size * penalized(direction).at[:, -1].add(change)


def _tolerance(certificate: Certificate, relative_gap: Array) -> Array:
    """Squared residual of the Newton system, relative to the right side.

    The residual, in the metric of the Hessian, is what a step leaves of the gap.
    """
    gap = duality.relative_gap(certificate)
    gap = jnp.where(jnp.isfinite(gap), gap, 1)
    # A tolerance of the gap makes convergence quadratic. The last step needs less.
    tolerance = jnp.maximum(gap, _SHARE_OF_WANTED_GAP * relative_gap / gap)
    return jnp.clip(tolerance, _LEAST_RESIDUAL, _LARGEST_RESIDUAL)
