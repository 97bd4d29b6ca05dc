"""Class labels of any kind, encoded and back."""

import ml_dtypes
import numpy as np
import pytest

from jaxlin import class_labels


class Named:
    """An array of objects, as a data frame's column gives text."""

    def __array__(self, dtype=None, copy=None):
        return np.array(["b", "a", "b"], object)


@pytest.mark.parametrize(
    "labels",
    [
        ["dog", "cat", "dog", "ant"],
        np.array(["dog", "cat", "dog", "ant"], object),
        [True, False, True],
        [-1, 1, 1],
        np.array([-1.0, 1.0, 1.0]),
        np.array([7, 3, 1_000_000_007], np.int64),
        np.array([250, 3, 3], np.uint8),
        np.array([3, 4, 3], object),
        np.array([3.0, np.float32(4), 3], object),
        np.array([np.True_, False], object),
        np.array(["dog", "cat"], np.dtypes.StringDType()),
        np.array([3, 4, 3], ml_dtypes.bfloat16),
        np.array([["dog"], ["cat"]]),
        Named(),
    ],
)
def test_codes_name_the_classes_in_ascending_order(labels):
    codes, classes = class_labels.encode("labels", labels)
    given = np.asarray(labels).ravel()
    assert codes.dtype == np.int32
    assert classes.dtype.kind in "biufU"
    assert list(classes) == sorted(set(given.tolist()))
    np.testing.assert_array_equal(classes[codes], given.astype(classes.dtype))


def test_classes_keep_the_order_that_is_given():
    codes, classes = class_labels.encode(
        "labels", ["b", "a"], classes=("c", "b", "a", "d")
    )
    assert codes.tolist() == [1, 2]
    assert classes.tolist() == ["c", "b", "a", "d"]


def test_numbers_of_any_type_are_among_classes_that_are_numbers():
    codes, classes = class_labels.encode("labels", [1.0, 0.0], classes=range(3))
    assert codes.tolist() == [1, 0]
    assert classes.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([[[1], [2]]], "shape (examples,), got shape (1, 2, 1)"),
        (np.array([True, 1, 0], object), "all entries are integers"),
        ([], "not be empty"),
        ([0.5, 1.0], "integers, booleans or text"),
        ([1.0, np.nan], "integers, booleans or text"),
        (np.array(["a", None], object), "missing"),
        (np.array(["a", 1], object), "several types"),
        (np.array([1j, 2j]), "integers, booleans or text"),
    ],
)
def test_what_is_no_class_label_is_refused(labels, words):
    with pytest.raises(ValueError, match="labels must") as caught:
        class_labels.encode("labels", labels)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        (["a", "z"], ("a", "b"), "got z at position 1; name all classes"),
        ([0, 3], range(3), "got 3 at position 1"),
        ([0, -1], range(3), "got -1 at position 1"),
        (
            ["a"],
            range(3),
            "must be numbers, as the classes are (0, 1, 2), got text; give",
        ),
        (["a"], ("a", "b", "a"), "classes must be distinct, got a"),
        (["a"], ("a",), "classes must be at least 2"),
        ([0], [0.5, 1.5], "classes must be integers, booleans or text"),
    ],
)
def test_labels_outside_the_classes_are_refused(labels, classes, words):
    with pytest.raises(ValueError, match="must") as caught:
        class_labels.encode("labels", labels, classes=classes)
    assert words in str(caught.value)
