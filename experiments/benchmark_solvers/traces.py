"""What the run of a peer leaves behind: where it was, and when.

A peer is another library's solver. While it runs, a `Recorder` notes its weights with
the seconds and the evaluations that they took, one file a point, so that a peer that is
killed loses nothing; afterwards the points make a `Trace`. Writing is not charged: the
clock of the recorder stands still while it writes. NumPy only, so that a process that
runs one peer loads no other library.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Of points closer in time than this ratio only the first is kept, which bounds their
# number. So the seconds to a tolerance are at most 1 % too many.
_SPACING = 1.01


class Point(NamedTuple):
    """Where a peer was.

    Attributes:
      seconds: since its clock started, when the evaluation at these weights was done;
        of a method that is rerun, the seconds of the run that gave these weights.
      evaluations: points at which value or gradient of the objective had been asked
        for, this one included; epochs for saga; None where the method has no such.
      weights: float32 (classes, features), the constant feature's weight last.
      hessian_products: products with the Hessian up to here, each about as much work
        as one evaluation.
    """

    seconds: float
    evaluations: int | None
    weights: np.ndarray
    hessian_products: int = 0


class Trace(NamedTuple):
    """A peer's run.

    Attributes:
      name: of the peer.
      settings: solver, tolerance, iterations and treatment of the bias, in words.
      points: in the order of their seconds; empty if it never got to one.
      finished: whether it came to an end of its own, by its own rule.
      stopped: why it ended, in words.
      compile_seconds: spent on compiling before the clock started.
    """

    name: str
    settings: str
    points: list[Point]
    finished: bool
    stopped: str
    compile_seconds: float = 0.0


class EnoughError(Exception):
    """Raised by a `Recorder` to get out of a peer that knows no such stop."""


class Recorder:
    """The clock and the notebook of one run of a peer.

    recorder.start()
    ...  # after each evaluation
    recorder.point(weights, evaluations=7, value=1.62)

    Attributes:
      deadline_s: seconds after which the next point, or `check`, ends the run.
      target: objective at which a point ends the run, by the value that the peer itself
        has computed; None for no such.
      compile_seconds: set by a peer that compiles.
    """

    def __init__(
        self,
        folder: Path,
        *,
        deadline_s: float,
        target: float | None = None,
        announce: Callable[[], object] = lambda: None,
    ) -> None:
        """Writes to ``folder``; calls ``announce`` whenever the clock starts."""
        self.deadline_s = deadline_s
        self.target = target
        self.compile_seconds = 0.0
        self._folder = folder
        self._announce = announce
        self._origin = time.perf_counter()
        self._written = 0
        self._last = 0.0

    def start(self) -> None:
        """Starts the clock, anew for each run of a method that is rerun."""
        self._announce()
        self._origin = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since the start, without pauses."""
        return time.perf_counter() - self._origin

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock for what is not the peer's work."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._origin += time.perf_counter() - start

    def check(self) -> None:
        """Ends the run if the deadline has passed."""
        if self.seconds() >= self.deadline_s:
            raise EnoughError(f"stopped at the deadline of {self.deadline_s:g} s")

    def point(
        self,
        weights: np.ndarray,
        *,
        evaluations: int | None,
        hessian_products: int = 0,
        value: float | None = None,
        keep: bool = False,
    ) -> None:
        """Notes where the peer is, and ends the run where that is enough.

        Args:
          weights: shape ``(classes, features)``; copied.
          evaluations: as in `Point`.
          hessian_products: as in `Point`.
          value: the objective here as the peer knows it, only compared with the target.
          keep: writes this point however soon it comes after the one before.

        Raises:
          EnoughError: if the deadline has passed or the target is reached.
        """
        seconds = self.seconds()
        late = seconds >= self.deadline_s
        arrived = value is not None and self.target is not None and value <= self.target
        if keep or late or arrived or seconds >= _SPACING * self._last:
            with self.paused():
                weights = np.asarray(weights, np.float32)
                point = Point(seconds, evaluations, weights, hessian_products)
                _write(self._folder / f"{self._written:06d}.npz", point)
            self._written += 1
            self._last = seconds
        if arrived:
            raise EnoughError(f"stopped at the target, by its own value {value:.6g}")
        if late:
            self.check()


def read_points(folder: Path) -> list[Point]:
    """Returns the points that a recorder wrote to ``folder``, in their order."""
    return [_read(path) for path in sorted(folder.glob("[0-9]*.npz"))]


def _write(path: Path, point: Point) -> None:
    """Writes one point, whole or not at all, since the process may be killed."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        np.savez(
            file,
            seconds=point.seconds,
            evaluations=-1 if point.evaluations is None else point.evaluations,
            weights=point.weights,
            hessian_products=point.hessian_products,
        )
    os.replace(partial, path)


def _read(path: Path) -> Point:
    with np.load(path, allow_pickle=False) as entries:
        evaluations = int(entries["evaluations"])
        return Point(
            float(entries["seconds"]),
            None if evaluations < 0 else evaluations,
            entries["weights"],
            int(entries["hessian_products"]),
        )
