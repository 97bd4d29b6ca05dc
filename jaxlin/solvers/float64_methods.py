"""Choice among the methods that continue a fit in float64.

========================================  ============================================
problem                                   method
========================================  ============================================
small, hinge or its square                interior point (`interior_point`)
small, softmax or cross-entropy           Newton by conjugate gradients (`newton`)
large, the same, on one device, 2 GB      the same
large, hinge, on one device, 1 GB         semismooth Newton (`semismooth_newton`)
other                                     L-BFGS, as in float32 (`full_batch`)
========================================  ============================================

`is_small_shape` draws the line: the interior-point method factorises a Hessian at each
iterate, and softmax shares its limit. `takes_newton_steps` and `takes_semismooth_steps`
have the other limits.
"""

import numpy as np

from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh
from jaxlin.solvers import (
    certified,
    full_batch,
    interior_point,
    newton,
    semismooth_newton,
)
from jaxlin.solvers.fit_loop import Iterations
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.typing import Array, Loss

# Largest number of unknowns of a small problem: the Hessian of 2,000, which the
# interior-point method factorises, takes 32 MB and .1 s on two cores.
MAX_UNKNOWNS = 2000
# Largest count of numbers in rows, duals and Hessians of all examples in the scores:
# 400 MB.
_MAX_NUMBERS = 50_000_000
# Largest number of scores of a large problem with Newton steps, which hold four arrays
# of them in float64 and eight in float32.
_MAX_SCORES_OF_STEPS = 32_000_000
# Largest count of float32 numbers that semismooth Newton steps hold: a copy of the
# active rows, if all are active, and eight float64 arrays of shape (examples, classes).
_MAX_NUMBERS_OF_STEPS = 250_000_000


def is_small_shape(*, num_classes: int, num_features: int, num_examples: int) -> bool:
    """Returns whether a problem of this shape has the methods for small problems.

    The rows must fit into the memory of one device in float64.
    """
    unknowns = num_classes * (num_features + 1)
    # The interior-point method holds four arrays of Hessians in the scores at once.
    numbers = num_examples * (num_features + 16 * num_classes + 4 * num_classes**2)
    is_on_one_device = device_mesh.axis_size(device_mesh.ROWS) == 1
    is_short = unknowns <= MAX_UNKNOWNS and numbers <= _MAX_NUMBERS
    return is_short and is_on_one_device and device_mesh.has_float64()


def takes_newton_steps(loss: Loss, *, num_examples: int, num_classes: int) -> bool:
    """Returns whether a large problem of this shape has Newton's method."""
    is_on_one_device = device_mesh.axis_size(device_mesh.ROWS) == 1
    is_held = num_examples * num_classes <= _MAX_SCORES_OF_STEPS
    is_possible = is_on_one_device and is_held and device_mesh.has_float64()
    # The Hessian of the squared hinge changes with each step: far from the optimum most
    # of its systems take hundreds of products and gain little.
    is_analytic = conjugates.of(loss).violations is None
    return is_analytic and is_possible


def takes_semismooth_steps(
    loss: Loss, features: Array | np.ndarray, *, num_classes: int
) -> bool:
    """Returns whether a large problem with these rows has the semismooth method."""
    is_on_one_device = device_mesh.axis_size(device_mesh.ROWS) == 1
    numbers = features.shape[0] * (features.shape[1] + 16 * num_classes)
    is_hinge = not conjugates.of(loss).smooth
    return is_hinge and is_on_one_device and numbers <= _MAX_NUMBERS_OF_STEPS


def iterations(
    examples: Examples,
    *,
    loss: Loss,
    settings: Settings,
    num_classes: int,
    is_small: bool,
) -> Iterations:
    """Iterations of a fit in float64, for `jaxlin.solvers.fit_loop.minimize`.

    Args:
      examples: prepared examples (`jaxlin.solvers.certified.prepare`).
      loss: one of the six losses that have a conjugate.
      settings: l2 and loss arguments; all else None.
      num_classes: number of classes.
      is_small: whether the problem is small (`is_small_shape`).
    """
    if is_small:
        is_violation = conjugates.of(loss).violations is not None
        method = interior_point if is_violation else newton
        return method.iterations(examples, loss=loss, settings=settings)
    num_examples = examples.features.shape[0]
    if takes_newton_steps(loss, num_examples=num_examples, num_classes=num_classes):
        return newton.iterations(examples, loss=loss, settings=settings)
    if takes_semismooth_steps(loss, examples.features, num_classes=num_classes):
        return semismooth_newton.iterations(examples, loss=loss, settings=settings)
    rows = certified.row_source(examples, loss=loss)
    return full_batch.iterations(rows, loss=loss, settings=settings)
