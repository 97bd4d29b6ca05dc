"""One sample: what each idea reports about it, and the truth."""

from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.cross_validation.config import LOSSES, TEST, VALIDATION, Config
from jaxlin import data, normalization
from jaxlin.selection import choice, cross_validation, folds, grids, splits, sweep
from jaxlin.selection.grids import Grid, Plan
from jaxlin.solvers import base, certified, curvature
from jaxlin.solvers.base import Problem

# Weightings of a sample before those of the folds.
ALL, FOUR_FIFTHS, THREE_FIFTHS = range(3)

# What is reported: by which idea, and on which examples.
ESTIMATES = {
    "1: train only": "training examples, chosen on them",
    "2: train / test": "test set, chosen on it",
    "3: winner on validation": "validation set, chosen on it",
    "3: train / validation / test": "test set, chosen on validation",
    "4: winner over folds": "folds held out, chosen on them",
    "4: cross-validation / test": "test set, chosen over folds",
}


class Pool(NamedTuple):
    """The population.

    Attributes:
      features: raw rows of both splits.
      labels: of each.
      on_device: the same, for tests of models.
      num_classes: C.
      scale: of raw features.
    """

    features: np.ndarray
    labels: np.ndarray
    on_device: Problem
    num_classes: int
    scale: float


def pool(dataset: data.Dataset) -> Pool:
    """Training and test examples together."""
    features = np.concatenate([dataset.train.features, dataset.test.features])
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    on_device = base.problem(features, labels, num_classes=dataset.num_classes)
    return Pool(features, labels, on_device, dataset.num_classes, dataset.max_value)


def models_of(config: Config) -> Grid:
    """Every l2 on every part of a sample."""
    return grids.product(
        losses=(LOSSES[config.loss],), l2s=config.l2, num_weightings=3 + config.folds
    )


def planned(config: Config, population: Pool) -> Plan:
    """Slots of the sweep of any sample; they have one shape."""
    rows: Any = (
        population.features[: config.examples],
        population.labels[: config.examples],
    )
    return grids.plan(
        models_of(config),
        Problem(*rows),
        num_classes=population.num_classes,
        slots=config.slots,
    )


def drawn(config: Config, labels: np.ndarray, number: int) -> np.ndarray:
    """Indices of a sample, ascending."""
    key = jax.random.fold_in(jax.random.key(config.seed), number)
    fraction = config.examples / len(labels)
    return splits.stratified_split(key, labels, fraction=fraction).held_out


def parts(
    config: Config, labels: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Weights to train and to test with, both ``(3 + folds, examples)``."""
    key = jax.random.fold_in(jax.random.key(config.seed), number)
    split_key, fold_key = jax.random.split(key)
    split = splits.three_way_split(
        split_key, labels, validation_fraction=VALIDATION, test_fraction=TEST
    )
    is_test, is_validation = np.zeros((2, len(labels)), bool)
    is_test[split.test], is_validation[split.validation] = True, True
    rest = np.flatnonzero(~is_test)
    fold_of = np.full(len(labels), -1)
    fold_of[rest] = folds.stratified_k_fold(
        fold_key, labels[rest], num_folds=config.folds
    )
    everything = np.ones(len(labels), bool)
    train = [everything, ~is_test, ~is_test & ~is_validation]
    judge = [everything, is_test, is_validation]
    for fold in range(config.folds):
        train.append((fold_of >= 0) & (fold_of != fold))
        judge.append(fold_of == fold)
    return np.stack(train).astype(np.float32), np.stack(judge).astype(np.float32)


def run(config: Config, population: Pool, plan: Plan, number: int) -> dict[str, Any]:
    """What one sample shows, as plain values.

    Returns:
      By estimate the ``estimate``, the ``truth``, the ``l2`` chosen; ``l2``; curves of
      accuracy over l2: ``training``, ``test``, ``validation``, ``folds`` (a list of
      each fold), ``truth`` (fitted on four fifths); the largest gap and how many fits
      have proven theirs.
    """
    indices = drawn(config, population.labels, number)
    rows, labels = population.features[indices], population.labels[indices]
    fitted = normalization.fit_centered(rows, scale=population.scale)
    problem = certified.prepare(
        base.problem(
            rows, labels, num_classes=population.num_classes, normalization=fitted
        ),
        rank=curvature.rank_for(LOSSES[config.loss]),
    )
    train, judge = parts(config, labels, number)
    models = models_of(config)
    fits = sweep.fit(
        problem,
        models,
        plan=plan,
        num_classes=population.num_classes,
        weightings=train,
        relative_gap=config.relative_gap,
        max_evaluations=config.max_evaluations,
    )
    within, _ = cross_validation.tested(problem, models, fits.params, held_out=judge)
    # By part and l2, l2 from large to small.
    by_part = np.stack([within[models.weighting == i] for i in range(len(train))])
    l2 = models.l2[models.weighting == ALL]
    truth = _truth(population, problem, models, fits.params, indices)
    over_folds = by_part[3:].T

    def chosen_on(scores: np.ndarray) -> int:
        return choice.best(scores.reshape(len(l2), -1), strength=l2)

    picks = {
        "1": chosen_on(by_part[ALL]),
        "2": chosen_on(by_part[FOUR_FIFTHS]),
        "3": chosen_on(by_part[THREE_FIFTHS]),
        "4": chosen_on(over_folds),
    }
    values = {
        "1: train only": by_part[ALL],
        "2: train / test": by_part[FOUR_FIFTHS],
        "3: winner on validation": by_part[THREE_FIFTHS],
        "3: train / validation / test": by_part[FOUR_FIFTHS],
        "4: winner over folds": over_folds.mean(axis=1),
        "4: cross-validation / test": by_part[FOUR_FIFTHS],
    }
    return {
        "sample": number,
        "estimates": {
            name: {
                "estimate": float(values[name][picks[name[0]]]),
                "truth": float(
                    truth[ALL if name[0] == "1" else FOUR_FIFTHS][picks[name[0]]]
                ),
                "l2": float(l2[picks[name[0]]]),
            }
            for name in ESTIMATES
        },
        "oracle_l2": float(l2[chosen_on(truth[FOUR_FIFTHS])]),
        "oracle_truth": float(truth[FOUR_FIFTHS].max()),
        "l2": l2.tolist(),
        "curves": {
            "training": by_part[ALL].tolist(),
            "validation": by_part[THREE_FIFTHS].tolist(),
            "test": by_part[FOUR_FIFTHS].tolist(),
            "folds": by_part[3:].tolist(),
            "truth": truth[FOUR_FIFTHS].tolist(),
        },
        "largest_gap": float(fits.relative_gap.max()),
        "certified": int(fits.converged.sum()),
        "fits": int(fits.converged.size),
    }


def _truth(population, problem, models, params, indices) -> np.ndarray:
    """Accuracy on all that was not drawn, of the fits on all and on four fifths."""
    numbers = np.flatnonzero(models.weighting <= FOUR_FIFTHS)
    some = grids.subset(models, numbers.tolist())
    outside = np.ones((2, len(population.labels)), np.float32)
    outside[:, indices] = 0
    accuracy, _ = cross_validation.tested(
        population.on_device._replace(normalization=problem.normalization),
        some,
        jax.tree.map(lambda leaf: leaf[numbers], params),
        held_out=outside,
    )
    return np.stack([accuracy[some.weighting == i] for i in (ALL, FOUR_FIFTHS)])
