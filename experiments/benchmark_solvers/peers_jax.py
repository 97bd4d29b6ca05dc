"""L-BFGS without preconditioning in JAX: optax's and jaxopt's.

Both minimise `jaxlin.objective.objective` of all rows in one piece, by `jax.grad`,
weights (C, D), from zero. Compiling is not charged; it is reported apart.
"""

import functools
import importlib
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmark_solvers.traces import Recorder
from jaxlin import linear, losses, objective
from jaxlin.typing import Array

HISTORY = 10
# Iterations without a lower value after which a solver that has no rule of its own for
# this (optax) or one that float32 cannot meet (jaxopt) is taken to have ended.
PATIENCE = 50


class _Moved(NamedTuple):
    """The result of an iteration.

    Attributes:
      weights: where it is now.
      state: what the next iteration needs.
      value: the objective there, as the solver knows it.
      evaluations: of value and gradient, of this iteration alone for optax, of all for
        jaxopt, as they count.
    """

    weights: Array
    state: Any
    value: Array
    evaluations: Array


def optax_lbfgs(
    rows: np.ndarray, labels: np.ndarray, recorder: Recorder, *, l2: float, loss: str
) -> str:
    """`optax.lbfgs` with its own zoom line search."""
    weights, data = _start(rows, labels, l2)
    state = optax.lbfgs(memory_size=HISTORY).init(weights)
    step = functools.partial(_optax_step, loss=getattr(losses, loss))
    compiled = _compiled(step, recorder, weights, state, *data)
    # A search begins from what the last one has evaluated; the first evaluates.
    return _iterate(
        compiled, weights, state, data, recorder, count=lambda before, new: before + new
    )


def jaxopt_lbfgs(
    rows: np.ndarray, labels: np.ndarray, recorder: Recorder, *, l2: float, loss: str
) -> str:
    """`jaxopt.LBFGS` with its zoom line search, as far as it runs with this JAX."""
    with warnings.catch_warnings():
        # It is no longer maintained, and says so when imported.
        warnings.simplefilter("ignore")
        jaxopt = importlib.import_module("jaxopt")
        weights, data = _start(rows, labels, l2)
        solver = jaxopt.LBFGS(
            functools.partial(_objective, loss=getattr(losses, loss)),
            history_size=HISTORY,
            tol=0.0,
        )
        state = solver.init_state(weights, *data)
        step = functools.partial(_jaxopt_step, solver=solver)
        compiled = _compiled(step, recorder, weights, state, *data)
    return _iterate(
        compiled, weights, state, data, recorder, count=lambda before, new: new
    )


def _start(
    rows: np.ndarray, labels: np.ndarray, l2: float
) -> tuple[Array, tuple[Array, ...]]:
    """Weights of zero, and what the objective needs besides them, on the device."""
    weights = jnp.zeros((int(labels.max()) + 1, rows.shape[1]), jnp.float32)
    return weights, (jnp.asarray(rows), jnp.asarray(labels), jnp.float32(l2))


def _objective(
    weights: Array, rows: Array, labels: Array, l2: Array, *, loss: Any
) -> Array:
    """Our objective in its plain form; the constant feature is among the rows."""
    params = linear.Params(weights, jnp.zeros(weights.shape[0], weights.dtype))
    return objective.objective(params, rows, labels, loss=loss, l2=l2)


def _optax_step(
    weights: Array, state: Any, rows: Array, labels: Array, l2: Array, *, loss: Any
) -> _Moved:
    """One iteration, line search included."""

    def function(weights: Array) -> Array:
        return _objective(weights, rows, labels, l2, loss=loss)

    value, gradient = optax.value_and_grad_from_state(function)(weights, state=state)
    updates, state = optax.lbfgs(memory_size=HISTORY).update(
        gradient, state, weights, value=value, grad=gradient, value_fn=function
    )
    get = optax.tree_utils.tree_get
    return _Moved(
        optax.apply_updates(weights, updates),
        state,
        get(state, "value"),
        get(state, "num_linesearch_steps"),
    )


def _jaxopt_step(weights: Array, state: Any, *data: Array, solver: Any) -> _Moved:
    """One iteration, line search included."""
    weights, state = solver.update(weights, state, *data)
    return _Moved(weights, state, state.value, state.num_fun_eval)


def _compiled(function: Callable, recorder: Recorder, *arguments: Any) -> Any:
    """Compiles ahead of time, so that the clock sees none of it."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    recorder.compile_seconds = time.perf_counter() - start
    return program


def _iterate(
    step: Callable[..., _Moved],
    weights: Array,
    state: Any,
    data: tuple[Array, ...],
    recorder: Recorder,
    *,
    count: Callable[[int, int], int],
) -> str:
    """Repeats a step until steps no longer change the weights or lower the value."""
    evaluations, iterations = 1, 0
    lowest, lowest_at = np.inf, 0
    host = np.asarray(weights)
    recorder.start()
    while True:
        before = host
        weights, state, found, new = step(weights, state, *data)
        host, value = np.asarray(weights), float(found)
        iterations += 1
        evaluations = count(evaluations, int(new))
        if value < lowest:
            lowest, lowest_at = value, iterations
        ended = iterations - lowest_at >= PATIENCE or np.array_equal(host, before)
        recorder.point(host, evaluations=evaluations, value=value, keep=ended)
        if ended:
            return f"ended after {iterations} iterations: no progress in float32"
