"""What follows from a measured cell: who was where when, and how far from the optimum.

The best known objective is the lowest that anybody reached, by the judge, in float64;
the lower bound of the optimum is the higher of our dual values, less what rounding may
hide. Pure functions of the stored numbers, so that a report can be made of a run that
is not complete.
"""

import math
import statistics
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmark_solvers import judge
from experiments.benchmark_solvers.traces import Point

# From coarse to fine; what is said "by tolerance" is a tuple in this order.
TOLERANCES = judge.TOLERANCES


class Reached(NamedTuple):
    """When a solver came within a tolerance.

    Attributes:
      seconds: a median over fits for ours.
      evaluations: as in `traces.Point`.
      later_than: seconds at which it was not there yet, as in `judge.Arrival`.
    """

    seconds: float
    evaluations: int | None
    later_than: float


class Ours(NamedTuple):
    """Our solver in one cell. By tolerance, None where it did not get there.

    Attributes:
      certified: to a proven relative gap of the tolerance, preparation included.
      level: to the tolerance above the best known objective.
      cold_certified: seconds of the first fit, which also traces and compiles.
      prepare_seconds: of the preparation alone, median.
      evaluation_seconds: of one evaluation, mean of a fit, median over fits.
      compile_seconds: of the first fit beyond the median.
      relative_gap: proven of the answer, in float32.
      gap: of the answer's objective to the lower bound, relative: what is proven of it.
      distance: of the answer's objective above the best known, relative.
      evaluations: of the whole fit.
      test_accuracy: of the answer.
      stopped: why it ended.
    """

    certified: tuple[Reached | None, ...]
    level: tuple[Reached | None, ...]
    cold_certified: tuple[float | None, ...]
    prepare_seconds: float
    evaluation_seconds: float
    compile_seconds: float
    relative_gap: float
    gap: float
    distance: float
    evaluations: int
    test_accuracy: float
    stopped: str


class Theirs(NamedTuple):
    """A peer in one cell.

    Attributes:
      name: of the peer.
      level: to each tolerance above the best known objective.
      hessian_products: up to the finest level that was reached.
      compile_seconds: charged to no other figure but ``ratios_with_compiling``.
      ratios: its seconds over ours at the same level; at least so much where it did not
        get there before its deadline, or is rerun and known only to have needed more;
        None where one of the two ended without getting there.
      ratios_certified: the same over ours to a proven gap of each tolerance.
      ratios_with_compiling: these with the compiling of both.
      at_least: by tolerance, whether the ratio is only a lower bound.
      gap: of its answer's objective to our lower bound, relative: what is proven of it.
      distance: of the answer's objective above the best known, relative.
      test_accuracy: of the answer.
      settings: in words.
      stopped: why it ended.
    """

    name: str
    level: tuple[Reached | None, ...]
    hessian_products: int
    compile_seconds: float
    ratios: tuple[float | None, ...]
    ratios_certified: tuple[float | None, ...]
    ratios_with_compiling: tuple[float | None, ...]
    at_least: tuple[bool, ...]
    gap: float
    distance: float
    test_accuracy: float | None
    settings: str
    stopped: str


class Conclusion(NamedTuple):
    """One loss with one l2.

    Attributes:
      loss: its name.
      l2: strength of half the sum of squares.
      best: the best known objective.
      best_of: who reached it.
      bound: the lower bound of the optimum.
      reference_gap: (best - bound) / best.
      ours: None if it got nowhere.
      theirs: in the order of measurement.
    """

    loss: str
    l2: float
    best: float
    best_of: str
    bound: float
    reference_gap: float
    ours: Ours | None
    theirs: list[Theirs]


def conclude(cell: dict[str, Any]) -> Conclusion | None:
    """Everything that a cell tells, None as long as it holds no objective."""
    objectives = {
        "float64 reference": [cell.get("reference", {}).get("objective")],
        "ours": [cell.get("ours", {}).get("objective")],
        **{name: peer["objectives"] for name, peer in cell["peers"].items()},
    }
    lowest = {
        name: min((one for one in values if one is not None), default=math.inf)
        for name, values in objectives.items()
    }
    best_of = min(lowest, key=lowest.__getitem__)
    best = lowest[best_of]
    if not math.isfinite(best):
        return None
    bound = max(
        (
            _bound(cell[name]["certificate"])
            for name in ("ours", "reference")
            if "certificate" in cell.get(name, {})
        ),
        default=-math.inf,
    )
    ours = _ours(cell.get("ours", {}), best, bound)
    theirs = [
        _theirs(name, peer, ours, best, bound) for name, peer in cell["peers"].items()
    ]
    return Conclusion(
        cell["loss"], cell["l2"], best, best_of, bound, 1 - bound / best, ours, theirs
    )


def finest(conclusion: Conclusion) -> int | None:
    """Position of the finest tolerance that ours has proven, None without one."""
    if conclusion.ours is None:
        return None
    proven = [i for i, one in enumerate(conclusion.ours.certified) if one is not None]
    return max(proven, default=None)


