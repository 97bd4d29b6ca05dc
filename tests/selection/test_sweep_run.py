"""A sweep by iterations: what it pays, and that it goes on from any of its states."""

import itertools

import jax
import numpy as np
import pytest
import sweep_problems
from small_sweeps import GAP, L2S, ONES, arguments, assert_same, last_of, run
from sweep_problems import EXAMPLES, HINGE, MARGIN, NUM_CLASSES, SOFTMAX

import jaxlin
from jaxlin import linear, objective
from jaxlin.selection import grids, plans, refinement, sweep, sweep_result, sweep_run

NUM_FOLDS = sweep_problems.NUM_WEIGHT_SETS
FITTED = sweep_problems.NORMALIZATION


def test_what_is_paid_counts_idle_slots(problem, models, fold_ids, fits):
    slot_passes = 0
    queues = None
    options = arguments(problem, models, fold_ids)
    options["plan"] = options["plan"]._replace(iterations=1)
    for state in run(problem, models, **options):
        if queues is not None:
            slot_passes += sum(
                len(queue.running) for queue in queues if not queue.is_over
            )
        else:
            slot_passes += 3 + 3
        queues = state.queues
    assert fits.slot_passes == slot_passes >= fits.passes.sum()


def test_the_first_evaluation_of_a_model_that_goes_on_is_at_a_new_point(problem):
    models = grids.product(losses=(SOFTMAX,), l2s=(1e-1, 5e-2), num_weight_sets=3)
    stop = jaxlin.Stop(1e-4)
    options = arguments(problem, models, None, slots=3, weight_sets=ONES, stop=stop)
    states = run(problem, models, **options)
    state = next(state for state in states if state.finished)
    batch = state.batches[0].state
    point, candidate = np.asarray(batch.iterate[0]), np.asarray(batch.candidate[0])
    assert np.abs(point - candidate).max() > 0
    # Value and gradient there are those of the new penalty.
    value, gradient = jax.jit(
        jax.value_and_grad(
            lambda weights: objective.objective(
                linear.unfold_bias(weights),
                problem.examples.features,
                problem.examples.targets,
                loss=SOFTMAX,
                l2=5e-2,
                normalization=FITTED,
            )
        )
    )(point)
    np.testing.assert_allclose(batch.value[0], value, rtol=1e-5)
    np.testing.assert_allclose(batch.gradient[0], gradient, atol=1e-6)


def test_a_sweep_goes_on_from_any_state_as_if_it_had_not_stopped(
    problem, models, fold_ids, fits
):
    options = arguments(problem, models, fold_ids)
    state = next(itertools.islice(run(problem, models, **options), 12, None))
    saved = jax.tree.map(np.array, state.batches)
    assert 0 < len(state.finished) < models.size
    state = state._replace(batches=jax.tree.map(jax.numpy.asarray, saved))
    assert_same(last_of(problem, models, **options, resume=state), fits)


@pytest.mark.parametrize(
    "budgets_of_hinges",
    # In nineteen passes the softmax are proven, and no hinge: both losses end
    # together. The program of one alone takes as long to compile as that of both.
    [(6, 6, 7), pytest.param((1000,) * 3, marks=pytest.mark.full)],
    ids=["few", "enough"],
)
def test_turns_on_the_device_are_those_of_the_host(
    problem, models, fold_ids, budgets_of_hinges
):
    budgets = np.where(models.loss == 0, 1000, np.tile(budgets_of_hinges, 6))
    options = arguments(problem, models, fold_ids, max_passes=budgets)
    expected = last_of(problem, models, **options)
    assert expected.converged[models.loss == 0].all()
    assert expected.converged.all() == (budgets.min() == 1000)
    looks = {}
    for most in (1, 3, 100):
        options["plan"] = options["plan"]._replace(iterations=most)
        states = list(run(problem, models, **options))
        queues = [state.queues for state in states]
        slot_passes = np.diff(
            [0, *(sum(queue.slot_passes for queue in some) for some in queues)]
        )
        assert slot_passes.max() <= 6 * most
        looks[most] = len(states)
        found = sweep_result.collect(states[-1], models, problem, stop=options["stop"])
        np.testing.assert_array_equal(found.passes, expected.passes)
        np.testing.assert_allclose(
            found.certificate.primal, expected.certificate.primal, rtol=1e-6
        )
        assert found.slot_passes == expected.slot_passes
    # The host looks when a model is over, and after so many iterations.
    assert looks[100] < looks[3] < looks[1]


