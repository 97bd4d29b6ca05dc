"""Sweep: hundreds of certified fits of the same rows in one program.

>>> import numpy as np
>>> import jaxlin
>>> from jaxlin import losses
>>> rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
>>> problem = jaxlin.problem(rows, np.where(rows[:, 0] > 0, "yes", "no"))
>>> found = jaxlin.sweep(
...     problem, losses=(losses.softmax_cross_entropy,), l2s=(1e-1, 1e-2))
>>> print(found)
2 fits, 2 proven, 11 passes
>>> fit = found[0]  # a jaxlin.Fit
>>> fit.l2, fit.converged, jaxlin.predict(fit, rows[:2])
(0.1, True, array(['yes', 'yes'], dtype='<U3'))

`jaxlin.selection.sweep_run` describes the algorithm.
"""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.certificates import certificate_checks
from jaxlin.io.checkpoint import Path
from jaxlin.linear import Bias, BiasName
from jaxlin.problems import Problem, fit_methods, takes_problem
from jaxlin.problems import target_sets as target_sets_of
from jaxlin.problems.target_sets import TargetSets
from jaxlin.selection import (
    grids,
    parts,
    plans,
    refinement,
    sweep_checkpoint,
    sweep_result,
    sweep_run,
)
from jaxlin.selection.grids import Grid
from jaxlin.selection.parts import Parts
from jaxlin.selection.plans import Plan
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.selection.sweep_run import SweepInputs, SweepState
from jaxlin.solvers import fit_loop, stopping
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss

# ``callback(state)``, called after some iterations and after the checkpoint, if any, is
# written; an exception stops the sweep.
SweepCallback = Callable[[SweepState], None]

# Largest count of numbers in float64 rows that a sweep of a large problem copies to the
# device by default: 2 GB.
_MAX_FLOAT64_NUMBERS = 250_000_000


@takes_problem
def sweep(
    problem: Problem,
    *,
    losses: Sequence[Loss],
    l2s: Sequence[float],
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    bias: BiasName = "penalized",
    weight_sets: ArrayLike | None = None,
    stop: Stop = stopping.DEFAULT,
    refine: bool | None = None,
    checkpoint: Path | Parts | None = None,
    callback: SweepCallback | None = None,
    slots: int | None = None,
    block_size: int | None = None,
    memory_bytes: int | None = None,
) -> SweepResult:
    """Fits every combination of losses, l2, loss arguments and weight sets.

    Args:
      problem: examples; their weights multiply every weight set.
      losses: distinct losses with a conjugate (`jaxlin.losses.conjugates`).
      l2s: distinct strengths of the penalty, above 0. The fit at the next larger l2 is
        the warm start of each fit.
      loss_arguments: values to try by name, above 0, such as ``{"margin": (0.5,
        1.0)}``; None leaves each loss its defaults. A loss is combined only with the
        arguments that it takes.
      bias: treatment of the bias, as in `jaxlin.fit`.
      weight_sets: sets of example weights, shape ``(sets, examples)``; None is one set
        of all ones. Rows of weight 0 in all sets still count in the preconditioner:
        give them weight 0 in the problem.
      stop: stopping criterion of each fit: relative gap and number of passes.
      refine: whether to continue in float64 where float32 cannot prove the gap, one
        fit after the other. None does so for small problems, and for softmax and
        cross-entropy of up to 3.2e7 scores on one device, where the sweep has no other
        loss and float64 rows, if any, have at most 2 GB. True does so for all, False
        for none.
      checkpoint: file to which the sweep is saved. If it exists, the sweep resumes from
        it, bit for bit. None saves nothing. `jaxlin.selection.parts.Parts`, a file for
        each part, deals the sweep over several tasks.
      callback: function ``callback(state)``, called after some iterations; None calls
        nothing.
      slots: number of models fitted at once, at least one per loss; None lets
        `jaxlin.selection.plans` choose.
      block_size: rows per block of a pass, at least 1; None chooses it from the shape.
      memory_bytes: memory for the states of the models in the slots; None is half of
        what the machine has beside the rows.

    Returns:
      The fits, in the order of `jaxlin.selection.grids.product`.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
      OSError: if the checkpoint cannot be read or written.
    """
    check.concrete("weight_sets", weight_sets)
    models = grids.product(
        losses=losses,
        l2s=l2s,
        loss_arguments=loss_arguments,
        num_weight_sets=1 if weight_sets is None else len(np.asarray(weight_sets)),
        bias=bias,
    )
    return fit_models(
        problem,
        models,
        weight_sets=weight_sets,
        stop=stop,
        refine=refine,
        checkpoint=checkpoint,
        callback=callback,
        plan=make_plan(
            models,
            problem,
            slots=slots,
            block_size=block_size,
            memory_bytes=memory_bytes,
        ),
    )


