"""scikit-learn's solvers, LIBLINEAR among them.

lbfgs, newton-cg and newton-cholesky tell nothing while they run, so the functions that
they evaluate are wrapped. saga and LIBLINEAR are compiled loops without any callback:
they are run again and again from the start, each time with twice the iterations.
(Crammer-Singer: each time with half the tolerance, because scikit-learn passes no limit
of iterations to that solver; nor is ``n_iter_`` of it to be relied on, up to version
1.9.)

The constants of their objectives are converted in `experiments.common.sklearn_models`.
scikit-learn is imported inside functions: its peers run in processes of their own.
"""

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmark_solvers.traces import EnoughError, Recorder
from experiments.common import sklearn_models

# Too small to be met: the solvers stop where float32 makes no more progress.
GRADIENT_TOLERANCE = 1e-10
ITERATIONS = 10**6
# Of saga a relative change of the weights, of LIBLINEAR a violation of optimality.
RERUN_TOLERANCE = 1e-8
# LIBLINEAR's Crammer-Singer solver meets this after a pass or two.
LOOSEST_TOLERANCE = 8.0
# newton-cholesky factors a matrix of so many rows: 800 MB in float64.
CHOLESKY_WEIGHTS = 10_000

# The share of the deadline that the last rerun is planned to take.
_FILLED = 0.9


def logistic_regression(
    rows: np.ndarray, labels: np.ndarray, recorder: Recorder, *, l2: float, solver: str
) -> str:
    """`LogisticRegression` by lbfgs, newton-cg or newton-cholesky."""
    num_weights = (int(labels.max()) + 1) * rows.shape[1]
    if solver == "newton-cholesky" and num_weights > CHOLESKY_WEIGHTS:
        raise ValueError(
            f"newton-cholesky must have at most {CHOLESKY_WEIGHTS} weights, got "
            f"{num_weights}"
        )
    model = sklearn_models.logistic_regression(
        labels, l2=l2, solver=solver, tol=GRADIENT_TOLERANCE, max_iter=ITERATIONS
    )
    watch = _Watch(recorder)
    with _watched(watch), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        recorder.start()
        model.fit(rows, labels)
    # The answer is a point seen before, but perhaps not the last one seen.
    watch.note(sklearn_models.weights_of(model), keep=True)
    troubles = [str(warning.message).splitlines()[0] for warning in said]
    return "; ".join(["ended by its own rule", *dict.fromkeys(troubles)])


