"""Models with labels of their own on the same rows: each is the fit of its labels."""

import jax
import numpy as np
import pytest
from small_sweeps import assert_same

import jaxlin
from jaxlin import losses, sharding
from jaxlin.problems.target_sets import TargetSets
from jaxlin.selection import grids, sweep
from jaxlin.selection.parts import Parts

GENERATOR = np.random.default_rng(0)
NUM_EXAMPLES, NUM_SETS = 96, 5
ROWS = GENERATOR.normal(size=(NUM_EXAMPLES, 4)).astype(np.float32)
NOISE = GENERATOR.normal(size=(NUM_EXAMPLES, NUM_SETS))
CODES = (ROWS @ GENERATOR.normal(size=(4, NUM_SETS)) + NOISE > 0.5).astype(np.int8)
SETS = TargetSets(CODES, tuple(f"label {i}" for i in range(NUM_SETS)))
WEIGHTS = GENERATOR.integers(0, 3, size=(2, NUM_EXAMPLES)).astype(np.float32)
L2S = (1e-1, 1e-2)
LOSSES = (losses.softmax_cross_entropy, losses.crammer_singer_hinge)
STOP = jaxlin.Stop(1e-4)


@pytest.fixture(scope="module")
def problem():
    # The labels of the problem itself count for nothing.
    return jaxlin.problem(ROWS, np.arange(NUM_EXAMPLES) % 2)


def grid(*, loss=LOSSES, bias="free", l2s=L2S):
    return grids.product(
        losses=loss, l2s=l2s, num_weight_sets=2, num_target_sets=NUM_SETS, bias=bias
    )


def fitted(problem, models, **changes):
    options = {
        "weight_sets": WEIGHTS,
        "target_sets": SETS,
        "stop": STOP,
        "refine": False,
        **changes,
    }
    return sweep.fit_models(problem, models, **options)


@pytest.fixture(scope="module")
def found(problem):
    return fitted(problem, grid())


@pytest.mark.parametrize("model", range(0, 40, 3))
def test_each_model_is_the_fit_of_its_labels(found, model):
    """Both objectives lie within their proven gaps of the same optimum."""
    models = found.models
    alone = jaxlin.fit(
        ROWS,
        CODES[:, models.target_set[model]],
        loss=models.losses[models.loss[model]],
        l2=models.l2[model],
        bias="free",
        weights=WEIGHTS[models.weight_set[model]],
        stop=jaxlin.Stop(1e-8),
    )
    own = found[model]
    assert own.converged
    assert own.certificate.primal == pytest.approx(
        alone.certificate.primal, rel=STOP.relative_gap
    )
    assert own.certificate.dual <= alone.certificate.primal * (1 + 1e-6)
    if models.loss[model] == 0:
        np.testing.assert_allclose(own.params.weights, alone.params.weights, atol=0.02)


def test_refined_in_float64_with_its_own_labels(problem):
    models = grid(loss=LOSSES[:1], l2s=L2S[1:])
    found = fitted(problem, models, stop=jaxlin.Stop(1e-10), refine=True)
    assert found.converged.all()
    assert found.float64_passes.any()
    for model in (0, 7):
        alone = jaxlin.fit(
            ROWS,
            CODES[:, models.target_set[model]],
            loss=LOSSES[0],
            l2=L2S[1],
            bias="free",
            weights=WEIGHTS[models.weight_set[model]],
            stop=jaxlin.Stop(1e-10),
        )
        np.testing.assert_allclose(
            found[model].certificate.primal,
            alone.certificate.primal,
            rtol=2e-10,
        )


def test_parts_and_their_files_keep_the_sets(problem, found, tmp_path):
    """Models of a part keep their labels; a finished file is not fitted again."""
    files = Parts((tmp_path / "0.npz", tmp_path / "1.npz"))
    for _ in range(2):
        joined = fitted(problem, grid(), checkpoint=files)
        np.testing.assert_allclose(
            joined.certificate.primal, found.certificate.primal, rtol=2e-4
        )
    changed = SETS._replace(codes=CODES[:, ::-1])
    with pytest.raises(ValueError, match="target_sets"):
        fitted(problem, grid(), checkpoint=files, target_sets=changed)


def test_goes_on_from_its_file(problem, tmp_path):
    models = grid(bias="penalized")
    path = tmp_path / "sweep.npz"
    whole = fitted(problem, models)

    class Killed(Exception):
        pass

    def kill(state):
        if len(state.finished) > 3:
            raise Killed

    with pytest.raises(Killed):
        fitted(problem, models, checkpoint=path, callback=kill)
    assert_same(fitted(problem, models, checkpoint=path), whole)


def test_on_a_mesh_of_rows_and_models(found):
    with jax.set_mesh(sharding.mesh(rows=2, models=2)):
        problem = jaxlin.problem(ROWS, np.arange(NUM_EXAMPLES) % 2)
        spread = fitted(problem, grid())
    np.testing.assert_allclose(
        spread.certificate.primal, found.certificate.primal, rtol=2e-4
    )


def test_a_missing_class_is_refused_by_name(problem):
    codes = CODES.copy()
    codes[WEIGHTS[1] > 0, 3] = 0
    with pytest.raises(ValueError, match=r"label 3 .* of part 1, got none .* 1;"):
        fitted(problem, grid(), target_sets=SETS._replace(codes=codes))


def test_sets_of_other_rows_are_refused(problem):
    with pytest.raises(ValueError, match=r"shape \(96, 5\).*got \(95, 5\)"):
        fitted(problem, grid(), target_sets=SETS._replace(codes=CODES[1:]))
