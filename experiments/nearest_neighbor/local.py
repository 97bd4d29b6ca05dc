"""Fits to the local points: a vote, a weighted one, a linear classifier.

Some training examples are taken out and asked for, so that the test set is not looked
at. Their neighbours among the others are found once, by the metric chosen.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.nearest_neighbor import spaces, voting
from experiments.nearest_neighbor.choosing import Setting, typical
from experiments.nearest_neighbor.config import Config
from experiments.nearest_neighbor.draws import LOCAL, any_of, key_of
from experiments.nearest_neighbor.spaces import METRICS
from experiments.nearest_neighbor.voting import Weights
from jaxlin import data, losses, neighbors
from jaxlin.neighbors import Neighbors
from jaxlin.typing import Array

FITS = MAJORITY, VOTE, LINEAR = "majority", "weighted vote", "linear classifier"


def measured(config: Config, dataset: data.Dataset, setting: Setting) -> dict[str, Any]:
    """Correctness of each local fit on each query, for every k.

    Returns:
      ``right`` by local fit, lists ``(ks, queries)`` of 0 and 1, and what was used.
    """
    features, labels = dataset.train
    asked = np.zeros(len(labels), bool)
    asked[any_of(key_of(config, LOCAL), len(labels), config.local_queries)] = True
    metric = METRICS[setting.metric]
    rows, queries = spaces.changed(metric, features, features[~asked], features[asked])
    found = neighbors.nearest(
        rows, queries, metric=metric.distance, k=max(config.local_ks)
    )
    bandwidth = config.local_bandwidth * typical(found.distances[:, 0])
    gaussian = Weights(neighbors.gaussian, {"bandwidth": bandwidth})
    others = labels[~asked]
    how: dict[str, Any] = {"num_classes": dataset.num_classes, "ks": config.local_ks}
    classes = {
        MAJORITY: voting.answers(
            found, others, weights=Weights(neighbors.uniform, {}), **how
        ),
        VOTE: voting.answers(found, others, weights=gaussian, **how),
        LINEAR: _linear(config, dataset, asked, found, bandwidth),
    }
    return {
        "metric": setting.metric,
        "ks": config.local_ks,
        "queries": int(asked.sum()),
        "bandwidth": bandwidth,
        "right": {
            name: (given == labels[asked][:, None]).T.astype(int).tolist()
            for name, given in classes.items()
        },
    }


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
    # Only rows that are somebody's neighbours become float32.
    used, places = np.unique(found.indices, return_inverse=True)
    near = found._replace(indices=places.reshape(found.indices.shape))
    rows, queries = (
        # An l2 means something only with a scale of the rows.
        some.astype(np.float32) / np.float32(dataset.max_value)
        for some in (features[~asked][used], features[asked])
    )
    weighting: Any = nearest_of_all
    scores = [
        neighbors.local_fit(
            near,
            rows,
            labels[~asked][used],
            queries,
            num_classes=dataset.num_classes,
            fit=neighbors.linear_classifier(loss=losses.softmax_cross_entropy),
            fit_arguments={"l2": config.local_l2},
            weighting=weighting,
            weighting_arguments={"count": float(k), "bandwidth": bandwidth},
        )
        for k in config.local_ks
    ]
    return np.stack([some.argmax(axis=1) for some in scores], axis=1)
