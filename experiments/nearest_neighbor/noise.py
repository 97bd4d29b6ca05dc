"""Accuracy against features of noise: a nearest neighbour and a linear classifier.

A repeat draws training and test examples and noise of its own, which is normal. Of the
training examples a fifth is held out, on which k and l2 are chosen; then all are used.
More noise keeps the noise there was before. Features that are not added yet are 0,
which changes no distance and no optimum, so that all levels have one shape and are one
program.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

import jaxlin
from experiments.nearest_neighbor.config import Config
from experiments.nearest_neighbor.draws import (
    NOISE,
    any_of,
    generator,
    key_of,
    stratified,
)
from jaxlin import data, losses, neighbors
from jaxlin.neighbors import distances
from jaxlin.selection import grids, held_out_metrics, plans, splits, sweep

HELD_OUT = 0.2
GAP = 1e-3
# What a repeat draws.
_TRAIN, _TEST, _SPLIT, _NORMAL = range(4)
_MOST_EVALUATIONS = 300
# So that all levels and repeats are fitted by one program.
_NEVER_NARROWER = 2**62
_LOSS = losses.softmax_cross_entropy


class Drawn(NamedTuple):
    """The examples of a repeat, noise features behind the others.

    Attributes:
      rows: of training examples, float32.
      labels: of those.
      tests: rows of test examples.
      test_labels: of those.
      is_held_out: whether settings are chosen on a training example.
    """

    rows: np.ndarray
    labels: np.ndarray
    tests: np.ndarray
    test_labels: np.ndarray
    is_held_out: np.ndarray


def measured(config: Config, dataset: data.Dataset, repeat: int) -> dict[str, Any]:
    """The record of a repeat: accuracy of each classifier at every level of noise."""
    everything = drawn(config, dataset, repeat)
    levels = [
        _level(config, dataset, with_noise(everything, dataset.num_features, amount))
        for amount in config.noise_features
    ]
    return {
        "repeat": repeat,
        "noise_features": config.noise_features,
        **{name: [level[name] for level in levels] for name in levels[0]},
    }


def drawn(config: Config, dataset: data.Dataset, repeat: int) -> Drawn:
    """Subject of a repeat, with the most noise."""
    key = jax.random.fold_in(key_of(config, NOISE), repeat)
    keys = [jax.random.fold_in(key, purpose) for purpose in range(4)]
    train, test = dataset.train, dataset.test
    some = stratified(keys[_TRAIN], train.labels, config.noise_examples)
    others = any_of(keys[_TEST], len(test.labels), config.noise_tests)
    rows, tests = (
        split.features[part].astype(np.float32) / np.float32(dataset.max_value)
        for split, part in ((train, some), (test, others))
    )
    mean = rows.mean(axis=0)
    rows, tests = rows - mean, tests - mean
    size = np.float32(config.noise_scale) * np.sqrt(np.mean(np.square(rows)))
    shape = (len(rows) + len(tests), max(config.noise_features))
    noise = size * generator(keys[_NORMAL]).standard_normal(shape, np.float32)
    labels = train.labels[some]
    split = splits.stratified_split(keys[_SPLIT], labels, fraction=HELD_OUT)
    is_held_out = np.zeros(len(labels), bool)
    is_held_out[split.held_out] = True
    return Drawn(
        np.concatenate([rows, noise[: len(rows)]], axis=1),
        labels,
        np.concatenate([tests, noise[len(rows) :]], axis=1),
        test.labels[others],
        is_held_out,
    )


def with_noise(everything: Drawn, num_features: int, amount: int) -> Drawn:
    """The same with the first features of noise alone; the others are 0."""
    is_there = np.arange(everything.rows.shape[1]) < num_features + amount
    keep = is_there.astype(np.float32)
    return everything._replace(
        rows=everything.rows * keep, tests=everything.tests * keep
    )


def _level(config: Config, dataset: data.Dataset, level: Drawn) -> dict[str, Any]:
    return {**_nearest(config, dataset, level), **_linear(config, dataset, level)}


def _nearest(config: Config, dataset: data.Dataset, level: Drawn) -> dict[str, Any]:
    """One neighbour, and as many as do best on what is held out; equal weights."""
    fitted_on = ~level.is_held_out
    most = int(fitted_on.sum())
    ks = [k for k in config.ks if k <= most] or [1]
    chosen_by = _votes(
        level.rows[fitted_on],
        level.labels[fitted_on],
        level.rows[level.is_held_out],
        ks,
        dataset.num_classes,
    )
    right = chosen_by == level.labels[level.is_held_out][:, None]
    # Of equally good ones the smallest, which comes first.
    k = ks[int(right.mean(axis=0).argmax())]
    found = _votes(level.rows, level.labels, level.tests, [1, k], dataset.num_classes)
    one, many = (found == level.test_labels[:, None]).mean(axis=0)
    return {"one_nearest": float(one), "nearest": float(many), "k": k}


def _votes(rows, labels, queries, ks, num_classes) -> np.ndarray:
    metric: Any = distances.euclidean
    found = neighbors.nearest(rows, queries, metric=metric, k=max(ks))
    every = neighbors.vote(found, labels, num_classes=num_classes)
    return every[:, np.asarray(ks) - 1]


def _linear(config: Config, dataset: data.Dataset, level: Drawn) -> dict[str, Any]:
    """Softmax, with the l2 that does best on what is held out, then fitted on all."""
    classes = range(dataset.num_classes)
    problem = jaxlin.problem(level.rows, level.labels, classes=classes)
    models = grids.product(losses=(_LOSS,), l2s=config.noise_l2, num_weight_sets=2)
    everything = np.ones(len(level.labels))
    plan = plans.plan(models, problem.examples, num_classes=dataset.num_classes)
    fits = sweep.fit_models(
        problem,
        models,
        plan=plan._replace(compile_cost=_NEVER_NARROWER),
        weight_sets=np.stack([~level.is_held_out, everything]),
        stop=jaxlin.Stop(GAP, _MOST_EVALUATIONS),
    )
    within, _ = held_out_metrics.accuracy_and_loss(
        problem, fits, held_out=np.stack([level.is_held_out, everything])
    )
    judged = jaxlin.problem(level.tests, level.test_labels, classes=classes)
    truth, _ = held_out_metrics.accuracy_and_loss(
        judged, fits, held_out=np.ones((2, len(level.test_labels)))
    )
    held_out = {models.l2[i]: within[i] for i in np.flatnonzero(models.weight_set == 0)}
    # Of equally good ones the strongest.
    l2 = max(held_out, key=lambda one: (held_out[one], one))
    place = np.flatnonzero((models.weight_set == 1) & (models.l2 == l2))[0]
    return {
        "linear": float(truth[place]),
        "l2": float(l2),
        "largest_gap": float(fits.relative_gap.max()),
    }
