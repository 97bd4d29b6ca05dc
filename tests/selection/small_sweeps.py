"""Sweeps of the small problem, through their door and as they go."""

import dataclasses

import jax
import numpy as np
from sweep_problems import (
    EXAMPLES,
    HINGE,
    MARGIN,
    NUM_CLASSES,
    NUM_WEIGHT_SETS,
    SOFTMAX,
)

import jaxlin
from jaxlin.selection import folds, plans, refinement, sweep_result, sweep_run

BOTH = {"losses": (SOFTMAX, HINGE), "loss_arguments": MARGIN}
L2S = (1e-1, 3e-2, 1e-2)
GAP = 1e-5
# Three times the same problem: models that stand for one, in as many slots as all here.
ONES = np.ones((3, EXAMPLES), np.float32)


def arguments(problem, models, fold_ids, *, slots=7, **changes):
    examples = problem.examples
    options = {
        "plan": plans.plan(models, examples, num_classes=NUM_CLASSES, slots=slots),
        "stop": jaxlin.Stop(GAP),
        **changes,
    }
    if "weight_sets" not in options:
        options["weight_sets"] = folds.train_weights(
            fold_ids, num_folds=NUM_WEIGHT_SETS
        )
    return options


def run(problem, models, *, plan, stop, weight_sets, max_passes=None, resume=None):
    """The states of the sweep that `sweep.fit_models` would make."""
    only = models.losses[0] if len(models.losses) == 1 else None
    examples = problem.prepared(loss=only)
    inputs = sweep_run.SweepInputs(
        examples,
        models,
        plan=plan,
        num_classes=NUM_CLASSES,
        by_row=refinement.weights_by_row(examples, problem.weight_sets(weight_sets)),
        relative_gap=stop.relative_gap,
        max_passes=stop.max_passes if max_passes is None else max_passes,
    )
    return sweep_run.run(inputs, resume=resume)


def last_of(problem, models, *, stop, **options):
    """The fits of a sweep whose models may have budgets of their own."""
    *_, last = run(problem, models, stop=stop, **options)
    return sweep_result.collect(last, models, problem, stop=stop)


def assert_same(found, expected):
    for field in dataclasses.fields(found):
        one, other = (getattr(fits, field.name) for fits in (found, expected))
        jax.tree.map(np.testing.assert_array_equal, one, other)