def test_a_state_whose_lanes_are_gone_is_refused(problem, models, fold_ids):
    options = arguments(problem, models, fold_ids)
    states = run(problem, models, **options)
    first = next(states)
    next(states)
    with pytest.raises(
        ValueError, match="resume must be a state whose batches have not"
    ):
        run(problem, models, **options, resume=first)


def test_each_model_may_have_a_budget_of_its_own(problem, models, fold_ids, fits):
    budgets = np.where(np.arange(models.size) % 2, 2, 1000)
    options = arguments(problem, models, fold_ids, max_passes=budgets)
    found = last_of(problem, models, **options)
    assert (found.passes <= budgets).all()
    assert (found.passes[~found.converged] == 2).all()
    assert found.converged[::2].all()
    assert not found.converged[1::2].any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"relative_gap": 0}, "relative_gap must be above 0"),
        ({"max_passes": 0}, "max_passes must be at least 1"),
        ({"max_passes": [1, 2]}, "max_passes must be an integer, or 18 of"),
        ({"max_passes": 2.5}, "max_passes must be an integer, or 18 of"),
    ],
)
def test_bad_ends_of_a_run(problem, models, changes, words):
    examples = problem.prepared()
    plan = plans.plan(models, examples, num_classes=NUM_CLASSES, slots=7)
    inputs = sweep_run.SweepInputs(
        examples, models, plan=plan, num_classes=NUM_CLASSES, **changes
    )
    with pytest.raises(ValueError, match=words):
        sweep_run.run(inputs)


def test_a_run_that_is_not_over_has_no_result(problem, models, fold_ids):
    options = arguments(problem, models, fold_ids)
    state = next(run(problem, models, **options))
    with pytest.raises(ValueError, match="state must be of a sweep that is over"):
        sweep_result.collect(state, models, problem, stop=options["stop"])


@pytest.mark.parametrize(
    "losses",
    [
        {"losses": (SOFTMAX,)},
        {"losses": (HINGE,), "loss_arguments": MARGIN},
    ],
    ids=["softmax", "hinge"],
)
def test_weights_of_the_problem_count_in_every_weighting(problem, fold_ids, losses):
    models = grids.product(**losses, l2s=L2S, num_weight_sets=NUM_FOLDS)
    own = np.random.default_rng(0).integers(0, 3, EXAMPLES).astype(np.float32)
    options = arguments(problem, models, fold_ids, slots=3)
    twice = {**options, "weight_sets": options["weight_sets"] * own}
    expected = last_of(problem, models, **twice)
    # On the preconditioner of the same rows bit for bit.
    examples = problem.prepared(loss=models.losses[0])
    weighted = examples._replace(example_weights=own)
    inputs = sweep_run.SweepInputs(
        weighted,
        models,
        plan=options["plan"],
        num_classes=NUM_CLASSES,
        by_row=refinement.weights_by_row(
            weighted, problem.weight_sets(options["weight_sets"])
        ),
        relative_gap=GAP,
    )
    *_, last = sweep_run.run(inputs)
    assert_same(
        sweep_result.collect(last, models, problem, stop=options["stop"]), expected
    )
    door = jaxlin.problem(
        sweep_problems.ROWS,
        sweep_problems.LABELS,
        classes=range(NUM_CLASSES),
        normalization=FITTED,
        weights=own,
    )
    options["stop"] = jaxlin.Stop(1e-4)
    found = sweep.fit_models(door, models, **options)
    assert found.converged.all()
    np.testing.assert_allclose(
        found.certificate.primal, expected.certificate.primal, rtol=1e-4
    )
