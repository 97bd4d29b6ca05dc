"""Newton's method: its Hessian, and fits that float32 cannot finish."""

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from fitting_problems import EXAMPLES, SOFTMAX, data, extended, fit, folded, problem

import jaxlin
from jaxlin import losses, normalization
from jaxlin.losses import conjugates
from jaxlin.solvers import full_hessian, newton
from jaxlin.solvers.interface import Examples

# By default; the others take long.
DEFAULT = losses.one_vs_rest_hinge
CERTIFIED = [loss for loss in conjugates.known_losses() if loss != losses.cross_entropy]


@pytest.mark.parametrize(
    "loss",
    [
        loss
        if loss is losses.one_vs_rest_hinge
        else pytest.param(loss, marks=pytest.mark.full)
        for loss in conjugates.known_losses()
    ],
)
def test_the_hessian_is_the_derivative_of_the_gradient(loss, monkeypatch):
    """Against differences of the gradient of the smoothed loss, by classes and rows."""
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(13, 3))
    targets = generator.integers(3, size=13)
    if loss is losses.cross_entropy:
        targets = generator.dirichlet(np.ones(3), size=13)
    share = generator.uniform(0, 2, size=13)
    centers = generator.uniform(0, 0.3, size=(13, 3))
    fitted = normalization.Normalization(rows.mean(axis=0), rows.std(axis=0))
    weights = generator.normal(size=(3, 4))
    conjugate, smoothing = conjugates.of(loss), 0.7
    extended_rows = extended((rows - fitted.mean) / fitted.scale)
    monkeypatch.setattr(full_hessian, "_NUMBERS_PER_BLOCK", 5 * 6 * 4)  # three blocks
    with jax.enable_x64(True):

        @jax.jit
        def gradient(weights):
            def of_row(row, target, center):
                scores = weights @ row
                duals = conjugate.duals(scores, target, center, smoothing=smoothing)
                return jnp.outer(conjugate.score_gradient(target, duals), row)

            each = jax.vmap(of_row)(extended_rows, targets, centers)
            return jnp.tensordot(share, each, axes=1) / share.sum()

        expected, step = np.empty((12, 12)), 1e-6
        for unknown in range(12):
            shift = np.zeros(12)
            shift[unknown] = step
            shift = shift.reshape(3, 4)
            change = gradient(weights + shift) - gradient(weights - shift)
            expected[unknown] = np.ravel(change) / (2 * step)
        found = full_hessian.full_hessian(
            jnp.asarray(weights),
            Examples(
                jnp.asarray(rows), jnp.asarray(targets), jnp.asarray(share), fitted
            ),
            jnp.asarray(centers),
            jnp.asarray(smoothing),
            {},
            loss=loss,
        )
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert np.abs(expected).max() > 0.1


@pytest.mark.full
@pytest.mark.parametrize("loss", CERTIFIED)
@pytest.mark.parametrize("l2", [1e-1, 1e-4])
def test_small_problems_are_proven_to_ten_digits(loss, l2):
    rows, labels = data(3)
    found = jaxlin.fit(problem(3), loss=loss, l2=l2, stop=jaxlin.Stop(1e-9))
    assert found.converged
    assert found.float64_passes > 0 or conjugates.of(loss).smooth
    shares = np.full(EXAMPLES, 1 / EXAMPLES)
    truth = optima.Data(extended(rows), labels, shares, 3, loss.__name__, l2)
    value = optima.objective(folded(found), truth)
    np.testing.assert_allclose(found.certificate.primal, value, rtol=1e-12)
    best = optima.optimum(truth)
    assert found.certificate.dual <= best.value * (1 + 1e-9)
    assert value - best.value <= 2e-9 * value


def test_where_float32_stops_newton_goes_on_unless_it_is_told_not_to():
    found = fit(3, l2=1e-2, relative_gap=1e-13)
    assert found.converged
    assert found.params.weights.dtype == np.float64
    assert 0 < found.float64_passes < 10
    alone = fit(3, l2=1e-2, relative_gap=1e-13, refine=False)
    assert not alone.converged
    assert alone.params.weights.dtype == jnp.float32
    assert alone.float64_passes == 0
    assert not jax.config.jax_enable_x64


def test_rows_in_blocks_and_large_problems_stay_with_float32(monkeypatch):
    rows, labels = data(3)
    assert newton.is_small(10, 199)
    assert not newton.is_small(10, 200)
    monkeypatch.setattr(newton, "MAX_UNKNOWNS", 17)  # one less than there are
    found = jaxlin.fit(rows, labels, loss=SOFTMAX, l2=1e-2, stop=jaxlin.Stop(1e-13))
    assert found.float64_passes == 0
    assert found.stalled
