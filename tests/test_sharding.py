"""Rows and models on eight virtual devices, and in two processes: the same optimum."""

import functools
import os
import pathlib
import socket

import jax
import numpy as np
import processes
import pytest

from jaxlin import data, losses, normalization, placement, probe, sharding
from jaxlin.selection import cross_validation, folds, grids, plans, polishing, sweep
from jaxlin.solvers import base, certified, fitting, lanes

HERE = pathlib.Path(__file__).parent
KEY = jax.random.key(0)
pytestmark = pytest.mark.devices(8)
# 203 rows: no number of devices divides them.
DIGITS = data.load("digits").train
ROWS, LABELS = DIGITS.features[:203], DIGITS.labels[:203]
FITTED = normalization.fit_centered(ROWS, scale=16.0)
BOTH = (losses.softmax_cross_entropy, losses.weston_watkins_hinge)
# A gap proven to 1e-5 puts two objectives within 1e-5; hinges need float64 for it.
HOW = {"num_classes": 10, "l2": 1e-1, "relative_gap": 1e-5, "polish": True}


def plain():
    return certified.prepare(
        base.problem(ROWS, LABELS, num_classes=10, normalization=FITTED)
    )


def placed():
    return certified.prepare(
        sharding.problem(ROWS, LABELS, num_classes=10, normalization=FITTED)
    )


@pytest.mark.parametrize(
    ("loss", "numbers"),
    [
        pytest.param(BOTH[0], (1, 2, 4, 8), marks=pytest.mark.full),
        pytest.param(BOTH[1], (1, 2, 4, 8), marks=pytest.mark.full),
    ],
)
def test_rows_on_any_number_of_devices_have_one_optimum(loss, numbers):
    alone = fitting.fit_prepared(plain(), loss=loss, **HOW)
    for devices in numbers:
        with jax.set_mesh(sharding.mesh(rows=devices)):
            problem = placed()
            assert len(problem.features.sharding.device_set) == devices
            assert problem.features.shape[0] % devices == 0
            found = fitting.fit_prepared(problem, loss=loss, **HOW)
        assert found.converged
        np.testing.assert_allclose(
            found.certificate.primal, alone.certificate.primal, rtol=1e-5
        )
        assert abs(found.evaluations - alone.evaluations) <= 0.2 * alone.evaluations


@pytest.mark.parametrize(
    ("rows", "models"),
    [
        pytest.param(2, 2, marks=pytest.mark.full),
        pytest.param(1, 8, marks=pytest.mark.full),
        pytest.param(4, 1, marks=pytest.mark.full),
    ],
)
def test_a_sweep_on_devices_is_the_sweep(rows, models):
    grid = grids.product(losses=BOTH, l2s=(3e-1, 1e-1), num_weightings=2)
    how = {"num_classes": 10, "relative_gap": 1e-5}
    fold_of = folds.stratified_k_fold(KEY, LABELS, num_folds=3)
    weights = folds.train_weights(fold_of, num_folds=3)[:2]

    def fits(problem, weightings):
        plan = plans.plan(grid, problem, num_classes=10, slots=4)
        assert all(slots % plan.multiple == 0 for slots in plan.slots)
        found = sweep.fit(
            problem, grid, plan=plan, weightings=weightings, max_evaluations=300, **how
        )
        # float32 proves hinges to about 1e-5.
        assert (found.relative_gap <= 3e-5).all()
        polished = polishing.polished(
            problem, grid, found, weightings=weightings, **how
        )
        return found, polished

    alone = fits(plain(), weights)
    with jax.set_mesh(sharding.mesh(rows=rows, models=models)):
        found = fits(placed(), sharding.weightings(weights, num_examples=203))
    assert found[1].converged.all()
    for mine, its, tolerance in zip(found, alone, (3e-5, 1e-5), strict=True):
        np.testing.assert_allclose(
            mine.certificate.primal, its.certificate.primal, rtol=tolerance
        )


def of_a_sweep(problem):
    lane = lanes.empty(1, problem, num_classes=10, loss=BOTH[0])
    return lanes.evaluate.lower((lane,), problem, None, losses=BOTH[:1])


def of_a_fit(problem):
    solver = certified.solver(loss=BOTH[0])
    settings = base.Settings(l2=np.float32(1e-2))
    params = jax.tree.map(np.float32, fitting.Params(np.zeros((10, 64)), np.zeros(10)))
    state = solver.init(params, problem, settings)
    return jax.jit(solver.step).lower(KEY, np.int32(0), state, problem, settings)


@pytest.mark.parametrize(
    "lowered", [of_a_sweep, pytest.param(of_a_fit, marks=pytest.mark.full)]
)
def test_the_pass_is_made_by_all_devices(lowered):
    """The program of a pass has each device's share of the rows, not all of them."""
    with jax.set_mesh(sharding.mesh(rows=8)):
        text = lowered(placed()).compile().as_text()
    # 208 rows on 8 devices: blocks of 26.
    assert "u8[26,64]" in text
    assert "u8[208,64]" not in text


