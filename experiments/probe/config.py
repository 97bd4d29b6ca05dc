"""Settings of a probe: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro

from experiments.common.config import (
    MAY_BE_EMPTY,
    Bounds,
    Count,
    Positives,
    Seed,
    Share,
)
from experiments.common.losses import LossName
from jaxlin import linear_probe
from jaxlin.selection import rules

RANDOM = "random"

CHOICES: dict[str, Any] = {
    "best": rules.best,
    "one_standard_error": rules.one_standard_error,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """One probe.

    Attributes:
      features: a .npz file, a folder of .npy files, the name of a data set, or random.
      join: names of embeddings to put side by side: NAME_train and NAME_test of each.
      answers: K; the most frequent answers are the classes, and the others are counted.
      loss: softmax_cross_entropy or another loss that can be certified.
      cs: values of scikit-learn's C to try; l2 as by
        `jaxlin.objective.penalties.l2_of_c`.
      validation_fraction: share of the training examples that C is chosen on; the only
        example of a class stays in training.
      folds: chooses by so many folds instead; needed for one_standard_error.
      choose: best mean accuracy, or the strongest penalty within one standard error.
      standardize: whether each feature is brought to mean 0 and deviation 1; otherwise
        features are taken as they are, pixels of images over their largest value.
      seed: of the examples held out, and of random features.
      relative_gap: what each fit is asked to prove of (objective - optimum) /
        objective.
      max_evaluations: of a fit of the comparison, after which it is taken as it is; the
        last fit may take ten times as many.
      slots: models fitted at once; decided by shapes and the kind of machine unless
        given, and then kept.
      block_size: rows a block of each pass; likewise.
      parts: sweeps that the models are dealt to, which tasks measure with --part K/N or
        one process in turn; another number changes rounding alone.
    """

    features: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FEATURES")]]
    join: Annotated[tuple[str, ...], MAY_BE_EMPTY] = ()
    answers: Annotated[int | None, Bounds(at_least=2)] = None
    loss: LossName = "softmax_cross_entropy"
    cs: Positives = linear_probe.CS
    validation_fraction: Share = 0.1
    folds: Annotated[int | None, Bounds(at_least=2)] = None
    choose: Literal["best", "one_standard_error"] = "best"
    standardize: bool = True
    seed: Seed = 0
    relative_gap: Share = 1e-3
    max_evaluations: Count = 200
    slots: Annotated[int | None, Bounds(at_least=1)] = None
    block_size: Annotated[int | None, Bounds(at_least=1)] = None
    parts: Count = 1


DEFAULT = Config(features="")
SMOKE = Config(
    features=RANDOM, cs=(1e-4, 1e-2, 1.0, 100.0), validation_fraction=0.2, folds=3
)


def check_fields(config: Config) -> None:
    """Checks fields that need one another.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    if not config.features:
        raise ValueError(
            "FEATURES must be a .npz file, a folder of .npy files, the name of a data "
            "set or random, got nothing; --smoke shows a run on random features"
        )
    if config.join and config.answers is None:
        raise ValueError(
            f"join must be given with answers, got {' '.join(config.join)} alone; "
            "--answers 1000 takes the thousand most frequent"
        )
    if config.choose == "one_standard_error" and config.folds is None:
        raise ValueError(
            "choose must be best without folds, got one_standard_error, which needs "
            "several parts; give --folds 5"
        )
