"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated

import numpy as np

from experiments.common.config import Bounds, Count, Positives, Seed, Share
from experiments.common.losses import LossName
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
      max_passes: of a fit, after which it is taken as it is.
      slots: models fitted at once; one for each part of a sample that is trained on
        unless given, and then kept.
      block_size: rows a block of each pass; decided by shapes and the kind of machine
        unless given, then kept.
      parts: groups that the samples are dealt to, which tasks measure with --part K/N
        or one process in turn; changes no number.
    """

    dataset: str = "cifar10"
    loss: LossName = "softmax_cross_entropy"
    examples: Annotated[int, Bounds(at_least=10)] = 1000
    samples: Annotated[int, Bounds(at_least=2)] = 50
    folds: Annotated[int, Bounds(at_least=2)] = 5
    l2: Positives = tuple(float(x) for x in np.logspace(-3.5, 1, 10))
    seed: Seed = 0
    relative_gap: Share = 1e-3
    max_passes: Count = 300
    slots: Annotated[int | None, Bounds(at_least=1)] = None
    block_size: Annotated[int | None, Bounds(at_least=1)] = None
    parts: Count = 1


DIGITS = Config(
    dataset="digits",
    examples=300,
    samples=100,
    l2=tuple(float(x) for x in np.logspace(-5, 0, 11)),
)
SMOKE = Config(dataset="digits", examples=150, samples=3, l2=(1e-3, 1e-1), folds=3)


def check_samples(config: Config, dataset: data.Dataset) -> None:
    """Checks, before anything is drawn, that the data have what each sample needs.

    Raises:
      ValueError: if there is nothing to choose from, too little left to tell the truth,
        some class would be missing from a fold, or a part would have no sample.
    """
    check.integer("parts", config.parts, at_most=config.samples)
    if len(config.l2) < 2:
        raise ValueError(
            f"l2 must have two values at least to choose from, got {config.l2[0]:g} "
            "alone"
        )
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
