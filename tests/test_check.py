"""What may enter, and what the message says when something may not."""

import jax
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
    "text": ([["a", "b"]], "floating-point"),
    "complex": (np.ones((2, 2), complex), "floating-point"),
    "sparse": (scipy.sparse.eye(3), "dense, got sparse"),
}

BAD_LABELS = {
    "too large": ([0, 1, 3], r"lie in \[0, 2\], got 3 at position 2"),
    "negative": ([0, -1, 2], "got -1 at position 1"),
    "float": ([0.0, 1.0, 2.0], "integers, got float64"),
    "text": (["cat", "dog", "car"], "integers"),
    "bool": ([True, False, True], "integers, got bool"),
    "one-hot": (np.eye(3, dtype=int), "argmax"),
    "empty": (np.array([], int), "not be empty"),
    "too few": ([0, 1], "2 labels for 3 examples"),
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


def test_a_nan_in_a_late_block_is_found(monkeypatch):
    monkeypatch.setattr(check, "_ROWS_PER_LOOK", 10)
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


@pytest.mark.parametrize("key", [jax.random.key(0), jax.random.PRNGKey(0)])
def test_keys_of_both_styles_are_keys(key):
    assert check.key("key", key) is key


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "key must be a key, got 0; make one: jax.random.key"),
        (jax.random.split(jax.random.key(0), 3), r"got key<fry> of shape \(3,\)"),
        (np.zeros(2, np.int64), r"got int64 of shape \(2,\)"),
        (None, "got None"),
    ],
)
def test_what_is_no_key(value, message):
    with pytest.raises(ValueError, match=message):
        check.key("key", value)


def test_one_class_only():
    with pytest.raises(ValueError, match="at least two classes, got only class 4"):
        check.several_classes("y", np.array([4, 4]))


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


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-0.1, {"at_least": 0}, "l2 must be at least 0, got -0.1"),
        (0, {"above": 0}, "l2 must be above 0, got 0"),
        (2, {"at_most": 1}, "l2 must be at most 1, got 2"),
        (1.0, {"below": 1}, "l2 must be below 1, got 1.0"),
        (float("nan"), {}, "l2 must be finite, got nan"),
        (float("inf"), {}, "l2 must be finite, got inf"),
        ("0.1", {}, "l2 must be a number, got '0.1'"),
        (True, {}, "l2 must be a number, got True"),
        (None, {}, "l2 must be a number, got None"),
    ],
)
def test_bad_numbers(value, bounds, message):
    with pytest.raises(ValueError, match=message):
        check.number("l2", value, **bounds)


@pytest.mark.parametrize("value", [1.0, "1", False, None])
def test_bad_integers(value):
    with pytest.raises(ValueError, match="epochs must be an integer"):
        check.integer("epochs", value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "not be empty"),
        ([0.1, 0.1], "distinct"),
        ([0.1, -1], r"grid\[1\] must be at least 0"),
    ],
)
def test_bad_grids(value, message):
    with pytest.raises(ValueError, match=message):
        check.numbers_list("grid", value, at_least=0)


def test_bad_choice():
    with pytest.raises(ValueError, match="loss must be one of a, b, got 'c'"):
        check.choice("loss", "c", ("a", "b"))


@pytest.mark.parametrize(
    ("shape", "dimensions", "message"),
    [
        ((2, 3), 1, r"with 1 axis, got shape \(2, 3\); jax.vmap"),
        ((2,), 0, r"with no axes, got shape \(2,\)"),
        ((2, 3), 3, r"with 3 axes, got shape \(2, 3\)"),
    ],
)
def test_many_examples_where_one_belongs(shape, dimensions, message):
    def trace(value):
        check.one_example("x", value, num_dimensions=dimensions)

    with pytest.raises(ValueError, match=message):
        jax.eval_shape(trace, jax.ShapeDtypeStruct(shape, jnp.float32))
    jax.eval_shape(
        jax.vmap(trace), jax.ShapeDtypeStruct((5,) * (dimensions + 1), jnp.float32)
    )


def test_small_weights_beside_others_are_weights():
    kept = np.array([1e-45, 1.0], np.float32)
    found = check.example_weights("weights", kept, num_examples=2)
    np.testing.assert_array_equal(found, kept)
    for part in ([0.0, 0.0], [1e-3, 0.0]):
        check.example_weights("weights", part, num_examples=2, is_part=True)


TRACED = {
    "number": lambda value: check.number("l2", value),
    "integer": lambda value: check.integer("l2", value),
    "list of numbers": lambda value: check.numbers_list("l2", [0.5, value]),
    "rows": lambda value: check.features("l2", value * jnp.ones((2, 3))),
    "list of rows": lambda value: check.features("l2", [[1.0, value]]),
    "labels": lambda value: check.labels("l2", [0, value]),
    "weights": lambda value: check.example_weights("l2", [value], num_examples=1),
    "tree": lambda value: check.concrete("l2", (None, (1, [value])), 3),
}


@pytest.mark.parametrize("look", TRACED.values(), ids=TRACED.keys())
@pytest.mark.parametrize("transformed", [jax.grad, jax.jit, jax.vmap])
def test_traced_values_are_named(look, transformed):
    given = jnp.ones(2) if transformed is jax.vmap else 1.0
    with pytest.raises(ValueError, match="l2 must be of concrete numbers, got a trac"):
        transformed(look)(given)
