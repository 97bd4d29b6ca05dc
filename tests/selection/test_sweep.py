"""A sweep is a loop of single fits, in less time."""

import itertools
import sys

import jax
import numpy as np
import pytest
import sweep_problems
from sweep_problems import (
    EXAMPLES,
    HINGE,
    LABELS,
    MARGIN,
    NUM_CLASSES,
    ROWS,
    SOFTMAX,
)

from jaxlin import linear, objective
from jaxlin.selection import folds, grids, plans, schedule, sweep
from jaxlin.solvers import certified, fitting, lanes, turns

NUM_FOLDS = sweep_problems.NUM_WEIGHTINGS
FITTED = sweep_problems.NORMALIZATION
BOTH = {"losses": (SOFTMAX, HINGE), "loss_arguments": MARGIN}
L2S = (1e-1, 3e-2, 1e-2)
GAP = 1e-5
# Three times the same problem: models that stand for one, in as many slots as all here.
ONES = np.ones((3, EXAMPLES), np.float32)


@pytest.fixture(scope="module")
def problem():
    return sweep_problems.problem()


@pytest.fixture(scope="module")
def fold_of():
    return sweep_problems.FOLD_OF


@pytest.fixture(scope="module")
def models():
    return grids.product(**BOTH, l2s=L2S, num_weightings=NUM_FOLDS)


def arguments(problem, models, fold_of, *, slots=7, **changes):
    how = {
        "plan": plans.plan(models, problem, num_classes=NUM_CLASSES, slots=slots),
        "num_classes": NUM_CLASSES,
        "relative_gap": GAP,
        **changes,
    }
    if "weightings" not in how:
        how["weightings"] = folds.train_weights(fold_of, num_folds=NUM_FOLDS)
    return how


@pytest.fixture(scope="module")
def fits(problem, models, fold_of):
    return sweep.fit(problem, models, **arguments(problem, models, fold_of))


@pytest.mark.full
def test_is_the_loop_of_single_fits_on_rows_cut_out(fits, models, fold_of):
    assert fits.converged.all()
    assert (fits.relative_gap <= GAP).all()
    for model in range(models.size):
        train = fold_of != models.weighting[model]
        single = fitting.fit(
            ROWS[train],
            LABELS[train],
            loss=models.losses[models.loss[model]],
            l2=models.l2[model],
            num_classes=NUM_CLASSES,
            relative_gap=1e-7,
            normalization=FITTED,
            polish=True,
        )
        np.testing.assert_allclose(
            fits.certificate.primal[model], single.certificate.primal, rtol=1e-5
        )
        # Strong convexity: that near both must be to one optimum.
        radius = sum(
            np.sqrt(2 * gap / models.l2[model])
            for gap in (
                fits.certificate.gap[model] + fits.certificate.rounding[model],
                single.certificate.gap + single.certificate.rounding,
            )
        )
        distance = np.linalg.norm(fits.params.weights[model] - single.params.weights)
        assert distance <= radius


@pytest.mark.full
def test_slots_do_not_change_the_answer(problem, models, fold_of, fits):
    other = sweep.fit(problem, models, **arguments(problem, models, fold_of, slots=2))
    np.testing.assert_allclose(
        other.certificate.primal, fits.certificate.primal, rtol=1e-5
    )


def test_what_is_paid_counts_idle_slots(problem, models, fold_of, fits):
    paid = 0
    boards = None
    how = arguments(problem, models, fold_of)
    how["plan"] = how["plan"]._replace(turns=1)
    for state in sweep.run(problem, models, **how):
        if boards is not None:
            paid += sum(len(board.running) for board in boards if not board.is_over)
        else:
            paid += 3 + 3
        boards = state.boards
    assert fits.paid == paid >= fits.evaluations.sum()


