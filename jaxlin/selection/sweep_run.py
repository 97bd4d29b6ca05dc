"""The run of a sweep: models move through a fixed number of slots.

`jaxlin.sweep` is the one call. `jaxlin.selection.grids` says which models,
`jaxlin.selection.plans` with how much of the machine. Models of one loss share a batch
of slots (`jaxlin.solvers.model_batch`), all batches share the pass over the rows, and
`jaxlin.selection.schedule` says which model is in which slot.

A model begins where the one before it in its segment ended, which is the same but for a
larger l2, with all that was learnt of the loss there
(`jaxlin.solvers.optimizer.warm_started`); the first of a segment begins at 0.
`jaxlin.selection.plans` makes the segments. Nothing is decided by a clock or by free
memory: the same sweep takes the same steps on the same machine, however busy.
Elsewhere, with the same plan, only rounding makes another number of passes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.numerics import device_mesh
from jaxlin.selection import plans, schedule
from jaxlin.selection.grids import Grid
from jaxlin.selection.plans import Plan
from jaxlin.selection.schedule import SlotQueue
from jaxlin.solvers import certified, device_loop, fit_loop, model_batch
from jaxlin.solvers.interface import Examples
from jaxlin.solvers.model_batch import ModelBatch
from jaxlin.typing import Array

# What the counter of a program holds.
_MOST_LEFT = np.iinfo(np.int32).max


class Finished(NamedTuple):
    """A model that has given its slot away, on the host.

    Attributes:
      params: the best, by their certificate, or by the objective alone where nothing
        better is proven than that the minimum is not negative.
      certificate: of those; numbers.
      passes: passes over the rows that it took part in.
    """

    params: Params
    certificate: Certificate
    passes: int


class SweepState(NamedTuple):
    """A sweep between two iterations: all that the next one needs.

    Attributes:
      queues: one a loss.
      batches: one a loss; None where all its models are finished.
      finished: by the number of the model.
    """

    queues: tuple[SlotQueue, ...]
    batches: tuple[ModelBatch | None, ...]
    finished: Mapping[int, Finished]


def run(
    examples: Examples,
    models: Grid,
    *,
    plan: Plan,
    num_classes: int,
    by_row: Array | None = None,
    relative_gap: float = 1e-3,
    max_passes: int | Sequence[int] = 1000,
    resume: SweepState | None = None,
) -> Iterator[SweepState]:
    """Fits all models, some iterations at a time, each a pass for what runs.

    Args:
      examples: of a `jaxlin.Problem`, prepared.
      models: from `jaxlin.selection.grids.product`.
      plan: from `jaxlin.selection.plans.plan`.
      num_classes: C.
      by_row: example weights that the models choose from, shape ``(examples,
        weight_sets)``; None is all ones.
      relative_gap: asked of every model.
      max_passes: of a model, after which it is taken as it is; one number, or one per
        model.
      resume: a state that an earlier run of the same arguments has yielded; its batches
        are given away.

    Yields:
      The state whenever a model is finished, and after ``plan.iterations`` iterations
      at the latest. Its batches are given away when the next is asked for.

    Raises:
      ValueError: at the call, that names the argument, the rule and the value.
    """
    fit_loop.check_concrete(examples=examples, max_passes=max_passes)
    check.number("relative_gap", relative_gap, above=0)
    budgets = _budgets(models, max_passes)
    for loss in models.losses:
        duality.check_rank(loss, examples.targets.ndim)
    if resume is not None and any(
        isinstance(leaf, jax.Array) and leaf.is_deleted()
        for leaf in jax.tree.leaves(resume.batches)
    ):
        raise ValueError(
            "resume must be a state whose batches have not been given away, got one "
            "that a run has gone on from; load it again, or copy the batches before"
        )
    if len(plan.slots) != len(models.losses):
        raise ValueError(
            f"plan must be of these models, with {len(models.losses)} losses, got one "
            f"for {len(plan.slots)}; call plans.plan(models, ...)"
        )
    if plan.multiple != device_mesh.axis_size(device_mesh.MODELS):
        raise ValueError(
            "plan must be made under the mesh that the sweep runs under, got one for "
            f"{plan.multiple} devices that share models, not "
            f"{device_mesh.axis_size(device_mesh.MODELS)}; call plans.plan there"
        )
    fit_loop.check_norms(certified.preconditioner_of(examples).norms)
    fit_loop.check_classes(examples.targets, num_classes)
    state = resume or _begun(examples, models, plan, num_classes)
    return _states(examples, models, plan, by_row, relative_gap, budgets, state)


def _states(examples, models, plan, by_row, relative_gap, budgets, state):
    if len(state.finished) == models.size:
        yield state
    while len(state.finished) < models.size:
        active = [i for i, batch in enumerate(state.batches) if batch is not None]
        running, over, passes = device_loop.run(
            tuple(state.batches[i] for i in active),
            examples,
            by_row,
            tuple(_ends(state.queues[i], budgets, relative_gap) for i in active),
            losses=tuple(models.losses[i] for i in active),
            max_iterations=plan.iterations,
            block_size=plan.block_size,
        )
        over, passes = device_mesh.on_host((over, passes))
        for place, i in enumerate(active):
            state = _given_slots(
                state._replace(batches=_replaced(state.batches, i, running[place])),
                models,
                examples,
                by_row,
                number=i,
                over=over[place],
                passes=int(passes),
                plan=plan,
            )
        yield state


def _ends(
    queue: SlotQueue, budgets: np.ndarray, relative_gap: float
) -> device_loop.StoppingCriteria:
    """Stopping criteria of the models of a batch."""
    running, had = np.array(queue.running), np.array(queue.passes)
    return device_loop.StoppingCriteria(
        relative_gap=np.float32(relative_gap),
        # The last entry stands for idle slots, whose number is -1.
        passes_left=np.minimum(budgets[running] - had, _MOST_LEFT).astype(np.int32),
        is_new=np.array(queue.is_first) & (had == 0),
        is_idle=running == schedule.IDLE,
    )


def _given_slots(
    state: SweepState,
    models: Grid,
    examples: Examples,
    by_row: Array | None,
    *,
    number: int,
    over: np.ndarray,
    passes: int,
    plan: Plan,
) -> SweepState:
    """The state with a batch's finished models out of their slots and others in."""
    queue, batch, loss = (
        state.queues[number],
        state.batches[number],
        models.losses[number],
    )
    assert batch is not None, "a batch with models running"
    finished = dict(state.finished)
    for slot, model in enumerate(queue.running):
        if over[slot]:
            taken = model_batch.slot_result(batch, jnp.int32(slot))
            params, certificate = device_mesh.on_host(taken)
            count = queue.passes[slot] + passes
            finished[model] = Finished(params, certificate, count)
    changes = schedule.after_iteration(
        queue,
        finished=tuple(map(bool, over)),
        passes=passes,
        compile_cost=plan.compile_cost,
        multiple=plan.multiple,
    )
    for slot, model in changes.continued:
        l2 = float(models.l2[model])
        batch = model_batch.warm_start(batch, slot, examples, by_row, loss=loss, l2=l2)
    for slot, model in changes.begun:
        batch = _placed(batch, slot, models, model)
    if changes.kept is not None:
        batch = model_batch.narrow(batch, jnp.array(changes.kept))
    return SweepState(
        _replaced(state.queues, number, changes.queue),
        _replaced(state.batches, number, None if changes.queue.is_over else batch),
        finished,
    )


