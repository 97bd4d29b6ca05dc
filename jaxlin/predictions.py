"""Predictions of a fit on raw features, and what its certificate says of them.

Scores are computed in the digits of the parameters, float32 or float64, so that labels
are those of the fit itself.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, class_labels, linear, objective
from jaxlin.certificates import label_certificates
from jaxlin.certificates.label_certificates import AccuracyInterval
from jaxlin.fits import Fit
from jaxlin.linear import Params
from jaxlin.normalization import Normalization, normalize
from jaxlin.numerics import precision
from jaxlin.selection import calibration
from jaxlin.stats import intervals
from jaxlin.stats.intervals import Interval
from jaxlin.typing import Array


class Evaluation(NamedTuple):
    """A fit judged on labelled examples that it has not seen.

    Attributes:
      accuracy: share of the examples that are right.
      interval: of the accuracy, 95 % over examples (Wilson).
      optimum: bounds that the accuracy of the exact optimum provably satisfies on
        these examples.
      num_examples: how many there are.
    """

    accuracy: float
    interval: Interval
    optimum: AccuracyInterval
    num_examples: int

    def __str__(self) -> str:
        low, high = (100 * end for end in self.interval)
        return (
            f"accuracy {100 * self.accuracy:.2f} % [{low:.2f}, {high:.2f}] of "
            f"{self.num_examples:,} examples, exact optimum {self.optimum}"
        )


def scores(fit: Fit, features: Any) -> np.ndarray:
    """Class scores, shape ``(examples, classes)``.

    Args:
      fit: from any door.
      features: raw examples as in training (pixels 0..255, say), with any shape after
        the first axis that has the right number of features.

    Raises:
      ValueError: if the features are not finite, not numeric or of another width, or a
        score is not finite.
    """
    found = _of_rows(_scores, fit, features)
    _check_finite(np.isfinite(found).all())
    return found


def predict(fit: Fit, features: Any) -> np.ndarray:
    """Labels as they were given to the fit, shape ``(examples,)``.

    Arguments and errors as of `scores`; the scores of all examples are never held.
    """
    return fit.classes[_codes(fit, features)]


def probabilities(fit: Fit, features: Any) -> np.ndarray:
    """Softmax of the scores over the temperature, shape ``(examples, classes)``.

    Calibrated if the fit has a temperature. With 1 they are the model's own
    probabilities if it was trained with softmax cross-entropy; hinge losses do not make
    scores mean log-probabilities. Arguments and errors as of `scores`.
    """
    return np.asarray(
        calibration.probabilities(scores(fit, features), temperature=fit.temperature)
    )


def certified_labels(fit: Fit, features: Any) -> np.ndarray:
    """Mask of the predictions that the exact optimum provably shares, ``(examples,)``.

    Arguments and errors as of `scores`.
    """
    return np.asarray(
        label_certificates.same_labels(
            fit.params,
            _rows("features", features, np.shape(fit.params.weights)[1]),
            radius=fit.radius,
            normalization=fit.normalization,
        )
    )


def evaluate(fit: Fit, features: Any, labels: ArrayLike) -> Evaluation:
    """Accuracy on examples that the fit has not seen, with what is certain about it.

    Args:
      fit: from any door.
      features: as of `scores`.
      labels: of the kind given to the fit, shape ``(examples,)``.

    Raises:
      ValueError: as of `scores`, or for labels that are not among the fit's classes.
    """
    rows, codes = check_examples(
        features,
        labels,
        num_features=np.shape(fit.params.weights)[1],
        classes=fit.classes,
    )
    correct = _codes(fit, rows) == codes
    return Evaluation(
        accuracy=float(correct.mean()),
        interval=intervals.proportion_interval(int(correct.sum()), len(correct)),
        optimum=label_certificates.accuracy_interval(
            correct, certified_labels(fit, rows)
        ),
        num_examples=len(correct),
    )


def check_examples(
    features: Any,
    labels: ArrayLike,
    *,
    num_features: int,
    classes: np.ndarray,
    prefix: str = "",
) -> tuple[np.ndarray, np.ndarray]:
    """Checked rows and codes of labelled examples that no fit has seen.

    Args:
      features: raw examples.
      labels: of any kind, shape ``(examples,)``.
      num_features: the width that the rows must have.
      classes: of the fit.
      prefix: before ``features`` and ``labels`` in a message.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    rows = _rows(f"{prefix}features", features, num_features)
    codes, _ = class_labels.encode(f"{prefix}labels", labels, classes=classes)
    if len(codes) != len(rows):
        raise ValueError(
            f"{prefix}labels must have one entry per example, got {len(codes)} labels "
            f"for {len(rows)} examples"
        )
    return rows, codes


def _codes(fit: Fit, features: Any) -> np.ndarray:
    """Places of the predicted labels among the classes."""
    codes, is_finite = _of_rows(_labels, fit, features)
    _check_finite(is_finite.all())
    return codes


def _check_finite(is_finite: Any) -> None:
    if not is_finite:
        raise ValueError(
            "scores must be finite, got some that are not; the features are too large "
            "for float32, or the training diverged"
        )


def _rows(name: str, features: Any, num_features: int) -> np.ndarray:
    # Sparse and ragged input is left for the check to name.
    if getattr(features, "ndim", 2) > 2 and hasattr(features, "reshape"):
        features = features.reshape(len(features), math.prod(features.shape[1:]))
    return check.features(name, features, num_features=num_features)


def _of_rows(compute: Callable[..., Any], fit: Fit, features: Any) -> Any:
    """Results on the host, computed in the digits of the parameters."""
    rows = _rows("features", features, np.shape(fit.params.weights)[1])
    params = jax.tree.map(as_float, fit.params)
    # From float64 rows the mean is subtracted before they lose digits.
    with precision.enable_float64_for(*params, rows):
        found = compute(params, rows, fit.normalization)
        return jax.tree.map(np.asarray, found)


def as_float(leaf: Any) -> np.ndarray:
    """The array as it is if it is float64, else in float32."""
    array = np.asarray(leaf)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _in_digits(
    params: Params, normalization: Normalization | None
) -> Normalization | None:
    """The normalization in no fewer digits than the parameters."""
    if normalization is None:
        return None
    return Normalization(
        *(
            part.astype(jnp.promote_types(part.dtype, params.weights.dtype))
            for part in map(jnp.asarray, normalization)
        )
    )


@jax.jit
@jax.default_matmul_precision("highest")
def _scores(params: Params, rows: Array, normalization: Normalization | None) -> Array:
    fitted = _in_digits(params, normalization)
    return objective.blocked_scores(params, rows, normalization=fitted)


@jax.jit
@jax.default_matmul_precision("highest")
def _labels(
    params: Params, rows: Array, normalization: Normalization | None
) -> tuple[Array, Array]:
    """Labels, and whether all scores are finite, without the scores of all rows."""
    fitted = _in_digits(params, normalization)

    def of_row(row: Array) -> tuple[Array, Array]:
        row = row if fitted is None else normalize(fitted, row)
        found = linear.scores(params, row)
        return jnp.argmax(found), jnp.isfinite(found).all()

    size = min(objective.BLOCK_ROWS, len(rows))
    return jax.lax.map(of_row, rows, batch_size=size)
