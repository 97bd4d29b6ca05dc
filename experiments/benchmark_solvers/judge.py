"""The objective and accuracy of given weights, by NumPy in float64.

A peer's own figures count for nothing: its weights are judged here, as ours are.
"""

from typing import get_args

import numpy as np

from experiments.common import numpy_objective
from experiments.common.losses import LossName
from jaxlin import check

# At 3,072 features 25 MB of float64 rows, and 110 MB of scores of 1,300 points.
_ROWS_PER_BLOCK = 1024


def objectives(
    weights: np.ndarray, rows: np.ndarray, labels: np.ndarray, *, loss: str, l2: float
) -> np.ndarray:
    """Returns the objective of each of many weights, float64.

    Args:
      weights: shape ``(points, classes, features)``, the constant feature's last.
      rows: training rows, shape ``(examples, features)``, the last feature 1.
      labels: shape ``(examples,)``.
      loss: its name in `jaxlin.losses`.
      l2: strength of half the sum of squares, of the bias too.

    Returns:
      Shape ``(points,)``; not finite where weights are not.
    """
    check.choice("loss", loss, get_args(LossName))
    num_points, num_classes, num_features = weights.shape
    flat = weights.reshape(-1, num_features).astype(np.float64)
    total = np.zeros(num_points)
    # Weights of a peer that diverges are not finite, which is an outcome.
    with np.errstate(all="ignore"):
        for start in range(0, len(rows), _ROWS_PER_BLOCK):
            block = slice(start, start + _ROWS_PER_BLOCK)
            scores = rows[block].astype(np.float64) @ flat.T
            scores = scores.reshape(len(scores), num_points, num_classes)
            for point in range(num_points):
                values, _ = numpy_objective.LOSSES[loss](
                    scores[:, point], labels[block]
                )
                total[point] += values.sum()
        penalties = np.square(weights, dtype=np.float64).sum(axis=(1, 2))
        return total / len(rows) + l2 / 2 * penalties


def accuracy(weights: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose highest score is that of their label; ties to the first."""
    return float(np.mean(np.argmax(rows @ weights.T, axis=1) == labels))
