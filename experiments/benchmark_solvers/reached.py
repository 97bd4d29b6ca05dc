"""Seconds of a solver to each tolerance, and ratios of peers to ours.

A tolerance is a relative distance above the objective of the float64 reference, or a
relative gap that ours has proven.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmark_solvers.isolation import Trace
from experiments.benchmark_solvers.peers import Peer

# Coarse first.
TOLERANCES = (1e-2, 1e-3, 1e-4)

Row = dict[str, Any]


class Reached(NamedTuple):
    """Seconds of a solver until it was first within a tolerance.

    Attributes:
      seconds: as used in ratios: a median over fits for ours; the lower end for a peer
        that is rerun or was stopped before; None if it ended without.
      low: fastest fit of ours, or seconds that were not enough for a peer.
      high: slowest fit of ours, or seconds that were enough; None if a peer was stopped
        before.
      passes: at that point, None where unknown.
    """

    seconds: float | None = None
    low: float | None = None
    high: float | None = None
    passes: int | None = None


NEVER = Reached()


def of_fits(fits: Sequence[Mapping], series: str, level: float) -> Reached:
    """Seconds of ours until a series is at most ``level``: median and range over fits.

    Args:
      fits: records of `ours`; never unless all of them get there.
      series: ``objectives`` or ``relative_gaps``.
      level: of these.
    """
    there = []
    for fit in fits:
        first = _first(fit[series], level)
        if first is None:
            return NEVER
        there.append((fit["seconds"][first], first + 1))
    if not there:
        return NEVER
    there.sort()
    median = statistics.median(seconds for seconds, _ in there)
    return Reached(median, there[0][0], there[-1][0], there[len(there) // 2][1])


def of_peer(peer: Peer, trace: Trace, objectives: np.ndarray, level: float) -> Reached:
    """Seconds of a peer until its objective is at most ``level``.

    Args:
      peer: says whether its points are of runs that were timed apart.
      trace: its points.
      objectives: of the points.
      level: of the objective.
    """
    seconds = [point.seconds for point in trace.points]
    first = _first(objectives, level)
    if first is not None:
        there = before = seconds[first]
        if peer.rerun and first:
            # A longer run may be faster.
            before = min(seconds[first - 1], there)
        return Reached(before, before, there, trace.points[first].passes)
    if trace.finished or not seconds:
        return NEVER
    return Reached(max(seconds), max(seconds))


def rows_of_ours(fits: Sequence[Mapping], reference: float) -> list[Row]:
    """Times of our fits at each tolerance: until its proof, and by the objective.

    Args:
      fits: records; the first compiles and counts by itself.
      reference: objective of the reference.
    """
    whole = [fit["seconds"][-1] for fit in fits]
    compiling = whole[0] - statistics.median(whole[1:]) if fits[1:] else 0.0
    rows = []
    for within in TOLERANCES:
        for what, series, level in (
            ("proven gap", "relative_gaps", within),
            ("objective", "objectives", (1 + within) * reference),
        ):
            row = {
                "solver": f"jaxlin, {what}",
                "within": within,
                **of_fits(fits[1:], series, level)._asdict(),
                "compile_seconds": max(0.0, compiling),
                "first_seconds": of_fits(fits[:1], series, level).seconds,
            }
            none = dict.fromkeys(("ratio", "ratio_proven", "ratio_with_compiling"))
            rows.append({**row, **none})
    return rows


def rows_of_peer(
    peer: Peer,
    trace: Trace,
    objectives: np.ndarray,
    reference: float,
    ours: Sequence[Row],
) -> list[Row]:
    """Times of a peer at each tolerance, with the ratios to ours.

    Args:
      peer: that was run.
      trace: its points.
      objectives: of the points.
      reference: objective of the reference.
      ours: rows of `rows_of_ours`.
    """
    rows = []
    for proven, lower in zip(ours[::2], ours[1::2], strict=True):
        within = proven["within"]
        there = of_peer(peer, trace, objectives, (1 + within) * reference)
        row = {
            "solver": peer.name,
            "within": within,
            **there._asdict(),
            "compile_seconds": trace.compile_seconds,
            "ratio": ratio(there, lower),
            "ratio_proven": ratio(there, proven),
            "ratio_with_compiling": None,
        }
        if there.seconds and proven["first_seconds"]:
            whole = there.seconds + trace.compile_seconds
            row["ratio_with_compiling"] = whole / proven["first_seconds"]
        rows.append(row)
    return rows


def ratio(peer: Reached, ours: Row) -> Row | None:
    """Seconds of a peer over ours, with the interval of both."""
    if peer.seconds is None or peer.low is None or ours["seconds"] is None:
        return None
    return {
        "value": peer.seconds / ours["seconds"],
        "low": peer.low / ours["high"],
        "high": None if peer.high is None else peer.high / ours["low"],
        "at_least": peer.high != peer.low,
    }


def _first(values: Any, level: float) -> int | None:
    """Index of the first value that is at most ``level``."""
    below = np.flatnonzero(np.asarray(values) <= level)
    return int(below[0]) if len(below) else None
