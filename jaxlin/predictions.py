"""Predictions of a fit on raw features, and their certificates.

Scores are computed in the dtype of the parameters, float32 or float64, so that labels
are those of the fit itself.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, class_labels, linear, objective
from jaxlin.certificates import label_certificates
from jaxlin.fits import Fit
from jaxlin.linear import Params
from jaxlin.normalization import Normalization, normalize
from jaxlin.numerics import device_mesh, precision, row_arrays
from jaxlin.numerics.row_arrays import Rows
from jaxlin.objective import row_blocks
from jaxlin.selection import calibration
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.selection.training_result import TrainingResult
from jaxlin.typing import Array


def scores(fit: Fit, features: Any) -> np.ndarray:
    """Class scores, shape ``(examples, classes)``.

    Args:
      fit: a fit, from `jaxlin.fit`, `jaxlin.certify`, `jaxlin.sweep`, `jaxlin.probe` or
        `jaxlin.load`.
      features: raw features as in training (pixels 0..255, say), shape ``(examples,
        ...)`` with the fit's number of features after the first axis: whatever
        `jaxlin.problem` takes, but blocks.

    Raises:
      ValueError: if the features are not finite, not numeric or of another width, or a
        score is not finite.
    """
    values = _of_rows(_scores, fit, features)
    check_finite(np.isfinite(values).all())
    return values


def predict(fit: Fit, features: Any) -> np.ndarray:
    """Predicted labels, of the kind given to the fit, shape ``(examples,)``.

    Arguments and errors are those of `scores`. Rows are scored in blocks: the scores of
    all examples are never in memory at once.
    """
    return check_fit(fit).classes[_codes(fit, features)]


def probabilities(fit: Fit, features: Any) -> np.ndarray:
    """Softmax of the scores over the temperature, shape ``(examples, classes)``.

    The probabilities are calibrated if the fit has a calibrated temperature. With
    temperature 1 they are the model's own probabilities if the loss is the softmax
    cross-entropy; scores of hinge losses are no log-probabilities. Arguments and errors
    are those of `scores`.
    """
    values = scores(fit, features)
    with precision.enable_float64_for(values):
        found = calibration.probabilities(values, temperature=fit.temperature)
        return np.asarray(found)


def certified_labels(fit: Fit, features: Any) -> np.ndarray:
    """Mask of the predictions that the exact optimum provably shares, ``(examples,)``.

    With a free bias labels are certified for softmax alone, and fewer than with a
    penalised one: the gap bounds the distance of the bias less tightly than that of the
    weights (`jaxlin.certificates.bias_bounds`). Arguments and errors are those of
    `scores`.
    """
    rows = rows_of(fit, features)
    same_labels = functools.partial(
        label_certificates.same_labels,
        radius=fit.radius,
        bias_radius=fit.bias_radius,
        normalization=fit.normalization,
    )
    return over_blocks(lambda some: same_labels(fit.params, some), rows)


def check_examples(
    features: Any,
    labels: ArrayLike,
    *,
    num_features: int,
    classes: np.ndarray,
    feature_names: tuple[str, ...] | None = None,
    prefix: str = "",
) -> tuple[Rows, np.ndarray]:
    """Checked rows and label codes of test examples.

    Args:
      features: raw features, shape ``(examples, ...)`` with ``num_features`` numbers
        after the first axis.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``.
      num_features: required number of features.
      classes: distinct labels in the order of the scores, shape ``(classes,)``.
      feature_names: names of the columns that a table must have; None accepts any.
      prefix: prefix of ``features`` and ``labels`` in error messages.

    Returns:
      Rows, shape ``(examples, features)``, and int32 codes, shape ``(examples,)``.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
    """
    rows = _rows(
        f"{prefix}features", features, num_features, feature_names=feature_names
    )
    codes, _ = class_labels.encode(
        f"{prefix}labels",
        labels,
        classes=classes,
        remedy="the fit knows no others; drop these rows, or train with them",
    )
    check.one_per_example(f"{prefix}labels", len(codes), num_examples=rows.shape[0])
    return rows, codes


def _codes(fit: Fit, features: Any) -> np.ndarray:
    """Indices of the predicted labels in the fit's classes, shape ``(examples,)``."""
    codes, is_finite = _of_rows(_labels, fit, features)
    check_finite(is_finite.all())
    return codes


def check_finite(is_finite: Any) -> None:
    """Raises a ValueError for scores that are not finite."""
    if not is_finite:
        raise ValueError(
            "scores must be finite, got some that are not; the features are too large "
            "for float32, or the training diverged"
        )


