"""Runs one solver in a process of its own, with a clock.

Each has the machine to itself: no thread pool, allocator or compiled library of another
is at work, all have the cores that this process may use, and one that ignores its
deadline (compiled code does) can be killed. Points go through a file as they are made.
"""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Of points closer in time than this ratio only the first is kept, which bounds their
# number. So the seconds to a tolerance are at most 1 % too many.
_SPACING = 1.01


class Point(NamedTuple):
    """An iterate.

    Attributes:
      seconds: since the clock started, when the pass at these weights was done.
      passes: over all rows up to here, each for a value, a gradient or a product with
        a Hessian; epochs for saga; None where the method counts none.
      weights: float32 (classes, features), the constant feature's weight last.
    """

    seconds: float
    passes: int | None
    weights: np.ndarray


class EnoughError(Exception):
    """Raised by a `Recorder` to end a solver that knows no such stop."""


class Recorder:
    """The clock of one run of a solver; it stands still while a point is sent.

    Attributes:
      send: receives each `Point`.
      deadline_s: seconds after which the next point, or `check`, ends the run.
      target: objective at which a point ends the run, by the value that the solver
        itself has computed; None for no such.
      compile_seconds: set by a solver that compiles.
    """

    def __init__(
        self,
        send: Callable[[Any], object],
        *,
        deadline_s: float,
        target: float | None = None,
    ) -> None:
        """Starts the clock."""
        self.send, self.deadline_s, self.target = send, deadline_s, target
        self.compile_seconds = self._last = 0.0
        self.start()

    def start(self) -> None:
        """Starts the clock, anew for each run of a method that is rerun."""
        self._origin = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since the start, less those of sending."""
        return time.perf_counter() - self._origin

    def check(self, seconds: float | None = None) -> None:
        """Ends the run if the deadline has passed."""
        if (self.seconds() if seconds is None else seconds) >= self.deadline_s:
            raise EnoughError(f"stopped at the deadline of {self.deadline_s:g} s")

    def point(
        self,
        weights: np.ndarray,
        *,
        passes: int | None,
        value: float | None = None,
        seconds: float | None = None,
        keep: bool = False,
    ) -> None:
        """Sends an iterate, and ends the run at the deadline or the target.

        Args:
          weights: as in `Point`; copied.
          passes: as in `Point`.
          value: the objective as the solver knows it, only compared with the target.
          seconds: as in `Point`, by default until now.
          keep: sends this point however soon it comes after the one before.
        """
        begun = time.perf_counter()
        seconds = begun - self._origin if seconds is None else seconds
        arrived = value is not None and self.target is not None and value <= self.target
        ends = keep or arrived or seconds >= self.deadline_s
        if ends or seconds >= _SPACING * self._last:
            self.send(Point(seconds, passes, np.array(weights, np.float32)))
            self._last = seconds
            self._origin += time.perf_counter() - begun
        if arrived:
            raise EnoughError(f"stopped at the target, by its own value {value:.6g}")
        self.check(seconds)


class Trace(NamedTuple):
    """A finished run of a solver.

    Attributes:
      points: in the order of their making; empty if it never got to one.
      records: dictionaries that the solver sent.
      stopped: why it ended, in words.
      finished: whether it ended by its own rule.
      compile_seconds: spent on compiling before the clock started.
    """

    points: list[Point]
    records: list[dict[str, Any]]
    stopped: str
    finished: bool = False
    compile_seconds: float = 0.0


def run(
    solve: Callable[[Recorder], str],
    *,
    deadline_s: float,
    target: float | None = None,
) -> Trace:
    """Runs a solver in a new process and returns its points.

    Args:
      solve: starts the clock when its rows are as its library wants them, notes points,
        and returns why it stopped if it ends by itself; a function at module level or a
        partial of one, so that another process finds it.
      deadline_s: seconds a run may take, without imports, conversion of the rows and
        compiling. A process that runs much longer is killed; its points are kept.
      target: an objective; a solver whose own value comes down to it is stopped there.

    Returns:
      The trace; its ``stopped`` tells why a solver could not run.
    """
    with tempfile.TemporaryDirectory(prefix="solver-") as folder:
        path = Path(folder, "messages")
        path.touch()
        process = multiprocessing.get_context("spawn").Process(
            target=_child,
            args=(solve, deadline_s, target, path),
            daemon=True,
        )
        process.start()
        try:
            process.join(_allowance(deadline_s))
            is_hanging = process.is_alive()
        finally:
            process.kill()
            process.join()
        messages = _read(path)
    if messages and isinstance(messages[-1], Trace):
        ended = messages.pop()
    elif is_hanging:
        ended = Trace([], [], f"killed after {_allowance(deadline_s):.0f} s")
    else:
        ended = Trace([], [], f"died with exit code {process.exitcode}")
    points = [one for one in messages if isinstance(one, Point)]
    records = [one for one in messages if isinstance(one, dict)]
    return ended._replace(points=points, records=records)


def _allowance(deadline_s: float) -> float:
    """Seconds after which a process is killed."""
    # Ten minutes to import, convert rows and compile. Runs of a method that is rerun
    # double until one is longer than the deadline: at most four deadlines in all.
    return 600.0 + 4.0 * deadline_s


def _read(path: Path) -> list[Any]:
    """The messages of a process, which may have been killed while it wrote."""
    messages = []
    with path.open("rb") as file:
        while True:
            try:
                messages.append(pickle.load(file))
            except (EOFError, pickle.UnpicklingError):
                return messages


def _child(solve, deadline_s, target, path) -> None:
    """The main function of the other process."""
    # Ctrl-C goes to both; the parent hears it and kills this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(message: Any) -> None:
        with path.open("ab") as file:
            pickle.dump(message, file)

    recorder = Recorder(send, deadline_s=deadline_s, target=target)
    try:
        ended = Trace([], [], solve(recorder), finished=True)
    except EnoughError as enough:
        ended = Trace([], [], str(enough))
    except Exception as error:  # Whatever a library raises is an outcome here.
        ended = Trace([], [], f"failed: {type(error).__name__}: {error}")
    send(ended._replace(compile_seconds=recorder.compile_seconds))
    # Without the clean-up of libraries, some of which wait for their threads.
    os._exit(0)


def _end_with_parent() -> None:
    """Ends this process when its parent was killed and could not end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
