"""Float64 refinement of the fits of a sweep that float32 cannot prove.

Each of them is fitted by itself, from the parameters of the sweep, by the method of its
problem (`jaxlin.solvers.float64_methods`).
"""

import dataclasses
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin.numerics import device_mesh
from jaxlin.problems import Problem, fit_methods
from jaxlin.selection import sweep_result
from jaxlin.selection.grids import Grid
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.selection.sweep_run import Refined, SweepState
from jaxlin.solvers import (
    certified,
    fit_loop,
    float64_methods,
    full_batch,
    stopping,
)
from jaxlin.solvers.fit_loop import Start
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array


def weights_by_row(examples: Examples, sets: ArrayLike | None) -> Array | None:
    """Weight sets, multiplied by the examples' own weights and transposed.

    Args:
      examples: examples of a `jaxlin.Problem`.
      sets: checked sets from ``Problem.weight_sets``, shape ``(sets, examples)``; None
        is one set of all ones.

    Returns:
      Weights, in the dtype of the examples' own or float32, shape ``(examples, sets)``;
      None where all weights are 1.
    """
    own = examples.example_weights
    if sets is None:
        return None if own is None else own[:, None]
    by_row = jnp.asarray(sets, jnp.float32 if own is None else own.dtype).T
    if own is not None:
        by_row = by_row * own[:, None]
    return device_mesh.shard(by_row, device_mesh.ROWS)


def refine_unproven(
    problem: Problem,
    result: SweepResult,
    *,
    weight_sets: ArrayLike | None = None,
    stop: Stop = stopping.DEFAULT,
) -> SweepResult:
    """Float64 refinement of the fits whose relative gap is too large.

    Fits are refined one after the other, each from its parameters in the sweep. A sweep
    does not keep the dual variables of hinges; large ones make float32 passes first.

    Args:
      problem: problem of the sweep.
      result: result of the sweep.
      weight_sets: weight sets of the sweep, shape ``(sets, examples)``.
      stop: stopping criterion of each fit. Its relative gap may be smaller than that of
        the sweep; its passes include those of the sweep.

    Returns:
      The fits, as `with_refined` joins them.
    """
    refined = {
        model: _refined_fit(problem, result, model, weight_sets, stop)
        for model in _unproven(result, stop)
    }
    return with_refined(result, refined, stop=stop)


def states(
    problem: Problem,
    running: Iterator[SweepState],
    models: Grid,
    *,
    weight_sets: ArrayLike | None,
    target_sets: Array | None = None,
    stop: Stop,
) -> Iterator[SweepState]:
    """States of a sweep that goes on in float64, as `refine_unproven` does.

    Args:
      problem: problem of the sweep.
      running: states of the sweep in float32; some refinements of the last may be
        known.
      models: grid of the sweep.
      weight_sets: weight sets of the sweep, shape ``(sets, examples)``.
      target_sets: target sets of the sweep, shape ``(examples, sets)``, or None.
      stop: stopping criterion of each fit.

    Yields:
      The states of the sweep, the last with the models to refine, and the state after
      each refined model.
    """
    for state in running:
        if len(state.finished) == models.size:
            result = sweep_result.collect(state, models, problem, stop=stop)
            if state.unrefined is None:
                state = state._replace(unrefined=_unproven(result, stop))
        yield state
    while state.unrefined:
        model, *left = state.unrefined
        found = _refined_fit(problem, result, model, weight_sets, stop, target_sets)
        state = state._replace(
            refined={**state.refined, model: found}, unrefined=tuple(left)
        )
        yield state


def with_refined(
    result: SweepResult, refined: Mapping[int, Refined], *, stop: Stop
) -> SweepResult:
    """Fits of a sweep, with those replaced whose refinement proves a smaller gap.

    Args:
      result: result of the sweep.
      refined: refinements by model index.
      stop: stopping criterion of each fit.

    Returns:
      The fits; parameters and certificates are float64 if any fit was refined. A fit
      whose gap is not improved is kept. ``passes`` and ``slot_passes`` include the
      passes of the refinement.
    """
    gaps, passes = np.array(result.relative_gap, float), result.passes.copy()
    float64_passes = result.float64_passes.copy()
    params, certificate = jax.tree.map(
        lambda leaf: np.array(leaf, np.float64), (result.params, result.certificate)
    )
    is_proven = gaps <= stop.relative_gap
    stalled = result.stalled & ~is_proven
    if not refined:
        return dataclasses.replace(result, converged=is_proven, stalled=stalled)
    for model, fit in refined.items():
        passes[model] += fit.passes
        float64_passes[model] += fit.float64_passes
        stalled[model] = fit.stalled
        if fit.relative_gap < gaps[model]:
            for leaves, leaf in zip(
                (*params, *certificate), (*fit.params, *fit.certificate), strict=True
            ):
                leaves[model] = leaf
            gaps[model] = fit.relative_gap
    return dataclasses.replace(
        result,
        params=params,
        certificate=certificate,
        relative_gap=gaps,
        converged=gaps <= stop.relative_gap,
        stalled=stalled,
        passes=passes,
        float64_passes=float64_passes,
        slot_passes=result.slot_passes + int((passes - result.passes).sum()),
    )


def _unproven(result: SweepResult, stop: Stop) -> tuple[int, ...]:
    """Indices of the fits to refine: gap too large, and passes left."""
    is_proven = np.array(result.relative_gap, float) <= stop.relative_gap
    has_passes = result.passes < stop.max_passes
    return tuple(map(int, np.flatnonzero(~is_proven & has_passes)))


def _refined_fit(
    problem: Problem,
    result: SweepResult,
    model: int,
    weight_sets: ArrayLike | None,
    stop: Stop,
    target_sets: Array | None = None,
) -> Refined:
    """Float64 fit of one model, started from its parameters in the sweep."""
    models = result.models
    left = Stop(stop.relative_gap, int(stop.max_passes - result.passes[model]))
    loss = models.losses[models.loss[model]]
    settings = Settings(
        l2=float(models.l2[model]),
        loss_arguments=models.arguments_of(model),
        bias=models.bias,
    )
    with problem.float64_context(True):
        examples = problem.prepared(loss=loss, keep_float64=True, bias=models.bias)
        by_row = weights_by_row(examples, weight_sets)
        if by_row is not None:
            own = by_row[:, models.weight_set[model]]
            examples = examples._replace(example_weights=own)
        if target_sets is not None and models.target_set is not None:
            targets = target_sets[:, models.target_set[model]]
            targets = targets.astype(examples.targets.dtype)
            examples = examples._replace(targets=targets)
        in_float32 = full_batch.iterations(
            certified.row_source(examples, loss=loss), loss=loss, settings=settings
        )
        in_float64 = float64_methods.iterations(
            examples,
            loss=loss,
            settings=settings,
            num_classes=problem.num_classes,
            is_small=problem.is_small,
        )
        # Semismooth Newton steps need duals, which passes in float32 give. All others
        # have had these passes in the sweep.
        needs_duals = fit_methods.takes_semismooth_steps(problem, loss)
        start = Start(result[model].params, None, is_refined=not needs_duals)
        found = fit_loop.minimize(
            in_float32,
            start=start,
            stop=left,
            in_float64=in_float64,
            float32_passes=fit_methods.float32_passes(problem, loss, left),
        )
    return Refined(
        jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), found.params),
        found.certificate,
        found.relative_gap,
        found.stalled,
        found.passes,
        found.float64_passes,
    )
