r"""Linear separability of two classes, with proofs in exact arithmetic.

Two finite sets of points lie strictly on the two sides of some hyperplane if and only
if their convex hulls have no common point. `prove` finds either a separating plane or a
common point, as convex combinations of a few points of each class (at most D + 2 points
in total, four in the plane). The arithmetic is exact, in integers and fractions;
`holds` verifies a proof from the points alone.

For inseparable points in the plane, `jaxlin.geometry.best_line` finds the line that
classifies the most points correctly.

  >>> import numpy as np
  >>> from jaxlin.geometry import separability
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
from jaxlin.geometry import rational_simplex

Point = tuple[Fraction, ...]


class Plane(NamedTuple):
    """A hyperplane: label 1 where ``<normal, x> + offset`` is positive, 0 elsewhere.

    Attributes:
      normal: normal vector, exact, one entry per feature.
      offset: offset, exact.
    """

    normal: Point
    offset: Fraction


class CommonPoint(NamedTuple):
    """A common point of both convex hulls: no hyperplane separates the classes.

    Attributes:
      rows: ascending indices of the combined points, of both classes.
      weights: weights above 0, one per index; those of each class sum to 1, and the
        weighted sum of its points is ``point``.
      point: the common point, one entry per feature.
    """

    rows: tuple[int, ...]
    weights: Point
    point: Point


def prove(features: Any, labels: Any) -> Plane | CommonPoint:
    r"""A plane that strictly separates two classes, or a proof that none exists.

    Two linear programs in float64 propose a plane, or a subset of points; the plane is
    checked, or the weights of the points are computed, in exact arithmetic. If both
    fail (gaps near the rounding error of float64), `jaxlin.geometry.rational_simplex`
    searches for weights :math:`\alpha, \beta \ge 0` of all points, each with sum 1 and
    with :math:`\sum_i \alpha_i x_i = \sum_j \beta_j z_j`; if there are none, its
    certificate of infeasibility is the plane.

    Args:
      features: finite, shape ``(examples, features)``; floating-point values are taken
        as exact.
      labels: 0 or 1, shape ``(examples,)``, both present.

    Returns:
      The proof; `holds` is True for it.

    Raises:
      ValueError: if the data are not valid.
    """
    rows, classes = two_classes(features, labels)
    plane = _proposed_plane(rows, classes)
    if plane is not None and holds(plane, rows, classes):
        return plane
    whole, units = _whole_numbers(rows)
    signs = np.where(classes == 0, 1, -1).astype(object)
    membership = np.stack([classes == 0, classes == 1]).astype(int).astype(object)
    columns = np.concatenate([membership, signs * whole.T])
    right_side = np.array([1, 1] + [0] * len(units), object)
    few = _proposed_points(columns)
    weights, _ = rational_simplex.solve(columns[:, few], right_side)
    if weights is not None:
        weights = {int(few[place]): weight for place, weight in weights.items()}
        return _common_point(rows, classes, weights)
    weights, duals = rational_simplex.solve(columns, right_side)
    if weights is not None:
        return _common_point(rows, classes, weights)
    # <v, x> <= -y_0 on class 0 and >= y_1 > -y_0 on class 1: halfway between.
    first, second, *normal = duals
    scaled = tuple(part * unit for part, unit in zip(normal, units, strict=True))
    return Plane(scaled, (first - second) / 2)


def holds(proof: Plane | CommonPoint, features: Any, labels: Any) -> bool:
    """Returns whether a proof is valid, verified in exact rational arithmetic.

    Args:
      proof: a plane or a common point, from `prove` or any other source.
      features: finite, shape ``(examples, features)``.
      labels: 0 or 1, shape ``(examples,)``, both present.

    Returns:
      For a plane, whether every point lies strictly on the side of its class; for a
      common point, whether it is the weighted sum of the points of either class.
    """
    rows, classes = two_classes(features, labels)
    # Proofs from other sources may hold floats, and a product with a float is rounded.
    proof = _in_fractions(proof)
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
    """Number of points that a plane classifies correctly, in exact arithmetic.

    Args:
      plane: hyperplane with label 1 on its positive side and 0 elsewhere.
      features: finite, shape ``(examples, features)``.
      labels: 0 or 1, shape ``(examples,)``, both present.
    """
    rows, classes = two_classes(features, labels)
    predicted = [value > 0 for value in values(plane, rows)]
    return sum(int(a == b) for a, b in zip(predicted, classes, strict=True))


def values(plane: Plane, rows: np.ndarray) -> list[Fraction]:
    """Exact value of ``<normal, x> + offset`` for each row."""
    plane = _in_fractions(plane)
    if len(plane.normal) != rows.shape[1]:
        raise ValueError(
            f"a plane must have one entry a feature, got {len(plane.normal)} for "
            f"{rows.shape[1]} features"
        )
    return [
        sum((n * x for n, x in zip(plane.normal, exact(row), strict=True)), Fraction())
        + plane.offset
        for row in rows
    ]


def exact(row: np.ndarray) -> Point:
    """Exact fractions equal to the floating-point entries of a row."""
    return tuple(Fraction(float(value)) for value in row)


def two_classes(features: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Checked rows and labels 0 and 1.

    Raises:
      ValueError: if the data are not valid or a class has no point.
    """
    rows = check.features("features", features)
    classes = check.labels("labels", labels, num_classes=2, num_examples=len(rows))
    return rows, check.several_classes("labels", classes)


