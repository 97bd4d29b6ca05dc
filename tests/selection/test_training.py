"""Training in minibatches: every model of a sweep is the one that is trained alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.normalization import Normalization
from jaxlin.selection import folds, training
from jaxlin.solvers import interface, minibatch

KEY = jax.random.key(0)
NUM_ROWS, NUM_FEATURES, NUM_CLASSES, EPOCHS = 40, 5, 3, 3
RATES, L2S, MARGINS = (0.05, 0.2), (0.0, 1e-1), (0.5, 1.0)
HINGE = losses.weston_watkins_hinge


@pytest.fixture(scope="module")
def data():
    key = np.random.default_rng(0)
    labels = np.arange(NUM_ROWS) % NUM_CLASSES
    rows = key.normal(3, 2, (NUM_ROWS, NUM_FEATURES)).astype(np.float32)
    return rows + np.eye(NUM_CLASSES, NUM_FEATURES, dtype=np.float32)[labels], labels


def problem_of(*data, **options):
    return jaxlin.problem(*data, classes=range(NUM_CLASSES), **options)


def arguments(**changes):
    return {
        "loss": HINGE,
        "make_optimizer": optax.sgd,
        "batch_size": 16,
        "num_epochs": EPOCHS,
        "learning_rates": RATES,
        "l2s": L2S,
        "loss_arguments": {"margin": MARGINS},
        "num_seeds": 2,
        **changes,
    }


@pytest.fixture(scope="module")
def scalings(data):
    rows, _ = data
    return [
        normalization.fit_centered(rows, scale=4.0),
        normalization.fit_standard(rows),
    ]


@pytest.fixture(scope="module")
def weights(data):
    fold_ids = folds.stratified_k_fold(KEY, data[1], num_folds=3)
    return folds.train_weights(fold_ids, num_folds=3)


@pytest.fixture(scope="module")
def trained(data, scalings, weights):
    return jaxlin.train(
        KEY,
        problem_of(*data),
        **arguments(),
        weight_sets=weights,
        normalizations=scalings,
    )


def test_prints_its_axes_and_losses(trained):
    last = trained.loss[-1]
    expected = (
        f"96 models (2 normalisations x 3 weight sets x 2 seeds x 8 settings), "
        f"{len(trained.loss)} epochs, last mean loss {last.min():.4g} to "
        f"{last.max():.4g}"
    )
    assert str(trained) == expected
    assert repr(trained) == f"TrainingResult({expected})"
    one = trained._replace(
        params=jax.tree.map(lambda leaf: leaf[:1, :1, :1, :1], trained.params),
        loss=trained.loss[:1, :1, :1, :1, :1],
    )
    assert str(one).startswith(
        "1 model (1 normalisation x 1 weight set x 1 seed x 1 setting), 1 epoch, last"
    )
    worse = trained._replace(loss=np.full_like(trained.loss, np.nan))
    assert str(worse).endswith("loss nan to nan, 96 diverged")


def test_every_model_is_the_one_that_is_trained_alone(data, scalings, weights, trained):
    solver = minibatch.solver(loss=HINGE, make_optimizer=optax.sgd, batch_size=16)
    settings = list(itertools.product(L2S, RATES, MARGINS))
    assert trained.shape == (2, 3, 2, len(settings))
    for place in itertools.product((0, 1), (0, 2), (0, 1), (0, 3, 6)):
        scaling, weight_set, seed, setting = place
        examples = problem_of(
            *data,
            weights=weights[weight_set],
            normalization=scalings[scaling]._replace(
                scale=np.broadcast_to(scalings[scaling].scale, NUM_FEATURES)
            ),
        ).examples
        l2, rate, margin = settings[setting]
        alone = interface.Settings(rate, l2, loss_arguments={"margin": margin})
        own = jax.random.fold_in(KEY, seed)
        params = linear.init(
            jax.random.fold_in(own, 0),
            num_classes=NUM_CLASSES,
            num_features=NUM_FEATURES,
        )
        state = solver.init(params, examples, alone)
        steps = interface.run(
            solver,
            jax.random.fold_in(own, 1),
            state,
            examples,
            alone,
            num_steps=EPOCHS,
            steps_per_chunk=EPOCHS,
        )
        ((_, state, info),) = steps
        np.testing.assert_allclose(
            trained.params.weights[place], state.params.weights, rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            trained.loss[(slice(None), *place)], info.loss, rtol=1e-5
        )


def test_settings_are_named_in_the_order_of_their_axis(trained):
    expected = np.array(list(itertools.product(L2S, RATES, MARGINS)))
    found = trained.settings
    columns = [found.l2, found.learning_rate, found.loss_arguments["margin"]]
    np.testing.assert_array_equal(np.stack(columns, axis=1), expected)


def test_accuracy_is_of_the_rows_held_out(data, scalings, weights, trained):
    rows, labels = data
    problem = problem_of(rows, labels)
    found = training.accuracies(trained, problem, held_out=1 - weights)
    assert found.shape == trained.shape
    assert found.min() < found.max()
    for place in np.ndindex(*trained.shape):
        mean, scale = scalings[place[0]]
        out = weights[place[1]] == 0
        scores = (rows[out] - mean) / scale @ trained.params.weights[place].T
        right = (scores + trained.params.bias[place]).argmax(axis=1) == labels[out]
        assert found[place] == pytest.approx(right.mean())


def test_without_weightings_all_models_are_tested_on_all_rows(data, scalings):
    problem = problem_of(*data, normalization=scalings[1])
    one = arguments(num_seeds=1)
    given = jaxlin.train(KEY, problem, **one)
    plain = problem_of(*data)
    swept = jaxlin.train(KEY, plain, **one, normalizations=scalings[1:])
    assert given.shape == (1, 1, 1, 8)
    np.testing.assert_array_equal(given.params.weights, swept.params.weights)
    np.testing.assert_array_equal(
        training.accuracies(given, problem),
        training.accuracies(swept, plain),
    )
    assert training.accuracies(given, problem).max() > 0.5


def test_raw_rows_need_no_normalization_and_more_seeds_keep_the_first(data):
    problem = problem_of(data[0] / 5, data[1])
    one = jaxlin.train(KEY, problem, **arguments(num_seeds=1))
    two = jaxlin.train(KEY, problem, **arguments(num_seeds=2))
    assert two.shape == (1, 1, 2, 8)
    np.testing.assert_allclose(
        two.params.weights[:, :, 0], one.params.weights[:, :, 0], rtol=1e-5, atol=1e-7
    )
    assert not np.allclose(two.loss[..., 0, :], two.loss[..., 1, :], rtol=1e-4)


@pytest.mark.parametrize("bias", ["free", "none"])
def test_a_bias_without_penalty_ends_at_the_optimum_of_its_objective(data, bias):
    """Full gradients: the gradient is 0 in the weights, and in a bias that is free."""
    rows = (data[0] - data[0].mean(axis=0)) / data[0].std(axis=0)
    rows += 0.5  # else the optimal bias would be near 0
    wide = arguments(
        loss=losses.softmax_cross_entropy,
        loss_arguments=None,
        batch_size=NUM_ROWS,
        num_epochs=300,
        learning_rates=(1.0,),
        l2s=(0.1,),
        num_seeds=1,
    )
    trained = jaxlin.train(KEY, problem_of(rows, data[1]), **wide, bias=bias)
    weights, own = (leaf[0, 0, 0, 0].astype(np.float64) for leaf in trained.params)
    odds = np.exp(rows @ weights.T + own)
    residual = odds / odds.sum(axis=1, keepdims=True) - np.eye(NUM_CLASSES)[data[1]]
    gradient = residual.T @ rows / NUM_ROWS + 0.1 * weights
    np.testing.assert_allclose(gradient, 0, atol=1e-5)
    if bias == "free":
        np.testing.assert_allclose(residual.mean(axis=0), 0, atol=1e-5)
        assert np.abs(own).max() > 1e-2  # a penalty would have left 0.1 * own
    else:
        np.testing.assert_array_equal(own, 0)
        assert np.abs(residual.mean(axis=0)).max() > 1e-3


def test_what_diverges_is_told(data):
    problem = problem_of(*data)
    # A step so large that the penalty alone drives weights away from 0.
    wide = {"learning_rates": (1e-4, 1e9), "l2s": (1e-2, 1e-1)}
    found = jaxlin.train(KEY, problem, **arguments(**wide, num_epochs=12, num_seeds=1))
    diverged = found.settings.learning_rate > 1
    np.testing.assert_array_equal(found.diverged[0, 0, 0], diverged)
    # Weights too: the loss of an epoch is of before its last update.
    broken = found._replace(loss=np.zeros_like(found.loss))
    np.testing.assert_array_equal(broken.diverged, found.diverged)


def test_new_values_of_everything_compile_nothing(data, scalings, weights, trained):
    compiled = interface._advance._cache_size()
    problem = problem_of(*data)
    jaxlin.train(
        jax.random.key(5),
        problem,
        **arguments(
            l2s=(1e-3, 1e-2),
            learning_rates=(0.01, 0.3),
            loss_arguments={"margin": (2.0, 3.0)},
        ),
        weight_sets=weights[::-1],
        normalizations=scalings[::-1],
    )
    assert interface._advance._cache_size() == compiled


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rates": ()}, "learning_rates must not be empty"),
        ({"learning_rates": (0.1, 0.0)}, r"learning_rates\[1\] must be above 0"),
        ({"l2s": (-1.0,)}, r"l2s\[0\] must be at least 0"),
        ({"l2s": (0.1, 0.1)}, "l2s must be distinct"),
        ({"bias": "fixed"}, "bias must be .*got 'fixed'"),
        ({"num_epochs": 0}, "num_epochs must be at least 1"),
        ({"num_seeds": 0}, "num_seeds must be at least 1"),
        ({"batch_size": 41}, "batch_size must be at most 40"),
        ({"loss_arguments": {"marign": (1.0,)}}, r"\(margin\), got 'marign'"),
        ({"weight_sets": np.ones(40)}, r"weight_sets must have shape \(sets, 40\)"),
        ({"weight_sets": np.zeros((1, 40))}, r"weight_sets\[0\]"),
        (
            {"weight_sets": np.eye(40)[:1]},
            r"weight_sets\[0\] must leave examples of at least two classes, got only",
        ),
        ({"normalizations": []}, "normalizations must not be empty"),
        (
            {"normalizations": [Normalization(np.zeros(3), 1.0)]},
            "normalization",
        ),
    ],
)
def test_bad_input_is_named(data, changes, message):
    problem = problem_of(*data)
    with pytest.raises(ValueError, match=message):
        jaxlin.train(KEY, problem, **arguments(**changes))


def test_keys_and_parts_that_do_not_fit_are_named(data, trained, weights):
    problem = problem_of(*data)
    with pytest.raises(ValueError, match=r"key must be a key, got 0; make one: jax"):
        jaxlin.train(0, problem, **arguments())
    with pytest.raises(ValueError, match="held_out must have 3 rows"):
        training.accuracies(trained, problem, held_out=jnp.asarray(weights[:2]))


@pytest.mark.parametrize("traced", ["key", "nothing"])
def test_training_is_not_traced(data, traced):
    problem = problem_of(*data)

    def train(key):
        return jaxlin.train(
            key if traced == "key" else KEY, problem, **arguments()
        ).loss

    with pytest.raises(ValueError, match="must be of concrete numbers, got a traced"):
        jax.jit(train)(KEY)


@pytest.mark.parametrize("classes", [["b", "c", "a"], ["a", "b"], ["a", "b", "c", "d"]])
def test_test_labels_of_other_classes_are_refused(classes):
    """Their codes would mean other classes, and the accuracies nothing."""
    rows = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    labels = np.array(["a", "b", "c"])[np.arange(12) % 3]
    trained = jaxlin.train(
        jax.random.key(0),
        jaxlin.problem(rows, labels),
        loss=losses.softmax_cross_entropy,
        make_optimizer=optax.sgd,
        batch_size=4,
        num_epochs=1,
        learning_rates=(0.1,),
        l2s=(1e-2,),
    )
    known = np.isin(labels, classes)
    other = jaxlin.problem(rows[known], labels[known], classes=classes)
    with pytest.raises(ValueError, match="problem must have the classes of the train"):
        training.accuracies(trained, other)
    same = jaxlin.problem(rows[:2], labels[:2], classes=trained.classes)
    assert training.accuracies(trained, same).shape == (1, 1, 1, 1)
