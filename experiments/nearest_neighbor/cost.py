"""Time of an answer against the number of training rows, beside a linear classifier.

Both are called as a user calls them, on rows in memory. What a first call compiles is
apart: every size is called once before the clock starts. Sizes take turns, so that a
busy moment of the machine does not fall on one of them alone.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.nearest_neighbor.config import Config
from experiments.nearest_neighbor.draws import TIME, any_of, generator, key_of
from experiments.nearest_neighbor.spaces import METRICS
from jaxlin import Fit, data, neighbors

# Neighbours of each query that are found.
K = 10
_LINEAR = "linear"
TIMED = ("euclidean", "manhattan")


def measured(config: Config, dataset: data.Dataset, linear: Fit) -> dict[str, Any]:
    """Seconds of every size and repeat, and of the linear classifier."""
    train, test = dataset.train.features, dataset.test.features
    key = key_of(config, TIME)
    queries = test[any_of(key, len(test), config.time_queries)]
    # Rows in random order, so that the first of them are any.
    order = generator(jax.random.fold_in(key, 1)).permutation(len(train))
    shuffled, labels = train[order], dataset.train.labels[order]

    def search(name: str, size: int) -> Callable[[], Any]:
        rows = shuffled[:size]
        how: Any = {"metric": METRICS[name].distance, "k": min(K, size)}

        def answer() -> np.ndarray:
            found = neighbors.nearest(rows, queries, **how)
            return neighbors.vote(found, labels[:size], num_classes=dataset.num_classes)

        return answer

    calls: dict[Any, Callable[[], Any]] = {
        (name, size): search(name, size) for name in TIMED for size in config.time_sizes
    }
    seconds: dict[Any, list[float]] = {call: [] for call in (*calls, _LINEAR)}
    calls[_LINEAR] = lambda: jaxlin.predict(linear, queries)
    first = {name: _seconds_of(call) for name, call in calls.items()}
    for _ in range(config.time_repeats):
        for name, call in calls.items():
            seconds[name].append(_seconds_of(call))
    return {
        "queries": len(queries),
        "k": K,
        "sizes": config.time_sizes,
        "row_bytes": dataset.num_features * dataset.train.features.dtype.itemsize,
        "searches": {
            name: [
                {"seconds": seconds[name, size], "first": first[name, size]}
                for size in config.time_sizes
            ]
            for name in TIMED
        },
        "linear": {"seconds": seconds[_LINEAR], "first": first[_LINEAR]},
        "linear_bytes": 4 * dataset.num_classes * (dataset.num_features + 1),
    }


def power(sizes: Any, medians: Any) -> float | None:
    """Slope of log time against log rows; None for a single size."""
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(medians), 1)[0])


def _seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
