"""Nested cross-validation: accuracy of a procedure that includes model selection.

The accuracy of the best of many settings on the parts used to compare them is biased
upwards. Here each outer part is held out of the whole procedure: inner folds of the
remaining examples compare the settings, the chosen setting is fitted on all remaining
examples, and that fit is tested on the outer part::

    import jax, jaxlin
    from jaxlin import losses
    from jaxlin.selection import folds, nested
    key = jax.random.key(0)
    rows = jax.random.normal(key, (200, 4))
    labels = (rows[:, 0] + 0.5 * rows[:, 1] > 0).astype(int)
    found = nested.cross_validate(
        key, jaxlin.problem(rows, labels),
        losses=(losses.softmax_cross_entropy,), l2s=(1e-3, 1e-1),
        folds=folds.stratified_k_fold(key, labels, num_folds=4),
        num_inner_folds=3)
    print(found.accuracy, found.l2)  # one entry per outer part

Reference:
  S. Varma and R. Simon. Bias in error estimation when using cross-validation for model
  selection. BMC Bioinformatics, 2006.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.io.checkpoint import Path
from jaxlin.linear import BiasName
from jaxlin.problems import Problem, takes_problem
from jaxlin.selection import (
    cross_validation,
    fold_weights,
    grids,
    held_out_metrics,
    rules,
    sweep,
)
from jaxlin.selection import folds as folds_of
from jaxlin.selection.cross_validation import CrossValidation
from jaxlin.selection.grids import Grid
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import SweepCallback
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers import fit_checks, stopping
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array, Loss


class NestedCrossValidation(NamedTuple):
    """Chosen setting and test scores of each outer part.

    Attributes:
      accuracy: accuracy of the chosen setting on the outer part, shape ``(parts,)``.
      loss: mean of the chosen setting's own loss on the outer part, without penalty,
        shape ``(parts,)``.
      chosen: index of the chosen setting in ``inner``, shape ``(parts,)``.
      l2: strength of the penalty of the chosen setting, shape ``(parts,)``.
      fits: fits of the chosen settings, one per outer part.
      inner: scores of all settings on all inner folds, ordered by outer part.
    """

    accuracy: np.ndarray
    loss: np.ndarray
    chosen: np.ndarray
    l2: np.ndarray
    fits: SweepResult
    inner: CrossValidation

    def __str__(self) -> str:
        (mean,), (error,) = rules.mean_and_error(self.accuracy[None])
        strengths = ", ".join(f"{l2:g}" for l2 in self.l2)
        return (
            f"accuracy {100 * mean:.2f} +- {100 * error:.2f} % over "
            f"{len(self.accuracy)} outer parts; l2 chosen: {strengths}"
        )


@takes_problem
def cross_validate(
    key: Array,
    problem: Problem,
    *,
    losses: Sequence[Loss],
    l2s: Sequence[float],
    folds: ArrayLike,
    num_inner_folds: int,
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    bias: BiasName = "penalized",
    allow_missing_classes: bool = False,
    choose: Choose = rules.best,
    stop: Stop = stopping.DEFAULT,
    refine: bool | None = None,
    checkpoints: tuple[Path, Path] | None = None,
    callback: SweepCallback | None = None,
) -> NestedCrossValidation:
    """Chooses a setting and tests it, for each outer part, in two sweeps.

    Args:
      key: a `jax.random.key` for the inner folds, which are stratified by label.
      problem: examples with labels, not distributions. Its weights count in fits and
        in tests.
      losses: distinct losses with a conjugate (`jaxlin.losses.conjugates`).
      l2s: distinct strengths of the penalty, above 0.
      folds: outer fold ids, shape ``(examples,)``, from `jaxlin.selection.folds`.
      num_inner_folds: number of inner folds of each outer part, at least 2.
      loss_arguments: values to try by name, above 0, such as ``{"margin": (0.5,
        1.0)}``; None leaves each loss its defaults.
      bias: treatment of the bias, as in `jaxlin.fit`.
      allow_missing_classes: whether a class may have no training example in some outer
        part or inner fold, as in `jaxlin.cross_validate`.
      choose: selection rule: `jaxlin.selection.rules.best`, ``one_standard_error`` (for
        one loss and one set of loss arguments: other l2 are not comparable), or a
        function with their arguments.
      stop: stopping criterion of each fit: relative gap and number of passes.
      refine: whether to continue in float64 where float32 cannot prove the gap, as in
        `jaxlin.sweep`.
      checkpoints: file of the inner sweep and file of the fits of the chosen settings,
        as ``checkpoint`` of `jaxlin.sweep`; None saves nothing.
      callback: function ``callback(state)``, called after some iterations of both
        sweeps; None calls nothing.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
      OSError: if a checkpoint cannot be read or written.
    """
    _check(key, problem, folds, num_inner_folds)
    outer = fold_weights.of_ids(folds, num_examples=problem.num_examples).train
    allowed = {"allow_missing_classes": allow_missing_classes}
    known = cross_validation.check_parts(problem, outer, **allowed)
    labels = problem.classes[problem.whole_rows.targets]
    train, held_out = _inner_folds(key, labels, outer, num_inner_folds, **allowed)
    # A class without training examples in an outer part is in none of its inner folds.
    known_within = cross_validation.check_parts(problem, train, **allowed)
    grid: dict[str, Any] = {
        "losses": losses,
        "l2s": l2s,
        "loss_arguments": loss_arguments,
        "bias": bias,
    }
    options: dict[str, Any] = {
        "allow_one_class": allow_missing_classes,
        "stop": stop,
        "refine": refine,
        "callback": callback,
    }
    first_file, second_file = checkpoints or (None, None)

    compared = grids.product(**grid, num_weight_sets=len(train))
    _check_one_scale(choose, compared)
    fits = sweep.fit_models(
        problem, compared, weight_sets=train, checkpoint=first_file, **options
    )
    inner = cross_validation.tabulate(
        problem, fits, held_out=held_out, known=known_within
    )
    # The inner folds of the outer parts partition nearly the same examples.
    inner = inner._replace(num_repeats=len(outer))
    by_part = inner.accuracy.reshape(-1, len(outer), num_inner_folds)
    chosen = np.array(
        [choose(by_part[:, part], strength=inner.l2) for part in range(len(outer))]
    )
    everything = grids.product(**grid, num_weight_sets=len(outer))
    order = grids.by_setting(everything).reshape(-1, len(outer))
    refitted = grids.subset(everything, order[chosen, np.arange(len(outer))])
    fits = sweep.fit_models(
        problem, refitted, weight_sets=outer, checkpoint=second_file, **options
    )
    accuracy, loss = held_out_metrics.accuracy_and_loss(
        problem, fits, held_out=1 - outer, known=known
    )
    return NestedCrossValidation(accuracy, loss, chosen, inner.l2[chosen], fits, inner)


def _check(
    key: Array, problem: Problem, folds: ArrayLike, num_inner_folds: int
) -> None:
    """Raises a ValueError if an argument of `cross_validate` is invalid."""
    fit_checks.check_concrete(folds=folds)
    check.key("key", key)
    if jax.process_count() > 1:
        raise ValueError(
            "nested cross-validation must have all rows in one process, since it draws "
            f"folds within folds, got {jax.process_count()} processes; call "
            "cross_validate for each outer part"
        )
    if np.ndim(folds) != 1:
        raise ValueError(
            f"folds must have shape (examples,), got shape {np.shape(folds)}"
        )
    check.integer("num_inner_folds", num_inner_folds, at_least=2)
    cross_validation.check_labels(problem)


def _check_one_scale(choose: Choose, models: Grid) -> None:
    """Raises a ValueError if a rule compares l2 of different losses or margins."""
    rules.check_one_scale(
        choose,
        [
            {**models.arguments_of(i), "loss": float(models.loss[i])}
            for i in range(models.size)
        ],
    )


def _inner_folds(
    key: Array,
    labels: np.ndarray,
    outer: np.ndarray,
    num_inner_folds: int,
    *,
    allow_missing_classes: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of training and held-out examples of all inner folds, by outer part."""
    train, held_out = [], []
    for part, weights in enumerate(outer):
        remaining = np.flatnonzero(weights)
        fold_ids = np.full(len(labels), -1)
        fold_ids[remaining] = folds_of.stratified_k_fold(
            jax.random.fold_in(key, part),
            labels[remaining],
            num_folds=num_inner_folds,
            allow_missing_classes=allow_missing_classes,
        )
        for fold in range(num_inner_folds):
            held_out.append(fold_ids == fold)
            train.append((fold_ids >= 0) & (fold_ids != fold))
    return np.stack(train).astype(np.float32), np.stack(held_out).astype(np.float32)
