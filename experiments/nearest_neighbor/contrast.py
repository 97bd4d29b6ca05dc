r"""Relative contrast (Dmax - Dmin) / Dmin against the dimension.

Dmin and Dmax are the Euclidean distances of a query to the nearest and the farthest of
n points. Where the contrast is near 0, all points are equally near, and "nearest" says
little. Beyer, Goldstein, Ramakrishnan and Shaft (ICDT 1999): if the variance of the
distance, divided by its squared mean, goes to 0 with the dimension, so does the
contrast, in probability.

For normal data in D dimensions the distance of a query to the points is about normal
with mean :math:`\sqrt{2 D}` and deviation :math:`\sqrt{3} / 2`, so that the contrast is
about :math:`R_n \sqrt{3 / (8 D)}`, where :math:`R_n` is the expected range of n
standard normal numbers.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from experiments.common.draws import any_of, generator, key_of
from experiments.common.study import Measured, Run
from experiments.nearest_neighbor.config import CONTRAST, Config
from jaxlin import data, neighbors
from jaxlin.neighbors import distances, pairwise

EXAMPLES, QUERIES = 2000, 100
# Dimensions from which the theory of normal data is compared.
LARGE = 30
PIXELS, PROJECTED, NORMAL = "features drawn", "random projections", "normal data"
THEORY = "normal data, in theory"
_POINTS, _QUERIES, _ORDER, _MATRIX, _NORMAL = range(5)


def measured(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Quartiles of the contrast over queries, of each kind of data and dimension."""
    key = key_of(config, CONTRAST)
    keys = [jax.random.fold_in(key, purpose) for purpose in range(5)]
    rows, others = dataset.train.features, dataset.test.features
    some = any_of(keys[_POINTS], len(rows), EXAMPLES)
    asked = any_of(keys[_QUERIES], len(others), QUERIES)
    scale = np.float32(dataset.max_value)
    points, queries = rows[some] / scale, others[asked] / scale
    features = dataset.num_features
    width = max(*config.dimensions, features)
    shape = (len(points) + len(queries), width)
    normal = generator(keys[_NORMAL]).standard_normal(shape, np.float32)
    # Features in random order, so that the first D of them are any D.
    order = generator(keys[_ORDER]).permutation(features)
    matrix = generator(keys[_MATRIX]).standard_normal((features, width), np.float32)
    center = points.mean(axis=0)
    kinds = {
        PIXELS: (points[:, order], queries[:, order]),
        PROJECTED: ((points - center) @ matrix, (queries - center) @ matrix),
        NORMAL: (normal[: len(points)], normal[len(points) :]),
    }

    def at(dimension: int, pair: Sequence[np.ndarray]) -> dict[str, float] | None:
        if dimension > pair[0].shape[1]:
            return None
        # Zeros instead of the other features change no distance: one shape for all.
        around = ((0, 0), (0, width - dimension))
        return of_rows(*(np.pad(rows[:, :dimension], around) for rows in pair))

    whole = of_rows(points, queries)
    curves: dict[str, list[Any]] = {
        name: [at(dimension, pair) for dimension in config.dimensions]
        for name, pair in kinds.items()
    }
    curves[THEORY] = [
        {"median": in_theory(one, len(points))} if one >= LARGE else None
        for one in config.dimensions
    ]
    medians = [one["median"] for one in curves[NORMAL]]
    same = normal_dimension(config.dimensions, medians, whole["median"])
    numbers = {"curves": curves, "whole": whole, "normal_dimension": same}
    return Measured({**numbers, "examples": len(points), "queries": len(queries)})


def of_rows(points: np.ndarray, queries: np.ndarray) -> dict[str, float]:
    """Quartiles over queries; infinite where a query lies on a point."""
    how: dict[str, Any] = {"metric": distances.euclidean}
    nearest = neighbors.nearest(points, queries, k=1, **how).distances[:, 0]
    parts = pairwise.blocks(queries, points, block_size=len(points), **how)
    farthest = np.max([np.asarray(found).max(axis=1) for _, found in parts], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = np.where(nearest > 0, (farthest - nearest) / nearest, np.inf)
    low, median, high = np.quantile(contrast, [0.25, 0.5, 0.75], method="nearest")
    return {"low": float(low), "median": float(median), "high": float(high)}


def in_theory(dimension: int, examples: int) -> float:
    """The contrast of normal data, for large dimensions."""
    # G. Blom. Statistical estimates and transformed beta-variables, 1958.
    largest = statistics.NormalDist().inv_cdf((examples - 0.375) / (examples + 0.25))
    return 2 * largest * math.sqrt(3 / (8 * dimension))


def normal_dimension(
    dimensions: Sequence[int], medians: Sequence[float], target: float
) -> float | None:
    """The dimension in which normal data have a contrast.

    Between two that were measured by a power law; None outside them.
    """
    falling = np.minimum.accumulate(medians)[::-1]
    if not falling[0] <= target <= falling[-1] < np.inf:
        return None
    logs = np.interp(np.log(target), np.log(falling), np.log(dimensions[::-1]))
    return float(np.exp(logs))
