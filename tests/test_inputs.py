"""Rows of every library at every door: the bits of an array, or a named refusal."""

import tracemalloc

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from input_rows import COLUMNS, LABELS, ROWS
from jax.experimental import sparse

import jaxlin
from jaxlin import check, linear_probe, losses, normalization
from jaxlin.objective import row_blocks

KEY = jax.random.key(0)
SOFTMAX = losses.softmax_cross_entropy
FIT = jaxlin.fit(ROWS, LABELS, loss=SOFTMAX, l2=0.1)


def fit(rows):
    found = jaxlin.fit(rows, LABELS, loss=SOFTMAX, l2=0.1)
    return found.params, found.certificate


def fit_of_blocks(rows):
    blocks = row_blocks.over(rows, LABELS, block_size=20)
    return jaxlin.fit(blocks, loss=SOFTMAX, l2=0.1).params


def fit_of_a_list_of_blocks(rows):
    blocks = [(rows[:24], LABELS[:24]), (rows[24:], LABELS[24:])]
    return jaxlin.fit(blocks, loss=SOFTMAX, l2=0.1).params


def evaluation(rows):
    found = jaxlin.evaluate(FIT, rows, LABELS)
    return found.example_log_losses, found.accuracy, found.optimum


def probe(rows):
    found = jaxlin.probe(KEY, rows, LABELS, rows, LABELS, l2s=(0.1,), validation=None)
    return found.fit.params, found.test.example_log_losses


def few_shot(rows):
    found = linear_probe.few_shot(
        KEY, rows, LABELS, rows, LABELS, num_shots=9, num_draws=1, l2s=(0.1,)
    )
    return found.results[0].fit.params


def multilabel_probe(rows):
    found = linear_probe.multilabel_probe(
        KEY, rows, ROWS[:, :2] > 2, rows, ROWS[:, :2] > 2, l2s=(0.1,), validation=None
    )
    return found.fits.params


DOORS = {
    "fit": fit,
    "blocks": fit_of_blocks,
    "list of blocks": fit_of_a_list_of_blocks,
    "scores": lambda rows: jaxlin.scores(FIT, rows),
    "predict": lambda rows: jaxlin.predict(FIT, rows),
    "probabilities": lambda rows: jaxlin.probabilities(FIT, rows),
    "certified labels": lambda rows: jaxlin.certified_labels(FIT, rows),
    "evaluate": evaluation,
    "standardise": normalization.fit_standard,
    "probe": probe,
    "few shot": few_shot,
    "multilabel probe": multilabel_probe,
}
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


def bad_numpy():
    hidden, missing = np.ma.array(ROWS), ROWS.copy()
    hidden[3, 1], missing[3, 1] = np.ma.masked, np.nan
    return {
        "masked": (hidden, "without missing entries, got a masked array with 1"),
        "NaN": (missing, "finite, got nan at row 3, feature 1; drop or impute"),
        "text": (ROWS.astype(str), "got text '.*' at row 0, feature 0"),
        "complex": (ROWS + 1j, "give real and imaginary parts as two features"),
        "long double": (ROWS.astype(np.longdouble), "of float64 at most"),
    }


def bad_jax():
    return {"NaN": (jnp.asarray(ROWS).at[2, 1].set(jnp.nan), "got nan at row 2, feat")}


def bad_scipy():
    rows = scipy.sparse.csr_array(ROWS)
    rows.data[rows.indptr[5]] = np.inf
    column = rows.indices[rows.indptr[5]]
    return {
        "infinite": (rows, f"got inf at row 5, feature {column}; drop or impute"),
        "complex": (
            scipy.sparse.csr_array(ROWS * 1j),
            "give real and imaginary parts as two features",
        ),
        "JAX": (
            sparse.BCOO.fromdense(ROWS),
            "must be dense, got sparse BCOO",
        ),
    }


def bad_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=COLUMNS)
    text = frame.assign(age="old")
    hidden = frame.astype({"age": "Int64"})
    hidden.loc[4, "age"] = pandas.NA
    return {
        "text": (text, r"text 'old' at row 0, feature 2 \(column 'age'\).* encode cat"),
        "category": (text.astype({"age": "category"}), "encode categories as columns"),
        "missing": (hidden, r"got nan at row 4, feature 2 \(column 'age'\); drop or"),
        "time": (
            frame.assign(age=pandas.Timestamp("2020-01-01")),
            r"time .* at row 0, feature 2 \(column 'age'\) .* convert times",
        ),
    }


def bad_polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(dict(zip(COLUMNS, ROWS.T, strict=True)))
    category = polars.lit("old").cast(polars.Categorical)
    return {
        "category": (frame.with_columns(age=category), "text 'old' .*column 'age'"),
        "null": (
            frame.with_columns(age=polars.lit(None, polars.Int32)),
            r"got nan at row 0, feature 2 \(column 'age'\)",
        ),
        "lazy": (frame.lazy(), r"must be an array, got a LazyFrame; call .collect\(\)"),
    }


