import errno
import io
import mmap
import os
import zipfile

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from data_makers import in_order

from jaxlin import data

X = np.random.default_rng(0).normal(size=(12, 4))
Y = np.arange(12) % 3
IMAGES = np.random.default_rng(1).integers(0, 256, (12, 3, 2, 2), dtype=np.uint8)


def arrays(**changes):
    good = {"x_train": X, "y_train": Y, "x_test": X[:6], "y_test": Y[:6]}
    return {
        key: value for key, value in {**good, **changes}.items() if value is not ...
    }


def write(path, **changes):
    np.savez(path, **arrays(**changes))
    return path


def test_feature_vectors(tmp_path):
    found = data.load(write(tmp_path / "mine.npz"))
    assert found.name == "mine"
    assert found.source == str(tmp_path / "mine.npz")
    assert found.image_shape is None
    assert found.max_value == 1.0
    assert found.class_names == ("0", "1", "2")
    assert found.train.features.dtype == np.float32
    np.testing.assert_array_equal(found.train.features, X.astype(np.float32))
    np.testing.assert_array_equal(found.test.labels, Y[:6])


def test_images_are_flattened_in_c_order(tmp_path):
    found = data.load(write(tmp_path / "i.npz", x_train=IMAGES, x_test=IMAGES[6:]))
    assert found.image_shape == (3, 2, 2)
    assert found.max_value == 255.0
    assert found.train.features.dtype == np.uint8
    for n, row, column, channel in np.ndindex(12, 3, 2, 2):
        flat = row * 4 + column * 2 + channel
        assert found.train.features[n, flat] == IMAGES[n, row, column, channel]


def test_class_names_and_a_class_without_examples(tmp_path):
    names = np.array(["cat", "dog", "eel", "fox"])
    found = data.load(write(tmp_path / "n.npz", class_names=names))
    assert found.class_names == ("cat", "dog", "eel", "fox")
    assert found.num_classes == 4


def test_a_class_only_in_test_counts_if_it_is_named(tmp_path):
    labels = {"y_test": np.array([0, 1, 2, 3, 3, 0])}
    with pytest.raises(
        ValueError,
        match="y_test must hold classes of y_train, 0 to 2, got 3 at position 3; give "
        "class_names",
    ):
        data.load(write(tmp_path / "u.npz", **labels))
    names = np.array(["cat", "dog", "eel", "fox"])
    found = data.load(write(tmp_path / "v.npz", class_names=names, **labels))
    assert found.num_classes == 4


def test_labels_may_be_text(tmp_path):
    names = np.array(["dog", "cat", "eel"])
    text = {"y_train": names[Y], "y_test": names[Y[:6]]}
    found = data.load(write(tmp_path / "t.npz", **text))
    assert found.class_names == ("cat", "dog", "eel")
    for part, labels in ((found.train, Y), (found.test, Y[:6])):
        read = np.array(found.class_names)[part.labels]
        np.testing.assert_array_equal(read, names[labels])
    in_order = data.load(write(tmp_path / "o.npz", class_names=names, **text))
    assert in_order.class_names == tuple(names)
    np.testing.assert_array_equal(in_order.train.labels, Y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"y_test": np.array(["cat"] * 5 + ["cow"])},
            "y_test .* got cow at position 5",
        ),
        ({"y_test": Y[:6]}, "y_test must be text, as the classes are"),
        ({"class_names": ["cat", "dog"]}, "y_train .* got eel at position 2; give all"),
    ],
)
def test_text_that_is_no_class_is_refused(tmp_path, change, message):
    names = np.array(["dog", "cat", "eel"])
    text = {"y_train": names[Y], "y_test": names[Y[:6]], **change}
    with pytest.raises(ValueError, match=message):
        data.load(write(tmp_path / "t.npz", **text))


def test_labels_in_one_column(tmp_path):
    found = data.load(write(tmp_path / "k.npz", y_train=Y[:, None].astype(np.uint8)))
    np.testing.assert_array_equal(found.train.labels, Y)


def test_booleans_are_labels(tmp_path):
    found = data.load(write(tmp_path / "b.npz", y_train=Y > 0, y_test=Y[:6] > 0))
    assert found.class_names == ("0", "1")
    np.testing.assert_array_equal(found.train.labels, Y > 0)


