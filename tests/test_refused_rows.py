"""Rows that cannot be read, at every door: a refusal with the name and the remedy."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from foreign_arrays import OfADevice
from input_doors import DOORS
from input_rows import COLUMNS, ROWS
from jax.experimental import sparse

from jaxlin import check

every_door = pytest.mark.parametrize("door", DOORS)


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
    rows = jnp.asarray(ROWS)
    return {
        "NaN": (rows.at[2, 1].set(jnp.nan), "got nan at row 2, feat"),
        "float8": (
            rows.astype(jnp.float8_e5m2),
            "at least, got float8_e5m2, which JAX",
        ),
    }


def with_indices(rows, indices):
    """Rows whose indices scipy does not check."""
    return type(rows)((rows.data, indices, rows.indptr), shape=rows.shape)


def bad_scipy():
    rows = scipy.sparse.csr_array(ROWS)
    rows.data[rows.indptr[5]] = np.inf
    column = rows.indices[rows.indptr[5]]
    width = ROWS.shape[1]
    by_row, by_column = (scipy.sparse.csr_array(ROWS), scipy.sparse.csc_array(ROWS))
    blocks = scipy.sparse.bsr_array(ROWS)
    coordinates, swapped = by_row.copy().tocoo(), by_row.copy()
    coordinates.coords[1][4] = width
    swapped.indptr[3] = swapped.indptr[5]
    lists = by_row.tolil()
    lists.rows[0][-1] = width
    beyond = r"must have {} indices in \[0, {}\], got {} at entry .*; count from 0"
    out_of_range = {
        "from 1": (with_indices(by_row, by_row.indices + 1), ("column", width)),
        "negative": (with_indices(by_row, by_row.indices - 1), ("column", -1)),
        "CSC": (with_indices(by_column, by_column.indices + 1), ("row", len(ROWS))),
        "BSR": (with_indices(blocks, blocks.indices + 1), ("block column", "[0-9]")),
        "COO": (coordinates, ("column", width)),
        "LIL": (lists, ("column", width)),
    }
    return {
        **{
            kind: (found, beyond.format(axis, "[0-9]+", value))
            for kind, (found, (axis, value)) in out_of_range.items()
        },
        "order of rows": (
            swapped,
            "must have an indptr that ascends from 0 to at most",
        ),
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


# scipy makes the slices of the last ones, and drops or refuses what is out of range.
WITHOUT_SLICES = {
    *("lazy", "sparse", "JAX"),
    *("from 1", "negative", "CSC", "BSR", "COO", "LIL", "order of rows"),
}


@every_door
@pytest.mark.parametrize("library", BAD)
def test_bad_rows_are_refused_by_name(library, door):
    for kind, (rows, message) in BAD[library]().items():
        if door == "list of blocks" and kind in WITHOUT_SLICES:
            continue
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
