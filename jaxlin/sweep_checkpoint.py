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
  ...         sweep_checkpoint.save(path, state)
  ...     state = sweep_checkpoint.load(path, problem, models, num_classes=3)
  >>> *_, last = sweep.run(problem, models, **how, resume=state)
  >>> sorted(last.finished)
  [0, 1]

A run that goes on from the file takes the steps of one that was never stopped, bit for
bit on the same machine. A model that is finished in the file is not trained again.
"""

from typing import Any

import numpy as np

from jaxlin import checkpoint
from jaxlin.duality import Certificate
from jaxlin.linear import Params
from jaxlin.selection.grids import Grid
from jaxlin.selection.schedule import IDLE, Board
from jaxlin.selection.sweep import Finished, Sweep
from jaxlin.solvers import lanes
from jaxlin.solvers.base import Problem
from jaxlin.solvers.search_state import Multipliers


def save(path: checkpoint.Path, state: Sweep) -> None:
    """Writes a state that `jaxlin.selection.sweep.run` has just yielded.

    The file is whole or what it was before, whenever the process is killed.

    Raises:
      OSError: if writing fails; the file that was there is then unchanged.
    """
    metadata = {
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
      ValueError: if the file is damaged or of another sweep, as far as shapes tell.
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
    numbers = {model for model, *_ in found["finished"]}
    for board in boards:
        numbers |= {*board.running, *board.waiting} - {IDLE}
    if len(boards) != len(models.losses) or numbers != set(range(models.size)):
        raise ValueError(
            f"{path} must be of a sweep of {len(models.losses)} losses and "
            f"{models.size} models, got one of {len(boards)} and {len(numbers)}; give "
            "it the grid that it was begun with"
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
    """The tree of the file, with any values."""
    num_rows, num_features = problem.features.shape
    number: Any = np.zeros((), np.float32)
    weights: Any = np.zeros((num_classes, num_features), np.float32)
    params = Params(weights, weights[:, 0])
    centers = np.zeros((num_rows, num_classes), np.float32)
    finished = {
        str(model): (
            params,
            Certificate(number, number, number, number),
            Multipliers(centers, number) if has_multipliers else None,
        )
        for model, *_, has_multipliers in found["finished"]
    }
    running = tuple(
        None
        if board.is_over
        else lanes.empty(
            len(board.running),
            problem,
            num_classes=num_classes,
            loss=loss,
            arguments=models.arguments_of(int(np.argmax(models.loss == i))),
        )
        for i, (board, loss) in enumerate(zip(boards, models.losses, strict=True))
    )
    return {"lanes": running, "finished": finished}
