"""Iterations of a sweep: models move through a fixed number of slots.

`jaxlin.sweep` is the interface. `jaxlin.selection.grids` defines the models,
`jaxlin.selection.plans` the number of slots and the path segments. Models of one loss
share a batch of slots (`jaxlin.solvers.model_batch`), all batches share the pass over
the rows, and `jaxlin.selection.schedule` assigns models to slots.

The warm start of a model is the previous model of its segment, which differs only by a
larger l2, with the optimizer state of that model
(`jaxlin.solvers.regularization_path`). The first model of a segment starts at 0.
No decision depends on the clock or on free memory: the same sweep takes the same
iterations on the same machine, whatever its load. On another machine, with the same
plan, only rounding changes the number of passes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.certificates import certificate_checks
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.numerics import device_mesh
from jaxlin.selection import plans, schedule
from jaxlin.selection.grids import Grid
from jaxlin.selection.plans import Plan
from jaxlin.selection.schedule import SlotQueue
from jaxlin.solvers import batch_step, certified, device_loop, fit_checks, model_batch
from jaxlin.solvers.interface import Examples
from jaxlin.solvers.model_batch import ModelBatch
from jaxlin.typing import Array

# Largest value of the device's counter of passes.
_MAX_PASSES_LEFT = np.iinfo(np.int32).max


class SweepInputs(NamedTuple):
    """Inputs of a sweep: examples, models, plan and stopping criterion.

    Attributes:
      examples: examples of a `jaxlin.Problem`, prepared.
      models: grid from `jaxlin.selection.grids.product`.
      plan: plan from `jaxlin.selection.plans.plan`.
      num_classes: number of classes C.
      by_row: sets of example weights, rows first, shape ``(examples, sets)``; None is
        one set of all ones.
      relative_gap: relative duality gap at which a model is finished, above 0.
      max_passes: largest number of passes per model, at least 1: one number, or one
        per model. A model that reaches it keeps its best iterate.
      float64_follows: whether a model ends once float32 cannot prove its gap, to be
        refined in float64.
    """

    examples: Examples
    models: Grid
    plan: Plan
    num_classes: int
    by_row: Array | None = None
    relative_gap: float = 1e-3
    max_passes: int | Sequence[int] = 1000
    float64_follows: bool = False


class Finished(NamedTuple):
    """Result of a finished model, on the host.

    Attributes:
      params: parameters with the smallest gap; those with the lowest objective where
        the best proven lower bound is 0.
      certificate: certificate of the parameters, four numbers.
      passes: number of passes of the model.
    """

    params: Params
    certificate: Certificate
    passes: int


class Refined(NamedTuple):
    """Float64 refinement of a finished model (`jaxlin.selection.refinement`).

    Attributes:
      params: parameters in float64.
      certificate: certificate of the parameters, four Python floats.
      relative_gap: proven bound on (objective - optimum) / objective.
      stalled: whether the refinement gave up with passes left.
      passes: number of passes of the refinement.
      float64_passes: those of them that were in float64.
    """

    params: Params
    certificate: Certificate
    relative_gap: float
    stalled: bool
    passes: int
    float64_passes: int


class SweepState(NamedTuple):
    """State of a sweep between two iterations.

    Attributes:
      queues: queue of each loss.
      batches: batch of each loss; None where all its models are finished.
      finished: results of the finished models, by model index.
      refined: float64 refinements, by model index.
      unrefined: indices of the models still to be refined; None while models run of a
        sweep that float64 follows.
    """

    queues: tuple[SlotQueue, ...]
    batches: tuple[ModelBatch | None, ...]
    finished: Mapping[int, Finished]
    refined: Mapping[int, Refined]
    unrefined: tuple[int, ...] | None

    @property
    def is_over(self) -> bool:
        """Returns whether no model runs and none is still to be refined."""
        return all(batch is None for batch in self.batches) and self.unrefined == ()


def run(
    inputs: SweepInputs, *, resume: SweepState | None = None
) -> Iterator[SweepState]:
    """Fits all models of a grid; each iteration is one pass for all running models.

    Args:
      inputs: examples, models, plan and stopping criterion.
      resume: a state that an earlier run of the same inputs has yielded; its batches
        are donated. None starts a new sweep.

    Yields:
      The state after each iteration that finishes a model, and after at most
      ``plan.iterations`` iterations. Its batches are donated to the next iteration.

    Raises:
      ValueError: at the call, if an input is invalid; the message gives the rule and
        the value.
    """
    _check(inputs, resume)
    budgets = _budgets(inputs.models, inputs.max_passes)
    return _states(inputs, budgets, resume or _initial_state(inputs))


def _check(inputs: SweepInputs, resume: SweepState | None) -> None:
    """Raises a ValueError if the inputs disagree with one another or the mesh."""
    examples, models, plan = inputs.examples, inputs.models, inputs.plan
    fit_checks.check_concrete(examples=examples, max_passes=inputs.max_passes)
    check.number("relative_gap", inputs.relative_gap, above=0)
    for loss in models.losses:
        certificate_checks.check_rank(loss, examples.targets.ndim)
    if resume is not None and any(
        isinstance(leaf, jax.Array) and leaf.is_deleted()
        for leaf in jax.tree.leaves(resume.batches)
    ):
        raise ValueError(
            "resume must be a state whose batches have not been donated, got one from "
            "which a run has continued; load it again, or copy the batches before"
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
    fit_checks.check_norms(certified.preconditioner_of(examples).norms)
    fit_checks.check_classes(examples.targets, inputs.num_classes)


def _states(
    inputs: SweepInputs, budgets: np.ndarray, state: SweepState
) -> Iterator[SweepState]:
    """Generator of `run`: the states after each call of the device loop."""
    models, plan = inputs.models, inputs.plan
    if len(state.finished) == models.size:
        yield state
    while len(state.finished) < models.size:
        active = [i for i, batch in enumerate(state.batches) if batch is not None]
        running, is_finished, passes = device_loop.run(
            tuple(batch for batch in state.batches if batch is not None),
            inputs.examples,
            inputs.by_row,
            tuple(_ends(state.queues[i], budgets, inputs) for i in active),
            losses=tuple(models.losses[i] for i in active),
            max_iterations=plan.iterations,
            block_size=plan.block_size,
        )
        is_finished, passes = device_mesh.on_host((is_finished, passes))
        for place, i in enumerate(active):
            state = _with_slots_reassigned(
                state._replace(batches=_replaced(state.batches, i, running[place])),
                inputs,
                number=i,
                is_finished=is_finished[place],
                passes=int(passes),
            )
        yield state


def _ends(
    queue: SlotQueue, budgets: np.ndarray, inputs: SweepInputs
) -> device_loop.StoppingCriteria:
    """Stopping criterion of the models of a batch, per slot."""
    running, passes = np.array(queue.running), np.array(queue.passes)
    return device_loop.StoppingCriteria(
        relative_gap=np.float32(inputs.relative_gap),
        # An idle slot, with model index -1, reads the last budget, which has no effect.
        passes_left=np.minimum(budgets[running] - passes, _MAX_PASSES_LEFT).astype(
            np.int32
        ),
        is_new=np.array(queue.is_first) & (passes == 0),
        is_idle=running == schedule.IDLE,
        float64_follows=np.bool_(inputs.float64_follows),
    )


def _with_slots_reassigned(
    state: SweepState,
    inputs: SweepInputs,
    *,
    number: int,
    is_finished: np.ndarray,
    passes: int,
) -> SweepState:
    """State after the slots of a batch's finished models are reassigned."""
    models, plan = inputs.models, inputs.plan
    queue, batch = state.queues[number], state.batches[number]
    assert batch is not None, "a batch with models running"
    finished = dict(state.finished)
    for slot, model in enumerate(queue.running):
        if is_finished[slot]:
            taken = model_batch.slot_result(batch, jnp.int32(slot))
            params, certificate = device_mesh.on_host(taken)
            finished[model] = Finished(params, certificate, queue.passes[slot] + passes)
    changes = schedule.after_iteration(
        queue,
        finished=tuple(map(bool, is_finished)),
        passes=passes,
        compile_cost=plan.compile_cost,
        multiple=plan.multiple,
    )
    for slot, model in changes.continued:
        batch = batch_step.warm_start(
            batch,
            slot,
            inputs.examples,
            inputs.by_row,
            loss=models.losses[number],
            l2=float(models.l2[model]),
        )
    for slot, model in changes.begun:
        batch = _placed(batch, slot, models, model)
    if changes.kept is not None:
        batch = model_batch.narrow(batch, jnp.array(changes.kept))
    return state._replace(
        queues=_replaced(state.queues, number, changes.queue),
        batches=_replaced(
            state.batches, number, None if changes.queue.is_over else batch
        ),
        finished=finished,
    )


