"""Stopping criterion of all certified fits, and its defaults."""

import dataclasses

from jaxlin import check


@dataclasses.dataclass(frozen=True)
class Stop:
    """Stopping criterion of a fit.

    A fit also ends when it stalls, usually because rounding error exceeds the remaining
    gap.

    Attributes:
      relative_gap: bound on (objective - optimum) / objective to be proven, above 0.
      max_passes: largest number of passes over the rows, at least 1. Products of rows
        and directions within a Newton step are not counted.

    Raises:
      ValueError: if a number is out of range.
    """

    relative_gap: float = 1e-3
    max_passes: int = 1000

    def __post_init__(self) -> None:
        check.number("relative_gap", self.relative_gap, above=0)
        check.integer("max_passes", self.max_passes, at_least=1)


DEFAULT = Stop()


def checked(stop: Stop) -> Stop:
    """Returns ``stop`` if it is a `Stop`; raises a ValueError otherwise."""
    if not isinstance(stop, Stop):
        raise ValueError(
            f"stop must be a jaxlin.Stop, got {stop!r:.80}; for instance "
            "jaxlin.Stop(relative_gap=1e-4)"
        )
    return stop
