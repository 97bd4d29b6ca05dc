"""Certificates are of the rows that were given, float64 ones too."""

import numpy as np
import pytest

import jaxlin
from jaxlin import losses, normalization
from jaxlin.solvers import float64_methods

SOFTMAX = losses.softmax_cross_entropy
LATENT = np.random.default_rng(0).normal(size=(60, 5))
LABELS = (LATENT @ np.random.default_rng(1).normal(size=(5, 3))).argmax(axis=1)
LABELS[::7] = (LABELS[::7] + 1) % 3  # no plane separates them
# Mean and spread of rows that float32 holds to few digits, and not at all.
ROUNDED, SPOILED = (1e3, 1e-2), (1e4, 1e-3)


def rows_of(mean, spread):
    return mean + spread * LATENT


def objective(fit, rows):
    weights, bias = map(np.float64, fit.params)
    scores = rows @ weights.T + bias
    scores -= scores.max(axis=1, keepdims=True)
    own = scores[np.arange(len(rows)), LABELS]
    penalty = fit.l2 / 2 * (np.sum(weights**2) + np.sum(bias**2))
    return np.mean(np.log(np.exp(scores).sum(axis=1)) - own) + penalty


def fit_of(rows, *, relative_gap, **settings):
    stop = jaxlin.Stop(relative_gap)
    return jaxlin.fit(rows, LABELS, loss=SOFTMAX, l2=1e-4, stop=stop, **settings)


@pytest.mark.parametrize("kind", [ROUNDED, SPOILED])
@pytest.mark.parametrize("is_small", [True, False])
def test_a_proof_in_float64_is_of_the_float64_rows(kind, is_small, monkeypatch):
    if not is_small:
        monkeypatch.setattr(float64_methods, "MAX_UNKNOWNS", 1)
    rows = rows_of(*kind)
    found = fit_of(rows, relative_gap=1e-6)
    assert found.converged
    assert found.float64_passes > 0
    assert jaxlin.probabilities(found, rows).dtype == np.float64
    value = objective(found, rows)
    np.testing.assert_allclose(found.certificate.primal, value, rtol=1e-9)
    assert found.certificate.dual <= value
    # That of the rounded rows is another.
    rounded = objective(found, np.float64(np.float32(rows)))
    assert abs(rounded - value) > 1e-6 * value


def test_rows_that_float32_spoils_have_no_pass_in_it():
    found = fit_of(rows_of(*SPOILED), relative_gap=1e-3)
    assert found.converged
    assert found.float64_passes == found.passes
    with pytest.raises(
        ValueError, match=r"features must be told apart by float32, but"
    ):
        fit_of(rows_of(*SPOILED), relative_gap=1e-3, refine=False)


def test_a_normalisation_near_the_mean_saves_them():
    mean = normalization.Normalization(np.full(5, SPOILED[0]), np.ones(5))
    found = fit_of(rows_of(*SPOILED), relative_gap=1e-3, normalization=mean)
    assert found.converged


def test_parameters_in_float64_are_certified_on_float64_rows():
    rows = rows_of(*ROUNDED)
    found = fit_of(rows, relative_gap=1e-6)
    problem = jaxlin.problem(rows, LABELS)
    again = jaxlin.certify(problem, found.params, loss=SOFTMAX, l2=1e-4)
    assert again.relative_gap <= 1e-6
    np.testing.assert_allclose(again.certificate.primal, found.certificate.primal)
    in_float32 = [np.float32(leaf) for leaf in found.params]
    rounded = jaxlin.certify(
        problem, jaxlin.linear.Params(*in_float32), loss=SOFTMAX, l2=1e-4
    )
    assert rounded.relative_gap > 1e-3


def test_float64_numbers_that_float32_holds_are_float32():
    whole = np.round(8 * LATENT)
    one, other = (
        fit_of(kind(whole), relative_gap=1e-3) for kind in (np.float64, np.float32)
    )
    np.testing.assert_array_equal(one.params.weights, other.params.weights)
    assert one.passes == other.passes
