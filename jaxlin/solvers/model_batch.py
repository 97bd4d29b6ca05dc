"""Batches of certified models of one loss.

The models of a loss run side by side in the slots of a `ModelBatch`. An iteration has
two steps: `jaxlin.solvers.batch_pass` evaluates all models of all batches in one pass
over the rows, and `advance` then decides, batch by batch, the next candidate of each
model (`jaxlin.solvers.optimizer`). `jaxlin.solvers.device_loop` repeats both.

The caller assigns models to slots (`jaxlin.selection.sweep_run`): `place` fills a slot,
`warm_start` continues in a slot with another l2, and `narrow` keeps some of the slots.
Each model takes one of several vectors of example weights, which all models share
(folds, resamples).
"""

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.numerics import compilation, device_mesh
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    certified,
    class_hessian,
    optimizer,
    optimizer_state,
    regularization_path,
)
from jaxlin.solvers.class_hessian import SampledRows
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.optimizer_state import OptimizerState
from jaxlin.solvers.preconditioner import Preconditioner
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
    """

    state: OptimizerState
    dual_centers: Array
    settings: Settings
    weight_set: Array

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
) -> ModelBatch:
    """An empty batch of placeholder models.

    Args:
      width: number of slots, at least 1.
      examples: prepared examples.
      num_classes: number of classes.
      loss: the loss of the batch.
      arguments: names of the loss arguments that `place` will be given.
    """
    return _empty(
        width=width,
        shape=examples.features.shape,
        num_classes=num_classes,
        loss=loss,
        arguments=tuple(arguments),
    )


def advance(
    batch: ModelBatch,
    sums: RowSums,
    duals: Array,
    examples: Examples,
    weight_sets: Array | None,
    *,
    loss: Loss,
) -> tuple[ModelBatch, optimizer.OptimizerInfo]:
    """Decides the next candidate of each model, after a pass of `batch_pass.evaluate`.

    Args:
      batch: the batch before the pass; its memory is donated.
      sums: the batch's sums, with slots first.
      duals: duals at the candidates, in the shape of the dual centers.
      examples: prepared examples.
      weight_sets: example weights, shape ``(examples, sets)``, or None.
      loss: the loss of the batch.
    """
    arguments = (batch, sums, duals, examples, weight_sets)
    quickly = compilation.is_worth_it(batch.state.candidate.size, arguments)
    return (_advance_quickly if quickly else _advance)(*arguments, loss=loss)


def _decide(
    batch: ModelBatch,
    sums: RowSums,
    duals: Array,
    examples: Examples,
    weight_sets: Array | None,
    *,
    loss: Loss,
) -> tuple[ModelBatch, optimizer.OptimizerInfo]:
    statistics, sampled_for = _sample(examples, weight_sets)

    def one(state, sums, dual_centers, settings, weight_set):
        sampled = sampled_for(weight_set, dual_centers)
        return optimizer.advance(
            loss, state, sums, sampled, statistics.moment, settings
        )

    state, info = jax.vmap(one, in_axes=(0, 0, 1, 0, 0))(
        batch.state,
        sums,
        batch.dual_centers[statistics.sample],
        batch.settings,
        batch.weight_set,
    )
    # The duals at the end of a round are the dual centers of the next.
    begins_round = state.begins_round[None, :, None]
    dual_centers = jnp.where(begins_round, duals, batch.dual_centers)
    return _spread(batch._replace(state=state, dual_centers=dual_centers)), info


def place(
    batch: ModelBatch,
    slot: int,
    *,
    loss: Loss,
    l2: float,
    loss_arguments: LossArguments,
    weight_set: int,
) -> ModelBatch:
    """Puts a new model, with parameters 0, into a slot.

    Args:
      batch: the batch before; its memory is donated.
      slot: index of the slot.
      loss: the loss of the batch.
      l2: strength of half the sum of squares, above 0.
      loss_arguments: values of the arguments that were named to `empty`.
      weight_set: index of the model's example weights.
    """
    settings = Settings(l2=l2, loss_arguments=dict(loss_arguments))
    settings = jax.tree.map(np.float32, settings)
    return _placed(batch, np.int32(slot), settings, np.int32(weight_set), loss=loss)


def warm_start(
    batch: ModelBatch,
    slot: int,
    examples: Examples,
    weight_sets: Array | None,
    *,
    loss: Loss,
    l2: float,
) -> ModelBatch:
    """Replaces the model of a slot by one with another l2, warm-started from it.

    Args:
      batch: the batch after an iteration; its memory is donated.
      slot: index of the slot.
      examples: prepared examples.
      weight_sets: example weights, shape ``(examples, sets)``, or None.
      loss: the loss of the batch.
      l2: strength of half the sum of squares of the new model, above 0.
    """
    l2_of_model = jnp.asarray(l2, batch.state.candidate.dtype)
    # Hessians in the scores of sampled rows: those of 50 classes take 14 ms with few
    # optimisations, 7 ms with all.
    num_sampled = len(certified.preconditioner_of(examples).sample)
    numbers = class_hessian.num_numbers(batch.state.candidate.shape[1], num_sampled)
    size = max(batch.state.candidate.size, numbers // 20)
    quickly = compilation.is_worth_it(size, batch)
    return (_warm_start_quickly if quickly else _warm_start)(
        batch, jnp.int32(slot), examples, weight_sets, l2_of_model, loss=loss
    )


@jax.jit
def slot_result(batch: ModelBatch, slot: ArrayLike) -> tuple[Params, Certificate]:
    """Best parameters of a slot's model, and their certificate."""
    return jax.tree.map(
        lambda leaf: leaf[slot], (batch.state.params, batch.state.certificate)
    )