def test_a_model_goes_on_where_the_one_before_it_ended(problem):
    """With what was learnt there, in fewer evaluations than from its solution alone."""
    l2s = np.logspace(-4, 0, 13)
    models = grids.product(losses=(SOFTMAX,), l2s=l2s, num_weightings=3)
    how = arguments(problem, models, None, slots=3, weightings=ONES, relative_gap=1e-3)
    assert (how["plan"].slots, how["plan"].pieces) == ((3,), (1,))
    found = sweep.fit(problem, models, **how)
    how = {"num_classes": NUM_CLASSES, "loss": SOFTMAX, "relative_gap": 1e-3}
    path = list(fitting.path(problem, l2s=l2s.tolist(), **how))
    assert found.converged.all()
    # Each of a path evaluates its start once more.
    warm = sum(one.evaluations for one in path) - (len(l2s) - 1)
    cold = sum(fitting.fit_prepared(problem, l2=l2, **how).evaluations for l2 in l2s)
    assert found.evaluations.sum() == found.paid < 3 * warm < 3 * cold
    primal = dict(zip(l2s, [one.certificate.primal for one in path], strict=True))
    np.testing.assert_allclose(
        found.certificate.primal, [primal[l2] for l2 in models.l2], rtol=2e-3
    )


def test_the_first_evaluation_of_a_model_that_goes_on_is_at_a_new_point(problem):
    models = grids.product(losses=(SOFTMAX,), l2s=(1e-1, 5e-2), num_weightings=3)
    how = arguments(problem, models, None, slots=3, weightings=ONES, relative_gap=1e-4)
    states = sweep.run(problem, models, **how)
    state = next(state for state in states if state.finished)
    lane = state.lanes[0].state
    point, trial = np.asarray(lane.point[0]), np.asarray(lane.trial[0])
    assert np.abs(point - trial).max() > 0
    # Value and gradient there are those of the new penalty.
    value, gradient = jax.jit(
        jax.value_and_grad(
            lambda weights: objective.objective(
                linear.unfold_bias(weights),
                problem.features,
                problem.targets,
                loss=SOFTMAX,
                l2=5e-2,
                normalization=FITTED,
            )
        )
    )(point)
    np.testing.assert_allclose(lane.value[0], value, rtol=1e-5)
    np.testing.assert_allclose(lane.gradient[0], gradient, atol=1e-6)


def test_what_cannot_be_proven_has_the_lowest_objective_seen(problem):
    """Where the gap says nothing, the objective decides what is kept."""
    models = grids.product(losses=(SOFTMAX,), l2s=(1e-6, 1e-9, 1e-12), num_weightings=3)
    how = arguments(problem, models, None, slots=3, weightings=ONES, relative_gap=1e-3)
    found = sweep.fit(problem, models, **how, max_evaluations=4)
    assert (found.relative_gap > 1).any()
    of_one = models.weighting == 0
    assert (np.diff(found.certificate.primal[of_one]) < 0).all()


def test_a_budget_without_end_is_one(problem, models, fold_of, fits):
    found = sweep.fit(
        problem,
        models,
        **arguments(problem, models, fold_of, max_evaluations=sys.maxsize),
    )
    jax.tree.map(np.testing.assert_array_equal, found, fits)


def test_a_model_that_cannot_prove_its_gap_ends(problem, models, fold_of):
    found = sweep.fit(
        problem, models, **arguments(problem, models, fold_of, max_evaluations=3)
    )
    assert (found.evaluations <= 3).all()
    assert (found.evaluations[~found.converged] == 3).all()
    assert not found.converged.all()
    assert (found.converged == (found.relative_gap <= GAP)).all()
    assert np.isfinite(found.relative_gap).all()


def test_a_sweep_goes_on_from_any_state_as_if_it_had_not_stopped(
    problem, models, fold_of, fits
):
    how = arguments(problem, models, fold_of)
    state = next(itertools.islice(sweep.run(problem, models, **how), 12, None))
    saved = jax.tree.map(np.array, state.lanes)
    assert 0 < len(state.finished) < models.size
    state = state._replace(lanes=jax.tree.map(jax.numpy.asarray, saved))
    *_, last = sweep.run(problem, models, **how, resume=state)
    found = sweep.collected(last, relative_gap=GAP)
    jax.tree.map(np.testing.assert_array_equal, found, fits)


