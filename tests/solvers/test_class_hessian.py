"""Class factor of the metric: mean Hessians of losses, kept or renewed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import losses
from jaxlin.losses import conjugates
from jaxlin.solvers import class_hessian


@pytest.mark.parametrize(
    ("is_weighted", "at_once"),
    [
        (False, None),
        (True, 8),
        pytest.param(True, None, marks=pytest.mark.full),
        pytest.param(False, 8, marks=pytest.mark.full),
    ],
)
def test_the_curvature_of_a_loss_is_its_mean_hessian(monkeypatch, is_weighted, at_once):
    """Weighted, and the same if few examples are held at once."""
    generator = np.random.default_rng(8)
    rows = generator.normal(size=(50, 4))
    weights = generator.normal(size=(3, 4))
    shares = generator.uniform(0, 2, size=50)
    p = np.exp(rows @ weights.T)
    p /= p.sum(axis=1, keepdims=True)
    hessians = p[:, :, None] * np.eye(3) - p[:, :, None] * p[:, None, :]

    # 9 numbers each; 7 parts of at most 8 examples leave 1 of the 50 over.
    limit, used = (400_000, 50) if at_once is None else (9 * at_once, 49)
    monkeypatch.setattr(class_hessian, "_NUMBERS_AT_ONCE", limit)

    @jax.jit
    def compiled(weights, sampled):
        return class_hessian.of_loss(
            losses.softmax_cross_entropy, weights, sampled, smoothing=jnp.float32(0)
        )

    def found(shares):
        sampled = class_hessian.SampledRows(
            np.float32(rows),
            np.arange(50) % 3,
            None if shares is None else np.float32(shares),
            np.zeros((50, 0), np.float32),
        )
        classes = compiled(np.float32(weights), sampled)
        vectors = np.asarray(classes.vectors, np.float64)
        return (vectors * np.asarray(classes.values)) @ vectors.T

    by = shares if is_weighted else np.ones(50)
    mean = np.average(hessians[:used], axis=0, weights=by[:used])
    mean += 1e-3 * np.linalg.eigvalsh(mean)[-1] * np.full((3, 3), 1 / 3)
    np.testing.assert_allclose(found(by if is_weighted else None), mean, atol=1e-5)
    if is_weighted:
        # A fold may leave nothing of the sample.
        assert np.isfinite(found(np.zeros(50))).all()


@pytest.mark.parametrize("loss", conjugates.known_losses())
def test_many_classes_have_the_diagonal_of_the_mean_hessian(monkeypatch, loss):
    """Against automatic differentiation, with and without weights."""
    generator = np.random.default_rng(9)
    num_rows, num_classes, conjugate = 40, 7, conjugates.of(loss)
    rows = np.float32(generator.normal(size=(num_rows, 5)))
    weights = np.float32(generator.normal(size=(num_classes, 5)))
    labels = generator.integers(0, num_classes, size=num_rows)
    # Half of the examples are right, some of them by more than the margin.
    labels[::2] = (rows @ weights.T).argmax(axis=1)[::2]
    targets = labels
    if loss is losses.cross_entropy:
        targets = np.float32(generator.dirichlet(np.ones(num_classes), size=num_rows))
    centers = generator.uniform(0, 0.1, size=(num_rows, num_classes))
    if conjugate.shift_invariant:
        centers[np.arange(num_rows), labels] = 0
    sampled = class_hessian.SampledRows(
        rows,
        jnp.asarray(targets),
        np.float32(generator.uniform(0, 2, size=num_rows)),
        np.float32(centers[:, : 0 if conjugate.smooth else None]),
    )
    monkeypatch.setattr(class_hessian, "LARGEST_DENSE", num_classes - 1)
    # Two parts of 20 rows.
    monkeypatch.setattr(class_hessian, "_DIAGONAL_NUMBERS_AT_ONCE", 150)

    def duals(scores, target, center):
        return conjugate.duals(scores, target, center, smoothing=0.7)

    def gradient(scores, target, center):
        return conjugate.score_gradient(target, duals(scores, target, center))

    @jax.jit
    def compared(weights, sampled):
        found = class_hessian.of_loss(
            loss, weights, sampled, smoothing=jnp.float32(0.7)
        )
        examples = (sampled.rows @ weights.T, sampled.targets, np.float32(centers))
        hessians = jax.vmap(jax.jacfwd(gradient))(*examples)
        return found, hessians, jax.vmap(duals)(*examples)

    found, hessians, of_rows = jax.tree.map(np.asarray, compared(weights, sampled))
    assert found.vectors is None
    mean = np.average(np.float64(hessians), axis=0, weights=sampled.weights)
    np.testing.assert_allclose(found.values, np.diagonal(mean), rtol=1e-5)
    if conjugate.cap == "sum":
        is_capped = of_rows.sum(axis=1) > 0.999
        assert 5 < is_capped.sum() < 35
    # A fold may leave nothing of the sample.
    nothing = sampled._replace(weights=np.zeros(num_rows, np.float32))
    assert (np.asarray(compared(weights, nothing)[0].values) > 0).all()


def matrix(classes):
    if classes.vectors is None:
        return np.diag(classes.values)
    return (classes.vectors * classes.values) @ classes.vectors.T


def renewed(when, classes, weights, sampled):
    return class_hessian.renewed(
        losses.softmax_cross_entropy,
        classes,
        weights,
        sampled,
        smoothing=jnp.ones(()),
        loss_arguments=None,
        when=when,
    )


@pytest.mark.parametrize("is_dense", [True, False])
def test_renewed_under_vmap_is_that_of_each_model(is_dense, monkeypatch):
    monkeypatch.setattr(class_hessian, "LARGEST_DENSE", 3 if is_dense else 2)
    generator = np.random.default_rng(0)
    sampled = class_hessian.SampledRows(
        np.float32(generator.normal(size=(40, 5))),
        np.arange(40) % 3,
        None,
        np.zeros((40, 3), np.float32),
    )
    weights = np.float32(generator.normal(size=(3, 3, 5)))
    known = jax.tree.map(
        lambda leaf: np.tile(leaf, (3,) + (1,) * leaf.ndim),
        class_hessian.identity(3, np.float32),
    )
    # Traced anew under the other limit.
    alone = jax.jit(lambda *arguments: renewed(*arguments))
    of_all = jax.jit(
        jax.vmap(lambda *arguments: renewed(*arguments), in_axes=(0, 0, 0, None))
    )
    of_loss = jax.jit(
        lambda weights: class_hessian.of_loss(
            losses.softmax_cross_entropy, weights, sampled, smoothing=jnp.ones(())
        )
    )
    fresh = [of_loss(weights[i]) for i in range(3)]
    for asked in ([True, False, True], [False] * 3, [True] * 3):
        together = of_all(np.array(asked), known, weights, sampled)
        for i, is_asked in enumerate(asked):
            old = jax.tree.map(lambda leaf, i=i: leaf[i], known)
            expected = fresh[i] if is_asked else old
            for found in (
                jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], together),
                alone(is_asked, old, weights[i], sampled),
            ):
                hessians = (
                    matrix(one) for one in jax.tree.map(np.asarray, (found, expected))
                )
                np.testing.assert_allclose(*hessians, rtol=1e-4, atol=1e-6)
