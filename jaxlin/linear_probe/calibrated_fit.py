"""Temperature of the final fit, from held-out scores of the compared fits."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxlin import predictions
from jaxlin.linear_probe import class_weights as class_weights_of
from jaxlin.linear_probe.examples import ProbeExamples
from jaxlin.numerics import processes
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
    rows = problem.whole_rows
    # Every step-th example: evenly spaced, so that sorted labels keep their shares.
    num_held_out = processes.total(np.count_nonzero(held_out_weights))
    step = math.ceil(num_held_out * problem.num_classes / _MAX_SCORES)
    # Of a process with few rows all examples may be in training.
    dtype = predictions.as_float(chosen[0].params.weights).dtype
    scores = [np.zeros((0, problem.num_classes), dtype)]
    codes, weights = [], []
    with processes.alone():
        for fit, of_part in zip(chosen, held_out_weights, strict=True):
            out = np.flatnonzero(of_part)[::step]
            if len(out):
                own = predictions.of_this_process(fit)
                scores.append(predictions.scores(own, rows.features[out]))
            codes.append(rows.targets[out])
            weights.append(of_part[out])
    of_all = [
        processes.gather_rows(np.concatenate(each)) for each in (scores, codes, weights)
    ]
    with processes.alone():
        return calibration.temperature(of_all[0], of_all[1], example_weights=of_all[2])
