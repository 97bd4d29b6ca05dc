"""Losses of one example as a score moves, and from Crammer-Singer to softmax."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common.slides import SCORES
from experiments.loss_questions import evaluate, minimisers
from experiments.loss_questions.config import Config
from jaxlin import losses
from jaxlin.typing import Array

# In the order of the legend.
LOSSES: dict[str, Any] = {
    "SVM (Weston-Watkins)": losses.weston_watkins_hinge,
    "squared": losses.weston_watkins_squared_hinge,
    "Crammer-Singer": losses.crammer_singer_hinge,
    "softmax": losses.softmax_cross_entropy,
}
# The two that the lecture compares.
BOTH = ("SVM (Weston-Watkins)", "softmax")


def measured(config: Config) -> dict[str, np.ndarray]:
    """The curves of all pictures: positions of shape ``(points,)``, values by curve."""
    at = functools.partial(np.linspace, num=config.points)
    cat, fall, others, near = at(-5.0, 10.0), at(0, 4), at(-2, 12), at(2.0, 9.0)
    moving = [moved(loss, cat, 0, 0) for loss in LOSSES.values()]
    car = [moved(LOSSES[name], SCORES[1, 1] - fall, 1, 1)[0] for name in BOTH]
    along = path(near, sorted(config.temperatures))
    factors, multiples = at(0, 4), at(0, 2)
    return {
        "cat": cat,
        "cat_losses": np.stack([value for value, _ in moving]),
        "cat_slopes": np.stack([slope for _, slope in moving]),
        "fall": fall,
        "fall_losses": np.stack(car),
        "others": others,
        "others_losses": jiggled(others),
        "near": near,
        "path_temperatures": np.array(list(along)),
        "path_losses": np.stack(list(along.values())),
        "factors": factors,
        **minimisers.scaled_means(factors),
        "multiples": multiples,
        **minimisers.penalised(config, multiples),
    }


def tempered(scores: Array, label: Any, *, temperature: Any, margin: Any) -> Array:
    r"""Softmax of scores that get a head start, at a temperature.

    .. math:: T \log \sum_j e^{(s_j + \Delta [j \ne y] - s_y) / T}

    For T -> 0 the Crammer-Singer hinge, and never more than T log C above it; softmax
    at T = 1 without a margin.
    """
    behind = jnp.where(losses.is_label(scores, label), scores - margin, scores)
    return temperature * losses.softmax_cross_entropy(behind / temperature, label)


def moved(
    loss: Any, positions: np.ndarray, image: int, moving: int, **arguments: float
) -> tuple[np.ndarray, np.ndarray]:
    """Losses of one image, label as on the slides, and the slope in a score that moves.

    Args:
      loss: of scores and a label.
      positions: values of the score, shape ``(positions,)``.
      image: row of the slides' scores.
      moving: class whose score moves.
      **arguments: keywords of the loss.

    Returns:
      Losses and derivatives, each of shape ``(positions,)``.
    """
    rows = np.tile(SCORES[image], (len(positions), 1))
    rows[:, moving] = positions
    labels = np.full(len(positions), image)
    values, slopes = evaluate.both(loss, rows, labels, **arguments)
    return values, slopes[:, moving]


def path(positions: np.ndarray, temperatures: Any) -> dict[float, np.ndarray]:
    """Loss of the cat as its score moves, by temperature from 0 to 1.

    The margin is 1 at temperature 0 and none at temperature 1.
    """
    found = {0.0: moved(losses.crammer_singer_hinge, positions, 0, 0)[0]}
    for temperature in temperatures:
        where = {"temperature": temperature, "margin": 1 - temperature}
        found[temperature] = moved(tempered, positions, 0, 0, **where)[0]
    found[1.0] = moved(losses.softmax_cross_entropy, positions, 0, 0)[0]
    return found


def jiggled(positions: np.ndarray) -> np.ndarray:
    """Both losses of scores (10, t, t), the first class right, at each t."""
    rows = np.stack([np.full_like(positions, 10.0), positions, positions], axis=1)
    labels = np.zeros(len(rows), int)
    return np.stack([evaluate.each(LOSSES[name], rows, labels) for name in BOTH])
