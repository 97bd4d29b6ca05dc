import hashlib
import json
from collections import Counter

import numpy as np
import pytest
import scipy.sparse

from jaxlin import data
from jaxlin.data import dataset


def make(**changes):
    draw = np.random.default_rng(0)
    fields = {
        "name": "toy",
        "train": data.Split(
            draw.integers(0, 256, (40, 12), dtype=np.uint8), np.arange(40) % 3
        ),
        "test": data.Split(
            draw.integers(0, 256, (9, 12), dtype=np.uint8), np.arange(9) % 2
        ),
        "class_names": ("a", "b", "c", "never seen"),
        "image_shape": (2, 2, 3),
        "max_value": 255.0,
    }
    return data.Dataset(**{**fields, **changes})


def test_checked_keeps_pixels_and_narrows_labels():
    raw = make()
    ready = dataset.check_dataset(raw)
    assert ready.train.features is raw.train.features
    assert ready.train.labels.dtype == ready.test.labels.dtype == np.int32
    assert (ready.num_classes, ready.num_features) == (4, 12)


@pytest.mark.parametrize("names", [np.arange(4), np.array(list("abcd"))])
def test_class_names_of_numpy_are_written_as_text(names):
    ready = dataset.check_dataset(make(class_names=tuple(names)))
    written = json.loads(json.dumps(data.summary(ready)))
    assert written["class_names"] == [*map(str, names)]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, np.bool_])
def test_other_dtypes_become_float32(dtype):
    raw = make()
    both = [data.Split((s.features % 2).astype(dtype), s.labels) for s in raw[1:3]]
    ready = dataset.check_dataset(raw._replace(train=both[0], test=both[1]))
    assert ready.train.features.dtype == ready.test.features.dtype == np.float32
    np.testing.assert_array_equal(ready.train.features, raw.train.features % 2)


def test_half_floats_that_are_no_images_are_kept():
    raw = make(image_shape=None)
    both = [data.Split((s.features % 2).astype("f2"), s.labels) for s in raw[1:3]]
    ready = dataset.check_dataset(raw._replace(train=both[0], test=both[1]))
    assert ready.train.features.dtype == ready.test.features.dtype == np.float16
    bad = both[0].features.copy()
    bad[3, 2] = np.inf
    with pytest.raises(ValueError, match="toy train features must be finite"):
        dataset.check_dataset(
            raw._replace(train=both[0]._replace(features=bad), test=both[1])
        )


def test_an_image_shape_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"image_shape must have 12 .*\(2, 2\)"):
        dataset.check_dataset(make(image_shape=(2, 2)))


def test_labels_that_no_class_name_covers_are_refused():
    with pytest.raises(ValueError, match=r"toy train labels must lie in \[0, 1\]"):
        dataset.check_dataset(make(class_names=("a", "b")))


def test_histogram_counts_each_class():
    labels = np.random.default_rng(1).integers(0, 5, 100)
    counted = Counter(labels.tolist())
    expected = [counted[label] for label in range(7)]
    assert data.class_histogram(labels, 7).tolist() == expected


def test_summary_survives_json_and_has_the_hashes_of_the_bytes():
    # More rows than are hashed in one go, in an order that is not that of C.
    rows = np.random.default_rng(2).integers(0, 256, (12, 9000), dtype=np.uint8).T
    ready = make(train=data.Split(rows, (np.arange(9000) % 3).astype(np.int32)))
    described = data.summary(ready)
    assert json.loads(json.dumps(described)) == described
    train = described["train"]
    assert train["features"] == {
        "shape": [9000, 12],
        "dtype": "uint8",
        "sha256": hashlib.sha256(rows.tobytes(order="C")).hexdigest(),
    }
    assert train["num_examples"] == 9000
    assert train["class_histogram"] == [3000, 3000, 3000, 0]
    assert described["test"]["class_histogram"] == [5, 4, 0, 0]
    assert described["image_shape"] == [2, 2, 3]


def test_summary_tells_data_apart():
    one = make()
    other_rows = one.train.features.copy()
    other_rows[0, 0] ^= 1
    other = one._replace(train=one.train._replace(features=other_rows))
    first, second = data.summary(one), data.summary(other)
    assert first["train"]["features"] != second["train"]["features"]
    assert first["train"]["labels"] == second["train"]["labels"]
    assert first["test"] == second["test"]


def sparse_set(rows):
    labels = np.arange(rows.shape[0]) % 2
    split = data.Split(rows, labels)
    return make(train=split, test=split, class_names=("a", "b"), image_shape=None)


def test_sparse_rows_are_checked_as_a_problem_checks_them():
    twice = ([200, 200, 3], ([0, 0, 1], [1, 1, 0]))
    for dtype in (np.uint8, np.int16, np.float64):
        rows = scipy.sparse.coo_array((np.array(twice[0], dtype), twice[1]), (2, 3))
        found = dataset.check_dataset(sparse_set(rows)).train.features
        assert (found.format, found.dtype) == ("csr", np.float32)
        np.testing.assert_array_equal(found.toarray(), [[0, 400, 0], [3, 0, 0]])
    pixels = scipy.sparse.csr_array(np.eye(4, dtype=np.uint8))
    assert dataset.check_dataset(sparse_set(pixels)).train.features.dtype == np.uint8
    large = scipy.sparse.csr_array([[2**24 + 1, 0], [0, 1]])
    found = dataset.check_dataset(sparse_set(large)).train.features
    np.testing.assert_array_equal(found.toarray(), large.toarray())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (np.nan, "got nan at row 1, feature 1"),
        (1e39, r"in float32, got 1e\+39 .* row 1, feature 1;"),
        (1j, "comp"),
    ],
)
def test_sparse_rows_that_are_no_numbers_are_refused(entry, message):
    rows = scipy.sparse.csr_array([[1.0, 0.0], [0.0, entry]])
    with pytest.raises(ValueError, match=f"toy train features must .*{message}"):
        dataset.check_dataset(sparse_set(rows))
