"""Arrays that are accepted, and the messages about those that are not."""

import datetime
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from jaxlin import check

GOOD = np.ones((4, 3), np.float32)

BAD_FEATURES = {
    "rank 1": (np.ones(3), "shape .examples, features."),
    "rank 3": (np.ones((2, 3, 4)), "flatten"),
    "no rows": (np.ones((0, 3)), "not be empty"),
    "no columns": (np.ones((3, 0)), "not be empty"),
    "nan": (np.array([[1.0, np.nan]]), "finite, got nan at row 0, feature 1"),
    "inf": (np.array([[1.0, 2.0], [np.inf, 0.0]]), "got inf at row 1, feature 0"),
    "ragged": ([[1.0, 2.0], [3.0]], "rectangular"),
    "objects": (np.array([[1, None]], dtype=object), "dtype object"),
    "objects missing": (
        np.array([[1, 2], [3, None]], dtype=object),
        "missing None at row 1, feature 1 .*drop or impute",
    ),
    "objects NaN and text": (
        np.array([["a", float("nan")]], dtype=object),
        "missing nan at row 0, feature 1",
    ),
    "objects of other numbers": (
        np.array([[1, Fraction(1, 2)], [True, 3]], dtype=object),
        r"Fraction 1/2 at row 0, feature 1 \(dtype object\); .* by .astype\(float\)",
    ),
    "objects beyond float64": (
        np.array([[0.5, 2**53 + 1]], dtype=object),
        r"int 9007199254740993 at row 0, feature 1 \(dtype object\)",
    ),
    "objects ragged": (np.array([[1.0], [1, 2]], dtype=object), "got ragged rows"),
    "objects text": (
        np.array([[1.0, "2"], [1.5, "red"]], dtype=object),
        "text 'red' at row 1, feature 1 .*encode categories",
    ),
    "objects dates": (
        np.array([[1.0, datetime.date(2020, 1, 1)]], dtype=object),
        "time 2020-01-01 at row 0, feature 1 .*convert times",
    ),
    "text": ([["a", "b"]], "floating-point"),
    "text of numbers": ([["1", "2.5"]], "numbers kept as text .* .astype.float"),
    "bytes": (np.array([[b"a"]]), "text b'a' at row 0, feature 0"),
    "float8": (jnp.ones((2, 2), jnp.float8_e5m2), "bfloat16 at least, got float8_e5m2"),
    "other float8": (
        np.ones((2, 2)).astype(jnp.float8_e4m3fn),
        r"got float8_e4m3fn, .*; use .astype\(np.float32\)",
    ),
    "complex": (np.ones((2, 2), complex), "floating-point.* real and imaginary parts"),
    "dates": (np.zeros((2, 2), "datetime64[D]"), "time 1970-01-01.*convert times"),
    "structured": (
        np.zeros(3, [("width", float), ("height", float)]),
        "fields width, height; .*structured_to_unstructured",
    ),
    "nothing": (None, "must be an array, got a NoneType"),
    "mapping": ({"a": [1.0]}, "must be an array, got a dict"),
    "one column": (np.ones(3), r"x\[:, None\]"),
    "sparse": (scipy.sparse.eye(3), "dense, got sparse"),
}

