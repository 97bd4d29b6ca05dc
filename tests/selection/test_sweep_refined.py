"""Refinement of a sweep in float64: it proves the rest, and nothing else moves."""

import dataclasses

import jax
import numpy as np
import optima
import pytest
import sweep_problems
from small_sweeps import assert_same
from sweep_problems import HINGE, MARGIN, NUM_CLASSES, SOFTMAX

import jaxlin
from jaxlin import linear
from jaxlin.selection import grids, refinement, sweep_result
from jaxlin.solvers import certified, fit_loop, float64_methods, full_batch
from jaxlin.solvers.interface import Settings

# How often each example counts, in two weight_sets.
WEIGHTS = np.random.default_rng(0).integers(0, 3, (2, sweep_problems.EXAMPLES))
WEIGHTS = WEIGHTS.astype(np.float32)
STOP = jaxlin.Stop(1e-8)
ZERO = fit_loop.Start(
    linear.Params(
        np.zeros((NUM_CLASSES, sweep_problems.WIDTH), np.float32),
        np.zeros(NUM_CLASSES, np.float32),
    ),
    None,
)


@pytest.fixture(scope="module")
def models():
    return grids.product(
        losses=(SOFTMAX, HINGE), l2s=(1e-1,), loss_arguments=MARGIN, num_weight_sets=2
    )


@pytest.fixture(scope="module")
def fits(problem, models):
    """Fits like those of a sweep, one by one: a refinement shares their programs."""
    examples, each = problem.prepared(), []
    for model in range(models.size):
        weights = WEIGHTS[models.weight_set[model]]
        settings = Settings(
            l2=float(models.l2[model]), loss_arguments=models.arguments_of(model)
        )
        loss = models.losses[models.loss[model]]
        rows = certified.row_source(
            examples._replace(example_weights=weights), loss=loss
        )
        iterations = full_batch.iterations(rows, loss=loss, settings=settings)
        each.append(fit_loop.minimize(iterations, start=ZERO, stop=jaxlin.Stop(1e-5)))
    params, certificate, gaps = jax.tree.map(
        lambda *leaves: np.stack(leaves),
        *((fit.params, fit.certificate, fit.relative_gap) for fit in each),
    )
    passes = np.array([fit.passes for fit in each])
    return sweep_result.SweepResult(
        models,
        params,
        certificate,
        relative_gap=gaps,
        converged=gaps <= 1e-5,
        stalled=np.array([fit.stalled for fit in each]),
        passes=passes,
        float64_passes=np.array([fit.float64_passes for fit in each]),
        bias_radius=np.zeros(len(each)),
        slot_passes=int(passes.sum()),
        normalization=problem.normalization,
        classes=problem.classes,
    )


@pytest.fixture(scope="module")
def found(problem, fits):
    return refinement.refine_unproven(problem, fits, weight_sets=WEIGHTS, stop=STOP)


def test_every_gap_is_proven(found):
    assert found.converged.all()
    assert (found.relative_gap <= STOP.relative_gap).all()
    assert found.params.weights.dtype == np.float64


def test_models_are_the_optima_of_the_rows_that_count(models, found):
    fitted = sweep_problems.NORMALIZATION
    rows = (np.float64(sweep_problems.ROWS) - fitted.mean) / fitted.scale
    rows = np.c_[rows, np.ones(len(rows))]
    for model in range(models.size):
        weights = np.float64(WEIGHTS[models.weight_set[model]])
        counted = weights > 0
        best = optima.optimum(
            optima.Data(
                rows[counted],
                sweep_problems.LABELS[counted],
                weights[counted] / weights.sum(),
                NUM_CLASSES,
                models.losses[models.loss[model]].__name__,
                l2=0.1,
            )
        )
        # Of a smooth loss float32 may prove the gap, though not print the objective.
        is_hinge = models.losses[models.loss[model]] is HINGE
        np.testing.assert_allclose(
            found.certificate.primal[model],
            best.value,
            rtol=2 * STOP.relative_gap if is_hinge else 1e-6,
        )


def test_passes_are_counted(fits, found):
    more = found.passes - fits.passes
    assert (more > 0).all()
    assert found.slot_passes == fits.slot_passes + more.sum()


def test_what_is_proven_already_stays(problem, fits):
    stop = jaxlin.Stop(1e-4)
    assert_same(
        refinement.refine_unproven(problem, fits, weight_sets=WEIGHTS, stop=stop), fits
    )
    gaps = np.where([1, 0, 0, 0], 1.0, 1e-9)
    looser = dataclasses.replace(fits, relative_gap=gaps)
    some = refinement.refine_unproven(problem, looser, weight_sets=WEIGHTS, stop=STOP)
    np.testing.assert_array_equal(some.params.weights[1:], fits.params.weights[1:])
    np.testing.assert_array_equal(some.passes[1:], fits.passes[1:])
    assert some.converged.all()


def test_a_budget_that_is_too_small_makes_nothing_worse(problem, fits):
    fits = dataclasses.replace(fits, passes=np.full(len(fits), 20))
    stop = jaxlin.Stop(1e-12, 21)
    tight = refinement.refine_unproven(problem, fits, weight_sets=WEIGHTS, stop=stop)
    assert (tight.passes == 21).all()
    assert (tight.relative_gap <= fits.relative_gap).all()
    assert not tight.converged.any()


def test_an_entry_is_a_fit_in_float64(problem, fits, found):
    for model, fit in enumerate(found):
        assert fit.params.weights.dtype == np.float64
        assert (fit.loss, fit.l2) == (fits[model].loss, fits[model].l2)
        assert fit.relative_gap <= STOP.relative_gap
        assert fit.classes is problem.classes


def test_float64_weights_of_a_large_problem_are_not_rounded(monkeypatch):
    """A refined sweep and a refined fit prove the same objective."""
    monkeypatch.setattr(float64_methods, "MAX_UNKNOWNS", 1)
    weights = np.random.default_rng(3).uniform(0.5, 2, size=len(sweep_problems.ROWS))
    rows = np.float64(sweep_problems.ROWS)
    problem = jaxlin.problem(rows, sweep_problems.LABELS, weights=weights)
    settings = {"refine": True, "stop": jaxlin.Stop(1e-10, 2000)}
    hinge = HINGE
    alone = jaxlin.fit(problem, loss=hinge, l2=1e-2, **settings)
    found = jaxlin.sweep(problem, losses=(hinge,), l2s=(1e-2,), **settings)
    assert found.converged.all()
    assert found.float64_passes[0] > 0
    np.testing.assert_allclose(
        found.certificate.primal, alone.certificate.primal, rtol=3e-10
    )
