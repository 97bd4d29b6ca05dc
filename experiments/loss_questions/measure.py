"""The numbers of the lecture's questions: SVM loss, softmax, slips of the slides."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.slides import (
    BIAS,
    COMPARED,
    LABELS,
    NAMES,
    PIXELS,
    SCORES,
    WEIGHTS,
)
from experiments.common.study import Measured, Part
from experiments.loss_questions import curves, minimisers
from experiments.loss_questions.config import Config
from experiments.loss_questions.evaluate import both, each, one
from jaxlin import linear, losses
from jaxlin.losses import transforms

_HINGE = losses.weston_watkins_hinge
_SOFTMAX = losses.softmax_cross_entropy
# Share of the target that label smoothing spreads evenly.
_SMOOTHING = 0.1


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run, in their order."""
    return {
        "svm": lambda *_: Measured(svm()),
        "softmax": lambda *_: Measured(softmax()),
        "slips": lambda *_: Measured(slips()),
        "minimisers": lambda *_: Measured(minimisers.measured(config)),
        "curves": lambda *_: Measured({"slack": slack()}, curves.measured(config)),
    }


def slack() -> float:
    """Distance the car's own score may fall before the loss of its image moves."""
    own, others = SCORES[1, 1], SCORES[1, [0, 2]]
    return float(own - 1 - others.max())


def svm() -> dict[str, Any]:
    """Q1 to Q6: the multiclass SVM loss of the slides' images."""
    hinge, slopes = both(_HINGE)
    moved = SCORES[1] - np.array([0.0, slack() + 0.1, 0.0])
    summed = transforms.sum_over_all_classes(_HINGE)
    squared = each(losses.weston_watkins_squared_hinge)
    return {
        "images": [
            {"name": name, "label": int(label), "scores": scores, "loss": loss}
            for name, label, scores, loss in zip(
                NAMES, LABELS, SCORES, hinge, strict=True
            )
        ],
        "losses": {"each": hinge, "sum": hinge.sum(), "mean": hinge.mean()},
        "q1": {
            "slack": slack(),
            "gradient": slopes[1],
            "fallen": slack() + 0.1,
            "beyond": one(_HINGE, moved, 1),
        },
        "q2": {
            "least": one(_HINGE, [100.0, 0.0, 0.0]),
            "wrong": one(_HINGE, [-1e9, 0.0, 0.0]),
        },
        "q3": {
            "three": one(_HINGE, np.zeros(3)),
            "ten": one(_HINGE, np.zeros(10)),
            "crammer_singer": one(losses.crammer_singer_hinge, np.zeros(10)),
        },
        "q4": {
            "mean": each(summed).mean(),
            "gradients_differ": np.abs(both(summed)[1] - slopes).max(),
        },
        "q5": {
            "wrong_classes": each(transforms.mean_over_wrong_classes(_HINGE)).mean(),
            "all_classes": each(transforms.mean_over_all_classes(_HINGE)).mean(),
        },
        "q6": {"each": squared, "mean": squared.mean()},
    }


def softmax() -> dict[str, Any]:
    """The softmax loss, its names, and both losses side by side."""
    found = each(_SOFTMAX)
    with jax.enable_x64(True):
        cat = jnp.asarray(SCORES[0])
        label = jnp.array([1.0, 0.0, 0.0])
        soft = (1 - _SMOOTHING) * label + _SMOOTHING / 3
        probabilities = np.asarray(jax.nn.softmax(cat))
        names = {
            "minus_log_likelihood": float(_SOFTMAX(cat, 0)),
            "cross_entropy": float(losses.cross_entropy(cat, label)),
            "divergence": float(losses.kl_divergence(cat, label)),
            "smoothed_cross_entropy": float(losses.cross_entropy(cat, soft)),
            "smoothed_entropy": float(losses.entropy(soft)),
            "smoothed_divergence": float(losses.kl_divergence(cat, soft)),
        }
    first = np.zeros(3, int)
    return {
        "probabilities": {
            "exponentials": np.exp(SCORES[0]),
            "probabilities": probabilities,
        },
        "losses": {"each": found, "mean": found.mean()},
        "names": names,
        "q1": {
            "least": one(_SOFTMAX, [80.0, 0.0, 0.0]),
            "wrong": one(_SOFTMAX, [-1e9, 0.0, 0.0]),
        },
        "q2": {"ten": one(_SOFTMAX, np.zeros(10))},
        "against": {
            "svm": each(_HINGE, COMPARED, first),
            "softmax": each(_SOFTMAX, COMPARED, first),
        },
    }


def slips() -> dict[str, Any]:
    """Numbers that the slides print otherwise."""
    with jax.enable_x64(True):
        params = linear.Params(jnp.asarray(WEIGHTS), jnp.asarray(BIAS))
        scores = np.asarray(linear.scores(params, jnp.asarray(PIXELS)))
    doubled = each(_HINGE, 2 * SCORES)
    cat, if_frog = one(_SOFTMAX, SCORES[0]), one(_SOFTMAX, SCORES[0], 2)
    with np.errstate(over="ignore"):
        naive = np.exp(scores.astype(np.float32))
    return {
        "ship": {
            "without_bias": WEIGHTS[2] @ PIXELS,
            "bias": BIAS[2],
            "score": scores[2],
        },
        "frog_line": SCORES[2, 0] - SCORES[2, 2] + 1,
        "doubled": {"each": doubled, "sum": doubled.sum()},
        "cat": {"loss": cat, "decimal": cat / np.log(10)},
        "frog": {"probability": np.exp(-if_frog), "loss": if_frog},
        # As text: JSON has no infinity.
        "naive_exponentials": [f"{value:.3g}" for value in naive],
        "stable": each(_SOFTMAX, np.tile(scores, (3, 1))),
    }
