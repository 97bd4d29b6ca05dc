"""The parts of a run: growth, and each solver of each loss and l2.

A part is one solver, so that a run that is cut loses only the solver at work.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.benchmark_solvers import (
    growth,
    isolation,
    ours,
    peers,
    reached,
)
from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_solvers.config import Config
from experiments.benchmark_solvers.isolation import Trace
from experiments.benchmark_solvers.peers import Peer
from experiments.common import text
from experiments.common.study import Measured, Part, Results, Run
from jaxlin import data

# A reference in float64 may be slow; it is charged to nobody.
_REFERENCE_SECONDS = 7200.0


def parts(config: Config) -> Mapping[str, Part]:
    """The parts that a config names, the short ones first."""
    found: dict[str, Part] = {}
    if "growth" in config.what:
        for loss in config.growth_losses:
            for dimension in growth.DIMENSIONS:
                found[growth.part(loss, dimension)] = functools.partial(
                    growth.measure, loss=loss, dimension=dimension
                )
    if "compare" in config.what:
        for loss in config.losses:
            for l2 in config.l2s:
                cell: dict[str, Any] = {"loss": loss, "l2": l2}
                found[part("reference", **cell)] = functools.partial(_reference, **cell)
                found[part("ours", **cell)] = functools.partial(_ours, **cell)
                for peer in peers.of(loss, config.peers):
                    found[part(peer.name, **cell)] = functools.partial(
                        _peer, peer=peer, **cell
                    )
    return found


def part(name: str, *, loss: str, l2: float) -> str:
    """The name of the part of a solver."""
    return f"{loss}-{l2}-{name.replace(' ', '-')}"


def rows(run: Run) -> Iterator[Mapping[str, Any]]:
    """The rows of sizes, and solvers at each tolerance."""
    for name in parts(run.config):
        found = run.numbers(name)
        if name.startswith("growth-"):
            for row in found["sizes"]:
                yield {"part": name, "loss": found["loss"], **row}
        else:
            for row in found["times"]:
                at = {"loss": found["loss"], "l2": found["l2"]}
                yield {"part": "compare", **at, **text.flat(row)}


def headlines(results: Results) -> Mapping[str, float]:
    """The least ratios of peers to ours, and the slopes."""
    found: dict[str, float] = {}
    for name, one in results.items():
        if name.startswith("growth-"):
            if one["slopes"]:
                slope = f"slope of {one['dimension']}, {one['loss']}"
                found[slope] = one["slopes"]["fit"]
        elif one["finest"] and one["finest"]["ratio_proven"]:
            nearest = f"nearest peer / ours, {one['loss']}"
            ratio = one["finest"]["ratio_proven"]["value"]
            found[nearest] = min(ratio, found.get(nearest, ratio))
    return found


def answer(values: np.ndarray, *, finished: bool) -> int:
    """Index of the last point of a solver that finished, else of the lowest point."""
    lowest = int(np.argmin(np.where(np.isnan(values), np.inf, values)))
    return len(values) - 1 if finished else lowest


def _reference(
    config: Config, dataset: data.Dataset, run: Run, *, loss: str, l2: float
) -> Measured:
    """Our fit in float64: the objective that the others are compared with."""
    solver = ours.reference(config.reference_gap, config.reference_passes)
    long = dataclasses.replace(config, deadline_s=_REFERENCE_SECONDS)
    return _judged(long, dataset, solver, loss=loss, l2=l2)[0]


def _ours(
    config: Config, dataset: data.Dataset, run: Run, *, loss: str, l2: float
) -> Measured:
    """Our timed fits."""
    solver = ours.timed(config.repeats, config.max_passes, config.settle_s)
    measured, trace = _judged(config, dataset, solver, loss=loss, l2=l2)
    reference = run.numbers(part("reference", loss=loss, l2=l2))
    times = reached.rows_of_ours(trace.records, reference["objective"] or math.nan)
    return compared(measured, reference, times, times)


def _peer(
    config: Config, dataset: data.Dataset, run: Run, *, peer: Peer, loss: str, l2: float
) -> Measured:
    """One peer, stopped where it is as low as the reference."""
    reference = run.numbers(part("reference", loss=loss, l2=l2))
    best = reference["objective"] or math.nan
    target = (1 + config.stop_at) * best if config.stop_at else None
    how: Any = {"loss": loss, "l2": l2, "target": target}
    measured, trace = _judged(config, dataset, peer, **how)
    own = run.numbers(part("ours", loss=loss, l2=l2))["times"]
    objectives = measured.arrays["objectives"]
    times = reached.rows_of_peer(peer, trace, objectives, best, own)
    return compared(measured, reference, times, own)


def _judged(
    config: Config,
    dataset: data.Dataset,
    peer: Peer,
    *,
    loss: str,
    l2: float,
    target: float | None = None,
) -> tuple[Measured, Trace]:
    """Runs a solver: its answer, and its points as arrays."""
    train, test = all_rows.of(dataset)
    # Threads of BLAS and XLA spin for a while before they sleep.
    time.sleep(config.settle_s)
    how: Any = {"loss": loss, "l2": l2}
    solve = functools.partial(peer.solve, train, **how, **peer.settings)
    trace = isolation.run(solve, deadline_s=config.deadline_s, target=target)
    points = trace.points
    weights = np.array([point.weights for point in points], np.float32)
    weights = weights.reshape(-1, train.num_classes, train.features.shape[1] + 1)
    values = all_rows.objectives(weights, train, **how)
    numbers = {
        "solver": peer.name,
        **how,
        "settings": peer.settings,
        "stopped": trace.stopped,
        "rerun": peer.rerun,
        "fits": [{name: fit[name] for name in ours.SCALARS} for fit in trace.records],
        "objective": None,
        "test_accuracy": None,
        "times": [],
        "finest": None,
    }
    if points:
        chosen = answer(values, finished=trace.finished)
        numbers["objective"] = float(values[chosen])
        numbers["test_accuracy"] = all_rows.accuracy(weights[chosen], test)
    seconds = np.array([point.seconds for point in points])
    arrays = {"seconds": seconds, "objectives": values}
    if trace.records:
        arrays = {name: np.array(trace.records[-1][name]) for name in ours.SERIES}
    return Measured(numbers, arrays), trace


def compared(
    measured: Measured,
    reference: Mapping[str, Any],
    times: Sequence[reached.Row],
    own: Sequence[reached.Row],
) -> Measured:
    """Adds distances above the reference and its bound, and times to the numbers."""
    objective = measured.numbers["objective"] or math.nan
    bound = reference["fits"][-1]["bound"] if reference["fits"] else math.nan
    proven = [row["within"] for row in own[::2] if row["seconds"] is not None]
    at_finest = [row for row in times if row["within"] in proven[-1:]]
    numbers = {
        **measured.numbers,
        "distance": objective / (reference["objective"] or math.nan) - 1,
        # The bound holds whoever found the answer.
        "gap": 1 - bound / objective,
        "times": times,
        # At the finest gap that ours has proven.
        "finest": at_finest[0] if at_finest else None,
    }
    return measured._replace(numbers=numbers)
