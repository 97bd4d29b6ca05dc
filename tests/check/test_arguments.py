"""Settings that are accepted, and the messages about those that are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import check


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


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-0.1, {"at_least": 0}, "l2 must be at least 0, got -0.1"),
        (0, {"above": 0}, "l2 must be above 0, got 0"),
        (2, {"at_most": 1}, "l2 must be at most 1, got 2"),
        (1.0, {"below": 1}, "l2 must be below 1, got 1.0"),
        (float("nan"), {}, "l2 must be finite, got nan"),
        (float("inf"), {}, "l2 must be finite, got inf"),
        ("0.1", {}, "l2 must be a number, got '0.1'; convert it by float"),
        (True, {}, "l2 must be a number, got True; give one float"),
        (None, {}, "l2 must be a number, got None; give one float"),
        ([0.1], {}, r"l2 must be a number, got \[0.1\]; give one float"),
    ],
)
def test_bad_numbers(value, bounds, message):
    with pytest.raises(ValueError, match=message):
        check.number("l2", value, **bounds)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (1.0, "convert it by int"),
        ("1", "convert it by int"),
        (False, "give one int"),
        (None, "give one int"),
    ],
)
def test_bad_integers(value, remedy):
    with pytest.raises(
        ValueError, match=f"epochs must be an integer, got .*; {remedy}"
    ):
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
