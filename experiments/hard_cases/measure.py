"""One case: points, proof, best line, fits, and the same with the feature added."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.hard_cases.cases import CASES, Case
from experiments.hard_cases.config import Config
from jaxlin import linear, losses
from jaxlin.certificates import duality, label_certificates
from jaxlin.data import Split
from jaxlin.geometry import best_line, separability
from jaxlin.geometry.separability import CommonPoint, Plane

LOSSES: dict[str, Any] = {
    "SVM": losses.weston_watkins_hinge,
    "softmax": losses.softmax_cross_entropy,
}

# What each loss is, of so many classes, where W is 0.
_AT_ZERO: dict[Any, Any] = {
    losses.weston_watkins_hinge: lambda classes: classes - 1.0,
    losses.softmax_cross_entropy: lambda classes: math.log(classes),
}

# Fits of all cases are one program a loss: features of zeros, whose weights stay 0,
# make all rows as wide as the widest.
_WIDTH = 5


class Fitted(NamedTuple):
    """A classifier with its proof, on some features.

    Attributes:
      fit: the parameters and their certificate.
      accuracy: on the points.
      optimum: the interval that provably holds the accuracy of the exact optimum.
    """

    fit: jaxlin.Fit
    accuracy: float
    optimum: label_certificates.AccuracyInterval


class Measured(NamedTuple):
    """Everything about one case.

    Attributes:
      name: key of the case.
      points: features and labels.
      proof: that no line separates them, or one that does; None with three classes.
      best: the best of all lines; None with three classes.
      fits: on the coordinates, by loss.
      lifted_proof: the same with the feature added; None where none is added.
      lifted_fits: likewise.
    """

    name: str
    points: Split
    proof: Plane | CommonPoint | None
    best: best_line.BestLine | None
    fits: dict[str, Fitted]
    lifted_proof: Plane | CommonPoint | None
    lifted_fits: dict[str, Fitted]


def measured(config: Config, name: str) -> Measured:
    """Draws the points of a case and finds out everything about them."""
    case = CASES[name]
    # Not by its place among those asked for: a case has the same points in every run.
    key = jax.random.fold_in(jax.random.key(config.seed), list(CASES).index(name))
    points = case.draw(
        key, num_examples=config.examples, noise=config.noise, gap=config.gap
    )
    has_two = len(case.class_names) == 2
    lifted = None if case.lift is None else lifted_rows(points.features, case)
    return Measured(
        name,
        points,
        _proven(*points) if has_two else None,
        best_line.find(*points) if has_two else None,
        _fits(config, case, points, config.l2, config.relative_gap),
        None if lifted is None else _proven(lifted, points.labels),
        {}
        if lifted is None
        else _fits(
            config,
            case,
            Split(lifted, points.labels),
            config.lifted_l2,
            config.lifted_relative_gap,
        ),
    )


def lifted_rows(features: np.ndarray, case: Case) -> np.ndarray:
    """The rows with what mends the case appended."""
    return np.asarray(_lifted(jnp.asarray(features), lift=case.lift))


@functools.partial(jax.jit, static_argnames=("lift",))
def _lifted(features, *, lift):
    return jax.vmap(lift)(features)


def predictions(fitted: Fitted, features: np.ndarray) -> np.ndarray:
    """Labels of rows, ties to the smaller index."""
    return np.asarray(_predicted(fitted.fit.params, jnp.asarray(features)))


@jax.jit
def _predicted(params, features):
    return jax.vmap(linear.predict, (None, 0))(params, features)


def _proven(features: np.ndarray, labels: np.ndarray) -> Plane | CommonPoint:
    proof = separability.prove(features, labels)
    if not separability.holds(proof, features, labels):
        raise AssertionError("a proof of separability does not hold")
    return proof


def _fits(
    config: Config, case: Case, points: Split, l2: float, relative_gap: float
) -> dict[str, Fitted]:
    found = {}
    width = points.features.shape[1]
    for name, loss in LOSSES.items():
        fit = jaxlin.fit(
            np.pad(points.features, [(0, 0), (0, _WIDTH - width)]),
            points.labels,
            loss=loss,
            l2=l2,
            classes=range(len(case.class_names)),
            stop=jaxlin.Stop(relative_gap, config.max_evaluations),
            refine=True,
        )
        fit = fit._replace(
            params=fit.params._replace(weights=fit.params.weights[:, :width])
        )
        predicted = _predicted(fit.params, jnp.asarray(points.features))
        correct = jnp.asarray(predicted) == points.labels
        same = label_certificates.same_labels(
            fit.params,
            jnp.asarray(points.features),
            radius=duality.radius(fit.certificate, l2=l2),
        )
        found[name] = Fitted(
            fit,
            int(correct.sum()) / len(points.labels),
            label_certificates.accuracy_interval(correct, jnp.asarray(same)),
        )
    return found


def results(measured: Measured) -> dict[str, Any]:
    """What results.json says of a case; fractions as text."""
    counts = np.bincount(measured.points.labels)
    found: dict[str, Any] = {
        "examples": len(measured.points.labels),
        # What needs no features: the most frequent label, always.
        "one_label": float(counts.max() / counts.sum()),
        "fits": {name: _of_fit(one) for name, one in measured.fits.items()},
        "lifted_fits": {
            name: _of_fit(one) for name, one in measured.lifted_fits.items()
        },
    }
    if measured.proof is not None:
        found["proof"] = _of_proof(measured.proof)
    if measured.lifted_proof is not None:
        found["lifted_proof"] = _of_proof(measured.lifted_proof)
    if measured.best is not None:
        count = measured.best.correct
        found["best_line"] = {
            "correct": count,
            "accuracy": count / len(measured.points.labels),
            "normal": [float(part) for part in measured.best.line.normal],
            "offset": float(measured.best.line.offset),
        }
    return found


def _of_fit(fitted: Fitted) -> dict[str, Any]:
    fit = fitted.fit
    return {
        "l2": fit.l2,
        "primal": float(fit.certificate.primal),
        "dual": float(fit.certificate.dual),
        "relative_gap": float(fit.relative_gap),
        "converged": bool(fit.converged),
        "evaluations": int(fit.passes),
        "at_zero": _AT_ZERO[fit.loss](len(fit.params.bias)),
        "weights_norm": float(np.linalg.norm(fit.params.weights)),
        "accuracy": fitted.accuracy,
        "optimum": fitted.optimum._asdict(),
    }


def _of_proof(proof: Plane | CommonPoint) -> dict[str, Any]:
    if isinstance(proof, Plane):
        return {
            "separable": True,
            "normal": [str(part) for part in proof.normal],
            "offset": str(proof.offset),
        }
    return {
        "separable": False,
        "rows": list(proof.rows),
        "weights": [str(weight) for weight in proof.weights],
        "point": [str(part) for part in proof.point],
    }
