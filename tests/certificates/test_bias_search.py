"""The minimiser over the bias alone, against the values that it minimises."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_problems import LOSSES

from jaxlin import losses
from jaxlin.certificates import bias_search, fenchel_young
from jaxlin.certificates.bias_search import BiasData
from jaxlin.losses import conjugates

CLASSES, EXAMPLES = 4, 60
SMOOTHING, MARGIN = 0.3, 0.8
every_loss = pytest.mark.parametrize("name", LOSSES)


def data_of(name, *, seed=0, dtype=np.float64, scale=3.0, first=0.25):
    """Noisy scores; class 0 has the share ``first`` of the labels, at least one."""
    generator = np.random.default_rng(seed)
    products = generator.normal(size=(CLASSES, EXAMPLES))
    noise = generator.normal(size=(CLASSES, EXAMPLES))
    labels = 1 + np.argmax((products + noise)[1:], axis=0)
    products *= scale
    labels[: max(1, round(first * EXAMPLES))] = 0
    weights = generator.uniform(0.1, 2, size=EXAMPLES)
    targets, centers = labels, np.zeros((EXAMPLES, 0))
    if name == "cross_entropy":
        targets = 0.9 * np.eye(CLASSES)[labels] + 0.1 / CLASSES
    if not conjugates.of(LOSSES[name]).smooth:
        # Duals of the right class are 0, and the sum is at most 1.
        centers = generator.dirichlet(np.ones(CLASSES + 1), size=EXAMPLES)[:, :-1]
        if name != "one_vs_rest_hinge":
            centers[np.arange(EXAMPLES), labels] = 0
    floats = (products, centers, weights)
    products, centers, weights = (jnp.asarray(one, dtype) for one in floats)
    targets = jnp.asarray(targets, dtype if targets.ndim == 2 else np.int32)
    arguments = {"margin": jnp.asarray(MARGIN, dtype)} if "hinge" in name else {}
    smoothing = jnp.asarray(SMOOTHING, dtype)
    return BiasData(products, targets, centers, weights, smoothing, arguments)


def mean_value(bias, data, *, name):
    """The smoothed loss, by the values of the conjugates alone."""
    conjugate = conjugates.of(LOSSES[name])

    def of_example(scores, target, center):
        target = fenchel_young.target_in_dtype(target, scores.dtype)
        center = jnp.zeros_like(scores) if conjugate.smooth else center
        options = {"smoothing": data.smoothing, **data.loss_arguments}
        duals = conjugate.duals(scores, target, center, **options)
        return conjugate.smoothed(scores, target, duals, center, **options)

    scores = (data.products + bias[:, None]).T
    values = jax.vmap(of_example)(scores, data.targets, data.dual_centers)
    return jnp.sum(values * data.example_weights) / jnp.sum(data.example_weights)


@every_loss
def test_no_other_bias_has_a_lower_value(name):
    with jax.enable_x64(True):
        data = data_of(name)
        found = bias_search.compiled_minimising_bias(
            jnp.zeros(CLASSES), data, loss=LOSSES[name]
        )
        found = found.bias
        value = jax.jit(jax.vmap(functools.partial(mean_value, data=data, name=name)))
        generator = np.random.default_rng(1)
        steps = generator.normal(size=(200, CLASSES))
        # A shift of all scores changes no value of most losses.
        steps *= 10.0 ** generator.uniform(-4, 1, size=(200, 1))
        values = np.asarray(value(jnp.concatenate([found[None], found[None] + steps])))
    assert values[0] <= values[1:].min() + 1e-15
    assert values[0] < values[1:].max() - 0.1


@every_loss
def test_score_gradients_sum_to_nothing_there(name):
    """In float32 to its rounding, from the start 0 and from near the result."""
    data = data_of(name, dtype=np.float32)
    search = functools.partial(bias_search.compiled_minimising_bias, loss=LOSSES[name])
    evaluate = jax.jit(bias_search._evaluation(data, loss=LOSSES[name]))
    found = search(jnp.zeros(CLASSES), data)
    for bias in (found.bias, search(found.bias + 0.01, data).bias):
        residual, size, _ = jax.device_get(evaluate(bias))
        assert np.abs(residual).sum() <= 2e-6 * size
    residual, size, _ = jax.device_get(evaluate(jnp.zeros(CLASSES)))
    assert np.abs(residual).sum() > 0.01 * size


@every_loss
def test_the_hessian_is_the_derivative_of_the_gradient(name):
    with jax.enable_x64(True):
        data = data_of(name, seed=2)
        evaluate = bias_search._evaluation(data, loss=LOSSES[name])
        bias = jnp.asarray(np.random.default_rng(3).normal(size=CLASSES))
        _, _, hessian = jax.jit(evaluate)(bias)
        expected = jax.jit(jax.jacfwd(lambda bias: evaluate(bias)[0]))(bias)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(hessian, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "cross_entropy"])
def test_the_hessian_keeps_its_digits_where_predictions_are_certain(name):
    """The probabilities' sums differ from those of their squares by less than 1e-7."""
    data = data_of(name, dtype=np.float32)
    best = jnp.argmax(data.products, axis=0)
    certain = data._replace(products=20 * jax.nn.one_hot(best, CLASSES).T)
    bias = jnp.asarray([0.0, 0.5, -0.5, 1.0])

    def hessian(dtype):
        cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), certain._asdict())
        cast["targets"] = certain.targets
        evaluate = bias_search._evaluation(BiasData(**cast), loss=LOSSES[name])
        return np.asarray(evaluate(bias.astype(dtype))[2])

    found = hessian(np.float32)
    assert 0 < np.abs(found).max() < 1e-7
    with jax.enable_x64(True):
        expected = hessian(np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "cross_entropy"])
