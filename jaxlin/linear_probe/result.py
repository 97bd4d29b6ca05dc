"""Result of a probe: the final fit, its test metrics, the choice of l2."""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxlin.check.diagnosis import counted
from jaxlin.evaluation import Evaluation
from jaxlin.selection.calibration import Temperature
from jaxlin.selection.cross_validation import CrossValidation
from jaxlin.solvers.fitted import Fit

# With fewer held-out examples the standard error of an accuracy reaches 5 points, more
# than the difference between neighbouring l2.
_MIN_HELD_OUT = 100


class ProbeResult(NamedTuple):
    """Final fit, its test metrics, and the comparison that chose its l2.

    Attributes:
      test: metrics of the final fit on the test examples, each with a 95 % interval,
        and proven bounds on the accuracy of the exact optimum at the chosen l2.
      fit: fit at the chosen l2, with its certificate and the temperature.
      setting: index of the chosen l2 in ``table``.
      at_edge: whether the chosen l2 is the smallest or the largest of several: a wider
        grid might be better.
      temperature: temperature of the scores, with the cross-entropy before and after; 1
        if there is no held-out set.
      table: scores of every l2 on the held-out examples, with the proven gap of each
        fit; None if there is no held-out set.
      class_weights: factors by which the classes of the population that the
        probabilities are about are more frequent than among the training examples,
        shape ``(classes,)``; None where it is the same population.
      passes: number of passes of all models over the training examples, idle slots
        counted.
      num_held_out: number of held-out training examples, which choose l2 and set the
        temperature (every second, third, ... of them if all have too many scores).
      effective_held_out: number of examples of equal weight with the same variance of
        the held-out accuracy (Kish's effective sample size); ``num_held_out`` without
        weights.
      single_classes: classes with a single training example, which is never drawn.
    """

    test: Evaluation
    fit: Fit
    setting: int
    at_edge: bool
    temperature: Temperature
    table: CrossValidation | None
    class_weights: np.ndarray | None
    passes: int
    num_held_out: int
    effective_held_out: float
    single_classes: tuple[Any, ...]

    @property
    def l2(self) -> float:
        """Strength of the penalty of the final fit."""
        return self.fit.l2

    @property
    def notes(self) -> tuple[str, ...]:
        """Weaknesses of choice, test and probabilities, one sentence each."""
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
                + "; folds (validation=5) hold each example out once"
                * (self.table.accuracy.shape[1] == 1)
            )
        untested = np.setdiff1d(self.fit.classes, self.test.labels)
        if len(untested):
            named = ", ".join(map(str, untested[:3])) + ", ..." * (len(untested) > 3)
            notes.append(
                f"means over classes leave out those without a test example: {named}"
            )
        if self.class_weights is not None:
            least, largest = self.class_weights.min(), self.class_weights.max()
            notes.append(
                "probabilities are of a population in which classes are "
                f"{least:.3g} to {largest:.3g} times as frequent as in training; "
                "undo_prior_shift=True gives those of the training population"
            )
        return tuple(notes)

    def __str__(self) -> str:
        at_bound = bool(self.temperature.at_bound)
        compared = 0 if self.table is None else self.table.fits.converged.size
        proven = 0 if self.table is None else self.table.fits.converged.sum()
        return (
            f"{self.test}; log loss {self.test.log_loss.value:.4g}, calibration error "
            f"{100 * self.test.calibration_error.value:.2f} %; l2 {self.l2:g}"
            + (" (at an edge of the grid)" if self.at_edge else "")
            + f", relative gap {self.fit.relative_gap:.1e}"
            + " (requested gap not proven)" * (not self.fit.converged)
            + f"; {proven:,} of {counted(compared, 'compared fit')} proven; "
            f"temperature {float(self.temperature.value):.3g}"
            + (" (at its bound)" * at_bound)
            + "".join(f"; note: {note}" for note in self.notes)
        )
