"""The metrics by the names that a command line gives them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxlin import normalization
from jaxlin.neighbors import distances

# Added to a covariance before it is inverted, in mean variances of a feature: pixels of
# some images never change, and directions in which images hardly differ are noise.
RIDGE = 0.1
_ROWS_AT_ONCE = 4096


class Metric(NamedTuple):
    """A metric with what to do to rows before it.

    Attributes:
      title: for readers.
      distance: of `jaxlin.neighbors.distances`.
      change: ``training rows -> (rows -> rows)``, or None: rows stay as they are.
    """

    title: str
    # Any: a function without keywords is no `jaxlin.typing.Distance` to mypy.
    distance: Any
    change: Callable[[np.ndarray], Callable[[Any], np.ndarray]] | None = None


def whitening(rows: np.ndarray) -> Callable[[Any], np.ndarray]:
    r"""A change of variables after which Euclidean is Mahalanobis distance.

    With :math:`S + r I = R^\top R` of the covariance S of the rows and r = `RIDGE` mean
    variances, rows x become :math:`R^{-\top} x`. So each distance is one of
    two vectors, not of two vectors and a matrix.

    Args:
      rows: training rows; labels are not looked at.

    Returns:
      ``rows -> rows``, float32.
    """
    sums, count, _ = normalization.sums_of_rows(rows)
    mean = sums / count
    total = np.zeros((len(mean), len(mean)))
    for some in _parts(rows):
        centered = some - mean
        total += centered.T @ centered
    covariance = total / len(rows)
    ridge = RIDGE * np.trace(covariance) / len(covariance)
    lower = np.linalg.cholesky(covariance + (ridge or 1.0) * np.eye(len(covariance)))
    matrix = np.linalg.inv(lower).T

    def change(some: Any) -> np.ndarray:
        parts = [((part - mean) @ matrix).astype(np.float32) for part in _parts(some)]
        return np.concatenate(parts)

    return change


def changed(metric: Metric, train: np.ndarray, *parts: np.ndarray) -> list[np.ndarray]:
    """Rows as the metric wants them.

    Args:
      metric: of `METRICS`.
      train: all training rows, so that it is the same metric in every part of a run.
      *parts: rows to change.
    """
    if metric.change is None:
        return list(parts)
    change = metric.change(train)
    return [change(rows) for rows in parts]


def _parts(rows: Any):
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE].astype(np.float64)


METRICS: dict[str, Metric] = {
    "euclidean": Metric("Euclidean (L2)", distances.euclidean),
    "manhattan": Metric("Manhattan (L1)", distances.manhattan),
    "chebyshev": Metric("Chebyshev (maximum)", distances.chebyshev),
    "cosine": Metric("cosine", distances.cosine),
    "mahalanobis": Metric("Mahalanobis", distances.euclidean, whitening),
}
