"""Path of l2 in a sweep: starts on a line, and proofs at tiny l2 without float64."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxlin
from jaxlin import losses
from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.solvers import optimizer_state, regularization_path
from jaxlin.solvers.interface import Settings
from jaxlin.solvers.optimizer_state import PathPoint

LOSS = losses.softmax_cross_entropy
L2S = tuple(float(10.0**-power) for power in np.arange(0, 9.5, 0.5))


def separable():
    """Rows whose labels a linear classifier gets right by far."""
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=300)
    centers = 3 * generator.normal(size=(3, 20))
    return generator.normal(size=(300, 20)).astype(np.float32) + centers[labels], labels


def test_float32_proves_tiny_l2_of_separable_rows():
    """Objectives below 1e-6 are proven."""
    rows, labels = separable()
    problem = jaxlin.problem(rows.astype(np.float32), labels)
    found = jaxlin.sweep(problem, losses=(LOSS,), l2s=L2S, refine=False)
    assert found.converged.all()
    assert found.float64_passes.sum() == 0
    assert found.certificate.primal.min() < 1e-6
    # Four passes per model on average, at most.
    assert found.passes.sum() <= 4 * len(L2S)
    for fit in list(found)[::6]:
        exact = jaxlin.fit(
            problem, loss=LOSS, l2=fit.l2, stop=jaxlin.Stop(1e-9), refine=True
        )
        above = fit.certificate.primal - exact.certificate.primal
        assert above <= (1e-3 + 1e-5) * exact.certificate.primal
        assert fit.certificate.dual <= exact.certificate.primal


def state_at(weights, before, before_l2):
    """State of a softmax fit that has solved one model after another."""
    zeros = jaxlin.linear.Params(jnp.zeros((2, 2)), jnp.zeros(2))
    state = optimizer_state.start(LOSS, zeros, Settings(l2=1.0), num_examples=0)
    return state._replace(
        iterate=jnp.full((2, 3), weights),
        before=PathPoint(jnp.full((2, 3), before), jnp.float32(before_l2)),
    )


@pytest.mark.parametrize(
    ("before_l2", "l2", "change", "is_known"),
    [
        (1.0, 1e-2, 2.0, True),
        (1.0, 10**-1.5, 1.0, True),
        # A longer step is not trusted.
        (1.0, 1e-9, 2 * 2.0, True),
        # No model before, or none with a larger l2.
        (0.0, 1e-2, 0.0, False),
        (0.1, 1e-2, 0.0, False),
        (1.0, 0.5, 0.0, False),
    ],
)
def test_the_line_is_that_of_two_models_in_log_l2(before_l2, l2, change, is_known):
    """From weights 1 to 3 as l2 falls to 0.1."""
    found, exists = regularization_path._secant(
        state_at(3.0, 1.0, before_l2), previous_l2=jnp.float32(0.1), l2=jnp.float32(l2)
    )
    assert bool(exists) == is_known
    np.testing.assert_allclose(found, np.full((2, 3), change), rtol=1e-5)


@pytest.mark.parametrize(
    ("norm", "error", "forbids"),
    [
        # Far from the optimum the error may still shrink.
        (1e-3, 1e-4, False),
        # Near it e^2 / (2 l2) = 5e-7 is what float32 proves at best.
        (1e-5, 1e-4, True),
        (1e-6, 4e-5, False),
    ],
)
def test_rounding_forbids_gaps_below_the_square_of_the_error(norm, error, forbids):
    l2, gap = 1e-2, norm**2 / 2e-2
    rounding = (2 * norm + error) * error / (2 * l2)
    proof = Certificate(*map(jnp.float32, (1.0, 0.9, gap, rounding)))
    assert bool(duality.is_beyond_rounding(proof, relative_gap=2e-7)) == forbids
