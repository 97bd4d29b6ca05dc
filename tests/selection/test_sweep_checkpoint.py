"""A sweep that is killed goes on as if it had not been."""

import functools
import itertools

import jax
import numpy as np
import pytest
import sweep_problems
from small_sweeps import assert_same
from sweep_problems import HINGE, LABELS, MARGIN, NORMALIZATION, NUM_CLASSES, ROWS

import jaxlin
from jaxlin import losses
from jaxlin.io import checkpoint
from jaxlin.selection import (
    folds,
    grids,
    plans,
    refinement,
    sweep,
    sweep_checkpoint,
    sweep_result,
    sweep_run,
)

WEIGHTS = folds.train_weights(sweep_problems.FOLD_IDS, num_folds=3)


@pytest.fixture(scope="module")
def models():
    return grids.product(
        losses=(HINGE,), l2s=(0.3, 0.1, 0.03), num_weight_sets=3, loss_arguments=MARGIN
    )


@pytest.fixture(scope="module")
def examples(problem):
    return problem.prepared(loss=HINGE)


@pytest.fixture(scope="module")
def options(examples, models):
    """Settings of a sweep through its door."""
    plan = plans.plan(models, examples, num_classes=NUM_CLASSES, slots=3)
    return {
        "plan": plan._replace(iterations=1),
        "weight_sets": WEIGHTS,
        "stop": jaxlin.Stop(1e-4),
    }


@pytest.fixture(scope="module")
def run(problem, examples, models, options):
    """The same sweep, state by state."""
    sets = problem.weight_sets(WEIGHTS)
    inputs = sweep_run.SweepInputs(
        examples,
        models,
        plan=options["plan"],
        num_classes=NUM_CLASSES,
        by_row=refinement.weights_by_row(examples, sets),
        relative_gap=options["stop"].relative_gap,
    )
    return functools.partial(sweep_run.run, inputs)


@pytest.fixture(scope="module")
def whole(run):
    *_, last = run()
    return last


@pytest.fixture(scope="module")
def expected(problem, models, options, whole):
    return sweep_result.collect(whole, models, problem, stop=options["stop"])


def equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("iterations", [1, 20])
def test_a_sweep_goes_on_bit_for_bit(
    problem, examples, models, options, run, whole, expected, tmp_path, iterations
):
    path = tmp_path / "sweep.npz"
    state = next(itertools.islice(run(), iterations - 1, None))
    sweep_checkpoint.save(path, state, models)
    finished = set(state.finished)
    loaded = sweep_checkpoint.load(path, examples, models, num_classes=3)
    equal(loaded.batches, state.batches)
    assert loaded.queues == state.queues
    for state in run(resume=loaded):
        # Nothing that is finished is ever in a slot again.
        running = {model for queue in state.queues for model in queue.running}
        assert not running & finished
    assert state.queues == whole.queues
    found = sweep_result.collect(state, models, problem, stop=options["stop"])
    assert_same(found, expected)


def test_a_file_of_another_sweep_is_refused(examples, models, run, tmp_path):
    path = tmp_path / "sweep.npz"
    state = next(run())
    sweep_checkpoint.save(path, state, models)
    for changed, name in (
        (grids.subset(models, [0, 1]), "l2"),
        (models._replace(l2=models.l2 * 2), "l2"),
        (models._replace(weight_set=2 - models.weight_set), "weight_sets"),
        (models._replace(losses=(losses.crammer_singer_hinge,)), "losses"),
    ):
        with pytest.raises(ValueError, match=f"got others: their {name} differ"):
            sweep_checkpoint.load(path, examples, changed, num_classes=3)
    with pytest.raises(ValueError, match="its num_classes is 3, got 4"):
        sweep_checkpoint.load(path, examples, models, num_classes=4)
    with pytest.raises(ValueError, match="its seed is None, got 1"):
        sweep_checkpoint.load(path, examples, models, num_classes=3, facts={"seed": 1})


@pytest.mark.parametrize("iterations", [1, pytest.param(100, marks=pytest.mark.full)])
def test_a_sweep_goes_on_where_turns_and_programs_cost_something_else(
    problem, models, options, expected, tmp_path, iterations
):
    path = tmp_path / "sweep.npz"

    def kill(state):
        if len(state.finished) >= 2:
            raise Killed

    with pytest.raises(Killed):
        sweep.fit_models(problem, models, checkpoint=path, callback=kill, **options)
    plan = options["plan"]._replace(
        iterations=iterations, compile_cost=options["plan"].compile_cost + 1
    )
    found = sweep.fit_models(
        problem, models, checkpoint=path, **{**options, "plan": plan}
    )
    assert found.converged.all()
    np.testing.assert_allclose(
        found.certificate.primal, expected.certificate.primal, rtol=1e-4
    )
    other = options["plan"]._replace(block_size=7)
    with pytest.raises(ValueError, match="its plan is"):
        sweep.fit_models(problem, models, checkpoint=path, **{**options, "plan": other})