def test_each_device_makes_the_pass_for_its_own_models():
    """Eight slots on eight devices: each has the scores of one."""
    with jax.set_mesh(sharding.mesh(models=8)):
        problem = placed()
        lane = lanes.empty(8, problem, num_classes=10, loss=BOTH[0])
        program = lanes.evaluate.lower((lane,), problem, None, losses=BOTH[:1])
        text = program.compile().as_text()
    assert "f32[203,1,10]" in text
    assert "f32[203,8,10]" not in text


def test_a_plan_of_another_mesh_is_refused():
    grid = grids.product(losses=BOTH[:1], l2s=(1e-1,))
    plan = plans.plan(grid, plain(), num_classes=10)
    with jax.set_mesh(sharding.mesh(models=2)):
        problem = placed()
        with pytest.raises(
            ValueError, match="plan must be made under the mesh .* 1 de"
        ):
            sweep.fit(problem, grid, plan=plan, num_classes=10)


CROSS = {
    "num_classes": 10,
    "losses": BOTH[:1],
    "l2s": (3e-1, 1e-1),
    "relative_gap": 1e-5,
}


@pytest.mark.full
@pytest.mark.parametrize("repeats", [None, 2])
def test_cross_validation_of_padded_rows(repeats):
    fold_of = folds.stratified_k_fold(KEY, LABELS, num_folds=3)
    if repeats is not None:
        fold_of = np.stack([fold_of, (fold_of + (LABELS > 4)) % 3])
    alone = cross_validation.cross_validate(plain(), fold_of=fold_of, **CROSS)
    with jax.set_mesh(sharding.mesh(rows=4)):
        found = cross_validation.cross_validate(
            placed(), fold_of=sharding.folds(fold_of, num_examples=203), **CROSS
        )
    assert found.num_repeats == alone.num_repeats
    np.testing.assert_allclose(found.accuracy, alone.accuracy, atol=1e-6)
    np.testing.assert_allclose(found.loss, alone.loss, rtol=1e-3)


def test_models_are_tested_where_the_rows_are():
    """No device gets the rows of another, and padded rows do not count."""
    models = grids.product(losses=BOTH[:1], l2s=(1e-1,), num_weightings=2)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        np.float32, fitting.Params(rng.normal(size=(2, 10, 64)), np.zeros((2, 10)))
    )
    held_out = rng.integers(0, 2, (2, 203)).astype(np.float32)
    alone = cross_validation.tested(plain(), models, params, held_out=held_out)
    with jax.set_mesh(sharding.mesh(rows=8)):
        problem = placed()
        weights = sharding.weightings(held_out, num_examples=203)
        found = cross_validation.tested(problem, models, params, held_out=weights)
        program = cross_validation._tested.lower(
            params, {}, np.arange(2), problem, weights, loss=BOTH[0]
        )
        text = program.compile().as_text()
    np.testing.assert_allclose(found, alone, rtol=1e-6)
    scores = np.einsum(
        "mcd,nd->mnc", params.weights, (ROWS - FITTED.mean) / FITTED.scale
    )
    right = scores.argmax(axis=2) == LABELS
    np.testing.assert_allclose(
        found[0], (right * held_out).sum(axis=1) / held_out.sum(axis=1), rtol=1e-6
    )
    assert "u8[26,64]" in text
    assert "u8[208,64]" not in text


@pytest.mark.parametrize(
    ("fold_of", "words"),
    [
        ([0, 1, 3, 3] * 50, "must name folds 0, 1, ... without gaps"),
        ([0] * 200, "must name folds 0, 1, ... without gaps, at least two"),
        ([[0, 1] * 100, [0, 1, 2, 2] * 50], "same number of folds in each repeat"),
        ([0, 1] * 98, r"fold_of must be integers \(200,\) or \(repeats, 200\)"),
        (1 * (LABELS[:200] == 3), "without part 0 there is none of class 0"),
    ],
)
def test_folds_on_devices_are_checked(fold_of, words):
    with jax.set_mesh(sharding.mesh(rows=4)):
        problem = certified.prepare(
            sharding.problem(ROWS[:200], LABELS[:200], num_classes=10)
        )
        with pytest.raises(ValueError, match=words):
            cross_validation.cross_validate(
                problem,
                fold_of=sharding.folds(fold_of, num_examples=200),
                **CROSS,
            )


@pytest.mark.full
def test_a_probe_on_devices_is_the_probe():
    how = {"l2s": (1e-1, 1e-2), "relative_gap": 1e-5}
    test = DIGITS.features[203:403], DIGITS.labels[203:403]
    alone = probe.fit(KEY, ROWS, LABELS, *test, **how)
    with jax.set_mesh(sharding.mesh(rows=4)):
        found = probe.fit(KEY, ROWS, LABELS, *test, **how)
    assert found.l2 == alone.l2
    np.testing.assert_allclose(
        found.fit.certificate.primal, alone.fit.certificate.primal, rtol=1e-5
    )
    np.testing.assert_allclose(found.table.accuracy, alone.table.accuracy, atol=1e-6)
    assert found.accuracy == pytest.approx(alone.accuracy, abs=0.006)


