"""CSV, parquet and svmlight files, alone, in pairs and in folders."""

import bz2
import gzip
import json
import lzma
import sys

import image_copies
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.sparse
from sklearn.datasets import dump_svmlight_file

import jaxlin
from jaxlin import data
from jaxlin.data import csv_text, svmlight, tables

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
    dense = features.toarray() if scipy.sparse.issparse(features) else features
    np.testing.assert_array_equal(dense, rows.astype("f4"), strict=True)
    assert [class_names[code] for code in split.labels] == [str(one) for one in labels]


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
        ],
    )
    def test_labels_of_any_kind(self, tmp_path, labels, names):
        path = tmp_path / "some.csv"
        path.write_text(csv_of(X[:4], labels))
        found = data.load(path)
        assert found.class_names == names
        wanted = [
            str(int(float(one))) if "." in str(one) else str(one) for one in labels
        ]
        assert [names[code] for code in found.train.labels] == wanted


GOOD = "a,b,label\n1,2,x\n3,4,y\n"
BAD_CSV = {
    "a word": ("a,b,label\n1,2,x\n3,red,y\n", "b must be a number, got 'red' in row 1"),
    "a gap": (
        "a,b,label\n,2,x\n3,4,y\n",
        "a must be a number, got '' in row 0; impute",
    ),
    "nan": (
        "a,b,label\nnan,2,x\n3,4,y\n",
        "must be finite, got nan at row 0, feature 0",
    ),
    "huge": ("a,b,label\n1e99,2,x\n3,4,y\n", "must be finite, got inf at row 0"),
    "a short row": ("a,b,label\n1,2,x\n3,y\n", "columns changed from 3 to 2 at row"),
    "long rows of numbers": ("a,b,label\n1,2,x,\n", "must have 3 .* got more in row 0"),
    "a long row": ("a,b,label\n1,2,x\n3,4,y,5\n", "columns changed from 3 to 4 at row"),
    "long rows": ("a,b,label\n1,2,x,0\n3,4,y,5\n", "rows must have 3 cells.*got 4"),
    "no rows": ("a,b,label\n", "rows must have 3 cells, one per column, got 0"),
    "empty": ("", "first line must hold the names of the columns, got ''"),
    "no names": ("1,2,3\n4,5,6\n", "first line must hold the names .* got '1,2,3'"),
    "an index": (",a,label\n0,1,x\n1,2,y\n", "got none for column 0; .*index=False"),
    "names twice": ("a,a,label\n1,2,x\n3,4,y\n", "must differ, got a more than once"),
    "no label": ("a,b\n1,2\n", "label must name .* one of 'a', 'b', got 'label'"),
    "a label missing": ("a,b,label\n1,2,x\n3,4,\n", "label must be given .* in row 1"),
    "fractions": ("a,b,label\n1,2,0.5\n3,4,1.5\n", "labels must be integers, booleans"),
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


@pytest.mark.parametrize("name", ["a.csv.gz", "a.svm.bz2", "a.csv.xz"])
def test_packed_files_that_are_damaged(tmp_path, name):
    path = tmp_path / name
    packs = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    for content in (b"no packed file", packs[path.suffix](csv_of().encode())[:-9]):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=f"{name}: must be a whole {path.suffix} f"
        ):
            data.load(path)