def nearest(conclusion: Conclusion, tolerance: int) -> Theirs | None:
    """The peer that is the least times slower than ours to that proven gap."""
    known = [
        (ratio, one)
        for one in conclusion.theirs
        if (ratio := one.ratios_certified[tolerance]) is not None
    ]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def _bound(certificate: dict[str, float]) -> float:
    return certificate["primal"] - certificate["gap"] - certificate["rounding"]


def _ours(entry: dict[str, Any], best: float, bound: float) -> Ours | None:
    cold, *warm = entry.get("fits") or [None]
    if cold is None or entry["objective"] is None:
        return None
    # Of a run that was cut after its first fit the first is all there is.
    warm = warm or [cold]

    def certified(fits: list[Any]) -> tuple[Reached | None, ...]:
        return tuple(
            _median([_first(fit, fit["relative_gaps"], tolerance) for fit in fits])
            for tolerance in TOLERANCES
        )

    whole = statistics.median(fit["seconds"][-1] for fit in warm)
    return Ours(
        certified=certified(warm),
        level=tuple(
            _median(
                [_first(fit, fit["objectives"], (1 + tolerance) * best) for fit in warm]
            )
            for tolerance in TOLERANCES
        ),
        cold_certified=tuple(map(_seconds, certified([cold]))),
        prepare_seconds=statistics.median(fit["prepare_seconds"] for fit in warm),
        evaluation_seconds=statistics.median(
            (fit["seconds"][-1] - fit["prepare_seconds"]) / len(fit["seconds"])
            for fit in warm
        ),
        compile_seconds=max(0.0, cold["seconds"][-1] - whole),
        relative_gap=entry["relative_gap"],
        gap=1 - bound / entry["objective"],
        distance=entry["objective"] / best - 1,
        evaluations=entry["evaluations"],
        test_accuracy=entry["test_accuracy"],
        stopped=entry["stopped"],
    )


def _first(fit: dict[str, Any], values: list[float], bound: float) -> Reached | None:
    """The first evaluation whose value is at most ``bound``."""
    for count, (value, seconds) in enumerate(
        zip(values, fit["seconds"], strict=True), start=1
    ):
        # What JSON cannot hold, an infinite bound before the first proof, is None.
        if value is not None and value <= bound:
            before = fit["seconds"][count - 2] if count > 1 else 0.0
            return Reached(seconds, count, before)
    return None


def _median(found: list[Reached | None]) -> Reached | None:
    """The middle one of several fits; None unless all got there."""
    there = sorted((one for one in found if one is not None), key=lambda one: one[0])
    if len(there) < len(found):
        return None
    middle = there[len(there) // 2]
    return middle._replace(seconds=statistics.median(one.seconds for one in there))


def _theirs(
    name: str, entry: dict[str, Any], ours: Ours | None, best: float, bound: float
) -> Theirs:
    points = [
        Point(seconds, evaluations, np.zeros((0, 0)), products)
        for seconds, evaluations, products in zip(
            entry["seconds"],
            entry["evaluations"],
            entry["hessian_products"],
            strict=True,
        )
    ]
    values = [math.inf if one is None else one for one in entry["objectives"]]
    found = judge.arrivals(points, np.array(values), best=best)
    arrivals = [found[tolerance] for tolerance in TOLERANCES]
    taken, at_least = zip(*(_taken(entry, one) for one in arrivals), strict=True)
    objective = entry["objective"]
    objective = math.inf if objective is None else objective
    compiling = entry["compile_seconds"]
    level: tuple[float | None, ...] = (None,) * len(TOLERANCES)
    certified = cold = level
    if ours is not None:
        level = tuple(map(_seconds, ours.level))
        certified = tuple(map(_seconds, ours.certified))
        cold = ours.cold_certified
    there = math.isfinite(objective)
    return Theirs(
        name,
        tuple(
            one and Reached(one.seconds, one.evaluations, one.later_than)
            for one in arrivals
        ),
        max((one.hessian_products for one in arrivals if one is not None), default=0),
        compiling,
        ratios=tuple(map(_ratio, taken, level)),
        ratios_certified=tuple(map(_ratio, taken, certified)),
        ratios_with_compiling=tuple(
            _ratio(None if one is None else one + compiling, ours_then)
            for one, ours_then in zip(taken, cold, strict=True)
        ),
        at_least=at_least,
        gap=1 - bound / objective if there else math.inf,
        distance=objective / best - 1,
        test_accuracy=entry["test_accuracy"],
        settings=entry["settings"],
        stopped=entry["stopped"],
    )


def _taken(
    entry: dict[str, Any], arrival: judge.Arrival | None
) -> tuple[float | None, bool]:
    """Seconds to count for a peer, and whether it needed at least those or just those.

    Of a method that is rerun with more and more iterations the seconds of the longest
    run that was not enough.
    """
    if arrival is not None:
        if entry["rerun"] and arrival.later_than:
            return arrival.later_than, True
        return arrival.seconds, False
    if entry["finished"]:
        return None, False
    elapsed = max(entry["seconds"], default=0.0)
    if entry["stopped"].startswith("killed"):
        elapsed = max(elapsed, entry["deadline_s"])
    return elapsed or None, True


def _seconds(reached: Reached | None) -> float | None:
    return None if reached is None else reached.seconds


def _ratio(theirs: float | None, ours: float | None) -> float | None:
    return None if theirs is None or ours is None else theirs / ours
