"""A sweep on disk: slots, queue and finished models, so that it can be killed.

  >>> import jax, jax.numpy as jnp, itertools, pathlib, tempfile
  >>> from jaxlin import losses, sweep_checkpoint
  >>> from jaxlin.selection import grids, plans, sweep
  >>> from jaxlin.solvers import base, certified
  >>> rows = jax.random.normal(jax.random.key(0), (60, 3))
  >>> problem = certified.prepare(
  ...     base.problem(rows, jnp.arange(60) % 3, num_classes=3))
  >>> models = grids.product(losses=(losses.softmax_cross_entropy,), l2s=(1e-1, 1e-2))
  >>> how = {"num_classes": 3, "plan": plans.plan(models, problem, num_classes=3)}
  >>> with tempfile.TemporaryDirectory() as folder:
  ...     path = pathlib.Path(folder, "sweep.npz")
  ...     for state in itertools.islice(sweep.run(problem, models, **how), 2):
  ...         sweep_checkpoint.save(path, state, models)
  ...     state = sweep_checkpoint.load(path, problem, models, num_classes=3)
  >>> *_, last = sweep.run(problem, models, **how, resume=state)
  >>> sorted(last.finished)
  [0, 1]

A run that goes on from the file takes the steps of one that was never stopped, bit for
bit on the same machine. A model that is finished in the file is not trained again.
`fit` is `jaxlin.selection.sweep.fit` with such a file.
"""

import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxlin import checkpoint
from jaxlin.selection import sweep
from jaxlin.selection.grids import Grid
from jaxlin.selection.plans import Plan
from jaxlin.selection.schedule import Board
from jaxlin.selection.sweep import Finished, Fits, Sweep
from jaxlin.solvers import lanes
from jaxlin.solvers.base import Problem

# Saving may take one second of so many.
_SECONDS_PER_SECOND_OF_SAVING = 20
# And comes at the latest after so many, though no model is finished.
_SECONDS_BETWEEN_SAVES = 60

_KIND = "sweep"
# Of what a file holds; another version is not read.
_VERSION = 3

# ``watch(state)``, after some turns and when what was to be saved is saved.
Watch = Callable[[Sweep], None]


