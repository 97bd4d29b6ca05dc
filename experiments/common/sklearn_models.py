"""scikit-learn's linear models with jaxlin's objective, and their weights as ours.

The bias is the weight of a constant feature of the rows. Theirs is C * sum of losses +
1/2 ||W||^2, so C = 1 / (l2 n) for ours. Of two classes scikit-learn keeps one row w:
ours are then (-w, w) for one-vs-rest, and (-w/2, w/2) otherwise, where for
`LogisticRegression` alone C = 2 / (l2 n), because its penalty is of w itself.
(`jaxlin.objective.penalties.l2_of_c` is not used here: a peer's process does without
JAX. For the same reason scikit-learn is imported inside functions.)
"""

import time
import warnings
from typing import Any

import numpy as np


def logistic_regression(
    labels: np.ndarray, *, l2: float, fit_intercept: bool = False, **settings: Any
) -> Any:
    """`LogisticRegression`, the softmax classifier, not yet fitted.

    The solver "intelex" is lbfgs of the Extension for scikit-learn.
    """
    if settings.get("solver") == "intelex":
        from sklearnex.linear_model import LogisticRegression

        settings = {**settings, "solver": "lbfgs"}
    else:
        from sklearn.linear_model import LogisticRegression

    factor = 2 if labels.max() == 1 else 1
    strength = factor / (l2 * len(labels))
    return LogisticRegression(C=strength, fit_intercept=fit_intercept, **settings)


def linear_svc(labels: np.ndarray, *, l2: float, **settings: Any) -> Any:
    """`LinearSVC` by dual ascent, not yet fitted; ``multi_class`` decides the loss."""
    from sklearn.svm import LinearSVC

    return LinearSVC(
        C=1 / (l2 * len(labels)),
        loss="hinge",
        dual=True,
        fit_intercept=False,
        random_state=0,
        **settings,
    )


def seconds_of_fit(model: Any, rows: np.ndarray, labels: np.ndarray) -> float:
    """Fits a model and returns the seconds it took."""
    with warnings.catch_warnings():
        # A model that stops at its limit of iterations says so; they are counted.
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(rows, labels)
    return time.perf_counter() - start


def weights_of(model: Any) -> np.ndarray:
    """Weights of a fitted model, one row per class, also of two classes.

    An intercept is the last column.
    """
    is_one_vs_rest = getattr(model, "multi_class", None) == "ovr"
    columns = model.coef_
    if model.fit_intercept:
        columns = np.c_[columns, model.intercept_]
    return all_classes(columns, share=1.0 if is_one_vs_rest else 0.5)


def all_classes(coefficients: np.ndarray, *, share: float) -> np.ndarray:
    """One row per class, also of two classes, of which scikit-learn keeps one row."""
    rows = np.atleast_2d(coefficients)
    return rows if len(rows) > 1 else share * np.concatenate([-rows, rows])
