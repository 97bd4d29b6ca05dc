"""Rounding of the Fenchel-Young terms of smooth losses, against float64 by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import losses
from jaxlin.certificates import fenchel_young

MARGIN = 0.7


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def excess(loss, scores, computed, label):
    """Loss at scores, plus conjugate, minus product, at the duals of other scores."""
    if loss is losses.weston_watkins_squared_hinge:
        wrong = np.arange(len(scores)) != label
        violations, of_duals = (
            (MARGIN + some - some[label])[wrong] for some in (scores, computed)
        )
        duals = 2 * np.maximum(of_duals, 0)
        value = np.sum(np.maximum(violations, 0) ** 2)
        return (
            value
            + np.sum(duals * (duals / 4 - MARGIN))
            - np.sum(duals * (violations - MARGIN))
        )
    given, exact = softmax(computed), softmax(scores)
    ratio = np.log(exact) - np.log(given)
    return np.sum(given * (np.expm1(ratio) - ratio))


@pytest.mark.parametrize(
    "loss",
    [
        losses.softmax_cross_entropy,
        losses.cross_entropy,
        losses.weston_watkins_squared_hinge,
    ],
    ids=lambda loss: loss.__name__,
)
def test_errors_of_scores_hide_no_more_than_the_bound(loss):
    """For errors from 1e-5 to 1, doubtful examples and those that are right by far."""
    generator = np.random.default_rng(0)
    arguments = (
        {"margin": MARGIN} if loss is losses.weston_watkins_squared_hinge else {}
    )
    bound_of = jax.jit(
        jax.vmap(
            lambda scores, target, error: fenchel_young._smooth_excess_error(
                loss, scores, target, error, arguments
            )
        )
    )
    count, num_classes = 2000, 4
    errors = 10.0 ** generator.uniform(-5, 0, size=count)
    scales = 10.0 ** generator.uniform(-1, 1.3, size=(count, 1))
    scores = scales * generator.normal(size=(count, num_classes))
    shifts = errors[:, None] * generator.choice([-1, 1, 0.3], size=scores.shape)
    labels = generator.integers(num_classes, size=count)
    targets = jnp.asarray(labels)
    if loss is losses.cross_entropy:
        targets = jnp.asarray(generator.dirichlet(np.ones(num_classes), size=count))
    # The scores of a pass are those with errors.
    computed = np.float64(np.float32(scores + shifts))
    bounds = bound_of(jnp.asarray(computed, jnp.float32), targets, errors)
    assert np.isfinite(bounds).all()
    for i in range(count):
        hidden = excess(loss, scores[i], computed[i], labels[i])
        assert hidden <= bounds[i] + 1e-12, (scores[i], errors[i])


def test_certain_predictions_hide_next_to_nothing():
    """The bound falls with the loss: what a proof at a tiny l2 needs."""

    def bound(loss, scores, label, **arguments):
        return float(
            fenchel_young._smooth_excess_error(
                loss,
                jnp.array(scores),
                jnp.int32(label),
                jnp.float32(1e-3),
                arguments,
            )
        )

    certain, doubtful = [20.0, 0.0, -3.0], [0.3, 0.0, -3.0]
    softmax, squared = losses.softmax_cross_entropy, losses.weston_watkins_squared_hinge
    for label in range(3):
        assert bound(softmax, certain, label) <= 1e-12
        assert bound(softmax, doubtful, label) > 1e-6
    # The square hides nothing where no class violates the margin.
    assert bound(squared, certain, 0, margin=1.0) == 0
    assert bound(squared, certain, 1, margin=1.0) > 1e-6
