"""Other reductions over classes, made from a loss instead of written again.

The lecture asks what changes if the multiclass SVM loss summed over all classes, the
right one too (Q4), or took the mean instead of the sum (Q5). Each answer is a function
of a loss that returns a loss. The same loss gives the same object every time, so the
result may be a static argument of a compiled program:

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
with a penalty they have the same minimiser only if its strength is divided by the same
count.
"""

import functools
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import losses
from jaxlin.typing import Array, Loss


@functools.cache
def sum_over_all_classes(loss: Loss) -> Loss:
    """Charges the right class too, as if it were a wrong one (Q4).

    For a loss that sums, over the wrong classes, a function of the lead s_j - s_y. The
    right class, with lead 0, adds a constant (the margin, for the hinge; its square,
    for the squared hinge): another value, the same gradient.
    """

    def summed(scores: Array, label: ArrayLike, /, **arguments: Any) -> Array:
        # One more wrong class that ties with the right one has just that lead.
        twin = losses.score_of_label(scores, label)
        return loss(jnp.append(scores, twin), label, **arguments)

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
    # Results and error messages say which loss it was.
    function.__name__ = f"{transform}({getattr(loss, '__name__', loss)})"
    return function