def _replaced(entries: tuple[Any, ...], number: int, new: Any) -> tuple[Any, ...]:
    return (*entries[:number], new, *entries[number + 1 :])


def _begun(
    examples: Examples, models: Grid, plan: Plan, num_classes: int
) -> SweepState:
    """The state before the first iteration: the first segments are in their slots."""
    queues, filled = [], []
    for number, loss in enumerate(models.losses):
        segments = plans.segments(models, plan, loss=number)
        queue = schedule.begin(
            segments, slots=plan.slots[number], multiple=plan.multiple
        )
        batch = model_batch.empty(
            len(queue.running),
            examples,
            num_classes=num_classes,
            loss=loss,
            arguments=models.arguments_of(segments[0][0]),
        )
        for slot, model in enumerate(queue.running):
            if model != schedule.IDLE:
                batch = _placed(batch, slot, models, model)
        queues.append(queue)
        filled.append(batch)
    return SweepState(tuple(queues), tuple(filled), {})


def _placed(batch: ModelBatch, slot: int, models: Grid, model: int) -> ModelBatch:
    """A model put into a slot, at 0."""
    return model_batch.place(
        batch,
        slot,
        loss=models.losses[models.loss[model]],
        l2=float(models.l2[model]),
        loss_arguments=models.arguments_of(model),
        weight_set=int(models.weight_set[model]),
    )


def _budgets(models: Grid, max_passes: int | Sequence[int]) -> np.ndarray:
    """Evaluations that each model may take."""
    budgets = np.asarray(max_passes)
    if budgets.dtype.kind not in "iu" or budgets.shape not in ((), (models.size,)):
        raise ValueError(
            f"max_passes must be an integer, or {models.size} of them for these "
            f"models, got {max_passes!r:.80}"
        )
    check.integer("max_passes", int(budgets.min()), at_least=1)
    return np.broadcast_to(budgets, models.size)
