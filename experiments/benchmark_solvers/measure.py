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
            cell: dict[str, Any] = {"loss": loss, "l2": l2}
            solvers = {"ours": _ours, "reference": _reference}
            for name, part in solvers.items():
                found[summary.part(name, **cell)] = functools.partial(part, **cell)
            for peer in chosen_peers(config, loss):
                found[summary.part(peer.name, **cell)] = functools.partial(
                    _peer, peer=peer, l2=l2
                )
    found["summary"] = summary.measure
    return found


def _ours(
    config: Config, dataset: data.Dataset, run: Run, *, loss: str, l2: float
) -> Measured:
    """Timed fits; each has the peers' deadline."""
    request = ours.Request(
        min(TOLERANCES), config.max_evaluations, 1 + config.repeats, config.settle_s
    )
    return _fitted(request, dataset, loss=loss, l2=l2, deadline_s=config.deadline_s)


def _reference(
    config: Config, dataset: data.Dataset, run: Run, *, loss: str, l2: float
) -> Measured:
    """One fit that goes on in float64."""
    request = ours.Request(
        config.reference_gap, config.reference_evaluations, refine=True
    )
    return _fitted(request, dataset, loss=loss, l2=l2, deadline_s=_REFERENCE_SECONDS)


def _fitted(
    request: ours.Request,
    dataset: data.Dataset,
    *,
    loss: str,
    l2: float,
    deadline_s: float,
) -> Measured:
    """Our solver's answer, judged, and its fits as arrays."""
    rows = all_rows.of(dataset)
    with isolation.shelve(rows.train, rows.labels) as shelf:
        peer = ours.peer(request, shelf, rows, loss=loss)
        trace = isolation.run(peer, shelf, l2=l2, deadline_s=deadline_s)
    values = _objectives(trace, rows, loss=loss, l2=l2)
    fits = trace.records
    scalars = ("prepare_seconds", "primal", "bound", "relative_gap", "evaluations")
    numbers = {
        **_described(peer, trace, values, rows),
        "fits": [{name: fit[name] for name in scalars} for fit in fits],
    }
    arrays = {
        f"{name}-{number}": np.array(fit[name])
        for number, fit in enumerate(fits)
        for name in ("seconds", "objectives", "relative_gaps")
    }
    return Measured(numbers, arrays)


def _peer(
    config: Config, dataset: data.Dataset, run: Run, *, peer: Peer, l2: float
) -> Measured:
    """A peer's answer, and its points, judged."""
    reference = run.numbers(summary.part("reference", loss=peer.loss, l2=l2))
    target = None
    if config.stop_at and reference["objective"] is not None:
        target = (1 + config.stop_at) * reference["objective"]
    rows = all_rows.of(dataset)
    with isolation.shelve(rows.train, rows.labels) as shelf:
        # Threads of BLAS and XLA spin for a while before they sleep.
        time.sleep(config.settle_s)
        trace = isolation.run(
            peer, shelf, l2=l2, deadline_s=config.deadline_s, target=target
        )
    values = _objectives(trace, rows, loss=peer.loss, l2=l2)
    numbers = {
        **_described(peer, trace, values, rows),
        "rerun": peer.rerun,
        "deadline_s": config.deadline_s,
    }
    points = trace.points
    arrays = {
        "seconds": np.array([point.seconds for point in points]),
        # NaN where the method counts none.
        "evaluations": np.array([point.evaluations for point in points], float),
        "hessian_products": np.array([point.hessian_products for point in points]),
        "objectives": values,
    }
    return Measured(numbers, arrays)


def _objectives(trace: Trace, rows: Rows, *, loss: str, l2: float) -> np.ndarray:
    """The judge's objective at each point."""
    shape = len(trace.points), rows.num_classes, rows.train.shape[1]
    weights = np.array([point.weights for point in trace.points], np.float32)
    weights = weights.reshape(shape)
    return judge.objectives(weights, rows.train, rows.labels, loss=loss, l2=l2)


def answer(values: np.ndarray, *, finished: bool) -> int:
    """Index of the last point of a solver that finished, else of the lowest point."""
    return (
        len(values) - 1
        if finished
        else int(np.argmin(np.nan_to_num(values, nan=np.inf)))
    )


def _described(
    peer: Peer, trace: Trace, values: np.ndarray, rows: Rows
) -> dict[str, Any]:
    """How a run ended, and its answer."""
    found: dict[str, Any] = {
        "name": peer.name,
        "settings": peer.settings,
        "stopped": trace.stopped,
        "finished": trace.finished,
        "compile_seconds": trace.compile_seconds,
        "objective": None,
        "test_accuracy": None,
    }
    if trace.points:
        chosen = answer(values, finished=trace.finished)
        found["objective"] = float(values[chosen])
        found["test_accuracy"] = judge.accuracy(
            trace.points[chosen].weights, rows.test, rows.test_labels
        )
    return found
