"""Problem: examples that are checked once and know their classes.

Everything that fits takes a `Problem`, made of arrays, memory maps or blocks of rows:

  >>> import numpy as np
  >>> import jaxlin
  >>> rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
  >>> problem = jaxlin.problem(rows, np.where(rows[:, 0] > 0, "yes", "no"))
  >>> problem
  Problem(60 examples, 3 features, 2 classes)
  >>> problem.classes
  array(['no', 'yes'], dtype='<U3')

Under a mesh (`jaxlin.sharding`) the rows are spread over its devices. In several
processes each makes the problem of the rows that it has loaded and sees no others.
Rows that do not divide evenly are padded: some rows are repeated with weight 0.

  device_rows         rows on the device or the current mesh
  weight_checks       sets of example weights
  checked             the class `Problem`
  target_sets         several labels per row
  construction        problems from arrays and from blocks of rows
  first_iterate       parameters and duals that a fit begins with
  fit_methods         methods of a fit, in float32 and in float64
  fit_hessian         the Hessian of a fit's objective
  fit_derivatives     derivatives of the optimum, with bounds on their errors
  differentiable_fit  fits through which `jax.grad` passes
"""

from jaxlin import chapters
from jaxlin.normalization.fitting import FitNormalization
from jaxlin.problems.checked import Problem
from jaxlin.problems.construction import as_problem, problem, takes_problem

__getattr__ = chapters.loader(__name__)
__all__ = [
    "FitNormalization",
    "Problem",
    "as_problem",
    "problem",
    "takes_problem",
    *chapters.modules(__name__),
]
