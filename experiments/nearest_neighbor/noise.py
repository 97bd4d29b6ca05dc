"""Accuracy against features of noise: a nearest neighbour and a linear classifier.

A repeat draws training and test examples and noise of its own, which is normal. Of the
training examples a fifth is held out, on which k and l2 are chosen; then all are used.
More noise keeps the noise there was before. Features that are not added yet are 0,
which changes no distance and no optimum, so that all levels have one shape.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.common.draws import any_of, generator, key_of, stratified
from experiments.common.study import Measured, Run
from experiments.nearest_neighbor import learner
from experiments.nearest_neighbor.config import NOISE, Config
from jaxlin import data
from jaxlin.data import Split
from jaxlin.selection import rules, splits
from jaxlin.stats import intervals
from jaxlin.typing import Array

CLASSIFIERS = ("one_nearest", "nearest", "linear")
HELD_OUT = 0.2
GAP = 1e-3
# What a repeat draws.
_TRAIN, _TEST, _SPLIT, _NORMAL = range(4)


def measured(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Accuracy of each classifier at every level of noise, in all repeats."""
    repeats = [of_repeat(config, dataset, one) for one in range(config.noise_repeats)]
    return Measured({"repeats": repeats, **summary(repeats)})


def of_repeat(
    config: Config, dataset: data.Dataset, repeat: int
) -> list[dict[str, Any]]:
    """Accuracy of each classifier at every level of noise, in one repeat."""
    key, *most = drawn(config, dataset, repeat)
    levels = []
    for amount in config.noise_features:
        train, test = (with_first(one, dataset.num_features + amount) for one in most)
        found = [of(config, key, train, test) for of in (_nearest, _linear)]
        levels.append(found[0] | found[1])
    return levels


def drawn(
    config: Config, dataset: data.Dataset, repeat: int
) -> tuple[Array, Split, Split]:
    """Key of what is held out; examples with the most noise behind their features."""
    key = jax.random.fold_in(key_of(config, NOISE), repeat)
    keys = [jax.random.fold_in(key, purpose) for purpose in range(4)]
    (features, labels), (others, truth) = dataset.train, dataset.test
    some = stratified(keys[_TRAIN], labels, config.noise_examples)
    asked = any_of(keys[_TEST], len(truth), config.noise_examples)
    scale = np.float32(dataset.max_value)
    rows, tests = features[some] / scale, others[asked] / scale
    mean = rows.mean(axis=0)
    size = np.float32(config.noise_scale) * (rows - mean).std()
    shape = (len(rows) + len(tests), config.noise_features[-1])
    noise = size * generator(keys[_NORMAL]).standard_normal(shape, np.float32)
    train = Split(np.hstack([rows - mean, noise[: len(rows)]]), labels[some])
    test = Split(np.hstack([tests - mean, noise[len(rows) :]]), truth[asked])
    return keys[_SPLIT], train, test


def with_first(split: Split, width: int) -> Split:
    """The same with the first features alone; the others are 0."""
    is_kept = np.arange(split.features.shape[1]) < width
    return split._replace(features=split.features * is_kept)


def _nearest(config: Config, key: Array, train: Split, test: Split) -> dict[str, Any]:
    """One neighbour, and as many as do best on what is held out; equal weights."""

    def accuracy(fitted: Split, judged: Split, ks: Sequence[int]) -> np.ndarray:
        rows = fitted.features
        found = learner.nearest("euclidean", rows, rows, judged.features, k=max(ks))
        given = learner.votes(found, fitted.labels, ks)
        return (given == judged.labels[:, None]).mean(axis=0)

    parts = splits.stratified_split(key, train.labels, fraction=HELD_OUT)
    fitted, judged = (Split(*(some[part] for some in train)) for part in parts)
    ks = [k for k in config.ks if k <= len(fitted.labels)] or [1]
    # Of equally good ones the smallest, which comes first.
    k = ks[int(accuracy(fitted, judged, ks).argmax())]
    one, many = accuracy(train, test, [1, k])
    return {"one_nearest": float(one), "nearest": float(many), "k": k}


def _linear(config: Config, key: Array, train: Split, test: Split) -> dict[str, Any]:
    """Softmax, with the l2 that does best on what is held out, then fitted on all."""
    found = jaxlin.probe(
        key,
        *train,
        *test,
        l2s=config.noise_l2,
        normalization=None,
        classes=np.union1d(train.labels, test.labels),
        validation=HELD_OUT,
        stop=jaxlin.Stop(GAP),
    )
    return {
        "linear": found.test.accuracy.value,
        "l2": found.l2,
        "l2_at_edge": found.at_edge,
        "gap": found.fit.relative_gap,
    }


def summary(repeats: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Over repeats: means with standard errors, medians, and what noise took."""

    def of(name: str) -> np.ndarray:
        return np.array([[level[name] for level in levels] for levels in repeats])

    accuracy = {name: of(name) for name in CLASSIFIERS}
    lost = {name: some[:, 0] - some[:, -1] for name, some in accuracy.items()}
    more = lost["nearest"] - lost["linear"]
    at_edge = of("l2_at_edge")
    return {
        "accuracy": {
            # Of every level the mean and its error.
            name: np.transpose(rules.mean_and_error(some.T))
            for name, some in accuracy.items()
        },
        "median": {name: np.median(of(name), axis=0) for name in ("k", "l2")},
        "lost": {name: some.mean() for name, some in lost.items()},
        "nearest_loses_more": intervals.mean_and_spread(more),
        "choices": at_edge.size,
        "choices_at_edge": at_edge.sum(),
        "largest_gap": of("gap").max(),
    }
