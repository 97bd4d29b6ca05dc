"""Seconds to each tolerance, distance of each answer, and ratios of peers to ours.

The best known objective is the lowest that anybody reached, by the judge, in float64;
the lower bound of the optimum is the higher of our dual values, less what rounding may
hide. Pure functions of the stored numbers and arrays.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmark_solvers import ours
from experiments.benchmark_solvers.config import TOLERANCES, Config, chosen_peers
from experiments.common.study import Measured, Run
from jaxlin import data

REFERENCE = "float64 reference"
_RATIOS = ("ratio", "ratio_proven", "ratio_with_compiling")


class Solver(NamedTuple):
    """The stored numbers and arrays of one solver in one cell."""

    numbers: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def warm(self) -> slice:
        """The fits of ours after the one that compiles, or that one alone."""
        return slice(len(self.numbers["fits"]) > 1, None)


class Reached(NamedTuple):
    """Seconds of a solver until it was first within a tolerance.

    Attributes:
      seconds: as used in ratios: a median over fits for ours; the lower end for a peer
        that is rerun or was stopped before.
      low: fastest fit of ours, or seconds that were not enough for a peer.
      high: slowest fit of ours, or seconds that were enough; None if a peer was stopped
        before.
      evaluations: at that point, None where unknown.
    """

    seconds: float
    low: float
    high: float | None
    evaluations: int | None = None


def part(name: str, *, loss: str, l2: float) -> str:
    """The name of the part of a solver."""
    return f"{loss}-{l2}-{name.replace(' ', '-')}"


def measure(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """The cells of all losses and l2."""

    def stored(name: str, **cell: Any) -> Solver:
        there = part(name, **cell)
        return Solver(run.numbers(there), run.arrays(there))

    cells = []
    for loss in config.losses:
        for l2 in config.l2s:
            at: dict[str, Any] = {"loss": loss, "l2": l2}
            peers = [stored(peer.name, **at) for peer in chosen_peers(config, loss)]
            found = conclude(stored("ours", **at), stored("reference", **at), peers)
            cells.append({**at, **found})
    return Measured({"cells": cells})


def conclude(mine: Solver, reference: Solver, peers: Sequence[Solver]) -> dict:
    """The conclusions of a cell; ``best`` is infinite if no solver has an answer."""
    lowest = {
        REFERENCE: _or_infinite(reference.numbers["objective"]),
        ours.NAME: _or_infinite(mine.numbers["objective"]),
        **{
            peer.numbers["name"]: float(np.nanmin([*peer.arrays["objectives"], np.inf]))
            for peer in peers
        },
    }
    best_of = min(lowest, key=lowest.__getitem__)
    best = lowest[best_of]
    bounds = [one.numbers["fits"][-1:] for one in (mine, reference)]
    bound = max((fits[0]["bound"] for fits in bounds if fits), default=-math.inf)
    times = [row for within in TOLERANCES for row in _times(mine, peers, within, best)]
    return {
        "best": best,
        "best_of": best_of,
        "bound": bound,
        "reference_gap": 1 - bound / best,
        "ours": _ours(mine),
        "answers": [_answer(one, best, bound) for one in (mine, *peers)],
        "times": times,
        "nearest": _nearest(times),
    }


def of_fits(mine: Solver, what: str, bound: float, *, fits: slice) -> Reached | None:
    """Seconds of ours until a value is at most ``bound``: median and range over fits.

    Args:
      mine: our fits.
      what: ``objectives`` or ``relative_gaps``.
      bound: of these.
      fits: those that count.

    Returns:
      None unless all of them got there.
    """
    numbers = range(len(mine.numbers["fits"]))[fits]
    seconds = [mine.arrays[f"seconds-{number}"] for number in numbers]
    firsts = [_first(mine.arrays[f"{what}-{number}"], bound) for number in numbers]
    there = sorted(
        (float(each[first]), first + 1)
        for each, first in zip(seconds, firsts, strict=True)
        if first is not None
    )
    if not there or len(there) < len(firsts):
        return None
    return Reached(
        statistics.median(seconds for seconds, _ in there),
        there[0][0],
        there[-1][0],
        there[len(there) // 2][1],
    )


def of_peer(peer: Solver, level: float) -> Reached | None:
    """Seconds of a peer until its objective is at most ``level``; None if it ended."""
    numbers, seconds = peer.numbers, peer.arrays["seconds"]
    first = _first(peer.arrays["objectives"], level)
    if first is None:
        if numbers["finished"]:
            return None
        elapsed = max(seconds, default=0.0)
        if numbers["stopped"].startswith("killed"):
            elapsed = max(elapsed, numbers["deadline_s"])
        return Reached(elapsed, elapsed, None) if elapsed else None
    there = float(seconds[first])
    count = peer.arrays["evaluations"][first]
    evaluations = None if np.isnan(count) else int(count)
    # Runs of a method that is rerun are timed apart: a longer one may be faster.
    before = min(float(seconds[first - 1]), there) if first else 0.0
    if numbers["rerun"] and before:
        return Reached(before, before, there, evaluations)
    return Reached(there, there, there, evaluations)


def _ours(mine: Solver) -> dict[str, Any] | None:
    """Seconds of the parts of our fits; None without a fit."""
    fits = mine.numbers["fits"]
    if not fits:
        return None
    whole = [mine.arrays[f"seconds-{number}"] for number in range(len(fits))]
    warm = mine.warm
    last = statistics.median(seconds[-1] for seconds in whole[warm])
    return {
        "fits": len(whole[warm]),
        "prepare_seconds": statistics.median(
            fit["prepare_seconds"] for fit in fits[warm]
        ),
        "evaluation_seconds": statistics.median(
            (seconds[-1] - fit["prepare_seconds"]) / len(seconds)
            for fit, seconds in zip(fits[warm], whole[warm], strict=True)
        ),
        "compile_seconds": max(0.0, whole[0][-1] - last),
    }


def _times(
    mine: Solver, peers: Sequence[Solver], within: float, best: float
) -> list[dict[str, Any]]:
    """A row for each solver that was within a tolerance, or may have come there."""
    level = (1 + within) * best
    proven = of_fits(mine, "relative_gaps", within, fits=mine.warm)
    reached = of_fits(mine, "objectives", level, fits=mine.warm)
    cold = of_fits(mine, "relative_gaps", within, fits=slice(1))
    own = _ours(mine)
    rows: list[dict[str, Any]] = [
        {
            "solver": f"{ours.NAME}, {what}",
            **_shown(one),
            "compile_seconds": own["compile_seconds"] if own else 0.0,
            **dict.fromkeys(("hessian_products", *_RATIOS)),
        }
        for what, one in (("proven gap", proven), ("objective", reached))
    ]
    for peer in peers:
        there = of_peer(peer, level)
        extra = peer.numbers["compile_seconds"]
        first = _first(peer.arrays["objectives"], level)
        products = peer.arrays["hessian_products"]
        rows.append(
            {
                "solver": peer.numbers["name"],
                **_shown(there),
                "hessian_products": 0 if first is None else int(products[first]),
                "compile_seconds": extra,
                "ratio": _ratio(there, reached),
                "ratio_proven": _ratio(there, proven),
                "ratio_with_compiling": there
                and cold
                and (there.seconds + extra) / cold.seconds,
            }
        )
    return [{"within": within, **row} for row in rows]


def _nearest(times: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The finest tolerance that ours has proven, and the peer with the least ratio."""
    proven = [one for one in times if one["solver"].endswith("proven gap")]
    mine = [one for one in proven if one["seconds"] is not None]
    if not mine:
        return None
    rivals = [
        one
        for one in times
        if one["within"] == mine[-1]["within"] and one["ratio_proven"]
    ]
    nearest = min(rivals, key=lambda one: one["ratio_proven"]["value"], default=None)
    return {"ours": mine[-1], "peer": nearest}


