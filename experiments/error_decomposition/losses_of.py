"""Losses of single test examples under many linear models at once."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common.losses import CERTIFIED
from jaxlin import objective
from jaxlin.linear import Params
from jaxlin.solvers.interface import Examples
from jaxlin.stats import metrics
from jaxlin.typing import Array

LOSS = CERTIFIED["softmax_cross_entropy"]
KINDS = ("surrogate", "zero_one")


class Losses(NamedTuple):
    """Losses of each model on each example, shape ``(..., examples)``.

    Attributes:
      surrogate: softmax cross-entropy, in nats.
      zero_one: 1 where the label is wrong.
    """

    surrogate: np.ndarray
    zero_one: np.ndarray


def of_models(params: Params, problem: Examples) -> Losses:
    """Losses of models with one leading axis on the rows of a problem."""
    return Losses(*map(np.asarray, _of_models(params, problem)))


def of_model(params: Params, problem: Examples) -> Losses:
    """Losses of one model, shape ``(examples,)``."""
    one: Any = jax.tree.map(lambda leaf: np.asarray(leaf)[None], params)
    return Losses(*(found[0] for found in of_models(one, problem)))


@jax.jit
def _of_models(params: Params, problem: Examples) -> tuple[Array, Array]:
    return jax.vmap(functools.partial(_of_one, problem=problem))(params)


def _of_one(params: Params, problem: Examples) -> tuple[Array, Array]:
    scores = objective.blocked_scores(
        params, problem.features, normalization=problem.normalization
    )
    return (
        objective.example_losses(scores, problem.targets, loss=LOSS),
        ~metrics.correct(scores, problem.targets),
    )
