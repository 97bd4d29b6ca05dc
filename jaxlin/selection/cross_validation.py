"""Cross-validation of a grid: every setting on every fold, in one sweep.

  >>> import jax
  >>> import numpy as np
  >>> import jaxlin
  >>> from jaxlin import losses
  >>> from jaxlin.selection import folds
  >>> rows = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
  >>> labels = np.where(rows[:, 0] + 0.5 * rows[:, 1] > 0, "yes", "no")
  >>> found = jaxlin.cross_validate(
  ...     jaxlin.problem(rows, labels), losses=(losses.softmax_cross_entropy,),
  ...     l2s=(1e-3, 1e-1),
  ...     folds=folds.stratified_k_fold(jax.random.key(0), labels, num_folds=4))
  >>> found.accuracy.shape, bool(found.fits.converged.all())
  ((2, 4), True)
  >>> found.rows()[0]["l2"], found.rows()[0]["accuracy"] > 0.9
  (0.1, True)

Folds are example weights of 0 and 1, so that all models share rows, shapes and one
factorisation; a model of a fold is the one that cutting the rows out would give, up to
the proven gap.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.io.checkpoint import Path
from jaxlin.numerics import processes
from jaxlin.problems import Problem
from jaxlin.selection import folds as folds_of
from jaxlin.selection import grids, held_out_metrics, rules, sweep
from jaxlin.selection.grids import Grid
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import Callback
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers import stopping
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss


class CrossValidation(NamedTuple):
    """How every setting did on every part held out.

    Attributes:
      losses: of each setting, shape ``(settings,)`` as a tuple.
      l2: shape ``(settings,)``.
      loss_arguments: of each setting.
      accuracy: on the part held out, shape ``(settings, parts)``.
      loss: mean of the setting's own loss there, without penalty, same shape.
      relative_gap: proven of each fit, same shape.
      fits: the models, setting by setting, part fastest.
      num_repeats: how many times the examples were dealt out to folds.
    """

    losses: tuple[Loss, ...]
    l2: np.ndarray
    loss_arguments: tuple[dict[str, float], ...]
    accuracy: np.ndarray
    loss: np.ndarray
    relative_gap: np.ndarray
    fits: SweepResult
    num_repeats: int = 1

    def __str__(self) -> str:
        fits, parts = self.fits, self.accuracy.shape[1]
        best = int(np.argmax(self.accuracy.mean(axis=1)))
        return (
            f"{len(self.l2)} settings on {parts} parts, {fits.converged.sum()} of "
            f"{fits.converged.size} fits proven; best mean accuracy "
            f"{100 * self.accuracy[best].mean():.2f} % at l2 {self.l2[best]:g}"
        )

    def settings_of(self, loss: Loss) -> np.ndarray:
        """Numbers of the settings of one loss."""
        return np.flatnonzero([one is loss for one in self.losses])

    def chosen(self, loss: Loss, *, choose: Choose = rules.best) -> int:
        """Number of the setting of a loss to take.

        Args:
          loss: one of the table's.
          choose: `jaxlin.selection.rules.best`, ``one_standard_error`` (for one
            margin, since only its strengths are one scale), or a function like them.

        Raises:
          ValueError: if the table has none of the loss, or several scales.
        """
        mine = self.settings_of(loss)
        if not len(mine):
            name = getattr(loss, "__name__", loss)
            raise ValueError(f"loss must be one of the table's, got {name}")
        check_one_scale(choose, [self.loss_arguments[i] for i in mine])
        number = choose(
            self.accuracy[mine], strength=self.l2[mine], num_repeats=self.num_repeats
        )
        return int(mine[number])

    def rows(self) -> list[dict[str, Any]]:
        """The tidy table: one row a setting, as plain values."""
        repeats = self.num_repeats
        mean, error = rules.mean_and_error(self.accuracy, num_repeats=repeats)
        losses = rules.mean_and_error(self.loss, num_repeats=repeats)
        converged = self.fits.converged.reshape(len(self.l2), -1)
        return [
            {
                "loss": getattr(self.losses[i], "__name__", str(self.losses[i])),
                "l2": float(self.l2[i]),
                **self.loss_arguments[i],
                "accuracy": float(mean[i]),
                "accuracy_standard_error": float(error[i]),
                "held_out_loss": float(losses[0][i]),
                "held_out_loss_standard_error": float(losses[1][i]),
                "largest_relative_gap": float(self.relative_gap[i].max()),
                "converged": bool(converged[i].all()),
            }
            for i in range(len(self.l2))
        ]


def cross_validate(
    problem: Problem,
    *,
    losses: Sequence[Loss],
    l2s: Sequence[float],
    folds: ArrayLike,
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    allow_missing_classes: bool = False,
    stop: Stop = stopping.DEFAULT,
    refine: bool = False,
    checkpoint: Path | None = None,
    callback: Callback | None = None,
    slots: int | None = None,
    block_size: int | None = None,
) -> CrossValidation:
    """Fits every setting without each fold in turn, and tests it on that fold.

    Args:
      problem: with labels. Its weights count in fits and in tests.
      losses: as of `jaxlin.sweep`, like ``l2s`` and ``loss_arguments``.
      l2s: see ``losses``.
      folds: fold of each example, shape ``(examples,)`` or ``(repeats, examples)``,
        from `jaxlin.selection.folds`; each repeat has k parts of its own. In several
        processes, of the examples of this one; folds that each process draws for its
        own rows are folds of all.
      loss_arguments: see ``losses``.
      allow_missing_classes: whether a class may have no example outside some fold. The
        model of that part is then fitted without one, and the fold's examples of the
        class count as wrong whatever it says of them. Their loss is that of the model,
        finite and large: all that it has learned is that the class does not occur.
      stop: as of `jaxlin.sweep`, like all that follow.
      refine: see ``stop``.
      checkpoint: see ``stop``.
      callback: see ``stop``.
      slots: see ``stop``.
      block_size: see ``stop``.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    check.concrete("folds", folds)
    check_labels(problem)
    train = folds_of.train_weights_of_all(folds, num_examples=problem.num_examples)
    num_repeats = train.shape[0] if train.ndim == 3 else 1
    train = train.reshape(-1, train.shape[-1])
    known = check_parts(problem, train, allow_missing_classes=allow_missing_classes)
    models = grids.product(
        losses=losses,
        l2s=l2s,
        loss_arguments=loss_arguments,
        num_weight_sets=len(train),
    )
    fits = sweep.fit_models(
        problem,
        models,
        weight_sets=train,
        allow_one_class=allow_missing_classes,
        stop=stop,
        refine=refine,
        checkpoint=checkpoint,
        callback=callback,
        plan=sweep.planned(models, problem, slots=slots, block_size=block_size),
    )
    found = tabulated(problem, fits, held_out=1 - train, known=known)
    return found._replace(num_repeats=num_repeats)


