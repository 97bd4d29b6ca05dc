"""Fits under transformations of JAX: a fit stops at a proof and is not traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.objective import row_blocks
from jaxlin.selection import grids, nested, plans, sweep_run

EXAMPLES, WIDTH = 60, 5
SOFTMAX, HINGE = losses.softmax_cross_entropy, losses.weston_watkins_hinge
ROWS = np.random.default_rng(0).normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
LABELS = np.arange(EXAMPLES) % 3
WEIGHTS = np.ones(EXAMPLES, np.float32)
FOLDS = np.arange(EXAMPLES) // 20
# The program of `fitting_problems`.
OF_TWO = {"loss": HINGE, "l2": 0.1, "loss_arguments": {"margin": 1.0}}
PROBLEM = jaxlin.problem(ROWS, LABELS)
BIAS = np.zeros(3, np.float32)
KEY = jax.random.key(0)
SETTINGS = {"loss": SOFTMAX, "l2": 0.1}
MANY = {"losses": (SOFTMAX,), "l2s": (0.1,)}
GRID = grids.product(**MANY)


def planned(examples):
    return plans.plan(GRID, examples, num_classes=3)


def swept(examples):
    """The first state of the engine beneath all sweeps, of these examples."""
    inputs = sweep_run.SweepInputs(
        examples, GRID, plan=planned(PROBLEM.examples), num_classes=3, max_passes=10
    )
    return next(iter(sweep_run.run(inputs)))


# ``argument: (door, a value of it)``: differentiated, compiled, batched in this one.
DOORS = {
    "l2": (lambda x: jaxlin.fit(ROWS, LABELS, loss=SOFTMAX, l2=x), 0.1),
    "relative_gap": (
        lambda x: jaxlin.fit(ROWS, LABELS, stop=jaxlin.Stop(x), **SETTINGS),
        0.1,
    ),
    "features": (lambda x: jaxlin.fit(x, LABELS, **SETTINGS), ROWS),
    "weights": (lambda x: jaxlin.fit(ROWS, LABELS, weights=x, **SETTINGS), WEIGHTS),
    "normalization": (
        lambda x: jaxlin.fit(
            ROWS, LABELS, normalization=normalization.Normalization(x, 1.0), **SETTINGS
        ),
        np.zeros(WIDTH, np.float32),
    ),
    "start": (
        lambda x: jaxlin.fit(ROWS, LABELS, start=linear.Params(x, BIAS), **SETTINGS),
        np.zeros((3, WIDTH), np.float32),
    ),
    "l2 of a problem": (lambda x: jaxlin.fit(PROBLEM, loss=SOFTMAX, l2=x), 0.1),
    "features of a problem": (lambda x: jaxlin.problem(x, LABELS), ROWS),
    "labels of a problem": (lambda x: jaxlin.problem(ROWS, x), 1.0 * LABELS),
    "weights of a problem": (
        lambda x: jaxlin.problem(ROWS, LABELS, weights=x),
        WEIGHTS,
    ),
    "normalization of a problem": (
        lambda x: PROBLEM.with_normalization(normalization.Normalization(x, 1.0)),
        np.zeros(WIDTH, np.float32),
    ),
    "params": (
        lambda x: jaxlin.certify(PROBLEM, linear.Params(x, BIAS), **SETTINGS),
        np.zeros((3, WIDTH), np.float32),
    ),
    "l2 of a certificate": (
        lambda x: jaxlin.certify(
            PROBLEM, linear.Params(ROWS[:3], BIAS), loss=SOFTMAX, l2=x
        ),
        0.1,
    ),
    "examples of a plan": (
        lambda x: planned(PROBLEM.examples._replace(features=x)),
        ROWS,
    ),
    "examples of a sweep": (
        lambda x: swept(PROBLEM.prepared()._replace(features=x)),
        ROWS,
    ),
    "weight_sets": (
        lambda x: jaxlin.sweep(PROBLEM, weight_sets=x, **MANY),
        WEIGHTS[None],
    ),
    "weight_sets of a problem": (PROBLEM.weight_sets, WEIGHTS[None]),
    "l2s": (
        lambda x: jaxlin.cross_validate(
            PROBLEM, losses=(SOFTMAX,), l2s=(x,), folds=FOLDS
        ),
        0.1,
    ),
    "l2s of a sweep": (
        lambda x: jaxlin.sweep(PROBLEM, losses=(SOFTMAX,), l2s=(x,)),
        0.1,
    ),
    "folds": (
        lambda x: jaxlin.cross_validate(PROBLEM, folds=x, **MANY),
        np.float32(FOLDS),
    ),
    "folds of nested folds": (
        lambda x: nested.cross_validate(
            KEY, PROBLEM, folds=x, num_inner_folds=2, **MANY
        ),
        np.float32(FOLDS),
    ),
    "features of blocks": (lambda x: jaxlin.fit([(x, LABELS, None)], **SETTINGS), ROWS),
    "features of rows in blocks": (lambda x: row_blocks.over(x, LABELS), ROWS),
    "features of a probe": (
        lambda x: jaxlin.probe(KEY, x, LABELS, ROWS, LABELS, **PROBED),
        ROWS,
    ),
    "test_features": (
        lambda x: jaxlin.probe(KEY, ROWS, LABELS, x, LABELS, **PROBED),
        ROWS,
    ),
    "features of moments": (lambda x: normalization.fit_standard(x), ROWS),
}
PROBED = {"loss": SOFTMAX, "l2s": (0.1,)}
# A fit is differentiated in these (tests/solvers/test_differentiable_fit.py).
DIFFERENTIABLE = ("l2", "features", "weights", "l2 of a problem")


CASES = [
    (name, transformed)
    for name in DOORS
    for transformed in (jax.grad, jax.jit, jax.vmap)
    if transformed is not jax.grad or name not in DIFFERENTIABLE
]


@pytest.mark.parametrize(("name", "transformed"), CASES)
def test_a_fit_is_not_traced_through(name, transformed):
    # Outside of what is transformed, where it would be compiled anew.
    PROBLEM.prepared()
    door, value = DOORS[name]
    given = jnp.asarray(value)
    if transformed is jax.vmap:
        given = jnp.stack([given, given])
    # Under jit what else a fit is given counts as traced, too.
    said = "" if transformed is jax.jit else name.split(" of ")[0]
    with pytest.raises(
        ValueError,
        match=f"^{said}.* must be of concrete numbers, got a traced .*outside",
    ):
        transformed(door)(given)


def test_a_whole_fit_is_not_compiled():
    blocks = [(ROWS, LABELS, None)]
    zeros = linear.Params(np.zeros((3, WIDTH), np.float32), BIAS)
    problem = jaxlin.problem(ROWS, LABELS)
    for door in (
        lambda: jaxlin.fit(ROWS, LABELS, **SETTINGS).params,
        lambda: jaxlin.fit(problem, **SETTINGS).params,
        lambda: jaxlin.fit(blocks, **SETTINGS).params,
        lambda: jaxlin.certify(problem, zeros, **SETTINGS).params,
        lambda: jaxlin.sweep(problem, **MANY).params,
        lambda: jaxlin.cross_validate(problem, folds=FOLDS, **MANY).accuracy,
        lambda: (
            nested.cross_validate(
                KEY, problem, folds=FOLDS, num_inner_folds=2, **MANY
            ).accuracy
        ),
    ):
        with pytest.raises(ValueError, match="arguments must be of concrete numbers"):
            jax.jit(door)()
    # What was refused has left nothing behind.
    assert all(
        not isinstance(leaf, jax.core.Tracer)
        for leaf in jax.tree.leaves(problem.prepared())
    )


def test_a_fit_beside_what_is_differentiated_is_a_fit():
    def scaled(factor):
        return factor * jaxlin.fit(ROWS, LABELS > 0, **OF_TWO).certificate.primal

    assert jax.grad(scaled)(2.0) == pytest.approx(scaled(1.0))
