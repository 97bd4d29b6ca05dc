"""The terms of every class and of both errors, from what was measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.common.study import Measured, Run
from experiments.error_decomposition import config as settings
from experiments.error_decomposition import losses_of
from experiments.error_decomposition.config import Config
from jaxlin.stats import comparison, decomposition, intervals
from jaxlin.stats.decomposition import Decomposition

TITLES = {
    "pixels": "linear on pixels",
    "patches": "linear on patches",
    "network": "network",
}
TERMS = ("modelling", "estimation", "optimisation")
# Classes in which the optimum's error falls as 1 / n.
_REGULAR = ("pixels", "patches")
# Exponents of a curve that a + b / n may still describe.
_NEAR_ONE = (0.5, 2.0)
# What is known of how the best on the sample splits into modelling and estimation.
MEASURED, BOUNDED, UNKNOWN = "measured", "between bounds", "not measurable"


def references(config: Config, num_classes: int) -> dict[str, tuple[float, float]]:
    """Bounds known of the least error of any function, for both losses."""
    error = settings.published_error(config)
    entropy = decomposition.least_cross_entropy(error, num_classes=num_classes)
    return {"surrogate": (0.0, entropy), "zero_one": (0.0, error)}


def results(
    config: Config, found: Mapping[str, Measured], *, num_classes: int
) -> dict[str, Any]:
    """Numbers over all classes."""
    reference = references(config, num_classes)
    classes = {
        name: {
            "title": TITLES[name],
            "measured": dict(one.numbers),
            **{
                kind: _of_class(name, one, kind, reference[kind])
                for kind in losses_of.KINDS
            },
            **({"heads": _heads(one)} if name == "network" else {}),
        }
        for name, one in found.items()
    }
    return {
        "reference": reference,
        "published_by": settings.source(config, "published_error"),
        "human_error": settings.human_error(config),
        "human_by": settings.source(config, "human_error"),
        "classes": classes,
        "trade": trade(classes),
    }


def of_run(run: Run) -> dict[str, Any]:
    """The numbers of a run, classes in the order of its config."""
    found = run.numbers("summary")
    classes = {name: found["classes"][name] for name in run.config.classes}
    return {**found, "classes": classes}


def trade(classes: Mapping[str, Any]) -> dict[str, str] | None:
    """Changes of the terms from pixels to patches; None unless both are there.

    The slide's trade is that modelling error falls and estimation error rises.
    """
    if not {"pixels", "patches"} <= set(classes):
        return None
    few, many = (classes[name]["zero_one"] for name in ("pixels", "patches"))
    found = {}
    for part in ("modelling", "estimation"):
        before, after = few[part]["interval"], many[part]["interval"]
        found[part] = "not measurably"
        if after[1] < before[0]:
            found[part] = "falls"
        elif after[0] > before[1]:
            found[part] = "rises"
    return found


def is_in_doubt(exponent: float) -> bool:
    """Returns whether the curve a + b / n and the split of the terms may fail."""
    return not _NEAR_ONE[0] <= exponent <= _NEAR_ONE[1]


def rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row of results.csv for each class, loss and term."""
    return [
        {
            "class": name,
            "loss": kind,
            "term": term,
            "value": one[kind][term]["value"],
            "low": one[kind][term]["interval"][0],
            "high": one[kind][term]["interval"][1],
        }
        for name, one in results["classes"].items()
        for kind in losses_of.KINDS
        for term in ("error", *TERMS, "best_of_class")
    ]


def _of_class(
    name: str, found: Measured, kind: str, reference: tuple[float, float]
) -> dict[str, Any]:
    arrays = {
        part: found.arrays[f"{part}-{kind}"] for part in decomposition.Measured._fields
    }
    taken = decomposition.decompose(
        decomposition.Measured(**arrays),
        reference=reference,
        is_regular=name in _REGULAR,
    )
    told = _told(taken)
    told["split"] = MEASURED
    if name not in _REGULAR:
        falls = taken.estimation.interval.low > 0
        told["split"] = BOUNDED if falls else UNKNOWN
    # Of networks theory says nothing.
    told["in_doubt"] = name in _REGULAR and is_in_doubt(taken.exponent)
    told["curve"] = [
        float(arrays[part].mean()) for part in ("quarters", "halves", "optimum")
    ]
    told["train"] = found.numbers[f"train_{kind}"]
    drawn = found.arrays.get(f"bootstrap-{kind}")
    told["bootstrap"] = None
    if drawn is not None:
        told["bootstrap"] = _estimate(
            decomposition.bootstrap_estimation(arrays["optimum"][0], drawn)
        )
    runs = intervals.mean_and_spread(arrays["trained"].mean(axis=1))
    told["spread_over_runs"] = runs.standard_deviation
    return told


def _told(taken: Decomposition) -> dict[str, Any]:
    terms: dict[str, Any] = {
        name: _estimate(getattr(taken, name))
        for name in ("error", *TERMS, "best_of_class")
    }
    terms["irreducible"] = sum(taken.reference) / 2
    terms["exponent"] = taken.exponent
    terms["next_order"] = taken.next_order
    return terms


def _heads(found: Measured) -> dict[str, Any]:
    """The network's own head against the certified one on the same features."""
    own, other = (found.arrays[f"{name}-zero_one"] for name in ("trained", "optimum"))
    test = [
        comparison.mcnemar(mine == 0, theirs == 0)
        for mine, theirs in zip(own, other, strict=True)
    ]
    return {
        "own_error": own.mean(axis=1).tolist(),
        "certified_error": other.mean(axis=1).tolist(),
        "p_values": list(comparison.holm([one.p_value for one in test])),
        "same_labels_right": float(np.mean((own == 0) == (other == 0))),
    }


def _estimate(estimate: comparison.Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "interval": list(estimate.interval)}
