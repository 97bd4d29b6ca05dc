"""Cross-validation of one metric, and the choice among all that were compared."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common.draws import key_of, stratified
from experiments.common.study import Measured, Run
from experiments.nearest_neighbor import learner
from experiments.nearest_neighbor.config import FOLDS, SUBSAMPLE, Config
from experiments.nearest_neighbor.learner import METRICS
from jaxlin import data, neighbors
from jaxlin.selection import folds, rules

ALL, PART = "all", "subsample"

Record = Mapping[str, Any]


def searches(config: Config) -> dict[str, tuple[str, str]]:
    """The metrics with the rows that each is compared on, by part of a run."""
    found = [(metric, ALL) for metric in config.metrics]
    if config.subsample != config.train_examples:
        found = [(metric, PART) for metric in config.metrics]
        found += [(metric, ALL) for metric in config.on_all]
    return {f"search_{metric}_{rows}": (metric, rows) for metric, rows in found}


def measured(
    config: Config, dataset: data.Dataset, run: Run, *, metric: str, rows: str
) -> Measured:
    """Cross-validation of one metric on all training rows or the subsample.

    Returns:
      ``settings``, each weighting with each k and its accuracy in every fold, and the
      ``best`` of them; the ``scale`` that bandwidths are multiples of.
    """
    features, labels = dataset.train
    if rows == PART:
        some = stratified(key_of(config, SUBSAMPLE), labels, config.subsample)
        features, labels = features[some], labels[some]
    fold_ids = folds.stratified_k_fold(
        key_of(config, FOLDS), labels, num_folds=config.folds
    )
    (moved,) = learner.prepared(metric, dataset.train.features, features)
    found = neighbors.nearest_others(
        moved, metric=METRICS[metric].distance, k=max(config.ks), groups=fold_ids
    )
    scale = learner.typical(found.distances[:, 0])
    settings = []
    for name, weighting in learner.weightings(config.bandwidths, scale=scale).items():
        right = learner.votes(found, labels, config.ks, weighting) == labels[:, None]
        by_fold = [right[fold_ids == fold].mean(axis=0) for fold in range(config.folds)]
        accuracies = np.stack(by_fold, axis=1)
        means, errors = rules.mean_and_error(accuracies)
        for k, of_folds, mean, error in zip(
            config.ks, accuracies, means, errors, strict=True
        ):
            one = {"weighting": name, "k": k, "folds": of_folds}
            settings.append({**one, "accuracy": mean, "standard_error": error})
    record = {
        "search": f"search_{metric}_{rows}",
        "metric": metric,
        "title": METRICS[metric].title,
        "rows": rows,
        "examples": len(labels),
        "scale": scale,
        "settings": settings,
    }
    return Measured({**record, "best": best([record])[1]})


def best(records: Sequence[Record]) -> tuple[Record, Record]:
    """The record and the setting with the highest mean over folds.

    Of equally good settings the one with the fewest neighbours, and of those the one
    that comes first.
    """
    found = [(record, one) for record in records for one in record["settings"]]
    scores = [one["folds"] for _, one in found]
    return found[rules.best(scores, strength=[-one["k"] for _, one in found])]


def chosen(records: Sequence[Record]) -> dict[str, Any]:
    """The metric by the rows on which all are compared; k and weighting by most rows.

    Every metric is judged by its best k and weighting; those of the metric chosen are
    taken from all training rows, if it was compared there too.
    """
    compared = [one for one in records if one["rows"] == records[0]["rows"]]
    metric = best(compared)[0]["metric"]
    same = [one for one in records if one["metric"] == metric]
    record = max(same, key=lambda one: one["examples"])
    facts = {name: one for name, one in record.items() if name != "settings"}
    return {**facts, **record["best"]}


def table(records: Sequence[Record], choice: Record) -> Iterator[dict[str, Any]]:
    """One row of results.csv for each search, weighting and k."""
    for record in records:
        for one in record["settings"]:
            row = {name: record[name] for name in ("metric", "rows", "examples")}
            row |= {name: one[name] for name in one if name != "folds"}
            yield {**row, "chosen": all(choice[name] == row[name] for name in row)}
