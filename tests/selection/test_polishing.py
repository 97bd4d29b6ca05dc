"""What float32 cannot prove of a sweep is proven in float64, and nothing else moves."""

import jax
import numpy as np
import pytest

from jaxlin import losses
from jaxlin.selection import grids, plans, polishing, sweep
from jaxlin.solvers import base, certified, fitting

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(80, 4)).astype(np.float32)
LABELS = np.arange(80) % 3
# As many examples are out in both: the fits of what is left share their programs.
WEIGHTS = RNG.permuted(np.tile(RNG.integers(0, 3, 80), (2, 1)), axis=1)
WEIGHTS = WEIGHTS.astype(np.float32)
GAP = 1e-8
HOW = {"num_classes": 3, "weightings": WEIGHTS}


@pytest.fixture(scope="module")
def problem():
    return certified.prepare(base.problem(ROWS, LABELS, num_classes=3))


@pytest.fixture(scope="module")
def models():
    both = (losses.softmax_cross_entropy, losses.weston_watkins_hinge)
    return grids.product(losses=both, l2s=(1e-1,), num_weightings=2)


@pytest.fixture(scope="module")
def fits(problem, models):
    plan = plans.plan(models, problem, num_classes=3)
    return sweep.fit(problem, models, plan=plan, relative_gap=1e-5, **HOW)


@pytest.fixture(scope="module")
def found(problem, models, fits):
    return polishing.polished(problem, models, fits, relative_gap=GAP, **HOW)


def test_every_gap_is_proven(found):
    assert found.converged.all()
    assert (found.relative_gap <= GAP).all()
    assert found.params.weights.dtype == np.float64


def test_models_are_those_of_single_fits(problem, models, found):
    for model in range(models.size):
        weights = WEIGHTS[models.weighting[model]]
        single = fitting.fit(
            ROWS[weights > 0],
            LABELS[weights > 0],
            loss=models.losses[models.loss[model]],
            l2=0.1,
            example_weights=weights[weights > 0],
            relative_gap=GAP,
            polish=True,
        )
        # Of a smooth loss float32 may prove the gap, though not print the objective.
        is_hinge = models.losses[models.loss[model]] is losses.weston_watkins_hinge
        np.testing.assert_allclose(
            found.certificate.primal[model],
            single.certificate.primal,
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
