"""Certified linear classifiers with the interface of scikit-learn.

They work in its pipelines, searches and calibration:

  >>> from sklearn.datasets import load_iris
  >>> from jaxlin.sklearn import LinearClassifier
  >>> features, labels = load_iris(return_X_y=True)
  >>> model = LinearClassifier(loss="softmax", C=1.0).fit(features, labels)
  >>> model.coef_.shape, model.fit_.converged, model.certificate_.gap < 1e-8
  ((3, 4), True, True)

``fit_`` is a `jaxlin.Fit`, as all functions of the library take it. The estimators fit
by `jaxlin.fit` and `jaxlin.linear_probe`.

  arguments             checks, whose errors name the estimators' arguments
  certified_classifier  attributes and predictions of both estimators
  linear_classifier     one fit: `LinearClassifier`
  probe_classifier      chooses l2, then fits: `ProbeClassifier`
"""

import importlib

from jaxlin import chapters

try:
    importlib.import_module("sklearn")
except ImportError as error:
    raise ImportError(
        'jaxlin.sklearn needs scikit-learn: pip install "jaxlin[sklearn]"'
    ) from error

from jaxlin.sklearn.linear_classifier import LinearClassifier
from jaxlin.sklearn.probe_classifier import ProbeClassifier

__getattr__ = chapters.loader(__name__)
__all__ = ["LinearClassifier", "ProbeClassifier", *chapters.modules(__name__)]
