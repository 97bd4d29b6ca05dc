"""The one look at the test set: the choice, the lecture's 1-NN, a linear classifier."""

import time
from typing import Any

import numpy as np

import jaxlin
from experiments.common.study import Measured, Run
from experiments.nearest_neighbor import learner
from experiments.nearest_neighbor.config import BASELINES, Config
from jaxlin import data, losses, normalization
from jaxlin.stats import comparison

CHOSEN, LINEAR = "chosen by cross-validation", "linear softmax classifier"
ONE_NEAREST = {name: f"1-NN, {learner.METRICS[name].title}" for name in BASELINES}
# Neighbours kept for the pictures, of so many test examples that are right, and wrong.
SHOWN, EACH = 6, 4
_GAP = 1e-4


def measured(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Labels of all test examples by each classifier, and how these compare.

    The arrays hold the labels by title, the ``near`` labels of the nearest training
    examples, and ``images``: those `pictured`, each before its nearest.
    """
    (rows, labels), (queries, truth) = dataset.train, dataset.test
    choice = run.numbers("choice")
    ks = {name: 1 for name in BASELINES}
    ks[choice["metric"]] = min(max(choice["k"], SHOWN), len(labels))
    found = {
        name: learner.nearest(name, rows, rows, queries, k=k) for name, k in ks.items()
    }
    mine = found[choice["metric"]]
    weightings = learner.weightings(config.bandwidths, scale=choice["scale"])
    weighting = weightings[choice["weighting"]]
    linear, facts = _fitted(config, dataset)
    answers = {
        CHOSEN: learner.votes(mine, labels, [choice["k"]], weighting)[:, 0],
        **{one: labels[found[of].indices[:, 0]] for of, one in ONE_NEAREST.items()},
        LINEAR: jaxlin.predict(linear, queries),
    }
    rights = {title: given == truth for title, given in answers.items()}
    compared = [
        {
            "title": title,
            **learner.score(right),
            "chosen_less_this": float(rights[CHOSEN].mean() - right.mean()),
            "p_value": comparison.mcnemar(rights[CHOSEN], right).p_value,
        }
        for title, right in rights.items()
    ]
    near = mine.indices[:, :SHOWN]
    arrays = {**answers, "label": truth, "near": labels[near]}
    if dataset.image_shape is not None:
        some = pictured(rights[CHOSEN])
        images = np.concatenate([queries[some, None], rows[near[some]]], axis=1)
        arrays["images"] = images.reshape(*images.shape[:2], *dataset.image_shape)
    named = linear._replace(classes=np.array(dataset.class_names))
    numbers = {"classifiers": compared, "linear": facts}
    return Measured(numbers, arrays, {"linear": named})


def pictured(right: np.ndarray) -> np.ndarray:
    """Indices of the first test examples that are right, then of others."""
    return np.concatenate([np.flatnonzero(one)[:EACH] for one in (right, ~right)])


def _fitted(config: Config, dataset: data.Dataset) -> tuple[jaxlin.Fit, dict[str, Any]]:
    """The linear softmax classifier, with what its fit proves and took."""
    features, scale = dataset.train.features, dataset.max_value
    centered = normalization.fit_centered(features, scale=scale)
    seconds = []
    # Compiled by the first; the same fit again takes what it takes.
    for _ in range(2):
        start = time.perf_counter()
        fit = jaxlin.fit(
            *dataset.train,
            loss=losses.softmax_cross_entropy,
            l2=config.l2,
            classes=range(dataset.num_classes),
            normalization=centered,
            stop=jaxlin.Stop(_GAP),
        )
        seconds.append(time.perf_counter() - start)
    return fit, {
        "relative_gap": float(fit.relative_gap),
        "converged": bool(fit.converged),
        "first_seconds": seconds[0],
        "seconds": seconds[1],
    }
