r"""Can a hyperplane separate two classes? Proofs either way, in exact arithmetic.

Two finite sets of points lie strictly on the two sides of some hyperplane if and only
if their convex hulls have no point in common. `prove` finds one or the other: a plane,
or a few points of both classes (at most D + 2 in all, four in the plane) with weights
that make the same point of either. The arithmetic is that of whole numbers, so nothing
is rounded; `holds` checks a proof against the points without knowing how it was found.

How many points the best of all lines gets right, where none separates, is told by
`jaxlin.best_line`.

  >>> import numpy as np
  >>> from jaxlin import separability
  >>> corners = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
  >>> exclusive_or = np.array([0, 0, 1, 1])
  >>> proof = separability.prove(corners, exclusive_or)
  >>> print(proof.rows, [str(weight) for weight in proof.weights])
  (0, 1, 2, 3) ['1/2', '1/2', '1/2', '1/2']
  >>> separability.holds(proof, corners, exclusive_or)
  True
"""

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check

Point = tuple[Fraction, ...]


class Plane(NamedTuple):
    """A hyperplane: label 1 where ``<normal, x> + offset`` is positive, 0 elsewhere.

    Attributes:
      normal: exact, one entry a feature.
      offset: exact.
    """

    normal: Point
    offset: Fraction


class CommonPoint(NamedTuple):
    """A point of both convex hulls: no hyperplane separates the classes.

    Attributes:
      rows: points that it is made of, ascending indices; both classes are among them.
      weights: above 0, one a row; those of either class sum to 1 and make ``point``.
      point: the point, one entry a feature.
    """

    rows: tuple[int, ...]
    weights: Point
    point: Point


def prove(features: Any, labels: Any) -> Plane | CommonPoint:
    r"""A plane that strictly separates two classes, or a proof that none does.

    Phase one of the simplex method looks for weights :math:`\alpha, \beta \ge 0` with
    sum 1 each and :math:`\sum_i \alpha_i x_i = \sum_j \beta_j z_j`. Where there are
    none, its dual solution is the plane. Bland's rule keeps it from cycling, and
    pivoting in whole numbers (Edmonds) from rounding. Meant for few features and
    thousands of points: numbers grow with the features.

    Args:
      features: finite, shape ``(examples, features)``; taken at their exact values.
      labels: 0 or 1, shape ``(examples,)``, both present.

    Returns:
      The proof, which `holds`.

    Raises:
      ValueError: if the data are not valid.

    Reference:
      R. G. Bland. New finite pivoting rules for the simplex method. Mathematics of
      Operations Research, 1977. J. Edmonds. Systems of distinct representatives and
      linear algebra. Journal of Research of the National Bureau of Standards, 1967.
    """
    rows, classes = two_classes(features, labels)
    whole, units = _whole_numbers(rows)
    signs = np.where(classes == 0, 1, -1).astype(object)
    membership = np.stack([classes == 0, classes == 1]).astype(int).astype(object)
    columns = np.concatenate([membership, signs * whole.T])
    right_side = np.array([1, 1] + [0] * len(units), object)
    weights, duals = _phase_one(columns, right_side)
    if weights is not None:
        return _common_point(rows, classes, weights)
    # <v, x> <= -y_0 on class 0 and >= y_1 > -y_0 on class 1: halfway between.
    first, second, *normal = duals
    scaled = tuple(part * unit for part, unit in zip(normal, units, strict=True))
    return Plane(scaled, (first - second) / 2)


def holds(proof: Plane | CommonPoint, features: Any, labels: Any) -> bool:
    """Whether a proof is one, checked in exact rational arithmetic from the points.

    Args:
      proof: from `prove` or anywhere.
      features: as in `prove`.
      labels: likewise.

    Returns:
      For a plane, whether every point lies strictly on the side of its class; for a
      common point, whether the weights make it of both classes.
    """
    rows, classes = two_classes(features, labels)
    if isinstance(proof, Plane):
        strict = [value != 0 for value in values(proof, rows)]
        return all(strict) and correct(proof, rows, classes) == len(rows)
    if not 0 < len(proof.rows) == len(proof.weights):
        return False
    if min(proof.rows) < 0 or max(proof.rows) >= len(rows) or min(proof.weights) < 0:
        return False
    for label in (0, 1):
        chosen = [
            (weight, exact(rows[row]))
            for row, weight in zip(proof.rows, proof.weights, strict=True)
            if classes[row] == label
        ]
        if sum(weight for weight, _ in chosen) != 1:
            return False
        if _combined(chosen) != tuple(proof.point):
            return False
    return True


