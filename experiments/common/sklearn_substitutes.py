"""jaxlin's estimator under the signatures of two of scikit-learn's.

Keywords that choose how an optimum is found (solver, dual, tol, max_iter, random_state,
n_jobs, verbose) have no effect: every fit is proven to the default gap of
`LinearClassifier`. A model that `LinearClassifier` does not have is refused.
"""

from typing import Any, ClassVar, Self

import numpy as np

from jaxlin.linear import BiasName
from jaxlin.sklearn import LinearClassifier


class _Substitute(LinearClassifier):
    """Base of both: fits a `LinearClassifier` and takes its attributes."""

    #: Number of fits of substitutes so far.
    num_fits: ClassVar[int] = 0
    warm_start: bool = False
    has_array_of_iterations: ClassVar[bool] = False

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fits the translated classifier."""
        _Substitute.num_fits += 1
        loss, bias = self._translated(y)
        model = LinearClassifier(
            loss,
            C=self.C,
            bias=bias,
            class_weight=self.class_weight,
            warm_start=self.warm_start,
        )
        if hasattr(self, "fit_"):
            model.fit_ = self.fit_
        model.fit(X, y, sample_weight)
        fitted = {name: value for name, value in vars(model).items() if name[-1] == "_"}
        self.__dict__.update(fitted)
        if self.has_array_of_iterations:
            self.n_iter_: Any = np.array([self.n_iter_], np.int32)
        return self

    def _translated(self, y: Any) -> tuple[str, BiasName]:
        """Name of the loss and treatment of the bias."""
        raise NotImplementedError


class LogisticRegression(_Substitute):
    """`LinearClassifier` under the signature of scikit-learn's class."""

    loss = "softmax"
    has_array_of_iterations = True

    def __init__(
        self,
        penalty: Any = "deprecated",
        *,
        C: float = 1.0,
        l1_ratio: float | None = 0.0,
        dual: bool = False,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Any = None,
        random_state: Any = None,
        solver: str = "lbfgs",
        max_iter: int = 100,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
    ):
        _keep(self, locals())

    def _translated(self, y: Any) -> tuple[str, BiasName]:
        if self.penalty not in ("deprecated", "l2") or self.l1_ratio:
            raise NotImplementedError("jaxlin has the L2 penalty alone")
        return "softmax", "free" if self.fit_intercept else "none"


class LinearSVC(_Substitute):
    """`LinearClassifier` under the signature of scikit-learn's class."""

    def __init__(
        self,
        penalty: str = "l2",
        loss: str = "squared_hinge",
        *,
        dual: Any = "auto",
        tol: float = 1e-4,
        C: float = 1.0,
        multi_class: str = "ovr",
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Any = None,
        verbose: int = 0,
        random_state: Any = None,
        max_iter: int = 1000,
    ):
        _keep(self, locals())

    def _translated(self, y: Any) -> tuple[str, BiasName]:
        if self.penalty != "l2":
            raise NotImplementedError("jaxlin has the L2 penalty alone")
        if self.intercept_scaling != 1:
            raise NotImplementedError("jaxlin penalises a bias like the weights")
        bias: BiasName = "penalized" if self.fit_intercept else "none"
        if self.multi_class == "crammer_singer":
            return "crammer_singer_hinge", bias
        if self.loss == "hinge":
            return "one_vs_rest_hinge", bias
        if len(set(y)) > 2:
            raise NotImplementedError("jaxlin has no one-vs-rest squared hinge")
        # Of two classes the squared hinge of the difference of the scores.
        return "weston_watkins_squared_hinge", bias


def _keep(estimator: Any, arguments: dict[str, Any]) -> None:
    """Sets the arguments of ``__init__`` as attributes."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)
