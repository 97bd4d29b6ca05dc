"""Hessian of the mean loss in all scores, against derivatives by JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import losses
from jaxlin.losses import conjugates
from jaxlin.objective import row_products, score_hessian
from jaxlin.solvers import score_gradients

CLASSES, EXAMPLES, SMOOTHING = 4, 9, 0.7


def data(loss, scale=1.0):
    """Scores, targets and shares; one example has no weight."""
    generator = np.random.default_rng(3)
    scores = scale * generator.normal(size=(CLASSES, EXAMPLES))
    targets = generator.integers(CLASSES, size=EXAMPLES)
    if loss is losses.cross_entropy:
        targets = generator.dirichlet(np.ones(CLASSES), size=EXAMPLES)
    weights = np.r_[0, generator.uniform(1, 2, size=EXAMPLES - 1)]
    centers = generator.uniform(0, 0.3, size=(EXAMPLES, CLASSES))
    if not conjugates.of(loss).violations or conjugates.of(loss).smooth:
        centers = np.zeros((EXAMPLES, 0))
    elif loss is not losses.one_vs_rest_hinge:
        centers[np.arange(EXAMPLES), targets] = 0
    return scores, targets, weights / weights.sum(), centers


def hessian_of(loss, scores, targets, shares, centers, dtype):
    return score_gradients.hessian_of_mean_loss(
        loss,
        jnp.asarray(scores),
        jnp.asarray(targets),
        jnp.asarray(shares),
        jnp.asarray(centers),
        smoothing=jnp.asarray(SMOOTHING),
        loss_arguments=None,
        dtype=dtype,
    )


@pytest.mark.parametrize("loss", conjugates.known_losses(), ids=lambda f: f.__name__)
def test_products_and_mean_are_derivatives_of_the_gradient(loss):
    with jax.enable_x64(True):
        scores, targets, shares, centers = data(loss)
        of_all = centers if centers.size else np.zeros((EXAMPLES, CLASSES))
        gradients = score_gradients.of_mean_loss(
            loss,
            jnp.asarray(targets),
            jnp.asarray(shares),
            jnp.asarray(of_all),
            smoothing=jnp.asarray(SMOOTHING),
            loss_arguments=None,
        )
        hessian = hessian_of(loss, scores, targets, shares, centers, jnp.float64)
        changes = np.random.default_rng(4).normal(size=scores.shape)
        _, expected = jax.jvp(gradients, (jnp.asarray(scores.T),), (changes.T,))
        found = score_hessian.product(loss, hessian, jnp.asarray(changes))
        np.testing.assert_allclose(found.T, expected, atol=1e-14)
        assert np.abs(found).max() > 0.01
        columns = [
            jax.jvp(
                gradients,
                (jnp.asarray(scores.T),),
                (jnp.broadcast_to(unit, of_all.shape),),
            )[1].sum(axis=0)
            for unit in jnp.eye(CLASSES)
        ]
        np.testing.assert_allclose(
            score_hessian.mean(loss, hessian), np.stack(columns), atol=1e-14
        )


@pytest.mark.parametrize("loss", [losses.softmax_cross_entropy, losses.cross_entropy])
def test_float32_keeps_the_digits_of_certain_predictions(loss):
    """1 - p of a prediction of probability 1 - 1e-9 has none left in float32."""
    with jax.enable_x64(True):
        scores, targets, shares, centers = data(loss)
        scores[1] += 25
        changes = np.random.default_rng(4).normal(size=scores.shape)
        exact, found = (
            score_hessian.product(
                loss,
                hessian_of(loss, scores, targets, shares, centers, dtype),
                jnp.asarray(changes, dtype),
            )
            for dtype in (jnp.float64, jnp.float32)
        )
    assert found.dtype == jnp.float32
    assert np.abs(exact).max() < 1e-9
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-30)


@pytest.mark.parametrize("block_size", [None, 4, 9])
def test_combinations_of_rows_are_their_products(block_size):
    generator = np.random.default_rng(5)
    rows = generator.integers(256, size=(EXAMPLES, 3)).astype(np.uint8)
    coefficients = generator.normal(size=(CLASSES, EXAMPLES)).astype(np.float32)
    fitted = row_products.Normalization(jnp.full(3, 120.0), jnp.full(3, 60.0))
    found = row_products.combinations(
        jnp.asarray(coefficients),
        jnp.asarray(rows),
        normalization=fitted,
        block_size=block_size,
    )
    expected = coefficients @ ((rows - 120.0) / 60.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
