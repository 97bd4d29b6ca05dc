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
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments.nearest_neighbor.config import Config
from experiments.nearest_neighbor.draws import CONTRAST, any_of, generator, key_of
from jaxlin import data, neighbors
from jaxlin.neighbors import distances, pairwise

# Dimensions from which the theory of normal data is compared.
LARGE = 30
PIXELS, PROJECTED, NORMAL = "features drawn", "random projections", "normal data"
_POINTS, _QUERIES, _ORDER, _MATRIX, _NORMAL = range(5)


def measured(config: Config, dataset: data.Dataset) -> dict[str, Any]:
    """Quartiles of the contrast over queries, of each kind of data and dimension."""
    keys = [
        jax.random.fold_in(key_of(config, CONTRAST), purpose) for purpose in range(5)
    ]
    wanted = (
        (dataset.train.features, config.contrast_examples, keys[_POINTS]),
        (dataset.test.features, config.contrast_queries, keys[_QUERIES]),
    )
    points, queries = (
        rows[any_of(key, len(rows), size)].astype(np.float32)
        / np.float32(dataset.max_value)
        for rows, size, key in wanted
    )
    width = max(max(config.dimensions), dataset.num_features)
    shape = (len(points) + len(queries), width)
    normal = generator(keys[_NORMAL]).standard_normal(shape, np.float32)
    curves = {
        PIXELS: _drawn(keys[_ORDER], points, queries),
        PROJECTED: _projected(keys[_MATRIX], points, queries, width),
        NORMAL: np.split(normal, [len(points)]),
    }
    most = {PIXELS: dataset.num_features}
    found = {
        name: [
            {
                "dimension": dimension,
                **of_rows(*(_first(rows, dimension, width) for rows in pair)),
            }
            for dimension in config.dimensions
            if dimension <= most.get(name, width)
        ]
        for name, pair in curves.items()
    }
    whole = of_rows(*(_first(rows, rows.shape[1], width) for rows in (points, queries)))
    return {
        "examples": len(points),
        "queries": len(queries),
        "curves": found,
        "whole": {"dimension": dataset.num_features, **whole},
    }


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


def in_theory(dimension: float, examples: int) -> float:
    """The contrast of normal data, for large dimensions."""
    # G. Blom. Statistical estimates and transformed beta-variables, 1958.
    largest = statistics.NormalDist().inv_cdf((examples - 0.375) / (examples + 0.25))
    return 2 * largest * math.sqrt(3 / (8 * dimension))


def normal_dimension(record: Mapping[str, Any]) -> float | None:
    """In how many dimensions normal data have the contrast of the rows as they are.

    Between two that were measured by a power law; None outside them.
    """
    curve = [one for one in record["curves"][NORMAL] if one["median"]]
    target = record["whole"]["median"]
    if not target:
        return None
    for before, after in zip(curve, curve[1:], strict=False):
        high, low = before["median"], after["median"]
        if low <= target <= high and low < high:
            share = math.log(high / target) / math.log(high / low)
            ratio = after["dimension"] / before["dimension"]
            return before["dimension"] * ratio**share
    return None


def _drawn(key, points, queries) -> list[np.ndarray]:
    """Features in random order, so that the first D of them are any D."""
    order = generator(key).permutation(points.shape[1])
    return [points[:, order], queries[:, order]]


def _projected(key, points, queries, width) -> list[np.ndarray]:
    shape = (points.shape[1], width)
    matrix = generator(key).standard_normal(shape, np.float32)
    center = points.mean(axis=0)
    return [(rows - center) @ matrix for rows in (points, queries)]


def _first(rows: np.ndarray, dimension: int, width: int) -> np.ndarray:
    """The first features and zeros, which change no distance: one shape for all."""
    kept = rows[:, :dimension]
    return np.pad(kept, ((0, 0), (0, width - kept.shape[1])))
