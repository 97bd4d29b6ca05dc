"""L-BFGS without preconditioning by gradients of JAX: optax's and jaxopt's.

Both start from zero and see all rows in one piece, weights (C, D). Compiling is not
charged; it is reported apart.
"""

import importlib
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.benchmark_solvers.isolation import Recorder
from experiments.benchmark_solvers.rows import Rows
from experiments.common.losses import CERTIFIED
from jaxlin import linear, objective
from jaxlin.typing import Array

# Iterations without a lower value after which a solver that has no rule of its own for
# this (optax) or one that float32 cannot meet (jaxopt) is taken to have ended.
_PATIENCE = 50


def lbfgs(
    rows: Rows,
    recorder: Recorder,
    *,
    loss: str,
    l2: float,
    library: str,
    **settings: Any,
) -> str:
    """`optax.lbfgs` or `jaxopt.LBFGS`, each with its own zoom line search."""
    features, labels = jnp.asarray(rows.extended()), jnp.asarray(rows.labels)
    weights = jnp.zeros((rows.num_classes, features.shape[1]), jnp.float32)

    def function(weights: Array, features: Array, labels: Array) -> Array:
        # The constant feature is among the rows.
        params = linear.Params(weights, jnp.zeros(weights.shape[0], weights.dtype))
        return objective.objective(
            params, features, labels, loss=CERTIFIED[loss], l2=l2
        )

    with warnings.catch_warnings():
        # jaxopt is no longer maintained, and says so when imported.
        warnings.simplefilter("ignore")
        start = {"optax": _optax, "jaxopt": _jaxopt}[library]
        state, step = start(settings, function, weights, features, labels)
        begun = time.perf_counter()
        # Ahead of time, so that the clock sees none of it.
        program = jax.jit(step).lower(weights, state, features, labels).compile()
        recorder.compile_seconds = time.perf_counter() - begun
    iterations, lowest, lowest_at = 0, np.inf, 0
    host = np.asarray(weights)
    recorder.start()
    while True:
        before = host
        weights, state, found, passes = program(weights, state, features, labels)
        host, value = np.asarray(weights), float(found)
        iterations += 1
        if value < lowest:
            lowest, lowest_at = value, iterations
        ended = iterations - lowest_at >= _PATIENCE or np.array_equal(host, before)
        recorder.point(host, passes=int(passes), value=value, keep=ended)
        if ended:
            return f"ended after {iterations} iterations: no progress in float32"


# Each returns a state, and a step to new weights and state, the objective there as the
# solver knows it, and the passes for value and gradient since the start.


def _optax(
    settings: Any, function: Callable[..., Array], weights: Array, *data: Array
) -> Any:
    """The state and step of optax, whose state counts the last line search alone."""
    solver = optax.lbfgs(**settings)

    def step(weights: Array, state: Any, *data: Array) -> Any:
        inner, count = state

        def value_of(weights: Array) -> Array:
            return function(weights, *data)

        value, slope = optax.value_and_grad_from_state(value_of)(weights, state=inner)
        updates, inner = solver.update(
            slope, inner, weights, value=value, grad=slope, value_fn=value_of
        )
        get = optax.tree_utils.tree_get
        count = count + get(inner, "num_linesearch_steps")
        moved = optax.apply_updates(weights, updates)
        return moved, (inner, count), get(inner, "value"), count

    # A search begins from what the last one has evaluated; the first evaluates.
    return (solver.init(weights), jnp.int32(1)), step


def _jaxopt(
    settings: Any, function: Callable[..., Array], weights: Array, *data: Array
) -> Any:
    """The state and step of jaxopt, as far as it runs with this JAX."""
    jaxopt = importlib.import_module("jaxopt")
    solver = jaxopt.LBFGS(function, **settings)

    def step(weights: Array, state: Any, *data: Array) -> Any:
        weights, state = solver.update(weights, state, *data)
        return weights, state, state.value, state.num_fun_eval

    return solver.init_state(weights, *data), step
