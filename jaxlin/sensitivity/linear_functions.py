r"""Linear functions of the coefficients: each of them, contrasts, probabilities.

A function is a vector v of shape ``(classes, features + 1)``, the bias last. Its value
is the sum of the products of v and the folded parameters of a fit, and v times their
covariance times v is its variance. Vectors here are for the parameters of a fit, which
act on normalised features. Coefficients of the raw features are linear in them:

.. math:: w_{cj} / s_j, \qquad b_c - \sum_j w_{cj}\, m_j / s_j,

with the mean m and the scale s of the normalisation.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.check import diagnosis
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.numerics.row_arrays import Rows
from jaxlin.objective import row_products
from jaxlin.solvers.fitted import Fit

#: Features that coefficients multiply: as they were given, or after normalisation.
Units = Literal["raw", "normalized"]


class LinearFunctions(NamedTuple):
    """Linear functions of the folded parameters of a fit.

    Attributes:
      vectors: shape ``(..., classes, features + 1)``.
      names: one tuple of names per leading axis of ``vectors``.
    """

    vectors: np.ndarray
    names: tuple[tuple[str, ...], ...]


def of_coefficients(
    fit: Fit,
    *,
    reference: Any = None,
    columns: Sequence[Any] | None = None,
    units: Units = "raw",
) -> LinearFunctions:
    """Coefficients, of each class or relative to a reference class.

    Args:
      fit: a fit.
      reference: label of the class whose coefficients are subtracted from those of
        every other class; None subtracts nothing.
      columns: names or indices of the features, at least one, in the order of the
        result; None is all of them and the bias.
      units: features that the coefficients multiply.

    Returns:
      Vectors, shape ``(classes, columns, classes, features + 1)``; one class less with
      a reference, one column less for ``columns=None`` where there is no bias.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    num_classes, num_features = np.shape(fit.params.weights)
    names = (*_feature_names(fit), "bias")
    chosen = _columns(fit, columns, units=check_units(units))
    of_classes, classes = np.eye(num_classes), np.arange(num_classes)
    if reference is not None:
        base = class_index(fit, reference)
        classes = np.delete(classes, base)
        of_classes = of_classes[classes] - of_classes[base]
    of_columns = np.eye(num_features + 1)[chosen]
    vectors = of_classes[:, None, :, None] * of_columns[None, :, None, :]
    return LinearFunctions(
        for_fit(vectors, fit, units=units),
        (
            tuple(str(fit.classes[i]) for i in classes),
            tuple(names[column] for column in chosen),
        ),
    )


