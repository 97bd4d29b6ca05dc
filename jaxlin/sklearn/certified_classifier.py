"""Fitted attributes and predictions of both estimators."""

import warnings
from typing import Any

import jax
import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._base import LinearClassifierMixin, SparseCoefMixin
from sklearn.utils.extmath import softmax
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from jaxlin import check, fits, linear, losses
from jaxlin.numerics import precision
from jaxlin.problems import Problem
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss

# Relative gaps to be proven by default. Softmax needs 1e-12: at 1e-10 a fit may stop in
# float32, and a coefficient of 8e-5 in an example of glmnet's documentation is off by
# 0.8 %. Interior-point steps of hinges stall on raw digits between 1e-9 and 1e-10. At
# 1e-8 sample weights in place of repeated rows change scores by 3e-9.
_SOFTMAX_GAP, _HINGE_GAP = 1e-12, 1e-8
# With softmax, sample weights in place of repeated rows change scores by 2e-6 at 1e-12,
# and by 1e-15 if the fit continues until rounding stops it. That takes 30 to 60 more
# steps: 0.4 s on digits, but 4 to 25 s on 20,000 rows of 256 features.
_POLISHING = Stop(1e-16, 100)


class CertifiedClassifier(LinearClassifierMixin, SparseCoefMixin, BaseEstimator):
    """Base class of the estimators: fitted attributes and predictions.

    ``predict``, ``score``, ``sparsify`` and ``densify`` are scikit-learn's own, from
    ``coef_`` and ``intercept_``.
    """

    # Parameters and attributes of the subclasses.
    loss: str | Loss
    tol: float | None
    max_iter: int
    fit_: Fit

    @available_if(lambda self: _has_probabilities(self))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes, shape ``(examples, classes)``.

        Only the softmax loss has probabilities. For hinges use
        `sklearn.calibration.CalibratedClassifierCV`.
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

        Sets ``n_features_in_`` and ``feature_names_in_``; sparse rows are converted to
        dense ones.
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
            check.example_weights("sample_weight", sample_weight, num_examples=len(y))
        return X.toarray() if sparse.issparse(X) else X, y, sample_weight

    def _polished(self, fit: Fit, problem: Problem) -> Fit:
        """Fit of a small problem, continued until float64 rounding if tol is None."""
        is_smooth = fit.loss is losses.softmax_cross_entropy
        if self.tol is not None or not (is_smooth and fit.converged):
            return fit
        # max_iter limits the passes of both together.
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
        """Sets the fitted attributes; warns if the gap was not proven.

        Args:
          fit: the fit.
          dtype: dtype of the rows. ``coef_`` has it too if it is floating and the fit
            has no normalisation; else ``coef_`` is float64.
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
        # Duals have a row per example: too large to keep in every estimator.
        names = getattr(self, "feature_names_in_", None)
        self.fit_ = fit._replace(
            duals=None, feature_names=None if names is None else tuple(names)
        )
        self.classes_ = fit.classes
        self.certificate_ = fit.certificate
        self.n_iter_ = fit.passes
        weights, bias = _coefficients(fit)
        is_float = np.dtype(dtype).kind == "f"
        # On raw features the mean is subtracted after the product, which loses digits.
        kept = dtype if is_float and fit.normalization is None else np.float64
        self.coef_, self.intercept_ = weights.astype(kept), bias.astype(kept)


def _with_sums(X: Any) -> Any:
    """Sparse rows with duplicate entries summed without overflow, and checked indices.

    scikit-learn adds them in their own dtype, where 200 and 200 make 144 of uint8.
    """
    return check.as_csr("X", X) if sparse.issparse(X) else X


def _has_probabilities(estimator: CertifiedClassifier) -> bool:
    if estimator.loss not in ("softmax", losses.softmax_cross_entropy):
        raise AttributeError(
            f"probabilities need the softmax loss, got loss={estimator.loss!r}; "
            "CalibratedClassifierCV calibrates other scores"
        )
    return True


def _coefficients(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias for raw features; a single row for two classes."""
    params = fit.params
    if fit.normalization is not None:
        params = jax.tree.map(np.float64, params)
        with precision.enable_float64_for(*params):
            params = linear.fold_normalization(params, fit.normalization)
    weights, bias = (np.asarray(leaf) for leaf in params)
    if len(bias) > 2:
        return weights, bias
    # Of the one-vs-rest classifiers w and -w, LinearSVC keeps w.
    share = 0.5 if fit.loss is losses.one_vs_rest_hinge else 1.0
    return share * (weights[1:] - weights[:1]), share * (bias[1:] - bias[:1])
