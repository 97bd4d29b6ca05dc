"""Columns that are no numbers, of every library: a refusal with the column's name."""

import datetime
import decimal

import numpy as np
import pytest

from jaxlin import check

DATE, TIME = datetime.date(2020, 1, 1), datetime.time(1, 2, 3)
PRICE = decimal.Decimal("1.5")
# Items that every library holds, with what the refusal says of them.
OF_ANY_LIBRARY = {
    "date": (DATE, "got time 2020-01-01"),
    "time of day": (TIME, "got time 01:02:03"),
    "instant": (datetime.datetime(2020, 1, 1), "got time 2020-01-01"),
    "duration": (datetime.timedelta(1), "got time 86400000000"),
    "decimal": (PRICE, "got Decimal 1.5 .*convert them to float"),
    "list": ([1.0, 2.0], r"got (list|ndarray) \[1.*give each of its entries a column"),
    "text": ("old", "got text 'old' .*encode categories"),
    "bytes": (b"old", "got text b'old'"),
}


def arrow_kinds(arrow):
    times = arrow.array([1] * 3, arrow.time64("ns"))
    structs = arrow.array([{"a": 1}] * 3)
    lists = arrow.array([[1.0]] * 3)
    encoded = arrow.DictionaryArray.from_arrays
    union = arrow.UnionArray.from_sparse(
        arrow.array([0, 1, 0], arrow.int8()),
        [arrow.array([1] * 3), arrow.array(["a"] * 3)],
    )
    named = r"columns of numbers, got column 'age' of type {} \("
    return {
        "nanoseconds": (times, named.format(r"time64\[ns\]") + "Value 1 has"),
        "seconds": (arrow.array([TIME] * 3, arrow.time32("s")), "got time 01:02:03"),
        "milliseconds": (arrow.array([DATE] * 3, arrow.date64()), "time 2020-01-01"),
        "months": (
            arrow.array([(1, 2, 3)] * 3, arrow.month_day_nano_interval()),
            "got DateOffset at row 0",
        ),
        "wide decimal": (
            arrow.array([PRICE] * 3, arrow.decimal256(50, 2)),
            "got Decimal 1.50",
        ),
        "fixed list": (
            arrow.array([[1.0, 2.0]] * 3, arrow.list_(arrow.float64(), 2)),
            r"got ndarray \[1. 2.\]",
        ),
        "struct": (structs, "got dict {'a': 1}"),
        "map": (
            arrow.array([[("a", 1)]] * 3, arrow.map_(arrow.string(), arrow.int64())),
            r"got list \[\('a', 1\)\]",
        ),
        "union": (union, named.format("sparse_union.*")),
        "fixed bytes": (arrow.array([b"ab"] * 3, arrow.binary(2)), "got text b'ab'"),
        "nothing": (arrow.nulls(3), "got missing None"),
        "encoded nanoseconds": (
            times.dictionary_encode(),
            named.format("dictionary<values=time64.*") + "Value 1 has",
        ),
        "encoded decimals": (
            arrow.array([PRICE] * 3).dictionary_encode(),
            "got Decimal 1.5",
        ),
        "encoded structs": (encoded([0] * 3, structs), named.format("dictionary<.*")),
        "encoded lists": (encoded([0] * 3, lists), named.format("dictionary<.*")),
    }


def pandas_kinds(pandas):
    return {
        "zone": (
            pandas.Series(pandas.date_range("2020", periods=3, tz="UTC")),
            "got time 2020-01-01",
        ),
        "period": (pandas.Series(pandas.period_range("2020", periods=3)), "got Period"),
        "interval": (pandas.Series(pandas.interval_range(0, 3)), "got Interval"),
        "lists": (pandas.Series([[1], [1, 2], [3]]), r"got list \[1\]"),
        "dictionary": (pandas.Series([{"a": 1}] * 3), "got dict {'a': 1}"),
        "arrays": (pandas.Series([np.ones(2)] * 3), r"got ndarray \[1. 1.\]"),
        "strings": (pandas.Series(["old"] * 3, dtype="string"), "got text 'old'"),
        "dates as categories": (
            pandas.Series(pandas.date_range("2020", periods=3)).astype("category"),
            "got time 2020-01-01",
        ),
        "complex": (pandas.Series([1j] * 3), "got complex 1j"),
        "large": (
            pandas.Series([2**70 + 1] * 3),
            "got int 1180.* to float",
        ),
        "object": (pandas.Series([object()] * 3), "got object at row 0"),
    }


def polars_kinds(polars):
    named = r"columns of numbers, got column 'age' of type {} \({}"
    return {
        "array": (
            polars.Series([[1, 2]] * 3, dtype=polars.Array(polars.Int64, 2)),
            named.format("Array.*", r"shape \(3, 2\)"),
        ),
        "struct": (
            polars.Series([{"a": 1}] * 3),
            named.format("Struct.*", r"shape \(3, 1\)"),
        ),
        "category": (polars.Series(["old"] * 3, dtype=polars.Categorical), "'old'"),
        "enum": (polars.Series(["old"] * 3, dtype=polars.Enum(["old"])), "'old'"),
        "128 bits": (
            polars.Series([1] * 3, dtype=polars.Int128),
            named.format("Int128", "cannot convert"),
        ),
        "object": (
            polars.Series([object()] * 3, dtype=polars.Object),
            "got object at row 0",
        ),
        "nothing": (polars.Series([None] * 3), "finite, got nan|got missing None"),
    }


LIBRARIES = {
    "pyarrow": (
        lambda arrow: arrow.array,
        lambda arrow: arrow.table,
        arrow_kinds,
    ),
    "pandas": (
        lambda pandas: pandas.Series,
        lambda pandas: pandas.DataFrame,
        pandas_kinds,
    ),
    "polars": (
        lambda polars: polars.Series,
        lambda polars: polars.DataFrame,
        polars_kinds,
    ),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_columns_that_are_no_numbers_are_refused_by_name(library):
    module = pytest.importorskip(library)
    column_of, table_of, own_kinds = LIBRARIES[library]
    kinds = {
        kind: (column_of(module)([item] * 3), message)
        for kind, (item, message) in OF_ANY_LIBRARY.items()
    }
    numbers = np.arange(3, dtype=np.float32)
    for kind, (column, message) in (kinds | own_kinds(module)).items():
        for columns in (
            {"age": column},
            {"age": column, "other": column},
            {"width": numbers, "age": column},
        ):
            with pytest.raises(ValueError, match=message) as caught:
                check.features("x_train", table_of(module)(columns))
            assert str(caught.value).startswith("x_train must"), kind
            assert "column 'age'" in str(caught.value), kind


def test_columns_of_one_name_are_read_by_their_place():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table([arrow.array([1, 2]), arrow.array([0.5, 1.5])], ["a", "a"])
    found = check.features("x_train", table)
    np.testing.assert_array_equal(found, [[1, 0.5], [2, 1.5]])


@pytest.mark.parametrize(
    ("library", "labels"),
    [
        ("pyarrow", lambda arrow: arrow.array([1, 2], arrow.time64("ns"))),
        ("polars", lambda polars: polars.Series([0, 1], dtype=polars.Int128)),
    ],
)
def test_labels_that_numpy_cannot_hold_are_refused_by_name(library, labels):
    module = pytest.importorskip(library)
    with pytest.raises(ValueError, match="y_train must be an array that NumPy reads"):
        check.labels("y_train", labels(module))
