"""An answer, and losses of the slides' scores in float64."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.slides import LABELS, NAMES, SCORES
from jaxlin import objective


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
    """Numbers as a page shows them.

    >>> text([2.9, 0.0, 12.9])
    '2.9, 0, 12.9'

    Those of which fewer than two digits would be left are in scientific notation:

    >>> text([9.18e-4, 0.5514, 3.4e-48])
    '9.2e-04, 0.5514, 3.4e-48'
    """
    return ", ".join(_number(float(value), digits) for value in values)


def of_images(values: Any, digits: int = 4) -> str:
    """One number for each image of the slides, with its name.

    >>> of_images([2.9, 0.0, 12.9])
    'cat 2.9, car 0, frog 12.9'
    """
    return ", ".join(
        f"{name} {_number(float(value), digits)}"
        for name, value in zip(NAMES, values, strict=True)
    )


def _number(value: float, digits: int) -> str:
    if 0 < abs(value) < 10.0 ** (1 - digits):
        return f"{value:.1e}"
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
