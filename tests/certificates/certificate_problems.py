"""Random problems of tests of certificates, with their optima, and parameters near."""

import functools

import jax.numpy as jnp
import numpy as np
import optima
import random_problems
from random_problems import LOSSES

from jaxlin import linear

SHAPE = (20, 5, 3)


@functools.cache
def problem(name, kind, dtype=np.float32, seed=0):
    """Arguments of `certificate`, its keywords, `optima.Data`, the optimum."""
    generator = np.random.default_rng([seed, *map(ord, kind)])
    given, arguments, data = random_problems.make(
        generator, kind, name, SHAPE, dtype=dtype
    )
    weights = given["example_weights"]
    arguments = {
        "loss": LOSSES[name],
        "example_weights": jnp.asarray(weights),
        "normalization": given["normalization"],
        **arguments,
    }
    return (given["features"], given["targets"]), arguments, data, optima.optimum(data)


@functools.cache
def free_problem(name, kind):
    """Arguments of `certification.certificate`, `optima.Data`, the free optimum."""
    generator = np.random.default_rng(list(map(ord, kind)))
    given, arguments, data = random_problems.make(
        generator, kind, name, SHAPE, dtype=np.float64
    )
    of_classes = np.bincount(
        given["targets"].argmax(1) if given["targets"].ndim == 2 else given["targets"],
        weights=given["example_weights"],
        minlength=SHAPE[2],
    )
    assert (of_classes > 0).all(), "a free bias needs an example of each class"
    arguments["example_weights"] = given["example_weights"]
    return (
        (given["features"], given["targets"]),
        arguments,
        data,
        optima.free_optimum(data),
    )


def unfolded(folded, dtype):
    return linear.Params(folded[:, :-1].astype(dtype), folded[:, -1].astype(dtype))


def near(best, generator, scale, dtype=np.float64):
    """Parameters that miss the optimum by about ``scale`` of its size."""
    noise = generator.normal(size=best.weights.shape)
    size = np.abs(best.weights).max()
    return unfolded(best.weights + scale * size * noise, dtype)


def exactly(params):
    """Folded parameters in float64."""
    return np.c_[params.weights, params.bias].astype(np.float64)
