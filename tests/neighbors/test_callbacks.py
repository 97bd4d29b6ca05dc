"""Functions of somebody's: what they take, and what they return while traced."""

import functools

import jax
import jax.numpy as jnp
import pytest

from jaxlin.neighbors import callbacks


def scaled(first, second, *, scale=1.0):
    return scale * jnp.sum(jnp.abs(first - second))


def without_classes(query, rows, labels, weights):
    return weights


@pytest.mark.parametrize(
    "function",
    [
        scaled,
        jax.jit(scaled),
        functools.partial(scaled, scale=2.0),
        lambda *pair, **more: scaled(*pair, **more),
    ],
    ids=["plain", "jitted", "partial", "any arguments"],
)
def test_all_kinds_of_functions_are_metrics(function):
    found = callbacks.bound_arguments("metric", function, {"scale": 3.0})
    assert found == {"scale": 3.0}
    pair = jnp.zeros(2), jnp.ones(2)
    assert float(callbacks.call("metric", function, pair, found, shape=())) == 6


def test_a_function_without_a_signature_is_taken_as_it_is():
    assert callbacks.bound_arguments("metric", max, {"key": None}) == {"key": None}


@pytest.mark.parametrize(
    ("role", "function", "arguments", "words"),
    [
        ("metric", "l2", None, "metric must be a function, got 'l2'; for instance"),
        ("metric", scaled, 3, "metric_arguments must be keywords with .*, got 3"),
        ("metric", scaled, {"power": 1}, "must fit scaled, got .'power'.: .*'power'"),
        ("weighting", lambda: 1, None, r"must be a function of \(distances\), got"),
        ("fit", without_classes, None, "fit must take the keyword num_classes"),
        ("fit", scaled, {"num_classes": 3}, "must leave out num_classes, which scaled"),
    ],
)
def test_what_does_not_fit_is_named(role, function, arguments, words):
    reserved = ("num_classes",) if role == "fit" else ()
    with pytest.raises(ValueError, match=words):
        callbacks.bound_arguments(role, function, arguments, reserved=reserved)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (lambda *_: None, "must return one array, got NoneType of <lambda>"),
        (lambda *_: "near", "must return one array, got str"),
        (lambda first, _: (first, 1.0), "must return one array, got tuple"),
        (lambda first, _: first, r"must return shape \(\) .*, got shape \(2,\)"),
        (lambda first, _: float(first[0]), "must compute by jax.numpy.*Concretization"),
    ],
)
def test_what_is_no_distance_is_named_while_it_is_traced(result, words):
    def trace(first, second):
        return callbacks.call("metric", result, (first, second), {}, shape=())

    with pytest.raises(ValueError, match=words):
        jax.eval_shape(trace, jnp.zeros(2), jnp.ones(2))
