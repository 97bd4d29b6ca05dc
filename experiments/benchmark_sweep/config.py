"""What a run measures: the fields of config.json and of the command line."""

import dataclasses
from typing import Literal

import numpy as np

from jaxlin import check

Part = Literal["rate", "folds", "cs"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: cifar10, digits, an image set that tfds has prepared, or FILE.npz.
      what: rate (an evaluation against the number of models), folds (cross-validation
        of two losses), cs (45 values of C against scikit-learn).
      seed: of the folds.
      relative_gap: what every fit is asked to prove.
      rate_models: numbers of models evaluated at once.
      rate_rounds: passes timed of each.
      matrix_size: of the square products that the matrix rate is measured on.
      settle_s: seconds of sleep before each measurement.
      folds: k.
      fold_l2s: strengths of each loss.
      cs: values of scikit-learn's C; l2 as by
        `jaxlin.objective.penalties.l2_of_c`.
      certified_from: l2 from which on the gap must be proven.
      budget: evaluations of a model there.
      budget_below: evaluations of a model with a smaller l2.
      c_rounds: sweeps over the values of C timed, after one that compiles.
      peer_fits: values of C that scikit-learn is timed on, evenly spread.
      peer_deadline_s: seconds after which scikit-learn is not run for longer.
    """

    dataset: str = "cifar10"
    what: tuple[Part, ...] = ("rate", "folds", "cs")
    seed: int = 0
    relative_gap: float = 1e-3
    rate_models: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    rate_rounds: int = 3
    matrix_size: int = 4096
    settle_s: float = 0.5
    folds: int = 5
    fold_l2s: tuple[float, ...] = tuple(float(x) for x in np.logspace(-5, -1, 16))
    cs: tuple[float, ...] = tuple(float(x) for x in np.logspace(-6, 5, 45))
    certified_from: float = 1e-5
    budget: int = 200
    budget_below: int = 2
    c_rounds: int = 3
    peer_fits: int = 5
    peer_deadline_s: float = 300.0


SMOKE = Config(
    dataset="digits",
    rate_models=(1, 4),
    rate_rounds=1,
    matrix_size=256,
    settle_s=0.0,
    folds=3,
    fold_l2s=(1e-1, 1e-2),
    cs=(1e-3, 1e-1, 10.0),
    c_rounds=1,
    peer_fits=2,
    peer_deadline_s=5.0,
)


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    if not config.what:
        raise ValueError("what must name rate, folds or cs, got nothing")
    for name in ("fold_l2s", "cs"):
        check.numbers_list(name, getattr(config, name), above=0)
    for number in check.numbers_list("rate_models", config.rate_models):
        check.number("rate_models", number, at_least=1)
    for name in ("relative_gap", "certified_from", "peer_deadline_s"):
        check.number(name, getattr(config, name), above=0)
    check.number("settle_s", config.settle_s, at_least=0)
    check.integer("seed", config.seed, at_least=0)
    check.integer("folds", config.folds, at_least=2)
    for name in ("rate_rounds", "matrix_size", "budget", "budget_below", "c_rounds"):
        check.integer(name, getattr(config, name), at_least=1)
    check.integer("peer_fits", config.peer_fits, at_least=2, at_most=len(config.cs))
    return config