def correct(plane: Plane, features: Any, labels: Any) -> int:
    """How many points a plane labels rightly, counted in exact arithmetic.

    Args:
      plane: label 1 on its positive side, 0 elsewhere.
      features: shape ``(examples, features)``.
      labels: 0 or 1, shape ``(examples,)``.
    """
    rows, classes = two_classes(features, labels)
    predicted = [value > 0 for value in values(plane, rows)]
    return sum(int(a == b) for a, b in zip(predicted, classes, strict=True))


def values(plane: Plane, rows: np.ndarray) -> list[Fraction]:
    """``<normal, x> + offset`` of each row, exact."""
    return [
        sum((n * x for n, x in zip(plane.normal, exact(row), strict=True)), Fraction())
        + plane.offset
        for row in rows
    ]


def exact(row: np.ndarray) -> Point:
    """The numbers that floating-point ones stand for."""
    return tuple(Fraction(float(value)) for value in row)


def two_classes(features: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows and labels 0 and 1, checked.

    Raises:
      ValueError: if they are not valid or a class has no point.
    """
    rows = check.features("features", features)
    classes = check.labels("labels", labels, num_classes=2, num_examples=len(rows))
    return rows, check.several_classes("labels", classes)


def _combined(chosen: list[tuple[Fraction, Point]]) -> Point:
    """The weighted sum of points."""
    points = [[weight * value for value in point] for weight, point in chosen]
    return tuple(sum(column, Fraction()) for column in zip(*points, strict=True))


def _whole_numbers(rows: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Features as whole numbers, each in a unit of its own: ``rows * units``."""
    columns, units = [], []
    for column in rows.T:
        ratios = [float(value).as_integer_ratio() for value in column]
        # Powers of two: the largest is a multiple of all.
        unit = max(denominator for _, denominator in ratios)
        columns.append([n * (unit // d) for n, d in ratios])
        units.append(unit)
    return np.array(columns, object).T.reshape(rows.shape), units


def _phase_one(
    columns: np.ndarray, right_side: np.ndarray
) -> tuple[dict[int, Fraction] | None, list[Fraction]]:
    """Non-negative x with ``columns @ x = right_side``, or y that shows there is none.

    Returns:
      The entries of x above 0 by their index, or None with a y of which ``y @ columns
      <= 0 < y @ right_side``.
    """
    height, width = columns.shape
    unit = np.array([[int(i == j) for j in range(height)] for i in range(height)])
    table = np.concatenate([columns, unit, right_side[:, None]], axis=1, dtype=object)
    # What is still missing of the right side, and what each column would add to it.
    costs = -table.sum(axis=0)
    costs[width : width + height] = 0
    table = np.concatenate([table, costs[None, :]])
    basis, scale = [width + i for i in range(height)], 1
    while table[-1, -1] != 0:
        entering = next((j for j in range(width) if table[-1, j] < 0), None)
        if entering is None:
            slacks = [int(value) for value in table[-1, width : width + height]]
            return None, [1 - Fraction(slack, scale) for slack in slacks]
        leaving = _leaving(table, basis, entering)
        pivot = table[leaving, entering]
        kept = table[leaving].copy()
        table = (table * pivot - np.outer(table[:, entering], kept)) // scale
        table[leaving], scale = kept, pivot
        basis[leaving] = entering
    solution = {j: int(table[i, -1]) for i, j in enumerate(basis) if j < width}
    return {j: Fraction(x, int(scale)) for j, x in solution.items() if x > 0}, []


def _leaving(table: np.ndarray, basis: list[int], entering: int) -> int:
    """The row that first reaches 0; of several the one of the smallest variable."""

    def reaches_zero(row: int) -> tuple[Fraction, int]:
        return Fraction(int(table[row, -1]), int(table[row, entering])), basis[row]

    candidates = [row for row in range(len(basis)) if table[row, entering] > 0]
    return min(candidates, key=reaches_zero)


def _common_point(
    rows: np.ndarray, classes: np.ndarray, weights: dict[int, Fraction]
) -> CommonPoint:
    used = sorted(weights)
    point = _combined(
        [(weights[row], exact(rows[row])) for row in used if classes[row] == 0]
    )
    return CommonPoint(tuple(used), tuple(weights[row] for row in used), point)
