"""What a run computes: the fields of config.json and of the command line."""

import dataclasses

from jaxlin import check


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
      max_evaluations: of a fit, after which it is taken as it is.
    """

    points: int = 400
    temperatures: tuple[float, ...] = (0.1, 0.3)
    examples: int = 200
    seed: int = 0
    l2: float = 0.1
    relative_gap: float = 1e-7
    max_evaluations: int = 1000


SMOKE = Config(points=40, examples=40, relative_gap=1e-4)


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    check.integer("points", config.points, at_least=2)
    check.numbers_list("temperatures", config.temperatures, above=0, below=1)
    check.integer("examples", config.examples, at_least=10)
    check.integer("seed", config.seed, at_least=0, at_most=2**32 - 1)
    check.number("l2", config.l2, above=0)
    check.number("relative_gap", config.relative_gap, above=0, below=1)
    check.integer("max_evaluations", config.max_evaluations, at_least=1)
    return config