def test_compressed_files_too(tmp_path):
    np.savez_compressed(tmp_path / "c.npz", **arrays())
    assert data.load(str(tmp_path / "c.npz")).num_features == 4


def with_value(value):
    changed = X.copy()
    changed[5, 2] = value
    return changed


def with_label(value):
    changed = Y.copy()
    changed[5] = value
    return changed


RAGGED = np.array([[1, 2], [3]], dtype=object)

BAD_VALUES = {
    "nan": ({"x_train": with_value(np.nan)}, "x_train must be finite nan row 5"),
    "infinity": ({"x_test": with_value(-np.inf)}, "x_test must be finite inf"),
    "too large for float32": (
        {"x_train": with_value(1e300)},
        "x_train finite 1e+300 inf row 5",
    ),
    "label negative": ({"y_train": with_label(-1)}, "y_train must got -1 position 5"),
    "label float": ({"y_train": Y.astype(float)}, "y_train must be integers float64"),
    "label names": ({"y_test": Y[:6].astype(str)}, "y_test must be integers class"),
    "label beyond names": ({"class_names": ["a", "b"]}, "y_train must lie in [0, 1]"),
    "label a hash": ({"y_train": with_label(2**40)}, "labels must 1099511627776 gaps"),
    "one-hot": ({"y_train": np.eye(3, dtype=int)[Y]}, "y_train shape (12, 3) argmax"),
    "one class": ({"y_train": Y * 0}, "y_train at least two classes only class 0"),
    "too few labels": ({"y_train": Y[:7]}, "y_train 7 for 12 examples"),
    "empty train": ({"x_train": X[:0], "y_train": Y[:0]}, "x_train must not be empty"),
    "empty test": ({"x_test": X[:0], "y_test": Y[:0]}, "x_test must not be empty"),
    "no features": ({"x_train": X[:, :0], "x_test": X[:6, :0]}, "x_train empty"),
    "empty images": (
        {"x_train": IMAGES[:0], "y_train": Y[:0], "x_test": IMAGES[:6]},
        "x_train must not be empty",
    ),
    "width": ({"x_test": X[:6, :3]}, "x_test shape of x_train (4,) got (3,)"),
    "image shape": (
        {"x_train": IMAGES, "x_test": IMAGES[:6].transpose(0, 2, 1, 3)},
        "x_test shape of x_train (3, 2, 2) got (2, 3, 2)",
    ),
    "dtype": (
        {"x_train": IMAGES, "x_test": IMAGES[:6] / 255},
        "x_test dtype of x_train uint8 float32 scale",
    ),
    "rank 1": ({"x_train": X[:, 0], "x_test": X[:6, 0]}, "x_train shape (12,)"),
    "text": ({"x_train": X.astype(str), "x_test": X[:6].astype(str)}, "floating-point"),
    "complex": ({"x_train": X + 0j, "x_test": X[:6] + 0j}, "x_train complex128"),
    "ragged": ({"x_train": RAGGED}, "x_train rectangular objects unpickling"),
    "missing": ({"y_test": ...}, "missing y_test found x_train numpy.savez"),
    "names repeated": ({"class_names": ["a", "a", "b"]}, "class_names different"),
    "names of rank 2": ({"class_names": [["a", "b", "c"]]}, "class_names a list"),
}


@pytest.mark.parametrize(("changes", "words"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_bad_values_are_named(tmp_path, changes, words):
    path = write(tmp_path / "bad.npz", **changes)
    with pytest.raises(ValueError, match=in_order(str(path), *words.split())):
        data.load(path)


def truncated(path):
    write(path)
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path):
    write(path)
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes()) + 40] ^= 1
    path.write_bytes(content)


def sparse(path):
    scipy.sparse.save_npz(path, scipy.sparse.eye_array(4, format="csr"))


def a_single_array(path):
    with path.open("wb") as file:
        np.save(file, X)


def not_numpy(path):
    with zipfile.ZipFile(path, "w") as archive:
        for key in arrays():
            archive.writestr(f"{key}.npy", b"no array")


