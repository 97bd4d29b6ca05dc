"""Runs of certified solvers: programs, memory, chunks and grids."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from certified_runs import (
    BLOCK_SIZES,
    SHAPE,
    draw,
    evaluations,
    exactly,
    fit,
    problem_of,
    zeros,
)
from random_problems import LOSSES

from jaxlin.solvers import certified, interface, optimizer


def test_new_values_recompile_nothing():
    name = "weston_watkins_hinge"
    given, keywords, _ = draw(name, "noisy", l2=0.1)
    fit(name, given, keywords, most=2)
    programs = interface._advance._cache_size()
    for seed, l2, margin in ((1, 0.01, 0.5), (2, jnp.float32(1), 2), (3, 1, 1.0)):
        given, keywords, _ = draw(name, "weighted", seed=seed)
        keywords = {"l2": l2, "loss_arguments": {"margin": margin}}
        fit(name, given, keywords, most=2, key=seed)
    assert interface._advance._cache_size() == programs


def test_the_state_is_donated_and_the_callers_parameters_are_not():
    name = "weston_watkins_hinge"
    given, keywords, _ = draw(name, "noisy")
    examples = problem_of(given).prepared()
    solver = certified.solver(loss=LOSSES[name])
    settings = interface.Settings(**keywords)
    start = zeros(SHAPE)
    state = solver.init(start, examples, settings)
    run = interface.run(
        solver, jax.random.key(0), state, examples, settings, num_steps=1
    )
    next(run)
    for leaf in (
        state.candidate,
        state.dual_centers,
        state.history.steps,
        state.params.weights,
    ):
        assert leaf.is_deleted()
    assert not start.weights.is_deleted()
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(examples))


@pytest.mark.full
def test_chunks_of_any_length_give_the_same_fit_and_are_traced_once(monkeypatch):
    """The default run has the chunks of training by minibatches."""
    traces = []
    pass_values = optimizer.duality.pass_values

    def counting(*arguments, **options):
        traces.append(None)
        return pass_values(*arguments, **options)

    name = "weston_watkins_hinge"
    given, keywords, _ = draw(name, "noisy", l2=1e-2)
    *_, (_, one, _) = evaluations(name, given, keywords, most=6)
    monkeypatch.setattr(optimizer.duality, "pass_values", counting)
    *_, (done, many, _) = evaluations(name, given, keywords, most=6, steps_per_chunk=3)
    assert done == 6
    assert len(traces) == 1
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def grid_of(name, given, settings, *, most, dtype):
    one = certified.solver(loss=LOSSES[name], block_size=BLOCK_SIZES[name])
    many = interface.map_settings(one)
    examples = problem_of(given).prepared()
    first = many.init(zeros(SHAPE, dtype), examples, settings)
    for _, state, info in interface.run(  # noqa: B007
        many, jax.random.key(0), first, examples, settings, num_steps=most
    ):
        pass
    return state, jax.tree.map(lambda leaf: leaf[-1], info)


def one_of(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def check_grid(name, *, most, gap, dtype=jnp.float32, kind="noisy"):
    """A grid over l2 and margin has the objectives and parameters of fits alone."""
    given, *_ = draw(name, kind)
    arguments = {"margin": jnp.array([0.5, 1.0, 2.0], dtype)}
    settings = interface.Settings(
        l2=jnp.array([0.01, 0.1, 1.0], dtype),
        loss_arguments=arguments if "hinge" in name else {},
    )
    grid, info = grid_of(name, given, settings, most=most, dtype=dtype)
    assert (info.relative_gap < gap).all()
    for i in range(3):
        keywords = one_of(settings, i)._asdict()
        *_, (_, alone, _) = evaluations(
            name, given, keywords, most=most, start=zeros(SHAPE, dtype)
        )
        np.testing.assert_allclose(
            grid.certificate.primal[i], alone.certificate.primal, rtol=1e-5
        )
        together, single = exactly(one_of(grid.params, i)), exactly(alone.params)
        error = np.linalg.norm(together - single)
        assert error <= 1e-5 * np.linalg.norm(single)
    # Each of them is a problem of its own.
    assert np.ptp(grid.certificate.primal) > 0.1


@pytest.mark.full
def test_a_grid_of_smooth_fits_equals_its_fits_alone():
    check_grid("softmax_cross_entropy", most=40, gap=1e-6)


@pytest.mark.full
def test_a_grid_of_hinges_equals_its_fits_alone_from_the_first_steps():
    """Before rounding errors, which a hinge's rounds amplify, have grown."""
    check_grid("crammer_singer_hinge", most=10, gap=2)


@pytest.mark.full
@pytest.mark.parametrize("name", LOSSES)
def test_a_grid_equals_its_fits_alone_in_float64(name):
    """An l2 at which hinges too are solved to the digits of the comparison."""
    with jax.enable_x64(True):
        check_grid(name, most=300, gap=1e-10, dtype=jnp.float64)


# --- Refused.


def test_an_unprepared_problem_and_bad_settings_are_refused():
    given, keywords, _ = draw("softmax_cross_entropy", "noisy")
    raw = problem_of(given).examples
    solver = certified.solver(loss=LOSSES["softmax_cross_entropy"])
    with pytest.raises(
        ValueError, match="examples must be prepared .*certified.prepare"
    ):
        solver.init(zeros(SHAPE), raw, interface.Settings(**keywords))
    examples = certified.prepare(raw)
    for settings, message in (
        (interface.Settings(), "l2 must be above 0, got None"),
        (interface.Settings(learning_rate=0.1, l2=0.1), "learning_rate must be None"),
        (interface.Settings(l2=0.1, l1=0.1), "l1 must be None"),
        (interface.Settings(l2=0.0), "l2 must be above 0"),
        (interface.Settings(l2=jnp.float32(-1)), "l2 must be above 0"),
        (interface.Settings(l2=np.nan), "l2 must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            solver.init(zeros(SHAPE), examples, settings)
    with pytest.raises(ValueError, match="loss must be one of"):
        certified.solver(loss=lambda scores, label: 0.0)


@pytest.mark.parametrize("l2", [0.1, 0.0, -0.1])
def test_a_traced_l2_that_is_not_above_0_proves_nothing(l2):
    """A step looks at no value: the program is that of any l2."""
    name = "softmax_cross_entropy"
    given, keywords, _ = draw(name, "noisy", l2=0.1)
    examples = problem_of(given).prepared()
    solver = certified.solver(loss=LOSSES[name])
    state = solver.init(zeros(SHAPE), examples, interface.Settings(**keywords))
    settings = interface.Settings(l2=jnp.float32(l2))
    for _, _, info in interface.run(  # noqa: B007
        solver, jax.random.key(0), state, examples, settings, num_steps=20
    ):
        pass
    if l2 > 0:
        assert info.relative_gap < 1e-4
    else:
        assert info.relative_gap == np.inf


@pytest.mark.full
def test_nor_does_one_in_a_grid():
    given, *_ = draw("softmax_cross_entropy", "noisy")
    settings = interface.Settings(l2=jnp.array([0.1, 0.0, -0.1]))
    _, info = grid_of(
        "softmax_cross_entropy", given, settings, most=20, dtype=jnp.float32
    )
    assert info.relative_gap[0] < 1e-4
    np.testing.assert_array_equal(info.relative_gap[1:], np.inf)


def test_equal_arguments_give_one_solver():
    for loss in LOSSES.values():
        assert certified.solver(loss=loss) is certified.solver(loss=loss)
