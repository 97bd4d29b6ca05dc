"""Our solver, run as the peers are: in a process of its own, watched and timed.

`measured` fits several times from the rows to a certified gap of the last tolerance;
the first fit compiles. `reference` goes on in float64 and is not timed: its objective
is what all are measured against, its dual value the lower bound of the optimum.
"""

import functools
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxlin
from experiments.benchmark_solvers import isolation, judge
from experiments.benchmark_solvers.rows import Rows
from experiments.benchmark_solvers.traces import Recorder, Trace
from experiments.common.losses import CERTIFIED
from jaxlin.normalization import Normalization
from jaxlin.solvers import optimizer

NAME = "jaxlin certified"
# What a timed fit is asked to prove.
RELATIVE_GAP = min(judge.TOLERANCES)
# A reference in float64 may be slow; it is charged to nobody.
_REFERENCE_SECONDS = 7200.0


class Request(NamedTuple):
    """What the other process is to do, and where.

    Attributes:
      loss: its name in `jaxlin.losses`.
      folder: with the raw rows; the outcome goes there too.
      relative_gap: to be proven.
      max_evaluations: after which a fit gives up.
      fits: how many, the first of which compiles.
      settle_s: seconds of sleep before each.
      polish: whether fits go on in float64.
    """

    loss: str
    folder: Path
    relative_gap: float
    max_evaluations: int
    fits: int
    settle_s: float
    polish: bool

    @property
    def outcome(self) -> Path:
        """The file that the fits are written to."""
        return self.folder / "ours.json"


def shelve(shelf: isolation.Shelf, rows: Rows) -> None:
    """Adds the raw rows to those of the peers."""
    np.save(shelf.folder / "features.npy", rows.features)
    mean, scale = (np.asarray(part) for part in rows.normalization)
    np.savez(shelf.folder / "normalization.npz", mean=mean, scale=scale)


def measured(
    shelf: isolation.Shelf,
    *,
    loss: str,
    l2: float,
    deadline_s: float,
    repeats: int,
    settle_s: float,
    max_evaluations: int,
) -> tuple[Trace, dict[str, Any]]:
    """Fits 1 + ``repeats`` times; each fit has the peers' deadline.

    Returns:
      The trace, whose points are the answers of the later fits, and what was written
      of them: ``fits`` (of `_record`), certificate and evaluations of the last.
    """
    request = Request(
        loss,
        shelf.folder,
        RELATIVE_GAP,
        max_evaluations,
        1 + repeats,
        settle_s,
        polish=False,
    )
    return _run(request, shelf, l2=l2, deadline_s=deadline_s)


def reference(
    shelf: isolation.Shelf,
    *,
    loss: str,
    l2: float,
    relative_gap: float,
    max_evaluations: int,
) -> tuple[Trace, dict[str, Any]]:
    """One fit with a polish in float64; result as of `measured`."""
    request = Request(
        loss, shelf.folder, relative_gap, max_evaluations, 1, 0.0, polish=True
    )
    return _run(request, shelf, l2=l2, deadline_s=_REFERENCE_SECONDS)


def solve(
    rows: np.ndarray,
    labels: np.ndarray,
    recorder: Recorder,
    *,
    l2: float,
    request: Request,
) -> str:
    """The other process: fits, and writes what it saw after each."""
    num_classes = int(labels.max()) + 1
    del rows
    with np.load(request.folder / "normalization.npz") as entries:
        fitted = Normalization(entries["mean"], entries["scale"])
    problem = jaxlin.problem(
        np.load(request.folder / "features.npy"),
        labels,
        classes=range(num_classes),
        normalization=fitted,
    )
    jax.block_until_ready(problem.examples.features)
    loss: Any = CERTIFIED[request.loss]
    records: list[dict[str, Any]] = []
    for number in range(request.fits):
        time.sleep(request.settle_s)
        watched: list[tuple[float, optimizer.OptimizerInfo]] = []

        def callback(
            passes: int, info: optimizer.OptimizerInfo, watched=watched
        ) -> None:
            watched.append((recorder.seconds(), info))

        recorder.start()
        # The same rows, not prepared yet.
        fresh = problem.with_normalization(fitted)
        jax.block_until_ready(fresh.prepared(loss=loss).preconditioner)
        preparation = recorder.seconds()
        found = jaxlin.fit(
            fresh,
            loss=loss,
            l2=l2,
            stop=jaxlin.Stop(request.relative_gap, request.max_evaluations),
            refine=request.polish,
            callback=callback,
        )
        records.append(_record(preparation, watched))
        outcome = {
            "fits": records,
            "certificate": found.certificate._asdict(),
            "relative_gap": found.relative_gap,
            "converged": found.converged,
            "evaluations": found.passes,
            "float64_evaluations": found.float64_passes,
        }
        request.outcome.write_text(json.dumps(outcome))
        weights = np.concatenate(
            [found.params.weights, np.asarray(found.params.bias)[:, None]], axis=1
        )
        # The deadline is for fitting, not for what the first of several compiles.
        if number or request.fits == 1:
            recorder.point(weights, evaluations=found.passes, keep=True)
        del fresh
    ending = "gap proven" if found.converged else "gap not proven"
    return f"ended after {found.passes} evaluations: {ending}"


def _run(
    request: Request, shelf: isolation.Shelf, *, l2: float, deadline_s: float
) -> tuple[Trace, dict[str, Any]]:
    request.outcome.unlink(missing_ok=True)
    peer = isolation.Peer(
        NAME,
        request.loss,
        _settings(request),
        functools.partial(solve, request=request),
    )
    trace = isolation.run(peer, shelf, l2=l2, deadline_s=deadline_s)
    if not request.outcome.exists():
        return trace, {"fits": []}
    return trace, json.loads(request.outcome.read_text())


def _record(
    preparation: float, watched: list[tuple[float, optimizer.OptimizerInfo]]
) -> dict[str, Any]:
    """One fit, evaluation by evaluation.

    ``seconds`` since the rows were on the device, preparation included; ``objectives``
    and ``relative_gaps`` of the parameters that would be handed over then, as the
    solver itself knows them.
    """
    return {
        "prepare_seconds": preparation,
        "seconds": [seconds for seconds, _ in watched],
        "objectives": [float(info.certificate.primal) for _, info in watched],
        "relative_gaps": [float(info.relative_gap) for _, info in watched],
    }


def _settings(request: Request) -> str:
    return (
        "jaxlin.fit(stop=Stop("
        f"{request.relative_gap:g}, {request.max_evaluations})), from "
        "zero, uint8 or float rows as stored, normalised inside the pass, "
        f"{'float32 then float64' if request.polish else 'float32'}; bias penalised "
        "as by the bias trick"
    )