BAD_LABELS = {
    "too large": ([0, 1, 3], r"lie in \[0, 2\], got 3 at position 2; number the"),
    "negative": ([0, -1, 2], "got -1 at position 1; leave examples without a label"),
    "from 1": ([1, 2, 3], "got 3 at position 2; labels count from 0: subtract 1"),
    "signs": ([1, -1, 1], r"got -1 at .* use \(y_train > 0\).astype\(int\)"),
    "float": ([0.0, 1.0, 2.0], r"integers, got float64; .* y_train.astype\(int\)"),
    "float signs": ([1.0, -1.0, 1.0], r"float64; .* use \(y_train > 0\).astype"),
    "bfloat16": (jnp.ones(3, jnp.bfloat16), r"bfloat16; .* y_train.astype\(int\)"),
    "real": ([0.0, 1.5, 2.0], "got 1.5 at position 1 .*real-valued targets"),
    "nan": ([0.0, np.nan, 2.0], "missing label nan at position 1; leave"),
    "none": ([0, None, 2], "missing label None at position 1; leave"),
    "huge objects": (
        np.array([0, 1, 2**70], object),
        r"entries are integers; use y_train.as",
    ),
    "text": (["cat", "dog", "car"], "text 'cat' at position 0; encode class names: "),
    "text objects": (
        np.array(["cat", "dog", "car"], object),
        r"names, y_train = np.unique\(y_train, return_inverse=True\)",
    ),
    "text of numbers": (["0", "1", "2"], r"text '0' .* y_train.astype\(int\)"),
    "bytes": (np.array([b"a", b"b", b"c"]), "text b'a' at position 0; encode class"),
    "text missing": (np.array(["a", None, "b"], object), "missing label None at"),
    "mixed": (
        np.array(["cat", 1, 2], object),
        "several types, 'cat' at position 0, 1 at position 1",
    ),
    "dates": (np.zeros(3, "datetime64[D]"), "time 1970-01-01 at position 0"),
    "complex": (np.ones(3, complex), "complex .* at position 0"),
    "lists": (np.array([[1], [1, 2], [0]], object), "give one label per example"),
    "structured": (np.zeros(3, [("y", int)]), "fields y; give one"),
    "nothing": (None, "must be an array, got a NoneType"),
    "one-hot": (np.eye(3, dtype=int), r"one-hot rows; use y_train.argmax\(axis=1\)"),
    "one-hot signs": (2 * np.eye(3) - 1, r"one-hot rows; use y_train.argmax\(axis=1\)"),
    "one-hot booleans": (np.eye(3, dtype=bool), "one-hot rows; use y_train.argmax"),
    "column of text": (np.array([["a"], ["b"], ["c"]]), "text 'a' at position 0"),
    "two columns": (np.arange(6).reshape(3, 2), "give one label per example"),
    "row": (np.array([[0, 1, 2]]), r"one row; use y_train.ravel\(\)"),
    "several labels": (
        np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]),
        "several labels per example: row 1 names 2 classes; give one label",
    ),
    "no label": (
        np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1]]),
        "several labels per example: row 1 names 0 classes; give one label",
    ),
    "distributions": (np.full((3, 2), 0.5), "sum to 1; .*losses.cross_entropy, and"),
    "empty": (np.array([], int), "not be empty"),
    "too few": ([0, 1], "2 for 3 examples; give both for the same rows"),
}


@pytest.mark.parametrize(
    ("value", "message"), BAD_FEATURES.values(), ids=BAD_FEATURES.keys()
)
def test_bad_features(value, message):
    with pytest.raises(ValueError, match=message) as caught:
        check.features("x_train", value)
    assert "x_train" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"), BAD_LABELS.values(), ids=BAD_LABELS.keys()
)
def test_bad_labels(value, message):
    with pytest.raises(ValueError, match=message) as caught:
        check.labels("y_train", value, num_classes=3, num_examples=3)
    assert "y_train" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        (np.array([[2, 0, 1]]), lambda y: y.ravel()),
        (np.eye(3, dtype=int)[[2, 0, 1]], lambda y: y.argmax(axis=1)),
        (np.array([1.0, -1.0]), lambda y: (y > 0).astype(int)),
        (np.array([1.0, 0.0]), lambda y: y.astype(int)),
        (np.array(["b", "a"], object), lambda y: np.unique(y, return_inverse=True)[1]),
        (np.array([2, 1]), lambda y: y - 1),
    ],
)
def test_remedies_give_the_labels_that_were_meant(labels, remedy):
    with pytest.raises(ValueError, match="must"):
        check.labels("y", labels, num_classes=2 + (labels.size > 2))
    found = check.labels("y", remedy(labels))
    assert found.tolist() == ([2, 0, 1] if labels.size > 2 else [1, 0])


@pytest.mark.parametrize(
    "labels",
    [
        np.array([[2], [0], [1]]),
        np.array([2, 0, 1], object),
        np.array([[2], [False], [1]], object),
    ],
)
def test_columns_and_objects_are_labels(labels):
    assert check.labels("y", labels, num_classes=3).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        ([[1, 2.0], [True, 3]], np.float64),
        ([[1, np.int8(2)], [True, 3]], np.float32),
        ([[True, np.True_], [True, False]], np.float32),
        ([[2**53 - 1, 1], [0, 3]], np.float64),
    ],
)
def test_objects_that_are_numbers_are_features(rows, dtype):
    found = check.features("x", np.array(rows, object))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.array(rows, float))


@pytest.mark.parametrize("labels", [[True, False], np.array([True, False])])
def test_booleans_are_labels(labels):
    found = check.labels("y", labels, num_classes=2)
    assert found.dtype == np.int32
    assert found.tolist() == [1, 0]


class Frame:
    """The parts of a data frame that are used: column names and its array."""

    columns = ("size", "color")

    def __array__(self, dtype=None, copy=None):
        return np.array([[1.0, "red"], [2.0, "blue"]], object)


def test_a_column_is_called_by_its_name():
    words = r"text 'red' at row 0, feature 1 \(column 'color'\)"
    with pytest.raises(ValueError, match=words):
        check.features("x", Frame())


