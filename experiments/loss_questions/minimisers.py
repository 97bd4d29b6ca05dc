"""Minimisers of the questions: fits that differ by more than their error."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common.slides import LABELS, SCORES
from experiments.loss_questions.config import Config
from experiments.loss_questions.evaluate import each, one
from jaxlin import losses, objective
from jaxlin.data import toy
from jaxlin.linear import Params

_HINGE = losses.weston_watkins_hinge
_CLASSES = 3


def measured(config: Config) -> dict[str, Any]:
    """Q5, Q6 and Q7, each by certified fits."""
    points = toy.sectors(
        jax.random.key(config.seed), num_examples=config.examples, noise=0.4
    )
    hinge = _fit(config, points, _HINGE, config.l2)
    # The mean over C - 1 classes with l2 is the sum with (C - 1) l2, over C - 1.
    mean = _fit(config, points, _HINGE, (_CLASSES - 1) * config.l2)
    squared = _fit(config, points, losses.weston_watkins_squared_hinge, config.l2)
    return {
        "q5": compared(hinge, mean),
        "q6": compared(hinge, squared),
        "q7": _unique(config, points, hinge),
    }


def compared(first: jaxlin.Fit, second: jaxlin.Fit) -> dict[str, Any]:
    """Distance of two fits, bias included, and whether their optima differ.

    The exact minimisers are proven to be two if the distance exceeds ``unproven``, how
    far both may be from what was found of them, together.
    """
    folded = [
        np.concatenate([fit.params.weights, np.asarray(fit.params.bias)[:, None]], 1)
        for fit in (first, second)
    ]
    distance = float(np.linalg.norm(folded[0] - folded[1]))
    unproven = first.radius + second.radius
    return {
        "distance": distance,
        "unproven": unproven,
        "differ": distance > unproven,
    }


def scaled_means(factors: Any) -> dict[str, np.ndarray]:
    """Mean losses at scores times each factor: all three images, and the car alone."""
    found: dict[str, np.ndarray] = {}
    # All factors of the car's scores, then those of the next image.
    rows = np.concatenate([factor * SCORES for factor in factors])
    labels = np.tile(LABELS, len(factors))
    for name, loss in (("svm", _HINGE), ("softmax", losses.softmax_cross_entropy)):
        values = each(loss, rows, labels).reshape(-1, len(LABELS))
        found[f"{name}, three images"] = values.mean(axis=1)
        found[f"{name}, car"] = values[:, 1]
    return found


def penalised(config: Config, factors: Any) -> dict[str, np.ndarray]:
    """Loss, penalty and their sum at multiples of a W that has no loss.

    The points are three sectors that a plane each separates; W are their bisectors,
    just large enough that no margin is violated.
    """
    points = toy.sectors(
        jax.random.key(config.seed), num_examples=config.examples, noise=0.0
    )
    middles = 2 * np.pi * np.arange(_CLASSES) / _CLASSES
    weights = np.stack([np.cos(middles), np.sin(middles)], axis=1)
    scores = np.asarray(points.features, np.float64) @ weights.T
    own = scores[np.arange(len(scores)), points.labels]
    others = np.where(np.arange(_CLASSES) == points.labels[:, None], -np.inf, scores)
    # Small slack, so that rounding creates no violation.
    scale = (1 + 1e-9) / (own - others.max(axis=1)).min()
    loss = np.array(
        [
            each(_HINGE, factor * scale * scores, points.labels).mean()
            for factor in factors
        ]
    )
    squared = np.square(scale * weights).sum()
    penalty = config.l2 / 2 * squared * np.square(np.asarray(factors))
    return {"loss": loss, "penalty": penalty, "objective": loss + penalty}


def _fit(config: Config, points: Any, loss: Any, l2: float) -> jaxlin.Fit:
    return jaxlin.fit(
        *points,
        loss=loss,
        l2=l2,
        stop=jaxlin.Stop(config.relative_gap, config.max_passes),
        refine=True,
    )


def _unique(config: Config, points: Any, fit: jaxlin.Fit) -> dict[str, Any]:
    """Losses at multiples of W, without and with a penalty."""
    objectives = []
    with jax.enable_x64(True):
        features, labels = map(jnp.asarray, points)
        for factor in (1.0, 2.0):
            moved = Params(*(factor * jnp.asarray(part) for part in fit.params))
            value = objective.objective(
                moved, features, labels, loss=_HINGE, l2=config.l2
            )
            objectives.append(float(value))
    return {
        "car": [one(_HINGE, factor * SCORES[1], 1) for factor in (1, 2)],
        "twice": each(_HINGE, 2 * SCORES),
        "separable": penalised(config, [1.0, 2.0, 3.0])["loss"],
        "objectives": objectives,
        "radius": fit.radius,
    }
