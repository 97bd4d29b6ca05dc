"""The cases: the lecture's three, and two that a linear classifier can do."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from jaxlin.data import toy

CaseName = Literal["quadrants", "ring", "three_modes", "half_planes", "sectors"]


class Case(NamedTuple):
    """One problem in the plane.

    Attributes:
      title: as the lecture calls it.
      draw: points from a key.
      class_names: in the order of the labels.
      lift: the features of one example with what mends the case, or None if it needs
        nothing.
      added: what the lift adds, in words.
    """

    title: str
    draw: Callable[..., Any]
    class_names: tuple[str, ...]
    lift: Callable[..., Any] | None = None
    added: str = ""


CASES: dict[CaseName, Case] = {
    "quadrants": Case(
        "First and third quadrant against second and fourth",
        toy.quadrants,
        ("second and fourth", "first and third"),
        toy.lift_quadrants,
        "the product of the two coordinates",
    ),
    "ring": Case(
        "Norm from 1 to 2 against the rest",
        toy.ring,
        ("the rest", "the ring"),
        toy.lift_ring,
        "the squared distance of the norm from 1.5",
    ),
    "three_modes": Case(
        "Three modes against the rest",
        toy.three_modes,
        ("the rest", "the modes"),
        toy.lift_three_modes,
        "a bump about each mode",
    ),
    "half_planes": Case(
        "Two sides of a line", toy.half_planes, ("one side", "other side")
    ),
    "sectors": Case("Three sectors", toy.sectors, ("first", "second", "third")),
}
