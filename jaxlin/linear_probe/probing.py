"""The probe: its examples, its comparison of l2, its final fit."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, fits, losses, predictions, problems
from jaxlin import normalization as normalization_of
from jaxlin.io.checkpoint import Path
from jaxlin.linear_probe.result import ProbeResult
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
from jaxlin.selection.parts import Parts
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import SweepCallback
from jaxlin.solvers import stopping
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array, Loss

#: Values of scikit-learn's C in DINOv2's protocol.
CS = tuple(float(c) for c in np.logspace(-6, 5, 45))

# Largest number of scores that the temperature is computed from, 200 MB. Examples are
# subsampled to meet it: the folds together hold out the whole training set.
_MAX_SCORES = 50_000_000

_SOFTMAX = losses.softmax_cross_entropy


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
    checkpoint: Path | Parts | None = None,
    callback: SweepCallback | None = None,
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
      checkpoint: file to which the sweep is saved and from which it resumes, or
        `jaxlin.selection.parts.Parts`; None saves nothing.
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
