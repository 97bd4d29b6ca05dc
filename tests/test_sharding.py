"""Rows and models on eight virtual devices, and in two processes: the same optimum."""

import functools
import os
import pathlib
import socket

import jax
import numpy as np
import processes
import pytest

import jaxlin
from jaxlin import data, losses, normalization, sharding
from jaxlin.certificates import duality
from jaxlin.linear import Params
from jaxlin.numerics import device_mesh
from jaxlin.selection import (
    folds,
    grids,
    held_out_metrics,
    plans,
    refinement,
    sweep,
    sweep_result,
)
from jaxlin.solvers import batch_pass, certified, interface, model_batch

HERE = pathlib.Path(__file__).parent
KEY = jax.random.key(0)
pytestmark = pytest.mark.devices(8)
# 203 rows: no number of devices divides them.
DIGITS = data.load("digits").train
ROWS, LABELS = DIGITS.features[:203], DIGITS.labels[:203]
FITTED = normalization.fit_centered(ROWS, scale=16.0)
BOTH = (losses.softmax_cross_entropy, losses.weston_watkins_hinge)
# A gap proven to 1e-5 puts two objectives within 1e-5; hinges need float64 for it.
FIT_SETTINGS = {"l2": 1e-1, "stop": jaxlin.Stop(1e-5), "refine": True}


def of_digits(rows=ROWS, labels=LABELS, **options):
    """A problem of its own under each mesh."""
    options = {"normalization": FITTED, **options}
    return jaxlin.problem(rows, labels, classes=range(10), **options)


@pytest.mark.parametrize(
    ("loss", "numbers"),
    [
        pytest.param(BOTH[0], (1, 2, 4, 8), marks=pytest.mark.full),
        pytest.param(BOTH[1], (1, 2, 4, 8), marks=pytest.mark.full),
    ],
)
def test_rows_on_any_number_of_devices_have_one_optimum(loss, numbers):
    alone = jaxlin.fit(of_digits(), loss=loss, **FIT_SETTINGS)
    for devices in numbers:
        with jax.set_mesh(sharding.mesh(rows=devices)):
            problem = of_digits()
            features = problem.examples.features
            assert len(features.sharding.device_set) == devices
            assert features.shape[0] % devices == 0
            assert problem.num_examples == 203
            found = jaxlin.fit(problem, loss=loss, **FIT_SETTINGS)
        assert found.converged
        np.testing.assert_allclose(
            found.certificate.primal, alone.certificate.primal, rtol=1e-5
        )
        assert abs(found.passes - alone.passes) <= 0.2 * alone.passes


@pytest.mark.parametrize(
    ("rows", "models"),
    [
        pytest.param(2, 2, marks=pytest.mark.full),
        pytest.param(1, 8, marks=pytest.mark.full),
        pytest.param(4, 1, marks=pytest.mark.full),
    ],
)
def test_a_sweep_on_devices_is_the_sweep(rows, models):
    grid = grids.product(losses=BOTH, l2s=(3e-1, 1e-1), num_weight_sets=2)
    fold_ids = folds.stratified_k_fold(KEY, LABELS, num_folds=3)
    weights = folds.train_weights(fold_ids, num_folds=3)[:2]

    def fits():
        problem = of_digits()
        plan = plans.plan(grid, problem.examples, num_classes=10, slots=4)
        assert all(slots % plan.multiple == 0 for slots in plan.slots)
        settings = {"weight_sets": weights, "stop": jaxlin.Stop(1e-5, 300)}
        found = sweep.fit_models(problem, grid, plan=plan, **settings)
        # float32 proves hinges to about 1e-5.
        assert (found.relative_gap <= 3e-5).all()
        settings["stop"] = jaxlin.Stop(1e-5)
        return found, refinement.refine_unproven(problem, found, **settings)

    alone = fits()
    with jax.set_mesh(sharding.mesh(rows=rows, models=models)):
        found = fits()
    assert found[1].converged.all()
    for mine, its, tolerance in zip(found, alone, (3e-5, 1e-5), strict=True):
        np.testing.assert_allclose(
            mine.certificate.primal, its.certificate.primal, rtol=tolerance
        )


def of_a_sweep(examples):
    batch = model_batch.empty(1, examples, num_classes=10, loss=BOTH[0])
    return batch_pass.evaluate.lower((batch,), examples, None, losses=BOTH[:1])


def of_a_fit(examples):
    solver = certified.solver(loss=BOTH[0])
    settings = interface.Settings(l2=np.float32(1e-2))
    params = jax.tree.map(np.float32, Params(np.zeros((10, 64)), np.zeros(10)))
    state = solver.init(params, examples, settings)
    return jax.jit(solver.step).lower(KEY, np.int32(0), state, examples, settings)


