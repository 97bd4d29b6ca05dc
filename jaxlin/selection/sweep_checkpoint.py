"""Checkpoints of a sweep: slots, queues and finished models in one file.

``jaxlin.sweep(..., checkpoint=path)`` is the interface. A run that resumes from the
file takes the same iterations as an uninterrupted run, bit for bit on the same machine.
Models finished in the file are not fitted again.
"""

import hashlib
import json
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxlin.io import checkpoint
from jaxlin.selection import sweep_run
from jaxlin.selection.grids import Grid
from jaxlin.selection.schedule import SlotQueue
from jaxlin.selection.sweep_run import Finished, SweepInputs, SweepState
from jaxlin.solvers import model_batch
from jaxlin.solvers.interface import Examples

# Saving takes at most one second of this many.
_SECONDS_PER_SECOND_OF_SAVING = 20
# Longest time between saves while no model is finished.
_SECONDS_BETWEEN_SAVES = 60

_KIND = "sweep"
# Version of the file's content; files of other versions are refused.
_VERSION = 6


def run(path: checkpoint.Path, inputs: SweepInputs) -> Iterator[SweepState]:
    """`jaxlin.selection.sweep_run.run` that saves its state and resumes from the file.

    The state is saved after iterations that have finished a model, or after a minute,
    as often as fits into a twentieth of the time: small sweeps after each iteration,
    large ones every few seconds. The times of saving change no result. Iterations after
    the last save are repeated, bit for bit; models finished in the file are not.

    Args:
      path: the checkpoint file. If it exists, the sweep resumes from it: it must be of
        the same inputs. The file is kept when the sweep is over.
      inputs: examples, models, plan and stopping criterion.

    Raises:
      ValueError: as `jaxlin.selection.sweep_run.run` and `load`.
      OSError: if the file cannot be read or written.
    """
    if jax.process_count() > 1:
        raise ValueError(
            "a sweep with a checkpoint must have all rows in one process, got "
            f"{jax.process_count()} processes; leave checkpoint out"
        )
    models, facts = inputs.models, _facts(inputs)
    path = pathlib.Path(path)
    resume = None
    if path.exists():
        resume = load(
            path,
            inputs.examples,
            models,
            num_classes=inputs.num_classes,
            facts=facts,
        )
    saved_models = len(resume.finished) if resume is not None else 0
    last_save = next_save = time.monotonic()
    for state in sweep_run.run(inputs, resume=resume):
        is_over = len(state.finished) == models.size
        has_new_models = len(state.finished) > saved_models
        now = time.monotonic()
        is_due = now >= next_save and (
            has_new_models or now >= last_save + _SECONDS_BETWEEN_SAVES
        )
        if is_due or (is_over and has_new_models):
            save(path, state, models, facts=facts)
            saved_models, last_save = len(state.finished), now
            seconds = time.monotonic() - now
            next_save = now + _SECONDS_PER_SECOND_OF_SAVING * seconds
        yield state


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
        "models": _described(models),
        "facts": _as_json(facts),
        "shape": _shape_of(state),
        "num_pairs": _num_pairs(state),
        "queues": [queue._asdict() for queue in state.queues],
        "finished": [[model, fit.passes] for model, fit in state.finished.items()],
    }
    finished = {
        str(model): (fit.params, fit.certificate)
        for model, fit in state.finished.items()
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
      examples: examples of the sweep.
      models: grid of the sweep.
      num_classes: number of classes C.
      facts: the facts given to `save`. Only they show whether rows, example weights and
        the relative gap are the same.

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
            f"{found.get('version', 1)}; finish it with the version of jaxlin that "
            "wrote it, or take another file"
        )
    queues = tuple(map(_queue, found["queues"]))
    for name, value in _described(models).items():
        if found["models"][name] != value:
            raise ValueError(
                f"{path} must be of a sweep of these models, got others: their {name} "
                "differ; give the grid that it was started with"
            )
    _check_same(path, "facts", found["facts"], _as_json(facts))
    shape = {"num_classes": num_classes, "num_features": examples.features.shape[1]}
    _check_same(path, "arguments", found["shape"], shape)
    template = _template(found, queues, examples, models, num_classes)
    tree = checkpoint.load(path, template)
    finished = {}
    for model, passes in found["finished"]:
        params, certificate = tree["finished"][str(model)]
        finished[model] = Finished(params, certificate, passes)
    return SweepState(queues, tree["batches"], finished)


def _facts(inputs: SweepInputs) -> dict[str, Any]:
    """Inputs that must be the same when the sweep resumes; arrays by their digest."""
    examples = inputs.examples
    return {
        # First, because another ``refine`` may also change the number of passes.
        "refine": inputs.float64_follows,
        "relative_gap": inputs.relative_gap,
        "max_passes": np.asarray(inputs.max_passes).tolist(),
        # The number of iterations changes no result, the compile cost only rounding;
        # both differ on another kind of machine.
        "plan": inputs.plan._replace(compile_cost=0, iterations=0)._asdict(),
        "features": _digest(examples.features),
        "targets": _digest(examples.targets),
        "normalization": [_digest(part) for part in examples.normalization or ()],
        "curvature": [
            _digest(part) for part in jax.tree.leaves(examples.preconditioner)
        ],
        "weights": _digest(inputs.by_row),
    }


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
                num_pairs=found["num_pairs"],
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
    return {"batches": running, "finished": finished}


def _as_json(facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Facts after a round trip through JSON, as a file returns them."""
    return json.loads(json.dumps(dict(facts or {})))


def _digest(array: Any) -> str | None:
    """SHA-256 of the values in C order; None for None."""
    if array is None:
        return None
    numbers = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return hashlib.sha256(numbers.data).hexdigest()


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


def _check_same(
    path: checkpoint.Path, kind: str, found: dict[str, Any], given: dict[str, Any]
) -> None:
    """Raises a ValueError if a value in the file differs from the given one."""
    for name in {**found, **given}:
        if found.get(name) != given.get(name):
            raise ValueError(
                f"{path} must be of a sweep of the same {kind}, but its {name} is "
                f"{_shown(found.get(name))}, got {_shown(given.get(name))}; resume "
                f"with the same {kind}, or take another file"
            )


def _shown(value: Any) -> str:
    """A value as shown in a message; arrays are known by their digest alone."""
    is_digest = (
        isinstance(value, str) and len(value) == hashlib.sha256().digest_size * 2
    )
    return f"one with digest {value[:8]}" if is_digest else f"{value!s:.300}"


def _on_host(tree: Any) -> Any:
    """NumPy arrays of the same shapes and dtypes, without memory of their own."""
    return jax.tree.map(
        lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), tree
    )


def _described(models: Grid) -> dict[str, Any]:
    """The grid as values that JSON can hold."""
    return {
        "l2": models.l2.tolist(),
        "losses": [getattr(loss, "__name__", str(loss)) for loss in models.losses],
        "losses of each": models.loss.tolist(),
        "loss arguments": {
            name: values.tolist() for name, values in models.loss_arguments.items()
        },
        "weight_sets": models.weight_set.tolist(),
    }