@pytest.mark.parametrize(
    "budgets_of_hinges",
    # In nineteen evaluations the softmax are proven, and no hinge: both losses end
    # together. The program of one alone takes as long to compile as that of both.
    [(6, 6, 7), pytest.param((1000,) * 3, marks=pytest.mark.full)],
    ids=["few", "enough"],
)
def test_turns_on_the_device_are_those_of_the_host(
    problem, models, fold_of, budgets_of_hinges
):
    budgets = np.where(models.loss == 0, 1000, np.tile(budgets_of_hinges, 6))
    how = arguments(problem, models, fold_of, max_evaluations=budgets)
    expected = sweep.fit(problem, models, **how)
    assert expected.converged[models.loss == 0].all()
    assert expected.converged.all() == (budgets.min() == 1000)
    looks = {}
    for most in (1, 3, 100):
        how["plan"] = how["plan"]._replace(turns=most)
        states = list(sweep.run(problem, models, **how))
        boards = [state.boards for state in states]
        paid = np.diff([0, *(sum(board.paid for board in some) for some in boards)])
        assert paid.max() <= 6 * most
        looks[most] = len(states)
        found = sweep.collected(states[-1], relative_gap=GAP)
        np.testing.assert_array_equal(found.evaluations, expected.evaluations)
        np.testing.assert_allclose(
            found.certificate.primal, expected.certificate.primal, rtol=1e-6
        )
        assert found.paid == expected.paid
    # The host looks when a model is over, and after so many turns.
    assert looks[100] < looks[3] < looks[1]


def test_budgets_are_met_on_the_device_too(problem, models, fold_of):
    how = arguments(problem, models, fold_of, max_evaluations=3)
    how["plan"] = how["plan"]._replace(turns=100)
    found = sweep.fit(problem, models, **how)
    assert (found.evaluations <= 3).all()
    assert (found.evaluations[~found.converged] == 3).all()


def test_on_the_device_no_model_ends_at_the_zero_where_it_began(problem):
    strong = grids.product(**BOTH, l2s=(1e3, 1e4), num_weightings=3)
    how = arguments(problem, strong, None, weightings=ONES, relative_gap=1e-3)
    how["plan"] = how["plan"]._replace(turns=100)
    found = sweep.fit(problem, strong, **how)
    assert found.converged.all()
    assert (np.abs(found.params.weights).max(axis=(1, 2)) > 0).all()


def test_new_values_and_another_scaling_compile_nothing(problem, models, fold_of, fits):
    programs = (
        *(lanes.evaluate, turns._on_device, lanes.advance, lanes.narrow, lanes.taken),
        *(lanes._moved, lanes._placed),
    )
    before = [program._cache_size() for program in programs]
    others = grids.product(**BOTH, l2s=(0.2, 0.05, 0.02), num_weightings=NUM_FOLDS)
    scaled = certified.prepare(
        problem._replace(features=2 * problem.features, curvature=None)
    )
    for one in (problem, scaled):
        sweep.fit(one, others, **arguments(one, others, fold_of))
    after = [program._cache_size() for program in programs]
    # Lanes may end in another order, and then a pass has another mix of widths.
    assert sum(after[:2]) - sum(before[:2]) <= 1
    assert after[2:] == before[2:]


@pytest.mark.full
def test_a_lane_alone_compiles_each_width_once(problem):
    """And then nothing, the pass over the rows included, whatever the values."""
    programs = (lanes.evaluate, lanes.advance, lanes.taken, lanes._moved)
    before = [program._cache_size() for program in programs]
    for l2s in ((0.3, 0.1, 0.05), (0.2, 0.06, 0.02), (0.5, 0.1, 0.01)):
        models = grids.product(losses=(SOFTMAX,), l2s=l2s)
        plan = plans.plan(models, problem, num_classes=NUM_CLASSES, slots=3)
        eager = plan._replace(price=1)
        sweep.fit(problem, models, plan=eager, num_classes=NUM_CLASSES)
    for program, count in zip(programs, before, strict=True):
        assert program._cache_size() - count <= len(schedule.ladder(3))


