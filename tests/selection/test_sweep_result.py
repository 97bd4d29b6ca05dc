"""The door of a sweep, and what it returns: every entry is a fit."""

import chex
import jax
import numpy as np
import pytest
import sweep_problems
from small_sweeps import assert_same
from sweep_problems import HINGE, LABELS, MARGIN, NORMALIZATION, ROWS, SOFTMAX

import jaxlin
from jaxlin.selection import folds, grids, refinement
from jaxlin.solvers import fit_loop

NAMES = np.array(["ant", "bee", "cat"])
L2S = (1e-1, 1e-2)
SWEEP = {
    "losses": (SOFTMAX, HINGE),
    "l2s": L2S,
    "loss_arguments": MARGIN,
    "weight_sets": folds.train_weights(sweep_problems.FOLD_IDS, num_folds=3),
    "slots": 6,
}


@pytest.fixture(scope="module")
def problem():
    return jaxlin.problem(ROWS, NAMES[LABELS], normalization=NORMALIZATION)


@pytest.fixture(scope="module")
def found(problem):
    return jaxlin.sweep(problem, **SWEEP)


def test_models_are_those_of_the_product(problem, found):
    models = grids.product(
        losses=SWEEP["losses"], l2s=L2S, loss_arguments=MARGIN, num_weight_sets=3
    )
    assert len(found) == found.models.size == models.size == 12
    for one, other in zip(found.models[1:], models[1:], strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)
    assert found.models.losses == models.losses
    assert found.classes.tolist() == NAMES.tolist()
    assert found.normalization is problem.normalization


@pytest.mark.parametrize(
    ("stop", "is_stalled"),
    [(jaxlin.Stop(1e-12, 500), True), (jaxlin.Stop(1e-12, 2), False)],
)
def test_what_is_not_proven_stalled_or_ran_out_of_passes(problem, stop, is_stalled):
    found = jaxlin.sweep(problem, **SWEEP, stop=stop, refine=False)
    assert not found.converged.any()
    assert (found.stalled == is_stalled).all()


@pytest.mark.parametrize("model", [12, -13])
def test_a_model_that_is_none_is_refused(found, model):
    with pytest.raises(IndexError, match=f"model must be 0 to 11, got {model}"):
        found[model]


def test_prints_how_many_are_proven(found):
    proven, passes = found.converged.sum(), found.passes.sum()
    assert str(found) == f"12 fits, {proven} proven, {passes} passes"
    assert repr(found) == f"SweepResult({found})"


def test_every_entry_is_a_fit(found):
    fits = list(found)
    assert [fit.l2 for fit in fits] == found.models.l2.tolist()
    for model, fit in enumerate(fits):
        assert isinstance(fit, jaxlin.Fit)
        assert fit.loss is found.models.losses[found.models.loss[model]]
        assert fit.loss_arguments == found.models.arguments_of(model)
        for leaf, leaves in zip(
            (*fit.params, *fit.certificate),
            (*found.params, *found.certificate),
            strict=True,
        ):
            np.testing.assert_array_equal(leaf, leaves[model])
        assert fit.relative_gap == found.relative_gap[model]
        assert fit.converged == found.converged[model]
        assert fit.stalled == found.stalled[model]
        assert fit.passes == found.passes[model]
        assert fit.classes is found.classes
        assert fit.normalization is found.normalization
        assert (fit.float64_passes, fit.duals, fit.temperature) == (0, None, 1)
    assert found[-1].l2 == fits[-1].l2
    with pytest.raises(IndexError):
        found[12]


def test_an_entry_predicts_in_the_labels_that_were_given(found):
    fit = found[0]
    scores = (ROWS - NORMALIZATION.mean) / NORMALIZATION.scale @ fit.params.weights.T
    expected = NAMES[(scores + fit.params.bias).argmax(axis=1)]
    np.testing.assert_array_equal(jaxlin.predict(fit, ROWS), expected)


def test_an_entry_can_be_started_from(problem, found):
    fit = found[0]
    again = jaxlin.fit(problem, loss=fit.loss, l2=fit.l2, start=fit)
    assert again.converged


def test_some_of_them_in_another_order(found):
    order = [7, 0, 3]
    some = found.take(order)
    assert len(some) == 3
    for place, model in enumerate(order):
        one, other = some[place], found[model]
        assert (one.loss, one.l2, one.passes) == (other.loss, other.l2, other.passes)
        assert one.loss_arguments == other.loss_arguments
        assert one.certificate == other.certificate
        np.testing.assert_array_equal(one.params.weights, other.params.weights)
        assert some.models.weight_set[place] == found.models.weight_set[model]
    assert some.slot_passes == found.slot_passes


def test_prints_what_was_proven(found):
    assert str(found) == f"12 fits, 12 proven, {found.passes.sum():,} passes"


def test_is_watched_and_goes_on_from_its_file(problem, found, tmp_path):
    path, states = tmp_path / "sweep.npz", []

    def callback(state):
        states.append(state)
        if len(state.finished) >= 6:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        jaxlin.sweep(problem, **SWEEP, checkpoint=path, callback=callback)
    assert 6 <= len(states[-1].finished) < 12
    states.clear()
    again = jaxlin.sweep(problem, **SWEEP, checkpoint=path, callback=states.append)
    # What the file had was not fitted again.
    assert states[0].finished
    assert len(states[-1].finished) == 12
    assert_same(again, found)


@pytest.mark.parametrize("refine", [None, True])
def test_what_float32_cannot_prove_is_finished_in_float64(problem, refine):
    settings = {**SWEEP, "l2s": (1e-1,), "losses": (HINGE,), "slots": 3}
    stop = jaxlin.Stop(1e-8, 300)
    # As many passes as a small problem gets in float32.
    budget = jaxlin.Stop(1e-8, fit_loop.passes_before_float64(stop))
    plain = jaxlin.sweep(problem, **settings, stop=budget, refine=False)
    assert not plain.converged.any()
    found = jaxlin.sweep(problem, **settings, stop=stop, refine=refine)
    assert found.converged.all()
    for model, fit in enumerate(found):
        assert fit.params.weights.dtype == np.float64
        assert fit.float64_passes > 0
        # float32 ends once its rounding errors forbid the proof.
        assert 0 < fit.passes - fit.float64_passes <= plain.passes[model]
    expected = refinement.refine_unproven(
        problem, plain, weight_sets=settings["weight_sets"], stop=stop
    )
    alike = np.flatnonzero(found.passes == expected.passes)
    assert len(alike) >= 2
    for model in alike:
        one, other = found[int(model)], expected[int(model)]
        chex.assert_trees_all_equal(one.params, other.params)
        assert one.certificate == other.certificate


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"losses": ()}, "losses must be a sequence of distinct losses, at least one"),
        ({"l2s": (0.0,)}, r"l2s\[0\] must be above 0"),
        ({"loss_arguments": {"width": (1.0,)}}, "which take margin, got 'wi"),
        ({"weight_sets": np.ones((1, 61))}, r"weight_sets must have shape \(1, 60\)"),
        ({"weight_sets": np.ones(60)}, r"weight_sets must have shape \(sets, 60\)"),
        ({"stop": 1e-3}, "stop must be a jaxlin.Stop"),
        ({"slots": 1}, "slots must be at least 2"),
    ],
)
def test_bad_input(problem, changes, words):
    with pytest.raises(ValueError, match=words):
        jaxlin.sweep(problem, **{**SWEEP, **changes})
