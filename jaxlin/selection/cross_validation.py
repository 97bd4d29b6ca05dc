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

Folds are example weights of 0 and 1: all models share the rows, the shapes and one
factorisation. The model of a fold equals the fit on the remaining rows alone, up to the
proven gap.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.check.diagnosis import counted
from jaxlin.io.checkpoint import Path
from jaxlin.linear import BiasName
from jaxlin.numerics import processes
from jaxlin.problems import Problem, takes_problem
from jaxlin.selection import fold_weights, grids, held_out_metrics, rules, sweep
from jaxlin.selection.parts import Parts
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import SweepCallback
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers import stopping
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss


class CrossValidation(NamedTuple):
    """Scores of every setting on every held-out part.

    Attributes:
      losses: loss of each setting, a tuple of length ``settings``.
      l2: strength of the penalty of each setting, shape ``(settings,)``.
      loss_arguments: loss arguments of each setting, by name.
      accuracy: accuracy on the held-out part, shape ``(settings, parts)``.
      loss: mean of the setting's own loss on the held-out part, without penalty, shape
        ``(settings, parts)``.
      relative_gap: proven bound on (objective - optimum) / objective of each fit, shape
        ``(settings, parts)``.
      fits: fits of all settings and parts; parts vary fastest.
      num_repeats: number of partitions of the examples into folds.
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
        best = self.rows()[int(np.argmax(self.accuracy.mean(axis=1)))]
        arguments = "".join(
            f", {name} {best[name]:g}"
            for name in fits.models.loss_arguments
            if name in best
        )
        return (
            f"{counted(len(self.l2), 'setting')} on {counted(parts, 'part')}, "
            f"{fits.converged.sum():,} of {counted(len(fits), 'fit')} proven; best "
            f"mean accuracy {100 * best['accuracy']:.2f} % with {best['loss']}, l2 "
            f"{best['l2']:g}{arguments}"
        )

    def settings_of(self, loss: Loss) -> np.ndarray:
        """Indices of the settings of one loss."""
        return np.flatnonzero([own is loss for own in self.losses])

    def chosen(self, loss: Loss, *, choose: Choose = rules.best) -> int:
        """Index of the setting chosen for a loss.

        Args:
          loss: one of ``losses``.
          choose: selection rule: `jaxlin.selection.rules.best`, ``one_standard_error``
            (for a single set of loss arguments: l2 of different margins are not
            comparable), or a function with their arguments.

        Raises:
          ValueError: if no setting has the loss, or ``one_standard_error`` is given
            several loss arguments.
        """
        settings = self.settings_of(loss)
        if not len(settings):
            name = getattr(loss, "__name__", loss)
            raise ValueError(f"loss must be one of the table's, got {name}")
        rules.check_one_scale(choose, [self.loss_arguments[i] for i in settings])
        chosen = choose(
            self.accuracy[settings],
            strength=self.l2[settings],
            num_repeats=self.num_repeats,
        )
        return int(settings[chosen])

    def rows(self) -> list[dict[str, Any]]:
        """Tidy table: one dictionary of plain values per setting."""
        repeats = self.num_repeats
        mean, error = rules.mean_and_error(self.accuracy, num_repeats=repeats)
        mean_loss, loss_error = rules.mean_and_error(self.loss, num_repeats=repeats)
        converged = self.fits.converged.reshape(len(self.l2), -1)
        return [
            {
                "loss": getattr(self.losses[i], "__name__", str(self.losses[i])),
                "l2": float(self.l2[i]),
                **self.loss_arguments[i],
                "accuracy": float(mean[i]),
                "accuracy_standard_error": float(error[i]),
                "held_out_loss": float(mean_loss[i]),
                "held_out_loss_standard_error": float(loss_error[i]),
                "largest_relative_gap": float(self.relative_gap[i].max()),
                "converged": bool(converged[i].all()),
            }
            for i in range(len(self.l2))
        ]


@takes_problem
def cross_validate(
    problem: Problem,
    *,
    losses: Sequence[Loss],
    l2s: Sequence[float],
    folds: ArrayLike,
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    bias: BiasName = "penalized",
    allow_missing_classes: bool = False,
    stop: Stop = stopping.DEFAULT,
    refine: bool | None = None,
    checkpoint: Path | Parts | None = None,
    callback: SweepCallback | None = None,
    slots: int | None = None,
    block_size: int | None = None,
    memory_bytes: int | None = None,
) -> CrossValidation:
    """Cross-validates every combination of losses, l2 and loss arguments.

    Each setting is fitted on all folds but one and tested on that fold, for each fold.

    Args:
      problem: examples with labels, not distributions. Its weights count in fits and
        in tests.
      losses: distinct losses with a conjugate (`jaxlin.losses.conjugates`).
      l2s: distinct strengths of the penalty, above 0.
      folds: fold ids, shape ``(examples,)`` or ``(repeats, examples)``, from
        `jaxlin.selection.folds`; each repeat adds k parts. Examples of id -1 are never
        held out, those of -2 not trained on either. In several processes, the ids of
        the examples of this process; a fold is the union of the folds of that id over
        all processes.
      loss_arguments: values to try by name, above 0, such as ``{"margin": (0.5,
        1.0)}``; None leaves each loss its defaults.
      bias: treatment of the bias, as in `jaxlin.fit`.
      allow_missing_classes: whether a class may have no example outside some fold. The
        model of that part is then fitted without the class, and the fold's examples of
        the class count as wrong, whatever the prediction. Their loss is finite and
        large: the model has learned only that the class does not occur.
      stop: stopping criterion of each fit: relative gap and number of passes.
      refine: whether to continue in float64 where float32 cannot prove the gap, one
        fit after the other. None does so for small problems, and for softmax and
        cross-entropy of up to 3.2e7 scores on one device, where there is no other loss
        and float64 rows, if any, have at most 2 GB. True does so for all, False for
        none.
      checkpoint: file to which the sweep is saved and from which it resumes, or
        `jaxlin.selection.parts.Parts`; None saves nothing.
      callback: function ``callback(state)``, called after some iterations; None calls
        nothing.
      slots: number of models fitted at once, at least one per loss; None lets
        `jaxlin.selection.plans` choose.
      block_size: rows per block of a pass, at least 1; None chooses it from the shape.
      memory_bytes: memory for the states of the models in the slots; None is half of
        what the machine has beside the rows.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
      OSError: if the checkpoint cannot be read or written.
    """
    check.concrete("folds", folds)
    check_labels(problem)
    size = problem.num_examples
    weights = fold_weights.of_ids(folds, num_examples=size, least=-2)
    num_repeats = len(weights.train) if weights.train.ndim == 3 else 1
    train, held_out = (part.reshape(-1, size) for part in weights)
    known = check_parts(problem, train, allow_missing_classes=allow_missing_classes)
    models = grids.product(
        losses=losses,
        l2s=l2s,
        loss_arguments=loss_arguments,
        num_weight_sets=len(train),
        bias=bias,
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
        plan=sweep.make_plan(
            models,
            problem,
            slots=slots,
            block_size=block_size,
            memory_bytes=memory_bytes,
        ),
    )
    table = tabulate(problem, fits, held_out=held_out, known=known)
    return table._replace(num_repeats=num_repeats)


def check_labels(problem: Problem) -> None:
    """Raises a ValueError if the targets are distributions, which have no accuracy."""
    if problem.rank != 1:
        raise ValueError(
            "problem must have labels to be validated on, got distributions"
        )


def check_parts(
    problem: Problem, train: np.ndarray, *, allow_missing_classes: bool = False
) -> np.ndarray:
    """Mask of the classes with training examples in each part.

    Args:
      problem: examples with labels.
      train: weights of the training examples of each part, shape ``(parts, examples)``.
      allow_missing_classes: whether a class may have no training example in some part.

    Returns:
      Booleans, shape ``(parts, classes)``; True also for a class without any example.

    Raises:
      ValueError: if a class has no training example in some part and
        ``allow_missing_classes`` is False.
    """
    rows = problem.whole_rows
    codes, weights = rows.targets, rows.example_weights
    own = np.ones(len(codes)) if weights is None else np.asarray(weights)
    train_counts, all_counts = (
        processes.total(
            [
                np.bincount(codes, weights=part * own, minlength=problem.num_classes)
                for part in parts
            ]
        )
        for parts in (train, np.ones((1, len(codes))))
    )
    known = (train_counts > 0) | (all_counts == 0)
    if not allow_missing_classes and not known.all():
        part, code = np.argwhere(~known)[0]
        raise ValueError(
            "folds must leave an example of every class to train on, but fold "
            f"{part} leaves none of class {problem.classes[code]!s}; draw the folds "
            "stratified, use fewer folds, or leave the class out; or count it as wrong "
            "there with allow_missing_classes=True"
        )
    return known


def tabulate(
    problem: Problem,
    fits: SweepResult,
    *,
    held_out: np.ndarray,
    known: np.ndarray | None = None,
) -> CrossValidation:
    """Table of the fits of a sweep: each tested on the held-out examples of its part.

    Args:
      problem: problem of the sweep.
      fits: fits of a grid of `jaxlin.selection.grids.product`, one weight set per part.
      held_out: weights of the held-out examples, shape ``(parts, examples)``.
      known: mask of the classes with training examples in each part, from
        `check_parts`, shape ``(parts, classes)``; None is all True.
    """
    accuracy, loss = held_out_metrics.accuracy_and_loss(
        problem, fits, held_out=held_out, known=known
    )
    models, parts = fits.models, len(held_out)
    order = grids.by_setting(models)
    first = order[::parts]

    def by_part(values: Any) -> np.ndarray:
        return np.asarray(values)[order].reshape(-1, parts)

    return CrossValidation(
        losses=tuple(models.losses[models.loss[i]] for i in first),
        l2=models.l2[first],
        loss_arguments=tuple(models.arguments_of(int(i)) for i in first),
        accuracy=by_part(accuracy),
        loss=by_part(loss),
        relative_gap=by_part(fits.relative_gap),
        fits=fits.take(order),
    )
