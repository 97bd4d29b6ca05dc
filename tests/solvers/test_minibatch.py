"""Minibatch training: what an epoch is, and where training ends."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from minibatch_runs import (
    BATCH_SIZE,
    NUM_EXAMPLES,
    assert_trees_close,
    assert_trees_equal,
    make,
    raw_examples,
    start,
    train,
)

from jaxlin import linear, losses, objective
from jaxlin.linear import Bias
from jaxlin.solvers import interface, minibatch


@jax.jit
def _order_of(epoch):
    key = jax.random.fold_in(jax.random.key(7), epoch)
    return minibatch._shuffled(key, NUM_EXAMPLES)


def order_of(epoch):
    return np.asarray(_order_of(epoch))


def test_an_epoch_visits_every_example_once_and_each_epoch_in_another_order():
    orders = [tuple(order_of(epoch)) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(NUM_EXAMPLES))
    assert len(set(orders)) == 3


def test_orders_are_uniform():
    """Each example is equally often first: a chi-square test at the 1e-4 level."""

    @jax.jit
    def firsts(key):
        keys = jax.random.split(key, 5000)
        return jax.vmap(lambda key: minibatch._shuffled(key, 5)[0])(keys)

    counts = np.bincount(firsts(jax.random.key(1)), minlength=5)
    statistic = ((counts - 1000) ** 2 / 1000).sum()
    assert scipy.special.chdtrc(4, statistic) > 1e-4


@pytest.mark.parametrize(
    ("batch_size", "weighted"),
    [
        (BATCH_SIZE, True),
        (BATCH_SIZE, False),
        pytest.param(25, False, marks=pytest.mark.full),
    ],
)
def test_an_epoch_equals_a_python_loop_over_its_batches(batch_size, weighted):
    """Plain gradient descent; the last, smaller batch is used with its own mean."""
    # With an l1, of which there is more below: one program.
    settings = interface.Settings(learning_rate=0.3, l2=0.05, l1=0.0)
    examples = raw_examples()
    weights = np.arange(NUM_EXAMPLES) % 4 / 1.0 if weighted else np.ones(NUM_EXAMPLES)
    if weighted:
        examples = examples._replace(example_weights=jnp.asarray(weights))
    solver = make(make_optimizer=optax.sgd, batch_size=batch_size)
    epochs = 2  # each in an order of its own
    trained, info = train(solver, settings, num_steps=epochs, examples=examples)

    template, bias = (np.asarray(leaf, np.float64) for leaf in start())
    rows = (np.asarray(examples.features) - examples.normalization.mean) / 255.0
    labels = np.asarray(examples.targets)
    totals = np.zeros(epochs)
    for epoch, begin in itertools.product(
        range(epochs), range(0, NUM_EXAMPLES, batch_size)
    ):
        chosen = order_of(epoch)[begin : begin + batch_size]
        share = weights[chosen] / (len(chosen) * weights.mean())
        odds = np.exp(rows[chosen] @ template.T + bias)
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        of_label = probabilities[np.arange(len(chosen)), labels[chosen]]
        totals[epoch] -= len(chosen) * (share @ np.log(of_label))
        # The gradient of softmax cross-entropy: probability less target.
        residual = share[:, None] * (probabilities - np.eye(3)[labels[chosen]])
        template = template - 0.3 * (residual.T @ rows[chosen] + 0.05 * template)
        bias = bias - 0.3 * (residual.sum(axis=0) + 0.05 * bias)
    assert_trees_close(trained, linear.Params(template, bias), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(info, totals / NUM_EXAMPLES, rtol=1e-5)


def test_batch_gradients_average_to_the_weighted_gradient():
    """Unbiased: one epoch at a tiny learning rate moves along the full gradient."""
    weights = np.float32(np.arange(NUM_EXAMPLES) % 4)
    examples = raw_examples()._replace(example_weights=jnp.asarray(weights))
    settings = interface.Settings(learning_rate=1e-3)
    solver = make(
        loss=losses.weston_watkins_hinge, make_optimizer=optax.sgd, batch_size=10
    )
    trained, _ = train(solver, settings, num_steps=1, examples=examples)
    begin = jax.tree.map(np.asarray, start())
    moved = jax.tree.map(lambda a, b: (a - b) / -(5 * 1e-3), trained, begin)

    def value(params):
        return objective.mean_loss(
            params,
            examples.features,
            examples.targets,
            loss=losses.weston_watkins_hinge,
            normalization=examples.normalization,
            example_weights=weights,
        )

    # No margin changes sign on so short a way, so the gradient is constant.
    assert_trees_close(moved, jax.jit(jax.grad(value))(begin), rtol=0, atol=5e-3)


@pytest.mark.parametrize("length", [3, pytest.param(4, marks=pytest.mark.full)])
def test_chunks_of_any_length_give_the_same_bits(length):
    """The last is shorter, or as long as the others."""
    settings = interface.Settings(learning_rate=0.1, l2=0.01)
    one, one_info = train(make(), settings, num_steps=4)
    many, many_info = train(make(), settings, num_steps=4, steps_per_chunk=length)
    assert_trees_equal(one, many)
    np.testing.assert_array_equal(one_info, many_info)


def test_resuming_from_a_saved_state_gives_the_same_bits():
    solver, settings = make(), interface.Settings(learning_rate=0.1, l2=0.01)
    key, examples = jax.random.key(7), raw_examples()
    whole, _ = train(solver, settings, num_steps=6)

    initial = solver.init(start(), raw_examples(), settings)
    for _, state, _ in interface.run(
        solver, key, initial, examples, settings, num_steps=4
    ):
        saved = jax.tree.map(np.asarray, state)
    loaded = jax.tree.map(jnp.asarray, saved)
    for _, state, _ in interface.run(
        solver, key, loaded, examples, settings, num_steps=6, first_step=4
    ):
        resumed = jax.tree.map(np.asarray, state.params)
    assert_trees_equal(resumed, whole)


def test_l1_and_free_bias():
    settings = interface.Settings(learning_rate=0.1, l2=0.0, l1=10.0)
    free, solver = settings._replace(bias=Bias.FREE), make(make_optimizer=optax.sgd)
    trained, _ = train(solver, free, num_steps=40)
    # So strong an l1 keeps every weight near zero, and leaves the bias alone.
    assert np.abs(trained.weights).max() <= 2 * 0.1 * 10.0
    penalized, _ = train(solver, settings, num_steps=40)
    assert np.abs(trained.bias - penalized.bias).max() > 0.1


def _drifting(learning_rate):
    """Gradient descent that moves every parameter, whatever its gradient."""
    drift = optax.stateless(
        lambda updates, params: jax.tree.map(lambda update: update + 0.1, updates)
    )
    return optax.chain(optax.sgd(learning_rate), drift)


@pytest.mark.parametrize("make_optimizer", [optax.sgd, _drifting])
def test_without_a_bias_training_is_that_of_the_weights_alone(make_optimizer):
    """Also for a transformation whose updates are not 0 where the gradient is."""
    settings = interface.Settings(learning_rate=0.1, l2=0.01, bias=Bias.NONE)
    begin = start()._replace(bias=jnp.ones(3))
    solver = make(make_optimizer=make_optimizer)
    trained, _ = train(solver, settings, params=begin)
    np.testing.assert_array_equal(trained.bias, 0)
    assert np.abs(trained.weights - start().weights).max() > 0.01


def test_the_norm_of_a_gradient_without_a_bias_does_not_count_it():
    """A clipped gradient has its full length in the weights."""
    settings = interface.Settings(learning_rate=1.0, bias=Bias.NONE)
    solver = make(make_optimizer=_of_unit_length, batch_size=NUM_EXAMPLES)
    trained, _ = train(solver, settings, num_steps=1)
    moved = np.linalg.norm(trained.weights - start().weights)
    np.testing.assert_allclose(moved, 1e-3, rtol=1e-3)


def _of_unit_length(learning_rate):
    return optax.chain(optax.clip_by_global_norm(1e-3), optax.sgd(learning_rate))


def test_training_reaches_the_optimum_that_scikit_learn_finds():
    from sklearn.linear_model import LogisticRegression

    examples, l2 = raw_examples(), 0.05
    rows = (np.asarray(examples.features) - examples.normalization.mean) / 255.0
    rows = np.c_[rows, np.ones(NUM_EXAMPLES)]  # the bias trick
    model = LogisticRegression(
        C=1 / (l2 * NUM_EXAMPLES), fit_intercept=False, tol=1e-10, max_iter=10_000
    ).fit(rows, np.asarray(examples.targets))

    settings = interface.Settings(learning_rate=0.5, l2=l2)
    trained, _ = train(
        make(make_optimizer=optax.sgd, batch_size=NUM_EXAMPLES),
        settings,
        num_steps=800,
        steps_per_chunk=400,
    )
    folded = np.asarray(linear.fold_bias(trained))
    np.testing.assert_allclose(folded, model.coef_, atol=1e-4)


def _with_line_search(learning_rate):
    return optax.lbfgs(learning_rate)


OPTIMIZERS = [
    (optax.adam, 0.01),
    (optax.contrib.prodigy, 1.0),
    (_with_line_search, 1.0),
]


@pytest.mark.full
def test_any_optax_transformation():
    """Also those that keep the parameters in their state, or ask for the value."""
    for make_optimizer, rate in OPTIMIZERS:
        settings = interface.Settings(learning_rate=rate, l2=0.01)
        _, info = train(make(make_optimizer=make_optimizer), settings, num_steps=5)
        assert info[-1] < info[0], make_optimizer
