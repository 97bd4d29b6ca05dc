"""Metrics and weightings by their names, searches, votes and their accuracy."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlin import neighbors
from jaxlin.neighbors import Neighbors, distances
from jaxlin.stats import intervals

# Added to a covariance before it is inverted, in mean variances of a feature: pixels of
# some images never change, and directions in which images hardly differ are noise.
RIDGE = 0.1

UNIFORM = "uniform"
# Any, as a function without keywords is no `jaxlin.typing.Weighting` to mypy.
Weighting = tuple[Any, Mapping[str, Any]]


class Metric(NamedTuple):
    """A title for readers, and a function of `jaxlin.neighbors.distances`."""

    title: str
    distance: Any


METRICS: dict[str, Metric] = {
    "euclidean": Metric("Euclidean (L2)", distances.euclidean),
    "manhattan": Metric("Manhattan (L1)", distances.manhattan),
    "chebyshev": Metric("Chebyshev (maximum)", distances.chebyshev),
    "cosine": Metric("cosine", distances.cosine),
    # Of whitened rows.
    "mahalanobis": Metric("Mahalanobis", distances.euclidean),
}


def whitened(train: np.ndarray, *parts: np.ndarray) -> list[np.ndarray]:
    r"""Rows whose Euclidean are the Mahalanobis distances of the given ones.

    With :math:`S + r I = R^\top R` of the covariance S of the training rows and r =
    `RIDGE` mean variances, rows x become :math:`R^{-\top} x`. So each distance is one
    of two vectors, not of two vectors and a matrix.
    """
    mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = train - mean
    covariance = (centered.T @ centered).astype(np.float64) / len(train)
    ridge = RIDGE * np.trace(covariance) / len(covariance)
    lower = np.linalg.cholesky(covariance + (ridge or 1.0) * np.eye(len(covariance)))
    matrix = np.linalg.inv(lower).T.astype(np.float32)
    return [(rows - mean) @ matrix for rows in parts]


def prepared(metric: str, train: np.ndarray, *parts: np.ndarray) -> list[np.ndarray]:
    """Rows as a metric wants them, which learns from ``train`` if at all."""
    return whitened(train, *parts) if metric == "mahalanobis" else list(parts)


def nearest(metric: str, train: np.ndarray, *parts: np.ndarray, k: int) -> Neighbors:
    """The k nearest among rows, of queries: the two parts, as `prepared`."""
    rows, queries = prepared(metric, train, *parts)
    return neighbors.nearest(rows, queries, metric=METRICS[metric].distance, k=k)


def weightings(bandwidths: Iterable[float], *, scale: float) -> dict[str, Weighting]:
    """Weightings to compare, with their arguments; bandwidths are in units of scale."""
    found: dict[str, Weighting] = {
        UNIFORM: (neighbors.uniform, {}),
        "inverse distance": (neighbors.inverse_distance, {}),
    }
    for width in bandwidths:
        arguments = {"bandwidth": width * scale}
        found[f"Gaussian, bandwidth {width:g}"] = (neighbors.gaussian, arguments)
    return found


def votes(
    found: Neighbors,
    labels: np.ndarray,
    ks: Sequence[int],
    weighting: Weighting = (neighbors.uniform, {}),
) -> np.ndarray:
    """Classes by weighted votes of each number of neighbours, ``(queries, ks)``."""
    function, arguments = weighting
    every = neighbors.vote(
        found,
        labels,
        num_classes=max(2, int(labels.max()) + 1),
        weighting=function,
        weighting_arguments=arguments,
    )
    return every[:, np.asarray(ks) - 1]


def typical(nearest: np.ndarray) -> float:
    """Median distance to the nearest neighbour, copies left out."""
    apart = nearest[nearest > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def score(right: np.ndarray) -> dict[str, Any]:
    """Number and share of right answers, and its Wilson interval."""
    count = int(right.sum())
    interval = intervals.proportion_interval(count, len(right))
    return {"right": count, "accuracy": float(right.mean()), "interval": interval}
