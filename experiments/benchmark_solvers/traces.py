"""The clock and the points of one run of a peer.

A peer is another library's solver. While it runs, a `Recorder` sends its weights, with
the seconds and evaluations that they took, to the process that waits for them. The
clock stands still while it sends. NumPy only: a peer's process loads no other library.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

# Of points closer in time than this ratio only the first is kept, which bounds their
# number. So the seconds to a tolerance are at most 1 % too many.
_SPACING = 1.01


class Point(NamedTuple):
    """An iterate.

    Attributes:
      seconds: since the clock started, when the evaluation at these weights was done;
        of a method that is rerun, the seconds of the run that gave these weights.
      evaluations: points at which value or gradient of the objective had been asked
        for, this one included; epochs for saga; None where the method has no such.
      weights: float32 (classes, features), the constant feature's weight last.
      hessian_products: products with the Hessian so far, each about as much work as one
        evaluation.
    """

    seconds: float
    evaluations: int | None
    weights: np.ndarray
    hessian_products: int = 0


class EnoughError(Exception):
    """Raised by a `Recorder` to end a peer that knows no such stop."""


class Recorder:
    """The clock of one run of a peer.

    recorder.start()
    ...  # after each evaluation
    recorder.point(weights, evaluations=7, value=1.62)

    Attributes:
      send: receives each `Point`, and None whenever the clock starts.
      deadline_s: seconds after which the next point, or `check`, ends the run.
      target: objective at which a point ends the run, by the value that the peer itself
        has computed; None for no such.
      compile_seconds: set by a peer that compiles.
    """

    def __init__(
        self,
        send: Callable[[Any], object],
        *,
        deadline_s: float,
        target: float | None = None,
    ) -> None:
        """Starts the clock without sending."""
        self.send = send
        self.deadline_s = deadline_s
        self.target = target
        self.compile_seconds = 0.0
        self._origin = time.perf_counter()
        self._last = 0.0

    def start(self) -> None:
        """Starts the clock, anew for each run of a method that is rerun."""
        self.send(None)
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
        """Sends an iterate, and ends the run where that is enough.

        Args:
          weights: shape ``(classes, features)``; copied.
          evaluations: as in `Point`.
          hessian_products: as in `Point`.
          value: the objective as the peer knows it, only compared with the target.
          keep: sends this point however soon it comes after the one before.

        Raises:
          EnoughError: if the deadline has passed or the target is reached.
        """
        seconds = self.seconds()
        late = seconds >= self.deadline_s
        arrived = value is not None and self.target is not None and value <= self.target
        if keep or late or arrived or seconds >= _SPACING * self._last:
            with self.paused():
                weights = np.array(weights, np.float32)
                self.send(Point(seconds, evaluations, weights, hessian_products))
            self._last = seconds
        if arrived:
            raise EnoughError(f"stopped at the target, by its own value {value:.6g}")
        if late:
            self.check()
