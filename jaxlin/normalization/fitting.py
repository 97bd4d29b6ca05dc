"""A normalization that is given, or fitted by a function that is given."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxlin.normalization.affine import Normalization, check_normalization
from jaxlin.normalization.unit_length import unit_rows

#: Fits a normalization to features and weights, such as `normalization.fit_standard`.
FitNormalization = Callable[..., Normalization]


def fitted(
    normalization: Normalization | FitNormalization | None,
    rows: Any,
    weights: np.ndarray | None,
) -> Normalization | None:
    """Returns a checked normalization, fitted to the rows if it is a function.

    Args:
      normalization: a normalization, a function that fits one, or None.
      rows: raw features, shape ``(examples, features)``.
      weights: example weights, shape ``(examples,)``, or None for all ones.

    Raises:
      ValueError: if the normalization is not one of rows of this width.
    """
    if normalization is None:
        return None
    if normalization is unit_rows:
        raise ValueError(
            "normalization must be the same shift and scale for all rows, got "
            "unit_rows, which scales each by itself; give unit_rows(features) as the "
            "features, in training and prediction, and normalization=None"
        )
    if callable(normalization):
        normalization = normalization(rows, example_weights=weights)
    return check_normalization(normalization, num_features=rows.shape[1])
