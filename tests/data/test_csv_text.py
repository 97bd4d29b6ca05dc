"""CSV files: what they may hold, and what is refused by name."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from table_makers import NAMES, X, Y, assert_rows, csv_of

from jaxlin import data


class TestCsv:
    def test_columns_are_features_and_text_labels_are_classes(self, tmp_path):
        path = tmp_path / "animals.csv"
        path.write_text(csv_of())
        found = data.load(path)
        assert_rows(found.train, X, Y, found.class_names)
        assert found.class_names == ("cat", "dog", "eel")
        assert found.feature_names == NAMES
        assert (found.name, found.source) == ("animals", str(path))
        assert (found.image_shape, found.max_value) == (None, 1.0)
        assert found.test.features.shape == (0, 3)
        assert found.test.labels.shape == (0,)

    @pytest.mark.parametrize("column", [0, 2])
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_any_column_and_delimiter(self, tmp_path, column, delimiter):
        path = tmp_path / "animals.csv"
        text = csv_of(column=column, delimiter=delimiter, label="kind")
        path.write_text(text, encoding="utf-8-sig")
        found = data.load(path, label="kind")
        assert_rows(found.train, X, Y, found.class_names)
        assert found.feature_names == NAMES

    @pytest.mark.parametrize(
        ("suffix", "pack"),
        [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)],
    )
    def test_packed_files(self, tmp_path, suffix, pack):
        path = tmp_path / f"animals.csv.{suffix}"
        path.write_bytes(pack(csv_of().encode()))
        found = data.load(path)
        assert_rows(found.train, X, Y, found.class_names)
        assert found.name == "animals"

    def test_quotes_and_line_ends_of_windows(self, tmp_path):
        path = tmp_path / "quoted.csv"
        path.write_bytes(b'"a, b","label"\r\n"1.5","x, y"\r\n2,"z"\r\n\r\n')
        found = data.load(path)
        assert found.feature_names == ("a, b",)
        assert found.class_names == ("x, y", "z")
        np.testing.assert_array_equal(found.train.features, [[1.5], [2]])

    @pytest.mark.parametrize(
        ("labels", "names"),
        [
            ([3, 1, 3, 7], ("1", "3", "7")),
            ([-1, 1, 1, -1], ("-1", "1")),
            (["1.0", "0.0", "1.0", "2"], ("0", "1", "2")),
            (["True", "False", "True", "True"], ("False", "True")),
            (["10", "9", "x", "9"], ("10", "9", "x")),
            ([2**60, 2**60 + 1, 2**60, 5], ("5", str(2**60), str(2**60 + 1))),
            (["+1", "1", "02", "2"], ("1", "2")),
            # Python's int and float would read some of these as the same number.
            (["1_1", "11", "2_0", "2_0"], ("11", "1_1", "2_0")),
            (["٣", "3", "3", "٣"], ("3", "٣")),
            (["9" * 20, "9" * 19 + "8", "5", "5"], ("5", "9" * 19 + "8", "9" * 20)),
            (["1." + "0" * 20 + "1", "1.0", "2", "2"], ...),
            ([f"{2**53 + 1}.0", f"{2**53}", "1", "1"], ...),
            (["1e2", "100", "100", "1e2"], ("100", "1e2")),
        ],
    )
    def test_labels_of_any_kind(self, tmp_path, labels, names):
        path = tmp_path / "some.csv"
        path.write_text(csv_of(X[:4], labels))
        found = data.load(path)
        if names is ...:
            names = tuple(sorted(set(labels)))
        assert found.class_names == names
        read = [names[code] for code in found.train.labels]
        is_number = not set(map(str, labels)) <= set(names)
        assert read == [
            str(int(float(one))) if is_number else str(one) for one in labels
        ]

    def test_lines_in_a_quoted_cell(self, tmp_path):
        path = tmp_path / "lines.csv"
        path.write_text('"a\nb","label"\n1,"x\ny"\n\n2,"say ""z"""\n3,5" disk\n')
        found = data.load(path)
        assert found.feature_names == ("a\nb",)
        assert found.class_names == ('5" disk', 'say "z"', "x\ny")
        np.testing.assert_array_equal(found.train.features, [[1], [2], [3]])

    def test_integers_up_to_2_to_the_53(self, tmp_path):
        path = tmp_path / "large.csv"
        path.write_text(f"a,label\n{2**53},x\n{-(2**53)},{2**60}\n1e20,z\n")
        found = data.load(path).train.features
        np.testing.assert_array_equal(found, [[2.0**53], [-(2.0**53)], [1e20]])


