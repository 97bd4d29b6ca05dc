"""Parquet files of numbers, embeddings and images."""

import errno
import json
import sys

import image_copies
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from table_makers import NAMES, X, Y, assert_rows, columns_of, parquet_of

from jaxlin import data


class TestParquet:
    def test_columns_of_numbers(self, tmp_path):
        columns = columns_of()
        columns["age"] = np.arange(12) > 5
        columns["width"] = np.arange(12, dtype="i2")
        columns["number"] = np.arange(12)
        # An index with a name, as pandas describes it.
        metadata = {"pandas": json.dumps({"index_columns": ["number"]})}
        path = parquet_of(tmp_path / "animals.parquet", columns, metadata=metadata)
        found = data.load(path)
        rows = np.stack([np.arange(12), X[:, 1], np.arange(12) > 5], axis=1)
        assert_rows(found.train, rows, Y, found.class_names)
        assert found.feature_names == NAMES

    @pytest.mark.parametrize("kind", ["list", "fixed"])
    def test_embeddings_and_numbers(self, tmp_path, kind):
        rows = pyarrow.array(X.astype("f4").tolist(), pyarrow.list_(pyarrow.float32()))
        if kind == "fixed":
            rows = rows.cast(pyarrow.list_(pyarrow.float32(), 3))
        columns = {"label": Y, "embedding": rows, "age": np.arange(12.0)}
        found = data.load(parquet_of(tmp_path / "e.parquet", columns))
        both = np.concatenate([X, np.arange(12.0)[:, None]], axis=1)
        assert_rows(found.train, both.astype("f4"), Y, found.class_names)
        assert found.feature_names == (*(f"embedding[{i}]" for i in range(3)), "age")

    def test_integers_of_several_types_are_not_rounded(self, tmp_path):
        """NumPy makes float64 of int64 beside uint64, and of either beside floats."""
        columns = {
            "label": ["x", "y"],
            "a": np.array([2**53, 0], np.uint64),
            "b": np.array([-(2**53), 1], np.int64),
            "c": np.array([200, 1], np.uint8),
        }
        found = data.load(parquet_of(tmp_path / "some.parquet", columns))
        np.testing.assert_array_equal(
            found.train.features, [[2.0**53, -(2.0**53), 200], [0, 1, 1]]
        )
        pixels = {"label": ["x", "y"], "c": columns["c"]}
        found = data.load(parquet_of(tmp_path / "bytes.parquet", pixels))
        assert found.train.features.dtype == np.uint8

    @pytest.mark.parametrize(
        "described",
        [[], {"info": None}, {"info": {"features": None}}]
        + [{"info": {"features": {"label": [{"names": ["a", "b"]}]}}}],
    )
    def test_descriptions_without_names(self, tmp_path, described):
        text = json.dumps(described)
        metadata = {"huggingface": text, "pandas": text}
        path = parquet_of(tmp_path / "h.parquet", columns_of(), metadata=metadata)
        found = data.load(path)
        assert_rows(found.train, X, Y, found.class_names)

    @pytest.mark.parametrize(
        ("metadata", "words"),
        [
            ({"huggingface": "{"}, "metadata 'huggingface' must be JSON"),
            ({"pandas": "{"}, "metadata 'pandas' must be JSON"),
            (
                {
                    "huggingface": json.dumps(
                        {"info": {"features": {"label": {"names": [1, 2]}}}}
                    )
                },
                r"names of the classes .* must be a list of text, got \[1, 2\]",
            ),
        ],
    )
    def test_descriptions_that_are_damaged(self, tmp_path, metadata, words):
        path = parquet_of(tmp_path / "h.parquet", columns_of(), metadata=metadata)
        with pytest.raises(ValueError, match=f"h.parquet: {words}"):
            data.load(path)

    def test_categories_and_names_of_the_hub(self, tmp_path):
        columns = columns_of(labels=pyarrow.array(Y).dictionary_encode())
        found = data.load(parquet_of(tmp_path / "c.parquet", columns))
        assert_rows(found.train, X, Y, found.class_names)
        features = {"kind": {"names": ["cat", "dog", "eel", "fox"]}}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        columns = {**columns_of(labels=np.arange(12) % 3), "kind": np.arange(12) % 3}
        del columns["label"]
        path = parquet_of(tmp_path / "h.parquet", columns, metadata=metadata)
        found = data.load(path, label="kind")
        assert_rows(found.train, X, Y, found.class_names)
        assert found.class_names == ("cat", "dog", "eel", "fox")

    def test_images_in_several_files(self, tmp_path):
        """Sorted by name; another column beside the images is no feature."""
        images = image_copies.small((4, 5, 3), num_classes=3)
        cells = [
            {"bytes": image_copies.encoded(one), "path": "a.png"}
            for one in images.train
        ]
        for number, part in enumerate((slice(8), slice(8, None))):
            parquet_of(
                tmp_path / f"train-0000{number}-of-00002.parquet",
                {
                    "image": cells[part],
                    "label": images.train_labels[part],
                    "id": np.arange(15)[part],
                    "note": [None] * len(cells[part]),
                },
            )
        found = data.load(tmp_path)
        assert found.image_shape == (4, 5, 3)
        assert (found.max_value, found.feature_names) == (255.0, None)
        np.testing.assert_array_equal(
            found.train.features.reshape(-1, 4, 5, 3), images.train, strict=True
        )
        np.testing.assert_array_equal(found.train.labels, images.train_labels)