@pytest.mark.parametrize("first", [0.3, 0.002])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_the_curvature_is_below_the_hessian(name, first, scale):
    """Along all directions, and not far below; with a rare class and large scores."""
    data = data_of(name, dtype=np.float32, scale=scale, first=first)
    found = bias_search.compiled_minimising_bias(
        jnp.zeros(CLASSES), data, loss=LOSSES[name]
    )
    bias, curvature = np.float64(found.bias), np.float64(found.curvature)
    scores = np.float64(data.products).T + bias[None, :]
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    shares = np.float64(data.example_weights) / np.sum(np.float64(data.example_weights))
    hessian = np.diag(shares @ probabilities)
    hessian -= (shares[:, None] * probabilities).T @ probabilities
    # The least value over m of the quadratic form of the curvature.
    below = np.diag(curvature) - np.outer(curvature, curvature) / curvature.sum()
    roots = 1 / np.sqrt(curvature)
    ratio = np.linalg.eigvalsh(roots[:, None] * (hessian - below) * roots[None, :])
    assert (curvature > 0).all()
    assert ratio[0] >= -1e-5
    # Halving finds half of the smallest eigenvalue that is not above a half.
    scaled = np.linalg.eigvalsh(
        hessian / np.sqrt(np.outer(hessian.diagonal(), hessian.diagonal()))
    )
    least = min(scaled[1], 0.5)
    assert (curvature >= 0.4 * least * hessian.diagonal()).all()


def test_the_curvature_is_unknown_for_hinges_and_in_float64():
    data = data_of("crammer_singer_hinge", dtype=np.float32)
    loss = LOSSES["crammer_singer_hinge"]
    found = bias_search.compiled_minimising_bias(jnp.zeros(CLASSES), data, loss=loss)
    assert not np.any(found.curvature)
    with jax.enable_x64(True):
        found = bias_search.compiled_minimising_bias(
            jnp.zeros(CLASSES),
            data_of("softmax_cross_entropy"),
            loss=losses.softmax_cross_entropy,
        )
        assert not np.any(found.curvature)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "crammer_singer_hinge"])
def test_rare_classes_and_examples_of_no_weight(name):
    """One example of a class in sixty, scores of 100, weights of 0 on anything."""
    with jax.enable_x64(True):
        data = data_of(name, scale=30.0, first=0.0)
        search = functools.partial(
            bias_search.compiled_minimising_bias, loss=LOSSES[name]
        )
        found = search(jnp.zeros(CLASSES), data)
        evaluate = jax.jit(bias_search._evaluation(data, loss=LOSSES[name]))
        found = found.bias
        residual, size, _ = evaluate(found)
        assert np.abs(residual).sum() <= 1e-10 * size
        weights = data.example_weights.at[1:20].set(0)
        changed = data._replace(example_weights=weights)
        same = search(jnp.zeros(CLASSES), changed).bias
        products = data.products.at[:, 1:20].set(jnp.inf)
        other = search(jnp.zeros(CLASSES), changed._replace(products=products)).bias
        found, same, other = jax.device_get((found, same, other))
    np.testing.assert_allclose(other - other.mean(), same - same.mean(), atol=1e-8)
    assert np.abs(found - same).max() > 1e-6


def test_without_features_the_bias_of_softmax_gives_the_shares():
    with jax.enable_x64(True):
        data = data_of("softmax_cross_entropy", scale=0.0, first=0.02)
        found = bias_search.compiled_minimising_bias(
            jnp.zeros(CLASSES), data, loss=losses.softmax_cross_entropy
        )
        found = jax.nn.softmax(found.bias)
    weights = np.asarray(data.example_weights)
    shares = np.bincount(data.targets, weights=weights) / weights.sum()
    np.testing.assert_allclose(found, shares, rtol=1e-6)
