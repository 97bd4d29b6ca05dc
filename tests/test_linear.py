"""Scores, the bias trick and folded normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import linear, normalization

every_dtype = pytest.mark.parametrize(
    "dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64]
)


def random_params(dtype=jnp.float32, classes=4, width=6):
    params = linear.init(
        jax.random.key(3), num_classes=classes, num_features=width, stddev=1.0
    )
    bias = jax.random.normal(jax.random.key(4), (classes,))
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params._replace(bias=bias))


@every_dtype
def test_scores_equal_a_double_loop_in_the_dtype_of_the_weights(dtype):
    with jax.enable_x64(True):
        params = random_params(dtype)
        x = np.array([3, 0, 255, 17, 90, 1], np.uint8)
        scores = linear.scores(params, x)
        assert scores.dtype == dtype
        weights, bias = (np.asarray(leaf, np.float64) for leaf in params)
        expected = [
            sum(weights[c, d] * float(x[d]) for d in range(6)) + bias[c]
            for c in range(4)
        ]
        size = float(jnp.finfo(dtype).eps) * np.abs(weights).sum() * 255
        np.testing.assert_allclose(np.asarray(scores, np.float64), expected, atol=size)


def test_predict_takes_the_smallest_of_tied_labels():
    params = linear.Params(jnp.zeros((3, 2)), jnp.array([1.0, 2.0, 2.0]))
    assert linear.predict(params, jnp.ones(2)) == 1


@every_dtype
def test_init_draws_small_weights_of_the_dtype(dtype):
    with jax.enable_x64(True):
        params = linear.init(
            jax.random.key(0), num_classes=10, num_features=3000, dtype=dtype
        )
        assert params.weights.dtype == params.bias.dtype == dtype
        np.testing.assert_allclose(
            np.std(np.asarray(params.weights, np.float64)), 1e-4, rtol=0.05
        )
        assert not params.bias.any()


def test_same_key_same_weights():
    first, again, other = (
        linear.init(jax.random.key(seed), num_classes=2, num_features=3).weights
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_classes": 1, "num_features": 3}, "num_classes must be at least 2"),
        ({"num_classes": 2, "num_features": 0}, "num_features must be at least 1"),
        ({"num_classes": 2.0, "num_features": 3}, "num_classes must be an integer"),
    ],
)
def test_init_refuses_impossible_sizes(sizes, message):
    with pytest.raises(ValueError, match=message):
        linear.init(jax.random.key(0), **sizes)


def test_unfold_undoes_fold():
    params = random_params()
    again = linear.unfold_bias(linear.fold_bias(params))
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize("scale", [255.0, np.linspace(0.5, 4.0, 6)])
def test_folded_normalization_gives_the_same_scores_on_raw_features(scale):
    with jax.enable_x64(True):
        params = random_params(jnp.float64)
        fitted = normalization.Normalization(np.linspace(0, 200, 6), scale)
        raw = np.array([3, 0, 255, 17, 90, 1], np.uint8)
        folded = linear.fold_normalization(params, fitted)
        np.testing.assert_allclose(
            linear.scores(folded, raw),
            linear.scores(params, normalization.normalize(fitted, raw)),
            rtol=1e-12,
        )


def test_the_templates_are_the_best_unit_inputs():
    """Cauchy-Schwarz: no input of norm 1 scores higher than the template itself."""
    params = random_params()._replace(bias=jnp.zeros(4))
    others = jax.random.normal(jax.random.key(9), (200, 6))
    others /= jnp.linalg.norm(others, axis=1, keepdims=True)
    best_others = jax.vmap(linear.scores, (None, 0))(params, others).max(axis=0)
    for c, template in enumerate(params.weights):
        own = linear.scores(params, template / jnp.linalg.norm(template))[c]
        assert own >= best_others[c]


def test_another_width_is_named():
    params = linear.Params(jnp.eye(2), jnp.zeros(2))
    with pytest.raises(ValueError, match="features must have 2 entries, got 3"):
        linear.scores(params, jnp.ones(3))
    with pytest.raises(ValueError, match="one example.* jax.vmap"):
        jax.jit(linear.predict)(params, jnp.ones((5, 2)))
