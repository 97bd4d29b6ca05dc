"""Weightings by name, and the answers of all of them for every k."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxlin import neighbors
from jaxlin.neighbors import Neighbors

UNIFORM, INVERSE = "uniform", "inverse distance"
_GAUSSIAN = "Gaussian, bandwidth "


class Weights(NamedTuple):
    """A weighting with its arguments.

    Attributes:
      function: of `jaxlin.neighbors`.
      arguments: its keywords.
    """

    # Any, as a function without keywords is no `jaxlin.typing.Weighting` to mypy.
    function: Any
    arguments: Mapping[str, Any]


def named(weighting: str, *, scale: float) -> Weights:
    """Function that a name stands for.

    Args:
      weighting: of `names`.
      scale: of distances, which bandwidths are multiples of.
    """
    if weighting == UNIFORM:
        return Weights(neighbors.uniform, {})
    if weighting == INVERSE:
        return Weights(neighbors.inverse_distance, {})
    bandwidth = float(weighting.removeprefix(_GAUSSIAN)) * scale
    return Weights(neighbors.gaussian, {"bandwidth": bandwidth})


def names(bandwidths: Iterable[float]) -> list[str]:
    """Names of the weightings that are compared."""
    return [UNIFORM, INVERSE, *(f"{_GAUSSIAN}{width:g}" for width in bandwidths)]


def answers(
    found: Neighbors,
    labels: np.ndarray,
    *,
    num_classes: int,
    weights: Weights,
    ks: Sequence[int],
) -> np.ndarray:
    """Classes, shape ``(queries, ks)``.

    Args:
      found: neighbours, at least as many as the largest k.
      labels: of the training rows.
      num_classes: C.
      weights: of the neighbours.
      ks: numbers of neighbours.
    """
    every = neighbors.vote(
        found,
        labels,
        num_classes=num_classes,
        weighting=weights.function,
        weighting_arguments=weights.arguments,
    )
    return every[:, np.asarray(ks) - 1]
