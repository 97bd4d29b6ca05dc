"""Linear probe: features in, one answer out, with everything that it rests on.

How good is a representation? Fit a linear classifier on frozen features for many values
of l2, choose one where it was not trained, fit that on everything, test once::

    import jax
    from jaxlin import penalties, probe
    key = jax.random.key(0)
    features = jax.random.normal(key, (600, 8))
    labels = (features[:, 0] + 0.3 * features[:, 1] > 0).astype(int)
    answer = probe.fit(
        key, features[:400], labels[:400], features[400:], labels[400:],
        l2s=penalties.l2_of_c((0.01, 1, 100), total_weight=400, num_classes=2))
    print(answer.accuracy, answer.interval, answer.l2, answer.fit.converged)

The default grid is that of DINOv2's protocol: 45 values of scikit-learn's C from 1e-6
to 1e5 on all training examples, compared on a tenth of them (Oquab et al., DINOv2:
Learning robust visual features without supervision, 2023). Models of the same l2 are
compared on the examples that are left after some are held out; scikit-learn's model of
those at the same C has an l2 that is larger by the share held out. Features are
standardised by the training examples unless a normalization is given. A class with a
single training example keeps it in training; at one l2, where nothing is to be chosen,
all classes may have one. All rows are put on one device, or under a mesh
(`jaxlin.sharding`) on its devices; of several processes each has only some rows, and a
probe is refused there. What is proven is the objective: the accuracy may still move
with ``relative_gap``, within the bounds that ``optimum`` gives.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import (
    check,
    duality,
    intervals,
    label_proofs,
    linear,
    losses,
    objective,
    precision,
    sharding,
)
from jaxlin.intervals import Interval
from jaxlin.label_proofs import AccuracyInterval
from jaxlin.linear import Params
from jaxlin.normalization import Normalization, fit_standard, normalize
from jaxlin.penalties import l2_of_c
from jaxlin.selection import (
    calibration,
    choice,
    cross_validation,
    grids,
    held_out,
    plans,
    sweep,
)
from jaxlin.selection.calibration import Temperature
from jaxlin.selection.choice import Choose
from jaxlin.selection.cross_validation import Table
from jaxlin.selection.sweep import FitModels
from jaxlin.solvers import base, certified, curvature, fit_loop, fitting
from jaxlin.solvers.fit_loop import Fit
from jaxlin.typing import Array, Loss

# Scikit-learn's C of DINOv2's protocol.
CS = tuple(float(c) for c in np.logspace(-6, 5, 45))

# With fewer examples held out an accuracy has a standard error of up to 5 points, which
# is more than what tells neighbouring l2 apart.
_ENOUGH_HELD_OUT = 100

# Numbers in the scores that the temperature is set by, 200 MB. Of more examples some
# are left out: those of all folds are the whole training set.
_MOST_SCORES = 50_000_000

# Typed as one loss among others.
_SOFTMAX: Any = losses.softmax_cross_entropy


class Answer(NamedTuple):
    """What a probe found.

    Attributes:
      accuracy: share of the test examples that are right.
      interval: 95 % over test examples (Wilson).
      optimum: bounds that the accuracy of the exact optimum at the chosen l2 provably
        satisfies on these test examples.
      l2: chosen.
      at_edge: whether that is the smallest or the largest of several tried: a wider
        grid might do better.
      fit: on all training examples, with its certificate.
      normalization: that the features went through.
      temperature: of the scores; for `jaxlin.selection.calibration.probabilities` or a
        `jaxlin.classifier.Classifier`. 1 if nothing could be held out.
      table: how every l2 did on the examples held out; None if nothing could be.
      evaluations: of models on the training examples in all, idle slots counted.
      num_held_out: training examples that l2 was chosen and the temperature set on (by
        every second, third, ... if these would have too many scores).
      single_classes: labels of classes whose only training example was never held out.
    """

    accuracy: float
    interval: Interval
    optimum: AccuracyInterval
    l2: float
    at_edge: bool
    fit: Fit
    normalization: Normalization
    temperature: Temperature
    table: Table | None
    evaluations: int
    num_held_out: int
    single_classes: tuple[int, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Weaknesses of the choice of l2 and of the temperature, a sentence each."""
        notes = []
        if self.single_classes:
            count = len(self.single_classes)
            classes = "1 class has" if count == 1 else f"{count} classes have"
            notes.append(f"{classes} a single training example, which is not held out")
        if self.table is None:
            notes.append("nothing was held out: the temperature is 1, not calibrated")
        elif len(self.table.l2) > 1 and self.num_held_out < max(
            _ENOUGH_HELD_OUT, len(self.fit.params.bias)
        ):
            error = 50 / math.sqrt(self.num_held_out)
            notes.append(
                f"l2 is chosen on {self.num_held_out} examples held out, where an "
                f"accuracy has a standard error of up to {error:.0f} points"
                + "; num_folds holds each example out once"
                * (self.table.accuracy.shape[1] == 1)
            )
        return tuple(notes)

    def __str__(self) -> str:
        at_bound = bool(self.temperature.at_bound)
        compared = 0 if self.table is None else self.table.fits.converged.size
        proven = 0 if self.table is None else self.table.fits.converged.sum()
        low, high = (100 * end for end in self.interval)
        return (
            f"accuracy {100 * self.accuracy:.2f} % [{low:.2f}, {high:.2f}], exact "
            f"optimum {self.optimum}; l2 {self.l2:g}"
            + (" (at an edge of the grid)" if self.at_edge else "")
            + f", {self.fit.relative_gap:.1e} of the objective unproven; of the "
            f"{compared} fits compared {proven} have proven "
            f"their gap; temperature {float(self.temperature.value):.3g}"
            + (" (at its bound)" * at_bound)
            + "".join(f"; note: {note}" for note in self.notes)
        )


