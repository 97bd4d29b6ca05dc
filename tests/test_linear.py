"""Scores, the bias trick and folded normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import linear, normalization

every_dtype = pytest.mark.parametrize(
    "dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64]
)


scores_of = jax.jit(linear.scores)


def random_params(dtype=jnp.float32, classes=4, width=6):
    draw = np.random.default_rng(3)
    params = linear.Params(
        draw.normal(size=(classes, width)), draw.normal(size=classes)
    )
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


@every_dtype
def test_scores_equal_a_double_loop_in_the_dtype_of_the_weights(dtype):
    with jax.enable_x64(True):
        params = random_params(dtype)
        x = np.array([3, 0, 255, 17, 90, 1], np.uint8)
        scores = scores_of(params, x)
        assert scores.dtype == dtype
        weights, bias = (np.asarray(leaf, np.float64) for leaf in params)
        expected = [
            sum(weights[c, d] * float(x[d]) for d in range(6)) + bias[c]
            for c in range(4)
        ]
        size = float(jnp.finfo(dtype).eps) * np.abs(weights).sum() * 255
        np.testing.assert_allclose(np.asarray(scores, np.float64), expected, atol=size)


def test_predict_takes_the_smallest_of_tied_labels():
    params = linear.Params(np.zeros((3, 2), np.float32), np.float32([1, 2, 2]))
    assert int(jax.jit(linear.predict)(params, np.ones(2, np.float32))) == 1


@pytest.mark.parametrize(
    "dtype",
    [
        jnp.float32,
        jnp.bfloat16,
        pytest.param(jnp.float16, marks=pytest.mark.full),
        pytest.param(jnp.float64, marks=pytest.mark.full),
    ],
)
def test_init_draws_small_weights_of_the_dtype(dtype):
    with jax.enable_x64(True):
        params = linear.init(
            jax.random.key(0), num_classes=10, num_features=3000, dtype=dtype
        )
        assert params.weights.dtype == params.bias.dtype == dtype
        np.testing.assert_allclose(
            np.std(np.asarray(params.weights, np.float64)), 1e-4, rtol=0.05
        )
        assert not np.asarray(params.bias).any()


def test_same_key_same_weights():
    first, again, other = (
        linear.init(jax.random.key(seed), num_classes=2, num_features=3).weights
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).any()


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
    again = jax.jit(lambda own: linear.unfold_bias(linear.fold_bias(own)))(params)
    jax.tree.map(np.testing.assert_array_equal, again, params)


@pytest.mark.parametrize("scale", [255.0, np.linspace(0.5, 4.0, 6)])
def test_folded_normalization_gives_the_same_scores_on_raw_features(scale):
    with jax.enable_x64(True):
        params = random_params(jnp.float64)
        fitted = normalization.Normalization(np.linspace(0, 200, 6), scale)
        raw = np.array([3, 0, 255, 17, 90, 1], np.uint8)

        @jax.jit
        def both(params, fitted, raw):
            folded = linear.fold_normalization(params, fitted)
            row = normalization.normalize(fitted, raw)
            return linear.scores(folded, raw), linear.scores(params, row)

        of_raw, of_normalized = both(params, fitted, raw)
        np.testing.assert_allclose(of_raw, of_normalized, rtol=1e-12)


def test_the_templates_are_the_best_unit_inputs():
    """Cauchy-Schwarz: no input of norm 1 scores higher than the template itself."""
    params = random_params()._replace(bias=np.zeros(4, np.float32))
    others = np.random.default_rng(9).normal(size=(200, 6)).astype(np.float32)
    inputs = np.concatenate([params.weights, others])
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    scores = np.asarray(jax.jit(jax.vmap(linear.scores, (None, 0)))(params, inputs))
    assert (np.diagonal(scores) >= scores[4:].max(axis=0)).all()


def test_another_width_is_named():
    params = linear.Params(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))
    with pytest.raises(ValueError, match="features must have 2 entries, got 3"):
        linear.scores(params, np.ones(3, np.float32))
    with pytest.raises(ValueError, match="one example.* jax.vmap"):
        jax.jit(linear.predict)(params, np.ones((5, 2), np.float32))
