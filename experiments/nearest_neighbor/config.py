"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
import math
from typing import Annotated, Literal, get_args

import numpy as np

from experiments.common.config import (
    MAY_BE_EMPTY,
    Bounds,
    Counts,
    Positive,
    Positives,
    Seed,
)
from jaxlin import data
from jaxlin.selection import splits

MetricName = Literal["euclidean", "manhattan", "chebyshev", "cosine", "mahalanobis"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)
# Purposes of keys, after those of `experiments.common.draws`.
SUBSAMPLE, FOLDS, LOCAL, TIME, NOISE, CONTRAST = range(2, 8)
BASELINES: tuple[MetricName, ...] = ("euclidean", "manhattan")


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Numbers of examples are "at most": what is more than the data have is cut down, and
    the run keeps the numbers that were used.

    Attributes:
      dataset: cifar10, digits (has its own defaults), an image set of tfds or FILE.npz.
      train_examples: of each class the same share; all unless given.
      test_examples: likewise of the test examples.
      metrics: to choose from; euclidean, manhattan, chebyshev, cosine, mahalanobis.
      on_all: those of them that are compared on all training examples too.
      subsample: examples on which all metrics are compared.
      ks: numbers of neighbours to choose from.
      bandwidths: of Gaussian weights, in median distances to the nearest neighbour;
        uniform weights and those of inverse distance are always compared.
      folds: of cross-validation.
      seed: of everything that is drawn.
      l2: of the linear softmax classifier that is compared, not chosen here.
      local_queries: training examples that are taken out to compare local fits on.
      local_ks: numbers of neighbours of these; none leaves that part out.
      local_bandwidth: of their Gaussian weights, as above.
      local_l2: of the local linear classifier, on features over their largest value.
      time_sizes: numbers of training rows to time a search among.
      noise_features: how many features of noise are added, one level after the other.
      noise_scale: size of such a feature, in root mean squares of the others.
      noise_examples: training examples of a repeat, and test examples.
      noise_repeats: draws of examples from the data, and of noise, at least two.
      noise_l2: strengths that the linear classifier chooses from there.
      dimensions: to measure the relative contrast in.
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
    noise_features: Annotated[tuple[int, ...], Bounds(at_least=0)] = (0, 192, 768, 3072)
    # Pixels go together, so that noise of their size adds little to distances.
    noise_scale: Positive = 4.0
    noise_examples: Annotated[int, Bounds(at_least=10)] = 1000
    noise_repeats: Annotated[int, Bounds(at_least=2)] = 5
    noise_l2: Positives = (1e-2, 1e-1, 1.0, 10.0, 100.0)
    dimensions: Counts = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 3072)


DIGITS = Config(
    dataset="digits",
    on_all=METRICS,
    l2=1e-3,
    local_queries=300,
    time_sizes=(100, 200, 500, 1000, 1297),
    noise_features=(0, 16, 64, 256, 1024),
    noise_scale=1.0,
    noise_l2=(1e-4, 1e-3, 1e-2, 1e-1),
    dimensions=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
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
    noise_features=(0, 64),
    noise_examples=100,
    noise_repeats=2,
    noise_l2=(1e-3, 1e-1),
)


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config with numbers of examples that the data have.

    Raises:
      ValueError: if fields do not go together or ascend, nothing would be left of a
        list, or a class has too few examples.
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
            raise ValueError(f"{name} must ascend, got {' '.join(map(str, values))}")
    train, test = (len(split.labels) for split in (dataset.train, dataset.test))
    train = min(config.train_examples or train, train)
    subsample = min(config.subsample, train)
    noise = min(config.noise_examples, train)
    local = min(config.local_queries, train // 2)
    kept = _stratified(dataset.train.labels, train)
    _enough(dataset, kept, "subsample", subsample, config.folds)
    # A fifth of these is held out, which must have one of each class.
    _enough(dataset, kept, "noise_examples", noise, 2)
    return dataclasses.replace(
        config,
        train_examples=train,
        test_examples=min(config.test_examples or test, test),
        subsample=subsample,
        # At most the rows outside the largest fold.
        ks=_up_to(config, "ks", subsample - math.ceil(subsample / config.folds)),
        local_queries=local,
        local_ks=_up_to(config, "local_ks", train - local),
        time_sizes=_up_to(config, "time_sizes", train),
        noise_examples=noise,
    )


def _up_to(config: Config, name: str, most: int) -> tuple[int, ...]:
    values = getattr(config, name)
    if values and values[0] > most:
        raise ValueError(
            f"{name} must have a number up to {most}, more the data do not allow, got "
            f"{' '.join(map(str, values))}"
        )
    return tuple(value for value in values if value <= most)


def _stratified(labels: np.ndarray, examples: int) -> np.ndarray:
    """Labels of a part with the same share of every class, in no order."""
    if examples >= len(labels):
        return labels
    classes, _, drawn = splits.stratified_sizes(labels, fraction=examples / len(labels))
    return np.repeat(classes, drawn)


def _enough(
    dataset: data.Dataset, labels: np.ndarray, name: str, examples: int, least: int
) -> None:
    # Classes without any training example are another matter.
    classes = np.unique(dataset.train.labels)
    counts = np.bincount(_stratified(labels, examples), minlength=classes[-1] + 1)
    rarest = classes[counts[classes].argmin()]
    if counts[rarest] < least:
        raise ValueError(
            f"{name} must leave {least} training examples of each class, got "
            f"{counts[rarest]} of class {dataset.class_names[rarest]} among "
            f"{examples}; give more examples or fewer folds"
        )
