"""A sweep is a loop of single fits, in less time."""

import sys

import numpy as np
import pytest
import sweep_problems
from small_sweeps import BOTH, GAP, L2S, ONES, arguments, assert_same, run
from sweep_problems import EXAMPLES, LABELS, NUM_CLASSES, ROWS, SOFTMAX

import jaxlin
from jaxlin.selection import grids, plans, schedule, sweep
from jaxlin.solvers import batch_pass, batch_step, device_loop, model_batch

NUM_FOLDS = sweep_problems.NUM_WEIGHT_SETS
FITTED = sweep_problems.NORMALIZATION


@pytest.mark.full
def test_is_the_loop_of_single_fits_on_rows_cut_out(fits, models, fold_ids):
    assert fits.converged.all()
    assert (fits.relative_gap <= GAP).all()
    for model in range(models.size):
        train = fold_ids != models.weight_set[model]
        single = jaxlin.fit(
            ROWS[train],
            LABELS[train],
            loss=models.losses[models.loss[model]],
            l2=models.l2[model],
            classes=range(NUM_CLASSES),
            stop=jaxlin.Stop(1e-7),
            normalization=FITTED,
            refine=True,
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
def test_slots_do_not_change_the_answer(problem, models, fold_ids, fits):
    options = arguments(problem, models, fold_ids, slots=2)
    other = sweep.fit_models(problem, models, **options)
    np.testing.assert_allclose(
        other.certificate.primal, fits.certificate.primal, rtol=1e-5
    )


def test_a_model_goes_on_where_the_one_before_it_ended(problem):
    """The pairs of L-BFGS save passes beside a start from the solution alone."""
    l2s = np.logspace(-4, 0, 13)
    models = grids.product(losses=(SOFTMAX,), l2s=l2s, num_weight_sets=3)
    stop = jaxlin.Stop(1e-3)
    options = arguments(problem, models, None, slots=3, weight_sets=ONES, stop=stop)
    assert (options["plan"].slots, options["plan"].pieces) == ((3,), (1,))
    found = sweep.fit_models(problem, models, **options)
    path = [None]
    for l2 in l2s[::-1]:
        settings = {"loss": SOFTMAX, "l2": l2, "stop": stop}
        path.append(jaxlin.fit(problem, **settings, start=path[-1]))
    path = path[:0:-1]
    assert found.converged.all()
    # Each of a path evaluates its start once more.
    warm = sum(one.passes for one in path) - (len(l2s) - 1)
    cold = sum(jaxlin.fit(problem, **{**settings, "l2": l2}).passes for l2 in l2s)
    assert found.passes.sum() == found.slot_passes < 3 * warm < 3 * cold
    primal = dict(zip(l2s, [one.certificate.primal for one in path], strict=True))
    np.testing.assert_allclose(
        found.certificate.primal, [primal[l2] for l2 in models.l2], rtol=2e-3
    )


def test_what_cannot_be_proven_has_the_lowest_objective_seen(problem):
    """The objective decides what is kept if the gap says nothing."""
    models = grids.product(
        losses=(SOFTMAX,), l2s=(1e-6, 1e-9, 1e-12), num_weight_sets=3
    )
    stop = jaxlin.Stop(1e-3, 4)
    options = arguments(problem, models, None, slots=3, weight_sets=ONES, stop=stop)
    found = sweep.fit_models(problem, models, **options)
    assert (found.relative_gap > 1).any()
    of_one = models.weight_set == 0
    assert (np.diff(found.certificate.primal[of_one]) < 0).all()


def test_a_budget_without_end_is_one(problem, models, fold_ids, fits):
    options = arguments(problem, models, fold_ids, stop=jaxlin.Stop(GAP, sys.maxsize))
    assert_same(sweep.fit_models(problem, models, **options), fits)


def test_a_model_that_cannot_prove_its_gap_ends(problem, models, fold_ids):
    options = arguments(problem, models, fold_ids, stop=jaxlin.Stop(GAP, 3))
    found = sweep.fit_models(problem, models, **options)
    assert (found.passes <= 3).all()
    assert (found.passes[~found.converged] == 3).all()
    assert not found.converged.all()
    assert (found.converged == (found.relative_gap <= GAP)).all()
    assert np.isfinite(found.relative_gap).all()


def test_budgets_are_met_on_the_device_too(problem, models, fold_ids):
    options = arguments(problem, models, fold_ids, stop=jaxlin.Stop(GAP, 3))
    options["plan"] = options["plan"]._replace(iterations=100)
    found = sweep.fit_models(problem, models, **options)
    assert (found.passes <= 3).all()
    assert (found.passes[~found.converged] == 3).all()


def test_on_the_device_no_model_ends_at_the_zero_where_it_began(problem):
    strong = grids.product(**BOTH, l2s=(1e3, 1e4), num_weight_sets=3)
    options = arguments(problem, strong, None, weight_sets=ONES, stop=jaxlin.Stop(1e-3))
    options["plan"] = options["plan"]._replace(iterations=100)
    found = sweep.fit_models(problem, strong, **options)
    assert found.converged.all()
    assert (np.abs(found.params.weights).max(axis=(1, 2)) > 0).all()


def test_new_values_and_another_scaling_compile_nothing(
    problem, models, fold_ids, fits
):
    programs = (
        *(
            batch_pass.evaluate,
            device_loop._on_device,
            *(batch_step._advance, batch_step._advance_quickly),
            model_batch.narrow,
            model_batch.slot_result,
        ),
        *(batch_step._warm_start, batch_step._warm_start_quickly),
        model_batch._placed,
    )
    before = [program._cache_size() for program in programs]
    others = grids.product(**BOTH, l2s=(0.2, 0.05, 0.02), num_weight_sets=NUM_FOLDS)
    scaled = jaxlin.problem(
        2 * ROWS, LABELS, classes=range(NUM_CLASSES), normalization=FITTED
    )
    for one in (problem, scaled):
        sweep.fit_models(one, others, **arguments(one, others, fold_ids))
    after = [program._cache_size() for program in programs]
    # Batches may end in another order, and then a pass has another mix of widths.
    assert sum(after[:2]) - sum(before[:2]) <= 1
    assert after[2:] == before[2:]


@pytest.mark.full
def test_a_lane_alone_compiles_each_width_once(problem):
    """And then nothing, the pass over the rows included, whatever the values."""
    programs = (
        batch_pass.evaluate,
        batch_step._advance,
        batch_step._advance_quickly,
        model_batch.slot_result,
        *(batch_step._warm_start, batch_step._warm_start_quickly),
    )
    before = [program._cache_size() for program in programs]
    for l2s in ((0.3, 0.1, 0.05), (0.2, 0.06, 0.02), (0.5, 0.1, 0.01)):
        models = grids.product(losses=(SOFTMAX,), l2s=l2s)
        examples = problem.examples
        plan = plans.plan(models, examples, num_classes=NUM_CLASSES, slots=3)
        sweep.fit_models(problem, models, plan=plan._replace(compile_cost=1))
    for program, count in zip(programs, before, strict=True):
        assert program._cache_size() - count <= len(schedule.slot_widths(3))


def test_a_plan_of_another_grid_is_refused(problem, models, fold_ids):
    one_loss = grids.product(losses=(SOFTMAX,), l2s=L2S)
    plan = plans.plan(one_loss, problem.examples, num_classes=NUM_CLASSES)
    options = arguments(problem, models, fold_ids, plan=plan)
    for call in (run, sweep.fit_models):
        with pytest.raises(ValueError, match="plan must be of these models, with 2 lo"):
            call(problem, models, **options)


def test_no_model_ends_at_the_zero_where_it_began(problem):
    """At a strong penalty 0 proves the gap, and says nothing of any label."""
    strong = grids.product(losses=(SOFTMAX,), l2s=(1e3, 1e4), num_weight_sets=3)
    stop = jaxlin.Stop(1e-3)
    options = arguments(problem, strong, None, slots=3, weight_sets=ONES, stop=stop)
    found = sweep.fit_models(problem, strong, **options)
    assert found.converged.all()
    assert (np.abs(found.params.weights).max(axis=(1, 2)) > 0).all()
    single = jaxlin.fit(problem, loss=SOFTMAX, l2=1e4, stop=jaxlin.Stop(0.1))
    assert single.converged
    assert np.abs(single.params.weights).max() > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stop": 1e-3}, "stop must be a jaxlin.Stop, got 0.001"),
        ({"weight_sets": None}, "weight_sets must be given for models of 3"),
        ({"weight_sets": ONES[:2]}, r"weight_sets must have shape \(3, 60\)"),
        ({"weight_sets": ONES[:, :50]}, r"weight_sets must have shape \(3, 60\)"),
        ({"weight_sets": -ONES}, r"weight_sets\[0\] must be finite and at"),
        ({"weight_sets": 0 * ONES}, r"weight_sets\[0\] must have a positive"),
        (
            {"weight_sets": np.r_[ONES[:2], np.eye(EXAMPLES)[:1]]},
            r"weight_sets\[2\] must leave examples of at least two classes, got only",
        ),
    ],
)
def test_bad_input(problem, models, fold_ids, changes, words):
    options = arguments(problem, models, fold_ids, **changes)
    with pytest.raises(ValueError, match=words):
        sweep.fit_models(problem, models, **options)
