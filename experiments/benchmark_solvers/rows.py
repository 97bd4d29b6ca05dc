"""The rows that all solvers see: raw pixels, centred, with a constant feature."""

from typing import NamedTuple

import numpy as np

from jaxlin import data, normalization
from jaxlin.normalization import Normalization


class Rows(NamedTuple):
    """A data set in both forms: as it is stored, and as the peers want it.

    Attributes:
      features: raw training rows, shape ``(examples, features)``; what ours reads.
      labels: shape ``(examples,)``.
      normalization: raw pixels: value / maximum less the mean training row.
      train: normalised float32 rows, the last column 1; what the peers read.
      test: the same of the test set.
      test_labels: of the test set.
      num_classes: C.
    """

    features: np.ndarray
    labels: np.ndarray
    normalization: Normalization
    train: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    num_classes: int


def of(dataset: data.Dataset) -> Rows:
    """Normalises both splits by the training split."""
    fitted = normalization.fit_centered(dataset.train.features, scale=dataset.max_value)
    return Rows(
        dataset.train.features,
        dataset.train.labels,
        fitted,
        _extended(dataset.train.features, fitted),
        _extended(dataset.test.features, fitted),
        dataset.test.labels,
        dataset.num_classes,
    )


def _extended(features: np.ndarray, fitted: Normalization) -> np.ndarray:
    """Normalised float32 rows with the constant feature 1."""
    rows = np.ones((len(features), features.shape[1] + 1), np.float32)
    np.subtract(features, fitted.mean, out=rows[:, :-1])
    rows[:, :-1] /= np.asarray(fitted.scale, np.float32)
    return rows
