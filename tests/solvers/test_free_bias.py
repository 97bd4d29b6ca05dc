"""Fits with a free bias, or none: all losses, all doors, against dense optima."""

import functools

import jax
import numpy as np
import optima
import pytest
from fitting_problems import EXAMPLES, WIDTH
from random_problems import LOSSES

import jaxlin
from jaxlin import losses
from jaxlin.linear import Bias
from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh
from jaxlin.objective import row_blocks
from jaxlin.problems import first_iterate, fit_methods
from jaxlin.selection import folds
from jaxlin.solvers import certified, fit_checks, float64_methods, interface

CLASSES, L2, MARGIN = 3, 0.01, 0.8
SOFTMAX, HINGE = losses.softmax_cross_entropy, losses.weston_watkins_hinge
every_loss = pytest.mark.parametrize("name", LOSSES)


@functools.cache
def arrays(name, offset=0.0):
    """Rows that float32 holds, labels of unequal shares, weights."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
    scores = rows @ generator.normal(size=(WIDTH, CLASSES)) + [2, 0, 0]
    targets = np.argmax(scores + generator.normal(size=scores.shape), axis=1)
    weights = np.round(generator.uniform(0.5, 2, size=EXAMPLES), 2).astype(np.float32)
    if name == "cross_entropy":
        targets = (0.75 * np.eye(CLASSES)[targets] + 0.25 / CLASSES).astype(np.float32)
    return np.float32(rows + offset), targets, weights


@functools.cache
def problem(name, offset=0.0):
    rows, targets, weights = arrays(name, offset)
    return jaxlin.problem(rows, targets, weights=weights)


def arguments_of(name):
    return {"margin": MARGIN} if "hinge" in name else {}


@functools.cache
def exact(name, bias, l2=L2):
    """(data, optimum) with a free bias or none."""
    rows, targets, weights = arrays(name)
    constant = np.full(EXAMPLES, float(bias != "none"))
    if targets.ndim == 2:
        targets = np.float64(targets)
        targets /= targets.sum(axis=1, keepdims=True)
    data = optima.Data(
        np.c_[np.float64(rows), constant],
        targets,
        np.float64(weights) / np.float64(weights).sum(),
        CLASSES,
        name,
        l2,
        arguments_of(name).get("margin", 1.0),
    )
    best = optima.free_optimum(data) if bias == "free" else optima.optimum(data)
    return data, best


def fit(name, bias, gap, *, on=None, l2=L2, **options):
    return jaxlin.fit(
        problem(name) if on is None else on,
        loss=LOSSES[name],
        l2=l2,
        bias=bias,
        loss_arguments=arguments_of(name),
        stop=jaxlin.Stop(gap),
        **options,
    )


def check(fitted, name, bias, gap, *, l2=L2):
    """The gap is proven and true, and the value that of the optimum."""
    data, best = exact(name, bias, l2)
    assert fitted.bias == bias
    assert fitted.converged, str(fitted)
    assert fitted.relative_gap <= gap
    folded = np.c_[fitted.params.weights, fitted.params.bias].astype(np.float64)
    value = optima.objective(folded, data)
    if bias == "free":
        value = optima.free_objective(folded, data)
    proof = fitted.certificate
    assert value - best.lower <= proof.gap + proof.rounding + 2e-8 * value
    assert proof.dual <= best.value * (1 + 1e-9)
    assert best.lower * (1 - 1e-9) <= value <= best.value * (1 + gap + 1e-9)
    if bias == "none":
        assert not np.any(fitted.params.bias)


@pytest.mark.parametrize("bias", ["free", "none"])
@every_loss
def test_float32_proves_the_gap(name, bias):
    check(fit(name, bias, 1e-3, refine=False), name, bias, 1e-3)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "cross_entropy"])
def test_float32_proves_a_small_gap_of_losses_with_curvature(name):
    """The residual that rounding leaves counts to second order only."""
    check(fit(name, "free", 3e-7, refine=False), name, "free", 3e-7)


@pytest.mark.parametrize("bias", ["free", "none"])
@every_loss
def test_float64_proves_the_gap(name, bias):
    """Newton steps for softmax, the interior-point method for hinges."""
    gap = 1e-11 if conjugates.of(LOSSES[name]).smooth else 1e-8
    fitted = fit(name, bias, gap)
    check(fitted, name, bias, gap)
    assert fitted.float64_passes > 0 or bias == "none"
    assert fitted.passes < 200


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "one_vs_rest_hinge"])
def test_methods_of_large_problems_prove_the_gap(name, monkeypatch):
    """L-BFGS in float64 for softmax, semismooth Newton steps for hinges."""
    monkeypatch.setattr(float64_methods, "MAX_UNKNOWNS", 1)
    large = jaxlin.problem(*arrays(name)[:2], weights=arrays(name)[2])
    is_hinge = name in optima.HINGES
    assert fit_methods.takes_semismooth_steps(large, LOSSES[name]) == is_hinge
    fitted = fit(name, "free", 1e-10, on=large, refine=True)
    check(fitted, name, "free", 1e-10)
    assert fitted.float64_passes > 0


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "weston_watkins_hinge"])
def test_a_shift_of_the_features_changes_nothing(name):
    """That of a penalised bias does change the optimum."""
    shifted = problem(name, 3.0)
    values = [
        fit(name, bias, 1e-6, on=on).certificate.primal
        for bias in ("free", "penalized")
        for on in (problem(name), shifted)
    ]
    assert abs(values[1] / values[0] - 1) <= 2e-6
    assert abs(values[3] / values[2] - 1) >= 1e-3


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "crammer_singer_hinge"])
def test_blocks_of_rows_give_the_fit_of_the_whole(name):
    rows, targets, weights = arrays(name)
    blocks = row_blocks.over(rows, targets, example_weights=weights, block_size=25)
    fitted = fit(name, "free", 1e-3, on=jaxlin.problem(blocks))
    check(fitted, name, "free", 1e-3)
    absent = row_blocks.over(rows, np.where(targets == 1, 0, targets), block_size=25)
    with pytest.raises(ValueError, match=r"every class .*bias is free.* class 1"):
        fit(name, "free", 1e-3, on=jaxlin.problem(absent, classes=range(CLASSES)))


@pytest.mark.devices(4)
@pytest.mark.parametrize("name", ["softmax_cross_entropy", "weston_watkins_hinge"])
def test_rows_on_several_devices_give_the_fit_of_one(name):
    with jax.set_mesh(jaxlin.sharding.mesh(rows=4)):
        on = jaxlin.problem(*arrays(name)[:2], weights=arrays(name)[2])
        check(fit(name, "free", 1e-3, on=on), name, "free", 1e-3)


@pytest.mark.devices(4)
def test_a_sweep_shares_rows_and_models_over_devices():
    names = ["softmax_cross_entropy", "weston_watkins_hinge"]
    options = {
        "losses": [LOSSES[name] for name in names],
        "l2s": (0.1, L2),
        "bias": "free",
        "refine": False,
    }
    rows, labels, weights = arrays("softmax_cross_entropy")
    alone = jaxlin.sweep(jaxlin.problem(rows, labels, weights=weights), **options)
    with jax.set_mesh(jaxlin.sharding.mesh(rows=2, models=2)):
        on = jaxlin.problem(rows, labels, weights=weights)
        shared = jaxlin.sweep(on, **options)
    assert shared.converged.all()
    np.testing.assert_allclose(
        shared.certificate.primal, alone.certificate.primal, rtol=2e-3
    )


def test_a_sweep_fits_all_losses_at_once_with_proofs():
    """Smooth losses and hinges share the pass; weight sets leave examples out."""
    names = ["softmax_cross_entropy", "weston_watkins_hinge"]
    on = problem("softmax_cross_entropy")
    train = np.ones((2, EXAMPLES), np.float32)
    train[1, ::5] = 0
    found = jaxlin.sweep(
        on,
        losses=[LOSSES[name] for name in names],
        l2s=(0.1, L2),
        loss_arguments={"margin": (MARGIN,)},
        bias="free",
        weight_sets=train,
        stop=jaxlin.Stop(1e-3),
        refine=False,
    )
    assert found.converged.all()
    for fitted in found:
        assert fitted.bias == "free"
    chosen = [i for i in range(len(found)) if found.models.weight_set[i] == 0]
    for i in chosen:
        fitted = found[i]
        if fitted.l2 == L2:
            check(fitted, fitted.loss.__name__, "free", 1e-3)
    # The models of the other set are those of the examples that are left.
    rows, targets, weights = arrays("softmax_cross_entropy")
    left = train[1] > 0
    alone = jaxlin.problem(rows[left], targets[left], weights=weights[left])
    for i in range(len(found)):
        fitted = found[i]
        if found.models.weight_set[i] == 1 and fitted.l2 == L2:
            same = fit(fitted.loss.__name__, "free", 1e-6, on=alone)
            ratio = fitted.certificate.primal / same.certificate.primal
            assert 1 - 1e-5 <= ratio <= 1 + 1.01e-3


def test_folds_and_refinement_take_a_free_bias():
    on = problem("softmax_cross_entropy")
    _, labels, _ = arrays("softmax_cross_entropy")
    ids = folds.stratified_k_fold(jax.random.key(0), labels, num_folds=3)
    found = jaxlin.cross_validate(
        on,
        losses=(SOFTMAX,),
        l2s=(L2,),
        folds=ids,
        bias="free",
        stop=jaxlin.Stop(1e-10),
        refine=True,
    )
    assert found.fits.converged.all()
    assert (found.fits.float64_passes > 0).any()
    assert {one.bias for one in found.fits} == {"free"}


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "weston_watkins_hinge"])
def test_a_warm_start_may_have_another_bias(name):
    """Without a bias that of the start is dropped; duals of another one are, too."""
    free = fit(name, "free", 1e-3, refine=False)
    assert np.any(free.params.bias)
    check(fit(name, "none", 1e-3, refine=False, start=free), name, "none", 1e-3)
    for bias in ("free", "penalized", "none"):
        begin = first_iterate.make(free, CLASSES, WIDTH, l2=L2, bias=bias)
        assert (begin.duals is not None) == (bias == "free")


@every_loss
def test_parameters_of_another_solver_are_certified(name):
    fitted = fit(name, "free", 1e-10)
    proof = jaxlin.certify(
        problem(name),
        fitted.params,
        loss=LOSSES[name],
        l2=L2,
        loss_arguments=arguments_of(name),
        bias="free",
    )
    data, best = exact(name, "free")
    assert proof.bias == "free"
    np.testing.assert_allclose(
        proof.certificate.primal, fitted.certificate.primal, rtol=1e-9
    )
    assert proof.certificate.dual <= best.value * (1 + 1e-9)
    # A hinge without its duals has a wide gap, whatever its bias.
    assert proof.relative_gap <= (1e-9 if conjugates.of(LOSSES[name]).smooth else 3)


def test_scores_that_do_not_fit_into_memory_are_refused(monkeypatch):
    """They have one number per example and class; without a free bias none is kept."""
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 2 * 10**9)
    shape = jax.ShapeDtypeStruct((10**7, 10), np.float32)
    check_memory = functools.partial(fit_checks.check_memory, shape, num_classes=100)
    with pytest.raises(ValueError, match="got at least .* scores 4 GB"):
        check_memory(loss=SOFTMAX, bias=Bias.FREE)
    check_memory(loss=SOFTMAX)


def test_scores_of_blocks_that_do_not_fit_into_memory_are_refused(monkeypatch):
    """Their number is known after the first pass, and named before the second."""
    rows = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
    blocks = row_blocks.over(rows, np.arange(2000) % 4, block_size=500)
    on, options = jaxlin.problem(blocks), {"loss": SOFTMAX, "l2": 1.0}
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 31_000)
    message = (
        r"free bias of 2000 examples in blocks and 4 classes.*3\.1e-05 GB, got at "
        r"least 3\.2e-05 GB \(scores.*use bias=\"penalized\""
    )
    with pytest.raises(ValueError, match=message):
        jaxlin.fit(on, bias="free", **options)
    monkeypatch.setattr(device_mesh, "memory_bytes", lambda: 33_000)
    assert jaxlin.fit(on, bias="free", **options).converged


def test_a_class_without_weight_is_refused_by_name():
    rows, labels, weights = arrays("softmax_cross_entropy")
    names = np.array(["left", "middle", "right"])[labels]
    without = np.where(labels == 1, 0, weights)
    on = jaxlin.problem(rows, names, weights=without)
    rule = (
        "every class a positive weight where the bias is free, got 0 for class middle"
    )
    options = {"loss": SOFTMAX, "l2": L2, "bias": "free"}
    with pytest.raises(ValueError, match=rf"labels must give {rule}.*penalized"):
        jaxlin.fit(on, **options)
    with pytest.raises(ValueError, match=f"labels must give {rule}"):
        jaxlin.certify(on, fit(SOFTMAX.__name__, "free", 1e-3).params, **options)
    whole = jaxlin.problem(rows, names)
    sweep = {"losses": (SOFTMAX,), "l2s": (L2,), "bias": "free"}
    sets = np.stack([np.ones(EXAMPLES), labels != 1])
    with pytest.raises(ValueError, match=rf"weight_sets\[1\] must give {rule}"):
        jaxlin.sweep(whole, weight_sets=sets, **sweep)
    # A penalised bias has an optimum there.
    assert jaxlin.fit(on, **{**options, "bias": "penalized"}).converged
    with pytest.raises(ValueError, match="bias must be .*penalized.*got 'unpenalized'"):
        jaxlin.fit(whole, **{**options, "bias": "unpenalized"})


def test_labels_are_certified_where_the_bias_is_bounded(tmp_path):
    """For softmax on rows in memory; also by a fit that was saved."""
    fitted = fit("softmax_cross_entropy", "free", 1e-10)
    jaxlin.save(tmp_path / "fit.npz", fitted)
    loaded = jaxlin.load(tmp_path / "fit.npz")
    assert (loaded.bias, loaded.bias_radius) == ("free", fitted.bias_radius)
    rows, targets, weights = arrays("softmax_cross_entropy")
    assert 0 < fitted.bias_radius < 1e-2
    assert jaxlin.certified_labels(loaded, rows).mean() > 0.9
    _, best = exact("softmax_cross_entropy", "free")
    scores = np.c_[rows, np.ones(EXAMPLES)] @ best.weights.T
    for gap in (1e-2, 1e-4, 1e-10):
        coarse = fit("softmax_cross_entropy", "free", gap, refine=False)
        known = jaxlin.certified_labels(coarse, rows)
        right = jaxlin.predict(coarse, rows) == scores.argmax(axis=1)
        assert right[known].all()
    hinge = fit("weston_watkins_hinge", "free", 1e-8)
    blocks = row_blocks.over(rows, targets, example_weights=weights)
    blocked = fit("softmax_cross_entropy", "free", 1e-3, on=jaxlin.problem(blocks))
    for unknown in (hinge, blocked):
        assert unknown.bias_radius == np.inf
        assert not jaxlin.certified_labels(unknown, rows).any()
    penalized = fit("softmax_cross_entropy", "penalized", 1e-8)
    assert penalized.bias_radius == 0
    # The duals of a certificate from outside are at another bias.
    proof = jaxlin.certify(
        problem("softmax_cross_entropy"),
        fitted.params,
        loss=SOFTMAX,
        l2=L2,
        bias="free",
    )
    assert proof.bias_radius == np.inf


def test_examples_prepared_for_another_bias_are_refused():
    """Their certificates would lack the part of the bias."""
    on = problem("softmax_cross_entropy")
    solver = certified.solver(loss=SOFTMAX)
    params = fit("softmax_cross_entropy", "free", 1e-3).params
    for prepared, bias in (("penalized", "free"), ("free", "penalized")):
        settings = interface.Settings(l2=np.float32(L2), bias=Bias.named(bias))
        examples = on.prepared(loss=SOFTMAX, bias=Bias.named(prepared))
        state = solver.init(params, examples, settings)
        with pytest.raises(ValueError, match="center must be given for a free bias"):
            solver.step(None, None, state, examples, settings)
