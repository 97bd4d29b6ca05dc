"""Fits to the local points: a vote, a weighted one, a linear classifier.

Some training examples are taken out and asked for, so that the test set is not looked
at. Their neighbours among the others are found once, by the metric chosen.
"""

from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from experiments.common.draws import any_of, key_of
from experiments.common.study import Measured, Run
from experiments.nearest_neighbor import learner
from experiments.nearest_neighbor.config import LOCAL, Config
from jaxlin import data, losses, neighbors
from jaxlin.neighbors import Neighbors
from jaxlin.stats import comparison
from jaxlin.typing import Array

FITS = MAJORITY, VOTE, LINEAR = "majority", "weighted vote", "linear classifier"


def measured(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Accuracy of each local fit for every k, and the best of two compared.

    The arrays hold whether each fit is right, shape ``(ks, queries)``.
    """
    features, labels = dataset.train
    asked = np.zeros(len(labels), bool)
    asked[any_of(key_of(config, LOCAL), len(labels), config.local_queries)] = True
    metric, most = run.numbers("choice")["metric"], max(config.local_ks)
    found = learner.nearest(metric, features, features[~asked], features[asked], k=most)
    bandwidth = config.local_bandwidth * learner.typical(found.distances[:, 0])
    others, gaussian = labels[~asked], (neighbors.gaussian, {"bandwidth": bandwidth})
    answers = {
        MAJORITY: learner.votes(found, others, config.local_ks),
        VOTE: learner.votes(found, others, config.local_ks, gaussian),
        LINEAR: _linear(config, dataset, asked, found, bandwidth),
    }
    right = {name: labels[asked] == given.T for name, given in answers.items()}
    best = {name: some[some.mean(axis=1).argmax()] for name, some in right.items()}
    numbers = {
        "bandwidth": bandwidth,
        "fits": {
            name: [learner.score(one) for one in some] for name, some in right.items()
        },
        "linear_less_vote": float(best[LINEAR].mean() - best[VOTE].mean()),
        "p_value": comparison.mcnemar(best[LINEAR], best[VOTE]).p_value,
    }
    return Measured(numbers, right)


def nearest_of_all(distances: Array, /, *, count: Array, bandwidth: Array) -> Array:
    """Gaussian weights of the nearest ``count``, 0 of the others.

    So that fits to any number of neighbours have one shape and are one program.
    """
    weights = neighbors.gaussian(distances, bandwidth=bandwidth)
    return jnp.where(jnp.arange(len(distances)) < count, weights, 0)


def _linear(
    config: Config,
    dataset: data.Dataset,
    asked: np.ndarray,
    found: Neighbors,
    bandwidth: float,
) -> np.ndarray:
    """Classes of the local linear classifier, shape ``(queries, ks)``."""
    features, labels = dataset.train
    # An l2 means something only with a scale of the rows.
    scale, weighting = np.float32(dataset.max_value), cast(Any, nearest_of_all)
    scores = [
        neighbors.local_fit(
            found,
            features[~asked] / scale,
            labels[~asked],
            features[asked] / scale,
            num_classes=dataset.num_classes,
            fit=neighbors.linear_classifier(loss=losses.softmax_cross_entropy),
            fit_arguments={"l2": config.local_l2},
            weighting=weighting,
            weighting_arguments={"count": float(k), "bandwidth": bandwidth},
        )
        for k in config.local_ks
    ]
    return np.stack(scores).argmax(axis=2).T
