"""Minibatch training of many models: each as alone, no copies and no new programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from minibatch_runs import (
    BATCH_SIZE,
    NUM_EXAMPLES,
    assert_trees_close,
    make,
    momentum,
    raw_examples,
    start,
    train,
)

from jaxlin import losses
from jaxlin.solvers import interface


def grid_settings(margins=False):
    settings = interface.Settings(
        learning_rate=np.float32([0.1, 0.3, 0.1]), l2=np.float32([0.0, 0.01, 0.1])
    )
    if margins:
        arguments = {"margin": np.float32([0.5, 1.0, 2.0])}
        settings = settings._replace(loss_arguments=arguments)
    return settings


@pytest.mark.parametrize(
    "loss", [losses.softmax_cross_entropy, losses.weston_watkins_hinge]
)
def test_a_grid_equals_its_models_trained_alone(loss):
    margins = loss is losses.weston_watkins_hinge
    settings = grid_settings(margins)
    solver = make(loss=loss)
    grid, grid_info = train(interface.map_settings(solver), settings)
    for i in range(3):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], settings)
        alone, info = train(solver, one)
        assert_trees_close(jax.tree.map(lambda leaf, i=i: leaf[i], grid), alone)
        np.testing.assert_allclose(grid_info[:, i], info, rtol=1e-5)


def test_a_grid_over_seeds_equals_each_seed_alone():
    settings = grid_settings()
    keys = jax.random.split(jax.random.key(11), 2)
    params = [start(seed) for seed in (0, 1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params)
    over_settings = interface.map_settings(make())
    both, _ = train(
        interface.map_seeds(over_settings), settings, key=keys, params=stacked
    )
    assert both.weights.shape == (2, 3, 3, 6)
    for s in range(2):
        alone, _ = train(over_settings, settings, key=keys[s], params=params[s])
        assert_trees_close(jax.tree.map(lambda leaf, s=s: leaf[s], both), alone)


def test_models_of_one_seed_share_their_batches():
    """Equal settings in one grid give equal models, bit for bit."""
    settings = interface.Settings(
        learning_rate=np.full(3, 0.1, np.float32), l2=np.full(3, 0.01, np.float32)
    )
    grid, _ = train(interface.map_settings(make()), settings)
    for i in (1, 2):
        np.testing.assert_array_equal(grid.weights[i], grid.weights[0])


def test_the_features_of_a_grid_are_gathered_once():
    """No array of models x batch x features: one wide product serves all models."""
    solver = interface.map_settings(make())
    settings = grid_settings()
    state = solver.init(start(), raw_examples(), settings)
    jaxpr = str(
        jax.make_jaxpr(solver.step)(
            jax.random.key(0), 0, state, raw_examples(), settings
        )
    )
    assert f"f32[{BATCH_SIZE},6]" in jaxpr
    assert f"f32[3,{BATCH_SIZE},6]" not in jaxpr


def test_uint8_features_are_never_copied_as_floats():
    solver, settings = make(), interface.Settings(learning_rate=0.1, l2=0.01)
    state = solver.init(start(), raw_examples(), settings)
    jaxpr = str(
        jax.make_jaxpr(solver.step)(
            jax.random.key(0), 0, state, raw_examples(), settings
        )
    )
    assert f"u8[{NUM_EXAMPLES},6]" in jaxpr
    assert f"f32[{NUM_EXAMPLES},6]" not in jaxpr


def test_new_values_recompile_nothing():
    traces = []

    def counting(learning_rate):
        traces.append(None)
        return momentum(learning_rate)

    def fit(learning_rate, l2, margin, seed):
        # Made anew each time, as a user's loop would: the cache returns one object.
        solver = make(loss=losses.weston_watkins_hinge, make_optimizer=counting)
        settings = interface.Settings(learning_rate, l2, None, {"margin": margin})
        train(solver, settings, key=jax.random.key(seed), params=start(seed))

    fit(0.1, 0.01, 1.0, 0)
    first = len(traces)
    others = [(0.2, 0.01, 1.0, 0), (0.1, 0, 1, 1), (jnp.float32(1), 0.01, 3.0, 2)]
    for values in others:
        fit(*values)
    # `init` is not compiled and makes an optimiser each time; the step is not retraced.
    assert len(traces) == first + 3


def test_the_state_is_donated():
    solver, settings = make(), interface.Settings(learning_rate=0.1, l2=0.01)
    initial = solver.init(start(), raw_examples(), settings)
    run = interface.run(
        solver, jax.random.key(0), initial, raw_examples(), settings, num_steps=1
    )
    next(run)
    assert initial.params.weights.is_deleted()


def test_the_callers_parameters_survive_donation():
    params = start()
    train(make(), interface.Settings(learning_rate=0.1, l2=0.01), params=params)
    assert np.isfinite(params.weights).all()
