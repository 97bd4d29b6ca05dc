"""Settings of a probe: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated, Any, Literal

import tyro

from experiments.common.config import (
    MAY_BE_EMPTY,
    Bounds,
    Count,
    Counts,
    Positives,
    Seed,
    Share,
)
from experiments.common.losses import LossName
from experiments.probe.protocols import PROTOCOLS
from jaxlin import linear_probe
from jaxlin.linear import BiasName
from jaxlin.selection import rules
from jaxlin.selection.rules import Choose

RANDOM = "random"

_RULES: dict[str, Choose] = {
    "best": rules.best,
    "one_standard_error": rules.one_standard_error,
}


@dataclasses.dataclass(frozen=True)
class Config:
    """One probe.

    Attributes:
      features: a .npz file, a folder of .npy files, the name of a data set, or random.
      join: names of embeddings to put side by side: NAME_train and NAME_test of each.
      compare: other features of the same test examples in the same order, a second
        file like FEATURES; probed with the same settings and compared with these.
      num_shots: examples per class, one or several numbers; each is probed on num_draws
        random subsets; a class that has fewer gives all of them, as a note says. C is
        chosen on x_val alone; without x_val, cs must be one value.
      num_draws: random subsets per number of examples.
      answers: K; the most frequent answers are the classes, and the others are counted.
      protocol: a published evaluation to reproduce; it sets loss, cs, bias, folds,
        choose and normalization, and the split where no validation examples are given.
      metric: what C is chosen by on the validation examples; mean_per_class weighs all
        classes alike, as some data sets are judged.
      loss: softmax_cross_entropy or another loss that can be certified.
      cs: values of scikit-learn's C to try, on the examples of each fit
        (`jaxlin.objective.penalties.l2_of_c_for`).
      bias: free, as published protocols have it, penalized like the weights, or none; a
        free one needs a training example of every class.
      validation_fraction: share of the training examples that C is chosen on; the only
        example of a class stays in training. Without effect where x_val is given.
      folds: chooses by so many folds instead, whole groups where groups_train is given;
        needed for one_standard_error.
      refit: the final fit trains on the validation examples, too, unless --no-refit is
        given, which leaves them out.
      choose: best, or the strongest penalty within one standard error of the best.
      normalization: standardize brings each feature to mean 0 and deviation 1, without
        the validation examples; unit_length divides each row by its length; none takes
        features as they are, pixels of images over their largest value.
      class_weights: balanced weighs examples of each class by the inverse of the
        class's share.
      undo_prior_shift: whether probabilities are of the shares of training, class
        weights or not.
      seed: of the examples held out, and of random features.
      relative_gap: what each fit is asked to prove of (objective - optimum) /
        objective.
      max_passes: of a fit of the comparison, after which it is taken as it is; the last
        fit may take ten times as many.
      slots: models fitted at once; decided by shapes and the kind of machine unless
        given, and then kept.
      block_size: rows a block of each pass; likewise.
      memory_bytes: largest size of the states of the models fitted at once; half of the
        memory left by the rows unless given.
      parts: sweeps that the models are dealt to, which tasks measure with --part K/N or
        one process in turn; another number changes rounding alone.
    """

    features: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="FEATURES")]]
    join: Annotated[tuple[str, ...], MAY_BE_EMPTY] = ()
    compare: str | None = None
    num_shots: Annotated[Counts, MAY_BE_EMPTY] = ()
    num_draws: Count = 5
    answers: Annotated[int | None, Bounds(at_least=2)] = None
    protocol: Literal["dinov2", "dinov3", "clip"] | None = None
    metric: Literal["accuracy", "mean_per_class"] = "accuracy"
    loss: LossName = "softmax_cross_entropy"
    cs: Positives = linear_probe.CS
    bias: BiasName = "free"
    validation_fraction: Share = 0.1
    folds: Annotated[int | None, Bounds(at_least=2)] = None
    refit: bool = True
    choose: Literal["best", "one_standard_error"] = "best"
    normalization: Literal["standardize", "unit_length", "none"] = "standardize"
    class_weights: Literal["balanced"] | None = None
    undo_prior_shift: bool = False
    seed: Seed = 0
    relative_gap: Share = 1e-3
    max_passes: Count = 200
    slots: Annotated[int | None, Bounds(at_least=1)] = None
    block_size: Annotated[int | None, Bounds(at_least=1)] = None
    memory_bytes: Annotated[int | None, Bounds(at_least=1)] = None
    parts: Count = 1


DEFAULT = Config(features="")
SMOKE = Config(
    features=RANDOM, cs=(1e-4, 1e-2, 1.0, 100.0), validation_fraction=0.2, folds=3
)


def with_protocol(config: Config) -> Config:
    """Returns the config with the settings of its protocol, if it has one.

    Raises:
      ValueError: if a setting of the protocol was given another value.
    """
    if config.protocol is None:
        return config
    settings: dict[str, Any] = {
        "cs": PROTOCOLS[config.protocol].cs,
        "normalization": "none",
        "loss": DEFAULT.loss,
        "bias": "free",
        "folds": None,
        "refit": True,
        "choose": "best",
        "class_weights": None,
    }
    for name, value in settings.items():
        given = getattr(config, name)
        if given not in (value, getattr(DEFAULT, name)):
            raise ValueError(
                f"{name} must be left out with protocol, which sets it, got "
                f"{given!r:.60}"
            )
    return dataclasses.replace(config, **settings)


def rule(config: Config) -> Choose:
    """Selection rule of a config."""
    if config.protocol is not None:
        return PROTOCOLS[config.protocol].choose
    return _RULES[config.choose]


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
    if not config.refit and config.folds is not None:
        raise ValueError(
            f"refit must be True with folds, got False with {config.folds} of them: "
            "each example is in the training set of some fold"
        )
    if config.undo_prior_shift and config.class_weights is None:
        raise ValueError(
            "undo_prior_shift must be False without class_weights, got True; "
            "--class-weights balanced shifts the prior"
        )
    if config.num_shots and config.protocol is not None:
        raise ValueError(
            "num_shots must be left out with protocol, whose examples are all of the "
            f"training examples, got {' '.join(map(str, config.num_shots))}"
        )
    for name in ("answers", "parts"):
        value = getattr(config, name)
        if config.compare is not None and value != getattr(DEFAULT, name):
            raise ValueError(
                f"compare must be left out with {name}, got {config.compare} with "
                f"{value}; probe both, and call jaxlin.linear_probe.compare"
            )
    with_protocol(config)
