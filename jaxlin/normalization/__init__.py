"""Input normalisation: fitted once on training rows, applied to one example.

The map is ``(x - mean) / scale``, with mean and scale in the units of the raw features.
Raw rows, such as uint8 pixels, stay raw in memory: the normalisation is applied inside
the compiled step, or folded into the parameters (`jaxlin.linear.fold_normalization`). A
pass on a CPU never makes a float copy of the data set.

All figures of the documentation use "raw pixels", that is ``fit_centered(features,
scale=255.0)``: pixel / 255, minus the mean training image divided by 255.

  >>> import numpy as np
  >>> from jaxlin import normalization
  >>> rows = np.array([[0, 255], [255, 255]], dtype=np.uint8)
  >>> raw_pixels = normalization.fit_centered(rows, scale=255.0)
  >>> print(np.round(normalization.normalize(raw_pixels, rows[0]), 3))
  [-0.5  0. ]

Rows of length 1, which no affine map gives, are made before a fit: `unit_rows`.

  affine       the map of one example, and its checks
  moments      fits: mean and standard deviation of rows, in blocks
  unit_length  rows scaled to length 1
  fitting      a normalization that is given, or a function that fits one
  rounding     rows that float32 cannot represent
"""

from jaxlin import chapters
from jaxlin.normalization.affine import (
    Normalization,
    check_normalization,
    identity,
    normalize,
)
from jaxlin.normalization.moments import fit_centered, fit_standard
from jaxlin.normalization.unit_length import unit_rows

__getattr__ = chapters.loader(__name__)
__all__ = [
    "Normalization",
    "check_normalization",
    "fit_centered",
    "fit_standard",
    "identity",
    "normalize",
    "unit_rows",
]
