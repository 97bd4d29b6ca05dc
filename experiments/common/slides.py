"""The lecture's name, and numbers of its slides that several experiments show."""

import numpy as np

# The lecture that the experiments follow.
LECTURE = (
    "CS 4803 / 7643 Deep Learning, Georgia Tech, fall 2019: Linear Classifiers, Loss "
    "Functions (D. Batra), with slides of CS231n, Stanford (F.-F. Li, J. Johnson, S. "
    "Yeung)"
)

# Rows are images (cat, car, frog), columns are classes in the same order.
NAMES = ("cat", "car", "frog")
SCORES = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
LABELS = np.arange(3)

# The worked example: four pixels; cat, dog and ship.
PIXELS = np.array([56, 231, 24, 2])
WEIGHTS = np.array(
    [[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0.0, 0.25, 0.2, -0.3]]
)
BIAS = np.array([1.1, 3.2, -1.2])

# Three images of one label, for softmax against SVM.
COMPARED = np.array([[10.0, -2.0, 3.0], [10.0, 9.0, 9.0], [10.0, -100.0, -100.0]])
