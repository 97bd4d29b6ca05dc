"""What a run computes: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated, Literal, get_args

import numpy as np

from experiments.common.config import (
    MAY_BE_EMPTY,
    Bounds,
    Count,
    Counts,
    Positive,
    Positives,
    Seed,
)
from jaxlin import data
from jaxlin.selection import splits

MetricName = Literal["euclidean", "manhattan", "chebyshev", "cosine", "mahalanobis"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)
BASELINES: tuple[MetricName, ...] = ("euclidean", "manhattan")


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Numbers of examples are "at most": what is more than the data have is cut down, and
    the run keeps the numbers that were used.

    Attributes:
      dataset: cifar10, digits (with defaults of its own), an image set that tfds has
        prepared, or FILE.npz.
      train_examples: use only so many training examples, of each class the same share;
        all unless given.
      test_examples: likewise of the test examples.
      metrics: to choose from; euclidean, manhattan, chebyshev, cosine, mahalanobis.
      on_all: those of them that are compared on all training examples too.
      subsample: examples on which all metrics are compared.
      ks: numbers of neighbours to choose from.
      bandwidths: of Gaussian weights, in median distances to the nearest neighbour;
        uniform weights and those of inverse distance are always compared.
      folds: of cross-validation.
      seed: of everything that is drawn.
      l2: of the linear softmax classifier beside the nearest neighbours, not chosen
        here.
      local_queries: training examples that are taken out to compare local fits on.
      local_ks: numbers of neighbours of these; none leaves that part out.
      local_bandwidth: of their Gaussian weights, as above.
      local_l2: of the local linear classifier, on features over their largest value.
      time_sizes: numbers of training rows to time a search among.
      time_queries: queries a search.
      time_repeats: searches that a median is taken of.
      noise_features: how many features of noise are added, one level after the other.
      noise_scale: size of such a feature, in root mean squares of the others: pixels of
        photographs go together, so that noise of their size adds little to distances.
      noise_examples: training examples of a repeat.
      noise_tests: test examples of a repeat.
      noise_repeats: draws of examples from the data, and of noise, at least two.
      noise_l2: strengths that the linear classifier chooses from there.
      dimensions: to measure the relative contrast in.
      contrast_examples: points among which the nearest and the farthest are sought.
      contrast_queries: as seen from so many.
    """

    dataset: str = "cifar10"
    train_examples: Annotated[int | None, Bounds(at_least=2)] = None
    test_examples: Annotated[int | None, Bounds(at_least=2)] = None
    metrics: tuple[MetricName, ...] = METRICS
    on_all: Annotated[tuple[MetricName, ...], MAY_BE_EMPTY] = ("euclidean",)
    subsample: Annotated[int, Bounds(at_least=10)] = 10_000
    ks: Counts = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50)
    bandwidths: Positives = (0.15, 0.3, 0.6)
    folds: Annotated[int, Bounds(at_least=2)] = 5
    seed: Seed = 0
    l2: Positive = 3e-3
    local_queries: Annotated[int, Bounds(at_least=2)] = 200
    local_ks: Annotated[tuple[int, ...], Bounds(at_least=1), MAY_BE_EMPTY] = (5, 20, 50)
    local_bandwidth: Positive = 0.6
    local_l2: Positive = 1e-2
    time_sizes: Counts = (1000, 2000, 5000, 10_000, 20_000, 50_000)
    time_queries: Count = 200
    time_repeats: Count = 5
    noise_features: Annotated[tuple[int, ...], Bounds(at_least=0)] = (0, 192, 768, 3072)
    noise_scale: Positive = 4.0
    noise_examples: Annotated[int, Bounds(at_least=10)] = 1000
    noise_tests: Annotated[int, Bounds(at_least=2)] = 1000
    noise_repeats: Annotated[int, Bounds(at_least=2)] = 5
    noise_l2: Positives = (1e-2, 1e-1, 1.0, 10.0, 100.0)
    dimensions: Counts = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 3072)
    contrast_examples: Annotated[int, Bounds(at_least=2)] = 2000
    contrast_queries: Count = 100


