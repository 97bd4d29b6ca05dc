"""Batches of certified models of one loss.

The models of a loss run side by side in the slots of a `ModelBatch`. An iteration has
two steps: `jaxlin.solvers.batch_pass` evaluates all models of all batches in one pass
over the rows, and `jaxlin.solvers.batch_step` then decides, batch by batch, the next
candidate of each model. `jaxlin.solvers.device_loop` repeats both.

The caller assigns models to slots (`jaxlin.selection.sweep_run`): `place` fills a slot,
`jaxlin.solvers.batch_step.warm_start` continues in a slot with another l2, and `narrow`
keeps some of the slots. Each model takes one of several vectors of example weights,
which all models share (folds, resamples), and may take one of several vectors of labels
(several labels per row).
"""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh, processes
from jaxlin.solvers import optimizer_state
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.optimizer_state import OptimizerState
from jaxlin.typing import Array, Loss, LossArguments


class ModelBatch(NamedTuple):
    """Models of one loss, one per slot.

    Attributes:
      state: optimizer states of the models, with slots first, without dual centers.
      dual_centers: dual centers of hinges, shape ``(examples, slots, classes)``, so
        that those of a block of rows are contiguous; ``(examples, slots, 0)`` for a
        smooth loss.
      settings: l2 and loss arguments, each of shape ``(slots,)``.
      weight_set: index of each model's vector of example weights, shape ``(slots,)``.
      target_set: index of each model's vector of labels, shape ``(slots,)``; None
        where all models have the same labels.
    """

    state: OptimizerState
    dual_centers: Array
    settings: Settings
    weight_set: Array
    target_set: Array | None = None

    @property
    def width(self) -> int:
        """Number of slots."""
        return self.weight_set.shape[0]


def empty(
    width: int,
    examples: Examples,
    *,
    num_classes: int,
    loss: Loss,
    arguments: Iterable[str] = (),
    bias: Bias = Bias.PENALIZED,
    num_pairs: int | None = None,
    has_target_sets: bool = False,
) -> ModelBatch:
    """An empty batch of placeholder models.

    Args:
      width: number of slots, at least 1.
      examples: prepared examples.
      num_classes: number of classes.
      loss: the loss of the batch.
      arguments: names of the loss arguments that `place` will be given.
      bias: treatment of the bias.
      num_pairs: number of L-BFGS pairs per model; None is
        `jaxlin.solvers.optimizer_state.default_num_pairs`.
      has_target_sets: whether each model has a vector of labels of its own.
    """
    if num_pairs is None:
        num_weights = num_classes * (examples.features.shape[1] + 1)
        num_pairs = optimizer_state.default_num_pairs(num_weights)
    return _empty(
        width=width,
        shape=examples.features.shape,
        num_classes=num_classes,
        loss=loss,
        arguments=tuple(arguments),
        bias=bias,
        num_pairs=num_pairs,
        has_target_sets=has_target_sets,
    )


def place(
    batch: ModelBatch,
    slot: int,
    *,
    loss: Loss,
    l2: float,
    loss_arguments: LossArguments,
    weight_set: int,
    target_set: int | None = None,
) -> ModelBatch:
    """Puts a new model, with parameters 0, into a slot.

    Args:
      batch: the batch before; its memory is donated.
      slot: index of the slot.
      loss: the loss of the batch.
      l2: strength of half the sum of squares, above 0.
      loss_arguments: values of the arguments that were named to `empty`.
      weight_set: index of the model's example weights.
      target_set: index of the model's labels; None if the batch has no target sets.
    """
    settings = Settings(
        l2=l2, loss_arguments=dict(loss_arguments), bias=batch.settings.bias
    )
    settings = jax.tree.map(np.float32, settings)
    sets = jax.tree.map(np.int32, (weight_set, target_set))
    return _placed(batch, np.int32(slot), settings, sets, loss=loss)


@jax.jit
def slot_result(batch: ModelBatch, slot: ArrayLike) -> tuple[Params, Certificate]:
    """Best parameters of a slot's model, and their certificate."""
    return jax.tree.map(
        lambda leaf: leaf[slot], (batch.state.params, batch.state.certificate)
    )


