"""Linear probe: features in, one answer out, with everything that it rests on.

How good is a representation? Fit a linear classifier on frozen features for many values
of l2, choose one where it was not trained, fit that on everything, test once::

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


class ProbeResult(NamedTuple):
    """The chosen fit, its accuracy on the test examples, and how it was chosen.

    Attributes:
      accuracy: share of the test examples that are right.
      interval: 95 % over test examples (Wilson).
      optimum: bounds that the accuracy of the exact optimum at the chosen l2 provably
        satisfies on these test examples.
      fit: on all training examples, at the chosen l2, with its certificate and the
        temperature.
      at_edge: whether the l2 is the smallest or the largest of several tried: a wider
        grid might do better.
      temperature: of the scores, and what it is good for; 1 if nothing could be held
        out.
      table: how every l2 did on the examples held out; None if nothing could be.
      passes: of models over the training examples in all, idle slots counted.
      num_held_out: training examples that l2 was chosen and the temperature set on (by
        every second, third, ... if these would have too many scores).
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
    single_classes: tuple[Any, ...]

    @property
    def l2(self) -> float:
        """The chosen strength of the penalty."""
        return self.fit.l2

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


def probe(
    key: Array,
    features: ArrayLike,
    labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    loss: Loss = _SOFTMAX,
    l2s: Sequence[float] | None = None,
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
    """Chooses l2 by examples held out, fits on all, tests once.

    Args:
      key: draws the examples held out, stratified by label, as of
        `jaxlin.selection.held_out`.
      features: of the training examples, raw, shape ``(examples, features)``.
      labels: of any kind, shape ``(examples,)``.
      test_features: as wide.
      test_labels: of the same kind; looked at once, by the model chosen.
      loss: one that has a conjugate.
      l2s: to try; None converts `CS`, scikit-learn's C
        (`jaxlin.objective.penalties.l2_of_c`). Of a single one the examples held out
        set the temperature alone, and there may be none.
      normalization: as of `jaxlin.problem`; standardises each feature unless told
        otherwise.
      classes: as of `jaxlin.problem`; test labels must be among them.
      validation_fraction: share of the training examples that l2 is chosen on; of no
        meaning with ``num_folds``.
      num_folds: chooses by so many folds instead.
      choose: `jaxlin.selection.rules.best` or ``one_standard_error``.
      stop: asked of every fit of the comparison; the last fit may take ten times as
        many passes. The table reports the gaps reached.
      checkpoint: as of `jaxlin.sweep`, like all that follow.
      callback: see ``checkpoint``.
      slots: see ``checkpoint``.
      block_size: see ``checkpoint``.

    Raises:
      ValueError: that names the argument, the rule and the value.
      OSError: if the checkpoint cannot be read or written.
    """
    check.concrete("key", key)
    check.key("key", key)
    stopping.checked(stop)
    if jax.process_count() > 1:
        raise ValueError(
            "a probe must have all rows in one process, got "
            f"{jax.process_count()} processes; with rows spread over them use "
            "jaxlin.cross_validate and jaxlin.fit"
        )
    problem = problems.problem(
        features, labels, normalization=normalization, classes=classes
    )
    cross_validation.check_labels(problem)
    predictions.check_examples(
        test_features,
        test_labels,
        num_features=problem.num_features,
        classes=problem.classes,
        prefix="test_",
    )
    num_examples, codes = problem.num_examples, problem.rows.targets  # type: ignore[union-attr]
    if l2s is None:
        l2s = l2_of_c(CS, total_weight=num_examples, num_classes=problem.num_classes)
    l2s = check.numbers_list("l2s", l2s, above=0)
    out = held_out.weights(
        key,
        codes,
        num_settings=len(l2s),
        validation_fraction=validation_fraction,
        num_folds=num_folds,
    )
    table, l2, chosen, passes = None, l2s[0], [], 0
    if len(out):
        models = grids.product(losses=(loss,), l2s=l2s, num_weight_sets=len(out))
        compared = sweep.fit_models(
            problem,
            models,
            weight_sets=1 - out,
            stop=stop,
            checkpoint=checkpoint,
            callback=callback,
            plan=sweep.planned(models, problem, slots=slots, block_size=block_size),
        )
        table = cross_validation.tabulated(problem, compared, held_out=out)
        setting = choose(table.accuracy, strength=table.l2)
        l2, passes = float(table.l2[setting]), compared.slot_passes
        chosen = [table.fits[setting * len(out) + part] for part in range(len(out))]
    last = fits.fit(
        problem,
        loss=loss,
        l2=l2,
        start=chosen[0].params if chosen else None,
        stop=Stop(stop.relative_gap, 10 * stop.max_passes),
        refine=True,
    )
    temperature = _temperature(chosen, problem, out)
    last = last._replace(temperature=float(temperature.value))
    judged = predictions.evaluate(last, test_features, test_labels)
    single = np.flatnonzero(np.bincount(codes) == 1)
    return ProbeResult(
        accuracy=judged.accuracy,
        interval=judged.interval,
        optimum=judged.optimum,
        fit=last,
        at_edge=len(l2s) > 1 and l2 in (min(l2s), max(l2s)),
        temperature=temperature,
        table=table,
        passes=passes + last.passes,
        num_held_out=int(out.sum()),
        single_classes=tuple(problem.classes[single].tolist()),
    )


def _temperature(chosen: list[Fit], problem: Problem, parts: np.ndarray) -> Temperature:
    """From the scores of examples by models that were not trained on them, or 1."""
    if not chosen:
        nothing = jnp.float32(np.nan)
        return Temperature(jnp.float32(1), nothing, nothing, jnp.bool_(False))
    rows: Any = problem.rows
    # One of so many, evenly spaced, so that sorted labels all have their share.
    step = math.ceil(parts.sum() * problem.num_classes / _MOST_SCORES)
    scores, codes = [], []
    for fit, weights in zip(chosen, parts, strict=True):
        out = np.flatnonzero(weights)[::step]
        scores.append(predictions.scores(fit, rows.features[out]))
        codes.append(rows.targets[out])
    return calibration.temperature(np.concatenate(scores), np.concatenate(codes))
