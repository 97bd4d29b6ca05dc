r"""Lower bounds of distances in float32, which prove an answer to be that of float64.

A search in float64 would take twice as long, on accelerators far longer. So rows are
moved and scaled in float64, rounded to float32, and each pair gets a number that is
provably not above its distance (in units of its own): the float32 distance less all
that rounding may have added. The candidates with the smallest bounds are measured
again in float64; if the k-th of those is nearer than the first bound that was left out,
no row that was left out can be among the k nearest.

What is subtracted, with u = 2^-24 and D features; x' and z' are the rounded rows:

* Rounding a row moves it by at most u |x'|, so the distance of a pair by at most
  u (|x'| + |z'|), in any norm that grows with each coordinate's size.
* A sum of D float32 terms in any order is off by at most D u / (1 - D u) times the
  sum of their sizes: of the products in ``|x'|^2 + |z'|^2 - 2 <x', z'>`` that is
  ``(|x'|^2 + |z'|^2) / 2`` or less.
* float32 powers are taken to be right to 2^-16, two hundred times what the compilers
  promise.

A few u more are granted for the other operations, and a quarter more for second order,
which is enough for up to `MOST_FEATURES`.

Reference:
  N. J. Higham. Accuracy and Stability of Numerical Algorithms, chapter 3. SIAM, 2002.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import distances, pairwise
from jaxlin.typing import Array, Distance

# D u stays below a fifth, so that a quarter covers the terms of second order.
MOST_FEATURES = 3_000_000
_ROUNDING = 1.25 * 2.0**-24
_OF_POWERS = 2.0**-14
# Below what is added in float32 by numbers too small for it.
_UNDERFLOW = 1e-30


class Frame(NamedTuple):
    """The coordinates in which bounds are computed; float64.

    Attributes:
      center: taken from every row, shape ``(features,)``.
      scale: a power of two, by which rows are multiplied then.
      factor: a matrix that rows are multiplied with at last, or None.
      power: of `jaxlin.neighbors.distances.minkowski`, or None.
    """

    center: Any
    scale: Any
    factor: Any = None
    power: Any = None


class Moved(NamedTuple):
    """Rows in a frame: float32, with a length that is not below theirs."""

    rows: Array
    size: Array


class Form(NamedTuple):
    """How pairs of a metric are bounded; static.

    Attributes:
      move: ``(frame, rows) -> moved``.
      bound: ``(frame, moved queries, moved rows) -> bounds (queries, rows)``.
      in_frame: ``(frame, distances) -> numbers to compare with bounds``, in NumPy.
    """

    move: Callable[[Frame, Array], Moved]
    bound: Callable[[Frame, Moved, Moved], Array]
    in_frame: Callable[[Frame, np.ndarray], np.ndarray]


def form(metric: Distance, *, num_features: int) -> Form | None:
    """The form of a metric, or None if nothing is known of it."""
    return _FORMS.get(metric) if num_features <= MOST_FEATURES else None


def frame(
    metric: Distance, arguments: dict[str, Any], queries: np.ndarray, rows: np.ndarray
) -> Frame:
    """A frame around the mean query, in which no number overflows.

    Args:
      metric: one that has a form.
      arguments: checked.
      queries: on the host, finite.
      rows: likewise; may be a memory map, which is read once.
    """
    num_features = rows.shape[1]
    if metric is distances.cosine:
        return Frame(np.zeros(num_features), np.float64(1))
    center = sum_of(queries) / len(queries)
    reach = max(_reach(queries, center), _reach(rows, center))
    factor, power = None, arguments.get("power")
    if metric is distances.mahalanobis:
        factor = np.linalg.cholesky(arguments["matrix"])
        # Row norms of the factor bound what a coordinate can become.
        reach *= np.abs(factor).sum(axis=0).max()
    scale = 2.0 ** -np.ceil(np.log2(reach)) if reach > 0 else 1.0
    power = None if power is None else np.float64(power)
    return Frame(center, np.float64(scale), factor, power)


def sum_of(rows: np.ndarray) -> np.ndarray:
    """Sum of each feature in float64; rows are read in blocks."""
    parts = (rows[i : i + _LOOK].astype(np.float64) for i in range(0, len(rows), _LOOK))
    return sum(part.sum(axis=0) for part in parts)


def _reach(rows: np.ndarray, center: np.ndarray) -> float:
    if rows.dtype == np.uint8:
        return 255.0
    highest = max(
        float(np.abs(rows[i : i + _LOOK]).max()) for i in range(0, len(rows), _LOOK)
    )
    return highest + float(np.abs(center).max())


def _move(frame: Frame, rows: Array) -> Array:
    moved = (rows.astype(jnp.float64) - frame.center[None, :]) * frame.scale
    if frame.factor is not None:
        moved = jnp.matmul(moved, frame.factor, precision="highest")
    return moved.astype(jnp.float32)


def _move_for_product(frame: Frame, rows: Array) -> Moved:
    moved = _move(frame, rows)
    return Moved(moved, jnp.sum(jnp.square(moved.astype(jnp.float64)), axis=1))


def _bound_of_square(frame: Frame, queries: Moved, rows: Moved) -> Array:
    """Of the squared Euclidean distance, by one product."""
    del frame
    lost = _ROUNDING * (rows.rows.shape[1] + 16)
    kept = [((1 - lost) * some.size).astype(jnp.float32) for some in (queries, rows)]
    products = pairwise.product(queries.rows, rows.rows)
    return kept[0][:, None] + kept[1][None, :] - 2 * products - _UNDERFLOW


def _move_to_unit(frame: Frame, rows: Array) -> Moved:
    del frame
    moved = jax.vmap(distances.unit)(rows.astype(jnp.float64)).astype(jnp.float32)
    return Moved(moved, jnp.ones(len(rows), jnp.float32))


def _bound_of_cosine(frame: Frame, queries: Moved, rows: Moved) -> Array:
    del frame
    lost = _ROUNDING * (rows.rows.shape[1] + 16)
    return 1 - pairwise.product(queries.rows, rows.rows) - lost


# Norms of columns: features lie along the first axis, neighbouring rows side by side.
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


def _of_norm(norm: Callable[[Frame, Array], Array], lost: Callable[[int], float]):
    """The form of a metric that is a norm of the difference.

    Args:
      norm: in float32, of columns.
      lost: of the number of features, the share of the norm that rounding may add.
    """

    def move(frame: Frame, rows: Array) -> Moved:
        moved = _move(frame, rows)
        return Moved(moved, norm(frame, moved.T) * (1 + 2 * lost(rows.shape[1])))

    def bound(frame: Frame, queries: Moved, rows: Moved) -> Array:
        def to_queries(columns: Array) -> Array:
            return jax.lax.map(
                lambda query: norm(frame, columns - query[:, None]), queries.rows
            )

        apart = pairwise.abreast(to_queries, rows.rows)
        moved = _ROUNDING * (queries.size[:, None] + rows.size[None, :])
        return (1 - lost(rows.rows.shape[1])) * apart - moved - _UNDERFLOW

    def in_frame(frame: Frame, distances: np.ndarray) -> np.ndarray:
        return distances * frame.scale

    return Form(move, bound, in_frame)


def _squared(frame: Frame, distances: np.ndarray) -> np.ndarray:
    return np.square(distances * frame.scale)


# Rows looked at in one go.
_LOOK = 4096
_FORMS: dict[Any, Form] = {
    distances.squared_euclidean: Form(
        _move_for_product,
        _bound_of_square,
        lambda frame, squares: squares * frame.scale**2,
    ),
    distances.euclidean: Form(_move_for_product, _bound_of_square, _squared),
    distances.mahalanobis: Form(_move_for_product, _bound_of_square, _squared),
    distances.cosine: Form(
        _move_to_unit, _bound_of_cosine, lambda frame, cosines: cosines
    ),
    distances.manhattan: _of_norm(_total, lambda size: _ROUNDING * (size + 16)),
    distances.chebyshev: _of_norm(_largest, lambda size: _ROUNDING * 16),
    distances.minkowski: _of_norm(
        _power_norm, lambda size: _OF_POWERS + _ROUNDING * (size + 16)
    ),
}
