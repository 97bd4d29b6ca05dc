"""Digits: influence of groups against refits, and labels that are wrong."""

from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.common import draws
from experiments.common.study import Measured, Run
from experiments.influence import paths
from experiments.influence.config import Config
from jaxlin import data
from jaxlin.sensitivity import refits

# How examples are ranked, the most suspicious first.
RANKINGS = ("training loss", "leave-one-out loss", "their difference")


def groups(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Change of the mean test loss without each group, predicted and by a refit."""
    problem = paths.problem_of(dataset)
    found: list[dict[str, Any]] = []
    for fit in paths.fitted_path(config, problem, config.group_l2):
        predicted = jaxlin.influence(fit, problem, *dataset.test, mean=True)
        before = _test_loss(fit, dataset)
        for size in config.group_sizes:
            ids = group_ids(config, dataset.train.labels, size)
            names, changes = predicted.of_groups(ids)
            true = [
                _test_loss(refits.without(fit, problem, members)[0], dataset) - before
                for name in names[names >= 0]
                for members in [np.flatnonzero(ids == name)]
            ]
            both = {"predicted": changes[0, names >= 0], "true": np.array(true)}
            agreement = _agreement(**both)
            found.append({"l2": fit.l2, "size": size, **both, **agreement})
    return Measured(found)


def group_ids(config: Config, labels: np.ndarray, size: int) -> np.ndarray:
    """A group of some examples of each class, drawn; -1 for all others."""
    order = draws.generator(draws.key_of(config, paths.GROUPS)).permutation(len(labels))
    ids = np.full(len(labels), -1)
    for label in np.unique(labels):
        ids[order[labels[order] == label][:size]] = label
    return ids


def _test_loss(fit: jaxlin.Fit, dataset: data.Dataset) -> float:
    return jaxlin.evaluate(fit, *dataset.test).log_loss.value


def _agreement(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Correlation, and slope of least squares through 0."""
    return {
        "correlation": np.corrcoef(predicted, true)[0, 1],
        "slope": predicted @ true / (predicted @ predicted),
    }


def noise(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Share of changed labels that each ranking finds, at every l2 of the path."""
    drawn = [_of_draw(config, dataset, draw) for draw in range(config.flip_draws)]
    losses, found = (np.mean(values, axis=0) for values in zip(*drawn, strict=True))
    best = int(np.argmin(losses))
    rows = [
        {"l2": l2, "ranking": ranking, "found": one, "found_by_twice": twice}
        for l2, of_l2 in zip(config.l2, found, strict=True)
        for ranking, (one, twice) in zip(RANKINGS, of_l2, strict=True)
    ]
    best_rows = [row for row in rows if row["l2"] == config.l2[best]]
    changed = num_changed(config, dataset.train.labels)
    return Measured({"changed": changed, "rows": rows, "best": best_rows})


def _of_draw(
    config: Config, dataset: data.Dataset, draw: int
) -> tuple[list[float], list[list[tuple[float, float]]]]:
    """Leave-one-out loss at each l2, and what each ranking finds there."""
    labels = with_changes(config, dataset.train.labels, draw)
    train = dataset.train._replace(labels=labels)
    is_changed = labels != dataset.train.labels
    problem = paths.problem_of(dataset._replace(train=train))
    losses, found = [], []
    for fit in paths.fitted_path(config, problem, config.l2):
        left_out = jaxlin.leave_one_out(fit, problem, num_refits=0)
        fitted = jaxlin.evaluate(fit, *train).example_log_losses
        rankings = (fitted, left_out.losses, left_out.losses - fitted)
        losses.append(left_out.loss.value)
        found.append([share_found(values, is_changed) for values in rankings])
    return losses, found


def num_changed(config: Config, labels: np.ndarray) -> int:
    """Number of labels that are changed."""
    return max(1, round(config.flipped * len(labels)))


def with_changes(config: Config, labels: np.ndarray, draw: int) -> np.ndarray:
    """Labels of which a share is another class."""
    key = jax.random.fold_in(draws.key_of(config, paths.FLIPS), draw)
    random, num_classes = draws.generator(key), labels.max() + 1
    number, found = num_changed(config, labels), labels.copy()
    some = random.choice(len(labels), number, replace=False)
    found[some] += random.integers(1, num_classes, number).astype(labels.dtype)
    return found % num_classes


def share_found(values: np.ndarray, is_changed: np.ndarray) -> tuple[float, float]:
    """Recall among the largest values, as many as changed, and twice as many.

    Among as many, precision and recall are equal.
    """
    number, order = int(is_changed.sum()), np.argsort(-values, kind="stable")
    hits = is_changed[order]
    return float(hits[:number].mean()), float(hits[: 2 * number].sum() / number)
