import numpy as np
import pytest
from sklearn.datasets import load_digits

from jaxlin import data


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_shapes_and_ranges(digits):
    assert digits.train.features.shape == (1297, 64)
    assert digits.test.features.shape == (500, 64)
    assert digits.train.features.dtype == np.uint8
    assert digits.train.labels.dtype == digits.test.labels.dtype == np.int32
    assert digits.train.features.max() == digits.max_value == 16
    assert digits.image_shape == (8, 8)
    assert digits.class_names == tuple("0123456789")


def test_fifty_test_images_of_each_class(digits):
    assert data.class_histogram(digits.test.labels, 10).tolist() == [50] * 10


def test_the_splits_are_the_whole_set_once(digits):
    """No image is lost, doubled or given another label."""
    rows, labels = load_digits(return_X_y=True)
    whole = sorted((*row, label) for row, label in zip(rows, labels, strict=True))
    parts = sorted(
        (*row, label)
        for split in (digits.train, digits.test)
        for row, label in zip(split.features, split.labels, strict=True)
    )
    assert parts == whole


def test_the_split_is_the_same_everywhere(digits):
    described = data.summary(digits)
    assert described["train"]["features"]["sha256"][:16] == "9a835401309d4568"
    assert described["test"]["features"]["sha256"][:16] == "c9624e9f1a3b73d2"
    assert described["test"]["labels"]["sha256"][:16] == "9c652064ea1d5b2d"
