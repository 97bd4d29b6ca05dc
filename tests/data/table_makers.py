"""Small tables, and the files that hold them."""

import numpy as np
import pyarrow
import pyarrow.parquet
import scipy.sparse

X = np.random.default_rng(0).normal(size=(12, 3)).round(3)
Y = np.array(["cat", "dog", "eel"])[np.arange(12) % 3]
NAMES = ("width", "height", "age")


def csv_of(rows=X, labels=Y, *, names=NAMES, column=3, delimiter=",", label="label"):
    """Text with the labels as the column of that number."""
    header, *lines = [
        [*cells[:column], one, *cells[column:]]
        for cells, one in zip(
            [list(names), *rows.astype(str).tolist()], [label, *labels], strict=True
        )
    ]
    return "".join(delimiter.join(map(str, line)) + "\n" for line in [header, *lines])


def parquet_of(path, columns, *, metadata=None):
    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


def columns_of(rows=X, labels=Y):
    return {**dict(zip(NAMES, rows.T, strict=True)), "label": labels}


def assert_rows(split, rows, labels, class_names):
    features = split.features
    if scipy.sparse.issparse(features):
        features, rows = features.toarray(), rows.astype("f4")
    np.testing.assert_array_equal(features, rows, strict=True)
    assert [class_names[code] for code in split.labels] == [str(one) for one in labels]