def of_contrasts(fit: Fit, vectors: Any, *, units: Units = "raw") -> LinearFunctions:
    """Contrasts: any linear functions of the coefficients.

    Args:
      fit: a fit.
      vectors: factors of the coefficients, shape ``(contrasts, classes, features +
        1)``, the bias last. A part that is equal over the classes has no effect, as
        coefficients sum to 0 over them.
      units: features that the coefficients multiply.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    num_classes, num_features = np.shape(fit.params.weights)
    check.concrete("vectors", vectors)
    found, wanted = np.asarray(vectors), (num_classes, num_features + 1)
    if found.ndim != 3 or found.shape[1:] != wanted or not len(found):
        raise ValueError(
            f"vectors must have shape (contrasts, {wanted[0]}, {wanted[1]}), with the "
            f"bias in the last column, got {found.shape}"
        )
    if found.dtype.kind not in "buif":
        raise ValueError(f"vectors must be numbers, got {found.dtype}")
    found = found.astype(np.float64)
    if not np.isfinite(found).all():
        number = int(np.argmin(np.isfinite(found).all(axis=(1, 2))))
        raise ValueError(
            f"vectors must be finite, got {found[~np.isfinite(found)][0]} in contrast "
            f"{number}"
        )
    names = tuple(f"contrast {number}" for number in range(len(found)))
    return LinearFunctions(for_fit(found, fit, units=check_units(units)), (names,))


def of_probabilities(
    probabilities: np.ndarray, rows: np.ndarray, *, temperature: float
) -> np.ndarray:
    r"""Derivatives of probabilities in the parameters, for the delta method.

    That of :math:`p_c` is :math:`p_c (e_c - p)\, \tilde x^\top / T`.

    Args:
      probabilities: shape ``(examples, classes)``.
      rows: normalised rows with the constant 1, shape ``(examples, features + 1)``.
      temperature: divisor T of the scores.

    Returns:
      Vectors, shape ``(examples, classes, classes, features + 1)``.
    """
    identity = np.eye(probabilities.shape[1])
    in_scores = probabilities[:, :, None] * (identity - probabilities[:, None, :])
    return in_scores[..., None] * rows[:, None, None, :] / temperature


def folded(params: Params) -> np.ndarray:
    """Parameters with the bias as last column, float64."""
    weights, bias = (np.asarray(part, np.float64) for part in params)
    return np.concatenate([weights, bias[..., None]], axis=-1)


def values(vectors: np.ndarray, params: Params) -> np.ndarray:
    """Values of linear functions, shape ``(...)``.

    Args:
      vectors: shape ``(..., classes, features + 1)``.
      params: weights ``(classes, features)`` and bias ``(classes,)``.
    """
    return np.einsum("...cd,cd->...", vectors, folded(params))


def probabilities(fit: Fit, folded: np.ndarray, extended: np.ndarray) -> np.ndarray:
    """Probabilities of a fit with other parameters, shape ``(..., examples, classes)``.

    Args:
      fit: a fit, for its temperature.
      folded: parameters, shape ``(..., classes, features + 1)``, the bias last.
      extended: rows of `extended_rows`, shape ``(examples, features + 1)``.
    """
    scores = extended @ np.swapaxes(folded, -1, -2) / fit.temperature
    shifted = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def extended_rows(fit: Fit, rows: Rows) -> np.ndarray:
    """Normalised rows with the constant 1, float64, ``(examples, features + 1)``."""
    with jax.enable_x64(True):
        found = row_products.extended_rows(
            jnp.asarray(rows), fit.normalization, np.float64
        )
        return np.asarray(found)


def row_names(fit: Fit, num_rows: int) -> tuple[tuple[str, ...], ...]:
    """Names of the axes of a table of probabilities."""
    rows = tuple(f"row {number}" for number in range(num_rows))
    return rows, tuple(map(str, fit.classes))


def for_fit(vectors: np.ndarray, fit: Fit, *, units: Units) -> np.ndarray:
    """Vectors for the parameters of a fit, from those for coefficients in some units.

    Args:
      vectors: shape ``(..., classes, features + 1)``.
      fit: a fit.
      units: features that the coefficients multiply.
    """
    if units == "normalized" or fit.normalization is None:
        return vectors
    mean, scale = _in_float64(fit.normalization)
    of_weights, of_bias = vectors[..., :-1], vectors[..., -1:]
    return np.concatenate([(of_weights - of_bias * mean) / scale, of_bias], axis=-1)


def class_index(fit: Fit, label: Any) -> int:
    """Index of a class label of a fit; a ValueError for another."""
    known = [one.item() for one in np.asarray(fit.classes)]
    value = label.item() if isinstance(label, np.generic) else label
    if value not in known:
        listed = diagnosis.listed(known)
        raise ValueError(
            f"reference must be one of the {len(known)} classes ({listed}), got "
            f"{label!r}"
        )
    return known.index(value)


def check_units(units: Units) -> Units:
    """Returns the units if they are known; raises a ValueError otherwise."""
    return check.choice("units", units, ("raw", "normalized"))  # type: ignore


def _columns(fit: Fit, columns: Sequence[Any] | None, *, units: Units) -> list[int]:
    """Indices of the columns; that of the bias is the number of features."""
    num_features = np.shape(fit.params.weights)[1]
    if columns is None:
        is_shifted = units == "raw" and fit.normalization is not None
        has_bias = fit.bias != "none" or is_shifted
        return list(range(num_features + has_bias))
    if isinstance(columns, str) or not hasattr(columns, "__len__") or not len(columns):
        raise ValueError(
            "columns must be a sequence of names or indices of features, at least "
            f"one, got {columns!r}"
        )
    names = _feature_names(fit)
    return [_column(one, names) for one in columns]


def _column(column: Any, names: tuple[str, ...]) -> int:
    if isinstance(column, str):
        if column not in names:
            raise ValueError(
                f"columns must be among the names of the features, got {column!r}; "
                "without names give indices"
            )
        return names.index(column)
    return check.integer("columns", column, at_least=0, at_most=len(names) - 1)


def _feature_names(fit: Fit) -> tuple[str, ...]:
    if fit.feature_names is not None:
        return tuple(fit.feature_names)
    return tuple(f"feature {i}" for i in range(np.shape(fit.params.weights)[1]))


def _in_float64(normalization: Normalization) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = (np.asarray(part, np.float64) for part in normalization)
    return mean, scale
