"""Cross-validation of one metric: accuracy of every weighting and k in every fold."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.nearest_neighbor import spaces, voting
from experiments.nearest_neighbor.config import Config
from experiments.nearest_neighbor.draws import FOLDS, SUBSAMPLE, key_of, stratified
from experiments.nearest_neighbor.spaces import METRICS
from jaxlin import data, neighbors
from jaxlin.selection import folds, rules

ALL, PART = "all", "subsample"


Record = Mapping[str, Any]


class Setting(NamedTuple):
    """Choice by cross-validation.

    Attributes:
      metric: by name.
      weighting: by name, of `voting.names`.
      k: how many neighbours.
      scale: of distances, which bandwidths are multiples of.
    """

    metric: str
    weighting: str
    k: int
    scale: float


def searches(config: Config) -> list[tuple[str, str]]:
    """The metrics with the rows that each is compared on, in this order."""
    metrics: tuple[str, ...] = config.metrics
    if config.subsample == config.train_examples:
        return [(name, ALL) for name in metrics]
    return [(name, PART) for name in metrics] + [(name, ALL) for name in config.on_all]


def cross_validated(
    config: Config, dataset: data.Dataset, name: str, rows: str
) -> dict[str, Any]:
    """The record of one metric on all training rows or the subsample.

    Returns:
      ``accuracy``: lists ``(weightings, ks, folds)``; the ``scale`` that bandwidths are
      multiples of; how many ``examples``.
    """
    features, labels = dataset.train
    if rows == PART:
        some = stratified(key_of(config, SUBSAMPLE), labels, config.subsample)
        features, labels = features[some], labels[some]
    fold_ids = folds.stratified_k_fold(
        key_of(config, FOLDS), labels, num_folds=config.folds
    )
    (moved,) = spaces.changed(METRICS[name], dataset.train.features, features)
    found = neighbors.nearest_others(
        moved, metric=METRICS[name].distance, k=max(config.ks), groups=fold_ids
    )
    scale = typical(found.distances[:, 0])
    weightings = voting.names(config.bandwidths)
    answers = [
        voting.answers(
            found,
            labels,
            num_classes=dataset.num_classes,
            weights=voting.named(weighting, scale=scale),
            ks=config.ks,
        )
        for weighting in weightings
    ]
    return {
        "metric": name,
        "rows": rows,
        "examples": len(labels),
        "scale": scale,
        "ks": config.ks,
        "weightings": weightings,
        "accuracy": [
            by_fold(given == labels[:, None], fold_ids).tolist() for given in answers
        ],
    }


def typical(nearest: np.ndarray) -> float:
    """Median distance to the nearest neighbour, copies left out."""
    apart = nearest[nearest > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def by_fold(right: np.ndarray, fold_ids: np.ndarray) -> np.ndarray:
    """Share of right answers, ``(queries, ks)`` in, ``(ks, folds)`` out."""
    numbers = range(int(fold_ids.max()) + 1)
    return np.stack([right[fold_ids == fold].mean(axis=0) for fold in numbers], axis=1)


def chosen(records: Sequence[Record]) -> Setting:
    """The metric by the rows on which all are compared; k and weighting by most rows.

    Every metric is judged by its best k and weighting; those of the metric chosen are
    taken from all training rows, if it was compared there too. Of equally good settings
    the one with the fewest neighbours, and of those the one that comes first.
    """
    compared = [one for one in records if one["rows"] == records[0]["rows"]]
    metric = best_of(compared)[0]["metric"]
    most = max(
        (one for one in records if one["metric"] == metric),
        key=lambda one: one["examples"],
    )
    record, weighting, k = best_of([most])
    return Setting(metric, weighting, k, record["scale"])


def best_of(records: Sequence[Record]) -> tuple[Record, str, int]:
    """The record, the weighting and the k with the highest mean over folds."""
    settings, scores = [], []
    for record in records:
        for weighting, accuracy in zip(
            record["weightings"], record["accuracy"], strict=True
        ):
            for k, of_folds in zip(record["ks"], accuracy, strict=True):
                settings.append((record, weighting, k))
                scores.append(of_folds)
    fewest = [-k for _, _, k in settings]
    return settings[rules.best(np.array(scores), strength=fewest)]


def score_of(record: Record, weighting: str, k: int) -> tuple[float, float]:
    """Mean over folds and its standard error."""
    mean, error = rules.mean_and_error([of_folds(record, weighting, k)])
    return float(mean[0]), float(error[0])


def of_folds(record: Record, weighting: str, k: int) -> list[float]:
    """Accuracy of a setting in each fold."""
    place = record["weightings"].index(weighting)
    return record["accuracy"][place][record["ks"].index(k)]


def key_of_search(name: str, rows: str) -> str:
    """Name of the part of a run."""
    return f"search_{name}_{rows}"
