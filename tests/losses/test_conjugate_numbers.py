"""Conjugates as programs: digits, dtypes, vmap, platforms, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
import scipy.special
from conjugate_problems import cases, every_entry, everything, over_dtypes, over_sizes

from jaxlin import losses
from jaxlin.losses import conjugates

PLATFORMS = ("cpu", "cuda", "tpu")


pytestmark = pytest.mark.usefixtures("float64")


# In each the excess is far smaller than what its definition adds and subtracts.
CLOSE_CALLS = {
    "weston_watkins_hinge": ([1000.0, 999.004, 990.0], 0, [0.0, 0.4, 0.0]),
    "weston_watkins_squared_hinge": ([1000.0, 1000.5, 990.0], 0, [0.0, 3.01, 0.0]),
    "crammer_singer_hinge": ([1000.0, 1000.2, 1000.199], 0, [0.0, 0.3, 0.7]),
    "one_vs_rest_hinge": ([-1000.3, -900.0, -0.9999], 0, [0.9999999, 0.0, 0.3]),
    "softmax_cross_entropy": ([0.6932, 0.0, 0.0005], 0, [0.5, 0.25, 0.25]),
    "cross_entropy": ([0.6932, 0.0, 0.0005], [0.5, 0.5, 0.0], [0.5, 0.25, 0.25]),
}


@every_entry
def test_excess_keeps_digits_in_float32_that_its_definition_loses(entry):
    scores, target, duals = CLOSE_CALLS[entry.loss.__name__]
    if isinstance(target, list):
        target = np.asarray(target, np.float32)

    @jax.jit
    def by_definition(scores, duals):
        value = entry.conjugate.value(target, duals)
        inner = jnp.sum(scores * entry.conjugate.score_gradient(target, duals))
        return entry.loss(scores, target) + value - inner

    narrow = [np.asarray(array, np.float32) for array in (scores, duals)]
    exact = float(by_definition(*[array.astype(np.float64) for array in narrow]))
    lost = abs(float(by_definition(*narrow)) - exact)
    scores, duals = narrow
    excess = jax.jit(entry.conjugate.excess)(scores, target, duals)
    assert excess.dtype == jnp.float32
    error = abs(float(excess) - exact)
    assert error < 1e-3 * exact
    assert lost > 5 * error
    assert lost > 1e-3 * exact


def test_divergence_agrees_with_fifty_decimal_digits():
    generator = np.random.default_rng(11)
    excess_of = jax.jit(conjugates.softmax_cross_entropy.excess)
    for i in range(150):
        classes = (3, 10)[i % 2]
        scores = generator.normal(size=classes) * 10 ** generator.uniform(-2, 1.5)
        moved = generator.normal(size=classes) * 10 ** generator.uniform(-6, 1.5)
        q = scipy.special.softmax(scores + moved)
        if i % 4 == 0:
            q[generator.integers(classes)] = 0
        excess = excess_of(scores, 0, q)
        exact = references.divergence_from_softmax(scores, q)
        np.testing.assert_allclose(excess, exact, rtol=1e-6)


def test_a_probability_too_small_for_a_logarithm_counts_as_zero():
    scores, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
    both = jax.jit(jax.value_and_grad(conjugates.cross_entropy.excess))
    for smallest in (0, 1e-45, 1e-40, 1.2e-38):
        q = np.array([smallest, 1], np.float32)
        value, gradient = both(scores, ones, q)
        np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
        np.testing.assert_allclose(gradient, [0.5, -0.5], rtol=1e-6)


@every_entry
@over_sizes
def test_gradient_of_the_excess_is_gradient_of_the_loss_less_the_point(entry, sizes):
    """Also where a probability is 0, and at scores whose exponentials overflow."""

    @jax.jit
    def both(scores, target, duals):
        excess = functools.partial(entry.conjugate.excess, **entry.arguments)
        loss = functools.partial(entry.loss, **entry.arguments)
        point = entry.conjugate.score_gradient(target, duals)
        slope = jax.grad(excess)(scores, target, duals)
        return slope, jax.grad(loss)(scores, target) - point

    for scores, target, _, duals in cases(entry, 12, sizes, scales=(0.3, 3.0, 900.0)):
        slope, expected = both(scores, target, duals)
        np.testing.assert_allclose(slope, expected, atol=1e-12)


def batch(entry, dtype, classes=4, count=3):
    generator = np.random.default_rng(13)
    targets = [entry.target(generator, classes)[1] for _ in range(count)]
    targets = np.asarray(targets)
    if targets.dtype == np.float64:
        targets = targets.astype(dtype)
    scores, dual_centers = generator.normal(size=(2, count, classes))
    return scores.astype(dtype), targets, dual_centers.astype(dtype)


@over_dtypes(jnp.bfloat16, jnp.float32)
def test_vmap_under_jit_equals_a_loop_and_keeps_the_dtype(entry, dtype):
    traces = []
    alone = jax.jit(lambda *rest: everything(entry, *rest))

    @jax.jit
    def mapped(scores, targets, dual_centers, smoothing, arguments):
        traces.append(None)
        return jax.vmap(
            lambda s, t, c: everything(entry, s, t, c, smoothing, arguments)
        )(scores, targets, dual_centers)

    rows = batch(entry, dtype)
    for smoothing, margin in ((0.5, 1.0), (2.0, 0.25)):
        # A float32 setting must not widen a bfloat16 result.
        smoothing = np.float32(smoothing)
        arguments = {"margin": np.float32(margin)} if entry.arguments else {}
        together = jax.tree.map(np.asarray, mapped(*rows, smoothing, arguments))
        for i, row in enumerate(zip(*rows, strict=True)):
            single = alone(*row, smoothing, arguments)
            for one, many in zip(single, together, strict=True):
                assert one.dtype == many.dtype == dtype
                digits = 20 * float(jnp.finfo(dtype).eps)
                np.testing.assert_allclose(
                    np.asarray(one, np.float64),
                    np.asarray(many[i], np.float64),
                    rtol=digits,
                    atol=digits,
                )
    assert len(traces) == 1


@every_entry
def test_lowers_for_every_platform(entry):
    scores, targets, dual_centers = batch(entry, jnp.float32)

    def mapped(scores, targets, dual_centers, smoothing):
        return jax.vmap(
            lambda s, t, c: everything(entry, s, t, c, smoothing, entry.arguments)
        )(scores, targets, dual_centers)

    exported = jax.export.export(jax.jit(mapped), platforms=PLATFORMS)(
        scores, targets, dual_centers, np.float32(1)
    )
    assert exported.platforms == PLATFORMS


@every_entry
def test_vectors_of_other_lengths_are_refused_while_tracing(entry):
    scores, longer = jnp.zeros(3), jnp.zeros(4)
    target = jnp.ones(3) / 3 if entry.loss is losses.cross_entropy else 0
    conjugate = entry.conjugate
    with pytest.raises(AssertionError):
        conjugate.excess(scores, target, longer)
    if not conjugate.smooth:
        with pytest.raises(AssertionError):
            conjugate.duals(scores, target, longer, smoothing=1.0)
        with pytest.raises(AssertionError):
            conjugate.smoothed(scores, target, scores, longer, smoothing=1.0)
