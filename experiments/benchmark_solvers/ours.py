"""Our solver, run as the peers are: in a process of its own, watched and timed.

Timed fits go from the rows to a certified gap of the last tolerance, several times; the
first compiles. The reference goes on in float64 and is charged to nobody: its objective
is the target of the peers, its dual value the lower bound of the optimum.
"""

import functools
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxlin
from experiments.benchmark_solvers.isolation import Peer
from experiments.benchmark_solvers.rows import Rows
from experiments.benchmark_solvers.traces import Recorder
from experiments.common.losses import CERTIFIED
from jaxlin.normalization import Normalization
from jaxlin.solvers import optimizer

NAME = "jaxlin"
# Entries of the record of a fit: numbers, and one number per evaluation.
SCALARS = ("prepare_seconds", "primal", "bound", "relative_gap", "evaluations")
SERIES = ("seconds", "objectives", "relative_gaps")


class Request(NamedTuple):
    """The fits that the other process makes.

    Attributes:
      relative_gap: to be proven.
      max_evaluations: after which a fit gives up.
      fits: how many, the first of which compiles.
      settle_s: seconds of sleep before each.
      refine: whether fits go on in float64.
    """

    relative_gap: float
    max_evaluations: int
    fits: int = 1
    settle_s: float = 0.0
    refine: bool = False


def peer(request: Request, shelf: Path, rows: Rows, *, loss: str) -> Peer:
    """Returns our solver as a peer, and adds the raw rows to the shelf."""
    np.save(shelf / "features.npy", rows.features)
    mean, scale = (np.asarray(part) for part in rows.normalization)
    np.savez(shelf / "normalization.npz", mean=mean, scale=scale)
    precision = "float32 then float64" if request.refine else "float32"
    return Peer(
        NAME,
        loss,
        f"jaxlin.fit(stop=Stop({request.relative_gap:g}, {request.max_evaluations})), "
        "from zero, rows as stored, normalised inside the pass, "
        f"{precision}; bias penalised as by the bias trick",
        functools.partial(solve, request=request, shelf=shelf, loss=loss),
    )


def solve(
    rows: np.ndarray,
    labels: np.ndarray,
    recorder: Recorder,
    *,
    l2: float,
    request: Request,
    shelf: Path,
    loss: str,
) -> str:
    """Fits, and sends the record of each fit; the points are the answers."""
    del rows
    with np.load(shelf / "normalization.npz") as entries:
        normalization = Normalization(entries["mean"], entries["scale"])
    problem = jaxlin.problem(
        np.load(shelf / "features.npy"),
        labels,
        classes=range(int(labels.max()) + 1),
        normalization=normalization,
    )
    jax.block_until_ready(problem.examples.features)
    known: Any = CERTIFIED[loss]
    for number in range(request.fits):
        time.sleep(request.settle_s)
        watched: list[tuple[float, optimizer.OptimizerInfo]] = []

        def callback(_: int, info: optimizer.OptimizerInfo, watched=watched) -> None:
            watched.append((recorder.seconds(), info))

        recorder.start()
        # The same rows, not prepared yet.
        fresh = problem.with_normalization(normalization)
        jax.block_until_ready(fresh.prepared(loss=known).preconditioner)
        preparation = recorder.seconds()
        found = jaxlin.fit(
            fresh,
            loss=known,
            l2=l2,
            stop=jaxlin.Stop(request.relative_gap, request.max_evaluations),
            refine=request.refine,
            callback=callback,
        )
        recorder.send(_record(preparation, watched, found))
        weights = np.c_[found.params.weights, found.params.bias]
        # The deadline is for fitting, not for what the first of several compiles.
        if number or request.fits == 1:
            recorder.point(weights, evaluations=found.passes, keep=True)
    ending = "gap proven" if found.converged else "gap not proven"
    return f"ended after {found.passes} evaluations: {ending}"


def _record(
    preparation: float,
    watched: list[tuple[float, optimizer.OptimizerInfo]],
    found: jaxlin.Fit,
) -> dict[str, Any]:
    """One fit, evaluation by evaluation.

    ``seconds`` since the rows were on the device, preparation included; ``objectives``
    and ``relative_gaps`` of the parameters that a fit would return then.
    """
    certificate = found.certificate
    return {
        "prepare_seconds": preparation,
        "seconds": [seconds for seconds, _ in watched],
        "objectives": [float(info.certificate.primal) for _, info in watched],
        "relative_gaps": [float(info.relative_gap) for _, info in watched],
        "primal": float(certificate.primal),
        "bound": float(certificate.primal - certificate.gap - certificate.rounding),
        "relative_gap": float(found.relative_gap),
        "evaluations": found.passes,
    }
