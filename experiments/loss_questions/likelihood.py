"""The lecture's questions about softmax, and both losses side by side."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.slides import COMPARED, SCORES
from experiments.loss_questions.evaluate import Answer, each, of_images, text
from jaxlin import losses

_SOFTMAX = losses.softmax_cross_entropy


def of_softmax() -> list[Answer]:
    """All of them, in the order of the slides."""
    return [_probabilities(), _losses(), _names(), _extremes(), _start(), _against()]


def names_of_the_loss(smoothing: float = 0.1) -> dict[str, float]:
    """Likelihood, cross-entropy and divergence of the cat, for two targets."""
    with jax.enable_x64(True):
        scores = jnp.asarray(SCORES[0])
        one_hot = jnp.array([1.0, 0.0, 0.0])
        smoothed = (1 - smoothing) * one_hot + smoothing / 3
        return {
            "minus_log_likelihood": float(_SOFTMAX(scores, 0)),
            "cross_entropy": float(losses.cross_entropy(scores, one_hot)),
            "divergence": float(losses.kl_divergence(scores, one_hot)),
            "smoothed_cross_entropy": float(losses.cross_entropy(scores, smoothed)),
            "smoothed_entropy": float(losses.entropy(smoothed)),
            "smoothed_divergence": float(losses.kl_divergence(scores, smoothed)),
        }


def _probabilities() -> Answer:
    exponentials = np.exp(SCORES[0])
    with jax.enable_x64(True):
        shares = np.asarray(jax.nn.softmax(jnp.asarray(SCORES[0])))
    return Answer(
        "softmax",
        "How do scores become probabilities?",
        "Exponentials are above 0, divided by their sum they sum to 1.",
        f"Of the cat's three scores the exponentials are {text(exponentials)}, the "
        f"probabilities {text(shares, 5)}.",
        "`jax.nn.softmax`",
        {"exponentials": exponentials, "probabilities": shares},
    )


def _losses() -> Answer:
    found = each(_SOFTMAX)
    return Answer(
        "softmax_losses",
        "What is the softmax loss of the three images?",
        "Minus the natural logarithm of the probability of the right class.",
        f"The losses: {of_images(found, 5)}. Their mean: {found.mean():.5f}.",
        "`losses.softmax_cross_entropy`",
        {"each": found, "mean": found.mean()},
    )


def _names() -> Answer:
    found = names_of_the_loss()
    return Answer(
        "names",
        "Log-likelihood, KL divergence, cross-entropy: what is the difference?",
        "For a label none: all three are one number. For a soft target cross-entropy "
        "is entropy plus divergence, and as the entropy of the target is a constant, "
        "both have one gradient.",
        f"Of the cat all three are {found['minus_log_likelihood']:.5f}. With its label "
        "smoothed by 0.1 the cross-entropy is "
        f"{found['smoothed_cross_entropy']:.5f}, the entropy "
        f"{found['smoothed_entropy']:.5f} plus the divergence "
        f"{found['smoothed_divergence']:.5f}.",
        "`losses.cross_entropy`, `kl_divergence`, `entropy`",
        dict(found),
    )


def _extremes() -> Answer:
    sure = float(each(_SOFTMAX, [[80.0, 0.0, 0.0]], [0])[0])
    wrong = float(each(_SOFTMAX, [[-1e9, 0.0, 0.0]], [0])[0])
    return Answer(
        "softmax_q1",
        "Q: What is the least and the greatest possible softmax loss?",
        "Above 0, which is approached and never reached; there is no greatest.",
        f"Right by 80: {sure:.1e}. Wrong by a billion: {wrong:.1e}.",
        "`losses.softmax_cross_entropy`",
        {"least": sure, "wrong": wrong},
    )


def _start() -> Answer:
    ten = float(each(_SOFTMAX, np.zeros((1, 10)), [0])[0])
    return Answer(
        "softmax_q2",
        "Q2: At initialisation all scores are about equal. What is the softmax loss?",
        "log C, the surprise of a guess: a check of any new program.",
        f"Of 10 classes the loss is {ten:.6f}.",
        "`linear.init`, `losses.softmax_cross_entropy`",
        {"ten": ten},
    )


def _against() -> Answer:
    labels = np.zeros(3, int)
    svm = each(losses.weston_watkins_hinge, COMPARED, labels)
    softmax = each(_SOFTMAX, COMPARED, labels)
    return Answer(
        "against",
        "Softmax vs. SVM: scores (10, -2, 3), (10, 9, 9), (10, -100, -100), the first "
        "class right. What if a point jiggles?",
        "The SVM is content with all three and feels no small change of the first and "
        "the third (the second lies right at its kink); softmax always wants more, and "
        "tells the three apart.",
        f"The SVM losses of the three points: {text(svm)}. Their softmax losses: "
        f"{text(softmax)}.",
        "both losses",
        {"svm": svm, "softmax": softmax},
    )
