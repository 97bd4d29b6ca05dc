"""Files of several splits, their paths, and readers of one's own."""

import bz2
import gzip
import lzma

import image_copies
import numpy as np
import pytest
from table_makers import X, Y, assert_rows, columns_of, csv_of, parquet_of

import jaxlin
from jaxlin import data
from jaxlin.data import csv_text, tables


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

    @pytest.mark.parametrize("name", ["val", "VALIDATION", "val-0-of-1", "val2"])
    def test_names_of_validation_files(self, tmp_path, name):
        (tmp_path / "train.csv").write_text(csv_of())
        (tmp_path / f"{name}.csv").write_text(csv_of(X[:5], Y[:5]))
        found = data.load(tmp_path)
        assert_rows(found.validation, X[:5], Y[:5], found.class_names)
        assert (len(found.train.labels), len(found.test.labels)) == (12, 0)

    def test_validation_files_have_one_name(self, tmp_path):
        for name in ("train", "val", "validation"):
            (tmp_path / f"{name}.csv").write_text(csv_of())
        with pytest.raises(ValueError, match="under one name, got val and validation"):
            data.load(tmp_path)

    @pytest.mark.parametrize(
        "name",
        ["valid.csv", "dev.csv", "training.csv", "train_old.CSV", "tests.csv.gz"]
        + ["animals.parquet", "trainval.svm"],
    )
    def test_files_of_no_split_are_refused(self, tmp_path, name):
        """They would be left out without a word, or joined to the training rows."""
        for one in ("train.csv", name):
            (tmp_path / one).write_text(csv_of())
        with pytest.raises(ValueError, match=f"called train, .*, got {name}; rename"):
            data.load(tmp_path)
        if name.endswith(".csv"):
            given = data.load(tmp_path, test=tmp_path / name)
            assert len(given.test.labels) == 12
        (tmp_path / name).rename(tmp_path / f".{name}")
        assert len(data.load(tmp_path).train.labels) == 12

    def test_files_of_ones_own_format_are_called_by_their_split(self, tmp_path):
        for name in ("train.rows", "dev.rows"):
            (tmp_path / name).write_text(csv_of())
        with pytest.raises(ValueError, match="called train, .*, got dev.rows; rename"):
            data.load(tmp_path, reader=csv_text.read)

    def test_file_extensions_in_capitals(self, tmp_path):
        (tmp_path / "X.CSV").write_text(csv_of())
        (tmp_path / "Y.CSV.GZ").write_bytes(
            gzip.compress(csv_of(X[:5], Y[:5]).encode())
        )
        found = data.load(tmp_path / "X.CSV", test=tmp_path / "Y.CSV.GZ")
        assert_rows(found.test, X[:5], Y[:5], found.class_names)
        arrays = {"x_train": X, "y_train": np.arange(12) % 2}
        arrays |= {"x_test": X, "y_test": np.arange(12) % 2}
        with (tmp_path / "Z.NPZ").open("wb") as file:
            np.savez(file, **arrays)
        assert data.load(tmp_path / "Z.NPZ").class_names == ("0", "1")

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
        with pytest.raises(ValueError, match="test labels .* got 0 at position 0; "):
            data.load(train, test=test)
        train = parquet_of(tmp_path / "a.parquet", columns_of())
        test = parquet_of(tmp_path / "b.parquet", columns_of(labels=np.arange(12)))
        with pytest.raises(ValueError, match="test labels must be text"):
            data.load(train, test=test)

    def test_labels_of_all_csv_files_are_of_one_kind(self, tmp_path):
        """Numbers in some files alone are text, too: 01 is not 1."""
        labels = {"train-1": ["01", "02"], "train-2": ["01", "x"], "test": ["02", "02"]}
        for name, some in labels.items():
            (tmp_path / f"{name}.csv").write_text(csv_of(X[:2], some))
        found = data.load(tmp_path)
        assert found.class_names == ("01", "02", "x")
        assert found.train.labels.tolist() == [0, 1, 0, 2]
        assert found.test.labels.tolist() == [1, 1]
        (tmp_path / "train-2.csv").write_text(csv_of(X[:2], ["1", "3.0"]))
        assert data.load(tmp_path).class_names == ("1", "2", "3")

    @pytest.mark.parametrize(
        ("other", "words"),
        [([True, False], "booleans and integers"), (["0", "1"], "integers and text")],
    )
    def test_labels_of_another_kind_in_a_second_file(self, tmp_path, other, words):
        for name, labels in {"train-1": [0, 1], "train-2": other}.items():
            parquet_of(tmp_path / f"{name}.parquet", {"a": [1.0, 2.0], "label": labels})
        with pytest.raises(ValueError, match=f"labels of one kind, got {words}; save"):
            data.load(tmp_path)

    def test_whole_floats_and_integers_go_together(self, tmp_path):
        for name, labels in {"train-1": [0, 1], "train-2": [1.0, 2.0]}.items():
            parquet_of(tmp_path / f"{name}.parquet", {"a": [1.0, 2.0], "label": labels})
        assert data.load(tmp_path).class_names == ("0", "1", "2")

    def test_images_of_another_shape(self, tmp_path):
        for split, size in (("train", 2), ("test", 3)):
            png = image_copies.encoded(np.zeros((size, 2), np.uint8))
            cells = [{"bytes": png, "path": "some.png"}] * 2
            columns = {"label": ["x", "y"], "img": cells}
            parquet_of(tmp_path / f"{split}.parquet", columns)
        with pytest.raises(
            ValueError, match=r"one shape, got \(2, 2, 1\) and \(3, 2, 1"
        ):
            data.load(tmp_path)

    def test_a_folder_has_each_file_once(self, tmp_path):
        """Packed and unpacked copies would count every example twice."""
        (tmp_path / "train.csv").write_text(csv_of())
        packed = gzip.compress(csv_of(X[:5], Y[:5]).encode())
        for split in ("train", "test"):
            (tmp_path / f"{split}.csv.gz").write_bytes(packed)
        with pytest.raises(
            ValueError, match=r"file once, got train.csv and train.csv.gz; keep one"
        ):
            data.load(tmp_path)
        (tmp_path / "train.csv.gz").rename(tmp_path / "train-2.csv.gz")
        found = data.load(tmp_path)
        assert (len(found.train.labels), len(found.test.labels)) == (17, 5)

    @pytest.mark.parametrize("name", ["train.tsv", "test.parquet"])
    def test_a_folder_has_one_format(self, tmp_path, name):
        for one in ("train.csv", "test.csv", name):
            (tmp_path / one).write_text(csv_of())
        with pytest.raises(ValueError, match=f"one format, got .*{name}"):
            data.load(tmp_path)
        if name.startswith("test"):
            given = data.load(tmp_path, test=tmp_path / "test.csv")
            assert len(given.test.labels) == 12

    @pytest.mark.parametrize("end", ["csv", "parquet"])
    def test_numbers_that_float32_does_not_hold(self, tmp_path, end):
        """They stay as they are, and all splits are of one dtype."""
        rows = {"train": [1, 2], "test": [1_700_000_001, 2], "validation": [0.5, 2]}
        for split, (one, two) in rows.items():
            path = tmp_path / f"{split}.{end}"
            if end == "csv":
                path.write_text(f"time,label\n{one},x\n{two},y\n")
            else:
                parquet_of(path, {"time": [one, two], "label": ["x", "y"]})
        found = data.load(tmp_path)
        for split, expected in rows.items():
            np.testing.assert_array_equal(
                getattr(found, split).features,
                np.array(expected, np.float64)[:, None],
                strict=True,
            )
        (tmp_path / f"test.{end}").unlink()
        assert data.load(tmp_path).train.features.dtype == np.float32

    def test_integers_beside_floats_of_a_second_file_are_not_rounded(self, tmp_path):
        def read(paths, *, label=None):
            rows = {"a": np.array([[2**53 + 1], [1]]), "b": np.ones((2, 1))}
            return [tables.Table(rows[one.stem[-1]], np.arange(2)) for one in paths]

        for name in ("train-a.rows", "train-b.rows"):
            (tmp_path / name).touch()
        with pytest.raises(ValueError, match=f"within 2.53 of 0, .* got {2**53 + 1};"):
            data.load(tmp_path, reader=read)

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

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (None, "return a list of one .*Table for each path, got NoneType"),
            ([], "return a table for each of 1 paths, got 0"),
            ([[X, Y]], "return a list of one .* got a list with a list"),
            (tables.Table(X, Y), "return a list of one .* got Table"),
            ([tables.Table([[1.0], [2.0, 3.0]], Y)], "a.rows: features must be rect"),
            (
                [tables.Table(X[:2], [("a", 1), ("b", 2)])],
                r"labels must have shape \(examples,\), got shape \(2, 2\); give",
            ),
        ],
    )
    def test_a_reader_that_returns_something_else(self, tmp_path, found, words):
        path = tmp_path / "a.rows"
        path.touch()
        with pytest.raises(ValueError, match=words):
            data.load(path, reader=lambda paths, *, label=None: found)

    def test_a_reader_may_return_lists_of_numbers(self, tmp_path):
        path = tmp_path / "a.rows"
        path.touch()
        table = tables.Table([[1.0], [2.0]], ["x", "y"])
        found = data.load(path, reader=lambda paths, *, label=None: [table])
        np.testing.assert_array_equal(found.train.features, [[1], [2]])

    def test_a_reader_is_a_function(self, tmp_path):
        with pytest.raises(ValueError, match="reader must be a function .* 'svmlight'"):
            data.load(tmp_path / "a9a", reader="svmlight")

    def test_files_that_are_not_there(self, tmp_path):
        good, gone = tmp_path / "good.csv", tmp_path / "gone.csv"
        good.write_text(csv_of())
        for options in ((gone, None), (good, gone), (gone, good)):
            with pytest.raises(ValueError, match=r"gone.csv cannot be opened .No such"):
                data.load(options[0], test=options[1])

    def test_a_folder_needs_training_examples(self, tmp_path):
        (tmp_path / "test.csv").write_text(csv_of())
        with pytest.raises(
            ValueError, match="must have files of training examples, such as train"
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
        monkeypatch.setenv("FEATURES", str(tmp_path / "a.npz"))
        assert data.load("$FEATURES").name == "a"
        with pytest.raises(ValueError, match=r"variables that are set, got \$NOWHERE"):
            data.load("$NOWHERE/a.csv")
