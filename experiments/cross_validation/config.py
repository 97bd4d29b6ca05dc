"""What a run computes: the fields of config.json and of the command line."""

import dataclasses

import numpy as np

from experiments.common.losses import CERTIFIED
from jaxlin import check, data
from jaxlin.selection import splits

# Shares of the sample; the rest is to train on.
TEST, VALIDATION = 0.2, 0.2


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Attributes:
      dataset: cifar10, digits (with defaults of its own: smaller samples, more of them,
        weaker penalties), an image set that tfds has prepared, or FILE.npz.
      loss: softmax_cross_entropy or another loss that can be certified.
      examples: n, drawn for each sample.
      samples: how many; more of them keep the first ones.
      folds: k of cross-validation.
      l2: strengths to choose from, at least two.
      seed: of everything that is drawn.
      relative_gap: what each fit is asked to prove of (objective - optimum) /
        objective.
      max_evaluations: of a fit, after which it is taken as it is.
      slots: models fitted at once; one for each part of a sample that is trained on
        unless given, and then kept.
      block_size: rows a block of each pass; decided by shapes and the kind of machine
        unless given, then kept.
    """

    dataset: str = "cifar10"
    loss: str = "softmax_cross_entropy"
    examples: int = 1000
    samples: int = 50
    folds: int = 5
    l2: tuple[float, ...] = tuple(float(x) for x in np.logspace(-3.5, 1, 10))
    seed: int = 0
    relative_gap: float = 1e-3
    max_evaluations: int = 300
    slots: int | None = None
    block_size: int | None = None


DIGITS = Config(
    dataset="digits",
    examples=300,
    samples=100,
    l2=tuple(float(x) for x in np.logspace(-5, 0, 11)),
)
SMOKE = Config(dataset="digits", examples=150, samples=3, l2=(1e-3, 1e-1), folds=3)


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    check.choice("loss", config.loss, tuple(CERTIFIED))
    check.integer("examples", config.examples, at_least=10)
    check.integer("samples", config.samples, at_least=2)
    check.integer("folds", config.folds, at_least=2)
    check.numbers_list("l2", config.l2, above=0)
    if len(config.l2) < 2:
        raise ValueError(
            f"l2 must have two values at least to choose from, got {config.l2[0]:g} "
            "alone"
        )
    check.integer("seed", config.seed, at_least=0, at_most=2**32 - 1)
    check.number("relative_gap", config.relative_gap, above=0, below=1)
    check.integer("max_evaluations", config.max_evaluations, at_least=1)
    for name in ("slots", "block_size"):
        if getattr(config, name) is not None:
            check.integer(name, getattr(config, name), at_least=1)
    return config


def check_fits(config: Config, dataset: data.Dataset) -> None:
    """Checks, before anything is drawn, that the data have what each sample needs.

    Raises:
      ValueError: if there is too little left to tell the truth, or some class would be
        missing from a fold.
    """
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    if config.examples > len(labels) // 2:
        raise ValueError(
            f"examples must be at most {len(labels) // 2}, half of what {dataset.name} "
            f"has, got {config.examples}: the truth is told by those that are not drawn"
        )
    # These sizes are the same for every key.
    classes, _, drawn = splits.stratified_sizes(
        labels, fraction=config.examples / len(labels)
    )
    left = drawn
    if drawn.min() > 1:
        sample = np.repeat(classes, drawn)
        left = drawn - splits.stratified_sizes(sample, fraction=TEST)[2]
    rarest = int(np.argmin(left))
    if left[rarest] < config.folds:
        raise ValueError(
            f"examples must leave each class {config.folds} outside the test set, one "
            f"a fold, got {left[rarest]} of class "
            f"{dataset.class_names[classes[rarest]]} with {config.examples}; give more "
            "examples or fewer folds"
        )