@pytest.mark.parametrize(
    "lowered", [of_a_sweep, pytest.param(of_a_fit, marks=pytest.mark.full)]
)
def test_the_pass_is_made_by_all_devices(lowered):
    """The program of a pass has each device's share of the rows, not all of them."""
    with jax.set_mesh(sharding.mesh(rows=8)):
        text = lowered(of_digits().prepared()).compile().as_text()
    # 208 rows on 8 devices: blocks of 26.
    assert "u8[26,64]" in text
    assert "u8[208,64]" not in text


def test_each_device_makes_the_pass_for_its_own_models():
    """Eight slots on eight devices: each has the scores of one."""
    with jax.set_mesh(sharding.mesh(models=8)):
        examples = of_digits().prepared()
        batch = model_batch.empty(8, examples, num_classes=10, loss=BOTH[0])
        program = batch_pass.evaluate.lower((batch,), examples, None, losses=BOTH[:1])
        text = program.compile().as_text()
    assert "f32[203,1,10]" in text
    assert "f32[203,8,10]" not in text


def test_a_plan_of_another_mesh_is_refused():
    grid = grids.product(losses=BOTH[:1], l2s=(1e-1,))
    plan = plans.plan(grid, of_digits().examples, num_classes=10)
    with jax.set_mesh(sharding.mesh(models=2)):
        problem = of_digits()
        with pytest.raises(
            ValueError, match="plan must be made under the mesh .* 1 de"
        ):
            sweep.fit_models(problem, grid, plan=plan)


CROSS = {"losses": BOTH[:1], "l2s": (3e-1, 1e-1), "stop": jaxlin.Stop(1e-5)}


@pytest.mark.full
@pytest.mark.parametrize("repeats", [None, 2])
def test_cross_validation_of_padded_rows(repeats):
    fold_ids = folds.stratified_k_fold(KEY, LABELS, num_folds=3)
    if repeats is not None:
        fold_ids = np.stack([fold_ids, (fold_ids + (LABELS > 4)) % 3])
    alone = jaxlin.cross_validate(of_digits(), folds=fold_ids, **CROSS)
    with jax.set_mesh(sharding.mesh(rows=4)):
        found = jaxlin.cross_validate(of_digits(), folds=fold_ids, **CROSS)
    assert found.num_repeats == alone.num_repeats
    np.testing.assert_allclose(found.accuracy, alone.accuracy, atol=1e-6)
    np.testing.assert_allclose(found.loss, alone.loss, rtol=1e-3)


def test_models_are_tested_where_the_rows_are():
    """No device gets the rows of another, and padded rows do not count."""
    models = grids.product(losses=BOTH[:1], l2s=(1e-1,), num_weight_sets=2)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        np.float32, Params(rng.normal(size=(2, 10, 64)), np.zeros((2, 10)))
    )
    held_out = rng.integers(0, 2, (2, 203)).astype(np.float32)
    nothing = np.zeros(2)
    fits = sweep_result.SweepResult(
        models,
        params,
        duality.Certificate(*(nothing,) * 4),
        relative_gap=nothing,
        converged=nothing > 0,
        stalled=nothing > 0,
        passes=nothing.astype(int),
        float64_passes=nothing.astype(int),
        bias_radius=nothing,
        slot_passes=0,
        normalization=FITTED,
        classes=np.arange(10),
    )
    alone = held_out_metrics.accuracy_and_loss(of_digits(), fits, held_out=held_out)
    with jax.set_mesh(sharding.mesh(rows=8)):
        problem = of_digits()
        found = held_out_metrics.accuracy_and_loss(problem, fits, held_out=held_out)
        weights = problem.weight_sets(held_out, allow_one_class=True)
        program = held_out_metrics._accuracy_and_loss.lower(
            params, {}, np.arange(2), problem.examples, weights, loss=BOTH[0]
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
    ("fold_ids", "words"),
    [
        ([0, 1, 3, 3] * 50, "folds must be named 0, 1, ... without gaps"),
        ([0] * 200, "folds must be named 0, 1, ... without gaps, at least two"),
        ([[0, 1] * 100, [0, 1, 2, 2] * 50], "the same number in each repeat"),
        ([0, 1] * 98, r"folds must be integers \(200,\).* or \(repeats, 200\)"),
        ([0, -3] * 100, "folds must be at least 0, or -1 .* held out, got -3"),
        (1 * (LABELS[:200] == 3), "fold 0 leaves none of class 0"),
    ],
)
def test_folds_on_devices_are_checked(fold_ids, words):
    with jax.set_mesh(sharding.mesh(rows=4)):
        problem = of_digits(ROWS[:200], LABELS[:200], normalization=None)
        with pytest.raises(ValueError, match=words):
            jaxlin.cross_validate(problem, folds=fold_ids, **CROSS)


