"""Float64 refinement of the fits of a sweep that float32 cannot prove.

Each of them is fitted by itself, from the parameters of the sweep, by the method of its
problem (`jaxlin.solvers.float64_methods`).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin.numerics import device_mesh
from jaxlin.problems import Problem, fit_methods
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers import (
    certified,
    fit_loop,
    float64_methods,
    full_batch,
    stopping,
)
from jaxlin.solvers.fit_loop import Outcome, Start
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
    chosen = np.flatnonzero(~is_proven & (passes < stop.max_passes))
    if not len(chosen):
        return dataclasses.replace(result, converged=is_proven, stalled=stalled)
    for model in map(int, chosen):
        left = Stop(stop.relative_gap, int(stop.max_passes - passes[model]))
        outcome = _refined_fit(problem, result, model, weight_sets, left)
        passes[model] += outcome.passes
        float64_passes[model] += outcome.float64_passes
        stalled[model] = outcome.stalled
        if outcome.relative_gap < gaps[model]:
            for leaves, leaf in zip(
                (*params, *certificate),
                (*outcome.params, *outcome.certificate),
                strict=True,
            ):
                leaves[model] = leaf
            gaps[model] = outcome.relative_gap
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


def _refined_fit(
    problem: Problem,
    result: SweepResult,
    model: int,
    weight_sets: ArrayLike | None,
    stop: Stop,
) -> Outcome:
    """Float64 fit of one model, started from its parameters in the sweep."""
    models = result.models
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
        return fit_loop.minimize(
            in_float32,
            start=start,
            stop=stop,
            in_float64=in_float64,
            float32_passes=fit_methods.float32_passes(problem, loss, stop),
        )
