"""What float32 cannot prove of a sweep is proven in float64, and nothing else moves."""

import jax
import numpy as np
import optima
import pytest
import sweep_problems
from sweep_problems import HINGE, MARGIN, NUM_CLASSES, SOFTMAX

from jaxlin.selection import grids, polishing, sweep
from jaxlin.solvers import fitting

# How often each example counts, in two weightings.
WEIGHTS = np.random.default_rng(0).integers(0, 3, (2, sweep_problems.EXAMPLES))
WEIGHTS = WEIGHTS.astype(np.float32)
GAP = 1e-8
HOW = {"num_classes": NUM_CLASSES, "weightings": WEIGHTS}


@pytest.fixture(scope="module")
def problem():
    return sweep_problems.problem()


@pytest.fixture(scope="module")
def models():
    return grids.product(
        losses=(SOFTMAX, HINGE), l2s=(1e-1,), loss_arguments=MARGIN, num_weightings=2
    )


@pytest.fixture(scope="module")
def fits(problem, models):
    """As a sweep leaves them, by single fits, whose programs a polish has too."""
    each = [
        fitting.fit_prepared(
            problem._replace(example_weights=WEIGHTS[models.weighting[model]]),
            num_classes=NUM_CLASSES,
            loss=models.losses[models.loss[model]],
            l2=models.l2[model],
            loss_arguments=models.arguments_of(model),
            relative_gap=1e-5,
        )
        for model in range(models.size)
    ]
    stacked = jax.tree.map(
        lambda *leaves: np.stack(leaves),
        *((fit.params, fit.certificate, fit.relative_gap) for fit in each),
    )
    evaluations = np.array([fit.evaluations for fit in each])
    return sweep.Fits(
        *stacked,
        converged=stacked[-1] <= 1e-5,
        evaluations=evaluations,
        paid=int(evaluations.sum()),
    )


@pytest.fixture(scope="module")
def found(problem, models, fits):
    return polishing.polished(problem, models, fits, relative_gap=GAP, **HOW)


def test_every_gap_is_proven(found):
    assert found.converged.all()
    assert (found.relative_gap <= GAP).all()
    assert found.params.weights.dtype == np.float64


def test_models_are_the_optima_of_the_rows_that_count(models, found):
    fitted = sweep_problems.NORMALIZATION
    rows = (np.float64(sweep_problems.ROWS) - fitted.mean) / fitted.scale
    rows = np.c_[rows, np.ones(len(rows))]
    for model in range(models.size):
        weights = np.float64(WEIGHTS[models.weighting[model]])
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
            rtol=2 * GAP if is_hinge else 1e-6,
        )


def test_evaluations_are_counted(fits, found):
    more = found.evaluations - fits.evaluations
    assert (more > 0).all()
    assert found.paid == fits.paid + more.sum()


def test_what_is_proven_already_stays(problem, models, fits):
    same = polishing.polished(problem, models, fits, relative_gap=1e-4, **HOW)
    jax.tree.map(np.testing.assert_array_equal, same, fits)
    looser = fits._replace(relative_gap=np.where([1, 0, 0, 0], 1.0, 1e-9))
    some = polishing.polished(problem, models, looser, relative_gap=GAP, **HOW)
    np.testing.assert_array_equal(some.params.weights[1:], fits.params.weights[1:])
    np.testing.assert_array_equal(some.evaluations[1:], fits.evaluations[1:])
    assert some.converged.all()


def test_a_budget_that_is_too_small_makes_nothing_worse(problem, models, fits):
    tight = polishing.polished(
        problem, models, fits, relative_gap=1e-12, max_evaluations=1, **HOW
    )
    assert (tight.relative_gap <= fits.relative_gap).all()
    assert not tight.converged.any()