@pytest.mark.full
def test_a_probe_on_devices_is_the_probe():
    settings = {"l2s": (1e-1, 1e-2), "stop": jaxlin.Stop(1e-5)}
    test = DIGITS.features[203:403], DIGITS.labels[203:403]
    alone = jaxlin.probe(KEY, ROWS, LABELS, *test, **settings)
    with jax.set_mesh(sharding.mesh(rows=4)):
        found = jaxlin.probe(KEY, ROWS, LABELS, *test, **settings)
    assert found.l2 == alone.l2
    np.testing.assert_allclose(
        found.fit.certificate.primal, alone.fit.certificate.primal, rtol=1e-5
    )
    np.testing.assert_allclose(found.table.accuracy, alone.table.accuracy, atol=1e-6)
    assert found.test.accuracy.value == pytest.approx(
        alone.test.accuracy.value, abs=0.006
    )


def test_rows_that_divide_are_not_weighted():
    with jax.set_mesh(sharding.mesh(rows=2)):
        even = of_digits(ROWS[:200], LABELS[:200]).examples
        odd = of_digits().examples
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
    settings = {"loss": BOTH[0], "l2": 1e-1, "stop": jaxlin.Stop(1e-4)}
    alone = of_digits(weights=weights)
    with jax.set_mesh(sharding.mesh(rows=8)):
        problem = of_digits(junk, weights=weights)
        found = problem.prepared()
        fit = jaxlin.fit(problem, **settings)
    size = int(weights.sum())
    np.testing.assert_array_equal(
        found.preconditioner.sample[:size],
        alone.prepared().preconditioner.sample[:size],
    )
    expected = jaxlin.fit(alone, **settings)
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
    with jax.set_mesh(sharding.mesh(rows=2)):
        with pytest.raises(ValueError, match="labels must be among the 5 classes"):
            jaxlin.problem(ROWS, LABELS, classes=range(5))
        with pytest.raises(ValueError, match="labels .* two classes, got only class"):
            of_digits(labels=0 * LABELS)
        problem = of_digits()
        with pytest.raises(ValueError, match="weight_sets must have shape"):
            problem.weight_sets(np.ones(203))
        with pytest.raises(
            ValueError, match="must have shape .sets, 203.* got .1, 204."
        ):
            problem.weight_sets(np.ones((1, 204)))
    assert device_mesh.axis_size(device_mesh.ROWS) == 1


@pytest.mark.full
def test_two_processes_that_load_half_the_rows_each(tmp_path):
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
        processes.start(program, address, number, tmp_path, env=environment)
        for number in (0, 1)
    ]
    ended = [processes.finish(process) for process in both]
    for code, _, errors in ended:
        assert code == 0, errors
    # What the runtime says comes before.
    values = [[float(x) for x in out.splitlines()[-1].split()] for _, out, _ in ended]
    assert values[0] == values[1]
    expected = [
        jaxlin.fit(of_digits(), loss=loss, **FIT_SETTINGS).certificate.primal
        for loss in BOTH
    ]
    fold_ids = np.concatenate(
        [
            folds.stratified_k_fold(KEY, LABELS[part], num_folds=3)
            for part in (slice(120), slice(120, 203))
        ]
    )
    table = jaxlin.cross_validate(of_digits(), folds=fold_ids, **CROSS)
    np.testing.assert_allclose(values[0][:2], expected, rtol=1e-5)
    np.testing.assert_allclose(values[0][2:4], expected, rtol=3e-5)
    np.testing.assert_allclose(values[0][4:7], table.accuracy[1], atol=1e-6)
    np.testing.assert_allclose(values[0][7:10], table.loss[1], rtol=1e-3)
    of_probe, of_free = values[0][10:-2], values[0][-2:]
    expected = [
        jaxlin.fit(of_digits(), loss=loss, bias="free", **FIT_SETTINGS) for loss in BOTH
    ]
    primals = [fit.certificate.primal for fit in expected]
    np.testing.assert_allclose(of_free, primals, rtol=1e-5)
    probe = jaxlin.probe(
        *(KEY, ROWS, LABELS, DIGITS.features[203:403], DIGITS.labels[203:403]),
        **{"validation": 2, "class_weights": "balanced"},
        **{"l2s": (1e-1, 1e-2), "stop": jaxlin.Stop(1e-5)},
    )
    # The same examples are held out, whichever process has them.
    assert of_probe[0] == probe.l2
    assert of_probe[1] == pytest.approx(probe.fit.certificate.primal, rel=1e-5)
    assert of_probe[2] == pytest.approx(float(probe.temperature.value), rel=1e-2)
    assert of_probe[3] == pytest.approx(probe.test.accuracy.value, abs=0.006)
    np.testing.assert_allclose(of_probe[4:8], probe.table.accuracy.ravel(), atol=1e-6)
    np.testing.assert_allclose(of_probe[8:], probe.table.loss.ravel(), rtol=1e-3)
