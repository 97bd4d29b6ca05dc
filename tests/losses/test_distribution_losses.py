"""Losses of distributions: cross-entropy, divergence and entropy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references
from loss_batches import in_batches, of_batches, one_by_one, random_cases

from jaxlin import losses


def distributions(seed, count=42):
    generator = np.random.default_rng(seed)
    for i in range(count):
        classes = (2, 10)[i % 2]
        target = generator.dirichlet(np.full(classes, 0.5))
        target[generator.integers(classes)] = 0.0
        yield generator.normal(size=classes) * 3, target / target.sum()


@functools.cache
def of_targets(loss):
    """Value and gradients in scores and target of every case, compiled as a whole."""
    one = jax.vmap(jax.value_and_grad(loss, argnums=(0, 1)))

    def every(batches):
        return [(value, *slopes) for value, slopes in (one(*b) for b in batches)]

    return jax.jit(every)


def test_cross_entropy_equals_a_plain_loop():
    batches = in_batches(distributions(9))
    with jax.enable_x64(True):
        found = of_targets(losses.cross_entropy)(batches)
    for scores, target, value, *_ in one_by_one(batches, found):
        np.testing.assert_allclose(
            value, references.cross_entropy(scores, target), rtol=1e-12
        )


def test_cross_entropy_gradient_is_probability_minus_target():
    batches = in_batches(distributions(10))
    for loss in (losses.cross_entropy, losses.kl_divergence):
        with jax.enable_x64(True):
            found = of_targets(loss)(batches)
        for scores, target, _, gradient, _ in one_by_one(batches, found):
            expected = np.array(references.softmax(scores)) - target
            np.testing.assert_allclose(gradient, expected, atol=1e-13)


def test_cross_entropy_gradient_in_the_target_is_the_surprise_of_each_class():
    """Linear in the target: differences of a plain loop, and optax; zeros included."""
    batches = in_batches(distributions(16))
    each = jax.vmap(jax.grad(optax.losses.softmax_cross_entropy, argnums=1))
    with jax.enable_x64(True):
        found = of_targets(losses.cross_entropy)(batches)
        theirs = jax.jit(lambda batches: [(each(*batch),) for batch in batches])(
            batches
        )
    for scores, _, _, _, gradient, other in one_by_one(batches, found, theirs):
        one_hot_values = [
            references.cross_entropy(scores, row) for row in np.eye(len(scores))
        ]
        np.testing.assert_allclose(gradient, one_hot_values, rtol=1e-12)
        np.testing.assert_allclose(gradient, other, rtol=1e-12)


def test_gradients_in_the_target_where_it_is_zero_or_its_class_masked():
    """The derivative of t log t at 0 counts as 0; a masked class has none at all."""
    scores = np.array([1.0, 2.0, -1.0, -np.inf], np.float32)
    target = np.array([0.5, 0.5, 0, 0], np.float32)
    surprise = -np.log(references.softmax([1.0, 2.0, -1.0]))
    of_cross_entropy = [*surprise, 0.0]
    of_entropy = [np.log(2) - 1, np.log(2) - 1, 0.0, 0.0]
    for loss, expected in (
        (losses.cross_entropy, of_cross_entropy),
        (losses.kl_divergence, np.subtract(of_cross_entropy, of_entropy)),
    ):
        # Three times, as below: the program is the same.
        ((value, in_scores, in_target),) = of_targets(loss)(
            [(np.stack([scores] * 3), np.stack([target] * 3))]
        )
        assert np.isfinite(value).all()
        np.testing.assert_allclose(in_target[0], expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            in_scores[0],
            [*(np.array(references.softmax([1.0, 2.0, -1.0])) - [0.5, 0.5, 0]), 0],
            atol=1e-7,
        )
    slope = jax.jit(jax.grad(losses.entropy))(target)
    np.testing.assert_allclose(slope, of_entropy, rtol=1e-6)


def test_distillation_has_finite_gradients_where_the_teacher_is_sure():
    """Through a softmax that underflows, and through one with a masked class."""
    student = np.array([0.5, -1.0, 2.0], np.float32)
    teachers = np.array([[300.0, 0.0, 1.0], [1.0, 0.0, -np.inf]], np.float32)
    for loss in (losses.cross_entropy, losses.kl_divergence):

        def distilled(teacher, loss=loss):
            return loss(student, jax.nn.softmax(teacher))

        gradients = jax.jit(jax.vmap(jax.grad(distilled)))(teachers)
        assert np.isfinite(gradients).all()


def test_cross_entropy_of_a_one_hot_target_is_the_label_loss():
    batches = in_batches(random_cases(11))
    one_hot = [(scores, np.eye(scores.shape[1])[labels]) for scores, labels in batches]
    with jax.enable_x64(True):
        found = of_targets(losses.cross_entropy)(one_hot)
        expected = of_batches(losses.softmax_cross_entropy)(batches)
    for (value, *_), (other, _) in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-12, atol=1e-14)


def test_divergence_is_not_negative_and_zero_at_the_softmax():
    """Gibbs' inequality."""
    batches = in_batches(distributions(12))
    own = [
        (scores, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))
        for scores, _ in batches
    ]
    with jax.enable_x64(True):
        found, at_own = map(of_targets(losses.kl_divergence), (batches, own))
    for (value, *_), (zero, *_) in zip(found, at_own, strict=True):
        assert (np.asarray(value) > -1e-14).all()
        np.testing.assert_allclose(zero, 0, atol=1e-14)


def test_entropy_against_scipy():
    from scipy.stats import entropy

    batches = [target for _, target in in_batches(distributions(13))]
    found = jax.jit(lambda some: [jax.vmap(losses.entropy)(t) for t in some])(
        [target.astype(np.float32) for target in batches]
    )
    for target, values in zip(batches, found, strict=True):
        np.testing.assert_allclose(values, entropy(target, axis=1), rtol=1e-5)


def test_entropy_bounds():
    targets = np.stack([np.eye(8)[1], np.full(8, 1 / 8)]).astype(np.float32)
    least, greatest = jax.jit(lambda rows: [losses.entropy(row) for row in rows])(
        list(targets)
    )
    assert least == 0
    np.testing.assert_allclose(greatest, np.log(8), rtol=1e-6)


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.kl_divergence])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(jnp.float16, 32752), (jnp.bfloat16, 1e9), (jnp.float32, 1e9)],
)
def test_cross_entropy_is_finite_at_huge_scores_and_masked_classes(loss, dtype, size):
    target = np.array([0.5, 0.5, 0.0, 0.0]).astype(dtype)
    cases = [[size, 0.0, -size], [-size, size, 0.0], [1.0, 2.0, -np.inf]]
    cases = [[*scores, -np.inf] for scores in cases]
    scores = np.array(cases).astype(dtype)
    ((value, *gradients),) = of_targets(loss)([(scores, np.stack([target] * 3))])
    assert value.dtype == dtype
    assert np.isfinite(value).all()
    assert np.isfinite(gradients).all()
