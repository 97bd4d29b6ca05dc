"""The terms of every class and of both errors, from what was measured."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.common.study import Measured
from experiments.error_decomposition.config import Config, known
from jaxlin.stats import comparison, decomposition
from jaxlin.stats.intervals import Interval

TITLES = {
    "pixels": "linear on pixels",
    "patches": "linear on patches",
    "network": "network",
}
TERMS = ("modelling", "estimation", "optimisation")
KINDS = ("zero_one", "surrogate")
# Classes in which the optimum's error falls as 1 / n.
_REGULAR = ("pixels", "patches")
# Exponents of a curve that a + b / n may still describe.
_NEAR_ONE = (0.5, 2.0)
# What is known of how the best on the sample splits into modelling and estimation.
MEASURED, BOUNDED, UNKNOWN = "measured", "between bounds", "not measurable"


def results(
    config: Config, found: Mapping[str, Measured], *, num_classes: int
) -> dict[str, Any]:
    """Numbers over all classes."""
    error, source = known(config, "published_error")
    entropy = decomposition.least_cross_entropy(error, num_classes=num_classes)
    reference = {"zero_one": (0.0, error), "surrogate": (0.0, entropy)}
    classes: dict[str, Any] = {
        name: {
            kind: _of_class(name, one.arrays, kind, reference[kind]) for kind in KINDS
        }
        for name, one in found.items()
    }
    return {
        "reference": reference,
        "published_by": source,
        "human_by": known(config, "human_error")[1],
        "classes": classes,
        "trade": trade(classes),
        "heads": _heads(found["network"].arrays) if "network" in found else None,
    }


def trade(classes: Mapping[str, Any]) -> dict[str, str] | None:
    """Changes of the terms from pixels to patches; None unless both are there.

    The slide's trade is that modelling error falls and estimation error rises.
    """
    if not {"pixels", "patches"} <= set(classes):
        return None
    terms = [classes[name]["zero_one"] for name in ("pixels", "patches")]
    return {
        name: _change(*(one[name].interval for one in terms))
        for name in ("modelling", "estimation")
    }


def _change(before: Interval, after: Interval) -> str:
    if after.high < before.low:
        return "falls"
    return "rises" if after.low > before.high else "not measurably"


def is_in_doubt(exponent: float) -> bool:
    """Returns whether the curve a + b / n and the split of the terms may fail."""
    return not _NEAR_ONE[0] <= exponent <= _NEAR_ONE[1]


def rows(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One row of results.csv for each class, loss and term."""
    for name, both in found["classes"].items():
        for kind, one in both.items():
            for term in ("error", *TERMS, "best_of_class"):
                row = {"class": name, "loss": kind, "term": term}
                yield {**row, "value": one[term]["value"], **one[term]["interval"]}


def _of_class(
    name: str,
    arrays: Mapping[str, np.ndarray],
    kind: str,
    reference: tuple[float, float],
) -> dict[str, Any]:
    """The decomposition, and whether its split into the first two terms holds."""
    losses = {part: arrays[f"{part}-{kind}"] for part in decomposition.Measured._fields}
    is_regular, split = name in _REGULAR, MEASURED
    taken = decomposition.decompose(
        decomposition.Measured(**losses), reference=reference, is_regular=is_regular
    )
    if not is_regular:
        split = BOUNDED if taken.estimation.interval.low > 0 else UNKNOWN
    bootstrap = arrays.get(f"bootstrap-{kind}")
    return {
        **taken._asdict(),
        "split": split,
        # Of networks theory says nothing.
        "in_doubt": is_regular and is_in_doubt(taken.exponent),
        "curve": [losses[part].mean() for part in ("quarters", "halves", "optimum")],
        "bootstrap": None
        if bootstrap is None
        else decomposition.bootstrap_estimation(losses["optimum"][0], bootstrap),
    }


def _heads(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The network's own head against the certified one on the same features."""
    own, other = (arrays[f"{name}-zero_one"] for name in ("trained", "optimum"))
    tests = [
        comparison.mcnemar(mine == 0, theirs == 0)
        for mine, theirs in zip(own, other, strict=True)
    ]
    return {
        "own_error": own.mean(axis=1),
        "certified_error": other.mean(axis=1),
        "p_values": comparison.holm([one.p_value for one in tests]),
    }
