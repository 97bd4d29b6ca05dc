"""What is drawn: training and test examples, and keys that never meet."""

from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.error_decomposition.config import Config
from jaxlin import data
from jaxlin.typing import Array

# Purposes of keys.
TRAIN, TEST, CHOICE, SPLITS, BOOTSTRAP, SGD, PATCHES, NETWORK = range(8)


class Sample(NamedTuple):
    """The examples of a run.

    Attributes:
      train: features, uint8 or float32, shape ``(n, features)``.
      train_labels: shape ``(n,)``.
      test: likewise of what judges.
      test_labels: likewise.
      num_classes: C.
      image_shape: of one image.
      scale: of raw pixels.
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    num_classes: int
    image_shape: tuple[int, ...]
    scale: float


def key(config: Config, purpose: int) -> Array:
    """The key of a purpose."""
    return jax.random.fold_in(jax.random.key(config.seed), purpose)


def drawn(config: Config, dataset: data.Dataset) -> Sample:
    """The first examples of each split, as many as are asked for, in their order."""
    assert dataset.image_shape is not None
    train, test = (
        _some(key(config, purpose), split, number)
        for purpose, split, number in (
            (TRAIN, dataset.train, config.train_examples),
            (TEST, dataset.test, config.test_examples),
        )
    )
    return Sample(
        *train, *test, dataset.num_classes, dataset.image_shape, dataset.max_value
    )


def images(sample: Sample, rows: Any) -> np.ndarray:
    """Rows as images with a channel axis."""
    height, width, channels = (*sample.image_shape, 1)[:3]
    return np.asarray(rows).reshape(-1, height, width, channels)


def _some(key: Array, split: data.Split, number: int | None) -> tuple[Any, Any]:
    if number is None or number == len(split.labels):
        return split.features, split.labels
    chosen = np.sort(
        np.asarray(jax.random.permutation(key, len(split.labels)))[:number]
    )
    return split.features[chosen], split.labels[chosen]
