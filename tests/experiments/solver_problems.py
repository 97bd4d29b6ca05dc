"""Problems of the peers' tests, their objective as a plain loop and its optimum."""

import functools

import numpy as np
import optima

from experiments.benchmark_solvers import peers
from experiments.benchmark_solvers.rows import Rows

L2 = 0.05


@functools.cache
def stored(num_classes, num_examples=30):
    """Overlapping clouds."""
    draw = np.random.default_rng(0)
    labels = np.arange(num_examples, dtype=np.int32) % num_classes
    centres = draw.normal(size=(num_classes, 4))
    rows = centres[labels] + draw.normal(size=(num_examples, 4))
    unchanged = np.zeros(4, np.float32), np.float32(1)
    return Rows(rows.astype(np.float32), labels, *unchanged, num_classes)


def problem(num_classes):
    """The rows of `stored` with the constant feature, and their labels."""
    rows = stored(num_classes)
    return np.c_[rows.features, np.ones(len(rows.labels), np.float32)], rows.labels


def _data(rows, labels, loss):
    shares = np.full(len(rows), 1 / len(rows))
    classes = int(labels.max()) + 1
    return optima.Data(rows.astype(float), labels, shares, classes, loss, L2)


def loop_objective(weights, rows, labels, loss):
    """The definition, one example after the other."""
    return optima.objective(np.asarray(weights, float), _data(rows, labels, loss))


@functools.cache
def optimum(loss, num_classes):
    """The least objective, proven to nine digits."""
    return optima.optimum(_data(*problem(num_classes), loss)).value


def find(name, loss):
    (peer,) = (one for one in peers.of(loss, ("",)) if one.name == name)
    return peer
