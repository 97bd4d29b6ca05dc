"""What a probe computes: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro

from experiments.common.losses import CERTIFIED
from jaxlin import check, linear_probe
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
    """

    features: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FEATURES")]]
    join: tuple[str, ...] = ()
    answers: int | None = None
    loss: str = "softmax_cross_entropy"
    cs: tuple[float, ...] = linear_probe.CS
    validation_fraction: float = 0.1
    folds: int | None = None
    choose: Literal["best", "one_standard_error"] = "best"
    standardize: bool = True
    seed: int = 0
    relative_gap: float = 1e-3
    max_evaluations: int = 200
    slots: int | None = None
    block_size: int | None = None


DEFAULT = Config(features="")
SMOKE = Config(
    features=RANDOM, cs=(1e-4, 1e-2, 1.0, 100.0), validation_fraction=0.2, folds=3
)


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

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
    if config.answers is not None:
        check.integer("answers", config.answers, at_least=2)
    check.choice("loss", config.loss, tuple(CERTIFIED))
    check.numbers_list("cs", config.cs, above=0)
    check.number("validation_fraction", config.validation_fraction, above=0, below=1)
    if config.folds is not None:
        check.integer("folds", config.folds, at_least=2)
    check.choice("choose", config.choose, tuple(CHOICES))
    if config.choose == "one_standard_error" and config.folds is None:
        raise ValueError(
            "choose must be best without folds, got one_standard_error, which needs "
            "several parts; give --folds 5"
        )
    check.integer("seed", config.seed, at_least=0, at_most=2**32 - 1)
    check.number("relative_gap", config.relative_gap, above=0, below=1)
    check.integer("max_evaluations", config.max_evaluations, at_least=1)
    for name in ("slots", "block_size"):
        if getattr(config, name) is not None:
            check.integer(name, getattr(config, name), at_least=1)
    return config
