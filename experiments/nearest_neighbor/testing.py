"""The one look at the test set: the choice, the lecture's 1-NN, a linear classifier."""

import time
from typing import Any, NamedTuple

import numpy as np

import jaxlin
from experiments.nearest_neighbor import spaces, voting
from experiments.nearest_neighbor.choosing import Setting
from experiments.nearest_neighbor.config import BASELINES, Config
from experiments.nearest_neighbor.spaces import METRICS
from jaxlin import data, losses, neighbors, normalization
from jaxlin.neighbors import Neighbors

# Neighbours kept for the pictures.
SHOWN = 6
CHOSEN, LINEAR = "chosen", "linear"
_GAP = 1e-4


class Tested(NamedTuple):
    """Outcome on the test examples.

    Attributes:
      predictions: labels by the name of the classifier.
      shown: indices of the nearest training rows of each, by the metric chosen.
      linear: the linear classifier.
      facts: of its fit.
    """

    predictions: dict[str, np.ndarray]
    shown: np.ndarray
    linear: jaxlin.Fit
    facts: dict[str, Any]


def one_nearest(name: str) -> str:
    """The name of the 1-NN of a metric."""
    return f"1-NN {name}"


def tested(config: Config, dataset: data.Dataset, setting: Setting) -> Tested:
    """Labels of all test examples."""
    labels = dataset.train.labels
    wanted: dict[str, int] = {name: 1 for name in BASELINES}
    wanted[setting.metric] = max(setting.k, SHOWN)
    predictions, shown = {}, np.zeros((0, 0), int)
    for name, k in wanted.items():
        found = _searched(dataset, name, min(k, len(labels)))
        if name in BASELINES:
            predictions[one_nearest(name)] = labels[found.indices[:, 0]]
        if name == setting.metric:
            predictions[CHOSEN] = _voted(found, dataset, setting)
            shown = found.indices[:, :SHOWN]
    linear, facts = fitted(config, dataset)
    predictions[LINEAR] = jaxlin.predict(linear, dataset.test.features)
    return Tested(predictions, shown, linear, facts)


def fitted(config: Config, dataset: data.Dataset) -> tuple[jaxlin.Fit, dict[str, Any]]:
    """The linear softmax classifier, with what its fit proves and took."""
    centered = normalization.fit_centered(
        dataset.train.features, scale=dataset.max_value
    )
    how: dict[str, Any] = {
        "loss": losses.softmax_cross_entropy,
        "l2": config.l2,
        "classes": range(dataset.num_classes),
        "normalization": centered,
        "stop": jaxlin.Stop(_GAP),
    }
    seconds = []
    # Compiled by the first; the same fit again takes what it takes.
    for _ in range(2):
        start = time.perf_counter()
        fit = jaxlin.fit(*dataset.train, **how)
        seconds.append(time.perf_counter() - start)
    facts = {
        "relative_gap": float(fit.relative_gap),
        "converged": bool(fit.converged),
        "seconds": seconds[1],
        "first_seconds": seconds[0],
    }
    return fit, facts


def _searched(dataset: data.Dataset, name: str, k: int) -> Neighbors:
    metric = METRICS[name]
    train = dataset.train.features
    rows, queries = spaces.changed(metric, train, train, dataset.test.features)
    return neighbors.nearest(rows, queries, metric=metric.distance, k=k)


def _voted(found: Neighbors, dataset: data.Dataset, setting: Setting) -> np.ndarray:
    answers = voting.answers(
        found,
        dataset.train.labels,
        num_classes=dataset.num_classes,
        weights=voting.named(setting.weighting, scale=setting.scale),
        ks=(setting.k,),
    )
    return answers[:, 0]
