"""Time of an answer against the number of training rows, beside a linear classifier.

Both are called as a user calls them, on rows in memory. What a first call compiles is
apart: every size is called once before the clock starts. Sizes take turns, so that a
busy moment of the machine does not fall on one of them alone.
"""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.common.draws import any_of, generator, key_of
from experiments.common.study import Measured, Run
from experiments.nearest_neighbor import learner
from experiments.nearest_neighbor.config import BASELINES, TIME, Config
from jaxlin import data

# Neighbours of each query that are found; calls that a median is taken of.
K, QUERIES, REPEATS = 10, 200, 5


def measured(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Times of every metric and size, and of the linear classifier."""
    (train, labels), queries = dataset.train, dataset.test.features
    key = key_of(config, TIME)
    queries = queries[any_of(key, len(queries), QUERIES)]
    # Rows in random order, so that the first of them are any.
    order = generator(jax.random.fold_in(key, 1)).permutation(len(train))
    train, labels = train[order], labels[order]

    def answer(metric: str, size: int) -> None:
        rows, k = train[:size], min(K, size)
        found = learner.nearest(metric, rows, rows, queries, k=k)
        learner.votes(found, labels[:size], [k])

    linear = run.fit("test", "linear")
    calls: dict[Any, Callable[[], Any]] = {
        (metric, size): functools.partial(answer, metric, size)
        for metric in BASELINES
        for size in config.time_sizes
    }
    calls["linear"] = lambda: jaxlin.predict(linear, queries)
    seconds: dict[Any, list[float]] = {name: [] for name in calls}
    for _ in range(1 + REPEATS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    times = {name: of_calls(some, len(queries)) for name, some in seconds.items()}
    searches = []
    for metric in BASELINES:
        mine = [{"rows": size, **times[metric, size]} for size in config.time_sizes]
        searches.append(
            {
                "metric": metric,
                "title": learner.METRICS[metric].title,
                "times": mine,
                "power": power(mine),
                "bytes": dataset.num_features * train.dtype.itemsize * mine[-1]["rows"],
            }
        )
    weights = dataset.num_classes * (dataset.num_features + 1)
    linear_times = {**times["linear"], "bytes": 4 * weights}
    how = {"k": K, "queries": len(queries), "repeats": REPEATS}
    return Measured({**how, "searches": searches, "linear": linear_times})


def of_calls(seconds: Sequence[float], queries: int) -> dict[str, float]:
    """Times a query of all calls but the first, and the first whole."""
    first, *others = seconds
    least, median, most = np.quantile(others, [0, 0.5, 1]) / queries
    return {"first": first, "least": least, "median": median, "most": most}


def power(times: Sequence[dict[str, float]]) -> float | None:
    """Slope of log time against log rows; None for a single size."""
    if len(times) < 2:
        return None
    rows, seconds = np.log([[one["rows"], one["median"]] for one in times]).T
    return float(np.polyfit(rows, seconds, 1)[0])
