"""What the slides show: scores, labels, the worked example; and losses of them."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import objective

# Rows are images (cat, car, frog), columns are classes in the same order.
NAMES = ("cat", "car", "frog")
SCORES = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
LABELS = np.arange(3)

# The worked example: four pixels; cat, dog and ship.
PIXELS = np.array([56, 231, 24, 2])
WEIGHTS = np.array(
    [[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0.0, 0.25, 0.2, -0.3]]
)
BIAS = np.array([1.1, 3.2, -1.2])

# Three images of one label, for softmax against SVM.
COMPARED = np.array([[10.0, -2.0, 3.0], [10.0, 9.0, 9.0], [10.0, -100.0, -100.0]])


class Answer(NamedTuple):
    """A question of the lecture with its answer.

    Attributes:
      key: a short name, for results.json.
      question: as the slides ask it.
      answer: in words.
      shown: the numbers, as text.
      source: what in jaxlin says so.
      numbers: the same numbers, as they are.
    """

    key: str
    question: str
    answer: str
    shown: str
    source: str
    numbers: dict[str, Any]


def each(loss: Any, scores: Any = SCORES, labels: Any = LABELS, **arguments: Any):
    """Loss of each row of scores, float64."""
    with jax.enable_x64(True):
        rows = jnp.asarray(scores, jnp.float64)
        return np.asarray(_each(rows, jnp.asarray(labels), arguments, loss=loss))


def gradients(loss: Any, scores: Any = SCORES, labels: Any = LABELS) -> np.ndarray:
    """Gradient of each row's loss in its scores, float64."""
    with jax.enable_x64(True):
        rows = jnp.asarray(scores, jnp.float64)
        return np.asarray(_gradients(rows, jnp.asarray(labels), loss=loss))


@functools.partial(jax.jit, static_argnames=("loss",))
def _each(scores, labels, arguments, *, loss):
    return objective.example_losses(scores, labels, loss=loss, loss_arguments=arguments)


@functools.partial(jax.jit, static_argnames=("loss",))
def _gradients(scores, labels, *, loss):
    return jax.vmap(jax.grad(loss))(scores, labels)


def text(values: Any, digits: int = 4) -> str:
    """Numbers as a page shows them: ``2.9, 0, 12.9``."""
    return ", ".join(f"{value:.{digits}f}".rstrip("0").rstrip(".") for value in values)
