"""Sweep: hundreds of certified fits of the same rows in one program.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
>>> problem = jaxlin.problem(rows, np.where(rows[:, 0] > 0, "yes", "no"))
>>> found = jaxlin.sweep(
...     problem, losses=(losses.softmax_cross_entropy,), l2s=(1e-1, 1e-2))
>>> print(found)
2 fits, 2 of them proven, 11 passes
>>> fit = found[0]  # a jaxlin.Fit
>>> fit.l2, fit.converged, jaxlin.predict(fit, rows[:2])
(0.1, True, array(['yes', 'yes'], dtype='<U3'))

`jaxlin.selection.sweep_run` says how it goes about it.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.io import checkpoint as checkpoint_of
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.numerics import device_mesh
from jaxlin.problems import Problem
from jaxlin.selection import grids, plans, sweep_checkpoint, sweep_run
from jaxlin.selection.grids import Grid
from jaxlin.selection.plans import Plan
from jaxlin.selection.sweep_run import SweepState
from jaxlin.solvers import certified, fit_loop, stopping
from jaxlin.solvers.fit_loop import Start
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array, Loss

# ``callback(state)`` after some iterations, and after what was to be saved is saved; an
# exception stops the sweep.
Callback = Callable[[SweepState], None]


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


def sweep(
    problem: Problem,
    *,
    losses: Sequence[Loss],
    l2s: Sequence[float],
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    weight_sets: ArrayLike | None = None,
    stop: Stop = stopping.DEFAULT,
    refine: bool = False,
    checkpoint: checkpoint_of.Path | None = None,
    callback: Callback | None = None,
    slots: int | None = None,
    block_size: int | None = None,
) -> SweepResult:
    """Fits every combination of losses, l2, loss arguments and weight_sets.

    Args:
      problem: the examples; its weights count in every weight_set.
      losses: distinct, each one that has a conjugate.
      l2s: distinct, above 0; each fit starts from that of the next larger one.
      loss_arguments: values to try of each, such as ``{"margin": (0.5, 1.0)}``. A loss
        that does not take one is not repeated for it.
      weight_sets: sets of example weights, shape ``(sets, examples)``; None is one set
        of all ones. Rows that are 0 in all of them are still in the preconditioner:
        give those weight 0 in the problem.
      stop: the gap to be proven by each fit, and after how many passes it gives up.
      refine: whether to go on in float64 with the fits that have not proven the gap.
      checkpoint: a file to which the sweep is saved as it goes; if it is there, the
        sweep goes on from it, bit for bit. None saves nothing.
      callback: called as ``callback(state)`` after some iterations.
      slots: models fitted at once; None takes what `jaxlin.selection.plans` says.
      block_size: rows per block of a pass; None chooses it from the shape.

    Returns:
      The fits in the order of `jaxlin.selection.grids.product`.

    Raises:
      ValueError: that names the argument, the rule and the value.
      OSError: if the checkpoint cannot be read or written.
    """
    check.concrete("weight_sets", weight_sets)
    models = grids.product(
        losses=losses,
        l2s=l2s,
        loss_arguments=loss_arguments,
        num_weight_sets=1 if weight_sets is None else len(np.asarray(weight_sets)),
    )
    return fit_models(
        problem,
        models,
        weight_sets=weight_sets,
        stop=stop,
        refine=refine,
        checkpoint=checkpoint,
        callback=callback,
        plan=planned(models, problem, slots=slots, block_size=block_size),
    )


def fit_models(
    problem: Problem,
    models: Grid,
    *,
    weight_sets: ArrayLike | None = None,
    allow_one_class: bool = False,
    stop: Stop = stopping.DEFAULT,
    refine: bool = False,
    checkpoint: checkpoint_of.Path | None = None,
    callback: Callback | None = None,
    plan: Plan | None = None,
) -> SweepResult:
    """`sweep` over any grid of models.

    Args:
      problem: as of `sweep`, like all arguments that are not here.
      models: from `jaxlin.selection.grids`.
      weight_sets: see ``problem``.
      allow_one_class: whether a set of weights may leave examples of one class alone,
        as where the others are to count as wrong.
      stop: see ``problem``.
      refine: see ``problem``.
      checkpoint: see ``problem``.
      callback: see ``problem``.
      plan: from `jaxlin.selection.plans.plan`; None makes one of the shapes.

    Raises:
      ValueError: as `sweep`.
      OSError: as `sweep`.
    """
    stopping.checked(stop)
    for loss in models.losses:
        duality.check_rank(loss, problem.rank, name="labels")
    sets = problem.weight_sets(
        weight_sets,
        num_sets=int(models.weight_set.max()) + 1,
        allow_one_class=allow_one_class,
    )
    only = models.losses[0] if len(models.losses) == 1 else None
    examples = problem.prepared(loss=only)
    by_row = weights_by_row(examples, sets)
    if plan is None:
        plan = plans.plan(models, examples, num_classes=problem.num_classes)
    how: dict[str, Any] = {
        "plan": plan,
        "num_classes": problem.num_classes,
        "by_row": by_row,
        "relative_gap": stop.relative_gap,
        "max_passes": stop.max_passes,
    }
    if checkpoint is None:
        states = sweep_run.run(examples, models, **how)
    else:
        states = sweep_checkpoint.run(checkpoint, examples, models, **how)
    state = _last(states, callback)
    found = collected(state, models, problem, stop=stop)
    if refine:
        return refined(problem, found, weight_sets=sets, stop=stop)
    return found


def planned(
    models: Grid, problem: Problem, *, slots: int | None, block_size: int | None
) -> Plan:
    """The plan of a sweep over a problem; arguments as of `sweep`."""
    return plans.plan(
        models,
        problem.examples,
        num_classes=problem.num_classes,
        slots=slots,
        block_size=block_size,
    )


def weights_by_row(examples: Examples, sets: ArrayLike | None) -> Array | None:
    """Example weights with rows first, those of the examples counted in.

    Args:
      examples: of a problem.
      sets: from its ``weight_sets``, shape ``(sets, examples)``, or None.

    Returns:
      Shape ``(examples, sets)``; None where every example counts once.
    """
    own = examples.example_weights
    if sets is None:
        return None if own is None else jnp.asarray(own, jnp.float32)[:, None]
    by_row = jnp.asarray(sets, jnp.float32).T
    if own is not None:
        by_row = by_row * jnp.asarray(own, jnp.float32)[:, None]
    return device_mesh.spread(by_row, device_mesh.ROWS)


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


def refined(
    problem: Problem,
    found: SweepResult,
    *,
    weight_sets: ArrayLike | None = None,
    stop: Stop = stopping.DEFAULT,
) -> SweepResult:
    """Goes on in float64 with the fits whose gap is larger than asked for.

    One after the other, each from where the sweep ended, a hinge without its dual
    variables, and so anew.

    Args:
      problem: of the sweep.
      found: what the sweep has returned.
      weight_sets: those of the sweep.
      stop: what is asked for; the gap may be smaller than that of the sweep, and the
        passes are those of a fit here.

    Returns:
      The fits, with float64 parameters and certificates if one went on. What was proven
      better before is kept. ``passes`` and ``slot_passes`` count these too.
    """
    behind = np.flatnonzero(~(found.relative_gap <= stop.relative_gap))
    if not len(behind):
        return dataclasses.replace(
            found,
            converged=np.ones(len(found), bool),
            stalled=np.zeros(len(found), bool),
        )
    models = found.models
    params, certificate = jax.tree.map(
        lambda leaf: np.array(leaf, np.float64), (found.params, found.certificate)
    )
    gaps, passes = np.array(found.relative_gap, float), found.passes.copy()
    stalled = found.stalled.copy()
    for model in map(int, behind):
        loss = models.losses[models.loss[model]]
        with problem.float64_context(True):
            examples = problem.prepared(loss=loss, keep_float64=True)
            by_row = weights_by_row(examples, weight_sets)
            if by_row is not None:
                mine = by_row[:, models.weight_set[model]]
                examples = examples._replace(example_weights=mine)
            outcome = fit_loop.certify(
                certified.iterations(
                    examples,
                    loss=loss,
                    settings=Settings(
                        l2=float(models.l2[model]),
                        loss_arguments=models.arguments_of(model),
                    ),
                ),
                start=Start(found[model].params, None),
                stop=stop,
                refine=True,
            )
        passes[model] += outcome.passes
        stalled[model] = outcome.stalled
        if outcome.relative_gap < gaps[model]:
            ours = (*params, *certificate)
            for leaves, leaf in zip(
                ours, (*outcome.params, *outcome.certificate), strict=True
            ):
                leaves[model] = leaf
            gaps[model] = outcome.relative_gap
    return dataclasses.replace(
        found,
        params=params,
        certificate=certificate,
        relative_gap=gaps,
        converged=gaps <= stop.relative_gap,
        stalled=stalled,
        passes=passes,
        slot_passes=found.slot_passes + int((passes - found.passes).sum()),
    )


def _last(states: Iterator[SweepState], callback: Callback | None) -> SweepState:
    def watched() -> Iterator[SweepState]:
        for state in states:
            if callback is not None:
                callback(state)
            yield state

    (last,) = collections.deque(watched(), maxlen=1)
    return last
