"""Runs of certified solvers on `random_problems`, by the public loop."""

import jax
import jax.numpy as jnp
import numpy as np
import random_problems
from random_problems import LOSSES

from jaxlin import linear
from jaxlin.solvers import base, certified, search_state

SHAPE = (24, 6, 3)
DTYPES = dict(zip(LOSSES, 3 * [np.uint8, np.float32], strict=True))


def draw(name, kind, *, seed=0, shape=SHAPE, dtype=None, l2=None):
    generator = np.random.default_rng([seed, *map(ord, kind)])
    dtype = DTYPES[name] if dtype is None else dtype
    return random_problems.make(generator, kind, name, shape, dtype=dtype, l2=l2)


def zeros(shape, dtype=jnp.float32):
    _, width, classes = shape
    return linear.Params(jnp.zeros((classes, width), dtype), jnp.zeros(classes, dtype))


def problem_of(given):
    """As `base.problem` makes it, but of one class too: proofs must hold there."""
    arrays = {name: value for name, value in given.items() if name != "num_classes"}
    return base.Examples(**jax.tree.map(jnp.asarray, arrays))


def evaluations(
    name, given, how, *, most, start=None, multipliers=None, key=0, **chunks
):
    """(evaluations, state, last info) after each chunk, from the public loop."""
    shape = (*np.shape(given["features"]), given["num_classes"])
    problem = certified.prepare(problem_of(given))
    # Blocks of which the last is not full.
    solver = certified.solver(loss=LOSSES[name], block_size=7)
    settings = base.Settings(**how)
    first = solver.init(zeros(shape) if start is None else start, problem, settings)
    first = search_state.resumed(first, multipliers)
    for done, state, info in base.run(
        solver, jax.random.key(key), first, problem, settings, num_steps=most, **chunks
    ):
        yield done, state, jax.tree.map(lambda leaf: leaf[-1], info)


def fit(name, given, how, *, gap=1e-4, most=300, **start):
    for done, state, info in evaluations(  # noqa: B007
        name, given, how, most=most, **start
    ):
        if info.relative_gap <= gap or info.stalled:
            break
    return done, jax.tree.map(np.asarray, state), jax.tree.map(np.asarray, info)


def exactly(params):
    return np.asarray(linear.fold_bias(params), np.float64)