BAD_CSV = {
    "a word": ("a,b,label\n1,2,x\n3,red,y\n", "b must be a number, got 'red' in row 1"),
    "a gap": (
        "a,b,label\n,2,x\n3,4,y\n",
        "a must be a number, got '' in row 0; impute",
    ),
    "nan": (
        "a,b,label\nnan,2,x\n3,4,y\n",
        r"must be finite, got nan at row 0, feature 0 \(column 'a'\); drop",
    ),
    "huge": (
        "a,b,label\n1e99,2,x\n3,4,y\n",
        r"in float32, got 1e\+99 .* row 0, .*'a'\)",
    ),
    "a short row": (
        "a,b,label\n1,2,x\n3,y\n",
        "rows must have 3 cells, .* got 2 in row 1",
    ),
    "long rows of numbers": ("a,b,label\n1,2,x,\n", "must have 3 .* got more in row 0"),
    "a long row": (
        "a,b,label\n1,2,x\n3,4,y,5\n",
        "rows must have 3 cells, .* got 4 in row 1",
    ),
    "long rows": ("a,b,label\n1,2,x,0\n3,4,y,5\n", "rows must have 3 cells.*got 4"),
    "no rows": ("a,b,label\n", "rows must have 3 cells, one per column, got 0"),
    "empty": ("", "first line must hold the names of the columns, got ''"),
    "no names": ("1,2,3\n4,5,6\n", "first line must hold the names .* got '1,2,3'"),
    "an index": (",a,label\n0,1,x\n1,2,y\n", "got none for column 0; .*index=False"),
    "names twice": ("a,a,label\n1,2,x\n3,4,y\n", "must differ, got a more than once"),
    "no label": ("a,b\n1,2\n", "label must name .* one of 'a', 'b', got 'label'"),
    "a label missing": ("a,b,label\n1,2,x\n3,4,\n", "label must be given .* in row 1"),
    "fractions": ("a,b,label\n1,2,0.5\n3,4,1.5\n", "labels must be integers, booleans"),
    "a label nan": ("a,label\n1,x\n2,NaN\n", "label must be given .* got NaN in row 1"),
    "an integer beyond 2^53": (
        f'a,b,label\n1,2,x\n\n"3",-{2**53 + 1},y\n',
        f"b must lie within 2.53 of 0, .* got -{2**53 + 1} in row 1; subtract",
    ),
    "a quote without end": (
        'a,label\n1,x\n2,"y"\n3,"z\n4,x\n5,y\n',
        "quotes must be closed, got one in row 2 that",
    ),
    "a quote without end in a large file": (
        'a,label\n1,x\n2,"y\n' + "3,z\n" * 40000,
        "quotes must be closed, got one in row 1 that",
    ),
    "a quote without end in the header": (
        'a,"label\n1,x\n2,y\n',
        "quotes must be closed, got one in the names of the columns that",
    ),
    "one class": (
        "a,b,label\n1,2,x\n3,4,x\n",
        "at least two classes, got only class 0",
    ),
    "infinite": ("a,b,label\n1,2,inf\n3,4,1\n", "labels must be integers, booleans"),
    "only labels": ("label\nx\ny\n", "must not be empty, got shape"),
}


@pytest.mark.parametrize(("text", "words"), BAD_CSV.values(), ids=BAD_CSV)
def test_bad_csv_is_named(tmp_path, text, words):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        data.load(path)
    assert str(path) in str(caught.value)
    if "quote" in words:
        assert str(caught.value).count(str(path)) == 1


def test_csv_of_another_encoding_is_named(tmp_path):
    path = tmp_path / "bad.csv"
    late = "a,label\n" + "1,x\n" * 40000 + "2,größe\n"
    for text in ("größe,label\n1,x\n2,y\n", late):
        path.write_bytes(text.encode("latin1"))
        with pytest.raises(ValueError, match=r"bad.csv: must be text in UTF-8"):
            data.load(path)
