"""Reference interval of the least loss that any function can have."""

import math
from typing import Any

import numpy as np

from jaxlin import check
from jaxlin.stats.intervals import Interval


def least_cross_entropy(error: float, *, num_classes: int) -> float:
    r"""Upper bound of the conditional entropy of the label, by Fano's inequality.

    .. math:: H(Y | X) \le h(e) + e \log(C - 1)

    in nats, if some classifier is wrong with probability e. A published error rate thus
    also bounds the least mean cross-entropy of any function.

    Args:
      error: error probability e, from 0 to 1 - 1 / C.
      num_classes: number of classes C, at least 2.

    Raises:
      ValueError: if an argument is out of range.

    Example:
      >>> print(f"{least_cross_entropy(0.005, num_classes=10):.4f}")
      0.0425

    Reference:
      T. M. Cover and J. A. Thomas. Elements of information theory. Wiley, 2006.
    """
    check.integer("num_classes", num_classes, at_least=2)
    check.number("error", error, at_least=0, at_most=1 - 1 / num_classes)
    if error == 0:
        return 0.0
    entropy = -error * math.log(error) - (1 - error) * math.log1p(-error)
    return entropy + error * math.log(num_classes - 1)


def as_interval(reference: Any, *, at_most: float | None = None) -> Interval:
    """The reference as an interval, checked.

    Args:
      reference: lower and upper end, each at least 0, in ascending order.
      at_most: largest value of an end; None for no limit.

    Raises:
      ValueError: if there are not two ends, an end is out of range, or they descend.
    """
    if np.shape(reference) != (2,):
        raise ValueError(
            f"reference must be a lower and an upper end, got {reference}; equal "
            "ones if the error is known"
        )
    low, high = (
        check.number(f"reference[{i}]", end, at_least=0, at_most=at_most)
        for i, end in enumerate(reference)
    )
    if low > high:
        raise ValueError(
            f"reference must be a lower and an upper end, got {low} and {high}"
        )
    return Interval(low, high)


def middle(reference: Interval) -> float:
    """Midpoint of the reference, its point value."""
    return (reference.low + reference.high) / 2
