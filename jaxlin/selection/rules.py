"""Selection rules: the setting to choose, given its scores on held-out parts.

>>> import numpy as np
>>> from jaxlin.selection import rules
>>> accuracy = np.array([[0.80, 0.84], [0.81, 0.85], [0.80, 0.83]])
>>> strength = np.array([1e-3, 1e-2, 1e-1])
>>> rules.best(accuracy, strength=strength)
1
>>> rules.one_standard_error(accuracy, strength=strength)
2
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxlin import check

# Mean scores computed in float32 that differ by less than this are equal.
_ROUNDING = 1e-6

# ``(scores (settings, parts), strength=(settings,), num_repeats=1) -> setting``.
Choose = Callable[..., int]


def mean_and_error(
    scores: Any, *, num_repeats: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Mean score over the held-out parts, and its standard error.

    The parts share training examples: their scores are not independent, and the
    standard error is usually too small. No unbiased estimator exists (Bengio and
    Grandvalet, No unbiased estimator of the variance of k-fold cross-validation, JMLR
    2004).

    Repeats partition the same examples again. They reduce the variance of the mean over
    partitions but are no new data, so the standard error is that of a single repeat.

    Args:
      scores: scores on each held-out part, shape ``(settings, parts)``.
      num_repeats: number of partitions of all examples among the parts, at least 1.

    Returns:
      Means and standard errors, each of shape ``(settings,)``; the standard error of a
      single part is NaN.

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
    """Index of the setting with the highest mean; ties go to the most penalised.

    Penalties of different losses are not comparable, nor are those of different margins
    (for a hinge, the model of margin m at l2 is m times the model of margin 1 at m l2):
    compare settings of one loss and margin, or accept an arbitrary rule for ties.

    Args:
      scores: scores on each held-out part, higher is better, shape ``(settings,
        parts)``.
      strength: penalty of each setting, such as its l2, shape ``(settings,)``.
      num_repeats: number of partitions of all examples among the parts, at least 1. It
        has no influence on the mean.

    Raises:
      ValueError: if there is no setting, a score is NaN, or shapes differ.
    """
    scores, strength = _checked(scores, strength)
    mean, _ = mean_and_error(scores, num_repeats=num_repeats)
    return _strongest(mean, mean.max() - _ROUNDING, strength)


def one_standard_error(scores: Any, *, strength: Any, num_repeats: int = 1) -> int:
    """Index of the most penalised setting within one standard error of the best.

    The one-standard-error rule of Breiman, Friedman, Olshen and Stone (Classification
    and regression trees, 1984). With a single part there is no standard error, and the
    rule is `best`. Arguments and errors are those of `best`.
    """
    scores, strength = _checked(scores, strength)
    mean, error = mean_and_error(scores, num_repeats=num_repeats)
    top = best(scores, strength=strength, num_repeats=num_repeats)
    lowest = mean[top] - np.nan_to_num(error[top]) - _ROUNDING
    return _strongest(mean, lowest, strength)


def check_one_scale(choose: Choose, arguments: Sequence[Mapping[str, float]]) -> None:
    """Raises a ValueError if a rule compares l2 of different losses or margins.

    Args:
      choose: selection rule; only ``one_standard_error`` compares l2.
      arguments: loss arguments of each compared setting, by name.
    """
    scales = {tuple(sorted(of_setting.items())) for of_setting in arguments}
    if choose is one_standard_error and len(scales) > 1:
        raise ValueError(
            "choose must not be one_standard_error for several losses or margins: "
            "their l2 are not one scale; validate each by itself, or take rules.best"
        )


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
