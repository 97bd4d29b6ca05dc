"""Cross-validation of a grid: every setting on every fold, in one sweep.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import losses
  >>> from jaxlin.selection import cross_validation, folds
  >>> from jaxlin.solvers import base, certified
  >>> key = jax.random.key(0)
  >>> rows = jax.random.normal(key, (200, 4))
  >>> labels = (rows[:, 0] + 0.5 * rows[:, 1] > 0).astype(int)
  >>> problem = certified.prepare(base.problem(rows, labels, num_classes=2))
  >>> table = cross_validation.cross_validate(
  ...     problem, num_classes=2, losses=(losses.softmax_cross_entropy,),
  ...     l2s=(1e-3, 1e-1),
  ...     fold_of=folds.stratified_k_fold(key, labels, num_folds=4))
  >>> table.accuracy.shape, bool(table.fits.converged.all())
  ((2, 4), True)
  >>> table.rows()[0]["l2"], table.rows()[0]["accuracy"] > 0.9
  (0.1, True)

Folds are example weights of 0 and 1, so that all models share rows, shapes and one
factorisation; a model of a fold is the one that cutting the rows out would give, up to
the proven gap.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jax.typing import ArrayLike

from jaxlin import metrics, objective, placement
from jaxlin.linear import Params
from jaxlin.metrics import Ratio
from jaxlin.normalization import Normalization
from jaxlin.selection import choice, folds, grids, plans, sweep
from jaxlin.selection.choice import Choose
from jaxlin.selection.grids import Grid
from jaxlin.selection.plans import Plan
from jaxlin.selection.sweep import FitModels, Fits
from jaxlin.solvers import fit_loop
from jaxlin.solvers.base import Problem
from jaxlin.typing import Array, Loss

# Scores of so many models are held at once, of a block of rows each; fewer models where
# these are more numbers.
_MODELS_AT_ONCE = 32
_SCORES_AT_ONCE = 50_000_000


class Table(NamedTuple):
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
    fits: Fits
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

    def chosen(self, loss: Loss, *, choose: Choose = choice.best) -> int:
        """Number of the setting of a loss to take.

        Args:
          loss: one of the table's.
          choose: `jaxlin.selection.choice.best`, ``one_standard_error`` (for one
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
        mean, error = choice.mean_and_error(self.accuracy, num_repeats=repeats)
        losses = choice.mean_and_error(self.loss, num_repeats=repeats)
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
    num_classes: int,
    losses: Sequence[Loss],
    l2s: Sequence[float],
    fold_of: Any,
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    allow_missing_classes: bool = False,
    relative_gap: float = 1e-3,
    max_evaluations: int = 1000,
    plan: Plan | None = None,
    fit_models: FitModels = sweep.fit,
) -> Table:
    """Fits every setting without each fold in turn, and tests it on that fold.

    Args:
      problem: from `jaxlin.solvers.certified.prepare`, with labels. Its example weights
        count in fits and in tests.
      num_classes: C.
      losses: as of `jaxlin.selection.grids.product`, like ``l2s`` and
        ``loss_arguments``.
      l2s: see ``losses``.
      fold_of: fold of each example, shape ``(examples,)`` or ``(repeats, examples)``,
        from `jaxlin.selection.folds`; each repeat has k parts of its own. Of a problem
        on a mesh put there by `jaxlin.sharding.folds`.
      loss_arguments: see ``losses``.
      allow_missing_classes: whether a class may have no example outside some fold. The
        model of that part is then fitted without one, and the fold's examples of the
        class count as wrong whatever it says of them. Their loss is that of the model,
        finite and large: all that it has learned is that the class does not occur.
      relative_gap: asked of every fit.
      max_evaluations: of a fit, after which it is taken as it is.
      plan: None makes one of the shapes.
      fit_models: `jaxlin.selection.sweep.fit`, or a function of the same arguments and
        result that also shows progress or saves states.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    fit_loop.check_concrete(problem=problem, fold_of=fold_of)
    check_labels(problem)
    train = folds.train_weights_of_all(fold_of, num_examples=len(problem.targets))
    num_repeats = train.shape[0] if train.ndim == 3 else 1
    train = train.reshape(-1, train.shape[-1])
    known = check_parts(problem, train, allow_missing_classes=allow_missing_classes)
    models = grids.product(
        losses=losses,
        l2s=l2s,
        loss_arguments=loss_arguments,
        num_weightings=len(train),
    )
    if plan is None:
        plan = plans.plan(models, problem, num_classes=num_classes)
    fits = fit_models(
        problem,
        models,
        plan=plan,
        num_classes=num_classes,
        weightings=train,
        relative_gap=relative_gap,
        max_evaluations=max_evaluations,
        **missing_classes(allow_missing_classes),
    )
    table = tabulated(problem, models, fits, held_out=1 - train, known=known)
    return table._replace(num_repeats=num_repeats)


def missing_classes(is_allowed: bool) -> dict[str, bool]:
    """The keyword of `jaxlin.selection.sweep.fit` that goes with missing classes.

    None where they are not allowed: a function in the place of ``sweep.fit`` need not
    know it.
    """
    return {"allow_one_class": True} if is_allowed else {}


def check_labels(problem: Problem) -> None:
    """Raises a ValueError if accuracy means nothing for the targets."""
    if problem.targets.ndim != 1:
        raise ValueError(
            "problem must have labels to be validated on, got targets of shape "
            f"{problem.targets.shape}"
        )


def check_parts(
    problem: Problem, train: ArrayLike, *, allow_missing_classes: bool = False
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
    everything = jnp.ones((1, len(problem.targets)))
    if problem.example_weights is not None:
        everything = problem.example_weights[None]
        train = jnp.asarray(train) * everything
    num_classes = int(jnp.max(problem.targets)) + 1
    counts, counted = (
        np.asarray(_class_counts(problem.targets, some, num_classes=num_classes))
        for some in (train, everything)
    )
    known = (counts > 0) | (counted == 0)
    if not allow_missing_classes and not known.all():
        part, label = np.argwhere(~known)[0]
        raise ValueError(
            "fold_of must leave an example of every class to train on, but without "
            f"part {part} there is none of class {label}; draw the folds stratified, "
            "fewer of them, or leave the class out; or count it as wrong there with "
            "allow_missing_classes=True"
        )
    return known


@functools.partial(jax.jit, static_argnames=("num_classes",))
def _class_counts(labels: Array, weights: Array, *, num_classes: int) -> Array:
    """Sums of weights by class, shape ``(parts, classes)``."""
    by_row = jnp.asarray(weights, jnp.float32).T
    sums = jax.ops.segment_sum(by_row, labels, num_segments=num_classes)
    return placement.whole(sums.T)


def check_one_scale(choose: Choose, arguments: Sequence[Mapping[str, float]]) -> None:
    """Raises a ValueError if strengths are compared that mean different things.

    Args:
      choose: the rule.
      arguments: of the loss, of all settings that are compared.
    """
    scales = {tuple(sorted(one.items())) for one in arguments}
    if choose is choice.one_standard_error and len(scales) > 1:
        raise ValueError(
            "choose must not be one_standard_error for several losses or margins: "
            "their l2 are not one scale; validate each by itself, or take choice.best"
        )


def tabulated(
    problem: Problem,
    models: Grid,
    fits: Fits,
    *,
    held_out: ArrayLike,
    known: ArrayLike | None = None,
) -> Table:
    """Tests every model on the examples that it was not trained on.

    Args:
      problem: the rows.
      models: a product of settings and parts, from `jaxlin.selection.grids.product`.
      fits: of these models.
      held_out: weights of the examples held out in each part, ``(parts, examples)``.
      known: as of `tested`.
    """
    accuracy, loss = tested(
        problem, models, fits.params, held_out=held_out, known=known
    )
    order = by_setting(models)
    parts = np.shape(held_out)[0]
    first = order[::parts]

    def in_rows(values: Any) -> np.ndarray:
        return np.asarray(values)[order].reshape(-1, parts)

    return Table(
        losses=tuple(models.losses[models.loss[i]] for i in first),
        l2=models.l2[first],
        loss_arguments=tuple(models.arguments_of(int(i)) for i in first),
        accuracy=in_rows(accuracy),
        loss=in_rows(loss),
        relative_gap=in_rows(fits.relative_gap),
        fits=_reordered(fits, order),
    )


def by_setting(models: Grid) -> np.ndarray:
    """Numbers of the models of a product, settings first, parts fastest."""
    names = sorted(models.loss_arguments)
    return np.lexsort(
        (
            models.weighting,
            -models.l2,
            *(models.loss_arguments[name] for name in names),
            models.loss,
        )
    )


def tested(
    problem: Problem,
    models: Grid,
    params: Params,
    *,
    held_out: ArrayLike,
    known: ArrayLike | None = None,  # noqa: PT028
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and mean loss of each model where its part is held out, ``(models,)``.

    Args:
      problem: the rows, with labels.
      models: whose params they are.
      params: with a leading axis of models.
      held_out: weights, shape ``(parts, examples)``; a model's part is its weighting.
      known: from `check_parts`: an example of a class that its part does not know is
        wrong. None: all are known.
    """
    if known is not None and np.all(known):
        known = None
    accuracy, loss = np.zeros((2, models.size))
    weights = jnp.asarray(held_out, jnp.float32)
    if problem.example_weights is not None:
        weights = weights * problem.example_weights[None]
    rows = min(objective.BLOCK_ROWS, len(problem.targets))
    of_one = rows * params.bias.shape[1]
    at_once = max(1, min(_MODELS_AT_ONCE, models.size, _SCORES_AT_ONCE // of_one))
    for number, one in enumerate(models.losses):
        mine = np.flatnonzero(models.loss == number)
        for start in range(0, len(mine), at_once):
            some = mine[start : start + at_once]
            # Repeats fill the last group up: one program for all.
            padded = np.resize(some, at_once)
            names = models.arguments_of(int(mine[0]))
            found = _tested(
                jax.tree.map(lambda leaf, rows=padded: jnp.asarray(leaf[rows]), params),
                {
                    name: jnp.asarray(models.loss_arguments[name][padded])
                    for name in names
                },
                jnp.asarray(models.weighting[padded]),
                problem,
                weights,
                None if known is None else jnp.asarray(known, jnp.float32),
                loss=one,
            )
            # Divided in float64, so that counts give the shares that they are.
            accuracy[some], loss[some] = (
                (np.asarray(ratio.total, float) / np.asarray(ratio.count))[: len(some)]
                for ratio in found
            )
    return accuracy, loss


@functools.partial(jax.jit, static_argnames=("loss",))
def _tested(
    params: Params,
    arguments: dict[str, Array],
    weighting: Array,
    problem: Problem,
    weights: Array,
    known: Array | None = None,
    *,
    loss: Loss,
) -> tuple[Ratio, Ratio]:
    given = (params, arguments, weighting, known, problem.normalization)
    rows = (problem.features, problem.targets, weights.T)
    sums = functools.partial(_sums, loss=loss)
    if placement.num_shards(len(problem.targets)) == 1:
        return sums(*given, *rows)
    whole, by_row = PartitionSpec(), PartitionSpec(placement.ROWS)
    return jax.shard_map(
        lambda *given: jax.lax.psum(sums(*given), placement.ROWS),
        in_specs=(whole,) * len(given) + (by_row,) * len(rows),
        out_specs=whole,
        axis_names={placement.ROWS},
        check_vma=False,
    )(*given, *rows)


def _sums(
    params: Params,
    arguments: dict[str, Array],
    weighting: Array,
    known: Array | None,
    normalization: Normalization | None,
    features: Array,
    targets: Array,
    weights: Array,
    *,
    loss: Loss,
) -> tuple[Ratio, Ratio]:
    """Right answers and losses of each model, over these rows."""

    def of_model(
        params: Params, arguments: dict[str, Array], weighting: Array
    ) -> tuple[Ratio, Ratio]:
        def of_block(
            features: Array, targets: Array, weights: Array
        ) -> tuple[Ratio, Ratio]:
            scores = objective.batch_scores(
                params, features, normalization=normalization
            )
            counted = weights[:, weighting]
            values = objective.example_losses(
                scores, targets, loss=loss, loss_arguments=arguments
            )
            total = objective.weighted_mean(
                values, example_weights=counted, total_weight=1.0
            )
            total_weight = jnp.sum(counted)
            if known is not None:
                counted = counted * known[weighting, targets]
            right = metrics.accuracy(scores, targets, example_weights=counted)
            return right._replace(count=total_weight), Ratio(total, total_weight)

        return objective.blocked_sums(of_block, features, targets, weights)

    return jax.vmap(of_model)(params, arguments, weighting)


def _reordered(fits: Fits, order: np.ndarray) -> Fits:
    by_model: Any = fits._replace(paid=None)  # type: ignore[arg-type]
    return jax.tree.map(lambda leaf: leaf[order], by_model)._replace(paid=fits.paid)
