"""Stopping criterion: one rule and one set of defaults for all certified fits."""

import dataclasses

from jaxlin import check


@dataclasses.dataclass(frozen=True)
class Stop:
    """When a fit ends.

    A fit also ends where it stalls: rounding hides more than the gap that is left.

    Attributes:
      relative_gap: bound on (objective - optimum) / objective to be proven, above 0.
      max_passes: passes over the rows after which to give up, at least 1.

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
    """Returns the argument ``stop`` if it is a `Stop`; else raises a ValueError."""
    if not isinstance(stop, Stop):
        raise ValueError(
            f"stop must be a jaxlin.Stop, got {stop!r:.80}; for instance "
            "jaxlin.Stop(relative_gap=1e-4)"
        )
    return stop