DIGITS = Config(
    dataset="digits",
    on_all=METRICS,
    l2=1e-3,
    local_queries=300,
    time_sizes=(100, 200, 500, 1000, 1297),
    noise_features=(0, 16, 64, 256, 1024),
    noise_scale=1.0,
    noise_examples=1000,
    noise_tests=500,
    noise_l2=(1e-4, 1e-3, 1e-2, 1e-1),
    dimensions=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    contrast_examples=1000,
)
SMOKE = dataclasses.replace(
    DIGITS,
    train_examples=300,
    test_examples=100,
    metrics=BASELINES,
    on_all=BASELINES,
    ks=(1, 2, 5),
    bandwidths=(0.3,),
    folds=3,
    # The program of local fits takes longer to compile than all else together.
    local_ks=(),
    time_sizes=(100, 300),
    time_queries=20,
    time_repeats=2,
    noise_features=(0, 64),
    noise_examples=100,
    noise_tests=50,
    noise_repeats=2,
    noise_l2=(1e-3, 1e-1),
    dimensions=(1, 8, 64),
    contrast_examples=100,
    contrast_queries=20,
)


def check_fields(config: Config) -> None:
    """Checks fields that need one another, or an order.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    for metric in config.on_all:
        if metric not in config.metrics:
            raise ValueError(
                f"on_all must be among metrics, {' '.join(config.metrics)}, got "
                f"{metric}; add it there, or give --on-all without it"
            )
    for name in ("ks", "local_ks", "time_sizes", "noise_features", "dimensions"):
        values = getattr(config, name)
        if list(values) != sorted(values):
            shown = " ".join(map(str, values))
            raise ValueError(f"{name} must ascend, got {shown}")


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config with numbers of examples that the data have.

    Raises:
      ValueError: if nothing would be left of a list, or a class has too few examples.
    """
    check_fields(config)
    num_train, num_test = (len(split.labels) for split in (dataset.train, dataset.test))
    train = min(config.train_examples or num_train, num_train)
    test = min(config.test_examples or num_test, num_test)
    subsample = min(config.subsample, train)
    noise = min(config.noise_examples, train)
    local = min(config.local_queries, train // 2)
    found = dataclasses.replace(
        config,
        train_examples=train,
        test_examples=test,
        subsample=subsample,
        ks=_up_to("ks", config.ks, _outside(subsample, config.folds)),
        local_queries=local,
        local_ks=config.local_ks and _up_to("local_ks", config.local_ks, train - local),
        time_sizes=_up_to("time_sizes", config.time_sizes, train),
        time_queries=min(config.time_queries, test),
        noise_examples=noise,
        noise_tests=min(config.noise_tests, test),
        contrast_examples=min(config.contrast_examples, train),
        contrast_queries=min(config.contrast_queries, test),
    )
    kept = _sizes(dataset.train.labels, train)
    _enough("subsample", dataset, _sizes(kept, subsample), least=found.folds)
    # A fifth of these is held out, which must have one of each class.
    _enough("noise_examples", dataset, _sizes(kept, noise), least=2)
    return found


def _outside(examples: int, folds: int) -> int:
    """Rows outside the largest fold."""
    return examples - -(-examples // folds)


def _up_to(name: str, values: tuple[int, ...], most: int) -> tuple[int, ...]:
    kept = tuple(value for value in values if value <= most)
    if not kept:
        raise ValueError(
            f"{name} must have a number up to {most}, more the data do not allow, got "
            f"{' '.join(map(str, values))}"
        )
    return kept


def _sizes(labels: np.ndarray, examples: int) -> np.ndarray:
    """Labels of a part with the same share of every class, in no order."""
    if examples >= len(labels):
        return labels
    classes, _, drawn = splits.stratified_sizes(labels, fraction=examples / len(labels))
    return np.repeat(classes, drawn)


def _enough(name: str, dataset: data.Dataset, labels: np.ndarray, *, least: int):
    counts = np.bincount(labels, minlength=dataset.num_classes)
    # Classes without any training example are another matter.
    there = np.bincount(dataset.train.labels, minlength=dataset.num_classes) > 0
    rarest = int(np.argmin(np.where(there, counts, counts.max() + 1)))
    if counts[rarest] < least:
        raise ValueError(
            f"{name} must leave {least} training examples of each class, got "
            f"{counts[rarest]} of class {dataset.class_names[rarest]} among "
            f"{len(labels)}; give more examples or fewer folds"
        )
