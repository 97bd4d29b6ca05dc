"""Measurements: memory, seconds against the peers, recall, accuracy."""

import functools
import statistics
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments.benchmark_neighbors import peers
from experiments.benchmark_neighbors.config import Config
from experiments.common import memory, timing
from experiments.common.study import Measured, Part, Run
from jaxlin import data, neighbors
from jaxlin.neighbors import distances
from jaxlin.stats import intervals

METRICS: dict[str, Any] = {
    "l2": distances.squared_euclidean,
    "l1": distances.manhattan,
}


def parts(config: Config) -> Mapping[str, Part]:
    """The parts that a config names, in their order."""
    found: dict[str, Part] = {
        # First: what ran before would leave its own memory behind.
        "memory": _memory,
        "l2": functools.partial(_against_peers, distance="l2"),
        "l1": functools.partial(_against_peers, distance="l1"),
        "recall": _recall,
        "accuracy": _accuracy,
    }
    return {name: part for name, part in found.items() if name in config.what}


def _memory(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Growth of the process's peak by a search, the data being there already.

    Importing and a search among a few rows come before; compiling for all rows counts.
    Linux only: elsewhere the numbers are None.
    """
    train, queries = _rows(dataset, config.l2_queries)
    found: dict[str, Any] = {"data_mb": (train.nbytes + queries.nbytes) / 2**20}
    for name, metric in METRICS.items():
        some = queries if name == "l2" else queries[: config.l1_queries]
        neighbors.nearest(train[:200], some[:5], metric=metric, k=config.k)
        before = memory.status_mb("VmRSS", reset=True)
        neighbors.nearest(train, some, metric=metric, k=config.k)
        after = memory.status_mb("VmHWM")
        grown = None if before is None or after is None else after - before
        found[name] = {"queries": len(some), "grown_mb": grown}
        print("memory", name, found[name], flush=True)
    return Measured(found)


def _against_peers(
    config: Config, dataset: data.Dataset, run: Run, *, distance: str
) -> Measured:
    """Seconds of all searchers under one distance."""
    count = config.l2_queries if distance == "l2" else config.l1_queries
    train, queries = _rows(dataset, count)
    searches: dict[str, Any] = {
        "jaxlin": lambda some: neighbors.nearest(
            train, some, metric=METRICS[distance], k=config.k
        )
    }
    for name in config.peers:
        search = peers.PEERS[name](train, distance=distance, k=config.k)
        if search is not None:
            searches[name] = search
    firsts, seconds, answers = _in_turns(config, searches, queries)
    ours = statistics.median(seconds["jaxlin"])
    rows = []
    for name, each in seconds.items():
        median = statistics.median(each)
        row = {
            "who": name,
            "first_s": firsts[name],
            "seconds": median,
            "fastest_s": min(each),
            "slowest_s": max(each),
            "times_ours": median / ours,
            "same_neighbours": float(np.mean(answers[name] == answers["jaxlin"])),
        }
        rows.append(row)
        print(distance, row, flush=True)
    return Measured(
        {
            "queries": len(queries),
            "rows": len(train),
            "features": train.shape[1],
            "device": jax.devices()[0].device_kind,
            "searches": rows,
        }
    )


def _in_turns(config, searches, queries):
    """Seconds of the first call, of all others, and the neighbours found."""
    firsts, answers = {}, {}
    for name, search in searches.items():
        (_, answers[name]), firsts[name] = timing.timed(search, queries)
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    for turn in range(config.rounds):
        for name, search in searches.items():
            if name == "sklearn" and turn >= config.sklearn_rounds:
                continue
            time.sleep(config.settle_s)
            seconds[name].append(timing.timed(search, queries)[1])
    return firsts, seconds, answers


def _recall(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Recall and time of an approximate search."""
    train, queries = _rows(dataset, config.l2_queries)
    how: dict[str, Any] = {"metric": distances.squared_euclidean, "k": config.k}
    target = config.recall_target
    found: dict[str, Any] = {"target": target, "device": jax.devices()[0].device_kind}
    answers = {}
    for name, asked in (("exact", None), ("approximate", target)):
        search = functools.partial(
            neighbors.nearest, train, queries, recall_target=asked, **how
        )
        search()
        answers[name], found[f"{name}_s"] = timing.timed(search)
    found["recall"] = neighbors.recall(answers["approximate"], answers["exact"])
    print("recall", found, flush=True)
    return Measured(found)


def _accuracy(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Share of all test images whose nearest training image has their label."""
    train, queries = _rows(dataset, None)
    found = {}
    for name, metric in METRICS.items():
        search = functools.partial(neighbors.nearest, metric=metric, k=1)
        nearest, seconds = timing.timed(search, train, queries)
        predicted = neighbors.vote(
            nearest, dataset.train.labels, num_classes=dataset.num_classes
        )[:, 0]
        right = int(np.sum(predicted == dataset.test.labels))
        found[name] = {
            "right": right,
            "of": len(queries),
            "accuracy": right / len(queries),
            "interval": list(intervals.proportion_interval(right, len(queries))),
            "seconds": seconds,
        }
        print("accuracy", name, found[name], flush=True)
    return Measured(found)


def _rows(dataset: data.Dataset, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Training rows and the first so many test rows, uint8 if they are whole pixels."""
    train, test = (np.asarray(part.features) for part in (dataset.train, dataset.test))
    return train, test[:count]