@jax.jit
def narrow(batch: ModelBatch, slots: Array) -> ModelBatch:
    """Returns the batch with only these slots, in this order."""
    state, settings, weight_set = jax.tree.map(
        lambda leaf: leaf[slots], (batch.state, batch.settings, batch.weight_set)
    )
    return _spread(
        ModelBatch(state, batch.dual_centers[:, slots], settings, weight_set)
    )


@functools.partial(
    jax.jit, static_argnames=("width", "shape", "num_classes", "loss", "arguments")
)
def _empty(
    *,
    width: int,
    shape: tuple[int, int],
    num_classes: int,
    loss: Loss,
    arguments: tuple[str, ...],
) -> ModelBatch:
    num_rows, num_features = shape
    settings = Settings(
        l2=jnp.ones(()), loss_arguments={name: jnp.ones(()) for name in arguments}
    )
    state = _at_zero(loss, num_classes, num_features, settings)

    def repeat(leaf: Array) -> Array:
        return jnp.broadcast_to(leaf, (width, *leaf.shape))

    num_duals = 0 if conjugates.of(loss).smooth else num_classes
    return _spread(
        ModelBatch(
            jax.tree.map(repeat, state),
            jnp.zeros((num_rows, width, num_duals)),
            jax.tree.map(repeat, settings),
            jnp.zeros(width, jnp.int32),
        )
    )


@functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("batch",))
def _placed(
    batch: ModelBatch,
    slot: Array,
    settings: Settings,
    weight_set: Array,
    *,
    loss: Loss,
) -> ModelBatch:
    num_classes, width = batch.state.candidate.shape[1:]
    state = _at_zero(loss, num_classes, width - 1, settings)
    dual_centers = batch.dual_centers.at[:, slot].set(0)
    state, settings, weight_set = jax.tree.map(
        lambda leaves, leaf: leaves.at[slot].set(leaf),
        (batch.state, batch.settings, batch.weight_set),
        (state, settings, weight_set),
    )
    return _spread(ModelBatch(state, dual_centers, settings, weight_set))


def _at_zero(
    loss: Loss, num_classes: int, num_features: int, settings: Settings
) -> OptimizerState:
    """State of a model with parameters 0, without dual centers."""
    params = Params(jnp.zeros((num_classes, num_features)), jnp.zeros(num_classes))
    state = optimizer_state.start(loss, params, settings, num_examples=0)
    return state._replace(dual_centers=jnp.zeros(0))


def _warm_started(
    batch: ModelBatch,
    slot: Array,
    examples: Examples,
    weight_sets: Array | None,
    l2: Array,
    *,
    loss: Loss,
) -> ModelBatch:
    statistics, sampled_for = _sample(examples, weight_sets)
    before, settings, weight_set = jax.tree.map(
        lambda leaf: leaf[slot],
        (batch.state, batch.settings, batch.weight_set),
    )
    sampled = sampled_for(weight_set, batch.dual_centers[statistics.sample, slot])
    state = regularization_path.warm_started(
        loss, before, sampled, statistics.moment, settings, l2=l2
    )
    state, settings = jax.tree.map(
        lambda leaves, leaf: leaves.at[slot].set(leaf),
        (batch.state, batch.settings),
        (state, settings._replace(l2=l2)),
    )
    return _spread(batch._replace(state=state, settings=settings))


_jit = functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("batch",))
_advance, _warm_start = _jit(_decide), _jit(_warm_started)
_advance_quickly, _warm_start_quickly = (
    _jit(function, compiler_options=compilation.FEW_OPTIMISATIONS)
    for function in (_decide, _warm_started)
)


def _sample(
    examples: Examples, weight_sets: Array | None
) -> tuple[Preconditioner, Callable[[Array, Array], SampledRows]]:
    """Statistics of the rows, and a function to the sampled rows of a model."""
    statistics = certified.preconditioner_of(examples)
    targets = examples.targets[statistics.sample]
    sampled_weights = None if weight_sets is None else weight_sets[statistics.sample]

    def sampled_for(weight_set: Array, dual_centers: Array) -> SampledRows:
        weights = None if sampled_weights is None else sampled_weights[:, weight_set]
        return SampledRows(statistics.rows, targets, weights, dual_centers)

    return statistics, sampled_for


def _spread(batch: ModelBatch) -> ModelBatch:
    """Splits the models, and the rows of the dual centers, over the current mesh."""
    models = device_mesh.MODELS
    others = batch._replace(dual_centers=jnp.zeros(0))
    others = jax.tree.map(lambda leaf: device_mesh.shard(leaf, models), others)
    dual_centers = device_mesh.shard(batch.dual_centers, device_mesh.ROWS, models)
    return others._replace(dual_centers=dual_centers)
