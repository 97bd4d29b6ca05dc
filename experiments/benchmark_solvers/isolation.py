"""Runs one peer in a process of its own.

Each has the machine to itself: no thread pool, allocator or compiled library of another
is at work, all have the cores that this process may use, and one that ignores its
deadline (compiled code does) can be killed. The rows go through a file, the points come
back through a pipe as they are made.

  with isolation.shelve(rows, labels) as shelf:
      for peer in peers.of("softmax_cross_entropy"):
          trace = isolation.run(peer, shelf, l2=1e-3, deadline_s=600)
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from experiments.benchmark_solvers.traces import EnoughError, Point, Recorder
from jaxlin import check

# Loading rows, importing a library and compiling: not charged, but not endless.
_PREPARATION_SECONDS = 600.0


class Solve(Protocol):
    """A peer's solver, as run in its own process.

    It starts the recorder's clock when the rows are as its library wants them, notes
    points, and returns why it stopped if it ends by itself. A function at module level
    (or a partial of one), so that another process finds it.
    """

    def __call__(
        self, rows: np.ndarray, labels: np.ndarray, recorder: Recorder, *, l2: float
    ) -> str:
        """Minimises mean loss + l2 / 2 times the sum of squares of all weights."""
        ...


class Peer(NamedTuple):
    """Another library's solver of one of our problems.

    Attributes:
      name: library and method.
      loss: the name in `jaxlin.losses` of the loss that it minimises.
      settings: solver, tolerance, iterations and treatment of the bias, in words.
      solve: runs it.
      rerun: whether it tells nothing on the way, so that it is run again and again with
        more and more iterations; it then needed less than the seconds of the first run
        that was enough, and more than those of the run before.
    """

    name: str
    loss: str
    settings: str
    solve: Solve
    rerun: bool = False


class Trace(NamedTuple):
    """A finished run of a peer.

    Attributes:
      points: in the order of their making; empty if it never got to one.
      records: what else the solver sent.
      finished: whether it ended by its own rule.
      stopped: why it ended, in words.
      compile_seconds: spent on compiling before the clock started.
    """

    points: list[Point]
    records: list[dict[str, Any]]
    finished: bool
    stopped: str
    compile_seconds: float = 0.0


@contextlib.contextmanager
def shelve(rows: np.ndarray, labels: np.ndarray) -> Iterator[Path]:
    """Writes checked rows to a temporary folder, where other processes read them.

    Args:
      rows: shape ``(examples, features)``, normalised, float32, the last column 1: the
        bias trick, so that every peer penalises the bias as we do.
      labels: shape ``(examples,)``; each of 0, 1, ..., C - 1 must occur, because peers
        count the classes that they see.

    Raises:
      ValueError: if rows or labels are not of that kind.
    """
    rows = check.features("rows", rows).astype(np.float32, copy=False)
    if not (rows[:, -1] == 1).all():
        where = int(np.argmax(rows[:, -1] != 1))
        raise ValueError(
            f"rows must end in a constant feature 1, got {rows[where, -1]} at row "
            f"{where}; append a column of ones"
        )
    labels = check.labels("labels", labels, num_examples=len(rows))
    missing = np.setdiff1d(np.arange(labels.max() + 1), labels)
    if len(missing) or labels.max() == 0:
        raise ValueError(
            "labels must name every class and at least two, got none of class "
            f"{missing[0] if len(missing) else 1}"
        )
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        np.save(Path(folder, "rows.npy"), np.ascontiguousarray(rows))
        np.save(Path(folder, "labels.npy"), labels)
        yield Path(folder)


def run(
    peer: Peer,
    shelf: Path,
    *,
    l2: float,
    deadline_s: float,
    target: float | None = None,
) -> Trace:
    """Runs a peer in a new process and returns its points.

    Args:
      peer: what to run.
      shelf: the folder of `shelve`.
      l2: strength of half the sum of squares, above 0.
      deadline_s: seconds a run may take, without imports, conversion of the rows and
        compiling. For a method that is rerun it is the limit of each run. A process
        that has not stopped by itself a little later is killed; its points are kept.
      target: an objective; a peer whose own value comes down to it is stopped there.

    Returns:
      The trace. A peer that cannot run (its library is missing, say) gives one without
      points that says so in ``stopped``.

    Raises:
      ValueError: if ``l2`` or ``deadline_s`` is out of range.
    """
    check.number("l2", l2, above=0)
    check.number("deadline_s", deadline_s, above=0)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_child,
        args=(peer.solve, shelf, sender, os.getpid()),
        kwargs={"l2": l2, "deadline_s": deadline_s, "target": target},
        daemon=True,
    )
    process.start()
    # The child's end alone is left, so that its death is heard here.
    sender.close()
    trace = Trace([], [], False, "")
    try:
        ending = _listen(receiver, trace, allowance=_allowance(deadline_s))
    finally:
        process.kill()
        process.join()
        receiver.close()
    if ending is None:
        ending = _Ending(f"died with exit code {process.exitcode}")
    return trace._replace(**ending._asdict())


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Ending(NamedTuple):
    """The last message of a child."""

    stopped: str
    finished: bool = False
    compile_seconds: float = 0.0


def _allowance(deadline_s: float) -> float:
    """Seconds after the start of its clock at which a process is killed."""
    # A long step may begin just before the deadline, and sending is not charged.
    return 1.1 * deadline_s + 5.0


def _listen(
    receiver: multiprocessing.connection.Connection, trace: Trace, *, allowance: float
) -> _Ending | None:
    """Fills the trace until the child ends; None if it died."""
    limit, since, start = _PREPARATION_SECONDS, "its process", time.monotonic()
    while True:
        if not receiver.poll(max(0.0, start + limit - time.monotonic())):
            return _Ending(f"killed {limit:.0f} s after the start of {since}")
        try:
            message = receiver.recv()
        except (EOFError, OSError):
            return None
        if message is None:
            limit, since, start = allowance, "its clock", time.monotonic()
        elif isinstance(message, Point):
            trace.points.append(message)
        elif isinstance(message, _Ending):
            return message
        else:
            trace.records.append(message)


def _child(
    solve: Solve,
    shelf: Path,
    sender: multiprocessing.connection.Connection,
    parent: int,
    *,
    l2: float,
    deadline_s: float,
    target: float | None,
) -> None:
    """The main function of the other process."""
    # Ctrl-C goes to both; the parent hears it and kills this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    recorder = Recorder(sender.send, deadline_s=deadline_s, target=target)
    try:
        rows, labels = np.load(shelf / "rows.npy"), np.load(shelf / "labels.npy")
        ending = _Ending(solve(rows, labels, recorder, l2=l2), finished=True)
    except EnoughError as enough:
        ending = _Ending(str(enough))
    except Exception as error:  # Whatever a library raises is an outcome here.
        ending = _Ending(f"failed: {type(error).__name__}: {error}")
    sender.send(ending._replace(compile_seconds=recorder.compile_seconds))
    sender.close()
    # Without the clean-up of libraries, some of which wait for their threads.
    os._exit(0)


def _end_with(parent: int) -> None:
    """Ends this process when its parent was killed and could not end it."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
