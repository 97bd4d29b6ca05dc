"""How far minibatch SGD is from the optimum after each epoch, by the certificate.

The dual value of the certified fit of the same rows is a lower bound of the minimum, so
the objective of any parameters less that bound is how far they are from the optimum at
most, and (the bound being tight) all but exactly.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.run_folder import RunFolder
from experiments.svm_vs_softmax import protocol, training
from experiments.svm_vs_softmax.certified.saved import Optimum
from experiments.svm_vs_softmax.config import Config
from experiments.svm_vs_softmax.protocol import Method, Prepared
from jaxlin import objective
from jaxlin.linear import Params
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.typing import Array, Loss


class Distance(NamedTuple):
    """SGD's objective less the proven lower bound, over the certified fit's objective.

    Attributes:
      learning_rates: one a model, ascending, shape ``(models,)``.
      epochs: after which it was measured, shape ``(epochs,)``.
      relative: shape ``(epochs, models)``; not finite where a model diverged.
    """

    learning_rates: tuple[float, ...]
    epochs: np.ndarray
    relative: np.ndarray


def measure(
    folder: RunFolder,
    config: Config,
    method: Method,
    optimum: Optimum,
    params: Params,
    prepared: Prepared,
) -> Distance:
    """Trains SGD with every learning rate of the grid at the l2 of ``optimum``.

    Args:
      folder: of the run; training is saved after each epoch.
      config: epochs and batches; one seed is trained.
      method: the loss, with the learning rates of its grid.
      optimum: of all training examples.
      params: weights at the start, with a leading axis of one seed.
      prepared: the examples.
    """
    rates = tuple(sorted({rate for _, rate in method.settings}))
    lower = lower_bound(optimum)

    def distances(params: Params) -> np.ndarray:
        # A distance of 1e-6 is a difference that float32 does not have.
        with jax.enable_x64(True):
            params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
            found = _objectives(
                params,
                prepared.all_train.examples,
                np.float64(optimum.l2),
                loss=method.loss,
            )
        relative = (np.asarray(found) - lower) / optimum.objective
        with np.errstate(over="ignore"):  # a model that diverges
            return relative.astype(np.float32)

    stage = protocol.stage(
        f"{method.name}-sgd",
        dataclasses.replace(config, seeds=1, evaluate_every=1),
        method,
        params,
        prepared.all_train.examples,
        Settings(jnp.array(rates), jnp.full(len(rates), optimum.l2)),
        evaluate=distances,
    )._replace(measure="relative_distance")
    trained = training.train(folder, stage)
    return Distance(rates, trained.validation_epochs, trained.validation[:, 0])


def lower_bound(optimum: Optimum) -> float:
    """What the minimum of the objective is at least."""
    proof = optimum.certificate
    return float(proof.primal - proof.gap - proof.rounding)


@functools.partial(jax.jit, static_argnames="loss")
def _objectives(params: Params, problem: Examples, l2: Array, *, loss: Loss) -> Array:
    """Objectives of models with two leading axes, seeds and settings."""

    def one(params: Params) -> Array:
        scores = objective.blocked_scores(
            params, problem.features, normalization=problem.normalization
        )
        losses = objective.example_losses(scores, problem.targets, loss=loss)
        return jnp.mean(losses) + objective.penalty(params, l2=l2)

    return jax.vmap(jax.vmap(one))(params)
