"""Measures ours and every peer on each loss and l2, and writes what each did at once.

A cell is one loss with one l2: a JSON file with the float64 reference, ours, and one
entry a peer, rewritten after each of them. So a run that is cut loses the solver that
was at work, and a resumed one begins with it. What follows from the numbers is not
stored but computed from them (`conclusions`).
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmark_solvers import isolation, judge, ours
from experiments.benchmark_solvers.config import Config, chosen_peers
from experiments.benchmark_solvers.isolation import Peer, Shelf
from experiments.benchmark_solvers.rows import Rows
from experiments.benchmark_solvers.traces import Trace
from experiments.common.run_folder import RunFolder

Cell = dict[str, Any]


def run(folder: RunFolder, config: Config, rows: Rows) -> None:
    """Completes every cell that ``config`` asks for."""
    with isolation.shelve(rows.train, rows.labels) as shelf:
        ours.shelve(shelf, rows)
        for loss in config.losses:
            for l2 in config.l2s:
                _complete(folder, config, rows, shelf, loss=loss, l2=l2)


def read(folder: RunFolder, *, loss: str, l2: float) -> Cell:
    """The cell as far as it has come."""
    name = _file(loss, l2)
    if (folder.path / name).exists():
        return folder.read_json(name)
    return {"loss": loss, "l2": l2, "peers": {}}


def _file(loss: str, l2: float) -> str:
    return f"compare-{loss}-{l2:g}.json"


def _complete(
    folder: RunFolder, config: Config, rows: Rows, shelf: Shelf, *, loss: str, l2: float
) -> None:
    """Measures what the cell lacks, ours first."""
    cell = read(folder, loss=loss, l2=l2)

    def add(where: dict[str, Any], name: str, measure: Callable[[], Any]) -> None:
        # What failed (a library that was missing, say) is tried again.
        if name in where and not where[name]["stopped"].startswith("failed"):
            return
        # Threads of the judge spin for a while before they sleep.
        time.sleep(config.settle_s)
        where[name] = measure()
        folder.write_json(_file(loss, l2), cell)
        print(f"{loss} l2={l2:g} {name}: {where[name]['stopped']}", flush=True)

    add(cell, "ours", lambda: _ours(config, rows, shelf, loss=loss, l2=l2))
    add(cell, "reference", lambda: _reference(config, rows, shelf, loss=loss, l2=l2))
    best = cell["reference"]["objective"]
    target = None
    if config.stop_at and best is not None:
        target = (1 + config.stop_at) * best
    for peer in chosen_peers(config, loss):
        add(
            cell["peers"],
            peer.name,
            functools.partial(_peer, config, rows, shelf, peer, l2=l2, target=target),
        )


def _ours(
    config: Config, rows: Rows, shelf: Shelf, *, loss: str, l2: float
) -> dict[str, Any]:
    trace, outcome = ours.measured(
        shelf,
        loss=loss,
        l2=l2,
        deadline_s=config.deadline_s,
        repeats=config.repeats,
        settle_s=config.settle_s,
        max_evaluations=config.max_evaluations,
    )
    return {**_described(trace), **outcome, **_answer(trace, rows, loss=loss, l2=l2)}


def _reference(
    config: Config, rows: Rows, shelf: Shelf, *, loss: str, l2: float
) -> dict[str, Any]:
    trace, outcome = ours.reference(
        shelf,
        loss=loss,
        l2=l2,
        relative_gap=config.reference_gap,
        max_evaluations=config.reference_evaluations,
    )
    return {**_described(trace), **outcome, **_answer(trace, rows, loss=loss, l2=l2)}


def _peer(
    config: Config,
    rows: Rows,
    shelf: Shelf,
    peer: Peer,
    *,
    l2: float,
    target: float | None,
) -> dict[str, Any]:
    trace = isolation.run(
        peer, shelf, l2=l2, deadline_s=config.deadline_s, target=target
    )
    values = judge.values(trace, rows.train, rows.labels, loss=peer.loss, l2=l2)
    # Any best will do: only the answer is taken from this verdict.
    verdict = judge.judge(
        trace, values, best=1.0, rows=rows.test, labels=rows.test_labels
    )
    return {
        **_described(trace),
        "rerun": peer.rerun,
        "deadline_s": config.deadline_s,
        "compile_seconds": trace.compile_seconds,
        "seconds": [point.seconds for point in trace.points],
        "evaluations": [point.evaluations for point in trace.points],
        "hessian_products": [point.hessian_products for point in trace.points],
        "objectives": values,
        "objective": verdict.objective,
        "test_accuracy": verdict.test_accuracy,
    }


def _described(trace: Trace) -> dict[str, Any]:
    return {
        "settings": trace.settings,
        "stopped": trace.stopped,
        "finished": trace.finished,
    }


def _answer(trace: Trace, rows: Rows, *, loss: str, l2: float) -> dict[str, Any]:
    """Objective and test accuracy of a trace's last point, None without one."""
    if not trace.points:
        return {"objective": None, "test_accuracy": None}
    weights = trace.points[-1].weights
    (value,) = judge.objectives(
        np.asarray(weights)[None], rows.train, rows.labels, loss=loss, l2=l2
    )
    return {
        "objective": float(value),
        "test_accuracy": judge.accuracy(weights, rows.test, rows.test_labels),
    }
