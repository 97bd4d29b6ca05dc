"""A small problem and its fits, for tests of covariances."""

import numpy as np

import jaxlin
from jaxlin import losses

SOFTMAX, SOFT = losses.softmax_cross_entropy, losses.cross_entropy
SQUARED = losses.weston_watkins_squared_hinge
SMALL, L2 = 1e-10, 1e-2
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(60, 5)) + [0, 1, -2, 0.5, 0]
LABELS = (ROWS[:, :3] + 2 * GENERATOR.gumbel(size=(60, 3))).argmax(1)
SHARES = GENERATOR.dirichlet(np.ones(3), size=60)
COUNTS = GENERATOR.integers(0, 4, size=60).astype(float)
GROUPS = np.arange(60) // 4
CONSTANT = np.c_[ROWS, np.ones(60)]
# Contrasts whose factors do not sum to 0 over the classes.
VECTORS = GENERATOR.normal(size=(4, 3, 6))


def fitted(problem, loss=SOFTMAX, l2=SMALL, bias="free", **options):
    return jaxlin.fit(
        problem,
        loss=loss,
        l2=l2,
        bias=bias,
        stop=jaxlin.Stop(1e-13),
        refine=True,
        **options,
    )
