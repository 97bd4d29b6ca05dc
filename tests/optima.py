"""Exact optima by dense second-order methods in NumPy float64: nothing of jaxlin.

Smooth losses by Newton's method; hinges by an interior-point method on the quadratic
program with slacks. Each optimum brings a lower bound of its own, so that a test never
has to believe that a reference converged.
"""

from typing import NamedTuple

import numpy as np
import references
import scipy.sparse
import scipy.special

REFERENCES = {
    "weston_watkins_hinge": references.weston_watkins,
    "weston_watkins_squared_hinge": (
        lambda scores, label, margin: references.weston_watkins(
            scores, label, margin, power=2
        )
    ),
    "crammer_singer_hinge": references.crammer_singer,
    "one_vs_rest_hinge": references.one_vs_rest,
}
HINGES = ("weston_watkins_hinge", "crammer_singer_hinge", "one_vs_rest_hinge")


class Data(NamedTuple):
    """All that an optimum depends on, in float64.

    Attributes:
      rows: normalised, with the constant 1, shape ``(examples, features + 1)``.
      targets: labels, or distributions ``(examples, classes)``.
      weights: of the examples, with sum 1.
      num_classes: C.
      name: of the loss.
      l2: strength of half the sum of squares.
      margin: of a hinge.
    """

    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    num_classes: int
    name: str
    l2: float
    margin: float = 1.0


class Optimum(NamedTuple):
    """Folded weights, their value, a lower bound of all values, hinge duals."""

    weights: np.ndarray
    value: float
    lower: float
    duals: np.ndarray | None = None


def objective(weights, data):
    """The objective, by a loop over examples."""
    total = 0.0
    for row, target, share in zip(data.rows, data.targets, data.weights, strict=True):
        if share > 0:
            total += share * _loss(weights @ row, target, data)
    return total + data.l2 / 2 * float((weights**2).sum())


def _loss(scores, target, data):
    if "hinge" in data.name:
        return REFERENCES[data.name](scores, target, data.margin)
    # Unlike the logarithm of a probability this takes scores of any size. By hand, as
    # SciPy's takes ten times as long for a few numbers.
    right = scores[target] if np.ndim(target) == 0 else target @ scores
    largest = scores.max()
    return largest + np.log(np.exp(scores - largest).sum()) - right


def optimum(data):
    """The optimum, and a proof that it is one to nine digits."""
    found = _quadratic_program(data) if data.name in HINGES else _newton(data)
    assert found.value - found.lower <= 1e-9 * found.value, found
    return found


def parts(weights, data):
    """Value, gradient and Hessian of a smooth objective."""
    scores = data.rows @ weights.T
    one_hot = data.targets
    if one_hot.ndim == 1:
        one_hot = np.eye(data.num_classes)[data.targets]
    identity = np.eye(data.num_classes)
    if data.name == "weston_watkins_squared_hinge":
        right = (scores * one_hot).sum(axis=1, keepdims=True)
        violations = np.maximum(0, data.margin + scores - right) * (1 - one_hot)
        active = 1.0 * (violations > 0)
        values = (violations**2).sum(axis=1)
        slopes = 2 * (violations - one_hot * violations.sum(axis=1, keepdims=True))
        # Each wrong class in violation pulls along e_j - e_y.
        crossed = active[:, :, None] * one_hot[:, None, :]
        counts = active.sum(axis=1, keepdims=True)
        curvatures = 2 * (
            (active + counts * one_hot)[:, :, None] * identity
            - crossed
            - crossed.transpose(0, 2, 1)
        )
    else:
        total = scipy.special.logsumexp(scores, axis=1, keepdims=True)
        p = np.exp(scores - total)
        values = (one_hot * (total - scores)).sum(axis=1)
        slopes = p - one_hot
        curvatures = p[:, :, None] * identity - p[:, :, None] * p[:, None, :]
    value = data.weights @ values + data.l2 / 2 * (weights**2).sum()
    gradient = (data.weights[:, None] * slopes).T @ data.rows + data.l2 * weights
    squares = data.weights[:, None, None] * data.rows[:, :, None] * data.rows[:, None]
    hessian = np.tensordot(curvatures, squares, axes=(0, 0)).transpose(0, 2, 1, 3)
    size = weights.size
    return value, gradient, hessian.reshape(size, size) + data.l2 * np.eye(size)


