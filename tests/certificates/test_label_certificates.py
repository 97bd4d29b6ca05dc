"""Labels that the exact optimum provably shares, and where its accuracy lies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optimization_modes import BOTH

from jaxlin import linear, normalization
from jaxlin.certificates import label_certificates


def params_of(folded, dtype=np.float32):
    folded = np.asarray(folded, dtype)
    return linear.Params(folded[:, :-1], folded[:, -1])


def exactly(params):
    return np.c_[params.weights, params.bias].astype(np.float64)


@BOTH
def test_certified_labels_are_those_of_all_parameters_so_near():
    """Also of the worst of them; and the interval holds their accuracies."""
    generator = np.random.default_rng(7)
    rows = generator.normal(size=(500, 5)).astype(np.float32)
    extended = np.c_[np.float64(rows), np.ones(500)]
    optimum = generator.normal(size=(4, 6))
    truth = np.argmax(extended @ optimum.T, axis=1)
    answers = np.where(generator.uniform(size=500) < 0.7, truth, 0)
    right = (truth == answers).mean()
    predict = jax.jit(jax.vmap(linear.predict, in_axes=(None, 0)))
    shares = []
    for distance in (1e-6, 1e-3, 0.1, 0.3, 3.0):
        for _ in range(5):
            noise = generator.normal(size=optimum.shape)
            ours = params_of(optimum + distance * noise / np.linalg.norm(noise))
            moved = exactly(ours) - optimum
            same = label_certificates.same_labels(
                ours, jnp.asarray(rows), radius=np.linalg.norm(moved)
            )
            same = np.asarray(same)
            predicted = np.asarray(predict(ours, rows))
            np.testing.assert_array_equal(predicted[same], truth[same])
            interval = label_certificates.accuracy_interval(predicted == answers, same)
            assert interval.low - 1e-6 <= right <= interval.high + 1e-6
            np.testing.assert_allclose(interval.certified, np.mean(same), rtol=1e-6)
        shares.append(interval.certified)
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.99
    assert 0.2 < shares[3] < 0.99
    assert shares[4] < 0.05


def test_an_interval_of_all_labels_proven_is_the_accuracy():
    """Exactly: 122 of 125 is no float32."""
    correct = np.arange(125) >= 3
    interval = label_certificates.accuracy_interval(correct, np.ones(125, bool))
    assert interval == (122 / 125, 122 / 125, 1.0)


@BOTH
def test_radii_of_float64_parameters_have_their_digits():
    """Labels of a refinement, under any jax.config; the mean, too, is not rounded."""
    generator = np.random.default_rng(9)
    rows = generator.normal(size=(50, 5)).astype(np.float32)
    folded = generator.normal(size=(4, 6))
    fitted = normalization.Normalization(generator.normal(size=5), np.float64(0.7))
    params = linear.Params(folded[:, :-1], folded[:, -1])
    found = label_certificates.label_radii(params, rows, normalization=fitted)
    assert isinstance(found, np.ndarray)
    exact = np.c_[(np.float64(rows) - fitted.mean) / 0.7, np.ones(50)]
    second, best = np.sort(exact @ folded.T, axis=1)[:, -2:].T
    expected = (best - second) / np.linalg.norm(exact, axis=1) / np.sqrt(2)
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert (found <= expected).all()


@BOTH
def test_label_radii_are_the_shortest_moves_that_change_a_label():
    """Moved by the radius towards the second class, the two best scores are equal."""
    generator = np.random.default_rng(8)
    rows = generator.normal(size=(50, 5)).astype(np.float32)
    params = params_of(generator.normal(size=(4, 6)))
    folded = exactly(params)
    radii = np.asarray(label_certificates.label_radii(params, jnp.asarray(rows)))
    assert radii.shape == (50,)
    for row, radius in zip(rows, radii, strict=True):
        extended = np.append(np.float64(row), 1)
        order = np.argsort(-(folded @ extended))
        toward = np.zeros((4, 6))
        toward[order[0]], toward[order[1]] = -extended, extended
        toward /= np.linalg.norm(toward)
        # The radius leaves a little to rounding.
        for length, label in ((radius, order[0]), (1.001 * radius + 1e-5, order[1])):
            moved = folded + length * toward
            assert np.argmax(moved @ extended) == label


def test_rows_are_normalised_before_they_are_judged():
    generator = np.random.default_rng(9)
    raw = generator.integers(0, 256, size=(50, 5)).astype(np.uint8)
    fitted = normalization.fit_centered(raw, scale=255.0)
    params = params_of(generator.normal(size=(4, 6)))
    rows = (np.float32(raw) - fitted.mean) / fitted.scale
    np.testing.assert_allclose(
        label_certificates.label_radii(params, jnp.asarray(raw), normalization=fitted),
        label_certificates.label_radii(params, jnp.asarray(rows)),
        rtol=1e-4,
        atol=1e-6,
    )


def test_intervals_count_what_is_proven_and_say_when_that_is_little():
    correct = np.array([True] * 80 + [False] * 20)
    everything, nothing = np.ones(100, bool), np.zeros(100, bool)
    exact = label_certificates.accuracy_interval(correct, everything)
    np.testing.assert_allclose(exact, (0.8, 0.8, 1.0), rtol=1e-6)
    assert str(exact) == "[80.00, 80.00] % (100.0 % of labels certified)"
    assert label_certificates.accuracy_interval(correct, nothing)[:2] == (0, 1)

    # 3 of the right and 1 of the wrong are not proven: four points wide.
    same = everything.copy()
    same[[0, 1, 2, 99]] = False
    interval = label_certificates.accuracy_interval(correct, same)
    np.testing.assert_allclose(interval, (0.77, 0.81, 0.96), rtol=1e-6)
    assert str(interval) == "[77.00, 81.00] % (96.0 % of labels certified)"
    same[[3, 4]] = False
    said = str(label_certificates.accuracy_interval(correct, same))
    assert said == "uninformative (94.0 % of labels certified)"


@pytest.mark.parametrize("shape", [(3,), (3, 1), ()])
def test_an_interval_needs_one_truth_value_a_row(shape):
    with pytest.raises(AssertionError):
        label_certificates.accuracy_interval(np.ones(4, bool), np.ones(shape, bool))


def test_an_interval_of_zeros_and_ones_is_refused():
    """The complement of the integer 1 is -2, which counts as well."""
    right, truth = np.array([1, 1, 0]), np.ones(3, bool)
    for given in ((right, truth), (truth, right)):
        with pytest.raises(ValueError, match="must be booleans, got int64"):
            label_certificates.accuracy_interval(*given)


def test_in_float64_all_digits_are_float64():
    """Also those of rows normalised with a float32 mean."""
    generator = np.random.default_rng(4)
    rows = generator.integers(0, 256, size=(20, 6)).astype(np.uint8)
    fitted = normalization.fit_centered(rows, scale=255.0)
    weights = generator.normal(size=(3, 7))
    with jax.enable_x64(True):
        params = linear.Params(
            jnp.asarray(weights[:, :-1]), jnp.asarray(weights[:, -1])
        )
        found = label_certificates.label_radii(
            params, jnp.asarray(rows), normalization=fitted
        )
    exact = (np.float64(rows) - np.float64(fitted.mean)) * (
        1 / np.float64(fitted.scale)
    )
    exact = np.c_[exact, np.ones(20)]
    ordered = np.sort(exact @ weights.T, axis=1)
    leads = ordered[:, -1] - ordered[:, -2]
    expected = leads / np.linalg.norm(exact, axis=1) / np.sqrt(2)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
