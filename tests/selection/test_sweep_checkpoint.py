"""A sweep that is killed goes on as if it had not been."""

import itertools

import jax
import numpy as np
import pytest
import sweep_problems
from sweep_problems import HINGE, MARGIN, NUM_CLASSES, ROWS

from jaxlin import checkpoint, losses, sweep_checkpoint
from jaxlin.selection import folds, grids, plans, sweep

WEIGHTS = folds.train_weights(sweep_problems.FOLD_OF, num_folds=3)


@pytest.fixture(scope="module")
def problem():
    return sweep_problems.problem()


@pytest.fixture(scope="module")
def models():
    return grids.product(
        losses=(HINGE,), l2s=(0.3, 0.1, 0.03), num_weightings=3, loss_arguments=MARGIN
    )


@pytest.fixture(scope="module")
def how(problem, models):
    plan = plans.plan(models, problem, num_classes=NUM_CLASSES, slots=3)
    return {
        "plan": plan._replace(turns=1),
        "num_classes": NUM_CLASSES,
        "weightings": WEIGHTS,
        "relative_gap": 1e-4,
    }


@pytest.fixture(scope="module")
def whole(problem, models, how):
    *_, last = sweep.run(problem, models, **how)
    return last


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("turns", [1, 20])
def test_a_sweep_goes_on_bit_for_bit(problem, models, how, whole, tmp_path, turns):
    path = tmp_path / "sweep.npz"
    state = next(itertools.islice(sweep.run(problem, models, **how), turns - 1, None))
    sweep_checkpoint.save(path, state, models)
    finished = set(state.finished)
    loaded = sweep_checkpoint.load(path, problem, models, num_classes=3)
    equal(loaded.lanes, state.lanes)
    assert loaded.boards == state.boards
    for state in sweep.run(problem, models, **how, resume=loaded):
        # Nothing that is finished is ever in a slot again.
        running = {model for board in state.boards for model in board.running}
        assert not running & finished
    assert state.boards == whole.boards
    equal(
        sweep.collected(state, relative_gap=1e-4),
        sweep.collected(whole, relative_gap=1e-4),
    )


def test_a_file_of_another_sweep_is_refused(problem, models, how, tmp_path):
    path = tmp_path / "sweep.npz"
    state = next(sweep.run(problem, models, **how))
    sweep_checkpoint.save(path, state, models)
    for changed, name in (
        (grids.subset(models, [0, 1]), "l2"),
        (models._replace(l2=models.l2 * 2), "l2"),
        (models._replace(weighting=2 - models.weighting), "weightings"),
        (models._replace(losses=(losses.crammer_singer_hinge,)), "losses"),
    ):
        with pytest.raises(ValueError, match=f"got others: their {name} differ"):
            sweep_checkpoint.load(path, problem, changed, num_classes=3)
    with pytest.raises(ValueError, match="its num_classes is 3, got 4"):
        sweep_checkpoint.load(path, problem, models, num_classes=4)
    with pytest.raises(ValueError, match="its seed is None, got 1"):
        sweep_checkpoint.load(path, problem, models, num_classes=3, facts={"seed": 1})


@pytest.mark.parametrize("turns", [1, pytest.param(100, marks=pytest.mark.full)])
def test_a_sweep_goes_on_where_turns_and_programs_cost_something_else(
    problem, models, how, whole, tmp_path, turns
):
    path = tmp_path / "sweep.npz"

    def kill(state):
        if len(state.finished) >= 2:
            raise Killed

    with pytest.raises(Killed):
        sweep_checkpoint.fit(problem, models, path=path, watch=kill, **how)
    plan = how["plan"]._replace(turns=turns, price=how["plan"].price + 1)
    found = sweep_checkpoint.fit(problem, models, path=path, **{**how, "plan": plan})
    expected = sweep.collected(whole, relative_gap=1e-4)
    assert found.converged.all()
    np.testing.assert_allclose(
        found.certificate.primal, expected.certificate.primal, rtol=1e-4
    )
    other = how["plan"]._replace(block_size=7)
    with pytest.raises(ValueError, match="its plan is"):
        sweep_checkpoint.fit(problem, models, path=path, **{**how, "plan": other})