def test_csv_of_another_encoding_is_named(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes("größe,label\n1,x\n2,y\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"bad.csv: must be text in UTF-8"):
        data.load(path)


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
        assert_rows(found.train, both, Y, found.class_names)
        assert found.feature_names == (*(f"embedding[{i}]" for i in range(3)), "age")

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
    "nan": ({**TWO, "a": [1.0, np.nan]}, "must be finite, got nan at row 1"),
    "ragged": ({**TWO, "a": [[1.0], [1.0, 2.0]]}, "a must hold lists of one length"),
    "a gap in a list": ({**TWO, "a": [[1.0], [None]]}, "lists without missing entries"),
    "no features": (TWO, "must have columns of features beside label"),
    "no label": ({"a": [1, 2]}, "label must name .* one of 'a', got 'label'"),
    "fractions": ({"label": [0.5, 1.5], "a": [1, 2]}, "labels must be integers"),
    "no rows": ({"label": [], "a": []}, "must have examples, got no rows"),
    "no bytes": ({**TWO, "img": cells(PNG, None)}, "only a path for row 1"),
    "no image": ({**TWO, "img": cells(PNG, b"abc")}, "images must be PNG or JPEG"),
    "two modes": ({**TWO, "img": cells(PNG, COLOR)}, "must share one shape"),
    "16 bits": ({**TWO, "img": cells(DEEP, DEEP)}, "must be 8-bit .* got mode I;16"),
}


@pytest.mark.parametrize(("columns", "words"), BAD_PARQUET.values(), ids=BAD_PARQUET)
def test_bad_parquet_is_named(tmp_path, columns, words):
    path = parquet_of(tmp_path / "bad.parquet", columns)
    with pytest.raises(ValueError, match=words) as caught:
        data.load(path)
    assert path.name in str(caught.value)


def test_parquet_that_is_none_and_without_pyarrow(tmp_path, monkeypatch):
    path = tmp_path / "bad.parquet"
    path.write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(ValueError, match=r"bad.parquet: must be a parquet file"):
        data.load(path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(data.DataUnavailableError, match="pip install"):
        data.load(path)


SPARSE = scipy.sparse.random_array(
    (40, 9), density=0.3, format="csr", rng=np.random.default_rng(1)
)
SIGNS = np.where(np.arange(40) % 3, 1, -1)


class TestSvmlight:
    def test_rows_stay_sparse(self, tmp_path):
        path = tmp_path / "a9a.svm"
        dump_svmlight_file(SPARSE, SIGNS, str(path), zero_based=False)
        found = data.load(path)
        assert scipy.sparse.issparse(found.train.features)
        assert found.train.features.format == "csr"
        assert found.train.features.dtype == np.float32
        assert_rows(found.train, SPARSE.toarray(), SIGNS, found.class_names)
        assert found.class_names == ("-1", "1")
        assert found.feature_names is None
        assert found.num_features == 9

    @pytest.mark.parametrize("zero_based", [True, False])
    def test_a_narrower_test_file_gets_the_width_of_the_training_file(
        self, tmp_path, zero_based
    ):
        """The case of a9a: 123 features, of which 122 occur in its test file."""
        train, test = tmp_path / "a9a", tmp_path / "a9a.t"
        narrow = SPARSE[:, [1, 2, 3]][:10]
        for path, rows in ((train, SPARSE), (test, narrow)):
            labels = SIGNS[: rows.shape[0]]
            dump_svmlight_file(rows, labels, str(path), zero_based=zero_based)
        found = data.load(train, reader=svmlight.read, test=test)
        assert found.test.features.shape == (10, 9)
        np.testing.assert_array_equal(
            found.test.features.toarray()[:, :3], narrow.toarray().astype("f4")
        )
        assert_rows(found.train, SPARSE.toarray(), SIGNS, found.class_names)
        assert found.name == "a9a"

    def test_packed_files_comments_and_queries(self, tmp_path):
        path = tmp_path / "some.libsvm.xz"
        path.write_bytes(lzma.compress(b"# made\n2 qid:1 1:0.5 3:2 # first\n1 2:1\n\n"))
        found = data.load(path)
        np.testing.assert_array_equal(
            found.train.features.toarray(), [[0.5, 0, 2], [0, 1, 0]]
        )
        assert found.class_names == ("1", "2")
        assert found.train.labels.tolist() == [1, 0]

    def test_the_summary_tells_rows_apart(self, tmp_path):
        path = tmp_path / "some.svm"
        described = []
        for text in ("1 1:1 2:2\n2 1:3\n", "1 1:1 2:2\n2 2:3\n", "1 1:1 2:2\n2 1:4\n"):
            path.write_text(text)
            described.append(data.summary(data.load(path))["train"]["features"])
        assert len({one["sha256"] for one in described}) == 3
        assert described[0]["shape"] == [2, 2]


GOOD_LINES = ["1 1:1 2:2\n", "2 1:3\n"] * 50
BAD_LINES = {
    "a word": ("3 1:x\n", "line 71 must be .* got '3 1:x'"),
    "indices that fall": (
        "1 2:1 1:2\n",
        "line 71 must be .* rising indices, got '1 2:1",
    ),
    "no index": ("1 5\n", "line 71 must be a label and index:value pairs"),
    "a huge index": ("1 99999999999:1\n", "line 71 must be .* got '1 99999999999:1'"),
    "no label": ("cat 1:2\n", "line 71 must be .* got 'cat 1:2'"),
    "several labels": ("1,2 1:2\n", "line 71 must be .* got '1,2 1:2'"),
    "infinite": ("1 2:inf\n", "must be finite, got inf at row 70, feature 1"),
    "a fraction": ("0.5 2:1\n", "labels must be integers, booleans or text"),
}


@pytest.mark.parametrize(("line", "words"), BAD_LINES.values(), ids=BAD_LINES)
def test_bad_lines_are_named(tmp_path, line, words):
    good, path = tmp_path / "good.svm", tmp_path / "bad.svm"
    good.write_text("".join(GOOD_LINES))
    path.write_text("".join([*GOOD_LINES[:70], line, *GOOD_LINES[70:]]))
    with pytest.raises(ValueError, match=words) as caught:
        data.load(path, test=good)
    assert str(path) in str(caught.value)
    if "line 71" in words:
        with pytest.raises(ValueError, match=words) as caught:
            data.load(good, test=path)
        assert str(path) in str(caught.value)


def test_svmlight_has_no_names_and_needs_scikit_learn(tmp_path, monkeypatch):
    path = tmp_path / "some.svm"
    path.write_text("".join(GOOD_LINES))
    with pytest.raises(ValueError, match="no columns with names, got label='a'; leave"):
        data.load(path, label="a")
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(data.DataUnavailableError, match="pip install"):
        data.load(path)


class TestSplits:
    def test_a_second_file_holds_the_test_examples(self, tmp_path):
        train, test = tmp_path / "a.csv", tmp_path / "b.csv"
        train.write_text(csv_of())
        test.write_text(csv_of(X[:5], Y[:5]))
        found = data.load(train, test=test)
        assert_rows(found.test, X[:5], Y[:5], found.class_names)
        fit = jaxlin.fit(
            *found.train, loss=jaxlin.losses.softmax_cross_entropy, l2=1e-2
        )
        assert jaxlin.evaluate(fit, *found.test).accuracy.value >= 0

    def test_a_folder_has_files_of_its_splits(self, tmp_path):
        parts = {"train": slice(7), "test": slice(7, 9), "validation": slice(9, 12)}
        for split, part in parts.items():
            (tmp_path / f"{split}.tsv").write_text(
                csv_of(X[part], Y[part], delimiter="\t")
            )
        (tmp_path / "train.txt").write_text("something else")
        found = data.load(tmp_path)
        for split, part in parts.items():
            assert_rows(getattr(found, split), X[part], Y[part], found.class_names)
        assert found.name == tmp_path.name

    def test_splits_must_go_together(self, tmp_path):
        train, test = tmp_path / "a.csv", tmp_path / "b.csv"
        train.write_text(csv_of())
        test.write_text(csv_of(names=("width", "age", "height")))
        with pytest.raises(
            ValueError, match="same columns .* width, height, age .3. and"
        ):
            data.load(train, test=test)
        test.write_text(csv_of(labels=["cow"] * 12))
        with pytest.raises(
            ValueError, match="test labels .* got cow at position 0; each"
        ):
            data.load(train, test=test)
        test.write_text(csv_of(labels=np.arange(12)))
        with pytest.raises(ValueError, match="test labels must be text"):
            data.load(train, test=test)

    def test_images_of_another_shape(self, tmp_path):
        for split, size in (("train", 2), ("test", 3)):
            png = image_copies.encoded(np.zeros((size, 2), np.uint8))
            parquet_of(tmp_path / f"{split}.parquet", {**TWO, "img": cells(png, png)})
        with pytest.raises(
            ValueError, match=r"one shape, got \(2, 2, 1\) and \(3, 2, 1"
        ):
            data.load(tmp_path)

    def test_options_of_other_forms_are_refused(self, tmp_path):
        for options in ({"label": "a"}, {"test": "b.csv"}):
            with pytest.raises(
                ValueError, match="test and label must be given with a CSV"
            ):
                data.load("digits", **options)

    def test_a_name_without_an_end_needs_a_reader(self, tmp_path):
        path = tmp_path / "a9a"
        path.write_text(csv_of())
        with pytest.raises(
            ValueError, match="must have a name that ends in .npz, .csv"
        ):
            data.load(path)
        found = data.load(path, reader=csv_text.read)
        assert_rows(found.train, X, Y, found.class_names)

    def test_a_reader_of_ones_own(self, tmp_path):
        """Files of a folder in a format of their own."""
        for split in ("train", "test"):
            (tmp_path / f"{split}.rows").write_text("1 2 3 x\n4 5 6 y\n")

        def read(paths, *, label=None):
            found = []
            for path in paths:
                cells = [line.split() for line in path.read_text().splitlines()]
                rows = np.array([line[:-1] for line in cells], float)
                found.append(tables.Table(rows, np.array([line[-1] for line in cells])))
            return found

        found = data.load(tmp_path, reader=read)
        assert found.class_names == ("x", "y")
        np.testing.assert_array_equal(found.test.features, [[1, 2, 3], [4, 5, 6]])

    def test_files_that_are_not_there(self, tmp_path):
        good, gone = tmp_path / "good.csv", tmp_path / "gone.csv"
        good.write_text(csv_of())
        for options in ((gone, None), (good, gone), (gone, good)):
            with pytest.raises(ValueError, match=r"gone.csv cannot be opened .No such"):
                data.load(options[0], test=options[1])

    def test_a_folder_needs_training_examples(self, tmp_path):
        (tmp_path / "test.csv").write_text(csv_of())
        with pytest.raises(
            ValueError, match="must have files whose names begin with tr"
        ):
            data.load(tmp_path, reader=csv_text.read)
        with pytest.raises(ValueError, match="data set must be"):
            data.load(tmp_path)

    def test_arrays_in_a_folder_come_before_other_files(self, tmp_path):
        for name, array in {"x": X, "y": np.arange(12) % 2}.items():
            np.save(tmp_path / f"{name}_train.npy", array)
            np.save(tmp_path / f"{name}_test.npy", array)
        (tmp_path / "train.csv").write_text(csv_of())
        assert data.load(tmp_path).class_names == ("0", "1")

    def test_home_and_variables_in_every_path(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("PART", "animals")
        (tmp_path / "animals.csv").write_text(csv_of())
        found = data.load("~/$PART.csv", test="${HOME}/animals.csv")
        assert_rows(found.test, X, Y, found.class_names)
        np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X, y_test=Y)
        assert data.load("~/a.npz").name == "a"
        with pytest.raises(ValueError, match=r"variables that are set, got \$NOWHERE"):
            data.load("$NOWHERE/a.csv")
