"""Many certified models of several losses at once, in one pass over shared rows.

Models of one loss run side by side in the slots of a `ModelBatch`. An iteration
evaluates all
models of all batches: `evaluate` makes their scores in one wide matrix product, of
  which
each batch's loss takes its slice, and their gradients in another; `advance` then
decides, batch by batch, what each model evaluates next (`jaxlin.solvers.optimizer`);
`jaxlin.solvers.device_loop` repeats both. One model is near the limit of the memory,
many are near that of the arithmetic.

Which model is in which slot is the caller's business (`jaxlin.selection.sweep_run`):
slots are filled by `place`, go on with another l2 by `warm_start`, and come together by
`narrow`. A model takes part with example weights of its own, one of several vectors
that all models share (folds, resamples).
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import ArrayLike

from jaxlin.certificates import fenchel_young
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.numerics import compensated, device_mesh
from jaxlin.objective import row_sums
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import certified, optimizer, optimizer_state, preconditioner
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.optimizer_state import OptimizerState
from jaxlin.typing import Array, Loss, LossArguments


class ModelBatch(NamedTuple):
    """Models of one loss, one a slot.

    Attributes:
      state: of each model, with slots first; its dual_centers are apart.
      dual_centers: duals of hinges, shape ``(examples, slots, classes)``, so that a
        block of rows finds its own together; ``(examples, slots, 0)`` of a smooth loss.
      settings: l2 and loss arguments, each of shape ``(slots,)``.
      weight_set: which vector of example weights each model takes, shape ``(slots,)``.
    """

    state: OptimizerState
    dual_centers: Array
    settings: Settings
    weight_set: Array

    @property
    def width(self) -> int:
        """Number of slots."""
        return self.weight_set.shape[0]


class _Examples(NamedTuple):
    """What the example function needs to know of the rows beside their targets."""

    norms: Array
    weights: Array | None
    dual_centers: tuple[Array, ...]


class _Shared(NamedTuple):
    """What the example function needs to know of the models, one entry a batch."""

    terms: tuple[fenchel_young.TermArguments, ...]
    weight_set: tuple[Array, ...]


def empty(
    width: int,
    examples: Examples,
    *,
    num_classes: int,
    loss: Loss,
    arguments: Iterable[str] = (),
) -> ModelBatch:
    """A batch with nothing in its slots: models at 0 that nobody waits for.

    Args:
      width: number of slots.
      examples: of a problem, prepared.
      num_classes: C.
      loss: of the batch.
      arguments: names of the loss arguments that its models will be given.
    """
    num_rows, num_features = examples.features.shape
    params = Params(jnp.zeros((num_classes, num_features)), jnp.zeros((num_classes,)))
    settings = Settings(
        l2=jnp.ones(()), loss_arguments={name: jnp.ones(()) for name in arguments}
    )
    state = optimizer_state.start(loss, params, settings, num_examples=0)
    return _copied(state, settings, num_rows=num_rows, width=width)


@functools.partial(jax.jit, static_argnames=("losses", "block_size"))
def evaluate(
    batches: tuple[ModelBatch, ...],
    examples: Examples,
    weight_sets: Array | None,
    *,
    losses: tuple[Loss, ...],
    block_size: int | None = None,
) -> tuple[tuple[RowSums, ...], tuple[Array, ...]]:
    """Evaluates every model at its candidate point, in one pass over the rows.

    Args:
      batches: one a loss.
      examples: the rows.
      weight_sets: example weights to choose from, shape ``(examples, weight_sets)``;
        None is all ones for everybody.
      losses: of the batches.
      block_size: rows a block; None chooses it from the shape.

    Returns:
      For each batch the sums that `advance` takes, with slots first, and the parameters
      of the points, in the shape of the dual_centers.
    """
    num_shards = device_mesh.axis_size(device_mesh.MODELS)
    if num_shards == 1 or any(batch.width % num_shards for batch in batches):
        return _evaluate(
            batches, examples, weight_sets, losses=losses, block_size=block_size
        )
    whole, by_model = PartitionSpec(), PartitionSpec(device_mesh.MODELS)
    by_slot = PartitionSpec(None, device_mesh.MODELS)
    of_batch: Any = ModelBatch(by_model, by_slot, by_model, by_model)  # type: ignore[arg-type]
    return jax.shard_map(
        functools.partial(_evaluate, losses=losses, block_size=block_size),
        in_specs=((of_batch,) * len(batches), whole, whole),
        out_specs=((by_model,) * len(batches), (by_slot,) * len(batches)),
        axis_names={device_mesh.MODELS},
        check_vma=False,
    )(batches, examples, weight_sets)


def _evaluate(
    batches: tuple[ModelBatch, ...],
    examples: Examples,
    weight_sets: Array | None,
    *,
    losses: tuple[Loss, ...],
    block_size: int | None,
) -> tuple[tuple[RowSums, ...], tuple[Array, ...]]:
    """`evaluate` where all models are on this device."""
    candidates = jnp.concatenate([batch.state.candidate for batch in batches])
    sums, points = row_sums.over_rows(
        Params(candidates[..., :-1], candidates[..., -1]),
        examples.features,
        examples.targets,
        _Examples(
            certified.preconditioner_of(examples).norms,
            weight_sets,
            tuple(batch.dual_centers for batch in batches),
        ),
        example_function=_example_function(
            losses, tuple(batch.width for batch in batches)
        ),
        shared=_Shared(
            tuple(
                jax.vmap(optimizer.shared)(batch.state, batch.settings)
                for batch in batches
            ),
            tuple(batch.weight_set for batch in batches),
        ),
        normalization=examples.normalization,
        block_size=block_size,
    )
    # The last value of each model is the weight of its examples.
    values, weight = (
        compensated.Compensated(*(leaf[:, part] for leaf in sums.values))
        for part in (slice(-1), -1)
    )
    num_models = candidates.shape[0]
    by_model = sums._replace(
        values=values,
        weight=weight,
        rows=jnp.broadcast_to(sums.rows, num_models),
        parts=jnp.broadcast_to(sums.parts, num_models),
    )
    return tuple(_by_batch(by_model, batches)), points


@functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("batch",))
def advance(
    batch: ModelBatch,
    sums: RowSums,
    points: Array,
    examples: Examples,
    weight_sets: Array | None,
    *,
    loss: Loss,
) -> tuple[ModelBatch, optimizer.OptimizerInfo]:
    """Decides what each model of a batch evaluates next, from a pass of `evaluate`."""
    known, sampled_for = _sample(examples, weight_sets)

    def one(state, sums, dual_centers, settings, weight_set):
        sampled = sampled_for(weight_set, dual_centers)
        return optimizer.advance(loss, state, sums, sampled, known.moment, settings)

    state, info = jax.vmap(one, in_axes=(0, 0, 1, 0, 0))(
        batch.state,
        sums,
        batch.dual_centers[known.sample],
        batch.settings,
        batch.weight_set,
    )
    # What maximised the smoothed loss at the end of a round dual_centers the next.
    renewed = state.is_round[None, :, None]
    dual_centers = jnp.where(renewed, points, batch.dual_centers)
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
    """Puts a model that begins at 0 into a slot.

    Args:
      batch: its memory is given away.
      slot: number of the slot.
      loss: of the batch.
      l2: of the model.
      loss_arguments: those that `empty` was told of.
      weight_set: number of its example weights.
    """
    num_classes, width = batch.state.candidate.shape[1:]
    dtype = batch.state.candidate.dtype
    zeros = Params(
        jnp.zeros((num_classes, width - 1), dtype), jnp.zeros(num_classes, dtype)
    )
    settings = jax.tree.map(
        lambda value: jnp.asarray(value, dtype),
        Settings(l2=l2, loss_arguments=dict(loss_arguments)),
    )
    num_examples = batch.dual_centers.shape[0]
    state = optimizer_state.start(loss, zeros, settings, num_examples=num_examples)
    return _placed(batch, jnp.int32(slot), state, settings, jnp.int32(weight_set))


def warm_start(
    batch: ModelBatch,
    slot: int,
    examples: Examples,
    weight_sets: Array | None,
    *,
    loss: Loss,
    l2: float,
) -> ModelBatch:
    """Goes on in a slot with a model that differs by l2 alone, where the last ended.

    Args:
      batch: after an iteration; its memory is given away.
      slot: number of the slot.
      examples: the rows.
      weight_sets: as of `evaluate`.
      loss: of the batch.
      l2: of the model.
    """
    l2_of_model = jnp.asarray(l2, batch.state.candidate.dtype)
    return _warm_started(
        batch, jnp.int32(slot), examples, weight_sets, l2_of_model, loss=loss
    )


@jax.jit
def taken(batch: ModelBatch, slot: ArrayLike) -> tuple[Params, Certificate]:
    """What a slot has come to: the best parameters and their proof."""
    return jax.tree.map(
        lambda leaf: leaf[slot], (batch.state.params, batch.state.certificate)
    )


@jax.jit
def narrow(batch: ModelBatch, slots: Array) -> ModelBatch:
    """The batch that has only these slots, in this order."""
    state, settings, weight_set = jax.tree.map(
        lambda leaf: leaf[slots], (batch.state, batch.settings, batch.weight_set)
    )
    return _spread(
        ModelBatch(state, batch.dual_centers[:, slots], settings, weight_set)
    )


@functools.partial(jax.jit, static_argnames=("num_rows", "width"))
def _copied(
    state: OptimizerState, settings: Settings, *, num_rows: int, width: int
) -> ModelBatch:
    def copies(leaf: Array) -> Array:
        return jnp.broadcast_to(leaf, (width, *leaf.shape))

    dual_centers = jnp.zeros((num_rows, width, state.dual_centers.shape[-1]))
    state = state._replace(dual_centers=jnp.zeros(0))
    return _spread(
        ModelBatch(
            jax.tree.map(copies, state),
            dual_centers,
            jax.tree.map(copies, settings),
            jnp.zeros(width, jnp.int32),
        )
    )


@functools.partial(jax.jit, donate_argnames=("batch",))
def _placed(
    batch: ModelBatch,
    slot: Array,
    state: OptimizerState,
    settings: Settings,
    weight_set: Array,
) -> ModelBatch:
    dual_centers = batch.dual_centers.at[:, slot].set(state.dual_centers)
    state = state._replace(dual_centers=jnp.zeros(0))
    state, settings, weight_set = jax.tree.map(
        lambda leaves, leaf: leaves.at[slot].set(leaf),
        (batch.state, batch.settings, batch.weight_set),
        (state, settings, weight_set),
    )
    return _spread(ModelBatch(state, dual_centers, settings, weight_set))


@functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("batch",))
def _warm_started(
    batch: ModelBatch,
    slot: Array,
    examples: Examples,
    weight_sets: Array | None,
    l2: Array,
    *,
    loss: Loss,
) -> ModelBatch:
    known, sampled_for = _sample(examples, weight_sets)
    before, settings, weight_set = jax.tree.map(
        lambda leaf: leaf[slot],
        (batch.state, batch.settings, batch.weight_set),
    )
    sampled = sampled_for(weight_set, batch.dual_centers[known.sample, slot])
    state = optimizer.warm_started(loss, before, sampled, known.moment, settings, l2=l2)
    state, settings = jax.tree.map(
        lambda leaves, leaf: leaves.at[slot].set(leaf),
        (batch.state, batch.settings),
        (state, settings._replace(l2=l2)),
    )
    return _spread(batch._replace(state=state, settings=settings))


def _sample(
    examples: Examples, weight_sets: Array | None
) -> tuple[
    preconditioner.Preconditioner, Callable[[Array, Array], preconditioner.Sampled]
]:
    """What is known of the rows, and the sample that a model's curvature is of."""
    known = certified.preconditioner_of(examples)
    targets = examples.targets[known.sample]
    sampled_weights = None if weight_sets is None else weight_sets[known.sample]

    def of_model(weight_set: Array, dual_centers: Array) -> preconditioner.Sampled:
        weights = None if sampled_weights is None else sampled_weights[:, weight_set]
        return preconditioner.Sampled(known.rows, targets, weights, dual_centers)

    return known, of_model


