"""The parts of a run: one gradient, growth, each solver of each loss and l2, a summary.

A part is one solver, so that a run that is cut loses only the solver at work.
"""

import functools
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.benchmark_solvers import (
    gradient,
    growth,
    isolation,
    judge,
    ours,
    peers,
    summary,
)
from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_solvers.config import TOLERANCES, Config, chosen_peers
from experiments.benchmark_solvers.isolation import Peer, Trace
from experiments.benchmark_solvers.rows import Rows
from experiments.common.study import Measured, Part, Run
from jaxlin import data

# A reference in float64 may be slow; it is charged to nobody.
_REFERENCE_SECONDS = 7200.0


def parts(config: Config) -> Mapping[str, Part]:
    """The parts that a config names, the short ones first."""
    found: dict[str, Part] = {}
    if "gradient" in config.what:
        found["gradient"] = gradient.measure
    if "growth" in config.what:
        for loss in config.growth_losses:
            for dimension in growth.DIMENSIONS:
                found[growth.part(loss, dimension)] = functools.partial(
                    growth.measure, loss=loss, dimension=dimension
                )
    if "compare" not in config.what:
        return found
    for loss in config.losses:
        for l2 in config.l2s:
            others = [peer.name for peer in chosen_peers(config, loss)]
            for name in ("ours", "reference", *others):
                found[summary.part(name, loss=loss, l2=l2)] = functools.partial(
                    _solver, name=name, loss=loss, l2=l2
                )
    found["summary"] = summary.measure
    return found


def answer(values: np.ndarray, *, finished: bool) -> int:
    """Index of the last point of a solver that finished, else of the lowest point."""
    lowest = int(np.argmin(np.where(np.isnan(values), np.inf, values)))
    return len(values) - 1 if finished else lowest


def _solver(
    config: Config, dataset: data.Dataset, run: Run, *, name: str, loss: str, l2: float
) -> Measured:
    """Runs ours, the reference or a peer, and judges its points."""
    rows = all_rows.of(dataset)
    deadline_s, target = config.deadline_s, None
    with isolation.shelve(rows.train, rows.labels) as shelf:
        if name == "ours":
            request = ours.Request(
                min(TOLERANCES),
                config.max_evaluations,
                1 + config.repeats,
                config.settle_s,
            )
            peer = ours.peer(request, shelf, rows, loss=loss)
        elif name == "reference":
            request = ours.Request(
                config.reference_gap, config.reference_evaluations, refine=True
            )
            peer = ours.peer(request, shelf, rows, loss=loss)
            deadline_s = _REFERENCE_SECONDS
        else:
            peer = next(one for one in peers.of(loss) if one.name == name)
            target = _target(config, run, loss=loss, l2=l2)
        # Threads of BLAS and XLA spin for a while before they sleep.
        time.sleep(config.settle_s)
        trace = isolation.run(peer, shelf, l2=l2, deadline_s=deadline_s, target=target)
    return _judged(peer, trace, rows, l2=l2, deadline_s=deadline_s)


def _target(config: Config, run: Run, *, loss: str, l2: float) -> float | None:
    """The objective at which a peer is stopped."""
    best = run.numbers(summary.part("reference", loss=loss, l2=l2))["objective"]
    return (1 + config.stop_at) * best if config.stop_at and best else None


def _judged(
    peer: Peer, trace: Trace, rows: Rows, *, l2: float, deadline_s: float
) -> Measured:
    """Status and answer of a run, and its points and fits as arrays."""
    points, fits = trace.points, trace.records
    weights = np.array([point.weights for point in points], np.float32)
    weights = weights.reshape(len(points), rows.num_classes, rows.train.shape[1])
    values = judge.objectives(weights, rows.train, rows.labels, loss=peer.loss, l2=l2)
    numbers: dict[str, Any] = {
        "name": peer.name,
        "settings": peer.settings,
        "rerun": peer.rerun,
        "deadline_s": deadline_s,
        "stopped": trace.stopped,
        "finished": trace.finished,
        "compile_seconds": trace.compile_seconds,
        "objective": None,
        "test_accuracy": None,
        "fits": [{name: fit[name] for name in ours.SCALARS} for fit in fits],
    }
    if points:
        chosen = answer(values, finished=trace.finished)
        numbers["objective"] = float(values[chosen])
        numbers["test_accuracy"] = judge.accuracy(
            weights[chosen], rows.test, rows.test_labels
        )
    arrays = {
        "seconds": np.array([point.seconds for point in points]),
        # NaN where the method counts none.
        "evaluations": np.array([point.evaluations for point in points], float),
        "hessian_products": np.array([point.hessian_products for point in points]),
        "objectives": values,
    }
    for number, fit in enumerate(fits):
        for name in ours.SERIES:
            arrays[f"{name}-{number}"] = np.array(fit[name])
    return Measured(numbers, arrays)
