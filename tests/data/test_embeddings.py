"""Row 19 of the lecture: joined embeddings, frequent answers, the rest counted."""

import collections

import ml_dtypes
import numpy as np
import pytest

from jaxlin import data
from jaxlin.data import embeddings

RANDOM = np.random.default_rng(0)
WORDS = np.array(["yes", "no", "two", "blue", "cat", "left"])
SHARES = [0.4, 0.3, 0.12, 0.1, 0.05, 0.03]
ANSWERS = RANDOM.choice(WORDS, size=200, p=SHARES)
IMAGE = RANDOM.normal(size=(200, 3, 2))
QUESTION = RANDOM.normal(size=(200, 4)).astype(np.float32)


def write(path, *, as_folder=False, **changes):
    arrays = {
        "image_train": IMAGE[:150],
        "image_test": IMAGE[150:],
        "question_train": QUESTION[:150],
        "question_test": QUESTION[150:],
        "y_train": ANSWERS[:150],
        "y_test": ANSWERS[150:],
        **changes,
    }
    arrays = {name: array for name, array in arrays.items() if array is not ...}
    if not as_folder:
        np.savez(path, **arrays)
        return path
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


@pytest.mark.parametrize("as_folder", [False, True])
def test_what_is_outside_the_vocabulary_is_counted(tmp_path, as_folder):
    path = write(tmp_path / "vqa.npz", as_folder=as_folder)
    loaded, coverage = embeddings.load(path, parts=("image", "question"), num_answers=3)
    counts = collections.Counter(ANSWERS[:150].tolist())
    frequent = [word for word, _ in counts.most_common(3)]
    assert loaded.class_names == tuple(frequent)
    for split, rows in (
        (loaded.train, slice(150)),
        (loaded.test, slice(150, 200)),
    ):
        inside = [word in frequent for word in ANSWERS[rows]]
        flat = np.hstack([IMAGE[rows].reshape(-1, 6), QUESTION[rows]])[inside]
        np.testing.assert_array_equal(split.features, flat.astype(np.float32))
        names = [loaded.class_names[label] for label in split.labels]
        assert names == ANSWERS[rows][inside].tolist()
    outside = sum(word not in frequent for word in ANSWERS[150:])
    assert coverage.test_outside == outside > 0
    assert coverage.train_outside == 150 - len(loaded.train.labels) > 0
    assert coverage.ceiling == pytest.approx(1 - outside / 50)
    assert (coverage.size, coverage.distinct) == (3, len(WORDS))
    assert f"at most {100 - 2 * outside:.2f} %" in str(coverage)


def test_nothing_is_left_out_of_a_vocabulary_of_all(tmp_path):
    loaded, coverage = embeddings.load(
        write(tmp_path / "vqa.npz"), parts=("image",), num_answers=99
    )
    assert coverage.ceiling == 1
    assert (coverage.train_outside, coverage.size) == (0, 6)
    assert loaded.num_features == 6


def test_equally_frequent_answers_come_in_their_own_order():
    answers = np.array([7, 3, 3, 9, 7, 1])
    assert embeddings.frequent_answers(answers, size=3) == (3, 7, 1)
    assert embeddings.encode([9, 1, 3], (3, 7, 1)).tolist() == [-1, 2, 0]


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_parts_are_joined_without_a_float32_copy(dtype):
    image, question = IMAGE.astype(dtype), QUESTION.astype(dtype)
    joined = embeddings.join(image, question)
    assert joined.dtype == dtype
    np.testing.assert_array_equal(joined, np.hstack([image.reshape(200, 6), question]))
    assert embeddings.join(image, QUESTION).dtype == np.float32
    assert embeddings.join(image).dtype == dtype


def test_what_is_known_of_examples_outside_goes_with_them(tmp_path):
    """Validation examples, weights and groups of the answers in the vocabulary."""
    path = write(
        tmp_path / "vqa.npz",
        image_val=IMAGE[150:],
        question_val=QUESTION[150:],
        y_val=ANSWERS[150:],
        weights_train=np.arange(150.0),
        groups_train=np.arange(150),
    )
    loaded, _ = embeddings.load(path, parts=("image", "question"), num_answers=3)
    inside = np.flatnonzero(np.isin(ANSWERS[:150], loaded.class_names))
    assert 0 < len(inside) < 150
    np.testing.assert_array_equal(loaded.train_weights, inside)
    np.testing.assert_array_equal(loaded.train_groups, inside)
    for own, of_test in zip(loaded.validation, loaded.test, strict=True):
        np.testing.assert_array_equal(own, of_test)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"y_val": ANSWERS}, {}, "given together, missing image_val, question_val"),
        ({"weights_train": np.ones(7)}, {}, "weights_train must have one .* got 7 for"),
        ({"groups_train": np.ones(150)}, {}, "groups_train must be integers or str"),
        ({"image_test": ...}, {}, "missing image_test"),
        ({"image_train": IMAGE[:149]}, {}, r"must be of the same examples, got \[149,"),
        ({"y_train": ANSWERS[:149]}, {}, "y_train must have one answer per example"),
        ({"y_train": np.ones(150)}, {}, "answers must be integers or strings"),
        ({"y_test": np.full(50, "maybe")}, {}, "y_test must have an answer of the voc"),
        ({"y_train": np.full(150, "yes")}, {}, "must name at least two classes"),
        ({"image_train": IMAGE[:150] * np.nan}, {}, "must be finite"),
        ({}, {"num_answers": 1}, "size must be at least 2"),
        ({}, {"parts": "image"}, "parts must name at least one array"),
        ({}, {"parts": ()}, "parts must name at least one array"),
    ],
)
def test_bad_files(tmp_path, changes, options, words):
    path = write(tmp_path / "vqa.npz", **changes)
    options = {"parts": ("image", "question"), "num_answers": 3, **options}
    with pytest.raises(ValueError, match=words):
        embeddings.load(path, **options)


class TestFolders:
    def test_arrays_are_mapped(self, tmp_path):
        rows = RANDOM.normal(size=(30, 3)).astype(np.float32)
        path = write(
            tmp_path / "features",
            as_folder=True,
            x_train=rows[:20],
            x_test=rows[20:],
            y_train=np.arange(20) % 2,
            y_test=np.arange(10) % 2,
        )
        loaded = data.load(path)
        assert loaded.name == "features"
        assert isinstance(loaded.train.features.base, np.memmap) or isinstance(
            loaded.train.features, np.memmap
        )
        np.testing.assert_array_equal(loaded.train.features, rows[:20])

    def test_a_missing_or_damaged_array_is_named(self, tmp_path):
        path = write(tmp_path / "features", as_folder=True, x_train=QUESTION)
        with pytest.raises(ValueError, match="missing x_test"):
            data.load(path)
        for name in ("x_test", "y_train", "y_test"):
            (path / f"{name}.npy").write_bytes(b"no array")
        with pytest.raises(ValueError, match="y_train.npy must be a numeric array"):
            data.load(path)

    def test_a_folder_without_arrays_is_no_data_set(self, tmp_path):
        with pytest.raises(ValueError, match="a folder of .npy files"):
            data.load(tmp_path)


@pytest.mark.parametrize(
    ("one", "found"),
    [(np.float32(1), r"float32 of shape \(\)"), (np.array(["a"]), "<U1 of shape")],
)
def test_what_is_no_embedding(one, found):
    with pytest.raises(ValueError, match=f"must be numbers .* got {found}.* number 1"):
        embeddings.join(np.zeros((2, 3)), one)


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(ValueError, match="vocabulary must have an answer, got none"):
        embeddings.encode([1, 2], ())
