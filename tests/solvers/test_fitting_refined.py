"""Fits that go on in float64 where float32 can prove no more."""

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from fitting_problems import SOFTMAX, data, exact, extended, fit, folded

import jaxlin
from jaxlin import losses
from jaxlin.certificates import certification, duality

# --- What a fit says of itself.


@pytest.mark.parametrize("num_classes", [3, 2])
def test_a_refinement_goes_on_in_float64_to_the_gap_asked_for(num_classes):
    # In float32 a small softmax comes as far as 1e-10.
    gap = {3: 1e-14, 2: 1e-9}[num_classes]
    fitted = fit(num_classes, l2=1e-2, relative_gap=gap, refine=True)
    assert fitted.converged
    assert fitted.relative_gap <= gap
    for leaf in fitted.params:
        assert isinstance(leaf, np.ndarray)
        assert leaf.dtype == np.float64
    assert 0 < fitted.float64_passes < fitted.passes
    best = optima.optimum(exact(num_classes, 1e-2))
    value = optima.objective(folded(fitted), exact(num_classes, 1e-2))
    np.testing.assert_allclose(fitted.certificate.primal, value, rtol=1e-12)
    assert value - best.value <= 1e-9 * value
    assert fitted.certificate.dual <= best.value * (1 + 1e-12)
    # Whatever jax.config says, and it says the same afterwards.
    assert not jax.config.jax_enable_x64
    assert jnp.zeros(1).dtype == jnp.float32


@pytest.mark.parametrize("num_classes", [3, 2])
def test_float32_says_what_it_reached_where_it_cannot_reach_more(num_classes):
    fitted = fit(num_classes, l2=1e-2, relative_gap=1e-13, refine=False)
    assert not fitted.converged
    assert 1e-13 < fitted.relative_gap < 1e-4
    assert fitted.float64_passes == 0
    assert fitted.passes < 1000  # it stalled, and says so early
    assert fitted.params.weights.dtype == jnp.float32
    best = optima.optimum(exact(num_classes, 1e-2)).value
    value = optima.objective(np.float64(folded(fitted)), exact(num_classes, 1e-2))
    assert (value - best) / value <= fitted.relative_gap


def test_a_refinement_that_is_not_needed_is_not_made():
    fitted = fit(3, l2=0.1, refine=True)
    assert fitted.converged
    assert fitted.float64_passes == 0
    assert fitted.params.weights.dtype == jnp.float32


# --- Dtypes and magnitudes.


@pytest.mark.full
def test_a_refinement_of_float64_rows_is_of_those_rows():
    """Rows, weights and distributions that float32 cannot hold."""
    generator = np.random.default_rng(3)
    rows = 1 + 1e-4 * generator.normal(size=(40, 3))
    soft = generator.dirichlet(np.ones(3), size=40)
    weights = generator.uniform(1, 2, size=40)
    fitted = jaxlin.fit(
        rows,
        soft,
        loss=losses.cross_entropy,
        l2=1e-5,
        weights=weights,
        refine=True,
        stop=jaxlin.Stop(1e-16),
    )
    assert fitted.converged
    shares = weights / weights.sum()
    truth = optima.Data(extended(rows), soft, shares, 3, "cross_entropy", 1e-5)
    best = optima.optimum(truth)
    np.testing.assert_allclose(fitted.certificate.primal, best.value, rtol=1e-12)
    radius = float(duality.radius(fitted.certificate, l2=1e-5))
    assert np.linalg.norm(folded(fitted) - best.weights) <= radius
    # Rounded rows have another optimum.
    rounded = truth._replace(rows=extended(np.float32(rows)))
    other = optima.optimum(rounded)
    assert np.linalg.norm(folded(fitted) - other.weights) > 2 * radius
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    ("dtype", "x64"), [(np.float16, False), (jnp.bfloat16, True), (np.float64, True)]
)
@pytest.mark.full
def test_rows_of_any_float_dtype_whatever_the_configuration(dtype, x64):
    rows, labels = data(3)
    with jax.enable_x64(x64):
        given = np.asarray(rows, dtype)
        fitted = jaxlin.fit(given, labels, loss=SOFTMAX, l2=0.1, stop=jaxlin.Stop(1e-4))
        proof = certification.certificate(
            fitted.params, given, labels, loss=SOFTMAX, l2=0.1
        )
    assert fitted.converged
    assert fitted.params.weights.dtype == jnp.float32
    exactly = exact(3, 0.1)._replace(rows=extended(given))
    best = optima.optimum(exactly)
    value = optima.objective(np.float64(folded(fitted)), exactly)
    assert (value - best.value) / value <= fitted.relative_gap
    np.testing.assert_allclose(proof.primal, value, rtol=1e-5)


def test_the_certificate_of_a_refined_fit_can_be_had_again():
    """Certificates of float64 parameters, under any configuration."""
    rows, labels = data(3)
    fitted = fit(3, l2=0.01, relative_gap=1e-13, refine=True)
    again = certification.certificate(
        fitted.params, rows, labels, loss=SOFTMAX, l2=0.01
    )
    np.testing.assert_allclose(again.primal, fitted.certificate.primal, rtol=1e-13)
    assert duality.relative_gap(again) <= 2e-13


def test_a_refinement_goes_on_where_an_earlier_one_ended():
    first = fit(2, l2=1e-2, relative_gap=1e-8, refine=True)
    again = fit(2, l2=1e-2, relative_gap=1e-10, refine=True, start=first)
    assert again.converged
    assert again.float64_passes == again.passes
    whole = fit(2, l2=1e-2, relative_gap=1e-10, refine=True)
    assert again.passes < whole.passes - first.passes / 2
    # At another l2 float32 goes first.
    other = fit(2, l2=2e-2, relative_gap=1e-8, refine=True, start=first)
    assert other.float64_passes < other.passes
