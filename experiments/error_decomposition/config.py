"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
import math
from typing import Annotated, Literal, get_args

import numpy as np

from experiments.common.config import Bounds, Count, Positive, Positives, Seed, Share
from jaxlin import check, data

ModelClass = Literal["pixels", "patches", "network"]
CLASSES: tuple[ModelClass, ...] = get_args(ModelClass)
# Purposes of keys, after those of `experiments.common.draws`.
CHOICE, SPLITS, BOOTSTRAP, SGD, PATCHES, NETWORK = range(2, 8)


# A. Dosovitskiy et al. An image is worth 16x16 words. ICLR 2021 (ViT-H/14, 99.50 %).
# A. Karpathy. Lessons learned from manually classifying CIFAR-10. 2011 (94 %).
_KNOWN: dict[str, dict[str, tuple[float, str]]] = {
    "cifar10": {
        "published_error": (0.005, "ViT-H/14, A. Dosovitskiy et al., ICLR 2021"),
        "human_error": (0.06, "A. Karpathy, who measured it on himself in 2011"),
    }
}


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Attributes:
      dataset: cifar10, digits (has its own defaults), images of tfds or FILE.npz.
      classes: of pixels, patches, network: which model classes.
      train_examples: n, of each class the same share; all unless given.
      test_examples: drawn from the test set; all unless given.
      seed: of everything that is drawn.
      splits: random splits of the training examples into halves, for a linear class.
      quarter_splits: how many of them are split again, into quarters.
      resamples: bootstrap refits of a linear class.
      l2: strengths that a linear class chooses from, once.
      relative_gap: that each certified fit is to prove.
      max_passes: of a fit, after which it is taken as it is.
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
        given 0.005 for cifar10 and 0, the trivial bound, for other data.
      human_error: drawn as a line, none for 0; unless given 0.06 for cifar10.
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
    max_passes: Count = 300
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
)
# Without pixels: the programs of each class are compiled apart, which takes long.
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
    """Returns the config with what depends on the data, if these have what it needs.

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
    labels, most = dataset.train.labels, len(dataset.test.labels)
    number = config.train_examples or len(labels)
    check.integer("train_examples", number, at_most=len(labels))
    tested = config.test_examples or most
    check.integer("test_examples", tested, at_most=most)
    least = 4 * len(np.unique(labels))
    if number < least:
        raise ValueError(
            f"train_examples must be at least {least}, four a class, got {number}"
        )
    most = number // 4
    if config.batch_size > most:
        raise ValueError(
            f"batch_size must be at most {most}, got {config.batch_size}: a quarter of "
            f"the {number:,} training examples has to fill a batch; give --batch-size "
            f"{2 ** int(math.log2(most))}"
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
    published, _ = known(config, "published_error")
    check.number("published_error", published, at_most=1 - 1 / dataset.num_classes)
    return dataclasses.replace(
        config,
        train_examples=number,
        test_examples=tested,
        published_error=published,
        human_error=known(config, "human_error")[0],
    )


def known(config: Config, name: str) -> tuple[float, str | None]:
    """``published_error`` or ``human_error``, and its source; None for one given."""
    value, source = _KNOWN.get(config.dataset, {}).get(name, (0.0, None))
    given = getattr(config, name)
    return (value, source) if given in (None, value) else (given, None)
