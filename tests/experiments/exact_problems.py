"""A small weighted problem, as the NumPy objectives and the exact optima take it."""

import numpy as np
import optima

from experiments.common.numpy_objective import Data


def problem(name, classes=3):
    """Rows, targets and weights, one of them 0, and the same for `optima`."""
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(25, 3))
    targets = generator.integers(classes, size=25)
    if name == "cross_entropy":
        targets = generator.dirichlet(np.ones(classes), 25)
    weights = generator.uniform(0.1, 2, 25)
    weights[3] = 0
    folded = np.c_[rows, np.ones(25)]
    exact = optima.Data(folded, targets, weights / weights.sum(), classes, name, 1e-2)
    return rows, Data(folded, targets, weights), exact
