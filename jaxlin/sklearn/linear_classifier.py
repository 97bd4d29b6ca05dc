"""A linear classifier with the interface of scikit-learn, fitted to a proven gap."""

from typing import Any, Self

import numpy as np

from jaxlin import check, fits, problems
from jaxlin.linear import BiasName, Params
from jaxlin.objective import penalties
from jaxlin.problems import Problem
from jaxlin.sklearn import arguments
from jaxlin.sklearn.certified_classifier import CertifiedClassifier
from jaxlin.typing import Loss, LossArguments


class LinearClassifier(CertifiedClassifier):
    r"""Linear classifier whose fit carries a certificate.

    It minimises scikit-learn's objective, :math:`C \sum_i a_i \ell_i + \frac{1}{2}
    \|W\|^2`, to a proven relative gap. With the default loss that is
    `LogisticRegression`; ``"one_vs_rest_hinge"`` with a penalised bias is `LinearSVC`
    with ``loss="hinge"``, ``"crammer_singer_hinge"`` with ``bias="none"`` is
    `LinearSVC` with ``multi_class="crammer_singer"`` and no intercept.

    Args:
      loss: name of a loss: ``"softmax"``, ``"weston_watkins_hinge"``,
        ``"weston_watkins_squared_hinge"``, ``"crammer_singer_hinge"``,
        ``"one_vs_rest_hinge"``; or one of these functions of `jaxlin.losses`.
      C: inverse strength of the penalty, above 0, as in scikit-learn; None is 1 unless
        ``l2`` is given. For two classes the penalty is that of scikit-learn's single
        row of weights; for the Crammer-Singer and the one-vs-rest hinge it is that of
        the two rows that `LinearSVC` penalises. C multiplies the sample and class
        weights.
      l2: strength of half the sum of squares relative to the weighted mean loss, above
        0, as in `jaxlin.fit`; replaces C.
      bias: ``"free"``, an unpenalised intercept as in `LogisticRegression`;
        ``"penalized"``, as in `LinearSVC`; or ``"none"``.
      loss_arguments: keywords of the loss, such as ``{"margin": 1.0}``.
      class_weight: None, ``"balanced"`` or a dictionary from labels to weights above 0;
        they multiply the sample weights.
      tol: relative gap to be proven, (objective - optimum) / objective, above 0. None
        is 1e-8 for hinges and 1e-12 for softmax; with softmax and at most 2,000 weights
        the fit then continues until float64 rounding stops it.
      max_iter: largest number of passes over the rows.
      warm_start: whether `fit` starts from the previous solution, of the same number of
        classes and features.

    Attributes:
      classes_: labels in ascending order, shape ``(classes,)``.
      coef_: weights, shape ``(classes, features)``; ``(1, features)`` for two classes,
        the second class minus the first (half of that for the one-vs-rest hinge, as
        in `LinearSVC`).
      intercept_: bias, shape ``(classes,)`` or ``(1,)``.
      n_iter_: number of passes over the rows.
      n_features_in_: number of features.
      feature_names_in_: names of the features, where X has column names of text.
      certificate_: duality gap of the fit (`jaxlin.certificates.duality.Certificate`).
      fit_: the `jaxlin.Fit`.

    Raises:
      ValueError: in ``fit``, naming the argument, the rule and the value.
    """

    def __init__(
        self,
        loss: str | Loss = "softmax",
        *,
        C: float | None = None,
        l2: float | None = None,
        bias: BiasName = "free",
        loss_arguments: LossArguments | None = None,
        class_weight: Any = None,
        tol: float | None = None,
        max_iter: int = 1000,
        warm_start: bool = False,
    ):
        self.loss = loss
        self.C = C
        self.l2 = l2
        self.bias = bias
        self.loss_arguments = loss_arguments
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fits the classifier.

        Args:
          X: features, shape ``(examples, features)``: an array, a data frame or a
            sparse matrix, which is converted to a dense array. uint8 stays uint8.
          y: labels of any kind, shape ``(examples,)``.
          sample_weight: non-negative weights, shape ``(examples,)``; None is all ones.
        """
        loss = arguments.loss_of(self.loss)
        stop = self._stop(loss)
        X, y, weights = self._checked(X, y, sample_weight)
        if self.class_weight is not None:
            numbers, codes = arguments.class_weight_numbers(
                self.class_weight, y, sample_weight=weights
            )
            weights = numbers[codes] * (1 if weights is None else weights)
        with arguments.own_names():
            problem = problems.problem(X, y, weights=weights)
            fit = fits.fit(
                problem,
                loss=loss,
                l2=self._l2(problem, loss),
                bias=self.bias,
                stop=stop,
                loss_arguments=self.loss_arguments,
                start=self._start(problem),
                # scikit-learn computes in float64, too.
                refine=True,
            )
        self._keep(self._polished(fit, problem), X.dtype, stop=stop)
        return self

    def _l2(self, problem: Problem, loss: Loss) -> float:
        """Strength of the penalty beside the weighted mean loss."""
        if self.l2 is not None:
            if self.C is not None:
                raise ValueError(
                    f"C must be None if l2 is given, got C={self.C} and l2={self.l2}"
                )
            return check.number("l2", self.l2, above=0)
        C = check.number("C", 1.0 if self.C is None else self.C, above=0)
        weights = problem.first_block.example_weights
        total = problem.num_examples if weights is None else weights.sum()
        (l2,) = penalties.l2_of_c_for(
            loss, (C,), total_weight=float(total), num_classes=problem.num_classes
        )
        return l2

    def _start(self, problem: Problem) -> Params | None:
        """Parameters of the fit before, with ``warm_start``."""
        if not (self.warm_start and hasattr(self, "fit_")):
            return None
        shape = (problem.num_classes, problem.num_features)
        found = np.shape(self.fit_.params.weights)
        if found != shape:
            raise ValueError(
                "warm_start must be False for other classes or features than before, "
                f"got {self.warm_start} for (classes, features) {shape} after {found}"
            )
        return self.fit_.params
