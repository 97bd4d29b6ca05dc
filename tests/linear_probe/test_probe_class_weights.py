"""Class weights of a probe, the shift of the prior, and its undoing."""

import jax
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from sweep_problems import LABELS, ROWS

import jaxlin
from jaxlin import losses, normalization
from jaxlin.linear_probe import class_weights

KEY = jax.random.key(0)
L2S = (1e-1, 1e-2, 1e-3)
HELD_OUT = np.arange(60) >= 40
WEIGHTS = np.array([1.0, 4.0, 0.5])
OPTIONS = {"l2s": L2S, "validation": HELD_OUT}


@pytest.fixture(scope="module")
def weighted():
    return jaxlin.probe(
        KEY, ROWS, LABELS, ROWS, LABELS, class_weights=WEIGHTS, **OPTIONS
    )


@pytest.fixture(scope="module")
def undone():
    return jaxlin.probe(
        *(KEY, ROWS, LABELS, ROWS, LABELS),
        class_weights=WEIGHTS,
        undo_prior_shift=True,
        **OPTIONS,
    )


def test_they_are_example_weights_of_the_fits_alone(weighted):
    def objective(fit, rows, own):
        problem = jaxlin.problem(
            ROWS[rows],
            LABELS[rows],
            weights=own[rows],
            normalization=normalization.fit_standard(ROWS[rows]),
        )
        found = jaxlin.certify(
            problem, fit.params, loss=losses.softmax_cross_entropy, l2=fit.l2
        )
        return found.certificate.primal

    own = WEIGHTS[LABELS]
    everything = np.full(60, True)
    for fit, rows in ((weighted.fit, everything), (weighted.table.fits[0], ~HELD_OUT)):
        assert fit.converged
        expected = objective(fit, rows, own)
        assert fit.certificate.primal == pytest.approx(expected, rel=1e-5)
    for fit, accuracy in zip(
        weighted.table.fits, weighted.table.accuracy[:, 0], strict=True
    ):
        right = jaxlin.predict(fit, ROWS[HELD_OUT]) == LABELS[HELD_OUT]
        assert accuracy == pytest.approx(right.mean())


def test_balanced_is_scikit_learns():
    found = jaxlin.probe(
        KEY, ROWS, LABELS, ROWS, LABELS, class_weights="balanced", **OPTIONS
    )
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    np.testing.assert_allclose(found.class_weights, expected, rtol=1e-6)


def test_balanced_counts_weights_as_repeated_rows():
    own = 1 + np.arange(60) % 3
    found = class_weights.numbers(
        "balanced", LABELS, example_weights=own, num_classes=4
    )
    expected = compute_class_weight(
        "balanced", classes=np.arange(3), y=np.repeat(LABELS, own)
    )
    # A class without examples has nothing to balance.
    np.testing.assert_allclose(found, [*expected, 1], rtol=1e-6)


def test_undone_probabilities_follow_bayes_rule(weighted, undone):
    """The population of the training rows has classes 1 / weight times as frequent."""
    assert undone.l2 == weighted.l2
    shifted = jaxlin.probabilities(weighted.fit._replace(temperature=1.0), ROWS)
    expected = shifted / WEIGHTS
    expected /= expected.sum(axis=1, keepdims=True)
    found = jaxlin.probabilities(undone.fit._replace(temperature=1.0), ROWS)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert undone.test.log_loss.value < weighted.test.log_loss.value


def test_the_temperature_is_of_the_population_of_the_probabilities(weighted, undone):
    """Held-out rows count as often as their class in it."""
    for found, own in ((weighted, WEIGHTS[LABELS]), (undone, np.ones(60))):
        fit = found.table.fits[found.setting]
        scores = jaxlin.scores(fit, ROWS[HELD_OUT])
        if found is undone:
            scores = scores - np.log(WEIGHTS)

        def loss(temperature, scores=scores, own=own):
            scaled = scores / temperature
            log_sums = np.log(np.exp(scaled).sum(axis=1))
            losses_of_rows = log_sums - scaled[np.arange(20), LABELS[HELD_OUT]]
            return np.average(losses_of_rows, weights=own[HELD_OUT])

        best = found.fit.temperature
        assert loss(best) <= min(loss(0.95 * best), loss(1.05 * best))


def test_the_shift_is_said_unless_it_is_undone(weighted, undone):
    np.testing.assert_array_equal(weighted.class_weights, WEIGHTS)
    *_, shift = weighted.notes
    assert "classes are 0.5 to 4 times as frequent as in training" in shift
    assert shift in str(weighted)
    assert undone.class_weights is None
    assert not any("frequent" in note for note in undone.notes)


def test_the_certificate_stays_that_of_the_weighted_objective(weighted, undone):
    assert undone.fit.certificate == weighted.fit.certificate
    assert undone.fit.radius == weighted.fit.radius


def test_a_saved_fit_has_the_probabilities_of_the_result(undone, tmp_path):
    jaxlin.save(tmp_path / "fit.npz", undone.fit)
    loaded = jaxlin.load(tmp_path / "fit.npz")
    found = jaxlin.probabilities(loaded, ROWS)
    np.testing.assert_array_equal(found, jaxlin.probabilities(undone.fit, ROWS))
    of_label = found[np.arange(60), LABELS]
    np.testing.assert_allclose(
        undone.test.example_log_losses, -np.log(of_label), rtol=1e-4, atol=1e-6
    )
    assert undone.test.log_loss.value == pytest.approx(
        -np.log(of_label).mean(), rel=1e-5
    )
    assert jaxlin.evaluate(loaded, ROWS, LABELS).log_loss == undone.test.log_loss
