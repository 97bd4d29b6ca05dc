"""A tree to be saved in checkpoints, and what tells two trees apart."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.io import checkpoint


class Params(NamedTuple):
    weights: Any
    bias: Any


class State(NamedTuple):
    params: Params
    moments: dict
    step: Any


def small_tree():
    # Put there, so that nothing is compiled.
    weights = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    first, bias = np.ones(2, jnp.bfloat16), np.arange(3, dtype=np.float32)
    return State(
        Params(jax.device_put(weights), jax.device_put(bias)),
        {"first": [jax.device_put(first), None], "odd/key'": np.arange(4)},
        7,
    )


def save_small_tree(path):
    """Saves it and returns the path."""
    checkpoint.save(path, small_tree(), metadata={"loss": "hinge"})
    return path


def bits(leaf):
    """Everything that tells two leaves apart, NaN payloads and signed zeros too."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return (
            str(leaf.dtype),
            leaf.shape,
            np.asarray(jax.random.key_data(leaf)).tobytes(),
        )
    array = np.asarray(leaf)
    return type(leaf), array.dtype, array.shape, array.tobytes()


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    assert list(map(bits, jax.tree.leaves(actual))) == list(
        map(bits, jax.tree.leaves(expected))
    )
