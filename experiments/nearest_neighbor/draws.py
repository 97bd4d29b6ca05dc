"""What a run draws, each from a key of its own, and rows that it draws from."""

import jax
import numpy as np

from experiments.nearest_neighbor.config import Config
from jaxlin import data
from jaxlin.data import Split
from jaxlin.selection import splits
from jaxlin.typing import Array

# What is drawn: keys folded with these never meet.
TRAIN, TEST, SUBSAMPLE, FOLDS, LOCAL, TIME, NOISE, CONTRAST = range(8)


def key_of(config: Config, purpose: int) -> Array:
    """The key of what is drawn for one purpose."""
    return jax.random.fold_in(jax.random.key(config.seed), purpose)


def generator(key: Array) -> np.random.Generator:
    """Draws by NumPy, where JAX would compile a program for every shape."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def stratified(key: Array, labels: np.ndarray, examples: int) -> np.ndarray:
    """Ascending indices of some examples, of every class the same share."""
    if examples >= len(labels):
        return np.arange(len(labels))
    fraction = examples / len(labels)
    return splits.stratified_split(key, labels, fraction=fraction).held_out


def any_of(key: Array, num_examples: int, examples: int) -> np.ndarray:
    """Ascending indices of some examples, whatever their class."""
    if examples >= num_examples:
        return np.arange(num_examples)
    return np.sort(generator(key).choice(num_examples, examples, replace=False))


def reduced(config: Config, dataset: data.Dataset) -> data.Dataset:
    """The data set with as many examples as the config says."""
    train, test = dataset.train, dataset.test
    wanted = config.train_examples
    if wanted is not None and wanted < len(train.labels):
        some = stratified(key_of(config, TRAIN), train.labels, wanted)
        train = Split(*(array[some] for array in train))
    wanted = config.test_examples
    if wanted is not None and wanted < len(test.labels):
        some = any_of(key_of(config, TEST), len(test.labels), wanted)
        test = Split(*(array[some] for array in test))
    return dataset._replace(train=train, test=test)
