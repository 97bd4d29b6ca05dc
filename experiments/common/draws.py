"""Keys of what an experiment draws, and parts of a data set drawn with them."""

from typing import Any

import jax
import numpy as np

from experiments.common.study import Part
from jaxlin import data
from jaxlin.data import Split
from jaxlin.selection import splits
from jaxlin.typing import Array

# Purposes of keys that `reduced` draws with; those of an experiment come after them.
TRAIN, TEST = range(2)


def key_of(config: Any, purpose: int) -> Array:
    """The key of what a config with a ``seed`` draws for one purpose."""
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


def reduced(config: Any, dataset: data.Dataset) -> data.Dataset:
    """The data set with ``train_examples``, stratified, and any ``test_examples``."""
    train, test = dataset.train, dataset.test
    some = stratified(key_of(config, TRAIN), train.labels, config.train_examples)
    others = any_of(key_of(config, TEST), len(test.labels), config.test_examples)
    return dataset._replace(train=_part(train, some), test=_part(test, others))


def on_reduced(part: Part) -> Part:
    """A part of a study on the `reduced` data set."""
    return lambda config, dataset, run: part(config, reduced(config, dataset), run)


def _part(split: Split, rows: np.ndarray) -> Split:
    # Not copied where all are asked for.
    if len(rows) == len(split.labels):
        return split
    return Split(*(array[rows] for array in split))
