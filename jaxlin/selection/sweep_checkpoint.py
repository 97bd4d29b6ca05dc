"""Checkpoints of a sweep: slots, queues and finished models in one file.

``jaxlin.sweep(..., checkpoint=path)`` is the interface. A run that resumes from the
file takes the same iterations as an uninterrupted run, bit for bit on the same machine.
Models finished in the file are not fitted again.
"""

import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxlin.certificates.duality import Certificate
from jaxlin.io import checkpoint, files
from jaxlin.linear import Params
from jaxlin.numerics import processes
from jaxlin.selection import sweep_facts
from jaxlin.selection.grids import Grid
from jaxlin.selection.schedule import SlotQueue
from jaxlin.selection.sweep_run import Finished, Refined, SweepInputs, SweepState
from jaxlin.solvers import model_batch
from jaxlin.solvers.interface import Examples

# Saving takes at most one second of this many.
_SECONDS_PER_SECOND_OF_SAVING = 20
# Longest time between saves while no model is finished.
_SECONDS_BETWEEN_SAVES = 60

# Function of the state to resume from, None at the start, to the states from there on.
States = Callable[[SweepState | None], Iterator[SweepState]]

_KIND = "sweep"
# Version of the file's content; files of other versions are refused.
_VERSION = 6


def run(
    path: checkpoint.Path,
    inputs: SweepInputs,
    states: States,
    *,
    max_passes: int | None = None,
) -> Iterator[SweepState]:
    """The states of a sweep, saved to a file, from the state that the file has.

    The state is saved after iterations that have finished a model, or after a minute,
    as often as fits into a twentieth of the time: small sweeps after each iteration,
    large ones every few seconds. The times of saving change no result. Iterations after
    the last save are repeated, bit for bit; models finished in the file are not.

    Args:
      path: the checkpoint file. If it exists, the sweep resumes from it: it must be of
        the same inputs. The file is kept when the sweep is over.
      inputs: examples, models, plan and stopping criterion.
      states: the sweep, from the state that it is given; None starts it.
      max_passes: largest number of passes of a model, those in float64 included; None
        if nothing follows in float64.

    Raises:
      ValueError: as `jaxlin.selection.sweep_run.run` and `load`.
      OSError: if the file cannot be read or written.
    """
    models, facts = inputs.models, sweep_facts.facts(inputs, max_passes)
    path = files.expanded(path)
    resume = processes.check_everywhere(lambda: _found(path, inputs, facts))
    saved = (0, 0, False) if resume is None else _progress(resume)
    last_save = next_save = time.monotonic()
    for state in states(resume):
        has_new_models = _progress(state) > saved
        now = time.monotonic()
        is_due = now >= next_save and (
            has_new_models or now >= last_save + _SECONDS_BETWEEN_SAVES
        )
        ends_float32 = len(state.finished) == models.size and not state.refined
        is_due |= has_new_models and (state.is_over or ends_float32)
        # By the clock of the first process.
        if processes.gather(np.int32(is_due))[0]:
            _save_once(path, state, models, facts)
            saved, last_save = _progress(state), now
            seconds = time.monotonic() - now
            next_save = now + _SECONDS_PER_SECOND_OF_SAVING * seconds
        yield state


def _found(
    path: pathlib.Path, inputs: SweepInputs, facts: Mapping[str, Any]
) -> SweepState | None:
    """State in the file, None if there is none; the same in all processes."""
    exists = processes.gather(np.int32(path.exists()))
    if not exists.any():
        return None
    if not exists.all():
        raise ValueError(
            f"{path} must lie in a folder that all processes share, got one that "
            f"process {int(np.argmin(exists))} cannot see"
        )
    return load(
        path,
        inputs.examples,
        inputs.models,
        num_classes=inputs.num_classes,
        facts=facts,
    )


def _save_once(
    path: pathlib.Path, state: SweepState, models: Grid, facts: Mapping[str, Any]
) -> None:
    """Saves in the first process; an error raises in all of them."""
    state = state._replace(batches=processes.gather_whole(state.batches))
    error = None
    if jax.process_index() == 0:
        try:
            save(path, state, models, facts=facts)
        except OSError as raised:
            error = raised
    if processes.any_process(error is not None):
        raise error or OSError(f"process 0 could not write {path}")


def is_over(path: checkpoint.Path) -> bool:
    """Returns whether a file holds a sweep that is over; False if there is no file.

    Raises:
      ValueError: if the file is damaged or of something else.
      OSError: if the file cannot be read.
    """
    path = files.expanded(path)
    return path.exists() and _metadata(path)["is_over"]


