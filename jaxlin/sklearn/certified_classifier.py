"""Attributes and predictions of a certified fit, as scikit-learn's users know them."""

import warnings
from typing import Any

import jax
import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.extmath import softmax
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from jaxlin import check, class_labels, fits, linear, losses
from jaxlin.numerics import precision
from jaxlin.problems import Problem
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss

#: Losses by the names that the estimators take.
LOSSES: dict[str, Loss] = {
    "softmax": losses.softmax_cross_entropy,
    "weston_watkins_hinge": losses.weston_watkins_hinge,
    "weston_watkins_squared_hinge": losses.weston_watkins_squared_hinge,
    "crammer_singer_hinge": losses.crammer_singer_hinge,
    "one_vs_rest_hinge": losses.one_vs_rest_hinge,
}


# Relative gaps to be proven by default. With softmax a fit needs 1e-12: at 1e-10 it may
# end in float32, and a coefficient of 8e-5 of glmnet's documentation is off by 0.8 %.
# Interior-point steps of hinges stall on raw digits between 1e-9 and 1e-10; at 1e-8,
# scores with weights and with repeated rows differ by 3e-9.
_SOFTMAX_GAP, _HINGE_GAP = 1e-12, 1e-8
# At 1e-12 such scores of softmax still differ by 2e-6; where rounding ends the fit, by
# 1e-15. That takes 30 to 60 steps, 0.4 s of digits; 20,000 rows of 256 features would
# take 4 to 25 s.
_POLISHING = Stop(1e-16, 100)


