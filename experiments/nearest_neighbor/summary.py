"""What the records of all parts together say."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.nearest_neighbor import choosing, cost, local, testing
from experiments.nearest_neighbor.choosing import Setting
from experiments.nearest_neighbor.config import BASELINES
from experiments.nearest_neighbor.spaces import METRICS
from experiments.nearest_neighbor.testing import CHOSEN, LINEAR
from jaxlin.stats import comparison, intervals

Record = Mapping[str, Any]
TITLES = {
    CHOSEN: "chosen by cross-validation",
    testing.one_nearest("euclidean"): "1-NN, Euclidean (L2)",
    testing.one_nearest("manhattan"): "1-NN, Manhattan (L1)",
    LINEAR: "linear softmax classifier",
}
NOISY = ("one_nearest", "nearest", "linear")


def rows(searches: Sequence[Record]) -> list[dict[str, Any]]:
    """One row of results.csv for each search, weighting and k."""
    setting = choosing.chosen(searches)
    table = []
    for record in searches:
        for weighting in record["weightings"]:
            for k in record["ks"]:
                mean, error = choosing.score_of(record, weighting, k)
                table.append(
                    {
                        "metric": record["metric"],
                        "rows": record["rows"],
                        "examples": record["examples"],
                        "weighting": weighting,
                        "k": k,
                        "accuracy": mean,
                        "standard_error": error,
                        "chosen": setting[:3] == (record["metric"], weighting, k),
                    }
                )
    return table


def best(record: Record) -> dict[str, Any]:
    """The best setting of a search, with one neighbour beside it."""
    _, weighting, k = choosing.best_of([record])
    mean, error = choosing.score_of(record, weighting, k)
    kept = ("metric", "rows", "examples", "scale")
    named = {name: record[name] for name in kept}
    named["title"] = METRICS[record["metric"]].title
    found = {"weighting": weighting, "k": k, "accuracy": mean, "standard_error": error}
    if 1 in record["ks"]:
        one, one_error = choosing.score_of(record, "uniform", 1)
        found |= {"one_nearest": one, "one_nearest_standard_error": one_error}
    return {**named, **found}


def of_choice(searches: Sequence[Record], setting: Setting) -> dict[str, Any]:
    """The setting, and what cross-validation says of it on the most rows."""
    mine = [one for one in searches if one["metric"] == setting.metric]
    record = max(mine, key=lambda one: one["examples"])
    mean, error = choosing.score_of(record, setting.weighting, setting.k)
    return {
        **setting._asdict(),
        "title": METRICS[setting.metric].title,
        "rows": record["rows"],
        "examples": record["examples"],
        "accuracy": mean,
        "standard_error": error,
        "at_largest_k": setting.k == max(record["ks"]),
    }


def of_test(
    answers: Mapping[str, np.ndarray], labels: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Accuracy of each classifier, and how it compares with the one chosen."""
    chosen = answers[CHOSEN] == labels
    found = {}
    names = (CHOSEN, *map(testing.one_nearest, BASELINES), LINEAR)
    for name in names:
        right = answers[name] == labels
        interval = intervals.proportion_interval(int(right.sum()), len(right))
        found[name] = {
            "title": TITLES[name],
            "right": int(right.sum()),
            "accuracy": float(right.mean()),
            "interval": list(interval),
            "chosen_less_this": float(chosen.mean() - right.mean()),
            "p_value": comparison.mcnemar(chosen, right).p_value,
        }
    return found


def of_local(record: Record) -> dict[str, Any]:
    """Accuracy of each local fit for every k, and the best of each compared."""
    right = {name: np.array(some, bool) for name, some in record["right"].items()}
    vote, linear = (
        some[some.mean(axis=1).argmax()]
        for some in (right[local.VOTE], right[local.LINEAR])
    )
    return {
        **{name: record[name] for name in ("metric", "ks", "queries", "bandwidth")},
        "title": METRICS[record["metric"]].title,
        "accuracy": {name: some.mean(axis=1).tolist() for name, some in right.items()},
        "interval": {
            name: [
                list(intervals.proportion_interval(int(one.sum()), len(one)))
                for one in some
            ]
            for name, some in right.items()
        },
        "linear_less_vote": float(linear.mean() - vote.mean()),
        "p_value": comparison.mcnemar(linear, vote).p_value,
    }


def of_time(record: Record) -> dict[str, Any]:
    """Medians a query, ratios and powers."""
    per_query = 1 / record["queries"]
    linear = float(np.median(record["linear"]["seconds"])) * per_query
    searches = {}
    for name, entries in record["searches"].items():
        seconds = np.array([one["seconds"] for one in entries]) * per_query
        medians = np.median(seconds, axis=1)
        searches[name] = {
            "title": METRICS[name].title,
            "seconds": medians.tolist(),
            "least": seconds.min(axis=1).tolist(),
            "most": seconds.max(axis=1).tolist(),
            "first_call": [one["first"] for one in entries],
            "times_linear": (medians / linear).tolist(),
            "power": cost.power(record["sizes"], medians),
        }
    kept = ("queries", "k", "sizes", "row_bytes", "linear_bytes")
    return {
        **{name: record[name] for name in kept},
        "searches": searches,
        "linear": linear,
        "linear_first_call": record["linear"]["first"],
    }


def of_noise(records: Sequence[Record], *, l2s: Sequence[float]) -> dict[str, Any]:
    """Means over repeats, with standard errors, and what noise took from each."""
    found: dict[str, Any] = {"noise_features": records[0]["noise_features"]}
    for name in NOISY:
        accuracy = np.array([one[name] for one in records])
        lost = accuracy[:, 0] - accuracy[:, -1]
        spread = intervals.mean_and_spread(lost)
        assert spread.interval is not None
        found[name] = {
            "accuracy": accuracy.mean(axis=0).tolist(),
            "standard_error": _error(accuracy),
            "lost": spread.mean,
            "lost_interval": list(spread.interval),
        }
    more = [
        one["nearest"][0] - one["nearest"][-1] - (one["linear"][0] - one["linear"][-1])
        for one in records
    ]
    spread = intervals.mean_and_spread(more)
    assert spread.interval is not None
    found["nearest_loses_more"] = {
        "mean": spread.mean,
        "interval": list(spread.interval),
    }
    found["repeats"] = len(records)
    found["largest_gap"] = max(max(one["largest_gap"]) for one in records)
    found["median_k"] = np.median([one["k"] for one in records], axis=0).tolist()
    chosen = np.array([one["l2"] for one in records])
    # Compared as float32, in which a sweep has them.
    ends = np.array([min(l2s), max(l2s)], np.float32)
    found["l2_at_an_end"] = int(np.isin(chosen.astype(np.float32), ends).sum())
    found["l2_chosen"] = chosen.size
    found["median_l2"] = np.median([one["l2"] for one in records], axis=0).tolist()
    return found


def _error(values: np.ndarray) -> list[float]:
    return (values.std(axis=0, ddof=1) / np.sqrt(len(values))).tolist()
