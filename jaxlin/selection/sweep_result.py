"""Fits of a sweep, as arrays with one entry per model."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.check.diagnosis import counted
from jaxlin.linear import Bias, Params
from jaxlin.normalization import Normalization
from jaxlin.problems import Problem
from jaxlin.selection import grids
from jaxlin.selection.grids import Grid
from jaxlin.selection.sweep_run import SweepState
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop

# Fields of a result with one entry per model.
_BY_MODEL = (
    "params",
    "certificate",
    "relative_gap",
    "converged",
    "stalled",
    "passes",
    "float64_passes",
    "bias_radius",
)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SweepResult:
    """Fits of a sweep, as arrays with one entry per model; ``result[i]`` is a `Fit`.

    Attributes:
      models: grid of the fitted models.
      params: weights of shape ``(models, classes, features)`` and bias of shape
        ``(models, classes)``.
      certificate: certificates of optimality, four arrays of shape ``(models,)``.
      relative_gap: proven bound on (objective - optimum) / objective, shape
        ``(models,)``.
      converged: whether the requested gap is proven, shape ``(models,)``.
      stalled: whether the fit stopped without the requested gap and before the largest
        number of passes, shape ``(models,)``.
      passes: number of passes of each model, float64 passes included, shape
        ``(models,)``.
      float64_passes: number of passes in float64, shape ``(models,)``.
      bias_radius: bound on the distance of a free bias from the optimum, shape
        ``(models,)``; inf where it is free, as the bound takes a pass over the rows,
        which a sweep does not keep; 0 for another bias.
      slot_passes: number of passes of all slots, idle slots counted; at least the sum
        of ``passes``.
      normalization: normalisation of raw features, or None; a tuple of them, one per
        weight set, where each set has its own.
      classes: class labels in the order of the scores, shape ``(classes,)``.
      feature_names: names of the columns of a table; None otherwise.
    """

    models: Grid
    params: Params
    certificate: Certificate
    relative_gap: np.ndarray
    converged: np.ndarray
    stalled: np.ndarray
    passes: np.ndarray
    float64_passes: np.ndarray
    bias_radius: np.ndarray
    slot_passes: int
    normalization: Normalization | tuple[Normalization | None, ...] | None
    classes: np.ndarray
    feature_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.passes)

    def __getitem__(self, model: int) -> Fit:
        if not -len(self) <= model < len(self):
            raise IndexError(f"model must be 0 to {len(self) - 1}, got {model}")
        number = range(len(self))[model]
        of_model: Any = jax.tree.map(
            lambda leaf: leaf[number], (self.params, self.certificate)
        )
        params, certificate = of_model
        normalization: Any = self.normalization
        if not isinstance(normalization, Normalization | None):
            normalization = normalization[self.models.weight_set[number]]
        return Fit(
            params=params,
            certificate=Certificate(*map(float, certificate)),  # type: ignore[arg-type]
            relative_gap=float(self.relative_gap[number]),
            converged=bool(self.converged[number]),
            stalled=bool(self.stalled[number]),
            passes=int(self.passes[number]),
            float64_passes=int(self.float64_passes[number]),
            duals=None,
            loss=self.models.losses[self.models.loss[number]],
            l2=float(self.models.l2[number]),
            loss_arguments=self.models.arguments_of(number),
            normalization=normalization,
            classes=self.classes,
            bias=self.models.bias.value,
            bias_radius=float(self.bias_radius[number]),
            feature_names=self.feature_names,
        )

    def __iter__(self) -> Iterator[Fit]:
        return map(self.__getitem__, range(len(self)))

    def __str__(self) -> str:
        return (
            f"{counted(len(self), 'fit')}, {self.converged.sum():,} proven, "
            f"{counted(self.passes.sum(), 'pass')}"
        )

    def __repr__(self) -> str:
        return f"SweepResult({self})"

    def take(self, indices: Sequence[int] | np.ndarray) -> "SweepResult":
        """The fits of selected models, in a given order.

        Args:
          indices: indices of models, at least one.

        Raises:
          ValueError: if ``indices`` is empty, or an index is out of range.
        """
        order = np.asarray(indices)
        taken = {
            name: jax.tree.map(lambda leaf: leaf[order], getattr(self, name))
            for name in _BY_MODEL
        }
        return dataclasses.replace(
            self, models=grids.subset(self.models, order), **taken
        )


def collect(
    state: SweepState, models: Grid, problem: Problem, *, stop: Stop
) -> SweepResult:
    """Result of a sweep, from its last state.

    Args:
      state: last state that `jaxlin.selection.sweep_run.run` has yielded.
      models: grid of the sweep.
      problem: problem of the sweep.
      stop: stopping criterion of the sweep.

    Raises:
      ValueError: if a model of ``state`` is still running.
    """
    if not all(queue.is_over for queue in state.queues):
        raise ValueError(
            "state must be of a sweep that is over, got one with models still running; "
            "take the last that run yields"
        )
    finished = [state.finished[model] for model in range(len(state.finished))]
    params, certificate = jax.tree.map(
        lambda *leaves: np.stack(leaves),
        *((model.params, model.certificate) for model in finished),
    )
    gaps = np.asarray(duality.relative_gap(certificate))
    converged = gaps <= stop.relative_gap
    passes = np.array([model.passes for model in finished])
    return SweepResult(
        models,
        params,
        certificate,
        relative_gap=gaps,
        converged=converged,
        stalled=~converged & (passes < stop.max_passes),
        passes=passes,
        float64_passes=np.zeros_like(passes),
        bias_radius=np.full(len(passes), np.inf if models.bias is Bias.FREE else 0.0),
        slot_passes=sum(queue.slot_passes for queue in state.queues),
        normalization=problem.normalization,
        classes=problem.classes,
        feature_names=problem.feature_names,
    )


def join(results: Sequence[SweepResult], models: Grid) -> SweepResult:
    """Joins the results of the parts of a grid, in the order of the grid.

    Args:
      results: result of each part of `jaxlin.selection.grids.parts`.
      models: the whole grid.
    """
    order = np.argsort(np.concatenate(grids.parts(models, len(results))))

    def whole(name: str) -> Any:
        values = [getattr(result, name) for result in results]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *values)

    return dataclasses.replace(
        results[0],
        models=models,
        slot_passes=sum(result.slot_passes for result in results),
        **{name: whole(name) for name in _BY_MODEL},
    )
