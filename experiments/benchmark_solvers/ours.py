"""Our solver, run as the peers are: in a process of its own, watched and timed.

Timed fits go from the rows to a certified gap of the last tolerance, several times; the
first compiles. The reference continues in float64 and is charged to nobody: its
objective is the target of the peers, its dual value the lower bound of the optimum.
"""

import time
from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.benchmark_solvers.isolation import Recorder
from experiments.benchmark_solvers.peers import Peer
from experiments.benchmark_solvers.reached import TOLERANCES
from experiments.benchmark_solvers.rows import Rows
from experiments.common.losses import CERTIFIED
from jaxlin.solvers import optimizer

NAME = "jaxlin"
# Entries of the record of a fit: numbers, and one number per pass.
SCALARS = ("prepare_seconds", "passes", "bound", "relative_gap")
SERIES = ("seconds", "objectives", "relative_gaps")


def timed(repeats: int, max_passes: int, settle_s: float) -> Peer:
    """Our solver with fits to be timed, after one that compiles."""
    settings = {
        "relative_gap": min(TOLERANCES),
        "max_passes": max_passes,
        "fits": 1 + repeats,
        "settle_s": settle_s,
    }
    return Peer(NAME, tuple(CERTIFIED), solve_ours, settings)


def reference(relative_gap: float, max_passes: int) -> Peer:
    """One fit that continues in float64."""
    stop = {"relative_gap": relative_gap, "max_passes": max_passes}
    settings = {**stop, "refine": True}
    return Peer("float64 reference", tuple(CERTIFIED), solve_ours, settings)


def solve_ours(
    rows: Rows,
    recorder: Recorder,
    *,
    loss: str,
    l2: float,
    relative_gap: float,
    max_passes: int,
    fits: int = 1,
    settle_s: float = 0.0,
    refine: bool = False,
) -> str:
    """Fits, and sends the record of each fit; the points are the answers."""
    stop = jaxlin.Stop(relative_gap, max_passes)
    problem = rows.problem()
    jax.block_until_ready(problem.examples.features)
    for number in range(fits):
        time.sleep(settle_s)
        recorder.start()
        how: Any = {"loss": CERTIFIED[loss], "l2": l2, "stop": stop, "refine": refine}
        found, record = watched(problem, **how)
        recorder.send(record)
        # The deadline is for fitting, not for what the first of several compiles.
        if number or fits == 1:
            weights = np.c_[found.params.weights, found.params.bias]
            recorder.point(weights, passes=found.passes, keep=True)
    ending = "gap proven" if found.converged else "gap not proven"
    return f"ended after {found.passes} passes: {ending}"


def watched(
    problem: jaxlin.Problem, *, loss: Any, **how: Any
) -> tuple[jaxlin.Fit, dict[str, Any]]:
    """Fits rows that are not prepared yet, and records each pass.

    Args:
      problem: raw rows on the device.
      loss: of `jaxlin.losses`.
      **how: further keywords of `jaxlin.fit`.
    """
    noted: list[tuple[float, optimizer.OptimizerInfo]] = []
    start = time.perf_counter()

    def callback(_: int, info: optimizer.OptimizerInfo) -> None:
        noted.append((time.perf_counter() - start, info))

    fresh = problem.with_normalization(problem.normalization)
    jax.block_until_ready(fresh.prepared(loss=loss).preconditioner)
    prepare_seconds = time.perf_counter() - start
    found = jaxlin.fit(fresh, loss=loss, callback=callback, **how)
    certificate = found.certificate
    return found, {
        "prepare_seconds": prepare_seconds,
        "passes": found.passes,
        "seconds": [when for when, _ in noted],
        # Of the parameters that a fit would return then.
        "objectives": [float(one.certificate.primal) for _, one in noted],
        "relative_gaps": [float(one.relative_gap) for _, one in noted],
        "bound": certificate.primal - certificate.gap - certificate.rounding,
        "relative_gap": found.relative_gap,
    }
