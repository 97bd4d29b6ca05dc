"""Products in all digits of float32, and what depends on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_lowering import products

from jaxlin import geometry, linear, precision
from jaxlin.features import encodings, spherical

PARAMS = linear.Params(jnp.ones((3, 6)), jnp.ones(3))
ROW = jnp.ones(6)


@pytest.mark.parametrize(
    "function",
    [
        lambda: linear.scores(PARAMS, ROW),
        lambda: jax.vmap(linear.scores, (None, 0))(PARAMS, jnp.ones((4, 6))),
        lambda: jax.grad(lambda params: linear.scores(params, ROW).sum())(PARAMS),
        lambda: geometry.restricted(PARAMS, ROW, jnp.ones((1, 6))),
        lambda: encodings.triangle(ROW, jnp.ones((2, 6))),
        lambda: encodings.two_sided(ROW, jnp.ones((2, 6))),
        lambda: spherical.clustered(jnp.ones((4, 6)), jnp.ones((2, 6))),
    ],
    ids=[
        "scores",
        "of a batch",
        "gradient",
        "restricted",
        "triangle",
        "sides",
        "means",
    ],
)
def test_all_digits_unless_jax_is_told_how_many(function):
    def asked_for():
        found = [
            each.params["precision"] for each in products(jax.make_jaxpr(function)())
        ]
        assert found
        return {None if one is None else one[0] for one in found}

    assert asked_for() == {jax.lax.Precision.HIGHEST}
    with jax.default_matmul_precision("tensorfloat32"):
        assert asked_for() != {jax.lax.Precision.HIGHEST}


def test_a_compiled_function_listens_too():
    scores = jax.jit(linear.scores)
    text = scores.lower(PARAMS, ROW).as_text()
    with jax.default_matmul_precision("tensorfloat32"):
        assert scores.lower(PARAMS, ROW).as_text() != text
    assert scores.lower(PARAMS, ROW).as_text() == text


def test_it_is_the_product():
    left, right = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    np.testing.assert_array_equal(precision.product(left, right), left @ right)
