"""L-BFGS without preconditioning in JAX: optax's and jaxopt's.

Both minimise `jaxlin.objective.objective` of all rows in one piece, by `jax.grad`,
weights (C, D), from zero. Compiling is not charged; it is reported apart.
"""

import functools
import importlib
import time
import warnings
from typing import Any

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


# Weights, state, the objective there as the solver knows it, and the evaluations of
# value and gradient since the start.
_Moved = tuple[Array, Any, Array, Array]


def lbfgs(
    rows: np.ndarray,
    labels: np.ndarray,
    recorder: Recorder,
    *,
    l2: float,
    loss: str,
    library: str,
) -> str:
    """`optax.lbfgs` or `jaxopt.LBFGS` with its own zoom line search."""
    weights = jnp.zeros((int(labels.max()) + 1, rows.shape[1]), jnp.float32)
    data = jnp.asarray(rows), jnp.asarray(labels), jnp.float32(l2)
    function = functools.partial(_objective, loss=getattr(losses, loss))
    with warnings.catch_warnings():
        # jaxopt is no longer maintained, and says so when imported.
        warnings.simplefilter("ignore")
        start = {"optax": _optax, "jaxopt": _jaxopt}[library]
        state, step = start(function, weights, data)
        begun = time.perf_counter()
        # Ahead of time, so that the clock sees none of it.
        program = jax.jit(step).lower(weights, state, *data).compile()
        recorder.compile_seconds = time.perf_counter() - begun
    iterations, lowest, lowest_at = 0, np.inf, 0
    host = np.asarray(weights)
    recorder.start()
    while True:
        before = host
        weights, state, found, evaluations = program(weights, state, *data)
        host, value = np.asarray(weights), float(found)
        iterations += 1
        if value < lowest:
            lowest, lowest_at = value, iterations
        ended = iterations - lowest_at >= PATIENCE or np.array_equal(host, before)
        recorder.point(host, evaluations=int(evaluations), value=value, keep=ended)
        if ended:
            return f"ended after {iterations} iterations: no progress in float32"


def _optax(function: Any, weights: Array, data: tuple[Array, ...]) -> Any:
    """The state and step of optax, whose state counts the last line search alone."""
    solver = optax.lbfgs(memory_size=HISTORY)

    def step(weights: Array, state: Any, *data: Array) -> _Moved:
        inner, count = state

        def value_of(weights: Array) -> Array:
            return function(weights, *data)

        value, gradient = optax.value_and_grad_from_state(value_of)(
            weights, state=inner
        )
        updates, inner = solver.update(
            gradient, inner, weights, value=value, grad=gradient, value_fn=value_of
        )
        get = optax.tree_utils.tree_get
        count = count + get(inner, "num_linesearch_steps")
        moved = optax.apply_updates(weights, updates)
        return moved, (inner, count), get(inner, "value"), count

    # A search begins from what the last one has evaluated; the first evaluates.
    return (solver.init(weights), jnp.int32(1)), step


def _jaxopt(function: Any, weights: Array, data: tuple[Array, ...]) -> Any:
    """The state and step of jaxopt, as far as it runs with this JAX."""
    jaxopt = importlib.import_module("jaxopt")
    solver = jaxopt.LBFGS(function, history_size=HISTORY, tol=0.0)

    def step(weights: Array, state: Any, *data: Array) -> _Moved:
        weights, state = solver.update(weights, state, *data)
        return weights, state, state.value, state.num_fun_eval

    return solver.init_state(weights, *data), step


def _objective(
    weights: Array, rows: Array, labels: Array, l2: Array, *, loss: Any
) -> Array:
    """Our objective in its plain form; the constant feature is among the rows."""
    params = linear.Params(weights, jnp.zeros(weights.shape[0], weights.dtype))
    return objective.objective(params, rows, labels, loss=loss, l2=l2)
