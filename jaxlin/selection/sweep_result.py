"""Fits of a sweep as arrays with one entry per model."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.problems import Problem
from jaxlin.selection import grids
from jaxlin.selection.grids import Grid
from jaxlin.selection.sweep_run import SweepState
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SweepResult:
    """Fits of a sweep, as arrays with one entry per model; ``result[i]`` is a `Fit`.

    Attributes:
      models: what was fitted.
      params: weights ``(models, classes, features)``, bias ``(models, classes)``.
      certificate: four arrays ``(models,)``.
      relative_gap: proven bound on (objective - optimum) / objective, ``(models,)``.
      converged: whether the gap asked for was proven, shape ``(models,)``.
      stalled: whether the fit gave up with passes left, shape ``(models,)``.
      passes: that each model took part in, shape ``(models,)``.
      slot_passes: passes of slots, idle ones too, one number; at least the sum of
        ``passes``.
      normalization: applied to raw features before the scores, or None.
      classes: labels in the order of the scores.
    """

    models: Grid
    params: Params
    certificate: Certificate
    relative_gap: np.ndarray
    converged: np.ndarray
    stalled: np.ndarray
    passes: np.ndarray
    slot_passes: int
    normalization: Normalization | None
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.passes)

    def __getitem__(self, model: int) -> Fit:
        number = range(len(self))[model]
        one: Any = jax.tree.map(
            lambda leaf: leaf[number], (self.params, self.certificate)
        )
        params, certificate = one
        return Fit(
            params=params,
            certificate=Certificate(*map(float, certificate)),  # type: ignore[arg-type]
            relative_gap=float(self.relative_gap[number]),
            converged=bool(self.converged[number]),
            stalled=bool(self.stalled[number]),
            passes=int(self.passes[number]),
            float64_passes=0,
            duals=None,
            loss=self.models.losses[self.models.loss[number]],
            l2=float(self.models.l2[number]),
            loss_arguments=self.models.arguments_of(number),
            normalization=self.normalization,
            classes=self.classes,
        )

    def __iter__(self) -> Iterator[Fit]:
        return map(self.__getitem__, range(len(self)))

    def __str__(self) -> str:
        return (
            f"{len(self)} fits, {self.converged.sum()} of them proven, "
            f"{self.passes.sum():,} passes"
        )

    def __repr__(self) -> str:
        return f"SweepResult({self})"

    def reordered(self, order: Sequence[int] | np.ndarray) -> "SweepResult":
        """The same fits in another order, or some of them."""
        by_model = (
            self.params,
            self.certificate,
            self.relative_gap,
            self.converged,
            self.stalled,
            self.passes,
        )
        numbers = np.asarray(order)
        params, certificate, gap, converged, stalled, passes = jax.tree.map(
            lambda leaf: leaf[numbers], by_model
        )
        return dataclasses.replace(
            self,
            models=grids.subset(self.models, numbers),
            params=params,
            certificate=certificate,
            relative_gap=gap,
            converged=converged,
            stalled=stalled,
            passes=passes,
        )


def collected(
    state: SweepState, models: Grid, problem: Problem, *, stop: Stop
) -> SweepResult:
    """The finished models of a sweep that is over, as arrays.

    Args:
      state: the last that `jaxlin.selection.sweep_run.run` has yielded.
      models: of the sweep.
      problem: of the sweep.
      stop: what was asked for.
    """
    if not all(queue.is_over for queue in state.queues):
        raise ValueError(
            "state must be of a sweep that is over, got one with models still running; "
            "take the last that run yields"
        )
    finished = [state.finished[model] for model in range(len(state.finished))]
    params, certificate = jax.tree.map(
        lambda *leaves: np.stack(leaves),
        *((one.params, one.certificate) for one in finished),
    )
    gaps = np.asarray(duality.relative_gap(certificate))
    converged = gaps <= stop.relative_gap
    passes = np.array([one.passes for one in finished])
    return SweepResult(
        models,
        params,
        certificate,
        relative_gap=gaps,
        converged=converged,
        stalled=~converged & (passes < stop.max_passes),
        passes=passes,
        slot_passes=sum(queue.slot_passes for queue in state.queues),
        normalization=problem.normalization,
        classes=problem.classes,
    )
