"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated

import numpy as np

from experiments.common import datasets
from experiments.common.config import Bounds, Count, Positives, Seed, Share
from jaxlin import check, data

# The data set of groups and of label noise.
DIGITS = "digits"

# Of the rarest digit there are 124 training examples.
_GroupSizes = Annotated[tuple[int, ...], Bounds(at_least=1, at_most=100)]


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Attributes:
      dataset: of the path and the images: cifar10, digits, an image set that tfds has
        prepared, or FILE.npz of images. Groups and label noise are of digits.
      l2: path of strengths, fitted from the first to the last with warm starts.
      relative_gap: what each fit is asked to prove of (objective - optimum) /
        objective; that of the folds is 1e-3.
      max_passes: of a fit, after which it is taken as it is.
      folds: of cross-validation.
      refits: examples that are fitted anew, to check leave-one-out.
      images: training images that are shown of each class.
      group_sizes: numbers of digits of one class that are left out together.
      group_l2: strengths of the fits without groups.
      flipped: share of the digits whose label becomes another.
      flip_draws: draws of these.
      seed: of everything that is drawn.
    """

    dataset: str = "cifar10"
    l2: Positives = (1e-1, 1e-2, 3e-3, 1e-3, 3e-4)
    relative_gap: Share = 1e-7
    max_passes: Count = 600
    folds: Annotated[int, Bounds(at_least=2)] = 5
    refits: Count = 10
    images: Annotated[int, Bounds(at_least=1, at_most=10)] = 10
    group_sizes: _GroupSizes = (1, 3, 10, 30)
    group_l2: Positives = (1e-2, 1e-3)
    flipped: Annotated[float, Bounds(above=0, at_most=0.5)] = 0.05
    flip_draws: Count = 3
    seed: Seed = 0


SMOKE = Config(
    dataset=DIGITS,
    l2=(1e-2, 1e-3),
    folds=2,
    refits=2,
    images=2,
    group_sizes=(1, 10),
    group_l2=(1e-2,),
    flip_draws=1,
)


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config, if the data are images, and enough.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    datasets.check_images(dataset)
    labels = dataset.train.labels
    rarest = int(np.bincount(labels, minlength=dataset.num_classes).min())
    check.integer("folds", config.folds, at_most=max(rarest, 1))
    for name in ("refits", "images"):
        check.integer(name, getattr(config, name), at_most=len(labels))
    return config