def test_frames_and_categories_of_pandas():
    pandas = pytest.importorskip("pandas")
    for labels in (pandas.Categorical(["cat", "dog"]), pandas.Series(["cat", "dog"])):
        with pytest.raises(ValueError, match="got text 'cat' .*encode class names"):
            check.labels("y", labels)
    for labels in (pandas.Categorical(["a", None]), pandas.array([1, None], "Int64")):
        with pytest.raises(ValueError, match="got the missing label .* at position 1"):
            check.labels("y", labels)
    for labels in (pandas.array([1, 0], "Int64"), pandas.array([True, False])):
        assert check.labels("y", labels).tolist() == [1, 0]
    column = pandas.DataFrame({"label": [0, 1]})
    assert check.labels("y", column).tolist() == [0, 1]


def test_bytes_of_other_machines_are_turned():
    found = check.features("rows", GOOD.astype(">f8"))
    assert found.dtype == np.dtype("float64")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, GOOD)


def test_a_nan_in_a_late_block_is_found(monkeypatch):
    monkeypatch.setattr(check.arrays, "_ROWS_PER_CHECK", 10)
    rows = np.ones((95, 2))
    rows[93, 1] = np.nan
    with pytest.raises(ValueError, match="row 93, feature 1"):
        check.features("rows", rows)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_good_dtypes_are_kept_without_a_copy(dtype):
    rows = GOOD.astype(dtype)
    assert check.features("rows", rows, num_features=3) is rows


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, bool])
def test_other_integers_become_float32(dtype):
    assert check.features("rows", GOOD.astype(dtype)).dtype == np.float32


def test_wrong_width():
    with pytest.raises(ValueError, match="rows must have 5 features, got 3"):
        check.features("rows", GOOD, num_features=5)


def test_good_labels_become_int32():
    labels = check.labels("y", np.array([2, 0, 1], np.uint8), num_classes=3)
    assert labels.dtype == np.int32


def test_labels_without_a_known_number_of_classes_must_not_be_negative():
    with pytest.raises(ValueError, match=r"y must lie in \[0, 2147483647\], got -2"):
        check.labels("y", [0, -2])


@pytest.mark.parametrize("label", [2**31, 2**32 + 1])
def test_labels_that_would_wrap_around(label):
    with pytest.raises(ValueError, match=f"got {label} at position 0"):
        check.labels("y", np.array([label, 0]))


def test_masked_entries_are_missing_entries():
    rows = np.ma.masked_invalid([[1.0, np.nan]])
    with pytest.raises(ValueError, match="without missing entries, got .* 1 masked"):
        check.features("rows", rows)
    nothing_masked = np.ma.masked_invalid([[1.0, 2.0]])
    assert type(check.features("rows", nothing_masked)) is np.ndarray


def test_one_class_only():
    with pytest.raises(ValueError, match="at least two classes, got only class 4"):
        check.several_classes("y", np.array([4, 4]))


@pytest.mark.parametrize(
    ("targets", "weights", "message"),
    [
        ([0, 0, 1], [1, 2, 0], "with positive example weights, got only class 0"),
        ([0, 1, 1], [0, 0, 0], "with positive example weights, got none"),
        ([[0, 1.0], [0, 1.0]], None, "at least two classes, got only class 1"),
        ([[0, 1.0], [0.5, 0.5]], [1, 0], "example weights, got only class 1"),
    ],
)
def test_one_class_with_weight(targets, weights, message):
    weights = None if weights is None else np.array(weights, np.float32)
    with pytest.raises(ValueError, match=message):
        check.several_classes("y", np.array(targets), example_weights=weights)


def test_two_classes_with_weight_are_enough():
    labels, ones = np.array([0, 0, 3]), np.ones(3)
    assert check.several_classes("y", labels, example_weights=ones) is labels
    one_soft_row = np.array([[0.5, 0.5, 0.0]])
    assert check.several_classes("y", one_soft_row) is one_soft_row


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -1.0], "at least 0"),
        ([1.0, np.nan], "finite"),
        ([0.0, 0.0], "positive sum"),
        ([1.0], r"shape \(2,\)"),
        ([0.0, 1e-40], "largest between 1e-12 and 1e.12, got 1e-40; divide them by"),
        (np.float64([1e-300, 0.0]), "largest between 1e-12"),
        ([1e30, 1.0], "largest between 1e-12"),
        (np.full(2, 2e38, np.float32), "largest between 1e-12"),
    ],
)
def test_bad_example_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        check.example_weights("weights", weights, num_examples=2)


def test_small_weights_beside_others_are_weights():
    kept = np.array([1e-45, 1.0], np.float32)
    found = check.example_weights("weights", kept, num_examples=2)
    np.testing.assert_array_equal(found, kept)
    for part in ([0.0, 0.0], [1e-3, 0.0]):
        check.example_weights("weights", part, num_examples=2, is_part=True)


@pytest.mark.parametrize("rows", [[("a", 1), ("b", 2)], [["a", None], ["b", 2]]])
def test_rows_of_text_are_no_distributions(rows):
    words = r"labels must have shape \(examples,\), got shape \(2, 2\); give one label"
    with pytest.raises(ValueError, match=words):
        check.distributions("labels", rows, num_classes=2)