def header_too_long(path):
    """A member whose header promises more values than follow."""
    content = io.BytesIO()
    np.save(content, X)
    with zipfile.ZipFile(path, "w") as archive:
        for key in arrays():
            archive.writestr(f"{key}.npy", content.getvalue()[:-8])


BAD_FILES = {
    "absent": (lambda path: None, "cannot be opened No such file check the path"),
    "a folder": (lambda path: path.mkdir(), "cannot be opened directory"),
    "empty": (lambda path: path.touch(), "not a .npz file cut short numpy.savez"),
    "text": (lambda path: path.write_text("a,b"), "not a .npz file numpy.savez"),
    "truncated": (truncated, "cut short numpy.savez"),
    "one byte flipped": (flipped, "x_train damaged CRC numpy.savez"),
    "a single array": (a_single_array, "not a .npz file numpy.savez"),
    "sparse": (sparse, "sparse without labels svmlight .toarray()"),
    "empty archive": (lambda path: np.savez(path), "missing x_train found nothing"),
    "zip of text": (not_numpy, "x_train must be a NumPy array numpy.savez"),
    "short member": (header_too_long, "x_train"),
}


@pytest.mark.parametrize(("make", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_files_are_named(tmp_path, make, words):
    path = tmp_path / "bad.npz"
    make(path)
    with pytest.raises(ValueError, match=in_order(str(path), *words.split())):
        data.load(path)


def folder_of(path, **changes):
    path.mkdir()
    for name, array in arrays(**changes).items():
        np.save(path / f"{name}.npy", array)
    return path


FORMS = {
    "float32": (lambda x: x.astype("f4"), "float32", True),
    "float16": (lambda x: x.astype("f2"), "float16", True),
    "bfloat16": (lambda x: x.astype(ml_dtypes.bfloat16), "bfloat16", True),
    "uint8": (lambda x: np.abs(x).astype("u1"), "uint8", True),
    "Fortran order": (lambda x: np.asfortranarray(x.astype("f4")), "float32", True),
    "float64": (lambda x: x, "float32", False),
    "big-endian": (lambda x: x.astype(">f4"), "float32", False),
    "big-endian half": (lambda x: x.astype(">f2"), "float32", False),
    "int8": (lambda x: x.astype("i1"), "float32", False),
    "int16": (lambda x: x.astype("i2"), "float32", False),
    "booleans": (lambda x: x > 0, "float32", False),
    "half images": (
        lambda x: x.astype("f2").reshape(-1, 2, 2),
        "float32",
        False,
    ),
    "images in Fortran order": (
        lambda x: np.asfortranarray(x.astype("f4").reshape(-1, 2, 2)),
        "float32",
        False,
    ),
}


@pytest.mark.parametrize(("form", "dtype", "maps"), FORMS.values(), ids=FORMS)
def test_what_is_not_mapped_is_said(tmp_path, caplog, form, dtype, maps):
    path = folder_of(tmp_path / "rows", x_train=form(X), x_test=form(X[:6]))
    found = data.load(path)
    for split, rows in ((found.train, X), (found.test, X[:6])):
        assert split.features.dtype == dtype
        expected = form(rows).reshape(-1, 4).astype("f4")
        np.testing.assert_array_equal(split.features, expected)
    base = found.train.features
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap) == maps
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (0 if maps else 2)
    for name, line in zip(("x_train", "x_test"), said, strict=False):
        assert line.startswith(str(path / f"{name}.npy"))
        assert "is read whole" in line


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_floats_beside_others_become_float32(tmp_path, dtype):
    path = folder_of(tmp_path / "rows", x_train=X.astype(dtype), x_test=X[:6])
    found = data.load(path)
    assert found.train.features.dtype == found.test.features.dtype == np.float32


def test_bfloat16_is_read_from_archives_and_checked(tmp_path):
    rows = X.astype(ml_dtypes.bfloat16)
    found = data.load(write(tmp_path / "b.npz", x_train=rows, x_test=rows[:6]))
    assert found.train.features.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found.train.features, rows)
    assert data.summary(found)["train"]["features"]["dtype"] == "bfloat16"
    rows[5, 2] = np.inf
    with pytest.raises(ValueError, match="x_train must be finite, got inf at row 5"):
        data.load(
            write(tmp_path / "c.npz", x_train=rows, x_test=X[:6].astype(rows.dtype))
        )


