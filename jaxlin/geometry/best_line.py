r"""Exact minimisation of the zero-one loss over lines in the plane.

Where no line separates two classes (`jaxlin.geometry.separability`), a surrogate loss
finds some line; the smallest zero-one loss of any line is a combinatorial question.
`find` rotates a line about every point and updates the count of correct points as it
passes the others.

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

# Angles closer than this may be in the wrong order in float64: it exceeds their error.
_ANGLE_ERROR = 4e-15

_Direction = tuple[Fraction, ...]


class BestLine(NamedTuple):
    """A line with the smallest zero-one loss.

    Attributes:
      line: the line, which passes through none of the points.
      correct: number of points that it classifies correctly.
    """

    line: Plane
    correct: int


def find(features: Any, labels: Any) -> BestLine:
    """A line in the plane that classifies the most points correctly.

    The search covers all lines, with either class on either side. An optimal line can
    be moved, without passing over a point, until it touches one. It is therefore enough
    to rotate a line about each point and to update the count as it passes over the
    others, in O(n^2 log n). Angles are sorted in float64, and those too close for its
    rounding error in exact arithmetic.

    Args:
      features: finite, shape ``(examples, 2)``.
      labels: 0 or 1, shape ``(examples,)``, both present.

    Raises:
      ValueError: if the data are not valid, or do not have two features.
    """
    rows, classes = separability.two_classes(features, labels)
    check.features("features", rows, num_features=2, remedy="choose two columns")
    rows = rows.astype(np.float64)
    rotations = (
        _best_rotation(pivot, rows, classes) for pivot in np.unique(rows, axis=0)
    )
    count, rotation = max(rotations, key=lambda one: one[0])
    line = _line(rotation, rows)
    assert separability.correct(line, rows, classes) == count
    return BestLine(line, count)


class _Rotation(NamedTuple):
    """The best angle of a line about a point, between two of the other points.

    Attributes:
      pivot: the point, shape ``(2,)``.
      before: direction of the last point passed, or None if there is no other point.
      after: direction of the next point, or None if there is no other point.
      is_reversed: whether label 1 is on the right of the direction of the line.
      pivot_label: the label given to the pivot.
    """

    pivot: np.ndarray
    before: _Direction | None
    after: _Direction | None
    is_reversed: bool
    pivot_label: int


def _best_rotation(
    pivot: np.ndarray, rows: np.ndarray, classes: np.ndarray
) -> tuple[int, _Rotation]:
    """The largest number of correct points by a line about a pivot, and its angle."""
    steps = rows - pivot
    is_other = steps.any(axis=1)
    ones = int(classes[~is_other].sum())
    pivot_counts = len(rows) - int(is_other.sum()) - ones, ones
    pivot_label = int(pivot_counts[1] > pivot_counts[0])
    others, labels, steps = rows[is_other], classes[is_other], steps[is_other]
    if len(others) == 0:
        return max(pivot_counts), _Rotation(pivot, None, None, False, pivot_label)
    # Directions of lines: each is reflected into the upper half plane.
    is_flipped = (steps[:, 1] < 0) | ((steps[:, 1] == 0) & (steps[:, 0] < 0))
    steps = np.where(is_flipped[:, None], -steps, steps) + 0.0
    order, ends = _by_angle(steps, others, pivot, is_flipped)
    # A line just below the first direction has all unflipped points on its left and all
    # flipped ones on its right; label 1 is on the left.
    start = int(((labels == 1) != is_flipped).sum())
    changes = np.where((labels == 1) != is_flipped, -1, 1)[order]
    counts = start + np.concatenate([[0], np.cumsum(changes)[ends - 1]])
    both = np.stack([counts, len(others) - counts])
    is_reversed, place = np.unravel_index(int(both.argmax()), both.shape)
    firsts = order[np.concatenate([[0], ends[:-1]])]

    def direction(which: int) -> _Direction:
        index = firsts[which % len(firsts)]
        # After the last direction the first ones follow again, with the sign reversed.
        is_back = bool(is_flipped[index]) != (not 0 <= which < len(firsts))
        return _direction(others[index], pivot, is_back)

    before, after = direction(int(place) - 1), direction(int(place))
    rotation = _Rotation(pivot, before, after, bool(is_reversed), pivot_label)
    return int(both.max()) + max(pivot_counts), rotation


def _by_angle(
    steps: np.ndarray, others: np.ndarray, pivot: np.ndarray, is_flipped: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Order of directions in the upper half plane, and ends of groups of equal ones.

    Args:
      steps: directions, rounded to float64, shape ``(others, 2)``.
      others: points that they lead to, shape ``(others, 2)``.
      pivot: origin of the directions, shape ``(2,)``.
      is_flipped: whether each direction points away from its point, shape
        ``(others,)``.
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
    """First and last (exclusive) positions of runs between boundaries."""
    stops = [*(np.flatnonzero(is_boundary) + 1).tolist(), len(is_boundary) + 1]
    return zip([0, *stops[:-1]], stops, strict=True)


def _compare(directions: dict[int, _Direction]) -> Callable[[int, int], int]:
    """Comparison function of angles: negative where the first is smaller."""

    def compare(first: int, second: int) -> int:
        turn = _cross(directions[first], directions[second])
        return int(turn < 0) - int(turn > 0)

    return compare


def _cross(first: _Direction, second: _Direction) -> Fraction:
    return first[0] * second[1] - first[1] * second[0]


def _direction(point: np.ndarray, pivot: np.ndarray, is_flipped: bool) -> _Direction:
    """The exact step from the pivot to a point, or back."""
    end, start = separability.exact(point), separability.exact(pivot)
    step = tuple(a - b for a, b in zip(end, start, strict=True))
    return _opposite(step) if is_flipped else step


def _opposite(direction: _Direction) -> _Direction:
    return tuple(-part for part in direction)


def _line(rotation: _Rotation, rows: np.ndarray) -> Plane:
    """The line at the angle of a rotation, shifted to label its pivot correctly."""
    direction: _Direction
    if rotation.before is None or rotation.after is None:
        direction = Fraction(1), Fraction(0)
    elif _opposite(rotation.before) == rotation.after:
        direction = -rotation.before[1], rotation.before[0]
    else:
        # The sum of directions of similar lengths lies well between the two.
        direction = tuple(
            a / sum(map(abs, rotation.before)) + b / sum(map(abs, rotation.after))
            for a, b in zip(rotation.before, rotation.after, strict=True)
        )
    normal: _Direction = (-direction[1], direction[0])
    if rotation.is_reversed:
        normal = _opposite(normal)
    through = Plane(normal, Fraction(0))
    offset = -separability.values(through, rotation.pivot[None, :])[0]
    clear = [abs(value + offset) for value in separability.values(through, rows)]
    nearest = min((distance for distance in clear if distance > 0), default=Fraction(2))
    return Plane(
        normal, offset + (nearest / 2 if rotation.pivot_label else -nearest / 2)
    )
