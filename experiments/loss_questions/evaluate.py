"""Losses of the slides' scores and their gradients, in float64."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.slides import LABELS, SCORES


def both(
    loss: Any, scores: Any = SCORES, labels: Any = LABELS, **arguments: float
) -> tuple[np.ndarray, np.ndarray]:
    """Loss of each row of scores, and its gradient in them."""
    with jax.enable_x64(True):
        rows = jnp.asarray(scores, jnp.float64)
        found = _both(rows, jnp.asarray(labels), arguments, loss=loss)
        return np.asarray(found[0]), np.asarray(found[1])


def each(loss: Any, scores: Any = SCORES, labels: Any = LABELS) -> np.ndarray:
    """Loss of each row of scores."""
    return both(loss, scores, labels)[0]


def one(loss: Any, scores: Any, label: int = 0) -> float:
    """Loss of one row of scores."""
    return float(each(loss, np.asarray(scores)[None], [label])[0])


@functools.partial(jax.jit, static_argnames=("loss",))
def _both(scores, labels, arguments, *, loss):
    def of_row(row, label):
        return loss(row, label, **arguments)

    return jax.vmap(jax.value_and_grad(of_row))(scores, labels)
