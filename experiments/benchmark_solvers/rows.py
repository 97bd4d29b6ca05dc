"""The rows that all solvers see, and the judge of the weights that they find."""

from typing import NamedTuple

import jax
import numpy as np

import jaxlin
from experiments.common import numpy_objective
from jaxlin import data, normalization
from jaxlin.normalization import Normalization

# At 3,072 features 25 MB of float64 rows, and 110 MB of scores of 1,300 points.
_ROWS_PER_BLOCK = 1024


class Rows(NamedTuple):
    """Labelled rows as they are stored, which is how ours reads them.

    Attributes:
      features: raw, shape ``(examples, features)``.
      labels: shape ``(examples,)``.
      normalization: value / largest value, less the mean training row; of NumPy arrays.
      num_classes: C.
    """

    features: np.ndarray
    labels: np.ndarray
    normalization: Normalization
    num_classes: int

    def extended(self) -> np.ndarray:
        """Normalised float32 rows with a constant feature 1, as the peers read them."""
        rows = np.ones((len(self.features), self.features.shape[1] + 1), np.float32)
        np.subtract(self.features, self.normalization.mean, out=rows[:, :-1])
        rows[:, :-1] /= np.asarray(self.normalization.scale, np.float32)
        return rows

    def problem(self) -> jaxlin.Problem:
        """The problem as ours reads it, normalised inside the pass."""
        return jaxlin.problem(
            self.features,
            self.labels,
            classes=range(self.num_classes),
            normalization=self.normalization,
        )


def of(dataset: data.Dataset) -> tuple[Rows, Rows]:
    """Training and test rows, both to be normalised by the training rows."""
    fitted = normalization.fit_centered(dataset.train.features, scale=dataset.max_value)
    fitted = jax.tree.map(np.asarray, fitted)
    return (
        Rows(*dataset.train, fitted, dataset.num_classes),
        Rows(*dataset.test, fitted, dataset.num_classes),
    )


def objectives(weights: np.ndarray, rows: Rows, *, loss: str, l2: float) -> np.ndarray:
    """Returns the objective of each of many weights, in NumPy float64.

    A solver's own figures count for nothing: its weights are judged here.

    Args:
      weights: shape ``(points, classes, features + 1)``, the constant feature's last.
      rows: of the problem.
      loss: its name in `jaxlin.losses`.
      l2: strength of half the sum of squares, of the bias too.

    Returns:
      Shape ``(points,)``; not finite where weights are not.
    """
    flat = weights.reshape(-1, weights.shape[-1]).astype(np.float64)
    extended, total = rows.extended(), np.zeros(len(weights))
    # Weights of a peer that diverges are not finite, which is an outcome.
    with np.errstate(all="ignore"):
        for start in range(0, len(extended), _ROWS_PER_BLOCK):
            block = slice(start, start + _ROWS_PER_BLOCK)
            scores = extended[block].astype(np.float64) @ flat.T
            scores = scores.reshape(len(scores), len(weights), rows.num_classes)
            for point in range(len(weights)):
                total[point] += numpy_objective.LOSSES[loss](
                    scores[:, point], rows.labels[block]
                )[0].sum()
        penalties = np.square(weights, dtype=np.float64).sum(axis=(1, 2))
        return total / len(extended) + l2 / 2 * penalties


def accuracy(weights: np.ndarray, rows: Rows) -> float:
    """Share of rows whose highest score is that of their label; ties to the first."""
    scores = rows.extended() @ weights.T
    return float(np.mean(np.argmax(scores, axis=1) == rows.labels))
