"""scikit-learn's checks of an estimator, as tests of pytest."""

from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxlin.sklearn import LinearClassifier, ProbeClassifier

ESTIMATORS = (LinearClassifier, ProbeClassifier, LogisticRegression, LinearSVC)


@parametrize_with_checks([estimator() for estimator in ESTIMATORS])
def test_check(estimator: Any, check: Any) -> None:
    """A check of an estimator."""
    check(estimator)
