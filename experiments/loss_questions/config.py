"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated

from experiments.common.config import Bounds, Count, Positive, Seed, Share


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Attributes:
      points: of each curve.
      temperatures: of the path from Crammer-Singer (0) to softmax (1), in (0, 1).
      examples: points in the plane, three classes that overlap, of the fits.
      seed: of these points.
      l2: strength of the penalty of the fits.
      relative_gap: what each fit is asked to prove of (objective - optimum) /
        objective.
      max_passes: of a fit, after which it is taken as it is.
    """

    points: Annotated[int, Bounds(at_least=2)] = 400
    temperatures: Annotated[tuple[float, ...], Bounds(above=0, below=1)] = (0.1, 0.3)
    examples: Annotated[int, Bounds(at_least=10)] = 200
    seed: Seed = 0
    l2: Positive = 0.1
    relative_gap: Share = 1e-7
    max_passes: Count = 1000


SMOKE = Config(points=40, examples=40, relative_gap=1e-4)