def cells(*contents):
    return [{"bytes": one, "path": "some.png"} for one in contents]


PNG = image_copies.encoded(np.zeros((2, 2), np.uint8))
COLOR = image_copies.encoded(np.zeros((2, 2, 3), np.uint8))
DEEP = image_copies.encoded(np.zeros((2, 2), np.uint16))
TWO = {"label": ["x", "y"]}
BAD_PARQUET = {
    "text": ({**TWO, "color": ["red", "blue"]}, "color must hold numbers.*got string"),
    "a gap": ({**TWO, "a": [1.0, None]}, "a must be given for .* got none in row 1"),
    "a label missing": ({"label": ["x", None], "a": [1, 2]}, "label must be given"),
    "nan": (
        {**TWO, "a": [1.0, np.nan]},
        "must be finite, got nan at row 1, .*column 'a'",
    ),
    "ragged": ({**TWO, "a": [[1.0], [1.0, 2.0]]}, "a must hold lists of one length"),
    "a gap in a list": ({**TWO, "a": [[1.0], [None]]}, "lists without missing entries"),
    "no features": (TWO, "must have columns of features beside label"),
    "no label": ({"a": [1, 2]}, "label must name .* one of 'a', got 'label'"),
    "fractions": ({"label": [0.5, 1.5], "a": [1, 2]}, "labels must be integers"),
    "no rows": ({"label": [], "a": []}, "must have examples, got no rows"),
    "no bytes": ({**TWO, "img": cells(PNG, None)}, "only a path for row 1"),
    "no image": ({**TWO, "img": cells(PNG, b"abc")}, "images must be PNG or JPEG"),
    "text in place of an image": ({**TWO, "img": cells("a", "b")}, "img must hold num"),
    "a label of lists": ({"label": [[1, 2], [3]], "a": [1, 2]}, "labels must be integ"),
    "large integers": (
        {**TWO, "a": [2**53 + 1, 2], "b": [0.5, 1.0]},
        f"a must lie within 2.53 of 0, .* got {2**53 + 1}; subtract",
    ),
    "large integers in lists": (
        {**TWO, "a": [[2**53 + 1], [2]], "b": [0.5, 1.0]},
        f"a must lie within 2.53 of 0, .* got {2**53 + 1}; subtract",
    ),
    "two modes": ({**TWO, "img": cells(PNG, COLOR)}, "must share one shape"),
    "16 bits": ({**TWO, "img": cells(DEEP, DEEP)}, "must be 8-bit .* got mode I;16"),
}


@pytest.mark.parametrize(("columns", "words"), BAD_PARQUET.values(), ids=BAD_PARQUET)
def test_bad_parquet_is_named(tmp_path, columns, words):
    path = parquet_of(tmp_path / "bad.parquet", columns)
    with pytest.raises(ValueError, match=words) as caught:
        data.load(path)
    assert path.name in str(caught.value)


def test_columns_of_one_name_are_refused(tmp_path):
    table = pyarrow.Table.from_arrays(
        [pyarrow.array([1, 2])] * 3 + [pyarrow.array(["x", "y"])],
        ["width", "width", "age", "label"],
    )
    path = tmp_path / "bad.parquet"
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(
        ValueError, match="bad.parquet: names of .* got width more than"
    ):
        data.load(path)


@pytest.mark.parametrize("compression", ["snappy", "gzip", "none"])
def test_damaged_parquet_is_named(tmp_path, compression):
    """Bytes of pages, of the description at the end, and of names of columns."""
    path = tmp_path / "bad.parquet"
    columns = {"width": np.arange(1000.0), "label": ["x", "y"] * 500}
    pyarrow.parquet.write_table(
        pyarrow.table(columns), path, compression=compression, use_dictionary=False
    )
    whole = path.read_bytes()
    named = whole.replace(b"width", b"w\xffdth")
    cases = [named, whole[:-30], whole[:200] + whole[300:]]
    for where in (4, 10, len(whole) - 50):
        cases.append(whole[:where] + b"\xff" * 20 + whole[where + 20 :])
    for content in cases:
        path.write_bytes(content)
        with pytest.raises(ValueError, match="bad.parquet: must be a whole parquet f"):
            data.load(path)


def test_labels_that_numpy_cannot_hold_are_named(tmp_path):
    times = pyarrow.array([1, 2], pyarrow.time64("ns"))
    path = parquet_of(tmp_path / "bad.parquet", {"label": times, "a": [1, 2]})
    with pytest.raises(
        ValueError, match="bad.parquet: label must be an array that NumPy"
    ):
        data.load(path)


def test_a_file_that_the_system_does_not_read_is_no_damage(tmp_path, monkeypatch):
    path = parquet_of(tmp_path / "some.parquet", columns_of())

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "not allowed")

    monkeypatch.setattr(pyarrow.parquet, "read_table", refuse)
    with pytest.raises(PermissionError, match="not allowed"):
        data.load(path)


def test_another_file_and_a_missing_package_are_named(tmp_path, monkeypatch):
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(ValueError, match=r"bad.parquet: must be a whole parquet f"):
        data.load(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(data.DataUnavailableError, match="pip install"):
        data.load(path)
