"""Sweeps of large problems: which of them continue in float64 by default."""

import jax
import numpy as np
import pytest
import sweep_problems
from sweep_problems import HINGE, SOFTMAX

import jaxlin
from jaxlin import losses
from jaxlin.numerics import device_mesh
from jaxlin.selection import grids, parts
from jaxlin.selection import sweep as sweeps
from jaxlin.solvers import float64_methods, newton

SQUARED = losses.weston_watkins_squared_hinge


@pytest.fixture(autouse=True)
def _all_are_large(monkeypatch):
    monkeypatch.setattr(float64_methods, "MAX_UNKNOWNS", 0)


def sweep(problem, used=(SOFTMAX,), **options):
    """Fits to a gap that float32 does not prove."""
    return jaxlin.sweep(
        problem,
        losses=used,
        l2s=(1e-2, 1e-5),
        stop=jaxlin.Stop(1e-9, 200),
        **options,
    )


@pytest.mark.parametrize(
    ("used", "patch", "continues"),
    [
        ((SOFTMAX,), None, True),
        ((SOFTMAX, SQUARED), None, False),
        ((HINGE,), None, False),
        ((SOFTMAX,), (float64_methods, "_MAX_SCORES_OF_STEPS", 0), False),
        ((SOFTMAX,), (device_mesh, "has_float64", lambda: False), False),
        ((SOFTMAX,), (device_mesh, "axis_size", lambda axis: 2), False),
    ],
    ids=["softmax", "mixed", "hinge", "scores", "no float64", "row mesh"],
)
def test_a_sweep_continues_where_newton_steps_finish_all_its_fits(
    used, patch, continues, problem, monkeypatch
):
    models = grids.product(losses=used, l2s=(1e-2,))
    if patch is not None:
        monkeypatch.setattr(*patch)
    assert sweeps._has_steps(problem, models) == continues


def test_newton_steps_prove_what_float32_does_not(problem):
    alone = sweep(problem, refine=False)
    assert not alone.converged.all()
    found = sweep(problem)
    assert found.converged.all()
    assert found.float64_passes.any()


def test_a_dealt_sweep_of_several_losses_is_that_of_one_machine(problem, tmp_path):
    """A part may hold softmax alone, which would continue by itself."""
    whole = sweep(problem, (SOFTMAX, SQUARED))
    files = parts.Parts((tmp_path / "0.npz", tmp_path / "1.npz"))
    dealt = sweep(problem, (SOFTMAX, SQUARED), checkpoint=files)
    assert not whole.float64_passes.any()
    jax.tree.map(np.testing.assert_array_equal, dealt.params, whole.params)
    np.testing.assert_array_equal(dealt.float64_passes, whole.float64_passes)


def test_many_float64_rows_are_copied_only_on_request(monkeypatch):
    """A proof in float64 is of the rows that were given."""
    rows, labels = sweep_problems.ROWS, sweep_problems.LABELS
    problem = jaxlin.problem(np.float64(rows) + 1e-9, labels)
    assert problem.has_float64
    assert sweep(problem).float64_passes.any()
    monkeypatch.setattr(sweeps, "_MAX_FLOAT64_NUMBERS", rows.size - 1)
    assert not sweep(problem).float64_passes.any()
    assert sweep(problem, refine=True).float64_passes.any()
    assert sweep(jaxlin.problem(rows, labels)).float64_passes.any()


def test_a_direction_that_does_not_descend_ends_the_fit(problem, monkeypatch):
    """It has step 0, and its system is solved once more at most."""
    solved = []

    def spied(state, *_, **__):
        solved.append(1)
        return state._replace(candidate=state.iterate, step=0 * state.step)

    monkeypatch.setattr(newton, "_with_direction", spied)
    found = jaxlin.fit(problem, loss=SOFTMAX, l2=1e-5, stop=jaxlin.Stop(1e-12, 200))
    assert found.stalled
    assert len(solved) == 2