def check_fit(fit: Any) -> Fit:
    """Returns ``fit`` if it is one fit.

    Raises:
      ValueError: if it is the result of another function, data or something else.
    """
    if isinstance(fit, Fit):
        return fit
    raise ValueError(
        f"fit must be a jaxlin.Fit, got a {type(fit).__name__}; {_way_to_a_fit(fit)}"
    )


def of_this_process(fit: Fit) -> Fit:
    """Fit without arrays that several processes share, for `processes.alone`."""
    if jax.process_count() == 1:
        return fit
    params, normalization = device_mesh.on_host((fit.params, fit.normalization))
    return fit._replace(params=params, normalization=normalization)


def _way_to_a_fit(result: Any) -> str:
    """Returns how to get a fit out of another result of the library."""
    if isinstance(getattr(result, "fit", None), Fit):  # a ProbeResult
        return "give its .fit"
    if isinstance(result, SweepResult):
        return "give one of its fits, such as result[0]"
    if isinstance(getattr(result, "fits", None), SweepResult):
        return "give one of its fits, such as result.fits[0]"
    if isinstance(result, TrainingResult | Params):
        one = "its parameters"
        if isinstance(result, TrainingResult):
            one = "the parameters of one model"
        return f"make {one} a fit: jaxlin.certify(problem, params, loss=..., l2=...)"
    if isinstance(result, list | tuple) and result and isinstance(result[0], Fit):
        return "give one of them"
    return "give the result of jaxlin.fit, jaxlin.certify or jaxlin.load in its place"


def _rows(
    name: str,
    features: Any,
    num_features: int,
    *,
    feature_names: tuple[str, ...] | None,
) -> Rows:
    check.check_column_names(name, features, known=feature_names)
    # Ragged input is passed on: the error of `row_arrays.rows` names it.
    if getattr(features, "ndim", 2) > 2 and hasattr(features, "reshape"):
        features = features.reshape(len(features), math.prod(features.shape[1:]))
    return row_arrays.rows(name, features, num_features=num_features)


def rows_of(fit: Fit, features: Any) -> Rows:
    """Checked rows for the predictions of a fit; arguments are those of `scores`."""
    return _rows(
        "features",
        features,
        np.shape(check_fit(fit).params.weights)[1],
        feature_names=fit.feature_names,
    )


def _of_rows(compute: Callable[..., Any], fit: Fit, features: Any) -> Any:
    """Results on the host, computed in the dtype of the parameters."""
    rows = rows_of(fit, features)
    params = jax.tree.map(as_float, fit.params)
    # The mean is subtracted from float64 rows before they are rounded to float32.
    with precision.enable_float64_for(*params, rows):
        params, normalization = precision.as_views((params, fit.normalization))
        return over_blocks(lambda some: compute(params, some, normalization), rows)


def over_blocks(compute: Callable[..., Any], rows: Rows, *others: np.ndarray) -> Any:
    """Results per row, on the host; sparse rows are made dense block by block.

    Args:
      compute: function of dense rows, and of the same rows of the other arrays, that
        returns arrays with the rows first.
      rows: checked rows (`jaxlin.numerics.row_arrays`).
      *others: arrays with as many rows.
    """
    if not check.is_sparse(rows):
        result = compute(*precision.as_views((rows, *others)))
        return jax.tree.map(np.asarray, result)
    size = max(1, row_blocks.BLOCK_BYTES // (rows.shape[1] * rows.dtype.itemsize))
    results = []
    for start in range(0, rows.shape[0], size):
        some = slice(start, start + size)
        result = compute(
            row_arrays.block("features", rows[some]), *(one[some] for one in others)
        )
        results.append(jax.tree.map(np.asarray, result))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


def as_float(leaf: Any) -> np.ndarray:
    """The array unchanged if it is float64, else converted to float32."""
    array = np.asarray(leaf)
    return array if array.dtype == np.float64 else array.astype(np.float32)


def promoted(
    params: Params, normalization: Normalization | None
) -> Normalization | None:
    """Normalization in the wider of its own dtype and that of the parameters."""
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
    normalization = promoted(params, normalization)
    return objective.blocked_scores(params, rows, normalization=normalization)


@jax.jit
@jax.default_matmul_precision("highest")
def _labels(
    params: Params, rows: Array, normalization: Normalization | None
) -> tuple[Array, Array]:
    """Label codes and whether the scores are finite, per row, in blocks of rows."""
    normalization = promoted(params, normalization)

    def of_row(row: Array) -> tuple[Array, Array]:
        row = row if normalization is None else normalize(normalization, row)
        scores = linear.scores(params, row)
        return jnp.argmax(scores), jnp.isfinite(scores).all()

    size = min(objective.BLOCK_ROWS, len(rows))
    return jax.lax.map(of_row, rows, batch_size=size)
