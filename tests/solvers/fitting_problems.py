"""Small problems that tests of fits share, and their optima in float64."""

import functools

import numpy as np
import optima

import jaxlin
from jaxlin import losses, normalization

EXAMPLES, WIDTH = 60, 5


SOFTMAX, HINGE = losses.softmax_cross_entropy, losses.weston_watkins_hinge


LOSS_OF_CLASSES = {3: SOFTMAX, 2: HINGE}
# Given as it is by default: a margin of another value then has the same program.
ARGUMENTS_OF_CLASSES = {3: {}, 2: {"margin": 1.0}}


# Of no effect, and one program with fits that have both.
ALIKE = {
    "example_weights": np.ones(EXAMPLES, np.float32),
    "normalization": normalization.Normalization(
        np.zeros(WIDTH, np.float32), np.ones(WIDTH, np.float32)
    ),
}


@functools.cache
def data(num_classes):
    """Rows that float32 holds exactly, and noisy labels."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
    teacher = generator.normal(size=(num_classes, WIDTH))
    noise = 0.5 * generator.normal(size=(EXAMPLES, num_classes))
    return rows, np.argmax(rows @ teacher.T + noise, axis=1)


@functools.cache
def problem(num_classes):
    return jaxlin.problem(*data(num_classes))


def fit(num_classes, *, relative_gap=1e-4, max_passes=1000, **settings):
    """Softmax of three classes, or the hinge of two: one program each."""
    settings = {"loss_arguments": ARGUMENTS_OF_CLASSES[num_classes], **settings}
    loss, stop = LOSS_OF_CLASSES[num_classes], jaxlin.Stop(relative_gap, max_passes)
    return jaxlin.fit(problem(num_classes), loss=loss, stop=stop, **settings)


def extended(rows):
    """In float64, with the constant 1 that makes a bias of the last weight."""
    return np.c_[np.float64(rows), np.ones(len(rows))]


def folded(fitted):
    return np.c_[fitted.params.weights, fitted.params.bias]


def exact(num_classes, l2):
    rows, labels = data(num_classes)
    weights = np.full(EXAMPLES, 1 / EXAMPLES)
    name = LOSS_OF_CLASSES[num_classes].__name__
    return optima.Data(extended(rows), labels, weights, num_classes, name, l2)
