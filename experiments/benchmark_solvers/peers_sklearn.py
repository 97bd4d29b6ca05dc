"""scikit-learn's solvers, LIBLINEAR among them.

lbfgs, newton-cg and newton-cholesky tell nothing while they run, so the functions that
they evaluate are wrapped. saga and LIBLINEAR are compiled loops without any callback:
they are run again and again from the start, each time with twice the iterations.
(Crammer-Singer: each time with half the tolerance, because scikit-learn passes no limit
of iterations to that solver; nor is ``n_iter_`` of it to be relied on, up to version
1.9.)

scikit-learn is imported inside functions: its peers run in processes of their own.
"""

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np

from experiments.benchmark_solvers import rows as judge
from experiments.benchmark_solvers.isolation import Recorder
from experiments.benchmark_solvers.rows import Rows
from experiments.common import sklearn_models

# LIBLINEAR's Crammer-Singer solver meets this after a pass or two.
_LOOSEST_TOLERANCE = 8.0
# newton-cholesky factors a matrix of so many rows: 800 MB in float64.
_CHOLESKY_WEIGHTS = 10_000
_DOUBLED: list[dict[str, float]] = [{"max_iter": 2**power} for power in range(31)]
_EVALUATIONS = (
    *("loss", "gradient", "loss_gradient"),
    *("gradient_hessian", "gradient_hessian_product"),
)


def logistic_regression(
    rows: Rows,
    recorder: Recorder,
    *,
    loss: str,
    l2: float,
    solver: str,
    **settings: Any,
) -> str:
    """`LogisticRegression` by lbfgs, newton-cg or newton-cholesky."""
    from sklearn.linear_model._linear_loss import LinearModelLoss

    inputs = rows.extended()
    num_weights = rows.num_classes * inputs.shape[1]
    if solver == "newton-cholesky" and num_weights > _CHOLESKY_WEIGHTS:
        raise ValueError(
            f"newton-cholesky must have at most {_CHOLESKY_WEIGHTS} weights, got "
            f"{num_weights}"
        )
    model = sklearn_models.logistic_regression(
        rows.labels, l2=l2, solver=solver, **settings
    )
    passes = 0

    def note(weights: np.ndarray | None, value: float | None) -> None:
        nonlocal passes
        passes += 1
        if weights is None:
            recorder.check()
        else:
            recorder.point(weights, passes=passes, value=value)

    with (
        mock.patch.multiple(LinearModelLoss, **_watched(LinearModelLoss, note)),
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always")
        recorder.start()
        model.fit(inputs, rows.labels)
    # The answer is a point seen before, but perhaps not the last one seen.
    answer = sklearn_models.weights_of(model)
    recorder.point(answer, passes=passes, keep=True)
    troubles = [str(warning.message).splitlines()[0] for warning in said]
    return "; ".join(["ended by its own rule", *dict.fromkeys(troubles)])


def _watched(
    loss_class: Any, note: Callable[[np.ndarray | None, float | None], None]
) -> dict[str, Any]:
    """The methods of scikit-learn's loss, which then note every pass.

    ``note`` gets the weights and, where it is known, the objective; None and None for a
    product with the Hessian. A Newton method asks for value, gradient and Hessian at
    one point, one after the other: they are one pass.
    """
    last = np.zeros(0)

    def multiply(product: Callable[[Any], Any], direction: Any) -> Any:
        note(None, None)
        return product(direction)

    def wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def evaluate(self, coef, *args, **kwargs):
            nonlocal last
            found = original(self, coef, *args, **kwargs)
            if not np.array_equal(coef, last):
                last = coef.copy()
                weights = sklearn_models.all_classes(last, share=0.5)
                if self.base_loss.is_multiclass:
                    shape = self.base_loss.n_classes, -1
                    weights = last.reshape(shape, order="F")
                value = {"loss": lambda: found, "loss_gradient": lambda: found[0]}
                note(weights, value.get(name, lambda: None)())
            if name == "gradient_hessian_product":
                return found[0], functools.partial(multiply, found[1])
            return found

        return evaluate

    return {name: wrapped(name, getattr(loss_class, name)) for name in _EVALUATIONS}


def saga(
    rows: Rows, recorder: Recorder, *, loss: str, l2: float, **settings: Any
) -> str:
    """`LogisticRegression` by saga, rerun; a pass is an epoch."""
    model = sklearn_models.logistic_regression(
        rows.labels, l2=l2, solver="saga", **settings
    )
    return _rerun(model, _DOUBLED, rows, recorder, loss=loss, l2=l2)


def liblinear(
    rows: Rows,
    recorder: Recorder,
    *,
    loss: str,
    l2: float,
    multi_class: str,
    tol: float,
) -> str:
    """LIBLINEAR's dual ascent through `LinearSVC`, rerun."""
    model = sklearn_models.linear_svc(
        rows.labels, l2=l2, multi_class=multi_class, tol=tol
    )
    limits = _DOUBLED
    if multi_class == "crammer_singer":
        halvings = range(math.ceil(math.log2(_LOOSEST_TOLERANCE / tol)) + 1)
        limits = [{"tol": max(_LOOSEST_TOLERANCE / 2**n, tol)} for n in halvings]
    return _rerun(model, limits, rows, recorder, loss=loss, l2=l2)


def _rerun(
    model: Any,
    limits: Sequence[dict[str, float]],
    rows: Rows,
    recorder: Recorder,
    *,
    loss: str,
    l2: float,
) -> str:
    """Fits from the start under one limit after the other, each run timed.

    The one that takes longer than the deadline is the last.
    """
    is_saga, inputs = loss == "softmax_cross_entropy", rows.extended()
    if not is_saga:
        # LIBLINEAR's float64. The copy is not charged; its own, in a sparse format, is.
        inputs = inputs.astype(np.float64)
    for limit in limits:
        model.set_params(**limit)
        with warnings.catch_warnings():
            # "Did not converge" is what a limit is for.
            warnings.simplefilter("ignore")
            recorder.start()
            model.fit(inputs, rows.labels)
            seconds = recorder.seconds()
        weights = sklearn_models.weights_of(model)
        iterations = int(np.max(model.n_iter_))
        # These methods do not tell the objective; computing it here is not charged.
        (value,) = judge.objectives(weights[None], rows, loss=loss, l2=l2)
        recorder.point(
            weights,
            # LIBLINEAR's iterations are not passes over all rows.
            passes=iterations if is_saga else None,
            value=float(value),
            seconds=seconds,
            keep=True,
        )
        if iterations < limit.get("max_iter", 0):
            break
    return f"ended by its own rule with {limit}"
