"""The small problem of all tests of sweeps: each shape costs seconds of compiling.

Its shape is that of `fitting_problems` too, whose fits have the same programs.
"""

import functools

import numpy as np

import jaxlin
from jaxlin import losses, normalization

EXAMPLES, WIDTH, NUM_CLASSES = 60, 5, 3
# Models that differ by the examples that count, one in each slot of a lane.
NUM_WEIGHT_SETS = 3

SOFTMAX, HINGE = losses.softmax_cross_entropy, losses.weston_watkins_hinge
# Given to the hinge as it is by default: another value then has the same program.
MARGIN = {"margin": (1.0,)}

_GENERATOR = np.random.default_rng(0)
ROWS = _GENERATOR.normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
_TEACHER = _GENERATOR.normal(size=(NUM_CLASSES, WIDTH))
_NOISE = 0.5 * _GENERATOR.normal(size=(EXAMPLES, NUM_CLASSES))
LABELS = np.argmax(ROWS @ _TEACHER.T + _NOISE, axis=1)
# The part of each example, of three; each has all classes.
FOLD_IDS = np.arange(EXAMPLES) % NUM_WEIGHT_SETS
NORMALIZATION = normalization.fit_standard(ROWS)


def problem_of(labels):
    """The rows, normalised, with these labels."""
    return jaxlin.problem(
        ROWS, labels, classes=range(NUM_CLASSES), normalization=NORMALIZATION
    )


@functools.cache
def problem():
    return problem_of(LABELS)
