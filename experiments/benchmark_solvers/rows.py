"""The rows that all solvers see, and the judge of the weights that they find.

JAX is loaded where ours needs it: the process of a peer does without.
"""

from typing import NamedTuple

import numpy as np

import jaxlin
from experiments.common import numpy_objective


class Rows(NamedTuple):
    """Labelled rows as they are stored, which is how ours reads them.

    Attributes:
      features: raw, shape ``(examples, features)``.
      labels: shape ``(examples,)``.
      mean: of the normalisation (value - mean) / scale: the mean training row.
      scale: of the normalisation: the largest value.
      num_classes: C.
    """

    features: np.ndarray
    labels: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    num_classes: int

    def extended(self) -> np.ndarray:
        """Normalised float32 rows with a constant feature 1, as the peers read them."""
        rows = np.ones((len(self.features), self.features.shape[1] + 1), np.float32)
        np.subtract(self.features, self.mean, out=rows[:, :-1])
        rows[:, :-1] /= self.scale
        return rows

    @property
    def normalization(self) -> "jaxlin.normalization.Normalization":
        """The normalisation as ours takes it."""
        from jaxlin.normalization import Normalization

        return Normalization(self.mean, self.scale)

    def problem(self) -> "jaxlin.Problem":
        """The problem as ours reads it, normalised inside the pass."""
        return jaxlin.problem(
            self.features,
            self.labels,
            classes=range(self.num_classes),
            normalization=self.normalization,
        )


def of(dataset: "jaxlin.data.Dataset") -> tuple[Rows, Rows]:
    """Training and test rows, both to be normalised by the training rows."""
    from jaxlin import normalization

    fitted = normalization.fit_centered(dataset.train.features, scale=dataset.max_value)
    more = *(np.asarray(part, np.float32) for part in fitted), dataset.num_classes
    return Rows(*dataset.train, *more), Rows(*dataset.test, *more)


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
    extended = rows.extended().astype(np.float64)
    examples = numpy_objective.Data(extended, rows.labels, np.ones(len(extended)))
    # Weights of a peer that diverges are not finite, which is an outcome.
    with np.errstate(all="ignore"):
        found = [
            numpy_objective.objective(one, examples, loss=loss, l2=l2)
            for one in weights.astype(np.float64)
        ]
    return np.array(found, np.float64)


def accuracy(weights: np.ndarray, rows: Rows) -> float:
    """Share of rows whose highest score is that of their label; ties to the first."""
    scores = rows.extended() @ weights.T
    return float(np.mean(np.argmax(scores, axis=1) == rows.labels))
