"""Rows on the device stay there: no door copies them to the host."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from foreign_arrays import OfAnotherLibrary

import jaxlin
from jaxlin import losses, normalization
from jaxlin.check import foreign
from jaxlin.numerics import row_arrays

SOFTMAX = losses.softmax_cross_entropy
ROWS = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0).astype(int)


@pytest.fixture
def no_trip(monkeypatch):
    """Raises where an array of the size of the rows is copied to the host."""
    of_jax = type(jnp.zeros(1))
    as_numpy = of_jax.__array__

    def refuse(array, *given, **options):
        assert array.shape != ROWS.shape, "rows are copied to the host"
        return as_numpy(array, *given, **options)

    monkeypatch.setattr(of_jax, "__array__", refuse)


def test_rows_of_jax_are_the_rows_of_the_problem():
    rows = jnp.asarray(ROWS)
    problem = jaxlin.problem(rows, LABELS)
    assert problem.rows.features is rows
    assert problem.examples.features is rows
    weighted = jaxlin.problem(rows, LABELS, weights=np.arange(64) % 3)
    assert weighted.examples.features is rows
    other = problem.with_normalization(normalization.fit_standard(ROWS))
    assert other.examples.features is rows


@pytest.mark.usefixtures("no_trip")
def test_fits_and_predictions_leave_rows_on_the_device():
    # On a CPU other dtypes share their memory with NumPy, which the fixture cannot see.
    rows = jnp.asarray(ROWS, jnp.bfloat16)
    with pytest.raises(AssertionError, match="copied"):
        np.asarray(rows)
    problem = jaxlin.problem(rows, LABELS)
    fit = jaxlin.fit(problem, loss=SOFTMAX, l2=0.1)
    assert fit.converged
    jaxlin.sweep(problem, losses=(SOFTMAX,), l2s=(0.1, 1.0))
    for door in (jaxlin.scores, jaxlin.predict, jaxlin.certified_labels):
        assert len(door(fit, rows)) == 64
    assert jaxlin.evaluate(fit, rows, LABELS).accuracy.value > 0.9


def test_double_precision_is_not_rounded_on_the_device():
    with jax.enable_x64(True):
        rows = jnp.asarray(ROWS, jnp.float64) + 1e-12
    problem = jaxlin.problem(rows, LABELS)
    assert problem.has_float64
    np.testing.assert_array_equal(problem.rows.features, np.asarray(rows))


def test_rows_of_another_device_are_moved_to_the_default_one():
    rows = jax.device_put(ROWS, jax.devices()[-1])
    if jax.device_count() > 1:
        assert row_arrays.device_array("rows", rows) is None
    found = jaxlin.problem(rows, LABELS).examples.features
    assert found.devices() == jnp.zeros(1).devices()
    np.testing.assert_array_equal(found, ROWS)


@pytest.mark.devices(8)
def test_rows_on_the_device_are_spread_over_a_mesh():
    with jax.set_mesh(jaxlin.sharding.mesh(rows=8)):
        # Committed to one device, where a program of the mesh could not take it.
        rows = jax.device_put(ROWS, jax.devices()[0])
        problem = jaxlin.problem(rows, LABELS)
        assert len(problem.examples.features.sharding.device_set) == 8
        np.testing.assert_array_equal(problem.examples.features, ROWS)


def test_weights_of_0_hide_rows_on_the_device_that_overflow():
    huge = np.where(np.arange(64)[:, None] < 32, ROWS, 1e30).astype(np.float32)
    weights = np.arange(64) < 32
    fits = [
        jaxlin.fit(rows, LABELS, weights=weights, loss=SOFTMAX, l2=0.1)
        for rows in (huge, jnp.asarray(huge))
    ]
    np.testing.assert_array_equal(*(fit.params.weights for fit in fits))


@pytest.fixture
def host_as_device(monkeypatch):
    """Counts the memory of the host as that of a device."""
    monkeypatch.setattr(foreign, "_HOST_DEVICES", ())


@pytest.mark.usefixtures("host_as_device")
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the device is the host")
def test_arrays_of_a_device_share_their_memory_by_dlpack():
    rows = jnp.asarray(ROWS)
    given = OfAnotherLibrary(rows)
    problem = jaxlin.problem(given, LABELS)
    found = problem.examples.features
    assert found.unsafe_buffer_pointer() == rows.unsafe_buffer_pointer()
    fit = jaxlin.fit(problem, loss=SOFTMAX, l2=0.1)
    np.testing.assert_array_equal(jaxlin.scores(fit, given), jaxlin.scores(fit, ROWS))
    # Where only the host will do, a copy is made.
    labels = OfAnotherLibrary(jnp.asarray(LABELS))
    np.testing.assert_array_equal(jaxlin.problem(rows, labels).rows.targets, LABELS)


@pytest.mark.usefixtures("host_as_device")
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the device is the host")
def test_tensors_of_a_device_share_their_memory_by_dlpack():
    torch = pytest.importorskip("torch", reason="an optional peer")
    for tensor in (torch.tensor(ROWS), torch.tensor(ROWS).bfloat16()):
        found = jaxlin.problem(tensor, LABELS).examples.features
        assert found.unsafe_buffer_pointer() == tensor.data_ptr()
    strided = torch.tensor(ROWS).repeat_interleave(2, dim=1)[:, ::2]
    found = jaxlin.problem(strided, LABELS).examples.features
    np.testing.assert_array_equal(found, ROWS)
    with pytest.raises(ValueError, match=r"gradient; .* give .detach\(\)"):
        jaxlin.problem(torch.tensor(ROWS, requires_grad=True), LABELS)


def test_bfloat16_of_torch_has_the_bits_of_numpy():
    torch = pytest.importorskip("torch", reason="an optional peer")
    found = jaxlin.problem(torch.tensor(ROWS).bfloat16(), LABELS).rows.features
    assert found.dtype == ml_dtypes.bfloat16
    expected = ROWS.astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(np.asarray(found).view(np.uint16), expected)
