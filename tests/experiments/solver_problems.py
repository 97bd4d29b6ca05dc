"""Problems of the peers' tests, and their objective as a plain loop."""

import functools

import numpy as np
import references
import scipy.optimize

from experiments.benchmark_solvers import peers
from experiments.benchmark_solvers.rows import Rows
from jaxlin.normalization import Normalization

L2 = 0.05

LOOPS = {
    "softmax_cross_entropy": references.softmax_cross_entropy,
    "weston_watkins_hinge": references.weston_watkins,
    "weston_watkins_squared_hinge": functools.partial(
        references.weston_watkins, power=2
    ),
    "crammer_singer_hinge": references.crammer_singer,
    "one_vs_rest_hinge": references.one_vs_rest,
}


# L-BFGS is not made for kinks: on these it ends somewhere near.
KINKED = {"weston_watkins_hinge", "crammer_singer_hinge", "one_vs_rest_hinge"}


@functools.cache
def stored(num_classes, num_examples=30):
    """Overlapping clouds."""
    draw = np.random.default_rng(0)
    labels = np.arange(num_examples, dtype=np.int32) % num_classes
    centres = draw.normal(size=(num_classes, 4))
    rows = centres[labels] + draw.normal(size=(num_examples, 4))
    unchanged = Normalization(np.zeros(4, np.float32), np.ones((), np.float32))
    return Rows(rows.astype(np.float32), labels, unchanged, num_classes)


def problem(num_classes):
    """The rows of `stored` with the constant feature, and their labels."""
    rows = stored(num_classes)
    return np.c_[rows.features, np.ones(len(rows.labels), np.float32)], rows.labels


def loop_objective(weights, rows, labels, loss, l2=L2):
    """The definition, one example after the other."""
    rows, weights = rows.astype(float), np.asarray(weights, float)
    total = sum(
        LOOPS[loss](weights @ row, label)
        for row, label in zip(rows, labels, strict=True)
    )
    return total / len(rows) + l2 / 2 * (weights**2).sum()


@functools.cache
def optimum(loss, num_classes):
    """The least objective, by a general method of scipy in float64."""
    rows, labels = problem(num_classes)
    size = num_classes * rows.shape[1]
    if loss not in KINKED:
        found = scipy.optimize.minimize(
            lambda flat: loop_objective(
                flat.reshape(num_classes, -1), rows, labels, loss
            ),
            np.zeros(size),
            method="L-BFGS-B",
            options={"ftol": 1e-14, "gtol": 1e-8},
        )
        return found.fun
    return _least_with_slacks(loss, rows.astype(float), labels, num_classes)


def _least_with_slacks(loss, rows, labels, num_classes):
    """The quadratic program of a hinge: every slack at least 0 and at least a term."""
    size = num_classes * rows.shape[1]
    terms, owner = [], []
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        for j in range(num_classes):
            term = np.zeros((num_classes, rows.shape[1]))
            if loss == "one_vs_rest_hinge":
                term[j] = -row if j == label else row
            elif j == label:
                continue
            else:
                term[j], term[label] = row, -row
            owner.append(i if loss == "crammer_singer_hinge" else len(terms))
            terms.append(term.ravel())
    slacks = max(owner) + 1
    # slack - term >= 1
    matrix = np.c_[-np.array(terms), np.eye(slacks)[owner]]
    price = np.r_[np.zeros(size), np.full(slacks, 1 / len(rows))]
    square = np.r_[np.full(size, L2), np.zeros(slacks)]
    found = scipy.optimize.minimize(
        lambda at: price @ at + square @ at**2 / 2,
        np.r_[np.zeros(size), np.ones(slacks)],
        jac=lambda at: price + square * at,
        method="SLSQP",
        bounds=[(None, None)] * size + [(0, None)] * slacks,
        constraints={
            "type": "ineq",
            "fun": lambda at: matrix @ at - 1,
            "jac": lambda at: matrix,
        },
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert found.success, found.message
    return found.fun


def find(name, loss):
    (peer,) = (one for one in peers.of(loss, ("",)) if one.name == name)
    return peer