def bad_arrow():
    arrow = pytest.importorskip("pyarrow")
    columns = dict(zip(COLUMNS, ROWS.T, strict=True))
    codes = arrow.chunked_array([[1, None], [2] * 46]).dictionary_encode()
    missing = r"got nan at row 1, feature {} \(column '{}'\); drop or"
    return {
        "null category": (
            arrow.table({**columns, "age": codes}),
            missing.format(2, "age"),
        ),
        "null categories": (
            arrow.table(dict.fromkeys(COLUMNS, codes)),
            missing.format(0, "height"),
        ),
    }


def bad_torch():
    torch = pytest.importorskip("torch", reason="an optional peer")
    tensor = torch.tensor(ROWS)
    return {
        "gradient": (
            tensor.clone().requires_grad_(),
            r"gradient; .* give .detach\(\)",
        ),
        "bfloat16 with gradient": (
            tensor.bfloat16().requires_grad_(),
            r"must not be part of a differentiation, got a Tensor",
        ),
        "meta": (tensor.to("meta"), "got a Tensor .*meta device"),
        "sparse": (tensor.to_sparse(), r"got a Tensor .*to_dense\(\)"),
        "negative": (torch._neg_view(tensor), r"give .resolve_neg\(\)"),
    }


class OfADevice:
    """A tensor on a device that JAX does not use, as CuPy would hand it over."""

    shape, ndim, dtype, device = ROWS.shape, 2, ROWS.dtype, "cuda:0"

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __dlpack_device__(self):
        return 2, 0  # kDLCUDA

    def __dlpack__(self, **options):
        raise BufferError("no such device")

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, some):
        return self


class Pinned:
    """A tensor in memory of the host that a device reads, as one of PyTorch has it."""

    shape, ndim, dtype = ROWS.shape, 2, ROWS.dtype

    def __init__(self, device_type):
        self.device_type = device_type

    def __array__(self, dtype=None, copy=None):
        return ROWS

    def __dlpack_device__(self):
        return self.device_type, 0

    def __dlpack__(self, **options):
        raise BufferError("no such device")


@pytest.mark.parametrize("device_type", [3, 11], ids=["kDLCUDAHost", "kDLROCMHost"])
def test_pinned_memory_is_that_of_the_host(device_type):
    pinned = Pinned(device_type)
    np.testing.assert_array_equal(check.features("rows", pinned), ROWS)
    np.testing.assert_array_equal(jaxlin.scores(FIT, pinned), jaxlin.scores(FIT, ROWS))


def bad_devices():
    words = (
        r"memory of the host or of a device that JAX uses \(cpu\), got a OfADevice on"
    )
    return {"of another device": (OfADevice(), f"{words} cuda:0 .*copy it to the host")}


BAD = {
    "NumPy": bad_numpy,
    "JAX": bad_jax,
    "scipy": bad_scipy,
    "pandas": bad_pandas,
    "polars": bad_polars,
    "PyArrow": bad_arrow,
    "PyTorch": bad_torch,
    "devices": bad_devices,
}


@every_door
@pytest.mark.parametrize("library", BAD)
def test_rows_that_are_none_are_refused_by_name(library, door):
    for kind, (rows, message) in BAD[library]().items():
        if door == "list of blocks" and kind in ("lazy", "sparse", "JAX"):
            continue  # They have no slices.
        if door == "list of blocks":
            message = message.split(r" \(column")[0]
        try:
            with pytest.raises(ValueError, match=message):
                DOORS[door](rows)
        except BaseException as error:
            error.add_note(f"{kind} of {library} at {door}")
            raise


def times_in(unit, kind):
    """Tables of every library with a column of times among numbers."""
    pandas, polars, arrow = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))
    columns = dict(zip(COLUMNS, ROWS.T, strict=True))
    times = {**columns, "age": ROWS[:, 2].astype(f"{kind}[{unit}]")}
    # polars has no seconds.
    return [
        pandas.DataFrame(times),
        *([polars.DataFrame(times)] if unit != "s" else []),
        arrow.table(times),
    ]


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
@pytest.mark.parametrize("kind", ["datetime64", "timedelta64"])
def test_columns_of_times_are_refused_in_every_unit(kind, unit):
    for rows in times_in(unit, kind):
        with pytest.raises(ValueError, match=r"time .* feature 2 \(column 'age'\)"):
            check.features("rows", rows)


def test_objects_that_are_durations_are_refused():
    rows = np.array([[np.timedelta64(1, "ns")]], object)
    with pytest.raises(ValueError, match="got time 1 nanoseconds at row 0, feature 0"):
        check.features("rows", rows)


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
