"""A sweep on disk: slots, queue and finished models, so that it can be killed.

``jaxlin.sweep(..., checkpoint=path)`` is the call. A run that goes on from the file
takes the steps of one that was never stopped, bit for bit on the same machine. A model
that is finished in the file is not trained again.
"""

import hashlib
import json
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxlin.io import checkpoint
from jaxlin.selection import sweep_run
from jaxlin.selection.grids import Grid
from jaxlin.selection.plans import Plan
from jaxlin.selection.schedule import SlotQueue
from jaxlin.selection.sweep_run import Finished, SweepState
from jaxlin.solvers import model_batch
from jaxlin.solvers.interface import Examples
from jaxlin.typing import Array

# Saving may take one second of so many.
_SECONDS_PER_SECOND_OF_SAVING = 20
# And comes at the latest after so many, though no model is finished.
_SECONDS_BETWEEN_SAVES = 60

_KIND = "sweep"
# Of what a file holds; another version is not read.
_VERSION = 4


def run(
    path: checkpoint.Path,
    examples: Examples,
    models: Grid,
    *,
    plan: Plan,
    num_classes: int,
    by_row: Array | None = None,
    relative_gap: float = 1e-3,
    max_passes: int | Sequence[int] = 1000,
) -> Iterator[SweepState]:
    """`jaxlin.selection.sweep_run.run` that can be killed at any moment.

    The state is saved after iterations that have finished a model, or after a minute,
    as
    often as may be with a twentieth of the time: small sweeps after each, large ones
    every few seconds. When it is saved changes no result. Iterations after the last
    save are made again, bit for bit; a model that the file has as finished is not.

    Args:
      path: the file. If it is there the sweep goes on from it: it must be of the same
        examples and arguments, and stays when all is done.
      examples: as of `jaxlin.selection.sweep_run.run`, like all other arguments.
      models: see ``examples``.
      plan: see ``examples``.
      num_classes: see ``examples``.
      by_row: see ``examples``.
      relative_gap: see ``examples``.
      max_passes: see ``examples``.

    Raises:
      ValueError: as `jaxlin.selection.sweep_run.run` and `load`.
      OSError: if the file cannot be read or written.
    """
    if jax.process_count() > 1:
        raise ValueError(
            "a sweep with a checkpoint must have all rows in one process, got "
            f"{jax.process_count()} processes; leave checkpoint out"
        )
    facts = {
        "relative_gap": relative_gap,
        "max_passes": np.asarray(max_passes).tolist(),
        # Iterations change no result and the price only rounding; both are others on
        # another kind of machine.
        "plan": plan._replace(compile_cost=0, iterations=0)._asdict(),
        "features": _digest(examples.features),
        "targets": _digest(examples.targets),
        "normalization": [_digest(part) for part in examples.normalization or ()],
        "curvature": [
            _digest(part) for part in jax.tree.leaves(examples.preconditioner)
        ],
        "weights": _digest(by_row),
    }
    path = pathlib.Path(path)
    resume = None
    if path.exists():
        resume = load(path, examples, models, num_classes=num_classes, facts=facts)
    saved_models = len(resume.finished) if resume is not None else 0
    last_save = next_save = time.monotonic()
    for state in sweep_run.run(
        examples,
        models,
        plan=plan,
        num_classes=num_classes,
        by_row=by_row,
        relative_gap=relative_gap,
        max_passes=max_passes,
        resume=resume,
    ):
        is_over = len(state.finished) == models.size
        is_news = len(state.finished) > saved_models
        now = time.monotonic()
        is_due = now >= next_save and (
            is_news or now >= last_save + _SECONDS_BETWEEN_SAVES
        )
        if is_due or (is_over and is_news):
            save(path, state, models, facts=facts)
            saved_models, last_save = len(state.finished), now
            taken = time.monotonic() - now
            next_save = now + _SECONDS_PER_SECOND_OF_SAVING * taken
        yield state