def test_a_plan_of_another_grid_is_refused(problem, models, fold_of):
    one_loss = grids.product(losses=(SOFTMAX,), l2s=L2S)
    plan = plans.plan(one_loss, problem, num_classes=NUM_CLASSES)
    with pytest.raises(ValueError, match="plan must be of these models, with 2 losses"):
        sweep.run(problem, models, **arguments(problem, models, fold_of, plan=plan))


def test_no_model_ends_at_the_zero_where_it_began(problem):
    """At a strong penalty 0 proves the gap, and says nothing of any label."""
    strong = grids.product(losses=(SOFTMAX,), l2s=(1e3, 1e4), num_weightings=3)
    how = arguments(problem, strong, None, slots=3, weightings=ONES, relative_gap=1e-3)
    found = sweep.fit(problem, strong, **how)
    assert found.converged.all()
    assert (np.abs(found.params.weights).max(axis=(1, 2)) > 0).all()
    single = fitting.fit_prepared(
        problem, num_classes=NUM_CLASSES, loss=SOFTMAX, l2=1e4, relative_gap=0.1
    )
    assert single.converged
    assert np.abs(single.params.weights).max() > 0


def test_a_state_whose_lanes_are_gone_is_refused(problem, models, fold_of):
    how = arguments(problem, models, fold_of)
    states = sweep.run(problem, models, **how)
    first = next(states)
    next(states)
    with pytest.raises(ValueError, match="resume must be a state whose lanes have not"):
        sweep.run(problem, models, **how, resume=first)


def test_each_model_may_have_a_budget_of_its_own(problem, models, fold_of, fits):
    budgets = np.where(np.arange(models.size) % 2, 2, 1000)
    found = sweep.fit(
        problem, models, **arguments(problem, models, fold_of, max_evaluations=budgets)
    )
    assert (found.evaluations <= budgets).all()
    assert (found.evaluations[~found.converged] == 2).all()
    assert found.converged[::2].all()
    assert not found.converged[1::2].any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"relative_gap": 0}, "relative_gap must be above 0"),
        ({"max_evaluations": 0}, "max_evaluations must be at least 1"),
        ({"max_evaluations": [1, 2]}, "max_evaluations must be an integer, or 18 of"),
        ({"max_evaluations": 2.5}, "max_evaluations must be an integer, or 18 of"),
        ({"weightings": None}, "weightings must be given for models of 3"),
        ({"weightings": ONES[:2]}, r"weightings must have shape \(3, 60\)"),
        ({"weightings": ONES[:, :50]}, r"weightings must have shape \(3, 60\)"),
        ({"weightings": -ONES}, r"weightings\[0\] must be finite and at"),
        ({"weightings": 0 * ONES}, r"weightings\[0\] must have a positive"),
        (
            {"weightings": np.r_[ONES[:2], np.eye(EXAMPLES)[:1]]},
            r"targets of weightings\[2\] must name at least two classes .*only class",
        ),
    ],
)
def test_bad_input(problem, models, fold_of, changes, words):
    with pytest.raises(ValueError, match=words):
        sweep.run(problem, models, **arguments(problem, models, fold_of, **changes))


@pytest.mark.parametrize(
    "losses",
    [
        {"losses": (SOFTMAX,)},
        {"losses": (HINGE,), "loss_arguments": MARGIN},
    ],
    ids=["softmax", "hinge"],
)
def test_weights_of_the_problem_count_in_every_weighting(problem, fold_of, losses):
    models = grids.product(**losses, l2s=L2S, num_weightings=NUM_FOLDS)
    own = np.random.default_rng(0).integers(0, 3, EXAMPLES).astype(np.float32)
    how = arguments(problem, models, fold_of, slots=3)
    weighted = problem._replace(example_weights=own)
    found = sweep.fit(weighted, models, **how)
    how["weightings"] = how["weightings"] * own
    expected = sweep.fit(problem, models, **how)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