def _newton(data):
    weights = np.zeros((data.num_classes, data.rows.shape[1]))
    value, gradient, hessian = parts(weights, data)
    for _ in range(200):
        # Strong convexity: the value is at most this far above the optimum.
        above = float((gradient**2).sum()) / (2 * data.l2)
        if above <= 1e-15 * value:
            break
        solved = np.linalg.solve(hessian, gradient.ravel())
        direction = -solved.reshape(weights.shape)
        slope, step = float((gradient * direction).sum()), 1.0
        while step > 1e-10:
            trial = parts(weights + step * direction, data)
            # The last steps change the value by no more than its rounding.
            if trial[0] <= value + 0.1 * step * slope + 1e-15 * value:
                break
            step /= 2
        weights = weights + step * direction
        value, gradient, hessian = trial
    return Optimum(weights, value, value - above)


def _constraints(data):
    """Rows A, owners and slopes b of slack[owner] >= b - A w, one a wrong class."""
    classes, width = data.num_classes, data.rows.shape[1]
    rows, owners, places = [], [], []
    for i, (row, label) in enumerate(zip(data.rows, data.targets, strict=True)):
        for j in range(classes):
            arm = np.zeros(classes)
            if data.name == "one_vs_rest_hinge":
                arm[j] = 1 if j == label else -1
            elif j != label:
                arm[label], arm[j] = 1, -1
            else:
                continue
            rows.append(np.outer(arm, row).ravel())
            owners.append(i if data.name == "crammer_singer_hinge" else len(owners))
            places.append((i, j))
    return np.reshape(rows, (-1, classes * width)), np.array(owners), places


class _Program(NamedTuple):
    """Minimises l2/2 |w|^2 + prices.slack over A w + slack >= margin, slack >= 0."""

    rows: np.ndarray  # A
    owners: np.ndarray  # the slack of each row
    owning: scipy.sparse.csr_matrix  # the same as a matrix of ones
    prices: np.ndarray
    margin: float
    l2: float

    def bounds(self, w, g):
        """(primal point, its value, dual value, its feasible point), both exact."""
        g = g * np.minimum(1, self.prices / (self.owning.T @ g))[self.owners]
        implied = self.rows.T @ g / self.l2
        lower = self.margin * g.sum() - self.l2 / 2 * implied @ implied
        values = []
        for point in (w, implied):
            slack = np.zeros(len(self.prices))
            np.maximum.at(slack, self.owners, self.margin - self.rows @ point)
            values.append(self.l2 / 2 * point @ point + self.prices @ slack)
        better = int(np.argmin(values))
        return (w, implied)[better], values[better], lower, g


class _Iterate(NamedTuple):
    """Unknowns; s and h are the slacks of the two constraints, g the duals."""

    w: np.ndarray
    slack: np.ndarray
    s: np.ndarray
    g: np.ndarray
    h: np.ndarray


def _quadratic_program(data):
    """A primal-dual interior-point method with Mehrotra's corrector.

    Reference: J. Nocedal and S. J. Wright, Numerical Optimization, chapter 16.6.
    """
    counted = np.flatnonzero(data.weights)
    rows, owners, places = _constraints(
        data._replace(rows=data.rows[counted], targets=data.targets[counted])
    )
    shares = np.array([data.weights[counted[i]] for i, _ in places])
    ones = np.ones(len(owners))
    owning = scipy.sparse.csr_matrix((ones, (np.arange(len(owners)), owners)))
    prices = np.zeros(owning.shape[1])
    prices[owners] = shares
    program = _Program(rows, owners, owning, prices, data.margin, data.l2)
    at = _Iterate(
        np.zeros(rows.shape[1]),
        np.full(len(prices), 2.0 * data.margin),
        np.full(len(rows), data.margin),
        shares / (2 * np.bincount(owners)[owners]),
        prices / 2,
    )
    best, idle = program.bounds(at.w, at.g), 0
    # To twelve digits, or as far as it comes.
    while idle < 20 and best[1] - best[2] > 1e-12 * best[1]:
        at = _improved(program, at)
        found = program.bounds(at.w, at.g)
        idle += 1
        if found[1] - found[2] < best[1] - best[2]:
            best, idle = found, 0
    w, value, lower, g = best
    duals = np.zeros((len(data.rows), data.num_classes))
    for (i, j), multiplier in zip(places, g / shares, strict=True):
        duals[counted[i], j] = multiplier
    return Optimum(w.reshape(data.num_classes, -1), value, lower, duals)