def test_rows_that_divide_are_not_weighted():
    with jax.set_mesh(sharding.mesh(rows=2)):
        even = sharding.problem(ROWS[:200], LABELS[:200], num_classes=10)
        odd = sharding.problem(ROWS, LABELS, num_classes=10)
    assert even.example_weights is None
    assert odd.features.shape[0] == 204
    np.testing.assert_array_equal(np.asarray(odd.example_weights)[-2:], [1, 0])


def test_normalizations_of_one_process_are_those_of_the_rows():
    for mine, theirs in (
        (sharding.fit_centered(ROWS, scale=16.0), FITTED),
        (sharding.fit_standard(ROWS), normalization.fit_standard(ROWS)),
    ):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_weighted_normalizations_are_those_of_the_rows():
    weights = np.arange(203) % 3
    wide = ROWS.astype(np.float64)
    for fit, other in (
        (sharding.fit_standard, normalization.fit_standard),
        (
            functools.partial(sharding.fit_centered, scale=2.0),
            functools.partial(normalization.fit_centered, scale=2.0),
        ),
    ):
        for mine, theirs in zip(
            fit(wide, example_weights=weights),
            other(wide, example_weights=weights),
            strict=True,
        ):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12)
            assert mine.dtype == np.float64
    with pytest.raises(ValueError, match="positive sum over the examples of all"):
        sharding.fit_standard(ROWS, example_weights=0 * weights)


@pytest.mark.full
def test_rows_of_weight_0_are_out_on_devices():
    weights = (np.arange(203) % 4 > 0).astype(np.float32)
    junk = np.where(weights[:, None] > 0, ROWS, np.float32(1e30))
    how = {"num_classes": 10, "normalization": FITTED, "example_weights": weights}
    alone = certified.prepare(base.problem(ROWS, LABELS, **how))
    with jax.set_mesh(sharding.mesh(rows=8)):
        found = certified.prepare(sharding.problem(junk, LABELS, **how))
        fit = fitting.fit_prepared(found, loss=BOTH[0], num_classes=10, l2=1e-1)
    size = int(weights.sum())
    np.testing.assert_array_equal(
        found.curvature.sample[:size], alone.curvature.sample[:size]
    )
    expected = fitting.fit_prepared(alone, loss=BOTH[0], num_classes=10, l2=1e-1)
    assert fit.converged
    np.testing.assert_allclose(
        fit.certificate.primal, expected.certificate.primal, rtol=2e-4
    )


def test_bad_input():
    with pytest.raises(
        ValueError, match="rows times models must be at most 8, got 3 x 3"
    ):
        sharding.mesh(rows=3, models=3)
    with pytest.raises(ValueError, match="rows must be at least 1"):
        sharding.mesh(rows=0)
    with pytest.raises(ValueError, match="a mesh must be set"):
        sharding.problem(ROWS, LABELS, num_classes=10)
    with jax.set_mesh(sharding.mesh(rows=2)):
        with pytest.raises(ValueError, match="targets must lie in"):
            sharding.problem(ROWS, LABELS, num_classes=5)
        with pytest.raises(ValueError, match="targets .* two classes, got only class"):
            sharding.problem(ROWS, 0 * LABELS, num_classes=10)
        with pytest.raises(ValueError, match="values must have shape"):
            sharding.weightings(np.ones(203), num_examples=203)
        with pytest.raises(
            ValueError, match="must have shape .203,., got shape .204,."
        ):
            sharding.weightings(np.ones((1, 204)), num_examples=203)
        with pytest.raises(ValueError, match="fold_of must be at least 0, got -1"):
            sharding.folds([0, -1] * 50, num_examples=100)
    assert placement.axis_size(placement.ROWS) == 1


@pytest.mark.full
def test_two_processes_that_load_half_the_rows_each():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")
    }
    program = HERE / "two_processes.py"
    both = [
        processes.start(program, address, number, env=environment) for number in (0, 1)
    ]
    ended = [processes.finish(process) for process in both]
    for code, _, errors in ended:
        assert code == 0, errors
    # What the runtime says comes before.
    values = [[float(x) for x in out.splitlines()[-1].split()] for _, out, _ in ended]
    assert values[0] == values[1]
    expected = [
        fitting.fit_prepared(plain(), loss=loss, **HOW).certificate.primal
        for loss in BOTH
    ]
    fold_of = np.concatenate(
        [
            folds.stratified_k_fold(KEY, LABELS[part], num_folds=3)
            for part in (slice(120), slice(120, 203))
        ]
    )
    table = cross_validation.cross_validate(plain(), fold_of=fold_of, **CROSS)
    np.testing.assert_allclose(values[0][:2], expected, rtol=1e-5)
    np.testing.assert_allclose(values[0][2:4], expected, rtol=3e-5)
    np.testing.assert_allclose(values[0][4:7], table.accuracy[1], atol=1e-6)
    np.testing.assert_allclose(values[0][7:], table.loss[1], rtol=1e-3)
