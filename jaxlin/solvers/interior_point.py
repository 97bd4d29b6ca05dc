r"""Interior-point method in float64 for hinges, where the Hessian fits into memory.

A hinge is the maximum of :math:`\langle g, v \rangle` over its duals g, with violations
v that are affine in the scores (`jaxlin.losses.conjugates`); a squared hinge is that of
:math:`\langle g, v \rangle - \frac{c}{2} \|g\|^2`. Let z be the multipliers of
:math:`g \ge 0`, t those of :math:`g \le 1`, and G(g) the gradient of the mean loss in
the folded weights W (`jaxlin.certificates.duality`). The optimum solves

.. math:: v - c g + z - t = 0, \quad g z = \mu, \quad (1 - g) t = \mu, \quad
          \lambda_2 W + G(g) = 0

for :math:`\mu \to 0`. The squared hinge has t = 0. The Crammer-Singer hinge bounds the
sum of an example's duals instead: its t is one number per example, the multiplier of
the right class, whose dual is the rest to 1.

An iteration solves the linearised equations twice with one factorisation of C (D + 1)
unknowns (predictor and corrector of Mehrotra), takes the longest step that keeps duals
and multipliers positive, and certifies weights and duals in one pass.

The number of iterations hardly depends on l2. On standardised digits from 60 float32
passes, to a relative gap of 1e-8, the Weston-Watkins hinge takes 10, 12 and 20 at
l2 = 1e-1, 1e-3 and 1e-5. Augmented Lagrangian rounds solved by semismooth Newton steps
with a line search took 28, 39 and, at 1e-4, 372; at 1e-5 they stalled at 2e-6.

Reference:
  S. Mehrotra. On the implementation of a primal-dual interior point method. SIAM
  Journal on Optimization, 1992.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from jaxlin import linear, losses
from jaxlin.certificates import duality
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.numerics import compilation, device_mesh
from jaxlin.objective import row_products
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    certified,
    full_batch,
    interior_system,
    line_search,
    optimizer,
    optimizer_state,
    score_gradients,
)
from jaxlin.solvers.fit_loop import Iteration, Iterations, Start
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.interior_system import Data, InteriorState
from jaxlin.solvers.optimizer_state import Duals
from jaxlin.solvers.preconditioner import SecondMoment
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array, Loss

# First mu, in units of the margin. From 60 float32 passes on digits .1 and .01 are
# about equally good; 1 takes 8 iterations more, 1e-4 up to three times as many.
_FIRST_MU = 0.03
# Share of the step to the boundary that is taken.
_STEP_SHARE = 0.995
# Relative shift of the Hessian's diagonal, and its growth after a failed factorisation.
_FIRST_SHIFT = 1e-14
_SHIFT_GROWTH = 100.0
_MAX_FAILURES = 4
# Iterations without a better certificate after which the method has stalled.
_PATIENCE = 40
# Smoothing with which a pass takes the dual centers as the duals themselves.
_NO_SMOOTHING = 1e30


def iterations(examples: Examples, *, loss: Loss, settings: Settings) -> Iterations:
    """Iterations of a fit, each one pass, for `jaxlin.solvers.fit_loop.minimize`.

    They are meant for parameters in float64, under ``jax.enable_x64(True)``. They start
    from the parameters alone: duals of an earlier fit are not used. The products with
    the rows that build the Hessian and the directions are not counted as passes.

    Args:
      examples: prepared examples (`jaxlin.solvers.certified.prepare`).
      loss: a hinge, or its square, that has a conjugate.
      settings: l2 and loss arguments; all else None.
    """
    source = certified.row_source(examples, loss=loss)

    def iterations_from(start: Start, stop: Stop) -> Iterator[Iteration]:
        cast = full_batch.in_dtype_of(settings, start.params.weights)
        state, data = _begin(start.params, examples, cast, loss=loss)
        no_smoothing = jnp.asarray(_NO_SMOOTHING, state.weights.dtype)
        first = optimizer_state.first_smoothing(cast.loss_arguments, no_smoothing.dtype)
        # Its Hessians in the scores are most of the arithmetic that is not a product.
        size = state.duals.size * state.duals.shape[1]
        quickly = compilation.is_worth_it(size)
        step = _step_quickly if quickly else _step
        for _ in range(stop.max_passes):
            centers = _domain_duals(state.duals, data, loss=loss)
            # The duals of the state do not depend on the bias.
            _, sums, _ = source.evaluate(
                state.weights, centers, no_smoothing, cast, search_bias=False
            )
            state, info = _judge(state, sums, source.moment, cast, loss=loss)
            info = device_mesh.on_host(info)
            yield Iteration(state.params, Duals(centers, first), info)
            # A fit that is over needs no Hessian.
            state = step(state, data, cast, loss=loss)

    return iterations_from


@functools.partial(jax.jit, static_argnames=("loss",))
def _begin(
    params: Params, examples: Examples, settings: Settings, *, loss: Loss
) -> tuple[InteriorState, Data]:
    """Duals and multipliers that solve all but the last equation at the first mu."""
    weights = optimizer_state.centered(loss, linear.fold_bias(params))
    dtype = weights.dtype
    rows = row_products.extended_rows(examples.features, examples.normalization, dtype)
    if settings.bias is Bias.NONE:
        rows = settings.bias.penalized_part(rows)
    shares = score_gradients.shares(examples, dtype)
    conjugate = conjugates.of(loss)
    data = Data(rows, examples.targets, shares, (shares > 0)[:, None])
    violations = interior_system.violations(
        weights, data=data, settings=settings, loss=loss
    )
    is_free = data.is_free & _are_variables(violations, data.targets, loss=loss)
    mu = _FIRST_MU * optimizer_state.margin(settings.loss_arguments, dtype)
    slack, upper = jnp.ones_like(violations), jnp.zeros_like(violations)
    if conjugate.cap == "sum":
        duals = _central_in_simplex(violations, mu)
    elif conjugate.cap == "each":
        ratio = violations / mu
        half = ratio / (2 * (2 + jnp.sqrt(4 + jnp.square(ratio))))
        duals, slack = 0.5 + half, 0.5 - half
        upper = mu / slack
    else:
        root = jnp.sqrt(jnp.square(violations) + 4 * conjugate.curvature * mu)
        duals = jnp.where(
            violations > 0,
            (violations + root) / (2 * conjugate.curvature),
            2 * mu / (root - violations),
        )
    duals = jnp.where(is_free, duals, 0.5)
    state = InteriorState(
        params=params,
        certificate=duality.unproven_certificate(jnp.full((), jnp.inf, dtype)),
        weights=weights,
        duals=duals,
        slack=slack,
        lower=mu / duals,
        upper=upper,
        shift=jnp.full((), _FIRST_SHIFT, dtype),
        failures=jnp.zeros((), jnp.int32),
        idle_passes=jnp.zeros((), jnp.int32),
    )
    return state, data._replace(is_free=is_free)


def _are_variables(like: Array, targets: Array, *, loss: Loss) -> Array:
    """Mask of the duals that are variables, shape ``(examples, classes)``."""
    violations = conjugates.of(loss).violations
    assert violations is not None, "a hinge"
    if conjugates.of(loss).cap == "sum":
        # That of the right class is the rest to 1.
        return jnp.ones_like(like, bool)
    return jax.vmap(violations)(jnp.zeros_like(like), targets) > -jnp.inf


def _central_in_simplex(violations: Array, mu: Array) -> Array:
    """Duals g > 0 of sum 1 with g (theta - v) = mu, for one theta per example."""
    num_classes = violations.shape[1]
    largest = jnp.max(violations, axis=1, keepdims=True)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        is_low = jnp.sum(mu / (middle - violations), axis=1, keepdims=True) > 1
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    _, theta = jax.lax.fori_loop(0, 60, halve, (largest, largest + num_classes * mu))
    duals = mu / (theta - violations)
    return duals / jnp.sum(duals, axis=1, keepdims=True)


@functools.partial(jax.jit, static_argnames=("loss",))
def _domain_duals(duals: Array, data: Data, *, loss: Loss) -> Array:
    """Duals in the form of dual centers of a pass: 0 where they are no variables."""
    if conjugates.of(loss).smooth:
        return duals[:, :0]
    if conjugates.of(loss).cap == "sum":
        is_wrong = ~jax.vmap(losses.is_label)(duals, data.targets)
        return jnp.where(is_wrong & data.is_free, duals, 0)
    return jnp.where(data.is_free, duals, 0)


@functools.partial(jax.jit, static_argnames=("loss",))
def _judge(
    state: InteriorState,
    sums: RowSums,
    moment: SecondMoment,
    settings: Settings,
    *,
    loss: Loss,
) -> tuple[InteriorState, optimizer.OptimizerInfo]:
    """State with the certificate of a pass, and the diagnostics of that pass."""
    params = linear.unfold_bias(state.weights)
    found = optimizer.judged(loss, params, sums, moment, settings)
    bound = line_search.suboptimality_bound
    improved = bound(found.certificate) < bound(state.certificate)
    best, certificate = line_search.where(
        improved, (params, found.certificate), (state.params, state.certificate)
    )
    after = state._replace(
        params=best,
        certificate=certificate,
        idle_passes=jnp.where(improved, 0, state.idle_passes + 1),
    )
    info = optimizer.OptimizerInfo(
        certificate=certificate,
        relative_gap=duality.relative_gap(certificate),
        objective=found.certificate.primal,
        gap=found.certificate.gap,
        rounds=jnp.zeros((), jnp.int32),
        stalled=(after.failures > _MAX_FAILURES) | (after.idle_passes >= _PATIENCE),
    )
    return after, info


def _take_step(
    state: InteriorState, data: Data, settings: Settings, *, loss: Loss
) -> InteriorState:
    """State after the next step; with a larger shift if the step is not finite."""
    after = _longest_step(state, data, settings, loss=loss)
    is_finite = jnp.isfinite(after.weights).all()
    after = line_search.where(is_finite, after, state)
    return after._replace(
        shift=jnp.where(is_finite, state.shift, _SHIFT_GROWTH * state.shift),
        failures=state.failures + ~is_finite,
    )


_jit = functools.partial(jax.jit, static_argnames=("loss",))
_step = _jit(_take_step)
_step_quickly = _jit(_take_step, compiler_options=compilation.FEW_OPTIMISATIONS)


def _longest_step(
    state: InteriorState, data: Data, settings: Settings, *, loss: Loss
) -> InteriorState:
    """Predictor, corrector and the longest step that keeps all positive."""
    direction = interior_system.directions(state, data, settings, loss=loss)
    shares, is_free = data.shares[:, None], data.is_free
    cap = conjugates.of(loss).cap
    count = jnp.sum(shares * is_free) * (2 if cap == "each" else 1)

    def mean_product(of: InteriorState) -> Array:
        products = of.duals * of.lower + of.slack * of.upper
        return jnp.sum(shares * jnp.where(is_free, products, 0)) / count

    mu, zero = mean_product(state), jnp.zeros_like(state.duals)
    change = direction(jnp.zeros_like(mu), zero, zero)
    predicted = mean_product(_moved(state, change, data))
    change = direction(
        mu * (predicted / mu) ** 3,
        change.duals * change.lower,
        change.slack * change.upper,
    )
    after = _moved(state, change, data)
    if cap == "sum":
        total = jnp.sum(after.duals, axis=1, keepdims=True)
        after = after._replace(duals=after.duals / total)
    return after


def _moved(state: InteriorState, change: InteriorState, data: Data) -> InteriorState:
    """State after the longest step along a change that keeps all positive."""
    names = ("duals", "slack", "lower", "upper")
    longest = jnp.ones((), state.weights.dtype)
    for name in names:
        value, by = getattr(state, name), getattr(change, name)
        falls = data.is_free & (by < 0)
        ratios = jnp.where(falls, -value / jnp.where(falls, by, 1), jnp.inf)
        longest = jnp.minimum(longest, _STEP_SHARE * jnp.min(ratios))
    moved = {
        name: getattr(state, name) + longest * getattr(change, name)
        for name in ("weights", *names)
    }
    return state._replace(**moved)