class CertifiedClassifier(LinearClassifierMixin, SparseCoefMixin, BaseEstimator):
    """Base of the estimators: what a fit leaves behind, and predictions from it.

    ``predict``, ``score``, ``sparsify`` and ``densify`` are
    scikit-learn's own, from ``coef_`` and ``intercept_``.
    """

    # Parameters and attributes of the subclasses.
    loss: str | Loss
    tol: float | None
    max_iter: int
    fit_: Fit

    @available_if(lambda self: _has_probabilities(self))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, shape ``(examples, classes)``.

        For the softmax loss only: scores of hinges are no logarithms of probabilities.
        `sklearn.calibration.CalibratedClassifierCV` calibrates them.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], axis=1) / 2
        return softmax(scores / self.fit_.temperature, copy=False)

    @available_if(lambda self: _has_probabilities(self))
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the probabilities, shape ``(examples, classes)``."""
        return np.log(self.predict_proba(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores, shape ``(examples,)`` for two classes, else ``(examples, classes)``.

        Args:
          X: features, shape ``(examples, features)``.
        """
        return super().decision_function(_with_sums(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _stop(self, loss: Loss) -> Stop:
        """Stopping criterion from ``tol`` and ``max_iter``."""
        gap = _SOFTMAX_GAP if loss is losses.softmax_cross_entropy else _HINGE_GAP
        if self.tol is not None:
            gap = check.number("tol", self.tol, above=0)
        return Stop(gap, check.integer("max_iter", self.max_iter, at_least=1))

    def _checked(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Rows, labels and weights by scikit-learn's conventions.

        They set ``n_features_in_`` and ``feature_names_in_``; sparse rows become dense.
        """
        X, y = validate_data(
            self,
            _with_sums(X),
            y,
            accept_sparse="csr",
            dtype=[np.float64, np.float32, np.uint8],
            ensure_min_samples=2,
        )
        check_classification_targets(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        return X.toarray() if sparse.issparse(X) else X, y, sample_weight

    def _polished(self, fit: Fit, problem: Problem) -> Fit:
        """Fit of a small problem continued to the end of float64, if tol is None."""
        is_smooth = fit.loss is losses.softmax_cross_entropy
        if self.tol is not None or not (is_smooth and fit.converged):
            return fit
        # Its passes are of max_iter, too.
        left = self.max_iter - fit.passes
        if not problem.is_small or left < 1:
            return fit
        found = fits.fit(
            problem,
            loss=losses.softmax_cross_entropy,
            l2=fit.l2,
            bias=fit.bias,
            stop=Stop(_POLISHING.relative_gap, min(left, _POLISHING.max_passes)),
            start=fit,
            refine=True,
        )
        if found.relative_gap > fit.relative_gap:
            return fit
        return found._replace(
            converged=True,
            stalled=False,
            passes=fit.passes + found.passes,
            float64_passes=fit.float64_passes + found.float64_passes,
            temperature=fit.temperature,
        )

    def _keep(self, fit: Fit, dtype: Any, *, stop: Stop) -> None:
        """Sets the attributes of a fit; warns if it did not prove its gap.

        Args:
          fit: the fit.
          dtype: dtype of the rows, which ``coef_`` has if it is floating; float64 where
            a normalisation is in ``coef_``.
          stop: its stopping criterion.
        """
        if not fit.converged:
            reason = "stalled by rounding" if fit.stalled else "max_iter reached"
            warnings.warn(
                f"{type(self).__name__} proved a relative gap of "
                f"{fit.relative_gap:.1e}, not {stop.relative_gap:g}, in {fit.passes} "
                f"passes ({reason}); scale the features, increase max_iter, or accept "
                "the gap as tol",
                ConvergenceWarning,
                stacklevel=3,
            )
        # Duals are one row per example, which an estimator does not keep.
        names = getattr(self, "feature_names_in_", None)
        self.fit_ = fit._replace(
            duals=None, feature_names=None if names is None else tuple(names)
        )
        self.classes_ = fit.classes
        self.certificate_ = fit.certificate
        self.n_iter_ = fit.passes
        weights, bias = _coefficients(fit)
        is_float = np.dtype(dtype).kind == "f"
        # The mean of a normalisation, subtracted after the product, takes digits.
        kept = dtype if is_float and fit.normalization is None else np.float64
        self.coef_, self.intercept_ = weights.astype(kept), bias.astype(kept)


def loss_of(name: str | Loss) -> Loss:
    """Loss of this name; a function is returned unchanged.

    Raises:
      ValueError: if there is no loss of this name.
    """
    if callable(name):
        return name
    if name not in LOSSES:
        raise ValueError(
            f"loss must be a function of jaxlin.losses or one of {', '.join(LOSSES)}, "
            f"got {name!r}"
        )
    return LOSSES[name]


def class_weight_numbers(
    class_weight: Any, labels: np.ndarray, *, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Weight of each class, and the class of each example.

    Args:
      class_weight: None, "balanced" or a dictionary, as scikit-learn takes them.
      labels: labels, shape ``(examples,)``.
      sample_weight: weights of the examples, which "balanced" takes into account.

    Returns:
      Weights, shape ``(classes,)``, and codes, shape ``(examples,)``.
    """
    codes, classes = class_labels.encode("y", labels)
    weights = compute_class_weight(
        class_weight, classes=classes, y=classes[codes], sample_weight=sample_weight
    )
    return weights, codes


def _with_sums(X: Any) -> Any:
    """Sparse rows with entries that are given twice added up, without overflow.

    scikit-learn adds them in their own dtype, where 200 and 200 make 144 of uint8.
    """
    return check.as_csr(X) if sparse.issparse(X) else X


def _has_probabilities(estimator: CertifiedClassifier) -> bool:
    if estimator.loss not in ("softmax", losses.softmax_cross_entropy):
        raise AttributeError(
            f"probabilities need the softmax loss, got loss={estimator.loss!r}; "
            "CalibratedClassifierCV calibrates other scores"
        )
    return True


def _coefficients(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias on raw features, a single row for two classes."""
    params = fit.params
    if fit.normalization is not None:
        params = jax.tree.map(np.float64, params)
        with precision.enable_float64_for(*params):
            params = linear.fold_normalization(params, fit.normalization)
    weights, bias = (np.asarray(leaf) for leaf in params)
    if len(bias) > 2:
        return weights, bias
    # Half of the difference where both rows are scores of their own, as LinearSVC's.
    share = 0.5 if fit.loss is losses.one_vs_rest_hinge else 1.0
    return share * (weights[1:] - weights[:1]), share * (bias[1:] - bias[:1])
