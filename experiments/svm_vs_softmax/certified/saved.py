"""What a run keeps of its certified fits: ``fits-<stage>.npz``, whole and verified."""

import functools
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import numpy as np

from experiments.common.run_folder import RunFolder
from jaxlin import Fit, Problem
from jaxlin.certificates.duality import Certificate
from jaxlin.io import checkpoint
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.solvers.optimizer_state import Duals
from jaxlin.typing import Loss

_KIND = "certified fits"
_ARRAYS = ("params", "bounds", "objectives")


class Tried(NamedTuple):
    """A fit of the path.

    Attributes:
      l2: its penalty.
      certificate: on the training split.
      relative_gap: what was proven: gap and rounding over the objective.
      converged: whether that is what was asked for.
      evaluations: passes over the training split, from the fit before it.
      validation_accuracy: on the held-out examples.
    """

    l2: float
    certificate: Certificate
    relative_gap: float
    converged: bool
    evaluations: int
    validation_accuracy: float


class Optimum(NamedTuple):
    """The chosen l2 fitted to all training examples, as closely as was asked for.

    Attributes:
      params: NumPy arrays, float64 if the polish had to go that far.
      bounds: gap plus rounding of the best parameters after each evaluation, shape
        ``(evaluations,)``; these are the best by this bound.
      objectives: of the same parameters, shape ``(evaluations,)``.
      l2: its penalty.
      certificate: of ``params``, on all training examples.
      relative_gap: what was proven.
      converged: whether that is ``polished_gap``.
      evaluations: passes over the examples from weights 0.
      float64_evaluations: how many of them were in float64.
    """

    params: Params
    bounds: np.ndarray
    objectives: np.ndarray
    l2: float
    certificate: Certificate
    relative_gap: float
    converged: bool
    evaluations: int
    float64_evaluations: int

    @property
    def objective(self) -> float:
        """At ``params``; what relative distances are relative to."""
        return float(self.certificate.primal)

    def evaluations_to(self, relative: float) -> int | None:
        """Evaluations until so much, relative to the objective, was proven."""
        proven = np.flatnonzero(self.bounds <= relative * self.objective)
        return int(proven[0]) + 1 if len(proven) else None


def file(folder: RunFolder, stage: str) -> FilePath:
    """Where the fits of a stage are kept."""
    return folder.path / f"fits-{stage}.npz"


def check(folder: RunFolder) -> None:
    """Reads all saved fits of a run through, before anything is compiled.

    Raises:
      ValueError: if one is damaged or is something else; it is named.
    """
    for path in sorted(folder.path.glob("fits-*.npz")):
        if checkpoint.load_metadata(path).get("kind") != _KIND:
            raise ValueError(
                f"{path} must hold certified fits, got another kind; delete it to fit "
                "again"
            )


def save_path(path: FilePath, tried: list[Tried], last: Fit) -> None:
    """Writes the fits of a path so far, with what the next one starts from."""
    checkpoint.save(
        path,
        {"params": last.params, "duals": last.duals},
        metadata={"kind": _KIND, "fits": [record(one) for one in tried]},
    )


def load_path(path: FilePath) -> list[Tried]:
    """The fits of a path that were saved; none if there is no file."""
    if not path.exists():
        return []
    return [
        Tried(**{**fit, "certificate": Certificate(**fit["certificate"])})
        for fit in checkpoint.load_metadata(path)["fits"]
    ]


def load_last(path: FilePath, last: Tried, problem: Problem, loss: Loss) -> Fit:
    """The last fit of a path, for the next one to start from."""
    width = 0 if conjugates.of(loss).smooth else problem.num_classes
    like = {
        "params": _params(problem.num_classes, problem.num_features, np.float32),
        "duals": Duals(
            np.zeros((problem.num_examples, width), np.float32),
            np.zeros((), np.float32),
        ),
    }
    tree = checkpoint.load(path, like)
    return Fit(
        params=tree["params"],
        certificate=last.certificate,
        relative_gap=last.relative_gap,
        converged=last.converged,
        stalled=False,
        passes=last.evaluations,
        float64_passes=0,
        duals=tree["duals"],
        loss=loss,
        l2=last.l2,
        loss_arguments={},
        normalization=problem.normalization,
        classes=problem.classes,
    )


def save_optimum(path: FilePath, optimum: Optimum) -> None:
    """Writes the polished fit."""
    arrays = {name: getattr(optimum, name) for name in _ARRAYS}
    metadata = {
        "kind": _KIND,
        "dtype": str(optimum.params.weights.dtype),
        "fit": record(optimum),
    }
    checkpoint.save(path, arrays, metadata=metadata)


def load_optimum(path: FilePath, *, num_classes: int, num_features: int) -> Optimum:
    """Reads the polished fit."""
    metadata = checkpoint.load_metadata(path)
    fit = metadata["fit"]
    like = {
        "params": _params(num_classes, num_features, metadata["dtype"]),
        "bounds": np.zeros(fit["evaluations"]),
        "objectives": np.zeros(fit["evaluations"]),
    }
    certificate = Certificate(**fit["certificate"])
    return Optimum(**{**fit, **checkpoint.load(path, like), "certificate": certificate})


def record(fit: Tried | Optimum) -> dict[str, Any]:
    """A fit as nested dictionaries, without its arrays."""
    fields = {**fit._asdict(), "certificate": fit.certificate._asdict()}
    return {name: value for name, value in fields.items() if name not in _ARRAYS}


def _params(num_classes: int, num_features: int, dtype: Any) -> Params:
    zeros: Any = functools.partial(np.zeros, dtype=dtype)
    return Params(zeros((num_classes, num_features)), zeros(num_classes))
