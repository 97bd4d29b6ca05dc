"""Distance of a free bias from the optimum: rare classes, rows as a pass has them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest

from jaxlin import linear, losses
from jaxlin.certificates import bias_bounds, bias_search, certification, duality
from jaxlin.certificates.bias_search import BiasData
from jaxlin.normalization import Normalization

EXAMPLES, WIDTH, CLASSES, L2 = 40, 3, 3, 0.1
SOFTMAX = losses.softmax_cross_entropy


@functools.cache
def examples():
    """Rows that float32 holds, and labels of every class."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
    rows[:, 0] += np.arange(EXAMPLES) % CLASSES
    return rows, np.arange(EXAMPLES) % CLASSES


def optimum(rows, labels, weights):
    """Optimal parameters with a free bias, float64, and their objective."""
    data = optima.Data(
        np.c_[np.float64(rows), np.ones(EXAMPLES)],
        labels,
        np.float64(weights) / np.float64(weights).sum(),
        CLASSES,
        "softmax_cross_entropy",
        L2,
    )
    best = optima.free_optimum(data)
    return linear.unfold_bias(jnp.asarray(best.weights)), best.value


def distance_to(best, params):
    """Distance of two biases, shifted to the same sum."""
    difference = np.float64(params.bias) - np.float64(best.bias)
    return np.linalg.norm(difference - difference.mean())


def with_own_bias(weights, rows, labels, example_weights):
    """Parameters with the bias that minimises the objective, float64."""
    with jax.enable_x64(True):
        data = BiasData(
            weights @ np.float64(rows).T,
            labels,
            np.zeros((EXAMPLES, 0)),
            example_weights,
            jnp.zeros(()),
            {},
        )
        found = bias_search.compiled_minimising_bias(
            jnp.zeros(CLASSES), data, loss=SOFTMAX
        )
        return linear.Params(weights, np.asarray(found.bias))


def bound(params, rows, **changes):
    arguments = {
        "example_weights": None,
        "normalization": None,
        "certificate_gap": 1e-6,
        "rounding": 0.0,
        "l2": L2,
        **changes,
    }
    return bias_bounds.bias_distance(params, rows, **arguments)


@pytest.mark.parametrize("weight", [1e-2, 1e-4, 1e-6])
def test_the_bias_of_a_rare_class_is_within_its_distance(weight):
    """The curvature along its bias is about its share, and the distance larger."""
    rows, labels = examples()
    weights = np.where(labels == 2, weight, 1.0)
    with jax.enable_x64(True):
        best, value = optimum(rows, labels, weights)
        best = jax.device_get(best)
    generator = np.random.default_rng(1)
    # The dense optimum is known to 1e-8 of its value.
    known, bounds = 1e-8 * value, []
    for scale in (1e-6, 1e-3, 0.1):
        moved = best.weights + scale * generator.normal(size=best.weights.shape)
        params = with_own_bias(moved, rows, labels, weights)
        proof = certification.certificate(
            params,
            rows,
            labels,
            loss=SOFTMAX,
            l2=L2,
            bias="free",
            example_weights=weights,
        )
        gap = float(duality.bound(proof)) + known
        found = bound(params, rows, example_weights=weights, certificate_gap=gap)
        assert distance_to(best, params) <= found, scale
        # Rounding counts no less than a gap of its size.
        in_parts = {"certificate_gap": gap / 2, "rounding": gap / 2}
        assert bound(params, rows, example_weights=weights, **in_parts) > found
        bounds.append(found * np.sqrt(weight) / np.sqrt(2 * gap / L2))
    # About the distance of the weights over the square root of the share.
    assert 1 <= bounds[0] <= 4


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_the_distance_is_that_of_the_normalised_rows_of_a_pass(offset):
    """A float32 pass normalises in float32, the distance in float64."""
    rows, labels = examples()
    raw = rows + np.float32(offset)
    fitted = Normalization(raw.mean(axis=0), raw.std(axis=0))
    in_pass = (raw - fitted.mean) / fitted.scale
    assert in_pass.dtype == np.float32
    with jax.enable_x64(True):
        best, value = optimum(in_pass, labels, np.ones(EXAMPLES))
        best = jax.device_get(best)
    params = jax.tree.map(np.float32, best)
    proof = certification.certificate(
        params, raw, labels, loss=SOFTMAX, l2=L2, bias="free", normalization=fitted
    )
    gap, rounding = float(proof.gap) + 1e-8 * value, float(proof.rounding)
    of_gap = {"certificate_gap": gap, "rounding": rounding}
    found = bound(params, raw, normalization=fitted, **of_gap)
    assert distance_to(best, params) <= found
    np.testing.assert_allclose(found, bound(params, in_pass, **of_gap), rtol=1e-5)


@pytest.mark.parametrize("is_normalised", [True, False])
def test_float64_rows_are_rounded_as_a_float32_pass_rounds_them(is_normalised):
    rows, _ = examples()
    generator = np.random.default_rng(2)
    params = linear.Params(*map(np.float32, (rows[:CLASSES], np.zeros(CLASSES))))
    raw = rows + generator.normal(size=(EXAMPLES, WIDTH))
    fitted = Normalization(np.ones(WIDTH), np.ones(WIDTH)) if is_normalised else None
    rounded = np.float32(raw - 1.0 if is_normalised else raw)
    found = bound(params, raw, normalization=fitted)
    assert 0 < found < np.inf
    assert found == bound(params, rounded)
    # A float64 pass has all digits.
    precise = linear.Params(*map(np.float64, params))
    assert bound(precise, raw, normalization=fitted) != bound(precise, rounded)


def test_a_curvature_that_rounding_may_have_made_proves_nothing():
    """One class has a probability of 1e-35 everywhere, and its bias no digit."""
    rows, _ = examples()
    generator = np.random.default_rng(3)
    for _ in range(20):
        weights = 0.1 * generator.normal(size=(CLASSES, WIDTH))
        params = linear.Params(weights, np.array([0.0, 0.3, -80.0]))
        assert bound(params, rows, certificate_gap=1e-30) == np.inf
