"""Second derivations: slow, plain NumPy, written from the definitions with loops."""

import decimal
import math

import numpy as np


def weston_watkins(scores, label, margin=1.0, power=1):
    """The lecture's example code: a loop over classes that skips the right one."""
    total = 0.0
    for j, score in enumerate(scores):
        if j != label:
            total += max(0.0, score - scores[label] + margin) ** power
    return total


def crammer_singer(scores, label, margin=1.0):
    """The largest of the per-class charges, of which the right class's is 0."""
    charges = [0.0]
    for j, score in enumerate(scores):
        if j != label:
            charges.append(score - scores[label] + margin)
    return max(charges)


def one_vs_rest(scores, label, margin=1.0):
    """One binary hinge a class."""
    total = 0.0
    for j, score in enumerate(scores):
        sign = 1.0 if j == label else -1.0
        total += max(0.0, margin - sign * score)
    return total


def softmax(scores):
    """Exponentials over their sum, in extended precision, largest score first out."""
    largest = max(scores)
    exponentials = [math.exp(score - largest) for score in scores]
    return [e / math.fsum(exponentials) for e in exponentials]


def softmax_cross_entropy(scores, label):
    """-log of the label's probability."""
    return -math.log(softmax(scores)[label])


def cross_entropy(scores, target):
    """Expected surprise of the softmax under the target."""
    probabilities = softmax(scores)
    return -math.fsum(
        t * math.log(p) for t, p in zip(target, probabilities, strict=True) if t > 0
    )


def divergence_from_softmax(scores, q):
    """Sum of q log(q / p) - q + p for p = softmax(scores), in fifty decimal digits."""
    with decimal.localcontext(prec=50):
        exponentials = [decimal.Decimal(float(score)).exp() for score in scores]
        total = decimal.Decimal(0)
        for exponential, weight in zip(exponentials, q, strict=True):
            p = exponential / sum(exponentials)
            weight = decimal.Decimal(float(weight))
            total += p - weight
            if weight > 0:
                total += weight * (weight / p).ln()
        return float(total)


def numerical_gradient(function, point, step=1e-3):
    """Fourth-order central differences, one coordinate at a time, in float64."""
    point = np.asarray(point, np.float64)
    gradient = np.zeros_like(point)
    for index in np.ndindex(point.shape):
        values = []
        for shift in (-2, -1, 1, 2):
            moved = point.copy()
            moved[index] += shift * step
            values.append(function(moved))
        a, b, c, d = values
        gradient[index] = (a - 8 * b + 8 * c - d) / (12 * step)
    return gradient