def fit(
    key: Array,
    features: ArrayLike,
    labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    loss: Loss = _SOFTMAX,
    l2s: Sequence[float] | None = None,
    num_classes: int | None = None,
    normalization: Normalization | None = None,
    validation_fraction: float = 0.1,
    num_folds: int | None = None,
    choose: Choose = choice.best,
    relative_gap: float = 1e-3,
    max_evaluations: int = 200,
    slots: int | None = None,
    block_size: int | None = None,
    fit_models: FitModels = sweep.fit,
) -> Answer:
    """Chooses l2 by examples held out, fits on all, tests once.

    Args:
      key: draws the examples held out, stratified by label, as of
        `jaxlin.selection.held_out`.
      features: of the training examples, raw, shape ``(examples, features)``.
      labels: in [0, num_classes), shape ``(examples,)``.
      test_features: as wide.
      test_labels: looked at once, by the model chosen.
      loss: one that has a conjugate.
      l2s: to try; None converts `CS`, scikit-learn's C (`jaxlin.penalties.l2_of_c`). Of
        a single one the examples held out set the temperature alone, and there may be
        none.
      num_classes: None takes the largest label of both parts plus one; then every class
        must have a training example.
      normalization: None standardises each feature.
      validation_fraction: share of the training examples that l2 is chosen on; of no
        meaning with ``num_folds``.
      num_folds: chooses by so many folds instead.
      choose: `jaxlin.selection.choice.best` or ``one_standard_error``.
      relative_gap: asked of every fit.
      max_evaluations: of a fit of the comparison; the last fit may take ten times as
        many. What a fit has not proven by then the table says.
      slots: models fitted at once; None takes what `jaxlin.selection.plans.plan` says.
      block_size: rows a block of a pass; likewise.
      fit_models: as of `jaxlin.selection.cross_validation.cross_validate`.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    fit_loop.check_concrete(key=key, labels=labels, test_labels=test_labels)
    check.key("key", key)
    if jax.process_count() > 1:
        raise ValueError(
            "a probe must have all rows in one process, got "
            f"{jax.process_count()} processes; with rows spread over them use "
            "jaxlin.selection.cross_validation and jaxlin.solvers.fitting"
        )
    every_class = num_classes is None
    if num_classes is None:
        num_classes = _classes(labels, test_labels)
    check.integer("num_classes", num_classes, at_least=2)
    rows = check.features("features", features)
    answers = check.labels(
        "labels", labels, num_classes=num_classes, num_examples=len(rows)
    )
    check.several_classes("labels", answers)
    missing = np.setdiff1d(np.arange(num_classes), answers)
    if every_class and len(missing):
        raise ValueError(
            f"labels must have an example of each of {num_classes} classes, got none "
            f"of class {missing[0]}; number the classes from 0 without gaps, or give "
            "num_classes"
        )
    test_rows = check.features(
        "test_features", test_features, num_features=rows.shape[1]
    )
    test_answers = check.labels(
        "test_labels", test_labels, num_classes=num_classes, num_examples=len(test_rows)
    )
    if l2s is None:
        l2s = l2_of_c(CS, total_weight=len(rows), num_classes=num_classes)
    l2s = check.numbers_list("l2s", l2s, above=0)
    out = held_out.weights(
        key,
        answers,
        num_settings=len(l2s),
        validation_fraction=validation_fraction,
        num_folds=num_folds,
    )
    fitted = fit_standard(rows) if normalization is None else normalization
    make_problem, placed = base.problem, lambda weights: weights
    if not jax.sharding.get_abstract_mesh().empty:
        make_problem = sharding.problem
        placed = functools.partial(sharding.weightings, num_examples=len(rows))
    problem = certified.prepare(
        make_problem(rows, answers, num_classes=num_classes, normalization=fitted),
        rank=curvature.rank_for(loss),
    )
    fitted = Normalization(*map(np.asarray, problem.normalization or ()))
    models = grids.product(losses=(loss,), l2s=l2s, num_weightings=max(1, len(out)))
    table, l2, chosen, paid = None, float(models.l2[0]), [], 0
    if len(out):
        fits = fit_models(
            problem,
            models,
            plan=plans.plan(
                models,
                problem,
                num_classes=num_classes,
                slots=slots,
                block_size=block_size,
            ),
            num_classes=num_classes,
            weightings=placed(1 - out),
            relative_gap=relative_gap,
            max_evaluations=max_evaluations,
        )
        table = cross_validation.tabulated(problem, models, fits, held_out=placed(out))
        setting = choose(table.accuracy, strength=table.l2)
        l2, paid = float(table.l2[setting]), fits.paid
        chosen = [
            Params(*(leaf[setting * len(out) + part] for leaf in table.fits.params))
            for part in range(len(out))
        ]
    last = fitting.fit_prepared(
        problem,
        num_classes=num_classes,
        loss=loss,
        l2=l2,
        relative_gap=relative_gap,
        start=chosen[0] if chosen else None,
        max_evaluations=10 * max_evaluations,
        polish=True,
    )
    correct = _labels(last.params, test_rows, fitted) == test_answers
    radius = duality.radius(last.certificate, l2=last.l2)
    same = label_proofs.same_labels(
        last.params, jnp.asarray(test_rows), radius=radius, normalization=fitted
    )
    return Answer(
        accuracy=float(correct.mean()),
        interval=intervals.proportion_interval(int(correct.sum()), len(correct)),
        optimum=label_proofs.accuracy_interval(jnp.asarray(correct), jnp.asarray(same)),
        l2=last.l2,
        at_edge=len(l2s) > 1 and l2 in (min(l2s), max(l2s)),
        fit=last,
        normalization=fitted,
        temperature=_temperature(chosen, rows, answers, out, fitted),
        table=table,
        evaluations=paid + last.evaluations,
        num_held_out=int(out.sum()),
        single_classes=tuple(np.flatnonzero(np.bincount(answers) == 1).tolist()),
    )


def _classes(*labels: ArrayLike) -> int:
    """How many classes integers of both parts name; what else they are is not said."""
    arrays = [np.asarray(one) for one in labels]
    tops = [int(one.max()) for one in arrays if one.size and one.dtype.kind in "iu"]
    return max(2, 1 + max(tops, default=1))


@jax.jit
@jax.default_matmul_precision("highest")
def _blocked_scores(params: Params, rows: Array, normalization: Normalization) -> Array:
    return objective.blocked_scores(params, rows, normalization=normalization)


@jax.jit
@jax.default_matmul_precision("highest")
def _blocked_labels(params: Params, rows: Array, normalization: Normalization) -> Array:
    """Labels without the scores of all rows, a thousand times as many numbers."""

    def label_of(row: Array) -> Array:
        return linear.predict(params, normalize(normalization, row))

    size = min(objective.BLOCK_ROWS, len(rows))
    return jax.lax.map(label_of, rows, batch_size=size)


def _in_digits(
    compute: Callable[..., Array],
    params: Params,
    rows: np.ndarray,
    normalization: Normalization,
) -> np.ndarray:
    """Scores or labels in the digits of the parameters, as in proofs of labels."""
    with precision.keeping_digits(*params):
        dtype = params.weights.dtype
        digits = Normalization(*(jnp.asarray(part, dtype) for part in normalization))
        params = Params(*(jnp.asarray(leaf, dtype) for leaf in params))
        return np.asarray(compute(params, rows, digits))


_scores = functools.partial(_in_digits, _blocked_scores)
_labels = functools.partial(_in_digits, _blocked_labels)


def _temperature(
    chosen: list[Params],
    rows: np.ndarray,
    labels: np.ndarray,
    parts: np.ndarray,
    normalization: Normalization,
) -> Temperature:
    """From the scores of examples by models that were not trained on them, or 1."""
    if not chosen:
        nothing = jnp.float32(np.nan)
        return Temperature(jnp.float32(1), nothing, nothing, jnp.bool_(False))
    # One of so many, evenly spaced, so that sorted labels all have their share.
    step = math.ceil(parts.sum() * len(chosen[0].bias) / _MOST_SCORES)
    scores, answers = [], []
    for params, weights in zip(chosen, parts, strict=True):
        out = np.flatnonzero(weights)[::step]
        scores.append(_scores(params, rows[out], normalization))
        answers.append(labels[out])
    return calibration.temperature(np.concatenate(scores), np.concatenate(answers))
