"""Nested cross-validation: an honest accuracy for a procedure that also chooses.

The accuracy of the best of many settings on the very parts they were compared on is too
good. Here each outer part is held out of everything: settings are compared by inner
folds of what is left, the chosen one is fitted on all of that, and only then the outer
part is looked at::

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
    print(found.accuracy, found.l2)  # one of each outer part

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
from jaxlin.problems import Problem
from jaxlin.selection import cross_validation, grids, held_out_metrics, rules, sweep
from jaxlin.selection import folds as folds_of
from jaxlin.selection.cross_validation import CrossValidation
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import Callback
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers import fit_loop, stopping
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array, Loss


class NestedCrossValidation(NamedTuple):
    """What the procedure did on each outer part.

    Attributes:
      accuracy: of the chosen setting on the outer part, shape ``(parts,)``.
      loss: mean of the chosen setting's own loss there, shape ``(parts,)``.
      chosen: number of the setting in ``inner``, shape ``(parts,)``.
      l2: of the chosen setting, shape ``(parts,)``.
      fits: the models fitted with it, one an outer part.
      inner: the comparison; inner folds of the first outer part come first.
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


def cross_validate(
    key: Array,
    problem: Problem,
    *,
    losses: Sequence[Loss],
    l2s: Sequence[float],
    folds: ArrayLike,
    num_inner_folds: int,
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    allow_missing_classes: bool = False,
    choose: Choose = rules.best,
    stop: Stop = stopping.DEFAULT,
    checkpoints: tuple[Path, Path] | None = None,
    callback: Callback | None = None,
) -> NestedCrossValidation:
    """Chooses and tests on each outer part, in two sweeps.

    Args:
      key: draws the inner folds, stratified by label.
      problem: with labels. Its weights count in fits and in tests.
      losses: as of `jaxlin.sweep`, like ``l2s`` and ``loss_arguments``.
      l2s: see ``losses``.
      folds: outer part of each example, shape ``(examples,)``.
      num_inner_folds: at least 2.
      loss_arguments: see ``losses``.
      allow_missing_classes: as of `jaxlin.cross_validate`, of outer parts and of inner
        folds.
      choose: `jaxlin.selection.rules.best` or, for one loss at one margin, since only
        their strengths are one scale, ``one_standard_error``; or a function like them.
      stop: as of `jaxlin.sweep`, like ``callback``.
      checkpoints: a file of the comparison and one of the fits of the chosen settings,
        as of `jaxlin.sweep`; None saves nothing.
      callback: see ``stop``.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    fit_loop.check_concrete(folds=folds)
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
    outer = folds_of.train_weights_of_all(folds, num_examples=problem.num_examples)
    allowed = {"allow_missing_classes": allow_missing_classes}
    known = cross_validation.check_parts(problem, outer, **allowed)
    labels = problem.classes[problem.rows.targets]  # type: ignore[union-attr]
    train, held_out = _inner(key, labels, outer, num_inner_folds, **allowed)
    # A class that an outer part does not know no inner fold of it holds out.
    known_within = cross_validation.check_parts(problem, train, **allowed)
    what: dict[str, Any] = {
        "losses": losses,
        "l2s": l2s,
        "loss_arguments": loss_arguments,
    }
    how: dict[str, Any] = {
        "allow_one_class": allow_missing_classes,
        "stop": stop,
        "callback": callback,
    }
    first_file, second_file = checkpoints or (None, None)

    compared = grids.product(**what, num_weight_sets=len(train))
    cross_validation.check_one_scale(
        choose,
        [
            {**compared.arguments_of(i), "loss": float(compared.loss[i])}
            for i in range(compared.size)
        ],
    )
    fits = sweep.fit_models(
        problem, compared, weight_sets=train, checkpoint=first_file, **how
    )
    inner = cross_validation.tabulated(
        problem, fits, held_out=held_out, known=known_within
    )
    # The inner folds of every outer part deal nearly the same examples out.
    inner = inner._replace(num_repeats=len(outer))
    by_part = inner.accuracy.reshape(-1, len(outer), num_inner_folds)
    chosen = np.array(
        [choose(by_part[:, part], strength=inner.l2) for part in range(len(outer))]
    )
    everything = grids.product(**what, num_weight_sets=len(outer))
    order = cross_validation.by_setting(everything).reshape(-1, len(outer))
    refitted = grids.subset(everything, order[chosen, np.arange(len(outer))])
    fits = sweep.fit_models(
        problem, refitted, weight_sets=outer, checkpoint=second_file, **how
    )
    accuracy, loss = held_out_metrics.accuracy_and_loss(
        problem, fits, held_out=1 - outer, known=known
    )
    return NestedCrossValidation(accuracy, loss, chosen, inner.l2[chosen], fits, inner)


def _inner(
    key: Array,
    labels: np.ndarray,
    outer: np.ndarray,
    num_inner_folds: int,
    *,
    allow_missing_classes: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Weights to train and to test on, of every inner fold of every outer part."""
    train, held_out = [], []
    for part, weights in enumerate(outer):
        left = np.flatnonzero(weights)
        fold_ids = np.full(len(labels), -1)
        fold_ids[left] = folds_of.stratified_k_fold(
            jax.random.fold_in(key, part),
            labels[left],
            num_folds=num_inner_folds,
            allow_missing_classes=allow_missing_classes,
        )
        for fold in range(num_inner_folds):
            held_out.append(fold_ids == fold)
            train.append((fold_ids >= 0) & (fold_ids != fold))
    return np.stack(train).astype(np.float32), np.stack(held_out).astype(np.float32)
