"""What a run computes: the fields of config.json and of the command line."""

import dataclasses

from experiments.hard_cases.cases import CASES
from jaxlin import check


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
      max_evaluations: of a fit, after which it is taken as it is.
    """

    cases: tuple[str, ...] = tuple(CASES)
    examples: int = 400
    noise: float = 0.0
    gap: float = 0.3
    seed: int = 0
    l2: float = 1e-3
    lifted_l2: float = 1e-6
    relative_gap: float = 1e-12
    lifted_relative_gap: float = 1e-10
    max_evaluations: int = 1000


SMOKE = Config(
    cases=("quadrants", "half_planes"),
    examples=60,
    lifted_l2=1e-5,
    relative_gap=1e-3,
    lifted_relative_gap=1e-3,
)


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    if not config.cases:
        raise ValueError(f"cases must be among {', '.join(CASES)}, got none")
    for name in config.cases:
        check.choice("cases", name, tuple(CASES))
    if len(set(config.cases)) < len(config.cases):
        raise ValueError(f"cases must be distinct, got {' '.join(config.cases)}")
    check.integer("examples", config.examples, at_least=10)
    check.number("noise", config.noise, at_least=0)
    # No case takes a larger one.
    check.number("gap", config.gap, at_least=0, at_most=0.7)
    check.integer("seed", config.seed, at_least=0, at_most=2**32 - 1)
    check.number("l2", config.l2, above=0)
    check.number("lifted_l2", config.lifted_l2, above=0)
    for name in ("relative_gap", "lifted_relative_gap"):
        check.number(name, getattr(config, name), above=0, below=1)
    check.integer("max_evaluations", config.max_evaluations, at_least=1)
    return config
