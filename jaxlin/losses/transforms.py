"""Transforms of losses: other reductions over classes.

The lecture asks what changes if the multiclass SVM loss sums over all classes, the
right one included (Q4), or takes the mean instead of the sum (Q5). Each variant is a
function that maps a loss to a loss. The same loss always gives the same object, so that
the result may be a static argument of a compiled program:

  >>> import jax.numpy as jnp
  >>> from jaxlin.losses import transforms
  >>> from jaxlin import losses
  >>> hinge = losses.weston_watkins_hinge
  >>> with_right_class = transforms.sum_over_all_classes(hinge)
  >>> scores = jnp.array([3.0, 2.5, -1.0])
  >>> print(hinge(scores, 0), with_right_class(scores, 0))
  0.5 1.5
  >>> with_right_class is transforms.sum_over_all_classes(hinge)
  True

None of the three changes which side of a kink is active. The means rescale the loss:
with a penalty the minimiser stays the same only if the strength of the penalty is
divided by the same number.
"""

import functools
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import losses
from jaxlin.typing import Array, Loss


@functools.cache
def sum_over_all_classes(loss: Loss) -> Loss:
    """Extends the sum of a loss to the right class, as if it were a wrong one (Q4).

    The loss must be a sum over the wrong classes of a function of the lead s_j - s_y.
    The right class has lead 0 and adds a constant: the margin for the hinge, its square
    for the squared hinge. The value changes, the gradient does not.
    """

    def summed(scores: Array, label: ArrayLike, /, **arguments: Any) -> Array:
        # An additional wrong class with the score of the right one has lead 0.
        tied = losses.score_of_label(scores, label)
        return loss(jnp.append(scores, tied), label, **arguments)

    return _named(summed, "sum_over_all_classes", loss)


@functools.cache
def mean_over_wrong_classes(loss: Loss) -> Loss:
    """Divides a loss by the number of wrong classes, C - 1 (Q5)."""

    def mean(scores: Array, label: ArrayLike, /, **arguments: Any) -> Array:
        return loss(scores, label, **arguments) / (scores.shape[0] - 1)

    return _named(mean, "mean_over_wrong_classes", loss)


@functools.cache
def mean_over_all_classes(loss: Loss) -> Loss:
    """Divides a loss by the number of classes, C, as PyTorch does (Q5)."""

    def mean(scores: Array, label: ArrayLike, /, **arguments: Any) -> Array:
        return loss(scores, label, **arguments) / scores.shape[0]

    return _named(mean, "mean_over_all_classes", loss)


def _named(function: Any, transform: str, loss: Any) -> Loss:
    # Results and error messages show the name of the loss; its arguments are known by
    # the signature of what is wrapped.
    function.__name__ = f"{transform}({getattr(loss, '__name__', loss)})"
    function.__wrapped__ = loss
    return function
