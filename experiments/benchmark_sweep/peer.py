"""scikit-learn's LogisticRegression over some values of C, judged by our objective."""

from typing import Any

import numpy as np

from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_solvers.rows import Rows
from experiments.common import sklearn_models
from jaxlin.objective import penalties

# Of its defaults: where it stops.
_DEFAULT_ITERATIONS = 100


def fit(rows: Rows, inputs: np.ndarray, c: float, **settings: Any) -> dict[str, Any]:
    """Seconds, iterations and our objective of a fit of ``rows.extended()``."""
    (l2,) = penalties.l2_of_c(
        (c,), total_weight=len(rows.labels), num_classes=rows.num_classes
    )
    model = sklearn_models.logistic_regression(rows.labels, l2=l2, **settings)
    seconds = sklearn_models.seconds_of_fit(model, inputs, rows.labels)
    weights = sklearn_models.weights_of(model)[None]
    how: Any = {"loss": "softmax_cross_entropy", "l2": l2}
    return {
        "c": c,
        "seconds": seconds,
        "iterations": int(np.max(model.n_iter_)),
        "objective": float(all_rows.objectives(weights, rows, **how)[0]),
    }


def reaching(
    rows: Rows, inputs: np.ndarray, c: float, *, target: float, deadline_s: float
) -> dict[str, Any]:
    """Runs of twice the iterations each until one is as low as ``target``.

    Only the last run is counted. One that would pass the deadline is not begun: then
    ``reached`` is False and the seconds are a lower bound.
    """
    iterations = _DEFAULT_ITERATIONS
    while True:
        found = fit(rows, inputs, c, max_iter=iterations, tol=1e-12)
        found["reached"] = found["objective"] <= target
        is_done = found["iterations"] < iterations
        if found["reached"] or is_done or 2 * found["seconds"] > deadline_s:
            return found
        iterations *= 2
