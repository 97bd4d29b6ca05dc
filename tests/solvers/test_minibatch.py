"""Minibatch training: what an epoch is, and what may change without a new program."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxlin import linear, losses, normalization, objective
from jaxlin.solvers import base, minibatch

NUM_EXAMPLES, BATCH_SIZE = 50, 8  # 50 = 6 * 8 + 2: the last batch is smaller


@functools.cache
def raw_problem():
    generator = np.random.default_rng(0)
    labels = np.arange(NUM_EXAMPLES, dtype=np.int32) % 3
    centers = generator.integers(0, 200, size=(3, 6))
    raw = centers[labels] + generator.integers(0, 55, size=(NUM_EXAMPLES, 6))
    raw = raw.astype(np.uint8)
    fitted = normalization.fit_centered(raw, scale=255.0)
    return base.Problem(jnp.asarray(raw), jnp.asarray(labels), None, fitted)


def momentum(learning_rate):
    return optax.sgd(learning_rate, momentum=0.9)


def make(loss=losses.softmax_cross_entropy, make_optimizer=momentum, **arguments):
    arguments = {"batch_size": BATCH_SIZE, **arguments}
    return minibatch.solver(loss=loss, make_optimizer=make_optimizer, **arguments)


def start(seed=0):
    return linear.init(jax.random.key(seed), num_classes=3, num_features=6, stddev=0.1)


def train(solver, settings, *, key=None, params=None, num_steps=4, problem=None, **how):
    key = jax.random.key(7) if key is None else key
    problem = raw_problem() if problem is None else problem
    params = start() if params is None else params
    initial = solver.init(params, problem, settings)
    infos = []
    for _, state, info in base.run(
        solver, key, initial, problem, settings, num_steps=num_steps, **how
    ):
        infos.append(np.asarray(info.loss))
        trained = state.params
    return jax.tree.map(np.asarray, trained), np.concatenate(infos)


def assert_trees_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_trees_close(a, b, rtol=1e-5, atol=1e-6):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b
    )


def order_of(epoch, key=None):
    key = jax.random.key(7) if key is None else key
    return np.asarray(minibatch._shuffled(jax.random.fold_in(key, epoch), NUM_EXAMPLES))


def test_an_epoch_visits_every_example_once_and_each_epoch_in_another_order():
    orders = [tuple(order_of(epoch)) for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(NUM_EXAMPLES))
    assert len(set(orders)) == 3


def test_orders_are_uniform():
    """Each example is equally often first: a chi-square test at the 1e-4 level."""
    from scipy.stats import chisquare

    keys = jax.random.split(jax.random.key(1), 5000)
    first = jax.vmap(lambda key: minibatch._shuffled(key, 5)[0])(keys)
    assert chisquare(np.bincount(first, minlength=5)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("batch_size", "weighted"), [(BATCH_SIZE, True), (BATCH_SIZE, False), (25, False)]
)
def test_an_epoch_equals_a_python_loop_over_its_batches(batch_size, weighted):
    """Plain gradient descent; the last, smaller batch is used with its own mean."""
    settings = base.Settings(learning_rate=0.3, l2=0.05)
    problem = raw_problem()
    weights = np.arange(NUM_EXAMPLES) % 4 / 1.0 if weighted else np.ones(NUM_EXAMPLES)
    if weighted:
        problem = problem._replace(example_weights=jnp.asarray(weights))
    solver = make(make_optimizer=optax.sgd, batch_size=batch_size)
    epochs = 2  # each in an order of its own
    trained, info = train(solver, settings, num_steps=epochs, problem=problem)

    template, bias = (np.asarray(leaf, np.float64) for leaf in start())
    rows = (np.asarray(problem.features) - problem.normalization.mean) / 255.0
    labels = np.asarray(problem.targets)
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
    weights = jnp.arange(NUM_EXAMPLES) % 4 / 1.0
    problem = raw_problem()._replace(example_weights=weights)
    settings = base.Settings(learning_rate=1e-3)
    solver = make(
        loss=losses.weston_watkins_hinge, make_optimizer=optax.sgd, batch_size=10
    )
    trained, _ = train(solver, settings, num_steps=1, problem=problem)
    moved = jax.tree.map(lambda a, b: (a - b) / -(5 * 1e-3), trained, start())

    def value(params):
        return objective.mean_loss(
            params,
            problem.features,
            problem.targets,
            loss=losses.weston_watkins_hinge,
            normalization=problem.normalization,
            example_weights=weights,
        )

    # No margin changes sign on so short a way, so the gradient is constant.
    assert_trees_close(moved, jax.grad(value)(start()), rtol=0, atol=5e-3)


def test_chunks_of_any_length_give_the_same_bits():
    settings = base.Settings(learning_rate=0.1, l2=0.01)
    one, one_info = train(make(), settings, num_steps=6)
    three, three_info = train(make(), settings, num_steps=6, steps_per_chunk=3)
    rest, rest_info = train(make(), settings, num_steps=6, steps_per_chunk=4)
    assert_trees_equal(one, three)
    assert_trees_equal(one, rest)
    np.testing.assert_array_equal(one_info, three_info)
    np.testing.assert_array_equal(one_info, rest_info)


def test_resuming_from_a_saved_state_gives_the_same_bits():
    solver, settings = make(), base.Settings(learning_rate=0.1, l2=0.01)
    key, problem = jax.random.key(7), raw_problem()
    whole, _ = train(solver, settings, num_steps=6)

    initial = solver.init(start(), raw_problem(), settings)
    for _, state, _ in base.run(solver, key, initial, problem, settings, num_steps=4):
        saved = jax.tree.map(np.asarray, state)
    loaded = jax.tree.map(jnp.asarray, saved)
    for _, state, _ in base.run(
        solver, key, loaded, problem, settings, num_steps=6, first_step=4
    ):
        resumed = jax.tree.map(np.asarray, state.params)
    assert_trees_equal(resumed, whole)


def grid_settings(margins=False):
    settings = base.Settings(
        learning_rate=jnp.array([0.1, 0.3, 0.1]), l2=jnp.array([0.0, 0.01, 0.1])
    )
    if margins:
        arguments = {"margin": jnp.array([0.5, 1.0, 2.0])}
        settings = settings._replace(loss_arguments=arguments)
    return settings


@pytest.mark.parametrize(
    "loss", [losses.softmax_cross_entropy, losses.weston_watkins_hinge]
)
def test_a_grid_equals_its_models_trained_alone(loss):
    margins = loss is losses.weston_watkins_hinge
    settings = grid_settings(margins)
    solver = make(loss=loss)
    grid, grid_info = train(base.map_settings(solver), settings)
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
    over_settings = base.map_settings(make())
    both, _ = train(base.map_seeds(over_settings), settings, key=keys, params=stacked)
    assert both.weights.shape == (2, 3, 3, 6)
    for s in range(2):
        alone, _ = train(over_settings, settings, key=keys[s], params=params[s])
        assert_trees_close(jax.tree.map(lambda leaf, s=s: leaf[s], both), alone)


def test_models_of_one_seed_share_their_batches():
    """Equal settings in one grid give equal models, bit for bit."""
    settings = base.Settings(learning_rate=jnp.full(3, 0.1), l2=jnp.full(3, 0.01))
    grid, _ = train(base.map_settings(make()), settings)
    for i in (1, 2):
        np.testing.assert_array_equal(grid.weights[i], grid.weights[0])


def test_the_features_of_a_grid_are_gathered_once():
    """No array of models x batch x features: one wide product serves all models."""
    solver = base.map_settings(make())
    settings = grid_settings()
    state = solver.init(start(), raw_problem(), settings)
    jaxpr = str(
        jax.make_jaxpr(solver.step)(
            jax.random.key(0), 0, state, raw_problem(), settings
        )
    )
    assert f"f32[{BATCH_SIZE},6]" in jaxpr
    assert f"f32[3,{BATCH_SIZE},6]" not in jaxpr


def test_uint8_features_are_never_copied_as_floats():
    solver, settings = make(), base.Settings(learning_rate=0.1, l2=0.01)
    state = solver.init(start(), raw_problem(), settings)
    jaxpr = str(
        jax.make_jaxpr(solver.step)(
            jax.random.key(0), 0, state, raw_problem(), settings
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
        settings = base.Settings(learning_rate, l2, None, {"margin": margin})
        train(solver, settings, key=jax.random.key(seed), params=start(seed))

    fit(0.1, 0.01, 1.0, 0)
    first = len(traces)
    others = [(0.2, 0.01, 1.0, 0), (0.1, 0, 1, 1), (jnp.float32(1), 0.01, 3.0, 2)]
    for values in others:
        fit(*values)
    # `init` is not compiled and makes an optimiser each time; the step is not retraced.
    assert len(traces) == first + 3


def test_l1_and_free_bias():
    settings = base.Settings(learning_rate=0.1, l1=10.0)
    trained, _ = train(
        make(make_optimizer=optax.sgd, penalize_bias=False), settings, num_steps=40
    )
    # So strong an l1 keeps every weight near zero, and leaves the bias alone.
    assert np.abs(trained.weights).max() <= 2 * 0.1 * 10.0
    penalized, _ = train(make(make_optimizer=optax.sgd), settings, num_steps=40)
    assert np.abs(trained.bias - penalized.bias).max() > 0.1


def test_training_reaches_the_optimum_that_scikit_learn_finds():
    from sklearn.linear_model import LogisticRegression

    problem, l2 = raw_problem(), 0.05
    rows = (np.asarray(problem.features) - problem.normalization.mean) / 255.0
    rows = np.c_[rows, np.ones(NUM_EXAMPLES)]  # the bias trick
    model = LogisticRegression(
        C=1 / (l2 * NUM_EXAMPLES), fit_intercept=False, tol=1e-10, max_iter=10_000
    ).fit(rows, np.asarray(problem.targets))

    settings = base.Settings(learning_rate=0.5, l2=l2)
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


def test_any_optax_transformation():
    """Also those that keep the parameters in their state, or ask for the value."""
    for make_optimizer, rate in OPTIMIZERS:
        settings = base.Settings(learning_rate=rate, l2=0.01)
        _, info = train(make(make_optimizer=make_optimizer), settings, num_steps=5)
        assert info[-1] < info[0], make_optimizer


def test_the_state_is_donated():
    solver, settings = make(), base.Settings(learning_rate=0.1)
    initial = solver.init(start(), raw_problem(), settings)
    run = base.run(
        solver, jax.random.key(0), initial, raw_problem(), settings, num_steps=1
    )
    next(run)
    assert initial.params.weights.is_deleted()


def test_the_callers_parameters_survive_donation():
    params = start()
    train(make(), base.Settings(learning_rate=0.1), params=params)
    assert np.isfinite(params.weights).all()


BAD_PROBLEMS = {
    "label too large": ({"targets": [0, 3]}, r"targets must lie in \[0, 2\], got 3"),
    "too few labels": ({"targets": [0]}, "one entry per example, got 1 for 2"),
    "nan": ({"features": [[np.nan], [0.0]]}, "features must be finite"),
    "negative weight": ({"example_weights": [1, -1]}, "example_weights must be .* 0"),
    "too many weights": ({"example_weights": np.ones(3)}, r"shape \(2,\), got"),
    "sums": ({"targets": [[0.5, 0.5, 0.5], [1, 0, 0]]}, "sum 1.5 at position 0"),
    "below zero": ({"targets": [[1, 0, 0], [1.5, -0.5, 0]]}, "minimum -0.5"),
    "one class": ({"num_classes": 1}, "num_classes must be at least 2"),
    "width": ({"normalization": normalization.identity(2)}, "for 1 features"),
}


@pytest.mark.parametrize(
    ("change", "message"), BAD_PROBLEMS.values(), ids=BAD_PROBLEMS.keys()
)
def test_bad_problems(change, message):
    good = {"features": [[1.0], [2.0]], "targets": [0, 2], "num_classes": 3}
    arguments = {**good, **change}
    rows, targets = arguments.pop("features"), arguments.pop("targets")
    with pytest.raises(ValueError, match=message):
        base.problem(rows, targets, **arguments)


def test_a_problem_with_soft_targets_and_weights():
    made = base.problem(
        np.eye(2, dtype=np.uint8),
        [[0.5, 0.5], [0.0, 1.0]],
        num_classes=2,
        example_weights=[1, 2],
        normalization=normalization.identity(2),
    )
    assert made.features.dtype == jnp.uint8
    np.testing.assert_array_equal(made.targets, [[0.5, 0.5], [0, 1]])
    np.testing.assert_array_equal(made.example_weights, [1, 2])


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
def test_batch_size_must_be_a_positive_integer(batch_size):
    with pytest.raises(ValueError, match="batch_size must be"):
        make(batch_size=batch_size)


def test_batch_size_must_not_exceed_the_number_of_examples():
    with pytest.raises(ValueError, match="batch_size must be at most 50, got 51"):
        train(make(batch_size=51), base.Settings(learning_rate=0.1))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"num_steps": -1}, "num_steps must be at least 0"),
        ({"num_steps": 2, "steps_per_chunk": 0}, "steps_per_chunk must be at least 1"),
        ({"num_steps": 2, "first_step": 3}, "first_step must be at most 2"),
    ],
)
def test_bad_step_numbers_are_refused_when_run_is_called(numbers, message):
    solver, settings = make(), base.Settings(learning_rate=0.1)
    with pytest.raises(ValueError, match=message):
        base.run(
            solver,
            jax.random.key(0),
            solver.init(start(), raw_problem(), settings),
            raw_problem(),
            settings,
            **numbers,
        )
