"""What a run computes: the fields of config.json and of the command line."""

import dataclasses
from typing import Any

import numpy as np

from jaxlin import check, data, losses

LOSSES: dict[str, Any] = {
    loss.__name__: loss
    for loss in (losses.softmax_cross_entropy, losses.weston_watkins_hinge)
}
# Shares of the sample.
TEST, VALIDATION = 0.2, 0.2


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Attributes:
      dataset: cifar10, digits (with defaults of its own: smaller samples, weaker
        penalties), an image set that tfds has prepared, or FILE.npz.
      loss: softmax_cross_entropy or weston_watkins_hinge.
      examples: n, drawn for each sample.
      samples: how many; more of them keep the first ones.
      folds: k of cross-validation.
      l2: strengths to choose from.
      seed: of everything that is drawn.
      relative_gap: what each fit is asked to prove.
      max_evaluations: of a fit, after which it is taken as it is.
      slots: models fitted at once; decided by shapes unless given, and then kept.
    """

    dataset: str = "cifar10"
    loss: str = "softmax_cross_entropy"
    examples: int = 1000
    samples: int = 40
    folds: int = 5
    l2: tuple[float, ...] = tuple(float(x) for x in np.logspace(-3, 1, 9))
    seed: int = 0
    relative_gap: float = 1e-3
    max_evaluations: int = 300
    slots: int | None = None


DIGITS = Config(
    dataset="digits",
    examples=300,
    samples=50,
    l2=tuple(float(x) for x in np.logspace(-5, -1, 9)),
)
SMOKE = Config(dataset="digits", examples=150, samples=3, l2=(1e-3, 1e-1), folds=3)


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    check.choice("loss", config.loss, tuple(LOSSES))
    check.integer("examples", config.examples, at_least=10)
    check.integer("samples", config.samples, at_least=2)
    check.integer("folds", config.folds, at_least=2)
    check.numbers_list("l2", config.l2, above=0)
    check.integer("seed", config.seed, at_least=0, at_most=2**32 - 1)
    check.number("relative_gap", config.relative_gap, above=0, below=1)
    check.integer("max_evaluations", config.max_evaluations, at_least=1)
    if config.slots is not None:
        check.integer("slots", config.slots, at_least=1)
    return config


def check_fits(config: Config, dataset: data.Dataset) -> None:
    """Raises a ValueError if the data have not what each sample needs."""
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    counts = np.bincount(labels, minlength=dataset.num_classes)
    # Some are left to tell the truth, of every class.
    check.integer("examples", config.examples, at_most=len(labels) // 2)
    rarest = int(np.argmin(counts))
    in_sample = config.examples * counts[rarest] // len(labels)
    # Two of a class are needed in each part, and one in each fold.
    needed = int(np.ceil(max(config.folds, 5) / (1 - TEST))) + 2
    if in_sample < needed:
        raise ValueError(
            f"examples must give each class at least {needed} of a sample, got "
            f"{in_sample} of class {dataset.class_names[rarest]} with "
            f"{config.examples}; give more examples or fewer folds"
        )
