"""Result of a probe of several labels: a fit per label, its test metrics, its l2."""

from typing import Any, NamedTuple

import numpy as np

from jaxlin.check.diagnosis import counted
from jaxlin.linear_probe import multilabel_choice
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.stats.comparison import Estimate
from jaxlin.stats.multilabel import MultilabelMetrics

# Positive test examples below which average precision is noticeably biased.
_FEW_POSITIVES = 100


class MultilabelResult(NamedTuple):
    """Final fits of all labels, their test metrics, and the comparison behind them.

    Attributes:
      names: name of each label, in the order of the columns.
      test: metrics on the test examples, each with a 95 % interval. A label is
        predicted where its score is above 0, for softmax a probability above 0.5.
      fits: final fits, one per label; ``fits[i]`` is a `jaxlin.Fit` with the classes
        False and True and a certificate. With a free bias it certifies labels of the
        optimum of softmax at gaps of at most 1e-6, as the fit of a single-label probe.
      cs: scikit-learn's C of each final fit, shape ``(labels,)``.
      at_edge: whether the chosen l2 of each label is the smallest or the largest of
        several, shape ``(labels,)``.
      held_out: held-out average precisions of the compared fits, shape ``(labels,
        settings, parts)``, in the order of the given values; NaN for a label without a
        positive example in a part. None if nothing was held out.
      num_compared: number of compared fits.
      num_converged: number of compared fits with the requested gap proven.
      passes: number of passes of all models over the training examples, idle slots
        counted.
      num_positives: positive test examples of each label, shape ``(labels,)``.
    """

    names: tuple[Any, ...]
    test: MultilabelMetrics
    fits: SweepResult
    cs: np.ndarray
    at_edge: np.ndarray
    held_out: np.ndarray | None
    num_compared: int
    num_converged: int
    passes: int
    num_positives: np.ndarray

    @property
    def l2(self) -> np.ndarray:
        """Strength of the penalty of each final fit, shape ``(labels,)``."""
        return self.fits.models.l2

    @property
    def notes(self) -> tuple[str, ...]:
        """Weaknesses of the choice and of the test, one sentence each."""
        notes = []
        if self.held_out is None:
            unjudged = 0
        else:
            unjudged = int(np.isnan(self.held_out).any(axis=1).all(axis=1).sum())
        if unjudged:
            notes.append(
                f"{counted(unjudged, 'label')} without a positive example held out: "
                "l2 by the mean over the others"
            )
        untested = sum(np.isnan(one.value) for one in self.test.average_precision)
        if untested:
            notes.append(
                f"{counted(untested, 'label')} without a positive test example: not in "
                "the mean average precision, nor in macro F1 unless predicted"
            )
        few = (self.num_positives > 0) & (self.num_positives < _FEW_POSITIVES)
        if few.any():
            notes.append(
                f"{counted(int(few.sum()), 'label')} with fewer than {_FEW_POSITIVES} "
                "positive test examples: average precision is biased upwards, and its "
                "intervals are too narrow"
            )
        return tuple(notes)

    def rows(self) -> list[dict[str, Any]]:
        """Tidy table: one dictionary of plain values per label."""
        return [
            {
                "label": name,
                "average_precision": self.test.average_precision[i].value,
                "average_precision_interval": tuple(
                    self.test.average_precision[i].interval
                ),
                "f1": self.test.f1[i].value,
                "f1_interval": tuple(self.test.f1[i].interval),
                "c": float(self.cs[i]),
                "l2": float(self.l2[i]),
                "at_edge": bool(self.at_edge[i]),
                "relative_gap": float(self.fits.relative_gap[i]),
                "converged": bool(self.fits.converged[i]),
            }
            for i, name in enumerate(self.names)
        ]

    def __str__(self) -> str:
        return (
            f"mAP {_percent(self.test.mean_average_precision)}, micro F1 "
            f"{_percent(self.test.micro_f1)}, macro F1 {_percent(self.test.macro_f1)} "
            f"of {counted(len(self.names), 'label')}; "
            f"{self.fits.converged.sum():,} of {counted(len(self.fits), 'final fit')} "
            f"and {self.num_converged:,} of "
            f"{counted(self.num_compared, 'compared fit')} proven"
            + f"; {counted(int(self.at_edge.sum()), 'label')} at an edge of the grid"
            * bool(self.at_edge.any())
            + "".join(f"; note: {note}" for note in self.notes)
        )


def label_scores(found: MultilabelResult, features: Any) -> np.ndarray:
    """Score of each label on raw features, shape ``(examples, labels)``.

    Scores of True minus those of False: for softmax the logarithm of the odds, so that
    the probability of a label is :math:`1 / (1 + e^{-s})`.

    Args:
      found: result of `jaxlin.linear_probe.multilabel_probe`.
      features: raw features as in training, shape ``(examples, features)``.

    Raises:
      ValueError: as `jaxlin.scores`.
    """
    return multilabel_choice.label_scores(found.fits.params, found.fits[0], features)


def _percent(estimate: Estimate) -> str:
    low, high = (100 * end for end in estimate.interval)
    return f"{100 * estimate.value:.2f} % [{low:.2f}, {high:.2f}]"
