r"""Objectives in NumPy float64, without JAX, and descent from given weights.

An independent evaluation for experiments that examine certificates: losses are written
from their definitions for a whole batch, and `descended` searches for lower values.

Conventions: ``scores`` has shape ``(examples, classes)``; folded weights have shape
``(classes, features + 1)``, the bias in the last column; ``l2`` is one number per
column, 0 for a free bias, or one for all; margins are 1. A smoothing
:math:`\mu > 0` replaces the maximum in a hinge by :math:`\mu \log \sum \exp(\cdot /
\mu)`, which is larger by at most :math:`\mu \log C` per maximum.

  >>> data = Data(np.array([[2.0, 1.0]]), np.array([0]), np.ones(1))
  >>> objective(np.eye(2), data, loss="weston_watkins_hinge", l2=1.0)
  1.0
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special

import jaxlin

# Values and their derivatives in the scores.
Values = tuple[np.ndarray, np.ndarray]

# Each starts from the weights of the one before; larger steps get stuck.
_SMOOTHINGS = tuple(10.0**-power for power in range(1, 11))
_ITERATIONS = 500
# Relative rounding error of an objective, with a margin.
_ROUNDING = 1e-13


class Data(NamedTuple):
    """Examples in float64.

    Attributes:
      rows: normalised features and a constant 1, or 0 without a bias, shape
        ``(examples, features + 1)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      weights: non-negative, shape ``(examples,)``.
    """

    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def seen_by(
    fit: "jaxlin.Fit",
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None = None,
) -> Data:
    """Examples of a fit, with normalised features in float64.

    Args:
      fit: gives the normalization, and whether there is a bias.
      features: raw features, shape ``(examples, features)``.
      targets: labels ``(examples,)`` from 0 on, or distributions.
      weights: example weights, shape ``(examples,)``; None is all ones.
    """
    rows = features.astype(float)
    if fit.normalization is not None:
        mean, scale = (np.asarray(part, float) for part in fit.normalization)
        rows = (rows - mean) / scale
    weights = np.ones(len(rows)) if weights is None else weights.astype(float)
    constant = np.full(len(rows), float(fit.bias != "none"))
    return Data(np.c_[rows, constant], np.asarray(targets), weights)


def examined(fit: "jaxlin.Fit", data: Data) -> dict[str, Any]:
    """Compares a certificate with objectives that it must hold for.

    Returns:
      ``objective`` at the parameters of the fit; ``true_share``, the part of the proven
      gap by which `descended` finds a lower one; ``false``, whether that is more than
      the whole gap, or an objective is below the certified lower bound.
    """
    weights = np.c_[fit.params.weights, fit.params.bias].astype(float)
    l2 = np.full(weights.shape[1], fit.l2)
    if fit.bias == "free":
        l2[-1] = 0
    how: Any = {"loss": getattr(fit.loss, "__name__", fit.loss), "l2": l2}
    value = objective(weights, data, **how)
    lowest = objective(descended(weights, data, **how), data, **how)
    slack = _ROUNDING * value
    proven = fit.certificate.gap + fit.certificate.rounding + slack
    return {
        "objective": value,
        "true_share": float((value - lowest) / proven),
        "false": bool(value - lowest > proven or lowest < fit.certificate.dual - slack),
    }


def weston_watkins_hinge(
    scores: np.ndarray, labels: np.ndarray, smoothing: float = 0.0
) -> Values:
    """Sum of the violations of the wrong classes."""
    leads, is_right = _leads(scores, labels)
    charges, slopes = _relu(leads + 1, smoothing)
    charges[is_right], slopes[is_right] = 0, 0
    return charges.sum(axis=1), _against_right(slopes, is_right)


def weston_watkins_squared_hinge(
    scores: np.ndarray, labels: np.ndarray, smoothing: float = 0.0
) -> Values:
    """Sum of the squared violations of the wrong classes; smooth as it is."""
    leads, is_right = _leads(scores, labels)
    charges = np.where(is_right, 0, np.maximum(0, leads + 1))
    return np.square(charges).sum(axis=1), _against_right(2 * charges, is_right)


def crammer_singer_hinge(
    scores: np.ndarray, labels: np.ndarray, smoothing: float = 0.0
) -> Values:
    """Largest violation over the wrong classes, or 0."""
    leads, is_right = _leads(scores, labels)
    charges = np.where(is_right, 0, leads + 1)
    if smoothing:
        values = smoothing * scipy.special.logsumexp(charges / smoothing, axis=1)
        slopes = scipy.special.softmax(charges / smoothing, axis=1)
    else:
        values = charges.max(axis=1)
        slopes = np.eye(scores.shape[1])[charges.argmax(axis=1)]
    return values, _against_right(np.where(is_right, 0, slopes), is_right)


def one_vs_rest_hinge(
    scores: np.ndarray, labels: np.ndarray, smoothing: float = 0.0
) -> Values:
    """Sum of one binary hinge per class."""
    signs = np.where(_leads(scores, labels)[1], 1.0, -1.0)
    charges, slopes = _relu(1 - signs * scores, smoothing)
    return charges.sum(axis=1), -signs * slopes


def softmax_cross_entropy(
    scores: np.ndarray, labels: np.ndarray, smoothing: float = 0.0
) -> Values:
    """Negative log probability of the label; smooth as it is."""
    leads, is_right = _leads(scores, labels)
    # The right class apart, so that a loss near 0 keeps its digits.
    wrong = scipy.special.logsumexp(np.where(is_right, -np.inf, leads), axis=1)
    slopes = np.where(is_right, 0, scipy.special.softmax(scores, axis=1))
    return np.logaddexp(0, wrong), _against_right(slopes, is_right)


def cross_entropy(
    scores: np.ndarray, targets: np.ndarray, smoothing: float = 0.0
) -> Values:
    """Cross-entropy of target distributions; smooth as it is."""
    log_probabilities = scipy.special.log_softmax(scores, axis=1)
    values = -(targets * log_probabilities).sum(axis=1)
    return values, np.exp(log_probabilities) - targets


LOSSES: dict[str, Callable[..., Values]] = {
    loss.__name__: loss
    for loss in (
        weston_watkins_hinge,
        weston_watkins_squared_hinge,
        crammer_singer_hinge,
        one_vs_rest_hinge,
        softmax_cross_entropy,
        cross_entropy,
    )
}
_KINKED = ("weston_watkins_hinge", "crammer_singer_hinge", "one_vs_rest_hinge")


def objective(
    folded: np.ndarray, data: Data, *, loss: str, l2: float | np.ndarray
) -> float:
    """Weighted mean loss plus half the squares of all weights times ``l2``."""
    values, _ = LOSSES[loss](data.rows @ folded.T, data.targets)
    mean = np.average(values, weights=data.weights)
    return float(mean + (l2 / 2 * np.square(folded)).sum())


def descended(
    start: np.ndarray, data: Data, *, loss: str, l2: float | np.ndarray
) -> np.ndarray:
    """Folded weights of the lowest objective that L-BFGS-B finds from ``start``.

    Hinges are smoothed, ever less; the exact objective chooses among all results, the
    start included. The rows are whitened, so that their scales do not slow the search.
    """
    shares = data.weights / data.weights.sum()
    moment = (data.rows * shares[:, None]).T @ data.rows
    triangle = scipy.linalg.cholesky(moment + np.max(l2) * np.eye(len(moment)))
    best, lowest = start, objective(start, data, loss=loss, l2=l2)
    weights = start
    for smoothing in _SMOOTHINGS if loss in _KINKED else (0.0,):

        def function(flat, smoothing=smoothing):
            folded = scipy.linalg.solve_triangular(
                triangle, flat.reshape(start.shape).T, check_finite=False
            ).T
            values, slopes = LOSSES[loss](data.rows @ folded.T, data.targets, smoothing)
            gradient = (shares[:, None] * slopes).T @ data.rows + l2 * folded
            whitened = scipy.linalg.solve_triangular(
                triangle, gradient.T, trans="T", check_finite=False
            ).T
            value = shares @ values + (l2 / 2 * np.square(folded)).sum()
            return value, whitened.ravel()

        found = scipy.optimize.minimize(
            function,
            (weights @ triangle.T).ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _ITERATIONS, "ftol": 1e-16, "gtol": 0.0, "maxcor": 30},
        )
        weights = scipy.linalg.solve_triangular(
            triangle, found.x.reshape(start.shape).T
        ).T
        value = objective(weights, data, loss=loss, l2=l2)
        if value < lowest:
            best, lowest = weights, value
    return best


def _leads(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores less that of the label, and the mask of the label."""
    right = np.take_along_axis(scores, labels[:, None], axis=1)
    return scores - right, np.arange(scores.shape[1]) == labels[:, None]


def _relu(values: np.ndarray, smoothing: float) -> Values:
    """Positive part, smoothed, and its derivative."""
    if not smoothing:
        return np.maximum(0, values), (values > 0).astype(float)
    scaled = values / smoothing
    return smoothing * np.logaddexp(0, scaled), scipy.special.expit(scaled)


def _against_right(slopes: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """Slopes of the wrong classes, balanced by that of the right one."""
    return slopes - is_right * slopes.sum(axis=1, keepdims=True)
