"""Example weights of a probe count rows as often."""

import jax
import numpy as np
import pytest
from sweep_problems import LABELS, ROWS

import jaxlin
from jaxlin.selection import held_out

KEY = jax.random.key(0)
L2S = (1e-1, 1e-2, 1e-3)


def assert_same_answer(found, expected):
    """Two probes of the same objectives, each proven to 1e-6."""
    assert found.table.fits.converged.all()
    assert found.table.fits.certificate.primal == pytest.approx(
        np.asarray(expected.table.fits.certificate.primal), rel=3e-6
    )
    np.testing.assert_allclose(found.table.accuracy, expected.table.accuracy, rtol=1e-6)
    np.testing.assert_allclose(found.table.loss, expected.table.loss, rtol=1e-2)
    assert found.l2 == expected.l2
    assert found.test.accuracy == expected.test.accuracy
    assert found.single_classes == expected.single_classes
    for one, other in zip(
        found.fit.normalization, expected.fit.normalization, strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert found.fit.certificate.primal == pytest.approx(
        float(expected.fit.certificate.primal), rel=3e-6
    )
    assert found.fit.temperature == pytest.approx(expected.fit.temperature, rel=1e-2)


@pytest.mark.parametrize("validation", [0.5, 3])
def test_whole_weights_are_repeated_rows(monkeypatch, validation):
    """The same examples are held out, which a draw of repeated rows would not do."""
    weights = 1 + np.arange(60) * 7 % 3
    settings = {"l2s": L2S, "stop": jaxlin.Stop(1e-6)}
    drawn = held_out.weights(KEY, LABELS, validation=validation)
    monkeypatch.setattr(held_out, "weights", lambda *_, **__: drawn)
    found = jaxlin.probe(KEY, ROWS, LABELS, ROWS, LABELS, weights=weights, **settings)
    several = np.repeat(drawn, weights, axis=1)
    monkeypatch.setattr(held_out, "weights", lambda *_, **__: several)
    rows, labels = np.repeat(ROWS, weights, axis=0), np.repeat(LABELS, weights)
    expected = jaxlin.probe(KEY, rows, labels, ROWS, LABELS, **settings)
    assert_same_answer(found, expected)
    assert found.num_held_out == drawn.sum()
    # Fewer than the rows of equal weight, because the weights differ.
    kept = weights[drawn.any(axis=0)]
    assert found.effective_held_out == pytest.approx(
        kept.sum() ** 2 / (kept**2).sum(), rel=1e-6
    )
    assert found.effective_held_out < found.num_held_out


def test_weight_zero_is_no_row():
    """A fourth of the rows has weight 0; one class has a single other example."""
    weights = np.where(np.arange(60) % 4 == 3, 0, 2.5)
    labels = np.where(LABELS == 2, 0, LABELS)
    labels[[1, 3, 7]] = 2
    settings = {"l2s": L2S, "stop": jaxlin.Stop(1e-6), "validation": 0.5}
    found = jaxlin.probe(KEY, ROWS, labels, ROWS, labels, weights=weights, **settings)
    kept = weights > 0
    expected = jaxlin.probe(KEY, ROWS[kept], labels[kept], ROWS, labels, **settings)
    assert_same_answer(found, expected)
    assert found.single_classes == (2,)
    assert found.num_held_out == expected.num_held_out == 22
    assert found.effective_held_out == pytest.approx(22)
    assert found.notes == expected.notes
