"""Temperature of the final fit, from held-out scores of the compared fits."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxlin import predictions
from jaxlin.linear_probe import class_weights as class_weights_of
from jaxlin.linear_probe.examples import ProbeExamples
from jaxlin.problems import Problem
from jaxlin.selection import calibration
from jaxlin.selection.calibration import Temperature
from jaxlin.solvers.fitted import Fit

# Largest number of scores that the temperature is computed from, 200 MB. Examples are
# subsampled to meet it: the folds together hold out the whole training set.
_MAX_SCORES = 50_000_000


def calibrated(
    given: ProbeExamples,
    chosen: Sequence[Fit],
    final: Fit,
    *,
    undo_prior_shift: bool,
) -> tuple[Fit, Temperature]:
    """Final fit with the temperature of held-out scores, without a prior shift.

    Args:
      given: training examples.
      chosen: fits at the chosen l2, one per part.
      final: final fit.
      undo_prior_shift: whether scores and weights are those of the population of the
        training examples.
    """
    weights = given.weights
    if undo_prior_shift:
        weights = given.own_weights
        final, *chosen = (
            class_weights_of.without_prior_shift(fit, given.class_weights)
            for fit in (final, *chosen)
        )
    temperature = _temperature(given.problem, chosen, given.parts * weights)
    return final._replace(temperature=float(temperature.value)), temperature


def _temperature(
    problem: Problem, chosen: Sequence[Fit], held_out_weights: np.ndarray
) -> Temperature:
    """Temperature of held-out scores; 1 without a held-out set.

    Args:
      problem: training examples.
      chosen: fits at the chosen l2, one per part.
      held_out_weights: weights of the held-out examples of each part, 0 for the other
        examples, shape ``(parts, examples)``.
    """
    if not chosen:
        unknown = jnp.float32(np.nan)
        return Temperature(jnp.float32(1), unknown, unknown, jnp.bool_(False))
    rows: Any = problem.rows
    # Every step-th example: evenly spaced, so that sorted labels keep their shares.
    num_scores = np.count_nonzero(held_out_weights) * problem.num_classes
    step = math.ceil(num_scores / _MAX_SCORES)
    scores, codes, weights = [], [], []
    for fit, of_part in zip(chosen, held_out_weights, strict=True):
        out = np.flatnonzero(of_part)[::step]
        scores.append(predictions.scores(fit, rows.features[out]))
        codes.append(rows.targets[out])
        weights.append(of_part[out])
    return calibration.temperature(
        np.concatenate(scores),
        np.concatenate(codes),
        example_weights=np.concatenate(weights),
    )
