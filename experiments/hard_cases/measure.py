"""One case: points, proof, best line, fits, and the same with the feature added."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common.study import Measured, Part, Run
from experiments.hard_cases.cases import CASES, Case, CaseName
from experiments.hard_cases.config import Config
from jaxlin import losses
from jaxlin.geometry import best_line, separability
from jaxlin.geometry.separability import Plane

# Each loss with its value at W = 0, of so many classes.
LOSSES: dict[str, tuple[Any, Any]] = {
    "SVM": (losses.weston_watkins_hinge, lambda classes: classes - 1.0),
    "softmax": (losses.softmax_cross_entropy, math.log),
}

# Fits of all cases are one program a loss: features of zeros, whose weights stay 0,
# make all rows as wide as the widest.
_WIDTH = 5


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run: its cases."""
    return {name: functools.partial(_case, name=name) for name in config.cases}


def _case(config: Config, dataset: None, run: Run, *, name: CaseName) -> Measured:
    """Draws the points of a case and measures everything about them."""
    case = CASES[name]
    # Not by its place among those asked for: a case has the same points in every run.
    key = jax.random.fold_in(jax.random.key(config.seed), list(CASES).index(name))
    points = case.draw(
        key, num_examples=config.examples, noise=config.noise, gap=config.gap
    )
    features, labels = map(np.asarray, points)
    fits = _fits(features, labels, config.l2, config.relative_gap, case, config)
    numbers: dict[str, Any] = {
        "title": case.title,
        "examples": len(labels),
        # What needs no features: the most frequent label, always.
        "one_label": np.bincount(labels).max() / len(labels),
        "fits": _fit_numbers(fits, features, labels),
        "lifted_fits": {},
        "added": case.added,
    }
    if len(case.class_names) == 2:
        numbers["proof"] = _proof(features, labels, case)
        best = best_line.find(features, labels)
        numbers["best_line"] = {
            "correct": best.correct,
            "accuracy": best.correct / len(labels),
            "normal": [float(part) for part in best.line.normal],
            "offset": float(best.line.offset),
        }
    kept = dict(fits)
    if case.lift is not None:
        rows = lifted_rows(features, case)
        lifted = _fits(
            rows, labels, config.lifted_l2, config.lifted_relative_gap, case, config
        )
        numbers["lifted_proof"] = _proof(rows, labels, case)
        numbers["lifted_fits"] = _fit_numbers(lifted, rows, labels)
        kept |= {f"{loss}_lifted": fit for loss, fit in lifted.items()}
    return Measured(numbers, {"features": features, "labels": labels}, kept)


def lifted_rows(features: np.ndarray, case: Case) -> np.ndarray:
    """The rows with what mends the case appended."""
    return np.asarray(_lifted(jnp.asarray(features), lift=case.lift))


@functools.partial(jax.jit, static_argnames=("lift",))
def _lifted(features, *, lift):
    return jax.vmap(lift)(features)


def _fits(
    features: np.ndarray,
    labels: np.ndarray,
    l2: float,
    relative_gap: float,
    case: Case,
    config: Config,
) -> dict[str, jaxlin.Fit]:
    """Certified fits by loss."""
    found = {}
    width = features.shape[1]
    for name, (loss, _) in LOSSES.items():
        fit = jaxlin.fit(
            np.pad(features, [(0, 0), (0, _WIDTH - width)]),
            labels,
            loss=loss,
            l2=l2,
            classes=range(len(case.class_names)),
            stop=jaxlin.Stop(relative_gap, config.max_evaluations),
            refine=True,
        )
        weights = fit.params.weights[:, :width]
        found[name] = fit._replace(params=fit.params._replace(weights=weights))
    return found


def _fit_numbers(
    fits: dict[str, jaxlin.Fit], features: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Certificate and accuracy of each fit, and bounds of the optimum's accuracy."""
    found = {}
    for name, fit in fits.items():
        tested = jaxlin.evaluate(fit, features, labels)
        _, at_zero = LOSSES[name]
        found[name] = {
            "l2": fit.l2,
            "primal": fit.certificate.primal,
            "dual": fit.certificate.dual,
            "relative_gap": fit.relative_gap,
            "converged": fit.converged,
            "evaluations": fit.passes,
            "at_zero": at_zero(len(fit.classes)),
            "weights_norm": np.linalg.norm(fit.params.weights),
            "accuracy": tested.accuracy.value,
            "optimum": tested.optimum,
        }
    return found


def _proof(features: np.ndarray, labels: np.ndarray, case: Case) -> dict[str, Any]:
    """A plane that separates, or a point of both convex hulls; fractions as text."""
    proof = separability.prove(features, labels)
    if not separability.holds(proof, features, labels):
        raise AssertionError("a proof of separability does not hold")
    if isinstance(proof, Plane):
        return {
            "separable": True,
            "normal": [str(part) for part in proof.normal],
            "offset": str(proof.offset),
        }
    return {
        "separable": False,
        "point": [str(part) for part in proof.point],
        "point_rounded": [float(part) for part in proof.point],
        "points": [
            {
                "row": row,
                "class": case.class_names[labels[row]],
                "features": features[row],
                "weight": str(weight),
                "weight_rounded": float(weight),
            }
            for row, weight in zip(proof.rows, proof.weights, strict=True)
        ],
    }
