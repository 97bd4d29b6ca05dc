"""Many certified models of several losses at once, in one pass over shared rows.

Models of one loss run side by side in the slots of a `Lane`. A turn evaluates all
models of all lanes: `evaluate` makes their scores in one wide matrix product, of which
each lane's loss takes its slice, and their gradients in another; `advance` then
decides, lane by lane, what each model evaluates next (`jaxlin.solvers.optimizer`);
`jaxlin.solvers.device_loop` repeats both. One model is near the limit of the memory,
many are near that of the arithmetic.

Which model is in which slot is the caller's business (`jaxlin.selection.sweep_run`):
slots are filled by `place`, go on with another l2 by `move`, and come together by
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
from jaxlin.numerics import (
    compensated,
    device_mesh,
)
from jaxlin.objective import row_sums
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    certified,
    optimizer,
    optimizer_state,
    preconditioner,
)
from jaxlin.solvers.interface import (
    Examples,
    Settings,
)
from jaxlin.solvers.optimizer_state import State
from jaxlin.typing import Array, Loss, LossArguments


class Lane(NamedTuple):
    """Models of one loss, one a slot.

    Attributes:
      state: of each model, with slots first; its centers are apart.
      centers: multipliers of hinges, shape ``(examples, slots, classes)``, so that a
        block of rows finds its own together; ``(examples, slots, 0)`` of a smooth loss.
      settings: l2 and loss arguments, each of shape ``(slots,)``.
      weighting: which vector of example weights each model takes, shape ``(slots,)``.
    """

    state: State
    centers: Array
    settings: Settings
    weighting: Array

    @property
    def width(self) -> int:
        """Number of slots."""
        return self.weighting.shape[0]


class _Examples(NamedTuple):
    """What the link needs to know of the rows beside their targets."""

    norms: Array
    weights: Array | None
    centers: tuple[Array, ...]


class _Shared(NamedTuple):
    """What the link needs to know of the models, one entry a lane."""

    terms: tuple[fenchel_young.Shared, ...]
    weighting: tuple[Array, ...]


def empty(
    width: int,
    examples: Examples,
    *,
    num_classes: int,
    loss: Loss,
    arguments: Iterable[str] = (),
) -> Lane:
    """A lane with nothing in its slots: models at 0 that nobody waits for.

    Args:
      width: number of slots.
      examples: of a problem, prepared.
      num_classes: C.
      loss: of the lane.
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
    lanes: tuple[Lane, ...],
    examples: Examples,
    weightings: Array | None,
    *,
    losses: tuple[Loss, ...],
    block_size: int | None = None,
) -> tuple[tuple[RowSums, ...], tuple[Array, ...]]:
    """Evaluates every model at its trial point, in one pass over the rows.

    Args:
      lanes: one a loss.
      examples: the rows.
      weightings: example weights to choose from, shape ``(examples, weightings)``;
        None is all ones for everybody.
      losses: of the lanes.
      block_size: rows a block; None chooses it from the shape.

    Returns:
      For each lane the sums that `advance` takes, with slots first, and the parameters
      of the points, in the shape of the centers.
    """
    num_shards = device_mesh.axis_size(device_mesh.MODELS)
    if num_shards == 1 or any(lane.width % num_shards for lane in lanes):
        return _evaluate(
            lanes, examples, weightings, losses=losses, block_size=block_size
        )
    whole, by_model = PartitionSpec(), PartitionSpec(device_mesh.MODELS)
    by_slot = PartitionSpec(None, device_mesh.MODELS)
    of_lane: Any = Lane(by_model, by_slot, by_model, by_model)  # type: ignore[arg-type]
    return jax.shard_map(
        functools.partial(_evaluate, losses=losses, block_size=block_size),
        in_specs=((of_lane,) * len(lanes), whole, whole),
        out_specs=((by_model,) * len(lanes), (by_slot,) * len(lanes)),
        axis_names={device_mesh.MODELS},
        check_vma=False,
    )(lanes, examples, weightings)