def _spread(batch: ModelBatch) -> ModelBatch:
    """The batch, its models and the rows of its dual_centers split as the mesh says."""
    models = device_mesh.MODELS
    others = batch._replace(dual_centers=jnp.zeros(0))
    others = jax.tree.map(lambda leaf: device_mesh.shard(leaf, models), others)
    dual_centers = device_mesh.shard(batch.dual_centers, device_mesh.ROWS, models)
    return others._replace(dual_centers=dual_centers)


def _by_batch(by_model: RowSums, batches: Iterable[ModelBatch]) -> Iterator[RowSums]:
    first = 0
    for batch in batches:
        slots = slice(first, first + batch.width)
        yield jax.tree.map(lambda leaf, slots=slots: leaf[slots], by_model)
        first = slots.stop


@functools.cache
def _example_function(
    losses: tuple[Loss, ...], widths: tuple[int, ...]
) -> row_sums.ExampleFunction:
    """The example function of all models: each loss on its slice of the scores."""
    axes: Any = fenchel_young.PerExample(0, None)  # type: ignore[arg-type]
    example_functions = [
        jax.vmap(fenchel_young.example_function(loss), in_axes=(0, 0, None, axes))
        for loss in losses
    ]

    def of_example(
        shared: _Shared, scores: Array, target: Any, example: _Examples
    ) -> tuple[Array, Array, tuple[Array, ...]]:
        found, first = [], 0
        for batch, (example_function, width) in enumerate(
            zip(example_functions, widths, strict=True)
        ):
            slots = slice(first, first + width)
            first = slots.stop
            its = fenchel_young.PerExample(example.dual_centers[batch], example.norms)
            values, gradients, points = example_function(
                shared.terms[batch], scores[slots], target, its
            )
            weights = jnp.ones(width, scores.dtype)
            if example.weights is not None:
                weights = example.weights[shared.weight_set[batch]].astype(scores.dtype)
                # What is taken out stays out even if its value is infinite.
                is_out = (weights == 0)[:, None]
                values = jnp.where(is_out, 0, values * weights[:, None])
                gradients = jnp.where(is_out, 0, gradients * weights[:, None])
            values = jnp.concatenate([values, weights[:, None]], axis=1)
            found.append((values, gradients, points))
        all_values, all_gradients, all_points = zip(*found, strict=True)
        return jnp.concatenate(all_values), jnp.concatenate(all_gradients), all_points

    return of_example
