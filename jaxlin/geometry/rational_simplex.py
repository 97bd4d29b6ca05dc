r"""Exact non-negative solutions of linear equations, or a certificate of infeasibility.

Phase one of the simplex method in integers. Bland's rule prevents cycling, and
integer-preserving pivoting (Edmonds) avoids rounding. The entries of the tableau are
determinants of the order of the number of equations, which limits the method to tens of
equations.

  >>> import numpy as np
  >>> from jaxlin.geometry import rational_simplex
  >>> columns = np.array([[1, 1, 1], [1, 2, 4]], object)
  >>> solution, _ = rational_simplex.solve(columns, np.array([1, 3], object))
  >>> print({column: str(value) for column, value in solution.items()})
  {1: '1/2', 2: '1/2'}

An infeasible system has a Farkas certificate: a vector y with a positive product with
the right side and with no column.

  >>> solution, found = rational_simplex.solve(columns, np.array([1, 5], object))
  >>> print(solution, [int(value) for value in found])
  None [-4, 1]

Reference:
  R. G. Bland. New finite pivoting rules for the simplex method. Mathematics of
  Operations Research, 1977. J. Edmonds. Systems of distinct representatives and linear
  algebra. Journal of Research of the National Bureau of Standards, 1967.
"""

from fractions import Fraction

import numpy as np


def solve(
    columns: np.ndarray, right_side: np.ndarray
) -> tuple[dict[int, Fraction] | None, list[Fraction]]:
    """Non-negative x with ``columns @ x = right_side``, or a proof that there is none.

    Args:
      columns: Python integers, dtype object, shape ``(equations, unknowns)``.
      right_side: Python integers, at least 0, shape ``(equations,)``.

    Returns:
      The positive entries of x by their index and an empty list; or None and y with
      ``y @ columns <= 0 < y @ right_side``, one entry per equation.

    Raises:
      ValueError: if an entry is not an integer, or one of the right side is negative.
    """
    if not all(isinstance(entry, int) for entry in [*columns.flat, *right_side]):
        raise ValueError(
            "columns and right_side must hold Python's integers, which never overflow; "
            "multiply fractions by their common denominator"
        )
    if min(right_side) < 0:
        raise ValueError(
            f"right_side must be at least 0, got {min(right_side)}; change the signs "
            "of its equation"
        )
    height, width = columns.shape
    unit = np.array([[int(i == j) for j in range(height)] for i in range(height)])
    table = np.concatenate([columns, unit, right_side[:, None]], axis=1, dtype=object)
    # Reduced costs of the phase-one objective, the sum of the artificial variables.
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
    """The row of the smallest ratio; ties go to the variable of smallest index."""

    def reaches_zero(row: int) -> tuple[Fraction, int]:
        return Fraction(int(table[row, -1]), int(table[row, entering])), basis[row]

    candidates = [row for row in range(len(basis)) if table[row, entering] > 0]
    return min(candidates, key=reaches_zero)