def _evaluate(
    lanes: tuple[Lane, ...],
    examples: Examples,
    weightings: Array | None,
    *,
    losses: tuple[Loss, ...],
    block_size: int | None,
) -> tuple[tuple[RowSums, ...], tuple[Array, ...]]:
    """`evaluate` where all models are on this device."""
    trials = jnp.concatenate([lane.state.trial for lane in lanes])
    sums, points = row_sums.over_rows(
        Params(trials[..., :-1], trials[..., -1]),
        examples.features,
        examples.targets,
        _Examples(
            certified.curvature_of(examples).norms,
            weightings,
            tuple(lane.centers for lane in lanes),
        ),
        link=_link(losses, tuple(lane.width for lane in lanes)),
        shared=_Shared(
            tuple(
                jax.vmap(optimizer.shared)(lane.state, lane.settings) for lane in lanes
            ),
            tuple(lane.weighting for lane in lanes),
        ),
        normalization=examples.normalization,
        block_size=block_size,
    )
    # The last value of each model is the weight of its examples.
    values, weight = (
        compensated.Compensated(*(leaf[:, part] for leaf in sums.values))
        for part in (slice(-1), -1)
    )
    num_models = trials.shape[0]
    by_model = sums._replace(
        values=values,
        weight=weight,
        rows=jnp.broadcast_to(sums.rows, num_models),
        parts=jnp.broadcast_to(sums.parts, num_models),
    )
    return tuple(_by_lane(by_model, lanes)), points


@functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("lane",))
def advance(
    lane: Lane,
    sums: RowSums,
    points: Array,
    examples: Examples,
    weightings: Array | None,
    *,
    loss: Loss,
) -> tuple[Lane, optimizer.Info]:
    """Decides what each model of a lane evaluates next, from a pass of `evaluate`."""
    known, sampled_for = _sample(examples, weightings)

    def one(state, sums, centers, settings, weighting):
        sampled = sampled_for(weighting, centers)
        return optimizer.advance(loss, state, sums, sampled, known.moment, settings)

    state, info = jax.vmap(one, in_axes=(0, 0, 1, 0, 0))(
        lane.state, sums, lane.centers[known.sample], lane.settings, lane.weighting
    )
    # What maximised the smoothed loss at the end of a round centers the next.
    renewed = state.is_round[None, :, None]
    centers = jnp.where(renewed, points, lane.centers)
    return _spread(lane._replace(state=state, centers=centers)), info


def place(
    lane: Lane,
    slot: int,
    *,
    loss: Loss,
    l2: float,
    loss_arguments: LossArguments,
    weighting: int,
) -> Lane:
    """Puts a model that begins at 0 into a slot.

    Args:
      lane: its memory is given away.
      slot: number of the slot.
      loss: of the lane.
      l2: of the model.
      loss_arguments: those that `empty` was told of.
      weighting: number of its example weights.
    """
    num_classes, width = lane.state.trial.shape[1:]
    dtype = lane.state.trial.dtype
    zeros = Params(
        jnp.zeros((num_classes, width - 1), dtype), jnp.zeros(num_classes, dtype)
    )
    settings = jax.tree.map(
        lambda value: jnp.asarray(value, dtype),
        Settings(l2=l2, loss_arguments=dict(loss_arguments)),
    )
    num_examples = lane.centers.shape[0]
    state = optimizer_state.start(loss, zeros, settings, num_examples=num_examples)
    return _placed(lane, jnp.int32(slot), state, settings, jnp.int32(weighting))


def move(
    lane: Lane,
    slot: int,
    examples: Examples,
    weightings: Array | None,
    *,
    loss: Loss,
    l2: float,
) -> Lane:
    """Goes on in a slot with a model that differs by l2 alone, where the last ended.

    Args:
      lane: after a turn; its memory is given away.
      slot: number of the slot.
      examples: the rows.
      weightings: as of `evaluate`.
      loss: of the lane.
      l2: of the model.
    """
    l2_of_model = jnp.asarray(l2, lane.state.trial.dtype)
    return _moved(lane, jnp.int32(slot), examples, weightings, l2_of_model, loss=loss)


@jax.jit
def taken(lane: Lane, slot: ArrayLike) -> tuple[Params, Certificate]:
    """What a slot has come to: the best parameters and their proof."""
    return jax.tree.map(
        lambda leaf: leaf[slot], (lane.state.params, lane.state.certificate)
    )


@jax.jit
def narrow(lane: Lane, slots: Array) -> Lane:
    """The lane that has only these slots, in this order."""
    state, settings, weighting = jax.tree.map(
        lambda leaf: leaf[slots], (lane.state, lane.settings, lane.weighting)
    )
    return _spread(Lane(state, lane.centers[:, slots], settings, weighting))


@functools.partial(jax.jit, static_argnames=("num_rows", "width"))
def _copied(state: State, settings: Settings, *, num_rows: int, width: int) -> Lane:
    def copies(leaf: Array) -> Array:
        return jnp.broadcast_to(leaf, (width, *leaf.shape))

    centers = jnp.zeros((num_rows, width, state.centers.shape[-1]))
    state = state._replace(centers=jnp.zeros(0))
    return _spread(
        Lane(
            jax.tree.map(copies, state),
            centers,
            jax.tree.map(copies, settings),
            jnp.zeros(width, jnp.int32),
        )
    )


