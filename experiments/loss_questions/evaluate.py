"""Losses of the slides' scores and their gradients, in float64."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.slides import LABELS, SCORES
from jaxlin import objective


def each(
    loss: Any, scores: Any = SCORES, labels: Any = LABELS, **arguments: Any
) -> np.ndarray:
    """Loss of each row of scores."""
    with jax.enable_x64(True):
        rows = jnp.asarray(scores, jnp.float64)
        return np.asarray(_each(rows, jnp.asarray(labels), arguments, loss=loss))


def one(loss: Any, scores: Any, label: int = 0) -> float:
    """Loss of one row of scores."""
    return float(each(loss, np.asarray(scores)[None], [label])[0])


def gradients(loss: Any, scores: Any = SCORES, labels: Any = LABELS) -> np.ndarray:
    """Gradient of each row's loss in its scores."""
    with jax.enable_x64(True):
        rows = jnp.asarray(scores, jnp.float64)
        return np.asarray(_gradients(rows, jnp.asarray(labels), loss=loss))


@functools.partial(jax.jit, static_argnames=("loss",))
def _each(scores, labels, arguments, *, loss):
    return objective.example_losses(scores, labels, loss=loss, loss_arguments=arguments)


@functools.partial(jax.jit, static_argnames=("loss",))
def _gradients(scores, labels, *, loss):
    return jax.vmap(jax.grad(loss))(scores, labels)
