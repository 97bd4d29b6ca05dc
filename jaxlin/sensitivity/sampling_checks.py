"""Checks of assumptions about the examples, for covariances and bootstraps."""

import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, losses
from jaxlin.problems import Problem
from jaxlin.selection import group_folds
from jaxlin.solvers.fitted import Fit

# Losses that are minus the logarithm of a probability.
_LIKELIHOODS = (losses.softmax_cross_entropy, losses.cross_entropy)


def weights_of(problem: Problem) -> np.ndarray:
    """Example weights of a problem in float64, shape ``(examples,)``."""
    _, targets, weights = problem.whole_rows
    found = np.ones(len(targets)) if weights is None else weights
    return np.asarray(found, np.float64)


def check_likelihood(fit: Fit, *, use: str) -> None:
    """Raises a ValueError for a fit whose loss is no log likelihood.

    Args:
      fit: a fit.
      use: the need for one, for the error message.
    """
    if fit.loss not in _LIKELIHOODS:
        names = " or ".join(one.__name__ for one in _LIKELIHOODS)
        raise ValueError(
            f"fit must be of {names} for {use}, got one of "
            f"{getattr(fit.loss, '__name__', fit.loss)}, which is no log likelihood; "
            'jaxlin.covariance with kind="sandwich" and the nonparametric bootstrap '
            "need none"
        )


def check_frequencies(weights: np.ndarray, *, use: str) -> None:
    """Raises a ValueError for weights that are not whole numbers.

    Args:
      weights: shape ``(examples,)``.
      use: the need for them, for the error message.
    """
    is_whole = weights == np.round(weights)
    if not is_whole.all():
        where = int(np.argmin(is_whole))
        raise ValueError(
            f"weights must be frequencies, whole numbers, for {use}, got "
            f"{weights[where]:g} at position {where}; other weights are for "
            'kind="sandwich" and for the nonparametric bootstrap'
        )


def group_codes(groups: ArrayLike, weights: np.ndarray) -> np.ndarray:
    """Index of the group of each example, shape ``(examples,)``.

    Args:
      groups: integers or text, shape ``(examples,)``.
      weights: example weights, same shape.

    Raises:
      ValueError: if they have another shape or kind, or fewer than two groups have
        positive weight.
    """
    names = group_folds.checked_groups(groups)
    check.one_per_example("groups", len(names), num_examples=len(weights))
    _, codes = np.unique(names, return_inverse=True)
    found = len(np.unique(codes[weights > 0]))
    if found < 2:
        raise ValueError(
            f"groups must be at least two with positive weight, got {found}; one group "
            "says nothing about the variation between groups"
        )
    return codes
