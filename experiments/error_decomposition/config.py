"""What a run computes: the fields of config.json and of the command line."""

import dataclasses
import math
from typing import Annotated, Literal, NamedTuple, get_args

import numpy as np

from experiments.common.config import Bounds, Count, Positive, Positives, Seed, Share
from jaxlin import check, data

ModelClass = Literal["pixels", "patches", "network"]
CLASSES: tuple[ModelClass, ...] = get_args(ModelClass)
# Part of the training examples on which the l2 of a linear class is chosen.
HELD_OUT = 0.2


class Known(NamedTuple):
    """Facts of a data set beyond the data.

    Attributes:
      published_error: the least error published.
      published_by: by whom.
      human_error: of a person.
      human_by: of whom.
    """

    published_error: float
    published_by: str
    human_error: float
    human_by: str


# A. Dosovitskiy et al. An image is worth 16x16 words. ICLR 2021 (ViT-H/14, 99.50 %).
# A. Karpathy. Lessons learned from manually classifying CIFAR-10. 2011 (94 %).
KNOWN = {
    "cifar10": Known(
        0.005,
        "ViT-H/14, A. Dosovitskiy et al., ICLR 2021",
        0.06,
        "A. Karpathy, who measured it on himself in 2011",
    )
}


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Attributes:
      dataset: cifar10, digits (with defaults of its own), an image set that tfds has
        prepared, or FILE.npz of images.
      classes: of pixels, patches, network: which model classes.
      train_examples: n, drawn from the training set; all unless given.
      test_examples: drawn from the test set; all unless given.
      seed: of everything that is drawn.
      splits: random splits of the training examples into halves, for a linear class.
      quarter_splits: how many of them are split again, into quarters.
      resamples: bootstrap refits of a linear class.
      l2: strengths that a linear class chooses from, once.
      relative_gap: what each certified fit is asked to prove of (objective - optimum) /
        objective.
      max_evaluations: of a fit, after which it is taken as it is.
      sgd_epochs: of minibatch SGD, which is what is trained in a linear class.
      sgd_learning_rates: of them the one that ends with the least objective.
      batch_size: of SGD and of networks.
      patch_size: side of a patch.
      filters: of patches, learned by k-means.
      patches: drawn to learn them.
      threshold: of the two-sided encoding of patches.
      seeds: networks on all examples; each has two on halves and one on a quarter.
      width: channels of a network's first convolution.
      network_features: width of what its head sees.
      epochs: of each network.
      learning_rate: of a network, the highest.
      weight_decay: of a network.
      dropout: of a network's features.
      shift: pixels that images are shifted by at most while networks train.
      flips: whether half of them are mirrored then.
      head_l2: of the certified head on a network's features.
      published_error: the least error published, which bounds the Bayes error; unless
        given that of cifar10 (0.005), and 0 for other data, of which none is known.
      human_error: drawn as a line, none for 0; unless given that of cifar10 (0.06), and
        none for other data.
    """

    dataset: str = "cifar10"
    classes: tuple[ModelClass, ...] = CLASSES
    train_examples: Annotated[int | None, Bounds(at_least=20)] = None
    test_examples: Annotated[int | None, Bounds(at_least=20)] = None
    seed: Seed = 0
    splits: Annotated[int, Bounds(at_least=2)] = 12
    quarter_splits: Count = 2
    resamples: Annotated[int, Bounds(at_least=2)] = 12
    l2: Positives = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
    relative_gap: Share = 1e-4
    max_evaluations: Count = 300
    sgd_epochs: Count = 15
    sgd_learning_rates: Positives = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
    batch_size: Count = 64
    patch_size: Count = 6
    filters: Count = 800
    patches: Annotated[int, Bounds(at_least=2)] = 100_000
    threshold: Annotated[float, Bounds(at_least=0)] = 0.25
    seeds: Annotated[int, Bounds(at_least=2)] = 3
    width: Annotated[int, Bounds(at_least=2)] = 24
    network_features: Count = 256
    epochs: Count = 10
    learning_rate: Positive = 2e-3
    weight_decay: Annotated[float, Bounds(at_least=0)] = 0.05
    dropout: Annotated[float, Bounds(at_least=0, below=1)] = 0.3
    shift: Annotated[int, Bounds(at_least=0)] = 4
    flips: bool = True
    head_l2: Positive = 1e-3
    published_error: Annotated[float | None, Bounds(at_least=0, below=1)] = None
    human_error: Annotated[float | None, Bounds(at_least=0, below=1)] = None


# For the page of the whole lecture: a few minutes on two cores.
LECTURE = Config(
    train_examples=4000,
    test_examples=4000,
    splits=8,
    resamples=8,
    l2=(3e-1, 1e-1, 3e-2, 1e-2, 3e-3),
    sgd_epochs=20,
    filters=100,
    patches=20_000,
    seeds=2,
    width=16,
    network_features=128,
    epochs=12,
    head_l2=1e-2,
)
DIGITS = Config(
    dataset="digits",
    splits=20,
    quarter_splits=5,
    resamples=20,
    l2=(1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4),
    sgd_epochs=30,
    batch_size=32,
    patch_size=3,
    filters=64,
    patches=10_000,
    seeds=5,
    width=16,
    network_features=64,
    epochs=20,
    learning_rate=3e-3,
    shift=1,
    flips=False,
    head_l2=1e-3,
)
# Without pixels: the programs of each class are compiled apart, which takes longer than
# to run them.
SMOKE = dataclasses.replace(
    DIGITS,
    classes=("patches", "network"),
    train_examples=400,
    splits=3,
    quarter_splits=1,
    resamples=3,
    l2=(1e-1, 1e-2),
    sgd_epochs=2,
    sgd_learning_rates=(0.1, 0.01),
    filters=8,
    patches=1000,
    seeds=2,
    width=4,
    network_features=16,
    epochs=2,
)


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config, if its fields fit together and the data have what it needs.

    Raises:
      ValueError: that names what does not fit.
    """
    check.integer("patches", config.patches, at_least=config.filters)
    check.integer("quarter_splits", config.quarter_splits, at_most=config.splits)
    if dataset.image_shape is None:
        raise ValueError(
            f"{dataset.name} must be images to be decomposed by patches and networks, "
            "got rows of features"
        )
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        wanted = getattr(config, f"{name}_examples")
        if wanted is not None:
            check.integer(f"{name}_examples", wanted, at_most=len(split.labels))
    number = config.train_examples or len(dataset.train.labels)
    occurring = np.unique(dataset.train.labels)
    if number < 4 * len(occurring):
        raise ValueError(
            f"train_examples must be at least {4 * len(occurring)}, four a class, got "
            f"{number}"
        )
    most = number // 4
    if config.batch_size > most:
        raise ValueError(
            f"batch_size must be at most {most}, got {config.batch_size}: a quarter of "
            f"the {number:,} training examples has to fill a batch; give --batch-size "
            f"{2 ** int(math.log2(most))}"
        )
    check.number(
        "published_error", published_error(config), at_most=1 - 1 / dataset.num_classes
    )
    smallest = min(dataset.image_shape[:2])
    if "patches" in config.classes:
        # Quadrants need two places of a patch in each direction.
        check.integer("patch_size", config.patch_size, at_most=smallest - 1)
    if "network" in config.classes and smallest < 8:
        raise ValueError(
            f"{dataset.name} must have images of at least 8 by 8 pixels for a network "
            f"that pools three times, got {dataset.image_shape}; leave network out of "
            "--classes"
        )
    return config


def published_error(config: Config) -> float:
    """The least error that anybody is known to have; 0 if none is known."""
    if config.published_error is not None:
        return config.published_error
    known = KNOWN.get(config.dataset)
    return known.published_error if known else 0.0


def human_error(config: Config) -> float | None:
    """The error of a person, if it is known."""
    if config.human_error is not None:
        return config.human_error or None
    known = KNOWN.get(config.dataset)
    return known.human_error if known else None


def source(config: Config, number: str) -> str | None:
    """Source of ``published_error`` or ``human_error``; None for the user's own."""
    known = KNOWN.get(config.dataset)
    given = getattr(config, number)
    if known is None or given not in (None, getattr(known, number)):
        return None
    return {"published_error": known.published_by, "human_error": known.human_by}[
        number
    ]


def updates(config: Config, number: int) -> int:
    """Minibatch updates of a whole SGD run on ``number`` examples."""
    return config.sgd_epochs * math.ceil(number / config.batch_size)