def save(
    path: checkpoint.Path,
    state: SweepState,
    models: Grid,
    *,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Writes the state of a sweep, atomically.

    If the process is killed during the write, the file keeps its previous content.

    Args:
      path: the checkpoint file.
      state: state that `jaxlin.selection.sweep_run.run` has just yielded; the next
        iteration donates its batches.
      models: grid of the sweep, written with the state.
      facts: values that must be the same when the sweep resumes, as JSON can hold them;
        None is none.

    Raises:
      OSError: if the file cannot be written; it is then unchanged.
    """
    metadata = {
        "kind": _KIND,
        "version": _VERSION,
        "models": sweep_facts.described(models),
        "facts": dict(facts or {}),
        "shape": _shape_of(state),
        "num_pairs": _num_pairs(state),
        "queues": [queue._asdict() for queue in state.queues],
        "finished": [[model, fit.passes] for model, fit in state.finished.items()],
        "refined": list(state.refined),
        "unrefined": state.unrefined,
        "is_over": state.is_over,
    }
    finished = {
        str(model): (fit.params, fit.certificate)
        for model, fit in state.finished.items()
    }
    refined = {str(model): fit for model, fit in state.refined.items()}
    tree = {"batches": state.batches, "finished": finished, "refined": refined}
    checkpoint.save(path, tree, metadata=metadata)


def load(
    path: checkpoint.Path,
    examples: Examples,
    models: Grid,
    *,
    num_classes: int,
    facts: Mapping[str, Any] | None = None,
) -> SweepState:
    """Reads a state for ``resume`` of `jaxlin.selection.sweep_run.run`.

    Args:
      path: a file that `save` wrote.
      examples: examples of the sweep.
      models: grid of the sweep.
      num_classes: number of classes C.
      facts: the facts given to `save`. Only they show whether rows, example weights and
        the relative gap are the same.

    Raises:
      ValueError: if the file is damaged, or of other models, facts or shapes.
      OSError: if the file cannot be read.
    """
    found = _metadata(path)
    queues = tuple(map(_queue, found["queues"]))
    sweep_facts.check_models(path, found["models"], models)
    sweep_facts.check_same(
        path, "facts", found["facts"], facts, is_over=found["is_over"]
    )
    shape = {"num_classes": num_classes, "num_features": examples.features.shape[1]}
    sweep_facts.check_same(path, "arguments", found["shape"], shape)
    template = _template(found, queues, examples, models, num_classes)
    if jax.process_count() > 1:
        template["batches"] = _on_host(template["batches"])
        tree = checkpoint.load(path, template)
        tree["batches"] = tuple(
            batch and model_batch.place_whole(batch) for batch in tree["batches"]
        )
    else:
        tree = checkpoint.load(path, template)
    finished = {}
    for model, passes in found["finished"]:
        params, certificate = tree["finished"][str(model)]
        finished[model] = Finished(params, certificate, passes)
    unrefined = found["unrefined"]
    return SweepState(
        queues,
        tree["batches"],
        finished,
        {model: tree["refined"][str(model)] for model in found["refined"]},
        None if unrefined is None else tuple(unrefined),
    )


def _metadata(path: checkpoint.Path) -> dict[str, Any]:
    """Metadata of the file of a sweep of this version."""
    found = checkpoint.load_metadata(path)
    if found.get("kind") != _KIND:
        raise ValueError(
            f"{path} must be of a sweep, got another checkpoint; take another file"
        )
    if found.get("version") != _VERSION:
        raise ValueError(
            f"{path} must be of a sweep of version {_VERSION}, got version "
            f"{found.get('version', 1)}; finish it with the version of jaxlin that "
            "wrote it, or take another file"
        )
    return found


def _progress(state: SweepState) -> tuple[int, int, bool]:
    """Counts of finished and refined models, and the end, which later states exceed."""
    return len(state.finished), len(state.refined), state.is_over


def _queue(found: dict[str, Any]) -> SlotQueue:
    """A queue from its JSON form, with tuples for lists."""
    return SlotQueue(
        tuple(found["running"]),
        tuple(map(tuple, found["following"])),
        tuple(map(tuple, found["waiting"])),
        tuple(found["passes"]),
        tuple(found["is_first"]),
        found["idle"],
        found["slot_passes"],
    )


def _template(
    found: dict[str, Any],
    queues: tuple[SlotQueue, ...],
    examples: Examples,
    models: Grid,
    num_classes: int,
) -> dict[str, Any]:
    """Shapes and dtypes of the tree in the file."""

    def batch(number: int, width: int) -> Any:
        first = int(np.argmax(models.loss == number))
        return jax.eval_shape(
            lambda: model_batch.empty(
                width,
                examples,
                num_classes=num_classes,
                loss=models.losses[number],
                arguments=models.arguments_of(first),
                bias=models.bias,
                num_pairs=found["num_pairs"],
                has_target_sets=models.target_set is not None,
            )
        )

    finished = {}
    for model, _ in found["finished"]:
        single = batch(int(models.loss[model]), 1)
        finished[str(model)] = _on_host(
            jax.eval_shape(model_batch.slot_result, single, 0)
        )
    running = tuple(
        None if queue.is_over else batch(number, len(queue.running))
        for number, queue in enumerate(queues)
    )
    refined = {str(model): _refined(finished[str(model)]) for model in found["refined"]}
    return {"batches": running, "finished": finished, "refined": refined}


def _refined(finished: tuple[Params, Certificate]) -> Refined:
    """The kinds of the leaves of a refined model."""
    params, certificate = jax.tree.map(np.float64, finished)
    numbers = Certificate(*map(float, certificate))  # type: ignore[arg-type]
    return Refined(params, numbers, 0.0, False, 0, 0)


def _shape_of(state: SweepState) -> dict[str, int]:
    """Numbers of classes and features of a sweep, from any of its models."""
    shapes = [batch.state.candidate.shape[1:] for batch in state.batches if batch]
    shapes += [fit.params.weights.shape for fit in state.finished.values()]
    num_classes, width = shapes[0]
    # Running models hold the bias as one more column of the weights.
    is_folded = any(batch is not None for batch in state.batches)
    return {"num_classes": num_classes, "num_features": width - is_folded}


def _num_pairs(state: SweepState) -> int | None:
    """Number of L-BFGS pairs of the running models; None if none runs."""
    lengths = {batch.state.history.factors.shape[1] for batch in state.batches if batch}
    return lengths.pop() if lengths else None


def _on_host(tree: Any) -> Any:
    """NumPy arrays of the same shapes and dtypes, without memory of their own."""
    return jax.tree.map(
        lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), tree
    )