def fit_models(
    problem: Problem,
    models: Grid,
    *,
    weight_sets: ArrayLike | None = None,
    target_sets: TargetSets | None = None,
    allow_one_class: bool = False,
    stop: Stop = stopping.DEFAULT,
    refine: bool | None = None,
    checkpoint: Path | Parts | None = None,
    callback: SweepCallback | None = None,
    plan: Plan | None = None,
) -> SweepResult:
    """`sweep` over any grid of models.

    Args:
      problem: examples; their weights multiply every weight set.
      models: grid from `jaxlin.selection.grids`.
      weight_sets: sets of example weights, shape ``(sets, examples)``; None is one set
        of all ones.
      target_sets: sets of labels, for a grid of models that each take one of them; None
        is the labels of the problem. Each class needs an example of positive weight in
        every combination of target set and weight set.
      allow_one_class: whether a weight set may have examples of a single class only, as
        where examples of missing classes count as wrong.
      stop: stopping criterion of each fit: relative gap and number of passes.
      refine: whether to continue in float64 where float32 cannot prove the gap, one
        fit after the other. None does so for small problems, and for softmax and
        cross-entropy of up to 3.2e7 scores on one device, where the sweep has no other
        loss and float64 rows, if any, have at most 2 GB. True does so for all, False
        for none.
      checkpoint: file to which the sweep is saved and from which it resumes, or
        `jaxlin.selection.parts.Parts`; None saves nothing.
      callback: function ``callback(state)``, called after some iterations; None calls
        nothing.
      plan: plan from `jaxlin.selection.plans.plan`; None makes one with its defaults.

    Raises:
      ValueError: as `sweep`.
      OSError: as `sweep`.
    """
    stopping.checked(stop)
    options: dict[str, Any] = {
        "weight_sets": weight_sets,
        "target_sets": target_sets,
        "allow_one_class": allow_one_class,
        "stop": stop,
        "refine": refine,
        # By all losses, of which a part may have some.
        "finishes": refine is not False and _has_steps(problem, models),
        "callback": callback,
    }
    if isinstance(checkpoint, Parts):
        plan = plan or make_plan(models, problem, slots=None, block_size=None)
        return _fit_parts(problem, models, checkpoint, plan=plan, **options)
    return _fit(problem, models, checkpoint, plan=plan, **options)


def _has_steps(problem: Problem, models: Grid) -> bool:
    """Returns whether the fits of a sweep continue in float64 unless told not to."""
    if problem.is_small:
        return True
    # A proof in float64 is of float64 rows, where they were given.
    numbers = problem.num_examples * problem.num_features * problem.has_float64
    return numbers <= _MAX_FLOAT64_NUMBERS and all(
        fit_methods.takes_newton_steps(problem, loss) for loss in models.losses
    )