def test_a_file_of_another_version_is_refused(problem, models, how, tmp_path):
    path = tmp_path / "sweep.npz"
    sweep_checkpoint.save(path, next(sweep.run(problem, models, **how)), models)
    metadata = checkpoint.load_metadata(path)
    del metadata["version"]
    for board in metadata["boards"]:
        del board["following"]
    checkpoint.save(path, {"x": np.zeros(2)}, metadata=metadata)
    with pytest.raises(ValueError, match="must be of a sweep of version 3, got ver"):
        sweep_checkpoint.load(path, problem, models, num_classes=3)


def test_a_sweep_that_is_over_is_yielded_once(problem, models, how, whole, tmp_path):
    path = tmp_path / "sweep.npz"
    sweep_checkpoint.save(path, whole, models)
    loaded = sweep_checkpoint.load(path, problem, models, num_classes=3)
    (last,) = sweep.run(problem, models, **how, resume=loaded)
    equal(
        sweep.collected(last, relative_gap=1e-4),
        sweep.collected(whole, relative_gap=1e-4),
    )


def test_a_damaged_file_is_named(problem, models, how, tmp_path):
    path = tmp_path / "sweep.npz"
    sweep_checkpoint.save(path, next(sweep.run(problem, models, **how)), models)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="sweep.npz is damaged"):
        sweep_checkpoint.load(path, problem, models, num_classes=3)


def test_a_file_that_is_no_sweep_is_named(problem, models, tmp_path):
    checkpoint.save(tmp_path / "other.npz", {"x": np.zeros(2)})
    with pytest.raises(ValueError, match="must be of a sweep, got another checkpoint"):
        sweep_checkpoint.load(tmp_path / "other.npz", problem, models, num_classes=3)


def test_another_factorisation_is_another_sweep(problem, models, how, tmp_path):
    path = tmp_path / "sweep.npz"
    brief = {**how, "max_evaluations": 2}
    sweep_checkpoint.fit(problem, models, path=path, **brief)
    curvature = jax.tree.map(lambda leaf: 2 * leaf, problem.curvature)
    with pytest.raises(ValueError, match="its curvature is"):
        sweep_checkpoint.fit(
            problem._replace(curvature=curvature), models, path=path, **brief
        )


class Killed(Exception):
    """Thrown where a process might have been killed."""


def test_fit_goes_on_wherever_it_was_killed(problem, models, how, whole, tmp_path):
    path = tmp_path / "sweep.npz"
    finished_before = set()

    def kill_after(turns):
        def watch(state):
            nonlocal turns
            running = {model for board in state.boards for model in board.running}
            assert not running & finished_before
            turns -= 1
            if turns == 0:
                raise Killed

        return watch

    for turns in (3, 31, 6, 9, 40):
        with pytest.raises(Killed):
            sweep_checkpoint.fit(
                problem, models, path=path, watch=kill_after(turns), **how
            )
        if path.exists():
            finished_before |= finished_in(path)
    assert finished_before
    fits = sweep_checkpoint.fit(problem, models, path=path, **how)
    equal(fits, sweep.collected(whole, relative_gap=1e-4))
    # And what is over is read, not fitted.
    counted = []
    again = sweep_checkpoint.fit(
        problem, models, path=path, watch=counted.append, **how
    )
    equal(again, fits)
    assert len(counted) == 1


def finished_in(path):
    """Numbers of the models that a file has as finished."""
    with np.load(path) as stored:
        names = [name for name in stored.files if name.startswith("['finished']")]
    return {int(name.split("'")[3]) for name in names}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"relative_gap": 1e-3}, "relative_gap"),
        ({"max_evaluations": 7}, "max_evaluations"),
        ({"weightings": WEIGHTS + 1}, "weightings"),
        ({"problem": {"features": ROWS[::-1].copy()}}, "features"),
        ({"problem": {"targets": 2 - sweep_problems.LABELS}}, "targets"),
        ({"problem": {"example_weights": np.ones(60)}}, "example_weights"),
    ],
)
def test_fit_goes_on_with_the_same_alone(problem, models, how, tmp_path, changed, name):
    path = tmp_path / "sweep.npz"
    brief = {**how, "max_evaluations": 2}
    sweep_checkpoint.fit(problem, models, path=path, **brief)
    other = problem._replace(**changed.pop("problem", {}))
    with pytest.raises(ValueError, match=f"sweep of the same facts, but its {name} is"):
        sweep_checkpoint.fit(other, models, path=path, **{**brief, **changed})
