"""Which setting to take, given how each did on several parts held out.

>>> import numpy as np
>>> from jaxlin.selection import rules
>>> accuracy = np.array([[0.80, 0.84], [0.81, 0.85], [0.80, 0.83]])
>>> strength = np.array([1e-3, 1e-2, 1e-1])
>>> rules.best(accuracy, strength=strength)
1
>>> rules.one_standard_error(accuracy, strength=strength)
2
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxlin import check

# Means of accuracies that were computed in float32 and are this near are equal.
_ROUNDING = 1e-6


# ``(scores (settings, parts), strength=(settings,), num_repeats=1) -> setting``.
Choose = Callable[..., int]


def mean_and_error(
    scores: Any, *, num_repeats: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the parts held out, and its standard error.

    The parts share training examples, so that their scores are not independent and the
    error is too small, as a rule; there is no unbiased one (Bengio and Grandvalet, No
    unbiased estimator of the variance of k-fold cross-validation, JMLR 2004).

    Parts of another repeat are the same examples dealt out again: they steady the mean
    and are no new data, so that they make the error no smaller.

    Args:
      scores: shape ``(settings, parts)``.
      num_repeats: how many times all examples were dealt out to these parts.

    Returns:
      Two arrays ``(settings,)``; the errors of a single part are NaN.

    Raises:
      ValueError: if the parts are not a multiple of ``num_repeats``.
    """
    scores = _scores(scores)
    parts = scores.shape[1]
    check.integer("num_repeats", num_repeats, at_least=1, at_most=parts)
    if parts % num_repeats:
        raise ValueError(
            f"num_repeats must divide the number of parts, {parts}, got {num_repeats}"
        )
    if parts == 1:
        return scores[:, 0], np.full(len(scores), np.nan)
    error = scores.std(axis=1, ddof=1) / np.sqrt(parts / num_repeats)
    return scores.mean(axis=1), error


def best(scores: Any, *, strength: Any, num_repeats: int = 1) -> int:
    """Number of the setting with the highest mean; of equal ones the most penalised.

    Strengths of different losses are not one scale, nor are those of different margins
    (of a hinge, margin m at l2 is the model of margin 1 at m l2, times m): compare
    settings of one loss and margin, or take what decides between equally good ones as
    it comes.

    Args:
      scores: higher is better, shape ``(settings, parts)``.
      strength: of the penalty of each setting, shape ``(settings,)``.
      num_repeats: as of `mean_and_error`; it changes no mean.

    Raises:
      ValueError: if there is no setting, a score is NaN, or shapes differ.
    """
    scores, strength = _checked(scores, strength)
    mean, _ = mean_and_error(scores, num_repeats=num_repeats)
    return _strongest(mean, mean.max() - _ROUNDING, strength)


def one_standard_error(scores: Any, *, strength: Any, num_repeats: int = 1) -> int:
    """Number of the most penalised setting within one standard error of the best.

    The simplest model that the parts held out cannot tell from the best (Breiman,
    Friedman, Olshen and Stone, Classification and regression trees, 1984). With a
    single part there is no error, and it is `best`.

    Arguments and errors as of `best`.
    """
    scores, strength = _checked(scores, strength)
    mean, error = mean_and_error(scores, num_repeats=num_repeats)
    top = best(scores, strength=strength, num_repeats=num_repeats)
    lowest = mean[top] - np.nan_to_num(error[top]) - _ROUNDING
    return _strongest(mean, lowest, strength)


def _strongest(mean: np.ndarray, lowest: float, strength: np.ndarray) -> int:
    near = np.flatnonzero(mean >= lowest)
    return int(max(near, key=lambda i: (strength[i], mean[i])))


def _scores(scores: Any) -> np.ndarray:
    array = np.asarray(scores, np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"scores must have shape (settings, parts), not empty, got {array.shape}"
        )
    return array


def _checked(scores: Any, strength: Any) -> tuple[np.ndarray, np.ndarray]:
    array, strengths = _scores(scores), np.asarray(strength, np.float64)
    if strengths.shape != array.shape[:1]:
        raise ValueError(
            f"strength must have one entry per setting, {len(array)}, got shape "
            f"{strengths.shape}"
        )
    if np.isnan(array).any():
        setting, part = np.argwhere(np.isnan(array))[0]
        raise ValueError(
            f"scores must be numbers, got NaN of setting {setting} in part {part}"
        )
    return array, strengths
