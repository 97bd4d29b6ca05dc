"""scikit-learn's own check that sample weights are repeated rows."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted, validate_data

import jaxlin
from jaxlin import losses

# The check compares probabilities to a relative 1e-7.
STOP = jaxlin.Stop(1e-16)


class Thin(ClassifierMixin, BaseEstimator):
    """Least estimator that scikit-learn takes for a classifier."""

    def __init__(self, loss=losses.softmax_cross_entropy, l2=1e-2):
        self.loss = loss
        self.l2 = l2

    def fit(self, X, y, sample_weight=None):
        X, y = validate_data(self, X, y)
        self.fit_ = jaxlin.fit(
            X, y, loss=self.loss, l2=self.l2, weights=sample_weight, stop=STOP
        )
        self.classes_ = self.fit_.classes
        return self

    def predict(self, X):
        check_is_fitted(self)
        return jaxlin.predict(self.fit_, validate_data(self, X, reset=False))

    def decision_function(self, X):
        check_is_fitted(self)
        scores = jaxlin.scores(self.fit_, validate_data(self, X, reset=False))
        return np.float64(scores)


class ThinProbabilistic(Thin):
    """Probabilities are compared for softmax alone."""

    def predict_proba(self, X):
        check_is_fitted(self)
        return jaxlin.probabilities(self.fit_, validate_data(self, X, reset=False))


@pytest.mark.parametrize(
    "estimator",
    [
        ThinProbabilistic(),
        pytest.param(Thin(losses.weston_watkins_squared_hinge), marks=pytest.mark.full),
    ],
    ids=lambda estimator: estimator.loss.__name__,
)
def test_weights_are_repeated_rows(estimator):
    name = type(estimator).__name__
    estimator_checks.check_sample_weight_equivalence_on_dense_data(name, estimator)
