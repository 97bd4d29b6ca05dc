"""What the questions say of minimisers: fits that differ by more than their error."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common.slides import SCORES
from experiments.loss_questions.config import Config
from experiments.loss_questions.evaluate import Answer, each, of_images, text
from jaxlin import losses, objective
from jaxlin.certificates import duality
from jaxlin.data import toy
from jaxlin.linear import Params

_HINGE: Any = losses.weston_watkins_hinge
_CLASSES = 3


class Compared(NamedTuple):
    """Two minimisers.

    Attributes:
      distance: between what was found of them, bias included.
      unproven: how far the two exact ones may be from that, together.
    """

    distance: float
    unproven: float

    @property
    def differ(self) -> bool:
        """Whether the exact minimisers are proven to be two."""
        return self.distance > self.unproven


def of_fits(config: Config) -> list[Answer]:
    """What Q5, Q6 and Q7 say of the minimiser, each by certified fits."""
    points = toy.sectors(
        jax.random.key(config.seed), num_examples=config.examples, noise=0.4
    )
    hinge = _fit(config, points, _HINGE, config.l2)
    # The mean over C - 1 classes with l2 is the sum with (C - 1) l2, over C - 1.
    mean = _fit(config, points, _HINGE, (_CLASSES - 1) * config.l2)
    squared = _fit(config, points, losses.weston_watkins_squared_hinge, config.l2)
    return [
        _other_minimiser(
            "q5_minimiser",
            "Q5, the minimiser: does the mean over C - 1 classes have another one?",
            "With l2 / (C - 1) the objective is divided as a whole, and the minimiser "
            "is the same by algebra. With the l2 of the sum",
            _compared(hinge, mean),
        ),
        _other_minimiser(
            "q6_minimiser",
            "Q6, the minimiser: does the squared hinge have another one?",
            "At the same l2",
            _compared(hinge, squared),
        ),
        _unique(config, points, hinge),
    ]


def scaled_means(factors: Any) -> dict[str, np.ndarray]:
    """Mean losses at scores times each factor: all three images, and the car alone."""
    found: dict[str, np.ndarray] = {}
    for name, loss in (("svm", _HINGE), ("softmax", losses.softmax_cross_entropy)):
        values = np.array([each(loss, factor * SCORES) for factor in factors])
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
    with jax.enable_x64(True):
        params = Params(jnp.asarray(weights), jnp.zeros(_CLASSES))
        scores = np.asarray(
            objective.batch_scores(params, jnp.asarray(points.features, jnp.float64))
        )
    own = scores[np.arange(len(scores)), points.labels]
    others = np.where(np.arange(_CLASSES) == points.labels[:, None], -np.inf, scores)
    # A hair more, so that rounding charges nobody.
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


def _fit(config: Config, points: Any, loss: Any, l2: float):
    return jaxlin.fit(
        *points,
        loss=loss,
        l2=l2,
        stop=jaxlin.Stop(config.relative_gap, config.max_evaluations),
        refine=True,
    )


def _compared(first: Any, second: Any) -> Compared:
    folded = [
        np.concatenate([one.params.weights, np.asarray(one.params.bias)[:, None]], 1)
        for one in (first, second)
    ]
    radii = [
        float(duality.radius(one.certificate, l2=one.l2)) for one in (first, second)
    ]
    return Compared(float(np.linalg.norm(folded[0] - folded[1])), sum(radii))


def _other_minimiser(key: str, question: str, words: str, found: Compared) -> Answer:
    outcome = (
        "it is another, which is proven: the two are further apart than both proofs "
        "leave open."
        if found.differ
        else "they are nearer than these fits can tell apart."
    )
    return Answer(
        key,
        question,
        f"{words} {outcome}",
        f"The two that were found are {found.distance:.4f} apart; both proofs together "
        f"leave open {found.unproven:.1e} at most.",
        "`jaxlin.fit`, `duality.radius`",
        {**found._asdict(), "differ": found.differ},
    )


def _unique(config: Config, points: Any, fit: Any) -> Answer:
    twice, car = each(_HINGE, 2 * SCORES), each(_HINGE, SCORES[1:2], [1])
    still = each(_HINGE, 2 * SCORES[1:2], [1])
    params = fit.params
    objectives = []
    with jax.enable_x64(True):
        for factor in (1.0, 2.0):
            moved = Params(*(factor * jnp.asarray(part) for part in params))
            value = objective.objective(
                moved,
                jnp.asarray(points.features),
                jnp.asarray(points.labels),
                loss=_HINGE,
                l2=config.l2,
            )
            objectives.append(float(value))
    zero = [float(loss) for loss in penalised(config, [1.0, 2.0, 3.0])["loss"]]
    radius = float(duality.radius(fit.certificate, l2=fit.l2))
    return Answer(
        "q7",
        "Q7: We found a W with L = 0. Is it unique?",
        "No: 2W has L = 0 too, and so has every larger multiple (with the bias "
        "doubled as well). Where L is above 0 doubling changes it. With a penalty "
        "there is exactly one minimiser: the objective is strongly convex.",
        f"The car's loss is {car[0]:.0f}, and {still[0]:.0f} at 2W. All three images "
        f"at 2W: {of_images(twice)}. A separable set has the mean losses {text(zero)} "
        f"at W, 2W and 3W. With a penalty the objective of a fit is "
        f"{objectives[0]:.4f}, and {objectives[1]:.4f} at 2W; the one minimiser is "
        f"within {radius:.1e} of it.",
        "`losses.weston_watkins_hinge`, `duality.radius`",
        {
            "car": [car[0], still[0]],
            "twice": twice,
            "separable": zero,
            "objectives": objectives,
            "radius": radius,
        },
    )