@jax.jit
def narrow(batch: ModelBatch, slots: Array) -> ModelBatch:
    """Returns the batch with only these slots, in this order."""
    dual_centers = batch.dual_centers[:, slots]
    others = batch._replace(dual_centers=None)  # type: ignore[arg-type]
    others = jax.tree.map(lambda leaf: leaf[slots], others)
    return spread(others._replace(dual_centers=dual_centers))


@functools.partial(
    jax.jit,
    static_argnames=(
        "width",
        "shape",
        "num_classes",
        "loss",
        "arguments",
        "bias",
        "num_pairs",
        "has_target_sets",
    ),
)
def _empty(
    *,
    width: int,
    shape: tuple[int, int],
    num_classes: int,
    loss: Loss,
    arguments: tuple[str, ...],
    bias: Bias,
    num_pairs: int,
    has_target_sets: bool,
) -> ModelBatch:
    num_rows, num_features = shape
    settings = Settings(
        l2=jnp.ones(()),
        loss_arguments={name: jnp.ones(()) for name in arguments},
        bias=bias,
    )
    state = _at_zero(loss, (num_classes, num_features), settings, num_pairs=num_pairs)

    def repeat(leaf: Array) -> Array:
        return jnp.broadcast_to(leaf, (width, *leaf.shape))

    num_duals = 0 if conjugates.of(loss).smooth else num_classes
    return spread(
        ModelBatch(
            jax.tree.map(repeat, state),
            jnp.zeros((num_rows, width, num_duals)),
            jax.tree.map(repeat, settings),
            jnp.zeros(width, jnp.int32),
            jnp.zeros(width, jnp.int32) if has_target_sets else None,
        )
    )


@functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("batch",))
def _placed(
    batch: ModelBatch,
    slot: Array,
    settings: Settings,
    sets: tuple[Array, Array | None],
    *,
    loss: Loss,
) -> ModelBatch:
    num_classes, width = batch.state.candidate.shape[1:]
    state = _at_zero(
        loss,
        (num_classes, width - 1),
        settings,
        num_pairs=batch.state.history.factors.shape[1],
    )
    dual_centers = batch.dual_centers.at[:, slot].set(0)
    state, settings, sets = jax.tree.map(
        lambda leaves, leaf: leaves.at[slot].set(leaf),
        (batch.state, batch.settings, (batch.weight_set, batch.target_set)),
        (state, settings, sets),
    )
    return spread(ModelBatch(state, dual_centers, settings, *sets))


def _at_zero(
    loss: Loss, shape: tuple[int, int], settings: Settings, *, num_pairs: int
) -> OptimizerState:
    """State of a model with parameters 0, without dual centers."""
    params = Params(jnp.zeros(shape), jnp.zeros(shape[0]))
    state = optimizer_state.start(
        loss, params, settings, num_examples=0, num_pairs=num_pairs
    )
    return state._replace(dual_centers=jnp.zeros(0))


def spread(batch: ModelBatch) -> ModelBatch:
    """Splits the models, and the rows of the dual centers, over the current mesh."""
    models = device_mesh.MODELS
    others = batch._replace(dual_centers=jnp.zeros(0))
    others = jax.tree.map(lambda leaf: device_mesh.shard(leaf, models), others)
    dual_centers = device_mesh.shard(batch.dual_centers, device_mesh.ROWS, models)
    return others._replace(dual_centers=dual_centers)


def place_whole(batch: ModelBatch) -> ModelBatch:
    """Spreads a batch that each of several processes has whole, as `spread` does."""
    models = device_mesh.MODELS
    others = batch._replace(dual_centers=jnp.zeros(0))
    others = jax.tree.map(lambda leaf: processes.place_whole(leaf, (models,)), others)
    dual_centers = processes.place_whole(batch.dual_centers, (device_mesh.ROWS, models))
    return others._replace(dual_centers=dual_centers)