def _improved(program, at):
    rows, owners, owning, prices, margin, l2 = program
    w, slack, s, g, h = at
    r_w = l2 * w - rows.T @ g
    r_s = rows @ w + slack[owners] - margin - s
    r_h = prices - owning.T @ g - h
    theta, psi = g / s, h / slack
    # The matrix left when the slacks are eliminated, as B^T B, so that nothing cancels
    # and its square root is factorised: of each slack's constraints the scatter about
    # their mean, and the mean.
    total = owning.T @ theta
    diagonal = total + psi
    cross = owning.T @ (theta[:, None] * rows)
    mean = cross / total[:, None]
    parts = (
        np.sqrt(theta)[:, None] * (rows - mean[owners]),
        np.sqrt(total * psi / diagonal)[:, None] * mean,
        np.sqrt(l2) * np.eye(len(w)),
    )
    triangle = np.linalg.qr(np.concatenate(parts), mode="r")

    def solve(to_g, to_h):
        push = (to_g - g * r_s) / s
        of_slack = owning.T @ push + to_h / slack - r_h
        right = rows.T @ push - r_w - cross.T @ (of_slack / diagonal)
        dw = np.linalg.solve(triangle, np.linalg.solve(triangle.T, right))
        dslack = (of_slack - cross @ dw) / diagonal
        ds = rows @ dw + dslack[owners] + r_s
        dg = (to_g - g * ds) / s
        return _Iterate(dw, dslack, ds, dg, (to_h - h * dslack) / slack)

    def longest(move):
        """The largest step, at most 1, that leaves all but w positive."""
        ratios = [
            (-a / np.where(da < 0, da, -1e-300)).min()
            for a, da in zip(at[1:], move[1:], strict=True)
        ]
        return min(1.0, *ratios)

    plain = solve(-s * g, -slack * h)
    there = _moved(at, plain, longest(plain))
    before = s @ g + slack @ h
    after = there.s @ there.g + there.slack @ there.h
    target = (after / before) ** 3 * before / (len(s) + len(slack))
    move = solve(
        target - s * g - plain.s * plain.g, target - slack * h - plain.slack * plain.h
    )
    return _moved(at, move, 0.99 * longest(move))


def _moved(at, move, step):
    return _Iterate(*(a + step * da for a, da in zip(at, move, strict=True)))


# Constant of the rows with which a penalty on the bias hardly counts.
_LARGE_CONSTANT = 1e4


def free_optimum(data):
    """The optimum with a free bias, to nine digits: its penalty is 1e-8 of the others.

    Without its part of the penalty the value is that of a free bias. What the optimal
    bias of the free problem would pay bounds the difference of the two minima.
    """
    rows = data.rows.copy()
    rows[:, -1] = _LARGE_CONSTANT
    found = optimum(data._replace(rows=rows))
    weights, paid = (
        found.weights.copy(),
        data.l2 / 2 * (found.weights[:, -1] ** 2).sum(),
    )
    weights[:, -1] *= _LARGE_CONSTANT
    return Optimum(weights, found.value - paid, found.lower - 4 * paid, found.duals)


def free_objective(weights, data):
    """The objective with a free bias, by a loop over examples."""
    return objective(weights, data) - data.l2 / 2 * float((weights[:, -1] ** 2).sum())
