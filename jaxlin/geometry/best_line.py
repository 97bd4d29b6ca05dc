r"""The best of all lines for two classes in the plane, by the zero-one loss, exactly.

Where no line separates two classes (`jaxlin.geometry.separability`), a surrogate loss
finds some line; how good a line can be at all is a question of counting. `find` turns a
line about every point and counts what changes as it passes the others.

  >>> import numpy as np
  >>> from jaxlin.geometry import best_line
  >>> corners = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
  >>> best_line.find(corners, np.array([0, 0, 1, 1])).correct
  3
"""

import functools
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.geometry import separability
from jaxlin.geometry.separability import Plane

# Angles that float64 may have put in the wrong order: each is off by less than this.
_ANGLE_ERROR = 4e-15

Direction = tuple[Fraction, ...]


class BestLine(NamedTuple):
    """A line that no other line beats.

    Attributes:
      line: it passes through none of the points.
      correct: how many points it gets right.
    """

    line: Plane
    correct: int


def find(features: Any, labels: Any) -> BestLine:
    """The most points that any line in the plane gets right, and such a line.

    Of all lines, with either class on either side. A best one can be moved, without
    passing over a point, until it touches one; so it is enough to turn a line about
    each point in turn and to count what changes as it passes over the others: O(n^2 log
    n). Angles are sorted in float64, and those that rounding could confuse in exact
    arithmetic.

    Args:
      features: finite, shape ``(examples, 2)``.
      labels: 0 or 1, shape ``(examples,)``, both present.

    Raises:
      ValueError: if the data are not valid, or not of two features.
    """
    rows, classes = separability.two_classes(features, labels)
    check.features("features", rows, num_features=2)
    rows = rows.astype(np.float64)
    turns = (_turned(pivot, rows, classes) for pivot in np.unique(rows, axis=0))
    count, turn = max(turns, key=lambda one: one[0])
    line = _line(turn, rows)
    assert separability.correct(line, rows, classes) == count
    return BestLine(line, count)


class _Turn(NamedTuple):
    """Where a line about a point stops, between two of the other points.

    Attributes:
      pivot: the point.
      before: direction of the last point passed, or None if there is no other point.
      after: direction of the next one.
      is_reversed: whether label 1 is on the right of the direction.
      own: the label that is given to the point.
    """

    pivot: np.ndarray
    before: Direction | None
    after: Direction | None
    is_reversed: bool
    own: int


def _turned(
    pivot: np.ndarray, rows: np.ndarray, classes: np.ndarray
) -> tuple[int, _Turn]:
    """The most points right with a line about one of them, and where it stops."""
    steps = rows - pivot
    is_other = steps.any(axis=1)
    ones = int(classes[~is_other].sum())
    here = len(rows) - int(is_other.sum()) - ones, ones
    own = int(here[1] > here[0])
    others, labels, steps = rows[is_other], classes[is_other], steps[is_other]
    if len(others) == 0:
        return max(here), _Turn(pivot, None, None, False, own)
    # As directions of lines: each turned into the upper half plane.
    is_flipped = (steps[:, 1] < 0) | ((steps[:, 1] == 0) & (steps[:, 0] < 0))
    steps = np.where(is_flipped[:, None], -steps, steps) + 0.0
    order, ends = _by_angle(steps, others, pivot, is_flipped)
    # A line that points just below the first direction has all others to its left, the
    # flipped ones to its right; label 1 is on the left.
    start = int(((labels == 1) != is_flipped).sum())
    changes = np.where((labels == 1) != is_flipped, -1, 1)[order]
    counts = start + np.concatenate([[0], np.cumsum(changes)[ends - 1]])
    both = np.stack([counts, len(others) - counts])
    is_reversed, place = np.unravel_index(int(both.argmax()), both.shape)
    firsts = order[np.concatenate([[0], ends[:-1]])]

    def direction(which: int) -> Direction:
        index = firsts[which % len(firsts)]
        # Beyond the last direction come the first ones again, from the other side.
        is_back = bool(is_flipped[index]) != (not 0 <= which < len(firsts))
        return _direction(others[index], pivot, is_back)

    before, after = direction(int(place) - 1), direction(int(place))
    turn = _Turn(pivot, before, after, bool(is_reversed), own)
    return int(both.max()) + max(here), turn


def _by_angle(
    steps: np.ndarray, others: np.ndarray, pivot: np.ndarray, is_flipped: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Order of directions in the upper half plane, and where each group of equals ends.

    Args:
      steps: the directions, rounded.
      others: the points that they lead to.
      pivot: where they come from.
      is_flipped: which of them lead there backwards.
    """
    angles = np.arctan2(steps[:, 1], steps[:, 0])
    order = np.argsort(angles)
    is_sure = np.diff(angles[order]) > _ANGLE_ERROR
    ends = []
    for first, last in _runs(is_sure):
        if last - first > 1:
            group = {
                int(i): _direction(others[i], pivot, bool(is_flipped[i]))
                for i in order[first:last]
            }
            exact = sorted(group, key=functools.cmp_to_key(_compare(group)))
            order[first:last] = exact
            ends += [
                first + i
                for i in range(1, last - first)
                if _cross(group[exact[i - 1]], group[exact[i]]) != 0
            ]
        ends.append(last)
    return order, np.array(ends)


def _runs(is_boundary: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) positions of the runs between boundaries."""
    stops = [*(np.flatnonzero(is_boundary) + 1).tolist(), len(is_boundary) + 1]
    return zip([0, *stops[:-1]], stops, strict=True)


def _compare(directions: dict[int, Direction]) -> Callable[[int, int], int]:
    """Compares angles: negative where the first is smaller."""

    def compare(first: int, second: int) -> int:
        turn = _cross(directions[first], directions[second])
        return int(turn < 0) - int(turn > 0)

    return compare


def _cross(first: Direction, second: Direction) -> Fraction:
    return first[0] * second[1] - first[1] * second[0]


def _direction(point: np.ndarray, pivot: np.ndarray, is_flipped: bool) -> Direction:
    """The exact step from the pivot to a point, or back."""
    end, start = separability.exact(point), separability.exact(pivot)
    step = tuple(a - b for a, b in zip(end, start, strict=True))
    return _opposite(step) if is_flipped else step


def _opposite(direction: Direction) -> Direction:
    return tuple(-part for part in direction)


def _line(turn: _Turn, rows: np.ndarray) -> Plane:
    """The line through the pivot of a turn, moved off it to the side that is right."""
    towards: Direction
    if turn.before is None or turn.after is None:
        towards = Fraction(1), Fraction(0)
    elif _opposite(turn.before) == turn.after:
        towards = -turn.before[1], turn.before[0]
    else:
        # A sum of directions of about one length points well between the two.
        towards = tuple(
            a / sum(map(abs, turn.before)) + b / sum(map(abs, turn.after))
            for a, b in zip(turn.before, turn.after, strict=True)
        )
    normal: Direction = (-towards[1], towards[0])
    if turn.is_reversed:
        normal = _opposite(normal)
    through = Plane(normal, Fraction(0))
    offset = -separability.values(through, turn.pivot[None, :])[0]
    clear = [abs(value + offset) for value in separability.values(through, rows)]
    nearest = min((distance for distance in clear if distance > 0), default=Fraction(2))
    return Plane(normal, offset + (nearest / 2 if turn.own else -nearest / 2))
