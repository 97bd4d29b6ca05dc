"""Values by hand, gradients by rule."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import linear, penalties

TREE = linear.Params(jnp.array([[3.0, -4.0], [0.0, 2.0]]), jnp.array([-1.0, 0.5]))


def test_values_typed_as_arithmetic():
    assert penalties.l2(TREE) == (9 + 16 + 0 + 4 + 1 + 0.25) / 2
    assert penalties.l1(TREE) == 3 + 4 + 0 + 2 + 1 + 0.5
    mixed = penalties.elastic_net(TREE, l1_ratio=0.25)
    assert mixed == 0.25 * 10.5 + 0.75 * 15.125


def test_gradient_of_l2_is_the_weights():
    jax.tree.map(np.testing.assert_array_equal, jax.grad(penalties.l2)(TREE), TREE)


def test_gradient_of_l1_is_the_sign_and_zero_at_zero():
    gradient = jax.grad(penalties.l1)(TREE)
    np.testing.assert_array_equal(gradient.weights, [[1, -1], [0, 1]])


def test_dtype_is_kept():
    for penalty in (penalties.l2, penalties.l1):
        assert penalty(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