@functools.partial(jax.jit, donate_argnames=("lane",))
def _placed(
    lane: Lane, slot: Array, state: State, settings: Settings, weighting: Array
) -> Lane:
    centers = lane.centers.at[:, slot].set(state.centers)
    state = state._replace(centers=jnp.zeros(0))
    state, settings, weighting = jax.tree.map(
        lambda leaves, leaf: leaves.at[slot].set(leaf),
        (lane.state, lane.settings, lane.weighting),
        (state, settings, weighting),
    )
    return _spread(Lane(state, centers, settings, weighting))


@functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("lane",))
def _moved(
    lane: Lane,
    slot: Array,
    examples: Examples,
    weightings: Array | None,
    l2: Array,
    *,
    loss: Loss,
) -> Lane:
    known, sampled_for = _sample(examples, weightings)
    before, settings, weighting = jax.tree.map(
        lambda leaf: leaf[slot],
        (lane.state, lane.settings, lane.weighting),
    )
    sampled = sampled_for(weighting, lane.centers[known.sample, slot])
    state = optimizer.moved(loss, before, sampled, known.moment, settings, l2=l2)
    state, settings = jax.tree.map(
        lambda leaves, leaf: leaves.at[slot].set(leaf),
        (lane.state, lane.settings),
        (state, settings._replace(l2=l2)),
    )
    return _spread(lane._replace(state=state, settings=settings))


def _sample(
    examples: Examples, weightings: Array | None
) -> tuple[preconditioner.Curvature, Callable[[Array, Array], preconditioner.Sampled]]:
    """What is known of the rows, and the sample that a model's curvature is of."""
    known = certified.curvature_of(examples)
    targets = examples.targets[known.sample]
    sampled_weights = None if weightings is None else weightings[known.sample]

    def of_model(weighting: Array, centers: Array) -> preconditioner.Sampled:
        weights = None if sampled_weights is None else sampled_weights[:, weighting]
        return preconditioner.Sampled(known.rows, targets, weights, centers)

    return known, of_model


def _spread(lane: Lane) -> Lane:
    """The lane, its models and the rows of its centers split as the mesh says."""
    models = device_mesh.MODELS
    others = lane._replace(centers=jnp.zeros(0))
    others = jax.tree.map(lambda leaf: device_mesh.spread(leaf, models), others)
    centers = device_mesh.spread(lane.centers, device_mesh.ROWS, models)
    return others._replace(centers=centers)


def _by_lane(by_model: RowSums, lanes: Iterable[Lane]) -> Iterator[RowSums]:
    first = 0
    for lane in lanes:
        slots = slice(first, first + lane.width)
        yield jax.tree.map(lambda leaf, slots=slots: leaf[slots], by_model)
        first = slots.stop


@functools.cache
def _link(losses: tuple[Loss, ...], widths: tuple[int, ...]) -> row_sums.Link:
    """The link of all models: each lane's loss on its slice of the scores."""
    axes: Any = fenchel_young.PerExample(0, None)  # type: ignore[arg-type]
    links = [
        jax.vmap(fenchel_young.link(loss), in_axes=(0, 0, None, axes))
        for loss in losses
    ]

    def of_example(
        shared: _Shared, scores: Array, target: Any, example: _Examples
    ) -> tuple[Array, Array, tuple[Array, ...]]:
        found, first = [], 0
        for lane, (link, width) in enumerate(zip(links, widths, strict=True)):
            slots = slice(first, first + width)
            first = slots.stop
            its = fenchel_young.PerExample(example.centers[lane], example.norms)
            values, gradients, points = link(
                shared.terms[lane], scores[slots], target, its
            )
            weights = jnp.ones(width, scores.dtype)
            if example.weights is not None:
                weights = example.weights[shared.weighting[lane]].astype(scores.dtype)
                # What is taken out stays out even if its value is infinite.
                is_out = (weights == 0)[:, None]
                values = jnp.where(is_out, 0, values * weights[:, None])
                gradients = jnp.where(is_out, 0, gradients * weights[:, None])
            values = jnp.concatenate([values, weights[:, None]], axis=1)
            found.append((values, gradients, points))
        all_values, all_gradients, all_points = zip(*found, strict=True)
        return jnp.concatenate(all_values), jnp.concatenate(all_gradients), all_points

    return of_example
