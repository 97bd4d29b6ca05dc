"""A sweep on disk: slots, queue and finished models, so that it can be killed.

  >>> import jax, jax.numpy as jnp, itertools, pathlib, tempfile
  >>> from jaxlin import losses, sweep_checkpoint
  >>> from jaxlin.selection import grids, sweep
  >>> from jaxlin.solvers import base, certified
  >>> rows = jax.random.normal(jax.random.key(0), (60, 3))
  >>> problem = certified.prepare(
  ...     base.problem(rows, jnp.arange(60) % 3, num_classes=3))
  >>> models = grids.product(losses=(losses.softmax_cross_entropy,), l2s=(1e-1, 1e-2))
  >>> how = {"num_classes": 3, "plan": grids.plan(models, problem, num_classes=3)}
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
"""

from typing import Any

import jax
import numpy as np

from jaxlin import checkpoint
from jaxlin.selection.grids import Grid
from jaxlin.selection.schedule import Board
from jaxlin.selection.sweep import Finished, Sweep
from jaxlin.solvers import lanes
from jaxlin.solvers.base import Problem


def save(path: checkpoint.Path, state: Sweep, models: Grid) -> None:
    """Writes a state that `jaxlin.selection.sweep.run` has just yielded.

    The file is whole or what it was before, whenever the process is killed.

    Args:
      path: the file.
      state: between two turns.
      models: of the sweep; what they are is written too.

    Raises:
      OSError: if writing fails; the file that was there is then unchanged.
    """
    metadata = {
        "models": _described(models),
        "boards": [board._asdict() for board in state.boards],
        "starts": [[model, start] for model, start in state.starts.items()],
        "finished": [
            [model, one.evaluations, one.start, one.multipliers is not None]
            for model, one in state.finished.items()
        ],
    }
    finished = {
        str(model): (one.params, one.certificate, one.multipliers)
        for model, one in state.finished.items()
    }
    tree = {"lanes": state.lanes, "finished": finished}
    checkpoint.save(path, tree, metadata=metadata)


def load(
    path: checkpoint.Path, problem: Problem, models: Grid, *, num_classes: int
) -> Sweep:
    """Reads a state for ``resume`` of `jaxlin.selection.sweep.run`.

    Args:
      path: a file that `save` wrote.
      problem: that of the sweep.
      models: those of the sweep.
      num_classes: C.

    Raises:
      ValueError: if the file is damaged, or of other models or shapes. That rows,
        example weights and the gap asked for are the same is for the caller to see to.
      OSError: if the file cannot be read.
    """
    found = checkpoint.load_metadata(path)
    boards = tuple(
        Board(
            tuple(board["running"]),
            tuple(board["waiting"]),
            tuple(board["evaluations"]),
            board["idle"],
            board["paid"],
        )
        for board in found["boards"]
    )
    for name, value in _described(models).items():
        if found["models"][name] != value:
            raise ValueError(
                f"{path} must be of a sweep of these models, but its {name} are not "
                "theirs; give the grid that it was begun with"
            )
    like = _like(found, boards, problem, models, num_classes)
    tree = checkpoint.load(path, like)
    finished = {}
    for model, evaluations, start, _ in found["finished"]:
        params, certificate, multipliers = tree["finished"][str(model)]
        finished[model] = Finished(params, certificate, evaluations, start, multipliers)
    return Sweep(boards, tree["lanes"], dict(map(tuple, found["starts"])), finished)


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
    for model, *_, has_multipliers in found["finished"]:
        one = lane(int(models.loss[model]), 1)
        params, certificate, multipliers = jax.eval_shape(lanes.taken, one, 0)
        finished[str(model)] = _on_host(
            (params, certificate, multipliers if has_multipliers else None)
        )
    running = tuple(
        None if board.is_over else lane(number, len(board.running))
        for number, board in enumerate(boards)
    )
    return {"lanes": running, "finished": finished}


def _on_host(tree: Any) -> Any:
    """NumPy arrays of these shapes, none of which takes memory."""
    return jax.tree.map(
        lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), tree
    )


def _described(models: Grid) -> dict[str, Any]:
    """What the models are, in values that JSON can hold."""
    return {
        "losses": [getattr(loss, "__name__", str(loss)) for loss in models.losses],
        "loss of each": models.loss.tolist(),
        "l2": models.l2.tolist(),
        "loss arguments": {
            name: values.tolist() for name, values in models.loss_arguments.items()
        },
        "weightings": models.weighting.tolist(),
    }
