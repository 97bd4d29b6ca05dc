"""The lecture's questions about the multiclass SVM loss: Q1 to Q6."""

import numpy as np

from experiments.common.slides import LABELS, SCORES
from experiments.loss_questions.evaluate import Answer, each, gradients, of_images, text
from jaxlin import losses
from jaxlin.losses import transforms

_HINGE = losses.weston_watkins_hinge


def of_svm() -> list[Answer]:
    """All of them, in the order of the slides."""
    return [_losses(), _small_change(), _extremes(), _start(), *_other_sums()]


def slack() -> float:
    """How far the car's own score may fall before the loss of its image moves."""
    own, others = SCORES[1, 1], SCORES[1, [0, 2]]
    return float(own - 1 - others.max())


def _losses() -> Answer:
    hinge = each(_HINGE)
    return Answer(
        "losses",
        "What is the multiclass SVM loss of the three images?",
        "Each wrong class is charged for what it lacks of a distance of 1 to the right "
        "one.",
        f"The losses: {of_images(hinge)}. Their mean: {hinge.mean():.4f}.",
        "`losses.weston_watkins_hinge`",
        {"each": hinge, "sum": hinge.sum(), "mean": hinge.mean()},
    )


def _small_change() -> Answer:
    moved = SCORES[1] - np.array([0.0, slack() + 0.1, 0.0])
    gradient = gradients(_HINGE)[1]
    loss = float(each(_HINGE, moved[None], LABELS[1:2])[0])
    return Answer(
        "q1",
        "Q1: What happens to the loss if the car image's scores change a bit?",
        "Nothing: the car leads by more than the margin, and the gradient is 0. Its "
        f"score may fall by {slack():.1f} before the loss moves.",
        f"The slack is {slack():.1f}. The gradient of the car's loss in its three "
        f"scores is ({text(gradient)}). Once the car's score has fallen by "
        f"{slack() + 0.1:.1f} the loss is {loss:.1f}.",
        "`losses.margin_violations`, `jax.grad`",
        {"slack": slack(), "gradient": gradient, "beyond": loss},
    )


def _extremes() -> Answer:
    sure = float(each(_HINGE, [[100.0, 0.0, 0.0]], [0])[0])
    wrong = float(each(_HINGE, [[-1e9, 0.0, 0.0]], [0])[0])
    return Answer(
        "q2",
        "Q2: What are the least and the greatest possible loss?",
        "0, reached wherever all margins are kept; there is no greatest.",
        f"Right by 100: {sure:.0f}. Wrong by a billion: {wrong:.1e}.",
        "`losses.weston_watkins_hinge`",
        {"least": sure, "wrong": wrong},
    )


def _start() -> Answer:
    three, ten = (float(each(_HINGE, np.zeros((1, c)), [0])[0]) for c in (3, 10))
    worst = float(each(losses.crammer_singer_hinge, np.zeros((1, 10)), [0])[0])
    return Answer(
        "q3",
        "Q3: At initialisation W is small, so all scores are about 0. What is the "
        "loss?",
        "One for each wrong class, C - 1: a check of any new program. The hinge of the "
        "worst class alone (Crammer-Singer) is 1.",
        f"Of 3 classes the loss is {three:.0f}, of 10 it is {ten:.0f}, and "
        f"Crammer-Singer's {worst:.0f}.",
        "`linear.init`, `losses.crammer_singer_hinge`",
        {"three": three, "ten": ten, "crammer_singer": worst},
    )


def _other_sums() -> list[Answer]:
    hinge = each(_HINGE)
    summed = transforms.sum_over_all_classes(_HINGE)
    same = np.abs(gradients(summed) - gradients(_HINGE)).max()
    wrong, every = (
        each(transform(_HINGE))
        for transform in (
            transforms.mean_over_wrong_classes,
            transforms.mean_over_all_classes,
        )
    )
    squared = each(losses.weston_watkins_squared_hinge)
    return [
        Answer(
            "q4",
            "Q4: What if the sum was over all classes, the right one too?",
            "Every loss grows by the margin, 1, and nothing else changes: the gradient "
            "is the same. The sum leaves it out so that the least loss is 0.",
            f"The mean is {each(summed).mean():.4f} instead of {hinge.mean():.4f}. The "
            f"gradients differ by {same:.0f}.",
            "`transforms.sum_over_all_classes`",
            {"mean": each(summed).mean(), "gradients_differ": same},
        ),
        Answer(
            "q5",
            "Q5: What if we used the mean instead of the sum?",
            "The loss is divided by C - 1 (or, as in PyTorch, by C). The minimiser is "
            "the same only if l2 is divided too.",
            f"Divided by C - 1 the mean of the three losses is {wrong.mean():.4f}, "
            f"divided by C {every.mean():.4f}.",
            "`transforms.mean_over_wrong_classes`, `mean_over_all_classes`",
            {"wrong_classes": wrong.mean(), "all_classes": every.mean()},
        ),
        Answer(
            "q6",
            "Q6: What if we used the square of each term?",
            "Another loss, with another minimiser: large violations count for much "
            "more, small ones for less, and the kink is gone.",
            f"The losses: {of_images(squared)}. Their mean: {squared.mean():.4f}.",
            "`losses.weston_watkins_squared_hinge`",
            {"each": squared, "mean": squared.mean()},
        ),
    ]
