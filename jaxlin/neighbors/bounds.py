r"""Lower bounds of distances in float32, which certify a search exact in float64.

A search in float64 would take twice as long, on accelerators far longer. Rows are
therefore centred and scaled in float64 and rounded to float32, and each pair gets a
provable lower bound of its distance (in scaled units): the float32 distance minus the
largest rounding error. The candidates with the smallest bounds are measured again in
float64; if the k-th distance is below the smallest bound left out, no row left out is
among the k nearest.

Rounding errors that are subtracted, with u = 2^-24, D features and rounded rows x', z':

* Rounding a row moves it by at most ``u |x'|``, and thus the distance of a pair by at
  most ``u (|x'| + |z'|)``, in any norm that is monotone in the absolute coordinates.
* A sum of D float32 terms in any order has an error of at most D u / (1 - D u) times
  the sum of their absolute values, which for the products in
  ``|x'|^2 + |z'|^2 - 2 <x', z'>`` is at most ``(|x'|^2 + |z'|^2) / 2``.
* The relative error of float32 powers is assumed to be at most 2^-16, two hundred times
  the bound that the compilers state.

A few u cover the other operations, and a quarter more covers the terms of second order,
which suffices for up to 3 million features.

Reference:
  N. J. Higham. Accuracy and Stability of Numerical Algorithms, chapter 3. SIAM, 2002.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import distances, integer_distances, pairwise
from jaxlin.typing import Array, Distance

# D u stays below a fifth, so that a quarter covers the terms of second order.
_MAX_FEATURES = 3_000_000
_ROUNDING = 1.25 * 2.0**-24
# Relative error of a power norm, above that of its two powers, 2^-16 each.
_POWER_ERROR = 2.0**-14
# Exceeds the sum of all float32 underflow errors.
_UNDERFLOW = 1e-30


class Frame(NamedTuple):
    """The coordinate frame in which bounds are computed; float64.

    Attributes:
      center: vector subtracted from every row, shape ``(features,)``.
      scale: power of two that multiplies centred rows, shape ``()``.
      factor: matrix that scaled rows are multiplied by, shape ``(features, features)``,
        or None.
      power: exponent of `jaxlin.neighbors.distances.minkowski`, or None.
    """

    center: Any
    scale: Any
    factor: Any = None
    power: Any = None


class Transformed(NamedTuple):
    """Rows in a frame, with upper bounds of their lengths.

    Attributes:
      rows: float32, shape ``(rows, features)``.
      size: upper bound of the norm of each row, or its squared norm where the form
        bounds squared distances, shape ``(rows,)``.
    """

    rows: Array
    size: Array


class Form(NamedTuple):
    """Lower bound of the distances of one metric; static.

    Attributes:
      transform: ``(frame, rows) -> transformed rows``.
      bound: ``(frame, transformed queries, transformed rows) -> bounds``, shape
        ``(queries, rows)``.
      in_frame: ``(frame, distances) -> distances in units of the bounds``, in NumPy.
    """

    transform: Callable[[Frame, Array], Transformed]
    bound: Callable[[Frame, Transformed, Transformed], Array]
    in_frame: Callable[[Frame, np.ndarray], np.ndarray]


def form(metric: Distance, *, num_features: int) -> Form | None:
    """The bound of a metric, or None if no bound of it is known."""
    return _FORMS.get(metric) if num_features <= _MAX_FEATURES else None


def frame(
    metric: Distance, arguments: dict[str, Any], queries: np.ndarray, rows: np.ndarray
) -> Frame:
    """A frame centred at the mean query, scaled so that no number overflows.

    Args:
      metric: a metric for which `form` is not None.
      arguments: keyword arguments of the metric, checked.
      queries: finite, on the host, shape ``(queries, features)``.
      rows: finite, on the host, shape ``(rows, features)``; may be a memory map, which
        is read once.
    """
    num_features = rows.shape[1]
    if metric is distances.cosine:
        return Frame(np.zeros(num_features), np.float64(1))
    center = sum_of(queries) / len(queries)
    reach = max(_reach(queries, center), _reach(rows, center))
    factor, power = None, arguments.get("power")
    if metric is distances.mahalanobis:
        factor = np.linalg.cholesky(arguments["matrix"])
        # Column sums of |factor| bound the growth of a coordinate.
        reach *= np.abs(factor).sum(axis=0).max()
    scale = 2.0 ** -np.ceil(np.log2(reach)) if reach > 0 else 1.0
    power = None if power is None else np.float64(power)
    return Frame(center, np.float64(scale), factor, power)


def sum_of(rows: np.ndarray) -> np.ndarray:
    """Sum of each feature over all rows in float64, read in blocks."""
    parts = (
        rows[i : i + _ROWS_PER_BLOCK].astype(np.float64)
        for i in range(0, len(rows), _ROWS_PER_BLOCK)
    )
    return sum(part.sum(axis=0) for part in parts)


def _reach(rows: np.ndarray, center: np.ndarray) -> float:
    if rows.dtype == np.uint8:
        return 255.0
    highest = max(
        float(np.abs(rows[i : i + _ROWS_PER_BLOCK]).max())
        for i in range(0, len(rows), _ROWS_PER_BLOCK)
    )
    return highest + float(np.abs(center).max())


def _transform(frame: Frame, rows: Array) -> Array:
    transformed = (rows.astype(jnp.float64) - frame.center[None, :]) * frame.scale
    if frame.factor is not None:
        transformed = jnp.matmul(transformed, frame.factor, precision="highest")
    return transformed.astype(jnp.float32)


def _transform_for_product(frame: Frame, rows: Array) -> Transformed:
    transformed = _transform(frame, rows)
    return Transformed(
        transformed, jnp.sum(jnp.square(transformed.astype(jnp.float64)), axis=1)
    )


def _bound_squared(frame: Frame, queries: Transformed, rows: Transformed) -> Array:
    """Lower bounds of squared Euclidean distances by one matrix product."""
    del frame
    error = _ROUNDING * (rows.rows.shape[1] + 16)
    kept = [((1 - error) * some.size).astype(jnp.float32) for some in (queries, rows)]
    products = pairwise.product(queries.rows, rows.rows)
    return kept[0][:, None] + kept[1][None, :] - 2 * products - _UNDERFLOW


def _to_unit(frame: Frame, rows: Array) -> Transformed:
    del frame
    transformed = jax.vmap(distances.unit)(rows.astype(jnp.float64)).astype(jnp.float32)
    return Transformed(transformed, jnp.ones(len(rows), jnp.float32))


def _bound_cosine(frame: Frame, queries: Transformed, rows: Transformed) -> Array:
    del frame
    error = _ROUNDING * (rows.rows.shape[1] + 16)
    return 1 - pairwise.product(queries.rows, rows.rows) - error


# Norms of columns: features lie along the first axis, rows along the second.
def _largest(frame: Frame, columns: Array) -> Array:
    del frame
    return jnp.max(jnp.abs(columns), axis=0)


def _total(frame: Frame, columns: Array) -> Array:
    del frame
    return jnp.sum(jnp.abs(columns), axis=0)


def _power_norm(frame: Frame, columns: Array) -> Array:
    power = jnp.asarray(frame.power, jnp.float32)
    largest = jnp.max(jnp.abs(columns), axis=0)
    shares = jnp.abs(columns) / jnp.where(largest > 0, largest, 1)[None, :]
    return largest * jnp.sum(shares**power, axis=0) ** (1 / power)


def _norm_form(norm: Callable[[Frame, Array], Array], error: Callable[[int], float]):
    """The bound of a metric that is a norm of the difference.

    Args:
      norm: ``(frame, columns) -> norms``, in float32.
      error: ``(features) -> relative rounding error of the norm``.
    """

    def transform(frame: Frame, rows: Array) -> Transformed:
        transformed = _transform(frame, rows)
        return Transformed(
            transformed, norm(frame, transformed.T) * (1 + 2 * error(rows.shape[1]))
        )

    def bound(frame: Frame, queries: Transformed, rows: Transformed) -> Array:
        def to_queries(columns: Array) -> Array:
            return jax.lax.map(
                lambda query: norm(frame, columns - query[:, None]), queries.rows
            )

        norms = integer_distances.map_row_blocks(to_queries, rows.rows)
        displacement = _ROUNDING * (queries.size[:, None] + rows.size[None, :])
        return (1 - error(rows.rows.shape[1])) * norms - displacement - _UNDERFLOW

    def in_frame(frame: Frame, distances: np.ndarray) -> np.ndarray:
        return distances * frame.scale

    return Form(transform, bound, in_frame)


def _squared(frame: Frame, distances: np.ndarray) -> np.ndarray:
    return np.square(distances * frame.scale)


# Rows per block of a pass on the host.
_ROWS_PER_BLOCK = 4096
_FORMS: dict[Any, Form] = {
    distances.squared_euclidean: Form(
        _transform_for_product,
        _bound_squared,
        lambda frame, squares: squares * frame.scale**2,
    ),
    distances.euclidean: Form(_transform_for_product, _bound_squared, _squared),
    distances.mahalanobis: Form(_transform_for_product, _bound_squared, _squared),
    distances.cosine: Form(_to_unit, _bound_cosine, lambda frame, cosines: cosines),
    distances.manhattan: _norm_form(_total, lambda size: _ROUNDING * (size + 16)),
    distances.chebyshev: _norm_form(_largest, lambda size: _ROUNDING * 16),
    distances.minkowski: _norm_form(
        _power_norm, lambda size: _POWER_ERROR + _ROUNDING * (size + 16)
    ),
}
