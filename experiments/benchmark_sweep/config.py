"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated, Literal

import numpy as np

from experiments.common.config import Bounds, Count, Counts, Positive, Positives, Seed
from jaxlin import check, data

Part = Literal["gradient", "rate", "folds", "cs"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: cifar10, digits, an image set that tfds has prepared, or FILE.npz.
      what: gradient (one pass against the machine's floor and the plain formulations),
        rate (a pass against the number of models), folds (cross-validation
        of two losses), cs (45 values of C against scikit-learn).
      seed: of the folds.
      relative_gap: what every fit is asked to prove.
      gradient_rounds: measurements of each gradient, each of several passes.
      rate_models: numbers of models evaluated at once.
      rate_rounds: passes timed of each.
      matrix_size: of the square products that the matrix rate is measured on.
      settle_s: seconds of sleep before each measurement.
      folds: k.
      fold_l2s: strengths of each loss.
      cs: values of scikit-learn's C; l2 as by
        `jaxlin.objective.penalties.l2_of_c`.
      certified_from: l2 from which on the gap must be proven.
      budget: passes of a model there.
      budget_below: passes of a model with a smaller l2.
      c_rounds: sweeps over the values of C timed, after one that compiles.
      peer_fits: values of C that scikit-learn is timed on, evenly spread.
      peer_deadline_s: seconds after which scikit-learn is not run for longer.
    """

    dataset: str = "cifar10"
    what: tuple[Part, ...] = ("gradient", "rate", "folds", "cs")
    seed: Seed = 0
    relative_gap: Positive = 1e-3
    gradient_rounds: Count = 15
    rate_models: Counts = tuple(2**power for power in range(10))
    rate_rounds: Count = 3
    matrix_size: Count = 4096
    settle_s: Annotated[float, Bounds(at_least=0)] = 0.5
    folds: Annotated[int, Bounds(at_least=2)] = 5
    fold_l2s: Positives = tuple(float(x) for x in np.logspace(-5, -1, 16))
    cs: Positives = tuple(float(x) for x in np.logspace(-6, 5, 45))
    certified_from: Positive = 1e-5
    budget: Count = 200
    budget_below: Count = 2
    c_rounds: Count = 3
    peer_fits: Annotated[int, Bounds(at_least=2)] = 5
    peer_deadline_s: Positive = 300.0


SMOKE = Config(
    dataset="digits",
    gradient_rounds=2,
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


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config, if there are values of C enough for scikit-learn.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    check.integer("peer_fits", config.peer_fits, at_most=len(config.cs))
    return config