def _fit(
    problem: Problem,
    models: Grid,
    checkpoint: Path | None,
    *,
    plan: Plan | None,
    weight_sets: ArrayLike | None,
    target_sets: TargetSets | None,
    allow_one_class: bool,
    stop: Stop,
    refine: bool | None,
    finishes: bool,
    callback: SweepCallback | None,
) -> SweepResult:
    """The fits of a whole grid, or of one part."""
    for loss in models.losses:
        certificate_checks.check_rank(loss, problem.rank, name="labels")
    sets = problem.weight_sets(
        weight_sets,
        num_sets=int(models.weight_set.max()) + 1,
        # With target sets the labels of the problem count for nothing.
        allow_one_class=allow_one_class or target_sets is not None,
        every_class=models.bias is Bias.FREE and target_sets is None,
    )
    inputs = _inputs(problem, models, sets, stop=stop, finishes=finishes, plan=plan)
    inputs = inputs._replace(float64_follows=bool(refine or finishes))
    if target_sets is not None:
        given = None if weight_sets is None else np.asarray(weight_sets)
        placed = target_sets_of.place(target_sets, problem, weight_sets=given)
        inputs = inputs._replace(examples=inputs.examples._replace(target_sets=placed))

    def states(resume: SweepState | None) -> Iterator[SweepState]:
        running = sweep_run.run(inputs, resume=resume)
        if not inputs.float64_follows:
            return running
        return refinement.states(
            problem,
            running,
            models,
            weight_sets=sets,
            target_sets=inputs.examples.target_sets,
            stop=stop,
        )

    if checkpoint is None:
        last = _last(states(None), callback)
    else:
        saved = sweep_checkpoint.run(
            checkpoint, inputs, states, max_passes=stop.max_passes
        )
        last = _last(saved, callback)
    result = sweep_result.collect(last, models, problem, stop=stop)
    if not inputs.float64_follows:
        return result
    return refinement.with_refined(result, last.refined, stop=stop)


def _inputs(
    problem: Problem,
    models: Grid,
    weight_sets: ArrayLike | None,
    *,
    stop: Stop,
    finishes: bool,
    plan: Plan | None,
) -> SweepInputs:
    """Inputs of a sweep in float32, from checked weight sets.

    A model that takes long leaves the batch where float64 finishes it.
    """
    single_loss = models.losses[0] if len(models.losses) == 1 else None
    examples = problem.prepared(loss=single_loss, bias=models.bias)
    if plan is None:
        plan = plans.plan(models, examples, num_classes=problem.num_classes)
    passes = fit_loop.passes_before_float64(stop) if finishes else stop.max_passes
    return SweepInputs(
        examples,
        models,
        plan=plan,
        num_classes=problem.num_classes,
        by_row=refinement.weights_by_row(examples, weight_sets),
        relative_gap=stop.relative_gap,
        max_passes=passes,
        float64_follows=finishes,
    )


def _fit_parts(
    problem: Problem, models: Grid, files: Parts, *, plan: Plan, **options: Any
) -> SweepResult:
    """Fits the parts in turn, or one part alone, after which it raises `PartSaved`."""
    fitted = []
    for index, part in enumerate(grids.parts(models, len(files.paths))):
        if files.only not in (None, index):
            continue
        own = grids.subset(models, part)
        fits = _fit(
            problem,
            own,
            files.paths[index],
            plan=plans.plan_of_part(
                own, problem.examples, num_classes=problem.num_classes, whole=plan
            ),
            **options,
        )
        fitted.append(fits)
    if files.only is not None:
        raise parts.PartSaved
    return sweep_result.join(fitted, models)


def make_plan(
    models: Grid,
    problem: Problem,
    *,
    slots: int | None,
    block_size: int | None,
    memory_bytes: int | None = None,
) -> Plan:
    """Plan of a sweep over a problem, with the slots and block size of `sweep`."""
    return plans.plan(
        models,
        problem.examples,
        num_classes=problem.num_classes,
        slots=slots,
        block_size=block_size,
        memory_bytes=memory_bytes,
    )


def _last(states: Iterator[SweepState], callback: SweepCallback | None) -> SweepState:
    """Last of the states, with the callback called on each."""

    def watched() -> Iterator[SweepState]:
        for state in states:
            if callback is not None:
                callback(state)
            yield state

    (last,) = collections.deque(watched(), maxlen=1)
    return last
