"""What the slides print, and what it should be: eight slips.

The slides are those of `experiments.common.slides.LECTURE`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.slides import BIAS, LABELS, PIXELS, SCORES, WEIGHTS
from experiments.loss_questions.evaluate import each, text
from jaxlin import linear, losses


class Slip(NamedTuple):
    """One slip.

    Attributes:
      printed: what the slides say.
      right: what is right, in words.
      shown: the numbers, as text.
      value: the number that decides, for results.json.
    """

    printed: str
    right: str
    shown: str
    value: float


def of_slides() -> list[Slip]:
    """All of them, in the order of the lecture."""
    return [*_of_scores(), *_of_svm(), *_of_softmax()]


def scores_of_the_example() -> np.ndarray:
    """Scores of the worked example, float64."""
    with jax.enable_x64(True):
        params = linear.Params(jnp.asarray(WEIGHTS), jnp.asarray(BIAS))
        return np.asarray(linear.scores(params, jnp.asarray(PIXELS)))


def _of_scores() -> list[Slip]:
    ship = float(scores_of_the_example()[2])
    without = float(WEIGHTS[2] @ PIXELS)
    return [
        Slip(
            "The ship's score is 61.95, printed on two slides.",
            "That is W x without its bias; cat and dog have theirs.",
            f"{without:.2f} + ({BIAS[2]:.1f}) = {ship:.2f}",
            ship,
        )
    ]


def _of_svm() -> list[Slip]:
    hinge = each(losses.weston_watkins_hinge)
    doubled = each(losses.weston_watkins_hinge, 2 * SCORES)
    first = SCORES[2, 0] - SCORES[2, 2] + 1
    return [
        Slip(
            "The frog's line reads max(0, 2.2 - (-3.1).",
            "It lacks + 1 and a bracket; the 6.3 that follows is right.",
            f"2.2 + 3.1 + 1 = {first:.1f}",
            float(first),
        ),
        Slip(
            "Loss over the dataset is a sum, says one slide; the next: the average.",
            "Two reductions; jaxlin takes the mean and says so.",
            f"sum {hinge.sum():.1f}, mean {hinge.mean():.4f}",
            float(hinge.mean()),
        ),
        Slip(
            "Optimisation error = 0 (for logistic regression).",
            "In the limit, for the convex surrogate, where the minimum is attained. A "
            "fit has a bound, which jaxlin prints.",
            "see the certificates of the other pages",
            float("nan"),
        ),
        Slip(
            "2W also has L = 0.",
            "With the bias doubled too, for any factor of at least 1, and only if L "
            "was 0.",
            f"here L was {text(hinge)} and becomes {text(doubled)}",
            float(doubled.sum()),
        ),
    ]


def _of_softmax() -> list[Slip]:
    cat = float(each(losses.softmax_cross_entropy)[0])
    if_frog = float(
        each(losses.softmax_cross_entropy, SCORES[:1], LABELS[2:])[0],
    )
    scores = scores_of_the_example()
    stable = each(losses.softmax_cross_entropy, np.tile(scores, (3, 1)))
    with np.errstate(over="ignore"):
        naive = np.exp(scores.astype(np.float32))
    return [
        Slip(
            "L = -log(0.13) = 2.04; other editions print 0.89.",
            "2.04 is right, with the natural logarithm; 0.89 is the decimal one.",
            f"{cat:.5f}, and / ln 10 = {cat / np.log(10):.3f}",
            cat,
        ),
        Slip(
            "The probability of the frog is 0.00.",
            "Rounded: were frog the label, the loss would be large, not infinite.",
            f"p = {np.exp(-if_frog):.5f}, loss {if_frog:.3f}",
            if_frog,
        ),
        Slip(
            "Softmax is exp, then divide.",
            "On the scores of the worked example exp overflows float32. Written with "
            "differences of scores it does not.",
            f"exp: {', '.join(f'{value:.3g}' for value in naive)}; stable losses "
            f"{text(stable, 2)}",
            float(stable[0]),
        ),
    ]