def _answer(one: Solver, best: float, bound: float) -> dict[str, Any]:
    """Distances of an answer above the best known objective and above the bound."""
    numbers = one.numbers
    objective = _or_infinite(numbers["objective"])
    return {
        "solver": numbers["name"],
        "distance": objective / best - 1,
        "gap": 1 - bound / objective if math.isfinite(objective) else math.inf,
        "test_accuracy": numbers["test_accuracy"],
        "stopped": numbers["stopped"],
        "settings": numbers["settings"],
    }


def _first(values: np.ndarray, bound: float) -> int | None:
    """Index of the first value that is at most ``bound``."""
    below = np.flatnonzero(values <= bound)
    return int(below[0]) if len(below) else None


def _shown(reached: Reached | None) -> dict[str, Any]:
    return reached._asdict() if reached else dict.fromkeys(Reached._fields)


def _ratio(
    peer: Reached | None, mine: Reached | None
) -> dict[str, float | None] | None:
    """Seconds of a peer over ours, with the interval of both."""
    if peer is None or mine is None:
        return None
    assert mine.high is not None
    return {
        "value": peer.seconds / mine.seconds,
        "low": peer.low / mine.high,
        "high": None if peer.high is None else peer.high / mine.low,
        "at_least": peer.high != peer.low,
    }


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value
