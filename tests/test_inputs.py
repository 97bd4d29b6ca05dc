"""Rows of every library at every door: the bits of a plain array."""

import tracemalloc

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from foreign_arrays import Pinned
from input_doors import DOORS, FIT
from input_rows import COLUMNS, LABELS, ROWS

import jaxlin
from jaxlin import check, normalization
from jaxlin.objective import row_blocks

every_door = pytest.mark.parametrize("door", DOORS)


def numpy_kinds(folder):
    """Arrays of NumPy, with the dtype of the plain array of the same values."""
    read_only = ROWS.copy()
    read_only.flags.writeable = False
    ROWS.astype(">f4").tofile(folder / "swapped")
    ROWS.tofile(folder / "rows")
    return {
        "list": (ROWS.tolist(), np.float64),
        "read-only": (read_only, np.float32),
        "strided": (np.repeat(ROWS, 3, axis=1)[:, ::3], np.float32),
        "reversed": (np.ascontiguousarray(ROWS[::-1])[::-1], np.float32),
        "Fortran": (np.asfortranarray(ROWS), np.float32),
        "byte-swapped": (ROWS.astype(">f4"), np.float32),
        "map": (np.memmap(folder / "rows", "f4", "r", shape=ROWS.shape), np.float32),
        "swapped map": (
            np.memmap(folder / "swapped", ">f4", "r", shape=ROWS.shape),
            np.float32,
        ),
        "nothing masked": (np.ma.array(ROWS), np.float32),
        "objects": (ROWS.astype(object), np.float64),
        "int64": (ROWS.astype(np.int64), np.float32),
        "uint16": (ROWS.astype(np.uint16), np.float32),
        "uint8": (ROWS.astype(np.uint8), np.uint8),
        "float16": (ROWS.astype(np.float16), np.float16),
        "bfloat16": (ROWS.astype(ml_dtypes.bfloat16), ml_dtypes.bfloat16),
    }


def jax_kinds(_):
    return {
        "float32": (jnp.asarray(ROWS), np.float32),
        "bfloat16": (jnp.asarray(ROWS, jnp.bfloat16), ml_dtypes.bfloat16),
        "int32": (jnp.asarray(ROWS, jnp.int32), np.float32),
        "uint8": (jnp.asarray(ROWS, jnp.uint8), np.uint8),
        "another device": (jax.device_put(ROWS, jax.devices()[-1]), np.float32),
    }


def pandas_kinds(_):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=COLUMNS)
    mixed = frame.astype({"is_new": bool, "age": int})
    nullable = frame.astype({"height": "Float32", "age": "Int16", "is_new": "boolean"})
    named_twice = pandas.DataFrame(ROWS, columns=["a", "a", "b", "is_new"])
    return {
        "float32": (frame, np.float32),
        "float64": (frame.astype(float), np.float64),
        "mixed": (mixed, np.float32),
        "mixed and double": (mixed.astype({"width": float}), np.float64),
        "nullable": (nullable, np.float32),
        "integers": (frame.astype("Int64"), np.float32),
        "bytes": (frame.astype("uint8"), np.uint8),
        "numeric categories": (frame.astype({"is_new": "category"}), np.float32),
        "sparse": (frame.astype(pandas.SparseDtype("f4", 0.0)), np.float32),
        "other index": (mixed.set_index(mixed.index * 7 + 3), np.float32),
        "equal names": (named_twice.astype({"is_new": bool}), np.float32),
    }


def polars_kinds(_):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(dict(zip(COLUMNS, ROWS.T, strict=True)))
    mixed = frame.cast({"is_new": polars.Boolean, "age": polars.Int64})
    return {
        "float32": (frame, np.float32),
        "mixed": (mixed, np.float32),
        "mixed and double": (mixed.cast({"width": polars.Float64}), np.float64),
        "bytes": (frame.cast(polars.UInt8), np.uint8),
    }


def arrow_kinds(_):
    arrow = pytest.importorskip("pyarrow")
    columns = dict(zip(COLUMNS, ROWS.T, strict=True))
    mixed = {**columns, "is_new": ROWS[:, 3] > 0, "age": ROWS[:, 2].astype(int)}
    return {
        "table": (arrow.table(columns), np.float32),
        "mixed": (arrow.table(mixed), np.float32),
    }


def torch_kinds(_):
    torch = pytest.importorskip("torch", reason="an optional peer")
    tensor = torch.tensor(ROWS)
    return {
        "float32": (tensor, np.float32),
        "double": (tensor.double(), np.float64),
        "half": (tensor.half(), np.float16),
        "bfloat16": (tensor.bfloat16(), ml_dtypes.bfloat16),
        "bfloat16, strided": (
            tensor.bfloat16().repeat_interleave(2, dim=1)[:, ::2],
            ml_dtypes.bfloat16,
        ),
        "int64": (tensor.long(), np.float32),
        "uint8": (tensor.byte(), np.uint8),
        "transposed": (tensor.T.contiguous().T, np.float32),
    }


KINDS = {
    "NumPy": numpy_kinds,
    "JAX": jax_kinds,
    "pandas": pandas_kinds,
    "polars": polars_kinds,
    "PyArrow": arrow_kinds,
    "PyTorch": torch_kinds,
}


@pytest.mark.parametrize("device_type", [3, 11], ids=["kDLCUDAHost", "kDLROCMHost"])
def test_pinned_memory_is_that_of_the_host(device_type):
    pinned = Pinned(device_type)
    np.testing.assert_array_equal(check.features("rows", pinned), ROWS)
    np.testing.assert_array_equal(jaxlin.scores(FIT, pinned), jaxlin.scores(FIT, ROWS))


def assert_same_bits(found, expected):
    def check_leaf(a, b):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)

    jax.tree.map(check_leaf, found, expected)


@every_door
@pytest.mark.parametrize("library", KINDS)
def test_rows_of_every_kind_give_the_bits_of_a_plain_array(library, door, tmp_path):
    expected = {}
    for kind, (rows, dtype) in KINDS[library](tmp_path).items():
        if dtype not in expected:
            expected[dtype] = DOORS[door](ROWS.astype(dtype))
        try:
            assert_same_bits(DOORS[door](rows), expected[dtype])
        except (AssertionError, ValueError) as error:
            error.add_note(f"{kind} of {library} at {door}")
            raise


@pytest.fixture
def large_map(tmp_path):
    """Big-endian map of 13 MB."""
    rows = np.random.default_rng(1).normal(size=(200_000, 16)).astype(">f4")
    rows.tofile(tmp_path / "large")
    return np.memmap(tmp_path / "large", ">f4", "r", shape=rows.shape)


def test_maps_are_read_in_blocks_without_a_whole_copy(large_map):
    """Neither a moment nor a block turns the bytes of more rows than it reads."""
    blocks = row_blocks.over(large_map, np.arange(len(large_map)) % 2)
    assert np.shares_memory(blocks.features, large_map)
    tracemalloc.start()
    found = normalization.fit_standard(large_map)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < large_map.nbytes / 2
    expected = normalization.fit_standard(np.array(large_map, np.float32))
    assert_same_bits(found, expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_checked_without_a_copy(order):
    rows = np.asarray(np.repeat(ROWS, 2, axis=0), order=order)[::2]
    assert check.features("rows", rows) is rows
    assert jaxlin.problem(rows, LABELS).rows.features is rows
