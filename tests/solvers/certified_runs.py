"""Runs of certified solvers on `random_problems`, by the public loop."""

import jax
import jax.numpy as jnp
import numpy as np
import random_problems
from fitting_problems import EXAMPLES, WIDTH
from random_problems import LOSSES

import jaxlin
from jaxlin import linear, normalization
from jaxlin.solvers import certified, interface, optimizer_state

# A smooth loss and a hinge stand for the others in the default run, in the shape of
# `fitting_problems`, with weights and a normalization: one program each for all files.
QUICK = ("softmax_cross_entropy", "weston_watkins_hinge")
SHAPE = (EXAMPLES, WIDTH, 3)
# Of the others uint8 and float rows, in blocks of which the last is not full.
DTYPES = dict(zip(LOSSES, 3 * [np.float32, np.uint8], strict=True))
BLOCK_SIZES = {name: None if name in QUICK else 7 for name in LOSSES}


def draw(name, kind, *, seed=0, shape=SHAPE, dtype=None, l2=None):
    generator = np.random.default_rng([seed, *map(ord, kind)])
    dtype = DTYPES[name] if dtype is None else dtype
    made = random_problems.make(generator, kind, name, shape, dtype=dtype, l2=l2)
    given, keywords, data = made
    if name in QUICK and given["normalization"] is None:
        unchanged = np.zeros(shape[1], dtype), np.ones(shape[1], dtype)
        given = {**given, "normalization": normalization.Normalization(*unchanged)}
    return given, keywords, data


def zeros(shape, dtype=jnp.float32):
    _, width, classes = shape
    return linear.Params(jnp.zeros((classes, width), dtype), jnp.zeros(classes, dtype))


def problem_of(given):
    """The `jaxlin.Problem`, of at least two classes."""
    return jaxlin.problem(
        given["features"],
        given["targets"],
        classes=range(given["num_classes"]),
        weights=given["example_weights"],
        normalization=given["normalization"],
    )


def examples_of(given):
    """Examples like a `jaxlin.Problem`'s, also of one class: proofs must hold there."""
    arrays = {name: value for name, value in given.items() if name != "num_classes"}
    return interface.Examples(**jax.tree.map(jnp.asarray, arrays))


def evaluations(
    name, given, keywords, *, most, start=None, duals=None, key=0, **chunks
):
    """(evaluations, state, last info) after each chunk, from the public loop."""
    shape = (*np.shape(given["features"]), given["num_classes"])
    examples = certified.prepare(examples_of(given))
    solver = certified.solver(loss=LOSSES[name], block_size=BLOCK_SIZES[name])
    settings = interface.Settings(**keywords)
    first = solver.init(zeros(shape) if start is None else start, examples, settings)
    first = optimizer_state.resumed(first, duals)
    for done, state, info in interface.run(
        solver, jax.random.key(key), first, examples, settings, num_steps=most, **chunks
    ):
        yield done, state, jax.tree.map(lambda leaf: np.asarray(leaf)[-1], info)


def fit(name, given, keywords, *, gap=1e-4, most=300, **start):
    for done, state, info in evaluations(  # noqa: B007
        name, given, keywords, most=most, **start
    ):
        if info.relative_gap <= gap or info.stalled:
            break
    return done, jax.tree.map(np.asarray, state), jax.tree.map(np.asarray, info)


def exactly(params):
    return np.c_[params.weights, params.bias].astype(np.float64)
