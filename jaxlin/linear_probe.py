"""Linear probe: test accuracy of a linear classifier on frozen features.

How good is a representation? Fit a linear classifier on frozen features for many values
of l2, choose l2 on held-out examples, refit on all training examples, test once::

    import jax, jaxlin
    from jaxlin.objective import penalties
    key = jax.random.key(0)
    features = jax.random.normal(key, (600, 8))
    labels = (features[:, 0] + 0.3 * features[:, 1] > 0).astype(int)
    found = jaxlin.probe(
        key, features[:400], labels[:400], features[400:], labels[400:],
        l2s=penalties.l2_of_c((0.01, 1, 100), total_weight=400, num_classes=2))
    print(found.accuracy, found.interval, found.fit.l2, found.fit.converged)
    jaxlin.predict(found.fit, features[:3])

The default grid is that of DINOv2's protocol: 45 values of scikit-learn's C from 1e-6
to 1e5 on all training examples, compared on a tenth of them (Oquab et al., DINOv2:
Learning robust visual features without supervision, 2023). Models are compared at the
l2 of the final fit on all training examples, although they are fitted on the examples
that are not held out; scikit-learn's model on those examples at the same C has an l2
that is larger by the held-out share. Features are standardised by the training examples
unless a normalization is given. A class with a single training example is never held
out; with a single l2, where nothing is chosen, every class may have a single example.
A training example of weight 0 counts as absent.

All rows are on one device, or on the devices of a mesh (`jaxlin.sharding`). A probe
needs all rows in one process. The certificate bounds the objective: the accuracy may
still change with ``relative_gap``, within the bounds of ``optimum``.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, fits, losses, predictions, problems
from jaxlin import normalization as normalization_of
from jaxlin.certificates.label_certificates import AccuracyInterval
from jaxlin.check.diagnosis import counted
from jaxlin.io.checkpoint import Path
from jaxlin.normalization import Normalization
from jaxlin.objective.penalties import l2_of_c
from jaxlin.problems import FitNormalization, Problem
from jaxlin.selection import (
    calibration,
    cross_validation,
    grids,
    held_out,
    rules,
    sweep,
)
from jaxlin.selection.calibration import Temperature
from jaxlin.selection.cross_validation import CrossValidation
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import Callback
from jaxlin.solvers import stopping
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop
from jaxlin.stats.intervals import Interval
from jaxlin.typing import Array, Loss

# Values of scikit-learn's C in DINOv2's protocol.
CS = tuple(float(c) for c in np.logspace(-6, 5, 45))

# With fewer held-out examples the standard error of an accuracy reaches 5 points, more
# than the difference between neighbouring l2.
_MIN_HELD_OUT = 100

# Largest number of scores that the temperature is computed from, 200 MB. Examples are
# subsampled to meet it: the folds together hold out the whole training set.
_MAX_SCORES = 50_000_000

_SOFTMAX = losses.softmax_cross_entropy


class ProbeResult(NamedTuple):
    """Final fit, its test accuracy, and the comparison that chose its l2.

    Attributes:
      accuracy: share of correct predictions on the test examples.
      interval: 95 % confidence interval of the accuracy over test examples (Wilson).
      optimum: proven bounds on the accuracy of the exact optimum at the chosen l2 on
        the same test examples.
      fit: fit on all training examples at the chosen l2, with its certificate and the
        temperature.
      at_edge: whether the chosen l2 is the smallest or the largest of several: a wider
        grid might be better.
      temperature: temperature of the scores, with the cross-entropy before and after; 1
        if there is no held-out set.
      table: scores of every l2 on the held-out examples; None if there is no held-out
        set.
      passes: number of passes of all models over the training examples, idle slots
        counted.
      num_held_out: number of held-out training examples, which choose l2 and set the
        temperature (every second, third, ... of them if all have too many scores).
      effective_held_out: number of examples of equal weight with the same variance of
        the held-out accuracy (Kish's effective sample size); ``num_held_out`` without
        weights.
      single_classes: classes whose only training example was never held out.
    """

    accuracy: float
    interval: Interval
    optimum: AccuracyInterval
    fit: Fit
    at_edge: bool
    temperature: Temperature
    table: CrossValidation | None
    passes: int
    num_held_out: int
    effective_held_out: float
    single_classes: tuple[Any, ...]

    @property
    def l2(self) -> float:
        """Chosen strength of the penalty."""
        return self.fit.l2

    @property
    def notes(self) -> tuple[str, ...]:
        """Weaknesses of the choice of l2 and of the temperature, one sentence each."""
        notes = []
        if self.single_classes:
            count = len(self.single_classes)
            classes = "1 class has" if count == 1 else f"{count} classes have"
            notes.append(f"{classes} a single training example, which is not held out")
        if self.table is None:
            notes.append("nothing was held out: the temperature is 1, not calibrated")
        elif len(self.table.l2) > 1 and self.effective_held_out < max(
            _MIN_HELD_OUT, len(self.fit.params.bias)
        ):
            error = 50 / math.sqrt(self.effective_held_out)
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
            + f", relative gap {self.fit.relative_gap:.1e}"
            + " (requested gap not proven)" * (not self.fit.converged)
            + f"; {proven:,} of {counted(compared, 'compared fit')} proven; "
            f"temperature {float(self.temperature.value):.3g}"
            + (" (at its bound)" * at_bound)
            + "".join(f"; note: {note}" for note in self.notes)
        )


def probe(
    key: Array,
    features: ArrayLike,
    labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    loss: Loss = _SOFTMAX,
    l2s: Sequence[float] | None = None,
    weights: ArrayLike | None = None,
    normalization: Normalization
    | FitNormalization
    | None = normalization_of.fit_standard,
    classes: Any = None,
    validation_fraction: float = 0.1,
    num_folds: int | None = None,
    choose: Choose = rules.best,
    stop: Stop = stopping.DEFAULT,
    checkpoint: Path | None = None,
    callback: Callback | None = None,
    slots: int | None = None,
    block_size: int | None = None,
) -> ProbeResult:
    """Chooses l2 on held-out examples, refits on all training examples, tests once.

    Args:
      key: a `jax.random.key` for the held-out examples, which are stratified by label
        (`jaxlin.selection.held_out`).
      features: raw features of the training examples, shape ``(examples, features)``.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``.
      test_features: raw features of the test examples, shape ``(test examples,
        features)``.
      test_labels: labels of the same kind, shape ``(test examples,)``; used once, to
        test the final fit.
      loss: loss with a conjugate (`jaxlin.losses.conjugates`).
      l2s: distinct strengths of the penalty to try, above 0; None converts `CS`, values
        of scikit-learn's C (`jaxlin.objective.penalties.l2_of_c`). With a single l2,
        held-out examples only set the temperature, and there may be none.
      weights: weights of the training examples, shape ``(examples,)``, non-negative;
        None is all ones. They count in the normalization, the default ``l2s``, all
        fits, the held-out accuracy and loss, and the temperature. Held-out examples are
        drawn without regard to them, but never of weight 0. The test is unweighted.
      normalization: normalisation of the features, a function that fits one to the
        training features, or None. Default: standardises each feature.
      classes: distinct labels in the order of the scores; None takes those that occur
        in ``labels``. Test labels must be among them.
      validation_fraction: held-out share of the training examples, in (0, 1); ignored
        with ``num_folds``.
      num_folds: number of folds, at least 2, for cross-validation of l2; None uses one
        held-out set.
      choose: selection rule: `jaxlin.selection.rules.best`, ``one_standard_error``, or
        a function with their arguments.
      stop: stopping criterion of each compared fit; the final fit may take ten times as
        many passes, and continues in float64 where float32 cannot prove the gap. The
        table reports the gaps reached.
      checkpoint: file to which the sweep is saved and from which it resumes; None saves
        nothing.
      callback: function ``callback(state)``, called after some iterations of the sweep;
        None calls nothing.
      slots: number of models fitted at once, at least one; None lets
        `jaxlin.selection.plans` choose.
      block_size: rows per block of a pass, at least 1; None chooses it from the shape.

    Returns:
      The result: ``fit``, the final fit on all training examples, calibrated, which
      `jaxlin.predict` and `jaxlin.save` take; its test ``accuracy`` with ``interval``
      (over test examples) and ``optimum`` (proven bounds for the exact optimum);
      ``table``, the comparison that chose l2; ``at_edge`` and ``notes``, what may be
      wrong with the choice. `ProbeResult` describes all of them.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
      OSError: if the checkpoint cannot be read or written.
    """
    check.concrete("key", key)
    check.key("key", key)
    stopping.checked(stop)
    problem = _checked_problem(
        features,
        labels,
        test_features,
        test_labels,
        weights=weights,
        normalization=normalization,
        classes=classes,
    )
    rows: Any = problem.rows
    codes, own = rows.targets, np.ones(problem.num_examples)
    if rows.example_weights is not None:
        own = np.asarray(rows.example_weights, np.float64)
    if l2s is None:
        l2s = l2_of_c(CS, total_weight=own.sum(), num_classes=problem.num_classes)
    l2s = check.numbers_list("l2s", l2s, above=0)
    parts = held_out.weights(
        key,
        codes,
        example_weights=own,
        num_settings=len(l2s),
        validation_fraction=validation_fraction,
        num_folds=num_folds,
    )
    table, l2, chosen, passes = None, l2s[0], [], 0
    if len(parts):
        models = grids.product(losses=(loss,), l2s=l2s, num_weight_sets=len(parts))
        compared = sweep.fit_models(
            problem,
            models,
            weight_sets=1 - parts,
            stop=stop,
            checkpoint=checkpoint,
            callback=callback,
            plan=sweep.make_plan(models, problem, slots=slots, block_size=block_size),
        )
        table = cross_validation.tabulate(problem, compared, held_out=parts)
        setting = choose(table.accuracy, strength=table.l2)
        l2, passes = float(table.l2[setting]), compared.slot_passes
        first = setting * len(parts)
        chosen = [table.fits[first + part] for part in range(len(parts))]
    final, temperature = _final_fit(
        problem, chosen, parts * own, loss=loss, l2=l2, stop=stop
    )
    test = predictions.evaluate(final, test_features, test_labels)
    single = np.flatnonzero(np.bincount(codes, weights=own > 0) == 1)
    return ProbeResult(
        accuracy=test.accuracy,
        interval=test.interval,
        optimum=test.optimum,
        fit=final,
        at_edge=len(l2s) > 1 and l2 in (min(l2s), max(l2s)),
        temperature=temperature,
        table=table,
        passes=passes + final.passes,
        num_held_out=int(parts.sum()),
        effective_held_out=_effective_size(parts.sum(axis=0) * own),
        single_classes=tuple(problem.classes[single].tolist()),
    )


def _checked_problem(
    features: ArrayLike,
    labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    weights: ArrayLike | None,
    normalization: Normalization | FitNormalization | None,
    classes: Any,
) -> Problem:
    """Problem of the training examples, after checks of all examples."""
    if jax.process_count() > 1:
        raise ValueError(
            "a probe must have all rows in one process, got "
            f"{jax.process_count()} processes; with rows spread over them use "
            "jaxlin.cross_validate and jaxlin.fit"
        )
    problem = problems.problem(
        features,
        labels,
        weights=weights,
        normalization=normalization,
        classes=classes,
    )
    cross_validation.check_labels(problem)
    predictions.check_examples(
        test_features,
        test_labels,
        num_features=problem.num_features,
        classes=problem.classes,
        prefix="test_",
    )
    return problem


def _final_fit(
    problem: Problem,
    chosen: list[Fit],
    held_out_weights: np.ndarray,
    *,
    loss: Loss,
    l2: float,
    stop: Stop,
) -> tuple[Fit, Temperature]:
    """Fit on all training examples at the chosen l2, with the temperature."""
    fit = fits.fit(
        problem,
        loss=loss,
        l2=l2,
        start=chosen[0].params if chosen else None,
        stop=Stop(stop.relative_gap, 10 * stop.max_passes),
        refine=True,
    )
    temperature = _temperature(problem, chosen, held_out_weights)
    return fit._replace(temperature=float(temperature.value)), temperature


def _effective_size(weights: np.ndarray) -> float:
    """Kish's effective sample size of example weights; 0 if all are 0."""
    squares = np.square(weights).sum()
    return float(weights.sum() ** 2 / squares) if squares else 0.0


def _temperature(
    problem: Problem, chosen: list[Fit], held_out_weights: np.ndarray
) -> Temperature:
    """Temperature of held-out scores; 1 without a held-out set.

    Args:
      problem: training examples.
      chosen: fits at the chosen l2, one per part.
      held_out_weights: weights of the held-out examples of each part, 0 for the other
        examples, shape ``(parts, examples)``.
    """
    if not chosen:
        unknown = jnp.float32(np.nan)
        return Temperature(jnp.float32(1), unknown, unknown, jnp.bool_(False))
    rows: Any = problem.rows
    # Every step-th example: evenly spaced, so that sorted labels keep their shares.
    num_scores = np.count_nonzero(held_out_weights) * problem.num_classes
    step = math.ceil(num_scores / _MAX_SCORES)
    scores, codes, weights = [], [], []
    for fit, of_part in zip(chosen, held_out_weights, strict=True):
        out = np.flatnonzero(of_part)[::step]
        scores.append(predictions.scores(fit, rows.features[out]))
        codes.append(rows.targets[out])
        weights.append(of_part[out])
    return calibration.temperature(
        np.concatenate(scores),
        np.concatenate(codes),
        example_weights=np.concatenate(weights),
    )