def test_other_raw_bytes_are_refused(tmp_path):
    rows = X.astype(ml_dtypes.float8_e4m3fn)
    folder = folder_of(tmp_path / "rows", x_train=rows)
    for path in (folder, write(tmp_path / "rows.npz", x_train=rows)):
        with pytest.raises(ValueError, match=r"x_train .* raw bytes .*save .*float32"):
            data.load(path)


VALIDATION = {"x_val": X[6:], "y_val": Y[6:]}


@pytest.mark.parametrize("store", [write, folder_of], ids=["archive", "folder"])
def test_validation_examples_weights_and_groups(tmp_path, store):
    groups = np.array(["ann", "bob", "cy"])[Y]
    given = {"weights_train": np.arange(12.0), "groups_train": groups, **VALIDATION}
    found = data.load(store(tmp_path / "v.npz", **given))
    np.testing.assert_array_equal(found.validation.features, X[6:].astype("f4"))
    np.testing.assert_array_equal(found.validation.labels, Y[6:])
    np.testing.assert_array_equal(found.train_weights, np.arange(12.0))
    np.testing.assert_array_equal(found.train_groups, groups)
    described = data.summary(found)
    assert described["validation"]["num_examples"] == 6
    assert described["train_groups"]["shape"] == [12]
    assert data.load(write(tmp_path / "n.npz")).validation is None


BAD_OPTIONAL = {
    "features alone": ({"x_val": X}, "x_val and y_val together got x_val alone"),
    "labels alone": ({"y_val": Y}, "x_val and y_val together got y_val alone"),
    "width": ({**VALIDATION, "x_val": X[6:, :2]}, "x_val shape of x_train (4,) (2,)"),
    "nan": ({**VALIDATION, "x_val": with_value(np.nan)[:6]}, "x_val finite nan row 5"),
    "too few labels": ({**VALIDATION, "y_val": Y[:3]}, "y_val 3 for 6 examples"),
    "another class": (
        {**VALIDATION, "y_val": np.full(6, 3)},
        "y_val must hold classes of y_train, 0 to 2, got 3 at position 0; class_names",
    ),
    "dtype": (
        {"x_train": IMAGES, "x_test": IMAGES[:6], "x_val": IMAGES / 255, "y_val": Y},
        "x_val dtype of x_train uint8 float32",
    ),
    "weights of others": ({"weights_train": np.ones(7)}, "weights_train (12,) (7,)"),
    "a negative weight": ({"weights_train": Y - 1}, "weights_train at least 0 row 0"),
    "groups of others": ({"groups_train": Y[:7]}, "groups_train 7 for 12 examples"),
    "groups as floats": ({"groups_train": Y / 2}, "groups_train integers or strings"),
}


@pytest.mark.parametrize(("changes", "words"), BAD_OPTIONAL.values(), ids=BAD_OPTIONAL)
def test_bad_optional_arrays_are_named(tmp_path, changes, words):
    path = write(tmp_path / "bad.npz", **changes)
    with pytest.raises(ValueError, match=in_order(str(path), *words.split())):
        data.load(path)


def test_texts_of_validation_examples_are_classes(tmp_path):
    names = np.array(["dog", "cat", "eel"])
    text = {"y_train": names[Y], "y_test": names[Y[:6]], "x_val": X[6:]}
    found = data.load(write(tmp_path / "t.npz", y_val=names[Y[6:]], **text))
    read = np.array(found.class_names)[found.validation.labels]
    np.testing.assert_array_equal(read, names[Y[6:]])
    with pytest.raises(ValueError, match="y_val .* got cow at position 0; give all"):
        data.load(write(tmp_path / "c.npz", y_val=np.full(6, "cow"), **text))


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOMEM])
def test_an_array_that_cannot_be_opened_is_not_called_damaged(
    tmp_path, monkeypatch, code
):
    path = folder_of(tmp_path / "rows")

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(ValueError, match="x_train.npy cannot be opened") as caught:
        data.load(path)
    assert "damaged" not in str(caught.value)
