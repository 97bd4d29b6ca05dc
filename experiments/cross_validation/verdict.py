"""What all samples together say about each estimate and each choice."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.cross_validation.protocol import ESTIMATES
from jaxlin import intervals

Record = dict[str, Any]
# Whose choices are compared, and an estimate that has each.
IDEAS = {
    "1: train only": "training examples",
    "2: train / test": "test set",
    "3: train / validation / test": "validation set",
    "4: cross-validation / test": "folds",
}


def results(records: Sequence[Record]) -> dict[str, Any]:
    """Bias and spread of each estimate, choices of each idea, what was proven."""
    return {
        "estimates": {name: _of_estimate(name, records) for name in ESTIMATES},
        "choices": {name: _of_choice(name, records) for name in IDEAS},
        "samples": len(records),
        "fits": sum(record["fits"] for record in records),
        "certified": sum(record["certified"] for record in records),
        "largest_gap": max(record["largest_gap"] for record in records),
    }


def rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a sample and estimate."""
    return [
        {"sample": record["sample"], "name": name, **record["estimates"][name]}
        for record in records
        for name in ESTIMATES
    ]


def errors(name: str, records: Sequence[Record]) -> np.ndarray:
    """Estimate less truth, one a sample."""
    found = [record["estimates"][name] for record in records]
    return np.array([one["estimate"] - one["truth"] for one in found])


def log_l2(name: str, records: Sequence[Record]) -> np.ndarray:
    """log10 of the l2 chosen, one a sample."""
    return np.log10([record["estimates"][name]["l2"] for record in records])


def log_oracle(records: Sequence[Record]) -> np.ndarray:
    """log10 of the l2 whose fit on four fifths is best in truth."""
    return np.log10([record["oracle_l2"] for record in records])


def _of_estimate(name: str, records: Sequence[Record]) -> dict[str, Any]:
    found = [record["estimates"][name] for record in records]
    spread = intervals.mean_and_spread(errors(name, records))
    assert spread.standard_deviation is not None
    return {
        "estimate": float(np.mean([one["estimate"] for one in found])),
        "truth": float(np.mean([one["truth"] for one in found])),
        "bias": spread.mean,
        "bias_standard_error": spread.standard_deviation / np.sqrt(len(records)),
        "bias_interval": list(spread.interval or ()),
        "spread": spread.standard_deviation,
    }


def _of_choice(name: str, records: Sequence[Record]) -> dict[str, Any]:
    chosen, oracle = log_l2(name, records), log_oracle(records)
    curve = [np.array(record["curves"]["truth"]) for record in records]
    places = [record["l2"].index(record["estimates"][name]["l2"]) for record in records]
    lost = [
        record["oracle_truth"] - truth[place]
        for record, truth, place in zip(records, curve, places, strict=True)
    ]
    return {
        "log10_l2_median": float(np.median(chosen)),
        "log10_l2_spread": float(chosen.std(ddof=1)),
        "log10_l2_bias": float(np.mean(chosen - oracle)),
        # Of the l2 chosen, fitted on four fifths, whichever the idea.
        "accuracy_lost": float(np.mean(lost)),
    }