def save(
    path: checkpoint.Path,
    state: SweepState,
    models: Grid,
    *,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Writes a state that `jaxlin.selection.sweep_run.run` has just yielded.

    The file is whole or what it was before, whenever the process is killed.

    Args:
      path: the file.
      state: between two iterations.
      models: of the sweep; what they are is written too.
      facts: what JSON can hold that must be the same when it goes on.

    Raises:
      OSError: if writing fails; the file that was there is then unchanged.
    """
    metadata = {
        "kind": _KIND,
        "version": _VERSION,
        "models": _described(models),
        "facts": _as_json(facts),
        "shape": _shape_of(state),
        "queues": [queue._asdict() for queue in state.queues],
        "finished": [[model, one.passes] for model, one in state.finished.items()],
    }
    finished = {
        str(model): (one.params, one.certificate)
        for model, one in state.finished.items()
    }
    tree = {"batches": state.batches, "finished": finished}
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
      examples: that of the sweep.
      models: those of the sweep.
      num_classes: C.
      facts: those that `save` was given. That rows, example weights and the gap asked
        for are the same is known only from here.

    Raises:
      ValueError: if the file is damaged, or of other models, facts or shapes.
      OSError: if the file cannot be read.
    """
    found = checkpoint.load_metadata(path)
    if found.get("kind") != _KIND:
        raise ValueError(
            f"{path} must be of a sweep, got another checkpoint; take another file"
        )
    if found.get("version") != _VERSION:
        raise ValueError(
            f"{path} must be of a sweep of version {_VERSION}, got version "
            f"{found.get('version', 1)}; finish it with the jaxlin that wrote it, or "
            "take another file"
        )
    queues = tuple(
        SlotQueue(
            tuple(queue["running"]),
            tuple(map(tuple, queue["following"])),
            tuple(map(tuple, queue["waiting"])),
            tuple(queue["passes"]),
            tuple(queue["is_first"]),
            queue["idle"],
            queue["slot_passes"],
        )
        for queue in found["queues"]
    )
    for name, value in _described(models).items():
        if found["models"][name] != value:
            raise ValueError(
                f"{path} must be of a sweep of these models, got others: their {name} "
                "differ; give the grid that it was begun with"
            )
    _check_same(path, "facts", found["facts"], _as_json(facts))
    shape = {"num_classes": num_classes, "num_features": examples.features.shape[1]}
    _check_same(path, "arguments", found["shape"], shape)
    like = _like(found, queues, examples, models, num_classes)
    tree = checkpoint.load(path, like)
    finished = {}
    for model, passes in found["finished"]:
        params, certificate = tree["finished"][str(model)]
        finished[model] = Finished(params, certificate, passes)
    return SweepState(queues, tree["batches"], finished)


def _like(
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
            )
        )

    finished = {}
    for model, _ in found["finished"]:
        one = batch(int(models.loss[model]), 1)
        finished[str(model)] = _on_host(jax.eval_shape(model_batch.slot_result, one, 0))
    running = tuple(
        None if queue.is_over else batch(number, len(queue.running))
        for number, queue in enumerate(queues)
    )
    return {"batches": running, "finished": finished}


def _as_json(facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Facts as a file gives them back."""
    return json.loads(json.dumps(dict(facts or {})))


def _digest(array: Any) -> str | None:
    """SHA-256 of values in C order; None of None."""
    if array is None:
        return None
    numbers = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return hashlib.sha256(numbers.data).hexdigest()


def _shape_of(state: SweepState) -> dict[str, int]:
    """Classes and features of a sweep, from any of its models."""
    shapes = [batch.state.candidate.shape[1:] for batch in state.batches if batch]
    shapes += [one.params.weights.shape for one in state.finished.values()]
    num_classes, width = shapes[0]
    is_folded = any(batch is not None for batch in state.batches)
    return {"num_classes": num_classes, "num_features": width - is_folded}


def _check_same(
    path: checkpoint.Path, what: str, found: dict[str, Any], given: dict[str, Any]
) -> None:
    for name in {**found, **given}:
        if found.get(name) != given.get(name):
            raise ValueError(
                f"{path} must be of a sweep of the same {what}, but its {name} is "
                f"{_shown(found.get(name))}, got {_shown(given.get(name))}; go on with "
                "what it was begun with, or take another file"
            )


def _shown(value: Any) -> str:
    """A value as a message has it: of arrays only their digest is known."""
    is_digest = (
        isinstance(value, str) and len(value) == hashlib.sha256().digest_size * 2
    )
    return f"one with digest {value[:8]}" if is_digest else f"{value!s:.300}"


def _on_host(tree: Any) -> Any:
    """NumPy arrays of these shapes, none of which takes memory."""
    return jax.tree.map(
        lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), tree
    )


def _described(models: Grid) -> dict[str, Any]:
    """What the models are, in values that JSON can hold."""
    return {
        "l2": models.l2.tolist(),
        "losses": [getattr(loss, "__name__", str(loss)) for loss in models.losses],
        "losses of each": models.loss.tolist(),
        "loss arguments": {
            name: values.tolist() for name, values in models.loss_arguments.items()
        },
        "weight_sets": models.weight_set.tolist(),
    }
