"""scikit-learn's LogisticRegression over some values of C, judged by our objective."""

import time
import warnings
from typing import Any

import numpy as np

from jaxlin import data
from jaxlin.objective import penalties

# Of its defaults: where it stops.
_DEFAULT_ITERATIONS = 100


def rows_of(dataset: data.Dataset) -> np.ndarray:
    """Normalised float32 rows with a column of ones: the bias trick."""
    features = dataset.train.features
    mean = features.mean(axis=0, dtype=np.float64)
    rows = ((features - mean) / dataset.max_value).astype(np.float32)
    return np.hstack([rows, np.ones((len(rows), 1), np.float32)])


def fit(rows: np.ndarray, labels: np.ndarray, c: float, **settings: Any) -> Any:
    """Seconds, iterations and our objective of a fit."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, fit_intercept=False, **settings)
    with warnings.catch_warnings():
        # "Did not converge" is its default on such data.
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(rows, labels)
        seconds = time.perf_counter() - start
    weights = model.coef_
    (l2,) = penalties.l2_of_c(
        (c,), total_weight=len(rows), num_classes=len(model.classes_)
    )
    if len(weights) == 1:
        # Of two classes it keeps one row; ours are half of it each way.
        weights = np.concatenate([-weights / 2, weights / 2])
    value = objective(weights, rows, labels, l2=l2)
    return {
        "c": c,
        "seconds": seconds,
        "iterations": int(np.max(model.n_iter_)),
        "objective": value,
    }


def objective(
    weights: np.ndarray, rows: np.ndarray, labels: np.ndarray, *, l2: float
) -> float:
    """Mean cross-entropy plus half l2 times the sum of squares, in float64."""
    total = 0.0
    for start in range(0, len(rows), 4096):
        some = slice(start, start + 4096)
        scores = rows[some].astype(np.float64) @ weights.T.astype(np.float64)
        top = scores.max(axis=1)
        logs = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
        total += float((logs - scores[np.arange(len(scores)), labels[some]]).sum())
    return total / len(rows) + l2 / 2 * float(np.square(weights, dtype=float).sum())


def reaching(
    rows: np.ndarray, labels: np.ndarray, c: float, *, target: float, deadline_s: float
) -> dict[str, Any]:
    """Runs of twice the iterations each until one is as low as ``target``.

    Only the last run is counted. One that would pass the deadline is not begun: then
    ``reached`` is False and the seconds are a lower bound.
    """
    iterations = _DEFAULT_ITERATIONS
    while True:
        found = fit(rows, labels, c, max_iter=iterations, tol=1e-12)
        found["reached"] = found["objective"] <= target
        is_done = found["iterations"] < iterations
        if found["reached"] or is_done or 2 * found["seconds"] > deadline_s:
            return found
        iterations *= 2