def test_a_file_of_another_version_is_refused(examples, models, run, tmp_path):
    path = tmp_path / "sweep.npz"
    sweep_checkpoint.save(path, next(run()), models)
    metadata = checkpoint.load_metadata(path)
    del metadata["version"]
    for queue in metadata["queues"]:
        del queue["following"]
    checkpoint.save(path, {"x": np.zeros(2)}, metadata=metadata)
    with pytest.raises(ValueError, match="must be of a sweep of version 6, got ver"):
        sweep_checkpoint.load(path, examples, models, num_classes=3)


def test_a_sweep_that_is_over_is_yielded_once(
    problem, examples, models, options, run, whole, expected, tmp_path
):
    path = tmp_path / "sweep.npz"
    sweep_checkpoint.save(path, whole, models)
    loaded = sweep_checkpoint.load(path, examples, models, num_classes=3)
    (last,) = run(resume=loaded)
    assert_same(
        sweep_result.collect(last, models, problem, stop=options["stop"]), expected
    )


def test_a_damaged_file_is_named(examples, models, run, tmp_path):
    path = tmp_path / "sweep.npz"
    sweep_checkpoint.save(path, next(run()), models)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="sweep.npz is damaged"):
        sweep_checkpoint.load(path, examples, models, num_classes=3)


def test_a_file_that_is_no_sweep_is_named(examples, models, tmp_path):
    checkpoint.save(tmp_path / "other.npz", {"x": np.zeros(2)})
    with pytest.raises(ValueError, match="must be of a sweep, got another checkpoint"):
        sweep_checkpoint.load(tmp_path / "other.npz", examples, models, num_classes=3)


def test_another_factorisation_is_another_sweep(examples, models, options, tmp_path):
    doubled = jax.tree.map(lambda leaf: 2 * leaf, examples.preconditioner)
    path = tmp_path / "sweep.npz"
    inputs = sweep_run.SweepInputs(
        examples,
        models,
        plan=options["plan"],
        num_classes=NUM_CLASSES,
        by_row=np.ones((sweep_problems.EXAMPLES, 3), np.float32),
        max_passes=2,
    )
    for _ in sweep_checkpoint.run(path, inputs):
        pass
    other = inputs._replace(examples=examples._replace(preconditioner=doubled))
    with pytest.raises(ValueError, match="its curvature is"):
        next(sweep_checkpoint.run(path, other))


class Killed(Exception):
    """Thrown where a process might have been killed."""


def test_goes_on_wherever_it_was_killed(problem, models, options, expected, tmp_path):
    path = tmp_path / "sweep.npz"
    finished_before = set()

    def kill_after(iterations):
        def callback(state):
            nonlocal iterations
            running = {model for queue in state.queues for model in queue.running}
            assert not running & finished_before
            iterations -= 1
            if iterations == 0:
                raise Killed

        return callback

    for iterations in (3, 31, 6, 9, 40):
        with pytest.raises(Killed):
            sweep.fit_models(
                problem,
                models,
                checkpoint=path,
                callback=kill_after(iterations),
                **options,
            )
        if path.exists():
            finished_before |= finished_in(path)
    assert finished_before
    fits = sweep.fit_models(problem, models, checkpoint=path, **options)
    assert_same(fits, expected)
    # And what is over is read, not fitted.
    counted = []
    again = sweep.fit_models(
        problem, models, checkpoint=path, callback=counted.append, **options
    )
    assert_same(again, fits)
    assert len(counted) == 1


def finished_in(path):
    """Numbers of the models that a file has as finished."""
    with np.load(path) as stored:
        names = [name for name in stored.files if name.startswith("['finished']")]
    return {int(name.split("'")[3]) for name in names}


def problem_of(**changed):
    given = {
        "features": ROWS,
        "labels": LABELS,
        "classes": range(NUM_CLASSES),
        "normalization": NORMALIZATION,
        **changed,
    }
    return jaxlin.problem(**given)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"stop": jaxlin.Stop(1e-3, 2)}, "relative_gap"),
        ({"stop": jaxlin.Stop(1e-4, 7)}, "max_passes"),
        ({"refine": False}, "refine"),
        ({"stop": jaxlin.Stop(1e-4, 1000), "refine": False}, "refine"),
        ({"weight_sets": WEIGHTS + 1}, "weights"),
        ({"problem": {"features": ROWS[::-1].copy()}}, "features"),
        ({"problem": {"labels": 2 - LABELS}}, "targets"),
        ({"problem": {"normalization": None}}, "normalization"),
        # Twice as often in all weight_sets: not the same parameters bit for bit.
        ({"problem": {"weights": np.full(60, 2.0)}}, "weights"),
    ],
)
def test_goes_on_with_the_same_alone(problem, models, options, tmp_path, changed, name):
    path = tmp_path / "sweep.npz"
    brief = {**options, "stop": jaxlin.Stop(1e-4, 2)}
    first = sweep.fit_models(problem, models, checkpoint=path, **brief)
    changed = dict(changed)
    other = problem_of(**changed.pop("problem", {}))
    with pytest.raises(ValueError, match=f"sweep of the same facts, but its {name} is"):
        sweep.fit_models(other, models, checkpoint=path, **{**brief, **changed})
    again = sweep.fit_models(problem_of(), models, checkpoint=path, **brief)
    for one, two in zip(again, first, strict=True):
        equal((one.params, one.certificate), (two.params, two.certificate))
