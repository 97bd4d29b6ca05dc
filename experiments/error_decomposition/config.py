"""What a run computes: the fields of config.json and of the command line."""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from jaxlin import check, data

CLASSES = ("pixels", "patches", "network")
# Part of the training examples on which the l2 of a linear class is chosen.
HELD_OUT = 0.2


class Known(NamedTuple):
    """What is known of a data set beyond the data.

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
    classes: tuple[str, ...] = CLASSES
    train_examples: int | None = None
    test_examples: int | None = None
    seed: int = 0
    splits: int = 12
    quarter_splits: int = 2
    resamples: int = 12
    l2: tuple[float, ...] = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)
    relative_gap: float = 1e-4
    max_evaluations: int = 300
    sgd_epochs: int = 15
    sgd_learning_rates: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
    batch_size: int = 64
    patch_size: int = 6
    filters: int = 800
    patches: int = 100_000
    threshold: float = 0.25
    seeds: int = 3
    width: int = 24
    network_features: int = 256
    epochs: int = 10
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    shift: int = 4
    flips: bool = True
    head_l2: float = 1e-3
    published_error: float | None = None
    human_error: float | None = None


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


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    if not config.classes or len(set(config.classes)) < len(config.classes):
        raise ValueError(
            f"classes must be distinct, at least one, got {config.classes!r}"
        )
    for name in config.classes:
        check.choice("classes", name, CLASSES)
    check.integer("seed", config.seed, at_least=0, at_most=2**32 - 1)
    least = {
        "splits": 2,
        "quarter_splits": 1,
        "resamples": 2,
        "max_evaluations": 1,
        "sgd_epochs": 1,
        "batch_size": 1,
        "patch_size": 1,
        "filters": 1,
        "patches": max(2, config.filters),
        "seeds": 2,
        "width": 2,
        "network_features": 1,
        "epochs": 1,
        "shift": 0,
    }
    for name, bound in least.items():
        check.integer(name, getattr(config, name), at_least=bound)
    check.integer("quarter_splits", config.quarter_splits, at_most=config.splits)
    for name in ("train_examples", "test_examples"):
        if getattr(config, name) is not None:
            check.integer(name, getattr(config, name), at_least=20)
    check.numbers_list("l2", config.l2, above=0)
    check.numbers_list("sgd_learning_rates", config.sgd_learning_rates, above=0)
    check.number("relative_gap", config.relative_gap, above=0, below=1)
    check.number("threshold", config.threshold, at_least=0)
    for name in ("learning_rate", "head_l2"):
        check.number(name, getattr(config, name), above=0)
    check.number("weight_decay", config.weight_decay, at_least=0)
    for name in ("dropout", "published_error", "human_error"):
        if getattr(config, name) is not None:
            check.number(name, getattr(config, name), at_least=0, below=1)
    return config


def check_fits(config: Config, dataset: data.Dataset) -> None:
    """Checks, before anything is fitted, that the data have what the run needs.

    Raises:
      ValueError: that names what does not fit.
    """
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
    """Of ``published_error`` or ``human_error``, if it is the one of the data set."""
    known = KNOWN.get(config.dataset)
    given = getattr(config, number)
    if known is None or given not in (None, getattr(known, number)):
        return None
    return {"published_error": known.published_by, "human_error": known.human_by}[
        number
    ]


def num_networks(config: Config) -> int:
    """How many networks are trained."""
    return 4 * config.seeds if "network" in config.classes else 0


def updates(config: Config, number: int) -> int:
    """Minibatch updates of a whole SGD run on ``number`` examples."""
    return config.sgd_epochs * math.ceil(number / config.batch_size)