def _in_fractions(proof):
    """A proof with its numbers converted exactly to fractions."""
    if isinstance(proof, Plane):
        return Plane(tuple(map(Fraction, proof.normal)), Fraction(proof.offset))
    weights, point = (tuple(map(Fraction, part)) for part in proof[1:])
    return CommonPoint(proof.rows, weights, point)


def _combined(chosen: list[tuple[Fraction, Point]]) -> Point:
    """The weighted sum of points."""
    points = [[weight * value for value in point] for weight, point in chosen]
    return tuple(sum(column, Fraction()) for column in zip(*points, strict=True))


def _whole_numbers(rows: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Features scaled to integers, each by its own unit: ``rows * units``."""
    columns, units = [], []
    for column in rows.T:
        ratios = [float(value).as_integer_ratio() for value in column]
        # Denominators are powers of two: the largest is a multiple of all.
        unit = max(denominator for _, denominator in ratios)
        columns.append([n * (unit // d) for n, d in ratios])
        units.append(unit)
    return np.array(columns, object).T.reshape(rows.shape), units


def _proposed_plane(rows: np.ndarray, classes: np.ndarray) -> Plane | None:
    """A plane that separates the classes in float64 arithmetic, or None."""
    from scipy import optimize

    scaled, scale = _of_size_one(rows.astype(np.float64))
    signs = np.where(classes == 1, 1.0, -1.0)[:, None]
    sides = signs * np.append(scaled, np.ones_like(signs), axis=1)
    found = optimize.linprog(
        np.zeros(sides.shape[1]),
        A_ub=-sides,
        b_ub=-np.ones(len(rows)),
        bounds=(None, None),
    )
    if found.x is None:
        return None
    with np.errstate(over="ignore"):
        normal = found.x[:-1] / scale
    if not np.isfinite(normal).all():
        return None
    return Plane(exact(normal), Fraction(float(found.x[-1])))


def _proposed_points(columns: np.ndarray) -> np.ndarray:
    """Ascending indices of columns that combine to (1, 1, 0, ..., 0) in float64."""
    from scipy import optimize

    largest = np.abs(columns).max(axis=1, keepdims=True)
    shares = (columns / np.maximum(largest, 1)).astype(np.float64)
    found = optimize.linprog(
        np.zeros(columns.shape[1]),
        A_eq=shares,
        b_eq=np.append([1.0, 1.0], np.zeros(len(columns) - 2)),
        method="highs-ds",  # ends in a vertex, with few points
    )
    return np.flatnonzero(found.x > 0) if found.x is not None else np.array([], int)


def _of_size_one(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    largest = np.abs(rows).max(axis=0)
    scale = np.where(largest > 0, largest, 1)
    return rows / scale, scale


def _common_point(
    rows: np.ndarray, classes: np.ndarray, weights: dict[int, Fraction]
) -> CommonPoint:
    used = sorted(weights)
    point = _combined(
        [(weights[row], exact(rows[row])) for row in used if classes[row] == 0]
    )
    return CommonPoint(tuple(used), tuple(weights[row] for row in used), point)