def _replaced(entries: tuple[Any, ...], number: int, new: Any) -> tuple[Any, ...]:
    return (*entries[:number], new, *entries[number + 1 :])


def _initial_state(inputs: SweepInputs) -> SweepState:
    """State before the first iteration, with the first segments in their slots."""
    models, plan = inputs.models, inputs.plan
    queues, batches = [], []
    for number, loss in enumerate(models.losses):
        segments = plans.segments(models, plan, loss=number)
        queue = schedule.begin(
            segments, slots=plan.slots[number], multiple=plan.multiple
        )
        batch = model_batch.empty(
            len(queue.running),
            inputs.examples,
            num_classes=inputs.num_classes,
            loss=loss,
            arguments=models.arguments_of(segments[0][0]),
            bias=models.bias,
            num_pairs=plan.num_pairs,
            has_target_sets=models.target_set is not None,
        )
        for slot, model in enumerate(queue.running):
            if model != schedule.IDLE:
                batch = _placed(batch, slot, models, model)
        queues.append(queue)
        batches.append(batch)
    unrefined = None if inputs.float64_follows else ()
    return SweepState(tuple(queues), tuple(batches), {}, {}, unrefined)


def _placed(batch: ModelBatch, slot: int, models: Grid, model: int) -> ModelBatch:
    """Batch with a model placed in a slot, started at 0."""
    return model_batch.place(
        batch,
        slot,
        loss=models.losses[models.loss[model]],
        l2=float(models.l2[model]),
        loss_arguments=models.arguments_of(model),
        weight_set=int(models.weight_set[model]),
        target_set=None if models.target_set is None else models.target_set[model],
    )


def _budgets(models: Grid, max_passes: int | Sequence[int]) -> np.ndarray:
    """Largest number of passes of each model, shape ``(models,)``."""
    budgets = np.asarray(max_passes)
    if budgets.dtype.kind not in "iu" or budgets.shape not in ((), (models.size,)):
        raise ValueError(
            f"max_passes must be an integer, or {models.size} of them for these "
            f"models, got {max_passes!r:.80}"
        )
    check.integer("max_passes", int(budgets.min()), at_least=1)
    return np.broadcast_to(budgets, models.size)