def check_labels(problem: Problem) -> None:
    """Raises a ValueError if accuracy means nothing for the targets."""
    rank = problem.rank
    if rank != 1:
        raise ValueError(
            "problem must have labels to be validated on, got distributions"
        )


def check_parts(
    problem: Problem, train: np.ndarray, *, allow_missing_classes: bool = False
) -> np.ndarray:
    """Mask of the classes that can be learned in each part.

    Args:
      problem: with labels.
      train: weights of the examples trained on, shape ``(parts, examples)``.
      allow_missing_classes: whether some may not be.

    Returns:
      Booleans, shape ``(parts, classes)``; True too for a class that has no example.

    Raises:
      ValueError: if a class is not there in some part, unless that is allowed.
    """
    rows: Any = problem.rows
    codes, weights = rows.targets, rows.example_weights
    own = np.ones(len(codes)) if weights is None else np.asarray(weights)
    counts, counted = (
        processes.total(
            [
                np.bincount(codes, weights=part * own, minlength=problem.num_classes)
                for part in parts
            ]
        )
        for parts in (train, np.ones((1, len(codes))))
    )
    known = (counts > 0) | (counted == 0)
    if not allow_missing_classes and not known.all():
        part, code = np.argwhere(~known)[0]
        raise ValueError(
            "folds must leave an example of every class to train on, but without part "
            f"{part} there is none of class {problem.classes[code]!s}; draw the folds "
            "stratified, fewer of them, or leave the class out; or count it as wrong "
            "there with allow_missing_classes=True"
        )
    return known


def check_one_scale(choose: Choose, arguments: Sequence[Mapping[str, float]]) -> None:
    """Raises a ValueError if strengths are compared that mean different things.

    Args:
      choose: the rule.
      arguments: of the loss, of all settings that are compared.
    """
    scales = {tuple(sorted(one.items())) for one in arguments}
    if choose is rules.one_standard_error and len(scales) > 1:
        raise ValueError(
            "choose must not be one_standard_error for several losses or margins: "
            "their l2 are not one scale; validate each by itself, or take choice.best"
        )


def tabulated(
    problem: Problem,
    fits: SweepResult,
    *,
    held_out: np.ndarray,
    known: np.ndarray | None = None,
) -> CrossValidation:
    """Tests every model on the examples that it was not trained on.

    Args:
      problem: the rows.
      fits: of a product of settings and parts (`jaxlin.selection.grids.product`).
      held_out: weights of the examples held out in each part, ``(parts, examples)``.
      known: as of `tested`.
    """
    accuracy, loss = held_out_metrics.accuracy_and_loss(
        problem, fits, held_out=held_out, known=known
    )
    models, parts = fits.models, len(held_out)
    order = by_setting(models)
    first = order[::parts]

    def in_rows(values: Any) -> np.ndarray:
        return np.asarray(values)[order].reshape(-1, parts)

    return CrossValidation(
        losses=tuple(models.losses[models.loss[i]] for i in first),
        l2=models.l2[first],
        loss_arguments=tuple(models.arguments_of(int(i)) for i in first),
        accuracy=in_rows(accuracy),
        loss=in_rows(loss),
        relative_gap=in_rows(fits.relative_gap),
        fits=fits.reordered(order),
    )


def by_setting(models: Grid) -> np.ndarray:
    """Numbers of the models of a product, settings first, parts fastest."""
    names = sorted(models.loss_arguments)
    return np.lexsort(
        (
            models.weight_set,
            -models.l2,
            *(models.loss_arguments[name] for name in names),
            models.loss,
        )
    )
