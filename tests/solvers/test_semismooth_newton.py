"""Semismooth Newton steps: their system and line search, and fits of hinges by them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fitting_problems import EXAMPLES, data, problem

import jaxlin
from jaxlin import linear, losses, normalization, sharding
from jaxlin.linear import Bias
from jaxlin.losses import conjugates
from jaxlin.problems import fit_methods
from jaxlin.solvers import (
    active_rows,
    certified,
    fit_loop,
    float64_methods,
    full_batch,
    interior_point,
    newton,
    score_gradients,
    semismooth_newton,
)
from jaxlin.solvers.fit_loop import Start
from jaxlin.solvers.interface import Examples, Settings

HINGES = [loss for loss in conjugates.known_losses() if not conjugates.of(loss).smooth]
MARGIN, L2, SMOOTHING = 0.7, 0.1, 0.8
CLASSES, WIDTH = 3, 4
# In float64, of which these problems need 14 to 60.
MAX_PASSES = 100
SETTINGS = Settings(l2=L2, loss_arguments={"margin": MARGIN})


def small_problem():
    """13 prepared examples, one of weight 0, and a pass of them."""
    generator = np.random.default_rng(1)
    weights = np.r_[0, generator.uniform(1, 2, size=12)]
    examples = Examples(
        jnp.asarray(generator.normal(size=(13, WIDTH))),
        jnp.asarray(generator.integers(CLASSES, size=13)),
        jnp.asarray(weights),
    )
    return certified.prepare(examples), generator


def state_of(loss):
    """State after a pass at random weights, its scores, random dual centers."""
    examples, generator = small_problem()
    shape = (CLASSES, WIDTH)
    params = linear.Params(
        *map(jnp.asarray, (generator.normal(size=shape), np.zeros(CLASSES)))
    )
    source = certified.row_source(examples, loss=loss)
    begun, _ = full_batch.begin(
        source, Start(params, None), loss=loss, settings=SETTINGS
    )
    centers = jnp.asarray(generator.uniform(0, 1, size=(13, CLASSES)))
    state, scores = semismooth_newton._begin(begun, examples)
    state = state._replace(smoothing=jnp.asarray(SMOOTHING))
    _, sums, _ = source.evaluate(state.iterate, centers, state.smoothing, SETTINGS)
    state, _, _ = judge(state, sums, source, loss)
    return state, scores, centers, examples, source


def judge(state, sums, source, loss):
    """State after a pass with these sums, its info, and whether it ends a round."""
    return semismooth_newton._judge(state, sums, source.moment, SETTINGS, loss=loss)


def hessian_of_example(loss, scores, label, center):
    """Hessian of a smoothed hinge in the scores, written out by hand."""
    is_label, identity = np.arange(CLASSES) == label, np.eye(CLASSES)
    if loss is losses.one_vs_rest_hinge:
        dual = center + (MARGIN - np.where(is_label, 1, -1) * scores) / SMOOTHING
        return np.diag((dual > 0) & (dual < 1)) / SMOOTHING
    leads = (identity - identity[label])[~is_label]
    dual = center[~is_label] + (MARGIN + leads @ scores) / SMOOTHING
    active = dual > 0
    if loss is losses.weston_watkins_hinge:
        active &= dual < 1
    curvature = np.diag(active.astype(float))
    if loss is losses.crammer_singer_hinge and dual[active].sum() > 1:
        # Projection on the simplex: the duals above a level, which sum to 1.
        ordered = np.sort(dual)[::-1]
        levels = (np.cumsum(ordered) - 1) / np.arange(1, CLASSES)
        active = dual > levels[np.flatnonzero(ordered > levels)[-1]]
        curvature = np.diag(active) - np.outer(active, active) / active.sum()
    return leads.T @ curvature @ leads / SMOOTHING


@pytest.mark.parametrize("loss", HINGES)
def test_the_direction_solves_the_newton_system(loss, monkeypatch):
    monkeypatch.setattr(semismooth_newton, "_RESIDUAL", 1e-12)
    with jax.enable_x64(True):
        state, found_scores, centers, examples, source = state_of(loss)
        active = active_rows.gathered(
            found_scores,
            centers,
            examples,
            SETTINGS,
            smoothing=state.smoothing,
            loss=loss,
        )
        found = semismooth_newton._direction.__wrapped__(
            state, active, source.moment, source.sampled(centers), SETTINGS, loss=loss
        )
        state, found_scores, centers, examples, active, found = jax.device_get(
            (state, found_scores, centers, examples, active, found)
        )
    rows = np.c_[examples.features, np.ones(13)]
    scores = rows @ state.iterate.T
    np.testing.assert_allclose(found_scores, scores, rtol=1e-12)
    shares = examples.example_weights / examples.example_weights.sum()
    hessian, num_active = L2 * np.eye(CLASSES * (WIDTH + 1)), 0
    for i, label in enumerate(examples.targets):
        part = shares[i] * hessian_of_example(loss, scores[i], label, centers[i])
        hessian += np.kron(part, np.outer(rows[i], rows[i]))
        num_active += part.any()
    assert 0 < num_active == np.count_nonzero(active.shares) < 13
    expected = -np.linalg.solve(hessian, state.gradient.ravel())
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-5)


@pytest.mark.parametrize("loss", HINGES)
def test_the_step_lowers_the_smoothed_objective_and_most_of_the_slope(loss):
    with jax.enable_x64(True):
        state, scores, centers, examples, source = state_of(loss)
        direction = -state.gradient
        moved, moved_scores = semismooth_newton._step(
            state, scores, direction, centers, examples, SETTINGS, loss=loss
        )
        _, sums, _ = source.evaluate(moved.iterate, centers, moved.smoothing, SETTINGS)
        after, _, _ = judge(moved, sums, source, loss)
        for bad in (-direction, direction * jnp.nan):
            uphill, uphill_scores = semismooth_newton._step(
                state, scores, bad, centers, examples, SETTINGS, loss=loss
            )
            # It is not taken, and counts as a failure.
            np.testing.assert_array_equal(uphill.iterate, state.iterate)
            np.testing.assert_array_equal(uphill_scores, scores)
            assert uphill.failures == 1
    assert after.value < state.value
    slopes = [np.vdot(one.gradient, direction) for one in (state, after)]
    assert slopes[0] < 0
    assert abs(slopes[1]) <= 0.3 * abs(slopes[0])
    rows = np.c_[examples.features, np.ones(13)]
    np.testing.assert_allclose(moved_scores, rows @ np.asarray(moved.iterate).T)
    assert (moved.failures, moved.round_steps) == (0, 1)


def test_the_hessian_of_a_free_bias_is_made_class_by_class():
    """Not from the changes of all scores to all biases: classes times the scores."""
    num_examples, num_classes = 200, 64
    shape = jax.ShapeDtypeStruct((num_examples, num_classes), jnp.float32)

    def changes(scores):
        loss = losses.weston_watkins_hinge
        hessian = score_gradients.hessian_of_mean_loss(
            loss,
            scores.T,
            jnp.zeros(num_examples, jnp.int32),
            jnp.full(num_examples, 1 / num_examples),
            jnp.zeros_like(scores),
            smoothing=jnp.ones(()),
            loss_arguments=None,
            dtype=jnp.float32,
        )
        return score_gradients.curvature(loss, hessian, bias=Bias.FREE).times(scores.T)

    held = jax.jit(changes).lower(shape).compile().memory_analysis()
    assert held.temp_size_in_bytes <= 20 * 4 * num_examples * num_classes


def test_a_larger_objective_ends_the_round():
    with jax.enable_x64(True):
        loss = losses.weston_watkins_hinge
        state, _, centers, _, source = state_of(loss)
        _, sums, _ = source.evaluate(state.iterate, centers, state.smoothing, SETTINGS)
        for value, steps, ends_round in [
            (0.9, 1, True),
            (1.1, 1, False),
            (0.9, 0, False),
        ]:
            state = state._replace(round_steps=jnp.int32(steps))
            before = state._replace(value=value * state.value)
            after, _, found = judge(before, sums, source, loss)
            assert bool(found) == ends_round
            assert after.failures == (value < 1 and steps > 0)


@pytest.mark.parametrize("num_active", [0, 15, 17, 33])
def test_padding_rows_have_no_share(num_active, monkeypatch):
    mask = np.arange(40) % 40 >= 40 - num_active
    monkeypatch.setattr(active_rows, "_is_active", lambda *_, **__: mask)
    examples = Examples(jnp.ones((40, 2)), jnp.zeros(40, int))
    scores = jnp.arange(80.0).reshape(40, 2)
    found = active_rows.gathered(
        scores, scores, examples, SETTINGS, smoothing=SMOOTHING, loss=HINGES[0]
    )
    size = len(found.shares)
    assert max(1, num_active) <= size <= 1.125 * max(1, num_active)
    expected = np.where(np.arange(size) < num_active, 1 / 40, 0)
    np.testing.assert_allclose(found.shares, expected)
    np.testing.assert_array_equal(found.scores[:num_active], scores[mask])


@pytest.mark.devices(8)
@pytest.mark.parametrize("num_rows", [60, 64])
def test_rows_on_several_devices_have_neither_method(num_rows):
    rows, labels = np.ones((num_rows, 2)), np.arange(num_rows) % 2
    alone = jaxlin.problem(rows, labels)
    assert alone.is_small
    with jax.set_mesh(sharding.mesh(rows=8)):
        spread = jaxlin.problem(rows, labels)
        assert not spread.is_small
        assert not fit_methods.takes_semismooth_steps(spread, HINGES[0])
        assert fit_methods.float32_passes(spread, HINGES[0], jaxlin.Stop()) is None


@pytest.fixture
def all_are_large(monkeypatch):
    monkeypatch.setattr(float64_methods, "MAX_UNKNOWNS", 1)


def weighted_problem():
    weights = np.random.default_rng(3).uniform(0, 2, size=EXAMPLES)
    weights[::7] = 0
    return jaxlin.problem(*data(3), weights=weights)


@pytest.mark.parametrize("loss", HINGES)
@pytest.mark.parametrize("l2", [1e-1, 1e-3])
def test_fits_reach_the_optimum_of_the_interior_point_method(loss, l2, monkeypatch):
    settings = {"loss": loss, "l2": l2, "stop": jaxlin.Stop(1e-9, 400)}
    expected = jaxlin.fit(weighted_problem(), **settings)
    monkeypatch.setattr(float64_methods, "MAX_UNKNOWNS", 1)
    directions, right = [], semismooth_newton._direction

    def direction(*args, **options):
        directions.append(right(*args, **options))
        return directions[-1]

    monkeypatch.setattr(semismooth_newton, "_direction", direction)
    found = jaxlin.fit(weighted_problem(), **settings, refine=True)
    assert found.converged
    assert 0 < len(directions) < found.float64_passes < MAX_PASSES
    bound = 1e-9 * expected.certificate.primal
    assert abs(found.certificate.primal - expected.certificate.primal) <= bound


def test_a_stopped_fit_goes_on_where_it_was(all_are_large):
    settings = {"loss": losses.weston_watkins_hinge, "l2": 1e-3, "refine": True}
    whole = jaxlin.fit(problem(3), **settings, stop=jaxlin.Stop(1e-9, 400))
    half = jaxlin.fit(problem(3), **settings, stop=jaxlin.Stop(1e-5, 400))
    stop = jaxlin.Stop(1e-9, 400)
    rest = jaxlin.fit(problem(3), **settings, stop=stop, start=half)
    assert whole.converged
    assert rest.converged
    assert half.float64_passes > 0
    assert rest.float64_passes == rest.passes < whole.float64_passes


@pytest.mark.parametrize(("bad", "converged"), [((3,), True), ((3, 4), False)])
def test_a_fit_survives_one_uphill_direction_and_ends_at_the_second(
    bad, converged, all_are_large, monkeypatch
):
    right, calls = semismooth_newton._direction, itertools.count(1)

    def direction(*args, **options):
        found = right(*args, **options)
        return -found if next(calls) in bad else found

    monkeypatch.setattr(semismooth_newton, "_direction", direction)
    settings = {"loss": losses.weston_watkins_hinge, "l2": 1e-3, "refine": True}
    found = jaxlin.fit(problem(3), **settings, stop=jaxlin.Stop(1e-9, 400))
    assert (found.converged, found.stalled) == (converged, not converged)
    assert found.float64_passes < 40


def test_a_fit_without_float32_passes_starts_by_passes(all_are_large):
    """The offset would leave nothing of these rows in float32."""
    rows, labels = data(3)
    far = 1e4 + 1e-6 * np.float64(rows)
    settings = {"loss": losses.weston_watkins_hinge, "l2": 1e-2}
    settings |= {"stop": jaxlin.Stop(1e-6, 400)}
    settings |= {"normalization": normalization.fit_standard, "refine": True}
    found = jaxlin.fit(far, labels, **settings)
    assert found.converged
    assert found.float64_passes == found.passes > semismooth_newton._FIRST_PASSES
    near = jaxlin.fit(np.float64(rows), labels, **settings)
    objectives = [one.certificate.primal for one in (found, near)]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-5)


def test_a_gap_below_rounding_ends_the_fit_soon(all_are_large):
    settings = {"loss": losses.crammer_singer_hinge, "l2": 1e-3}
    found = jaxlin.fit(problem(3), **settings, stop=jaxlin.Stop(1e-17, 800))
    assert found.stalled
    assert found.relative_gap < 1e-12
    assert found.float64_passes < 100


def test_float32_ends_after_some_passes_where_these_steps_follow(
    all_are_large, monkeypatch
):
    monkeypatch.setattr(fit_loop, "_FLOAT32_PASSES_BEFORE_SEMISMOOTH", 12)
    settings = {"loss": losses.crammer_singer_hinge, "l2": 1e-3}
    settings["stop"] = jaxlin.Stop(1e-8, 400)
    found = jaxlin.fit(problem(3), **settings)
    assert found.converged
    assert found.passes - found.float64_passes == 12
    # Where none follow, float32 has all passes.
    alone = jaxlin.fit(problem(3), **settings, refine=False)
    assert alone.passes > 12
    # A smooth loss is finished by further passes.
    squared = {**settings, "loss": losses.weston_watkins_squared_hinge}
    by_passes = jaxlin.fit(problem(3), **squared)
    assert by_passes.passes - by_passes.float64_passes > 12


def test_each_problem_has_its_method(monkeypatch):
    examples, _ = small_problem()
    for module in (interior_point, newton, semismooth_newton, full_batch):
        name = module.__name__.split(".")[-1]
        monkeypatch.setattr(module, "iterations", lambda *_, name=name, **__: name)

    def method(loss, *, is_small):
        return float64_methods.iterations(
            examples,
            loss=loss,
            settings=SETTINGS,
            num_classes=CLASSES,
            is_small=is_small,
        )

    rows = [
        (losses.weston_watkins_hinge, True, "interior_point"),
        (losses.weston_watkins_squared_hinge, True, "interior_point"),
        (losses.softmax_cross_entropy, True, "newton"),
        (losses.crammer_singer_hinge, False, "semismooth_newton"),
        (losses.weston_watkins_squared_hinge, False, "full_batch"),
        (losses.softmax_cross_entropy, False, "newton"),
    ]
    for loss, is_small, expected in rows:
        assert method(loss, is_small=is_small) == expected
    # A copy of all rows, and arrays beside it, would take too much memory.
    numbers = 13 * (WIDTH + 16 * CLASSES)
    for most, expected in ((numbers, "semismooth_newton"), (numbers - 1, "full_batch")):
        monkeypatch.setattr(float64_methods, "_MAX_NUMBERS_OF_STEPS", most)
        assert method(HINGES[0], is_small=False) == expected
    softmax = losses.softmax_cross_entropy
    for most, expected in ((13 * CLASSES, "newton"), (13 * CLASSES - 1, "full_batch")):
        monkeypatch.setattr(float64_methods, "_MAX_SCORES_OF_STEPS", most)
        assert method(softmax, is_small=False) == expected
