"""Generated examples of the estimators, and scikit-learn's own beside them."""

import numpy as np
from sklearn.linear_model import LogisticRegression

NAMES = np.array(["cat", "dog", "ship"])


def examples(num_classes):
    """60 rows of 4 features, 60 labels with noise, equally many of each class."""
    random = np.random.default_rng(num_classes)
    codes = np.arange(60) % num_classes
    centers = random.normal(size=(num_classes, 4))
    return centers[codes] + random.normal(size=(60, 4)), NAMES[codes]


def peer(**settings):
    return LogisticRegression(solver="newton-cg", tol=1e-12, max_iter=1000, **settings)


def assert_same_model(model, other, rows, rtol=1e-5):
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(model.intercept_, other.intercept_, rtol=rtol, atol=rtol)
    np.testing.assert_array_equal(model.classes_, other.classes_)
    np.testing.assert_array_equal(model.predict(rows), other.predict(rows))
    scores = model.decision_function(rows)
    assert scores.shape == other.decision_function(rows).shape
    np.testing.assert_allclose(
        scores, other.decision_function(rows), rtol=rtol, atol=rtol
    )