def fit(
    problem: Problem,
    models: Grid,
    *,
    path: checkpoint.Path,
    plan: Plan,
    num_classes: int,
    weightings: Any = None,
    relative_gap: float = 1e-3,
    max_evaluations: int | Sequence[int] = 1000,
    allow_one_class: bool = False,
    watch: Watch | None = None,
) -> Fits:
    """`jaxlin.selection.sweep.fit` that can be killed at any moment and called again.

    The state is saved after turns that have finished a model, or after a minute, as
    often as may be with a twentieth of the time: small sweeps after each, large ones
    every few seconds. When it is saved changes no result. Turns after the last save are
    made again, bit for bit; a model that the file has as finished is not.

    Args:
      problem: as of `jaxlin.selection.sweep.run`, like all arguments that are not here.
      models: see ``problem``.
      path: the file. If it is there the sweep goes on from it: it must be of the same
        problem and arguments, and stays when all is done.
      plan: see ``problem``.
      num_classes: see ``problem``.
      weightings: see ``problem``.
      relative_gap: see ``problem``.
      max_evaluations: see ``problem``.
      allow_one_class: see ``problem``.
      watch: called as ``watch(state)`` with each state of the sweep; it may stop the
        run by an exception.

    Raises:
      ValueError: as `jaxlin.selection.sweep.run` and `load`.
      OSError: if the file cannot be read or written.
    """
    if jax.process_count() > 1:
        raise ValueError(
            "a sweep with a file must have all rows in one process, got "
            f"{jax.process_count()} processes; use jaxlin.selection.sweep.fit"
        )
    facts = {
        "relative_gap": relative_gap,
        "max_evaluations": np.asarray(max_evaluations).tolist(),
        # Turns change no result and the price only rounding; both are others on
        # another kind of machine.
        "plan": plan._replace(price=0, turns=0)._asdict(),
        "features": _digest(problem.features),
        "targets": _digest(problem.targets),
        "normalization": [_digest(part) for part in problem.normalization or ()],
        "example_weights": _digest(problem.example_weights),
        "curvature": [_digest(part) for part in jax.tree.leaves(problem.curvature)],
        "weightings": _digest(weightings),
    }
    path = pathlib.Path(path)
    resume = None
    if path.exists():
        resume = load(path, problem, models, num_classes=num_classes, facts=facts)
    saved_models = len(resume.finished) if resume is not None else 0
    last_save = next_save = time.monotonic()
    state = resume
    for state in sweep.run(
        problem,
        models,
        plan=plan,
        num_classes=num_classes,
        weightings=weightings,
        relative_gap=relative_gap,
        max_evaluations=max_evaluations,
        allow_one_class=allow_one_class,
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
        if watch is not None:
            watch(state)
    assert state is not None, "run yields at least one state"
    return sweep.collected(state, relative_gap=relative_gap)


def save(
    path: checkpoint.Path,
    state: Sweep,
    models: Grid,
    *,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Writes a state that `jaxlin.selection.sweep.run` has just yielded.

    The file is whole or what it was before, whenever the process is killed.

    Args:
      path: the file.
      state: between two turns.
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
        "boards": [board._asdict() for board in state.boards],
        "finished": [[model, one.evaluations] for model, one in state.finished.items()],
    }
    finished = {
        str(model): (one.params, one.certificate)
        for model, one in state.finished.items()
    }
    tree = {"lanes": state.lanes, "finished": finished}
    checkpoint.save(path, tree, metadata=metadata)


def load(
    path: checkpoint.Path,
    problem: Problem,
    models: Grid,
    *,
    num_classes: int,
    facts: Mapping[str, Any] | None = None,
) -> Sweep:
    """Reads a state for ``resume`` of `jaxlin.selection.sweep.run`.

    Args:
      path: a file that `save` wrote.
      problem: that of the sweep.
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
    boards = tuple(
        Board(
            tuple(board["running"]),
            tuple(map(tuple, board["following"])),
            tuple(map(tuple, board["waiting"])),
            tuple(board["evaluations"]),
            tuple(board["is_first"]),
            board["idle"],
            board["paid"],
        )
        for board in found["boards"]
    )
    for name, value in _described(models).items():
        if found["models"][name] != value:
            raise ValueError(
                f"{path} must be of a sweep of these models, got others: their {name} "
                "differ; give the grid that it was begun with"
            )
    _check_same(path, "facts", found["facts"], _as_json(facts))
    shape = {"num_classes": num_classes, "num_features": problem.features.shape[1]}
    _check_same(path, "arguments", found["shape"], shape)
    like = _like(found, boards, problem, models, num_classes)
    tree = checkpoint.load(path, like)
    finished = {}
    for model, evaluations in found["finished"]:
        params, certificate = tree["finished"][str(model)]
        finished[model] = Finished(params, certificate, evaluations)
    return Sweep(boards, tree["lanes"], finished)


def _like(
    found: dict[str, Any],
    boards: tuple[Board, ...],
    problem: Problem,
    models: Grid,
    num_classes: int,
) -> dict[str, Any]:
    """Shapes and dtypes of the tree in the file."""

    def lane(number: int, width: int) -> Any:
        first = int(np.argmax(models.loss == number))
        return jax.eval_shape(
            lambda: lanes.empty(
                width,
                problem,
                num_classes=num_classes,
                loss=models.losses[number],
                arguments=models.arguments_of(first),
            )
        )

    finished = {}
    for model, _ in found["finished"]:
        one = lane(int(models.loss[model]), 1)
        finished[str(model)] = _on_host(jax.eval_shape(lanes.taken, one, 0))
    running = tuple(
        None if board.is_over else lane(number, len(board.running))
        for number, board in enumerate(boards)
    )
    return {"lanes": running, "finished": finished}


def _as_json(facts: Mapping[str, Any] | None) -> dict[str, Any]:
    """Facts as a file gives them back."""
    return json.loads(json.dumps(dict(facts or {})))


def _digest(array: Any) -> str | None:
    """SHA-256 of values in C order; None of None."""
    if array is None:
        return None
    numbers = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return hashlib.sha256(numbers.data).hexdigest()


def _shape_of(state: Sweep) -> dict[str, int]:
    """Classes and features of a sweep, from any of its models."""
    shapes = [lane.state.trial.shape[1:] for lane in state.lanes if lane]
    shapes += [one.params.weights.shape for one in state.finished.values()]
    num_classes, width = shapes[0]
    is_folded = any(lane is not None for lane in state.lanes)
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
        "weightings": models.weighting.tolist(),
    }
