"""Decisions of a model batch: the next candidate of each model, warm starts.

`jaxlin.solvers.optimizer` decides for one model; here all models of a batch decide at
once, after the pass of `jaxlin.solvers.batch_pass`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxlin.numerics import compilation
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    certified,
    class_hessian,
    optimizer,
    regularization_path,
)
from jaxlin.solvers.class_hessian import SampledRows
from jaxlin.solvers.interface import Examples
from jaxlin.solvers.model_batch import ModelBatch, spread
from jaxlin.solvers.preconditioner import SecondMoment
from jaxlin.typing import Array, Loss


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
    num_classes = batch.state.candidate.shape[1]
    moment, sample, sampled_for = _sample(examples, weight_sets, num_classes)

    def one(state, sums, dual_centers, settings, sets):
        sampled = sampled_for(sets, dual_centers)
        return optimizer.advance(loss, state, sums, sampled, moment, settings)

    state, info = jax.vmap(one, in_axes=(0, 0, 1, 0, 0))(
        batch.state,
        sums,
        batch.dual_centers[sample],
        batch.settings,
        (batch.weight_set, batch.target_set),
    )
    # The duals at the end of a round are the dual centers of the next.
    begins_round = state.begins_round[None, :, None]
    dual_centers = jnp.where(begins_round, duals, batch.dual_centers)
    return spread(batch._replace(state=state, dual_centers=dual_centers)), info


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


def _warm_started(
    batch: ModelBatch,
    slot: Array,
    examples: Examples,
    weight_sets: Array | None,
    l2: Array,
    *,
    loss: Loss,
) -> ModelBatch:
    num_classes = batch.state.candidate.shape[1]
    moment, sample, sampled_for = _sample(examples, weight_sets, num_classes)
    before, settings, sets = jax.tree.map(
        lambda leaf: leaf[slot],
        (batch.state, batch.settings, (batch.weight_set, batch.target_set)),
    )
    sampled = sampled_for(sets, batch.dual_centers[sample, slot])
    state = regularization_path.warm_started(
        loss, before, sampled, moment, settings, l2=l2
    )
    state, settings = jax.tree.map(
        lambda leaves, leaf: leaves.at[slot].set(leaf),
        (batch.state, batch.settings),
        (state, settings._replace(l2=l2)),
    )
    return spread(batch._replace(state=state, settings=settings))


_jit = functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("batch",))
_advance, _warm_start = _jit(_decide), _jit(_warm_started)
_advance_quickly, _warm_start_quickly = (
    _jit(function, compiler_options=compilation.FEW_OPTIMISATIONS)
    for function in (_decide, _warm_started)
)


def _sample(
    examples: Examples, weight_sets: Array | None, num_classes: int
) -> tuple[SecondMoment, Array, Callable[[Any, Array], SampledRows]]:
    """Second moment, indices of the sampled rows, and those rows for a model."""
    statistics = certified.preconditioner_of(examples)
    size = class_hessian.num_rows(num_classes, len(statistics.sample))
    sample, rows = statistics.sample[:size], statistics.rows[:size]
    targets, target_sets = jax.tree.map(
        lambda leaf: leaf[sample], (examples.targets, examples.target_sets)
    )
    sampled_weights = None if weight_sets is None else weight_sets[sample]

    def sampled_for(
        sets: tuple[Array, Array | None], dual_centers: Array
    ) -> SampledRows:
        weight_set, target_set = sets
        weights = None if sampled_weights is None else sampled_weights[:, weight_set]
        own = targets if target_sets is None else target_sets[:, target_set]
        return SampledRows(rows, own, weights, dual_centers)

    return statistics.moment, sample, sampled_for
