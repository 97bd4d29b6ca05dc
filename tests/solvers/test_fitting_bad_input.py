"""Arguments that no certified fit can have, refused before anything is compiled."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import linear, losses, normalization, placement, probe, row_blocks
from jaxlin.selection import cross_validation, grids, nested, plans, sweep
from jaxlin.solvers import base, certified, fit_loop, fitting, streaming

EXAMPLES, WIDTH = 60, 5
SOFTMAX, HINGE = losses.softmax_cross_entropy, losses.weston_watkins_hinge
ROWS = np.random.default_rng(0).normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
LABELS = np.arange(EXAMPLES) % 3
NAN = np.where(np.arange(WIDTH) == 2, np.nan, ROWS)
# Of what is fitted here: the program of `fitting_problems`.
OF_TWO = {"loss": HINGE, "l2": 0.1, "loss_arguments": {"margin": 1.0}}
SOFT = np.full((EXAMPLES, 3), 1 / 3, np.float32)
BAD = {
    "l2 is 0": ({"l2": 0}, "l2 must be above 0, got 0; without it"),
    "l2 is 0.0": ({"l2": 0.0}, "l2 must be above 0, got 0"),
    "negative l2": ({"l2": -0.1}, "l2 must be above 0.*, got -0.1"),
    "l2 not finite": ({"l2": float("nan")}, "l2 must be finite, got nan"),
    "l2 not a number": ({"l2": "0.1"}, "l2 must be a number, got '0.1'"),
    "no l2": ({"l2": None}, "l2 must be a number, got None"),
    "gap 0": ({"relative_gap": 0}, "relative_gap must be above 0.*, got 0"),
    "gap not finite": ({"relative_gap": float("inf")}, "relative_gap must be finite"),
    "no evaluations": ({"max_evaluations": 0}, "max_evaluations must be at least 1"),
    "half an evaluation": ({"max_evaluations": 0.5}, "max_evaluations must be an int"),
    "no conjugate": ({"loss": lambda s, y: 0.0}, "loss must be one of those with"),
    "name of a loss": (
        {"loss": "softmax"},
        "loss must be one of .*got 'softmax'; give the function",
    ),
    "soft targets": (
        {"targets": SOFT},
        r"targets must be integers \(examples,\) for softmax_cross_entropy, got an "
        "array of rank 2; for distributions over classes use .*one-hot rows",
    ),
    "labels for distributions": (
        {"loss": losses.cross_entropy},
        r"targets must be distributions \(examples, classes\) for cross_entropy",
    ),
    "not distributions": (
        {"loss": losses.cross_entropy, "targets": 2 * SOFT},
        "targets must be distributions",
    ),
    "margin 0": (
        {"loss": HINGE, "loss_arguments": {"margin": 0}},
        r"loss_arguments\['margin'\] must be above 0.*, got 0",
    ),
    "unknown argument": (
        {"loss": HINGE, "loss_arguments": {"temperature": 1.0}},
        r"loss_arguments must be among \['margin'\] for weston_watkins_hinge, got",
    ),
    "no margin": ({"loss_arguments": {"margin": 1.0}}, "loss_arguments must be among"),
    "start not finite": (
        {"start": linear.Params(np.full((3, WIDTH), np.nan), np.zeros(3))},
        "start must be finite",
    ),
    "classes of the start": (
        {"start": linear.Params(np.zeros((2, WIDTH)), np.zeros(2))},
        r"start must have weights \(3, 5\) and bias \(3,\), got \(2, 5\) and \(2,\)",
    ),
    "a start of another kind": (
        {"start": (np.zeros((3, WIDTH)), np.zeros(3))},
        "start must be None, jaxlin.linear.Params or an earlier fit, got a tuple",
    ),
    "bias of the start": (
        {"start": linear.Params(np.zeros((3, WIDTH)), np.zeros(1))},
        "start must have weights",
    ),
    "nan": ({"features": NAN}, "features must be finite, got nan at row 0, feature 2"),
    "one row": ({"features": ROWS[0]}, "features must have shape"),
    "rank 3": ({"features": np.ones((2, 2, 2))}, "features must have shape"),
    "no rows": ({"features": np.ones((0, 5))}, "features must not be empty"),
    "label too large": ({"num_classes": 2}, r"targets must lie in \[0, 1\], got 2"),
    "labels from 1": (
        {"targets": LABELS + 1},
        "targets must have an example of every class .*none of class 0; labels count",
    ),
    "negative label": ({"targets": LABELS - 1}, r"targets must lie in \[0, 1\]"),
    "signs": ({"targets": 2 * (LABELS > 0) - 1}, r"use \(targets > 0\).astype\(int\)"),
    "a column": ({"targets": LABELS[:, None]}, r"use targets.ravel\(\)"),
    "a column of distributions": (
        {"targets": LABELS[:, None], "loss": losses.cross_entropy},
        r"use targets.ravel\(\)",
    ),
    "several labels": (
        {"targets": np.maximum(np.eye(3)[LABELS], np.eye(3)[0])},
        "several labels per example: row 1 names 2 classes; give one label",
    ),
    "ragged": ({"targets": [[0], [0, 1]] * 30}, "targets must be rectangular"),
    "text": ({"targets": ["a", "b"] * 30}, "got text 'a' .*encode class names"),
    "labels of one class": (
        {"targets": 0 * LABELS},
        "targets must name at least two classes, got only class 0",
    ),
    "labels of one class of three": (
        {"targets": 0 * LABELS + 1, "num_classes": 3},
        "targets must name at least two classes, got only class 1",
    ),
    "one class with weight": (
        {"example_weights": np.float32(LABELS == 2)},
        "two classes with positive example weights, got only class 2",
    ),
    "distributions of one class": (
        {"targets": np.eye(3)[0 * LABELS + 1], "loss": losses.cross_entropy},
        "targets must name at least two classes, got only class 1",
    ),
    "too many columns": (
        {"targets": SOFT, "loss": losses.cross_entropy, "num_classes": 4},
        "targets must have one column per class, 4 of them, got shape",
    ),
    "float labels": ({"targets": LABELS * 1.0}, "targets must be integers"),
    "too few labels": (
        {"targets": [0, 1, 2]},
        "targets must have one entry per example",
    ),
    "negative weights": (
        {"example_weights": -np.ones(EXAMPLES)},
        "example_weights must",
    ),
    "weights 0": ({"example_weights": np.zeros(EXAMPLES)}, "a positive sum"),
    "one class": ({"num_classes": 1}, "num_classes must be at least 2"),
    "normalization": (
        {"normalization": normalization.identity(3)},
        "normalization must",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_named(change, message, monkeypatch):
    def compiled(*_, **__):
        raise AssertionError("something was compiled")

    monkeypatch.setattr(certified, "prepare", compiled)
    good = {"features": ROWS, "targets": LABELS, "loss": SOFTMAX, "l2": 0.1}
    arguments = {**good, **change}
    given = [arguments.pop(name) for name in ("features", "targets")]
    with pytest.raises(ValueError, match=message):
        fitting.fit(*given, **arguments)


def test_a_path_sees_bad_arguments_when_it_is_called():
    problem = base.problem(ROWS, LABELS, num_classes=3)
    good = {"num_classes": 3, "loss": SOFTMAX, "l2s": [0.1]}
    with pytest.raises(TypeError, match="relative_gp"):
        fitting.path(problem, **good, relative_gp=1e-3)
    del good["loss"]
    with pytest.raises(TypeError, match="loss"):
        fitting.path(problem, **good)


def test_booleans_are_labels_of_two_classes():
    found = fitting.fit(ROWS, LABELS > 0, **OF_TWO)
    expected = fitting.fit(ROWS, (LABELS > 0).astype(int), **OF_TWO)
    assert found.params.weights.shape == (2, WIDTH)
    np.testing.assert_array_equal(found.params.weights, expected.params.weights)


def test_an_unprepared_problem_is_refused():
    problem = base.problem(ROWS, LABELS, num_classes=3)
    with pytest.raises(ValueError, match="problem must be prepared"):
        fitting.fit_prepared(problem, num_classes=3, loss=SOFTMAX, l2=0.1)


@pytest.mark.parametrize("num_classes", [1, 2])
def test_fewer_classes_than_the_problem_has_are_refused(num_classes):
    problem = certified.prepare(base.problem(ROWS, LABELS, num_classes=3))
    with pytest.raises(ValueError, match="num_classes must be"):
        fitting.fit_prepared(problem, num_classes=num_classes, loss=SOFTMAX, l2=0.1)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_other_classes_than_distributions_have_are_refused(num_classes):
    problem = certified.prepare(base.problem(ROWS, SOFT, num_classes=3))
    with pytest.raises(ValueError, match="num_classes must be that of the problem"):
        fitting.fit_prepared(
            problem, num_classes=num_classes, loss=losses.cross_entropy, l2=0.1
        )


@pytest.mark.parametrize(
    ("l2s", "message"),
    [
        ([], "l2s must not be empty"),
        ([0.1, 0.0], r"l2s\[1\] must be above 0.*, got 0"),
        ([0.1, 0.1], "l2s must be distinct"),
        ([0.1, None], r"l2s\[1\] must be a number"),
    ],
)
def test_a_bad_path_is_refused_at_the_call(l2s, message):
    problem = base.problem(ROWS, LABELS, num_classes=3)
    with pytest.raises(ValueError, match=message):
        fitting.path(problem, num_classes=3, loss=SOFTMAX, l2s=l2s)


# --- Memory.


@pytest.mark.parametrize(
    ("rows", "num_classes", "loss", "size"),
    [
        # 45 arrays of classes x (features + 1), and the rows.
        ((1000, 10**6), 1000, SOFTMAX, "got at least 184 GB .state 180 GB, rows 4 GB"),
        # An example's multipliers.
        ((10**7, 10), 100, HINGE, r"shape \(10000000, 100\), .*state 4 GB"),
        # The curvature in the scores.
        ((10, 10), 10**5, SOFTMAX, r"largest array has shape \(100000, 100000\)"),
    ],
)
def test_states_that_do_not_fit_are_refused(rows, num_classes, loss, size, monkeypatch):
    monkeypatch.setattr(placement, "memory_bytes", lambda: 4 * 10**9)
    shape = jax.ShapeDtypeStruct(rows, np.float32)
    with pytest.raises(ValueError, match=f"{size}.*use fewer features or classes"):
        fit_loop.check_memory(shape, num_classes=num_classes, loss=loss)
    monkeypatch.setattr(placement, "memory_bytes", lambda: 10**12)
    fit_loop.check_memory(shape, num_classes=num_classes, loss=loss)


def test_memory_is_asked_for_before_anything_is_made(monkeypatch):
    monkeypatch.setattr(placement, "memory_bytes", lambda: 10**6)

    def made(*_, **__):
        raise AssertionError("something was made")

    how = {"num_classes": 1000, "loss": SOFTMAX, "l2": 0.1}
    problem = certified.prepare(base.problem(ROWS, LABELS, num_classes=3))
    for name in ("prepare", "solver"):
        monkeypatch.setattr(certified, name, made)
    monkeypatch.setattr(fit_loop, "starting_point", made)
    for door in (
        lambda: fitting.fit(ROWS, LABELS, **how),
        lambda: fitting.fit_prepared(problem, **how),
        lambda: streaming.fit([(ROWS, LABELS, None)], **how),
    ):
        with pytest.raises(ValueError, match="must fit into the memory of 0.001 GB"):
            door()


def test_there_is_memory():
    assert 10**8 < placement.memory_bytes() < 10**14


# --- Transformations of JAX.

GRID = grids.product(losses=(SOFTMAX,), l2s=(0.1,))
FOLD_OF = np.arange(EXAMPLES) // 20


@functools.cache
def prepared(is_weighted=False):
    weights = WEIGHTS if is_weighted else None
    return certified.prepare(
        base.problem(ROWS, LABELS, num_classes=3, example_weights=weights)
    )


def swept(problem, **how):
    plan = plans.plan(GRID, problem, num_classes=3)
    return sweep.fit(problem, GRID, plan=plan, num_classes=3, **how)


HOW = {"loss": SOFTMAX, "l2": 0.1}
CV = {"num_classes": 3, "losses": (SOFTMAX,), "fold_of": FOLD_OF}
LATE = {"num_classes": 3, "loss": SOFTMAX}
WEIGHTS = np.ones(EXAMPLES, np.float32)
# ``argument: (door, a value of it)``: differentiated, compiled, batched in this one.
DOORS = {
    "l2": (lambda x: fitting.fit(ROWS, LABELS, loss=SOFTMAX, l2=x), 0.1),
    "relative_gap": (lambda x: fitting.fit(ROWS, LABELS, relative_gap=x, **HOW), 0.1),
    "features": (lambda x: fitting.fit(x, LABELS, **HOW), ROWS),
    "example_weights": (
        lambda x: fitting.fit(ROWS, LABELS, example_weights=x, **HOW),
        WEIGHTS,
    ),
    "normalization": (
        lambda x: fitting.fit(
            ROWS, LABELS, normalization=normalization.Normalization(x, 1.0), **HOW
        ),
        np.zeros(WIDTH, np.float32),
    ),
    "start": (
        lambda x: fitting.fit(
            ROWS, LABELS, start=linear.Params(x, np.zeros(3, np.float32)), **HOW
        ),
        np.zeros((3, WIDTH), np.float32),
    ),
    "l2 of a path": (lambda x: fitting.path(prepared(), l2s=[x], **LATE), 0.1),
    "problem": (
        lambda x: fitting.fit_prepared(
            prepared(True)._replace(example_weights=x), num_classes=3, **HOW
        ),
        WEIGHTS,
    ),
    "problem of a path": (
        lambda x: fitting.path(prepared()._replace(features=x), l2s=[0.1], **LATE),
        ROWS,
    ),
    "problem of a sweep": (lambda x: swept(prepared()._replace(features=x)), ROWS),
    "weightings": (lambda x: swept(prepared(), weightings=x), WEIGHTS[None]),
    "l2s": (lambda x: cross_validation.cross_validate(prepared(), l2s=(x,), **CV), 0.1),
    "problem of folds": (
        lambda x: cross_validation.cross_validate(
            prepared()._replace(features=x), l2s=(0.1,), **CV
        ),
        ROWS,
    ),
    "problem of nested folds": (
        lambda x: nested.cross_validate(
            jax.random.key(0),
            prepared()._replace(features=x),
            l2s=(0.1,),
            num_inner_folds=2,
            **CV,
        ),
        ROWS,
    ),
    "blocks": (
        lambda x: streaming.fit([(x, LABELS, None)], num_classes=3, **HOW),
        ROWS,
    ),
    "features of blocks": (lambda x: row_blocks.over(x, LABELS), ROWS),
    "features of a probe": (
        lambda x: probe.fit(jax.random.key(0), x, LABELS, ROWS, LABELS, l2s=(0.1,)),
        ROWS,
    ),
    "test_features": (
        lambda x: probe.fit(jax.random.key(0), ROWS, LABELS, x, LABELS, l2s=(0.1,)),
        ROWS,
    ),
    "features of moments": (lambda x: normalization.fit_standard(x), ROWS),
}


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("transformed", [jax.grad, jax.jit, jax.vmap])
def test_a_fit_is_not_traced_through(name, transformed):
    # Outside of what is transformed, where they would be compiled anew.
    prepared(), prepared(True)
    door, value = DOORS[name]
    given = jnp.asarray(value)
    if transformed is jax.vmap:
        given = jnp.stack([given, given])
    # Under jit what else a fit is given counts as traced, too.
    said = "" if transformed is jax.jit else name.split(" of ")[0]
    with pytest.raises(
        ValueError,
        match=f"{said}.* must be of concrete numbers, got a traced .*outside",
    ):
        transformed(door)(given)


def test_a_whole_fit_is_not_compiled():
    problem = prepared()
    blocks = [(ROWS, LABELS, None)]
    for door in (
        lambda: fitting.fit(ROWS, LABELS, **HOW).params,
        lambda: fitting.fit_prepared(problem, num_classes=3, **HOW).params,
        lambda: streaming.fit(blocks, num_classes=3, **HOW).params,
        lambda: swept(problem).params,
        lambda: cross_validation.cross_validate(problem, l2s=(0.1,), **CV).accuracy,
    ):
        with pytest.raises(ValueError, match="arguments must be of concrete numbers"):
            jax.jit(door)()


def test_a_fit_beside_what_is_differentiated_is_a_fit():
    def scaled(factor):
        return factor * fitting.fit(ROWS, LABELS > 0, **OF_TWO).certificate.primal

    assert jax.grad(scaled)(2.0) == pytest.approx(scaled(1.0))
