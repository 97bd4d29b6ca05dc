"""One stage of training: compiled chunks, metrics, a checkpoint after each chunk."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from experiments.common import interrupts
from experiments.common.progress import progress
from experiments.common.run_folder import RunFolder
from experiments.svm_vs_softmax.config import MOMENTUM
from jaxlin.io import checkpoint
from jaxlin.linear import Params
from jaxlin.solvers import interface
from jaxlin.typing import Array, MakeOptimizer

VALIDATION = "validation_accuracy"


class Stage(NamedTuple):
    """What is trained together, in one compiled program.

    Attributes:
      name: of the checkpoint and in metrics.jsonl.
      solver: for all models of the stage.
      keys: one a seed.
      params: at the start, one a seed.
      problem: the examples.
      settings: of all models.
      epochs: how many in all.
      evaluate_every: epochs a chunk.
      evaluate: validation accuracy of every model, or None if there is no validation.
      measure: what ``evaluate`` measures, if not validation accuracy; less is better.
    """

    name: str
    solver: interface.Solver
    keys: Array
    params: Params
    problem: interface.Examples
    settings: interface.Settings
    epochs: int
    evaluate_every: int
    evaluate: Callable[[Params], ArrayLike] | None = None
    measure: str = VALIDATION


class Trained(NamedTuple):
    """Models of a stage and how they came about.

    Attributes:
      params: one leading axis or two: seeds, and settings if there were several.
      losses: mean training loss of each epoch, shape ``(epochs, seeds, ...)``.
      validation_epochs: after how many epochs validation was done, shape ``(times,)``.
      validation: accuracies, or what else the stage measures, shape
        ``(times, seeds, ...)``.
    """

    params: Params
    losses: np.ndarray
    validation_epochs: np.ndarray
    validation: np.ndarray


class _Progress(NamedTuple):
    """What a checkpoint holds."""

    state: Any
    losses: np.ndarray
    validation: np.ndarray


@functools.cache
def momentum_with_cosine_decay(num_updates: int) -> MakeOptimizer:
    """SGD with momentum whose learning rate falls to zero along a half cosine."""
    decay = optax.cosine_decay_schedule(1.0, num_updates)

    def make_optimizer(learning_rate):
        return optax.sgd(lambda count: learning_rate * decay(count), momentum=MOMENTUM)

    return make_optimizer


def check_checkpoints(folder: RunFolder) -> None:
    """Reads all checkpoints of a run through, before anything is compiled.

    Raises:
      ValueError: if one is damaged or was not written by `train`; it is named.
    """
    for path in sorted(folder.path.glob("checkpoint-*.npz")):
        if "epochs" not in checkpoint.load_metadata(path):
            raise ValueError(
                f"{path} must be a checkpoint of training, got another kind; delete "
                "it to train that stage again"
            )


def train(folder: RunFolder, stage: Stage) -> Trained:
    """Trains a stage, or the rest of it if the run folder holds its checkpoint.

    Raises:
      ValueError: if the checkpoint is damaged or of another run.
      KeyboardInterrupt: after the next checkpoint, if Ctrl-C was pressed.
    """
    with interrupts.held_back() as stop_if_asked:
        return _train(folder, stage, stop_if_asked)


def _train(
    folder: RunFolder, stage: Stage, stop_if_asked: Callable[[], None]
) -> Trained:
    path = folder.path / f"checkpoint-{stage.name}.npz"
    chunk_ends = np.array(
        [
            min(start + stage.evaluate_every, stage.epochs)
            for start in range(0, stage.epochs, stage.evaluate_every)
        ]
    )
    state = stage.solver.init(stage.params, stage.problem, stage.settings)
    models = state.params.weights.shape[:-2]
    done, current = (
        0,
        _Progress(
            state,
            np.zeros((stage.epochs, *models), np.float32),
            np.zeros((len(chunk_ends), *models), np.float32),
        ),
    )
    if path.exists():
        done = checkpoint.load_metadata(path)["epochs"]
        current = checkpoint.load(path, like=current)
    # A kill between the metrics and the checkpoint of a chunk leaves lines too many.
    folder.truncate_metrics(
        lambda record: record["stage"] != stage.name or record["epoch"] <= done
    )

    chunks = interface.run(
        stage.solver,
        stage.keys,
        current.state,
        stage.problem,
        stage.settings,
        num_steps=stage.epochs,
        steps_per_chunk=stage.evaluate_every,
        first_step=done,
    )
    with progress(stage.name, total=stage.epochs, unit="epochs", done=done) as advance:
        for end, state, info in chunks:
            chunk = int(np.searchsorted(chunk_ends, end))
            current.losses[done:end] = info.loss
            record = {
                "stage": stage.name,
                "epoch": end,
                "mean_loss": current.losses[end - 1].tolist(),
            }
            if stage.evaluate is not None:
                current.validation[chunk] = stage.evaluate(state.params)
                record[stage.measure] = current.validation[chunk].tolist()
            folder.append_metrics(record)
            current = current._replace(state=state)
            checkpoint.save(path, current, metadata={"epochs": end})
            advance(end - done, _note(stage, current, chunk, end))
            done = end
            stop_if_asked()
    return Trained(
        jax.tree.map(jnp.asarray, current.state.params),
        current.losses,
        chunk_ends,
        current.validation,
    )


def _note(stage: Stage, current: _Progress, chunk: int, end: int) -> str:
    """How the best model of the stage is doing."""
    # fmin, unlike nanmin, is silent if all have diverged.
    note = f"least loss {np.fmin.reduce(current.losses[end - 1], axis=None):.4f}"
    measured = current.validation[chunk]
    if stage.measure != VALIDATION:
        least = np.fmin.reduce(measured, axis=None)
        note += f", least {stage.measure.replace('_', ' ')} {least:.1e}"
    elif measured.any():
        note += f", best model on validation {100 * measured.max():.1f} %"
    return note
