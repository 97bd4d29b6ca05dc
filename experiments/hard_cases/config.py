"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated

from experiments.common.config import Bounds, Count, Positive, Seed, Share
from experiments.hard_cases.cases import CASES, CaseName


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Attributes:
      cases: which to run, in the order of the page.
      examples: points of each case.
      noise: standard deviation of what is added to each coordinate; with 0 the classes
        do not touch.
      gap: width of the empty strip between the classes before noise.
      seed: of the points.
      l2: strength of the penalty on the two coordinates.
      lifted_l2: the same with the added feature: weak, as it is large weights that let
        a small feature separate.
      relative_gap: what each fit of the two coordinates is asked to prove of
        (objective - optimum) / objective: near the end of what float64 can prove, as
        where W is nearly 0 it takes that to prove the labels too.
      lifted_relative_gap: the same with the added feature.
      max_passes: of a fit, after which it is taken as it is.
    """

    cases: tuple[CaseName, ...] = tuple(CASES)
    examples: Annotated[int, Bounds(at_least=10)] = 400
    noise: Annotated[float, Bounds(at_least=0)] = 0.0
    # No case takes a larger one.
    gap: Annotated[float, Bounds(at_least=0, at_most=0.7)] = 0.3
    seed: Seed = 0
    l2: Positive = 1e-3
    lifted_l2: Positive = 1e-6
    relative_gap: Share = 1e-12
    lifted_relative_gap: Share = 1e-10
    max_passes: Count = 1000


SMOKE = Config(
    cases=("quadrants", "half_planes"),
    examples=60,
    lifted_l2=1e-5,
    relative_gap=1e-3,
    lifted_relative_gap=1e-3,
)