class _Watch:
    """Counts a solver's evaluations and notes where they were made."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._evaluations = 0
        self._products = 0
        self._at: np.ndarray | None = None

    def evaluated(
        self, loss: Any, coefficients: np.ndarray, value: float | None
    ) -> None:
        """Notes an evaluation, unless the last was at the same point.

        A Newton method asks for value, gradient and Hessian one after the other.
        """
        if self._at is not None and np.array_equal(coefficients, self._at):
            return
        self._at = coefficients.copy()
        self._evaluations += 1
        if loss.base_loss.is_multiclass:
            shape = loss.base_loss.n_classes, -1
            weights = self._at.reshape(shape, order="F")
        else:
            weights = sklearn_models.all_classes(self._at, share=0.5)
        self.note(weights, value=value)

    def note(
        self, weights: np.ndarray, *, value: float | None = None, keep: bool = False
    ) -> None:
        self._recorder.point(
            weights,
            evaluations=self._evaluations,
            hessian_products=self._products,
            value=value,
            keep=keep,
        )

    def multiply(self, product: Callable[[Any], Any], direction: Any) -> Any:
        """Returns a product with the Hessian, counted."""
        found = product(direction)
        self._products += 1
        self._recorder.check()
        return found


@contextlib.contextmanager
def _watched(watch: _Watch) -> Iterator[None]:
    """Shows ``watch`` every evaluation of scikit-learn's linear models."""
    from sklearn.linear_model._linear_loss import LinearModelLoss

    def wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def evaluate(self, coef, *args, **kwargs):
            found = original(self, coef, *args, **kwargs)
            value = {"loss": lambda: found, "loss_gradient": lambda: found[0]}
            watch.evaluated(self, coef, value.get(name, lambda: None)())
            if name == "gradient_hessian_product":
                return found[0], functools.partial(watch.multiply, found[1])
            return found

        return evaluate

    names = ("loss", "gradient", "loss_gradient", "gradient_hessian")
    originals = {
        name: getattr(LinearModelLoss, name)
        for name in (*names, "gradient_hessian_product")
    }
    for name, original in originals.items():
        setattr(LinearModelLoss, name, wrapped(name, original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(LinearModelLoss, name, original)


class _Fit(NamedTuple):
    """The outcome of one run of a method that is rerun."""

    weights: np.ndarray
    # Epochs, None where the method counts none.
    evaluations: int | None
    # Whether its own rule ended it, so that more effort changes nothing.
    ended: bool
    # The limit that it was given, in words.
    limit: str


def rerun(
    rows: np.ndarray, labels: np.ndarray, recorder: Recorder, *, l2: float, loss: str
) -> str:
    """Saga of `LogisticRegression`, or LIBLINEAR's dual ascent through `LinearSVC`.

    The loss decides: saga for softmax, LIBLINEAR for the two hinges that it has.
    """
    by_tolerance = loss == "crammer_singer_hinge"
    if loss == "softmax_cross_entropy":
        model = sklearn_models.logistic_regression(
            labels, l2=l2, solver="saga", tol=RERUN_TOLERANCE, random_state=0
        )
        inputs = rows
    else:
        model = sklearn_models.linear_svc(
            labels,
            l2=l2,
            multi_class="crammer_singer" if by_tolerance else "ovr",
            tol=RERUN_TOLERANCE,
        )
        # LIBLINEAR's float64. The copy is not charged; its own, in a sparse format, is.
        inputs = rows.astype(np.float64)

    def fit(effort: float) -> _Fit:
        if by_tolerance:
            tolerance = max(1 / effort, RERUN_TOLERANCE)
            model.set_params(tol=tolerance).fit(inputs, labels)
            weights = sklearn_models.weights_of(model)
            ended = tolerance == RERUN_TOLERANCE
            return _Fit(weights, None, ended, f"tol={tolerance:.2g}")
        limit = int(effort)
        model.set_params(max_iter=limit).fit(inputs, labels)
        iterations = int(np.max(model.n_iter_))
        weights = sklearn_models.weights_of(model)
        epochs = None if inputs is not rows else iterations
        return _Fit(weights, epochs, iterations < limit, f"max_iter={limit}")

    def value(weights: np.ndarray) -> float:
        # JAX, which it imports, is loaded only where a target asks for values.
        from experiments.benchmark_solvers import judge

        return float(judge.objectives(weights[None], rows, labels, loss=loss, l2=l2)[0])

    start = 1 / LOOSEST_TOLERANCE if by_tolerance else 1.0
    return _rerun(fit, recorder, value, start=start)


def _rerun(
    fit: Callable[[float], _Fit],
    recorder: Recorder,
    value: Callable[[np.ndarray], float],
    *,
    start: float,
) -> str:
    """Runs a method from its start with more and more effort, each run timed.

    Args:
      fit: a run with twice the effort of the one before, except for the last, whose
        effort is less, so that it fills the deadline.
      recorder: its clock starts anew for each run.
      value: the objective of weights, which these methods do not tell. Not charged.
      start: the first effort.
    """
    effort, growth, power, before = start, 2.0, 1.0, 0.0
    while True:
        with warnings.catch_warnings():
            # "Did not converge" is what a limit is for.
            warnings.simplefilter("ignore")
            recorder.start()
            done = fit(effort)
            seconds = recorder.seconds()
        with recorder.paused():
            found = None if recorder.target is None else value(done.weights)
        recorder.point(
            done.weights, evaluations=done.evaluations, value=found, keep=True
        )
        if done.ended:
            return f"ended by its own rule with {done.limit}"
        if before:
            # Seconds go with this power of the effort, as far as two runs can tell.
            power = float(np.clip(np.log2(seconds / before), 0.25, 2.0))
        fitting = (_FILLED * recorder.deadline_s / seconds) ** (1 / power)
        if growth < 2 or fitting < 1.1:
            raise EnoughError(
                f"stopped after a run with {done.limit}: more would pass the deadline "
                f"of {recorder.deadline_s:g} s"
            )
        growth, before = min(2.0, fitting), seconds
        effort *= growth
