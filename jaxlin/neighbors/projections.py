r"""Lower bounds of distances of wide uint8 rows from projections on few directions.

Images are nearly determined by a few hundred directions. If the projection stretches no
vector, that is if :math:`Q Q^\top \preceq I` for the directions as columns of Q, then
for every pair

.. math::
   \|x - z\|^2 \ge \|Q^\top (x - z)\|^2 + (\rho(x) - \rho(z))^2, \quad
   \rho(x)^2 = \|x\|^2 - \|Q^\top x\|^2

because the residual norm :math:`\rho` is a seminorm. The right side is itself a squared
distance, of rows with m + 1 entries: the m projections and the residual norm. It is a
lower bound as in `jaxlin.neighbors.bounds`, at the cost of m products per pair instead
of D. Among CIFAR-10's 50,000 training images, with m = 384 of D = 3,072, the 64
smallest bounds certify the ten nearest neighbours of nine test images in ten.

Q is an int8 matrix with one floating-point factor per column. Thus :math:`Q^\top x` is
an exact integer times a factor, and the rounding errors of the bound are small
(u = 2^-24, L the norm of a row):

* Two roundings of each entry of the projection: an error of at most 2.1 u L in its
  norm, and of at most 8.4 u (L_x^2 + L_z^2) in the bound.
* An error of at most h = (m + 8) u L^2 in the squared residual norm, and of at most d
  in the residual norm, the smaller of :math:`\sqrt h` and h divided by the computed
  residual norm. Shrinking residual norms by :math:`\sqrt{1 - t}` covers the product of
  d and their difference, and subtracting 2 d^2 / t per row covers the square of d.
* The error of a product of m + 1 features, as in `jaxlin.neighbors.bounds`, and the
  same again for the squared norms, which are summed in float32 here.

Reference:
  N. Halko, P. G. Martinsson and J. A. Tropp. Finding structure with randomness. SIAM
  Review, 2011 (method for the directions).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import integer_distances, pairwise, scan
from jaxlin.typing import Array

# Number of features per direction.
_FEATURES_PER_DIRECTION = 8
# Below these sizes a full search is as fast: the cost of projecting all rows is
# amortised over many queries, and that of each block over many rows. The cost of the
# top-k of a block grows with k: at k = 50 it is three times what projections save.
_MIN_FEATURES = 1024
_MIN_ROWS = 32_768
_QUERIES_PER_DIRECTION = 5
_MAX_NEIGHBORS = 14
_SAMPLE = 2048
_BLOCK_BYTES = 64 * 2**20
_ROWS_PER_BLOCK = 256
_ROUNDING = 1.25 * 2.0**-24
# t in the docstring of the module.
_SHRINKING = 2.0**-6


class Screen(NamedTuple):
    """Directions of the projections.

    Attributes:
      directions: int8, one direction per row, shape ``(directions, features)``.
      factors: factor of each direction, float32, shape ``(directions,)``; with them the
        projection stretches no vector.
    """

    directions: Array
    factors: Array


def is_worthwhile(num_queries: int, rows: Any, *, k: int) -> bool:
    """Returns whether bounds from projections are likely to save time."""
    num_rows, num_features = rows.shape
    directions = num_features // _FEATURES_PER_DIRECTION
    return (
        num_features >= _MIN_FEATURES
        and num_rows >= _MIN_ROWS
        and k <= _MAX_NEIGHBORS
        and num_queries >= _QUERIES_PER_DIRECTION * directions
    )


def screen(rows: Any) -> Screen:
    """Directions of largest variance of a sample of uint8 rows; deterministic."""
    size = rows.shape[1] // _FEATURES_PER_DIRECTION
    sample = jnp.asarray(rows[:: max(1, len(rows) // _SAMPLE)][:_SAMPLE])
    directions, gram = _principal(sample, jax.random.key(0), size=size)
    exact = np.asarray(gram, np.float64)
    lengths = np.sqrt(np.diagonal(exact))
    stretch = np.linalg.eigvalsh(exact / np.outer(lengths, lengths))[-1]
    # Slightly smaller, to cover the rounding of eigenvalues and of the factors.
    factors = (1 - 2.0**-20) / (lengths * np.sqrt(stretch))
    return Screen(directions, jnp.asarray(factors, jnp.float32))


@functools.partial(jax.jit, static_argnames=("size",))
def _principal(sample: Array, key: Array, *, size: int) -> tuple[Array, Array]:
    """Approximate principal directions as int8, and their Gram matrix as int32."""
    values = sample.astype(jnp.float32)
    values -= jnp.mean(values, axis=0, keepdims=True)
    # One multiplication by the covariance. A second one leaves fewer queries
    # uncertified, but costs more than searching for those.
    spread = values @ jax.random.normal(key, (values.shape[1], size))
    found, _ = jnp.linalg.qr(values.T @ spread)
    largest = jnp.max(jnp.abs(found), axis=0, keepdims=True)
    directions = jnp.round(found * (127 / largest)).astype(jnp.int8).T
    return directions, integer_distances.integer_product(directions, directions)


def project(screen: Screen, rows: Array) -> Array:
    """Projections of uint8 rows, with residual norm and additive term of the bound.

    Returns:
      Projections, then the shrunk residual norm, then the additive term of the bound;
      float32, shape ``(rows, directions + 2)``.
    """
    # In blocks, because intermediate results take more memory than the result.
    padded = jnp.pad(rows, ((0, -len(rows) % _ROWS_PER_BLOCK), (0, 0)))
    parts = padded.reshape(-1, _ROWS_PER_BLOCK, rows.shape[1])
    found = jax.lax.map(functools.partial(_projected, screen), parts)
    return found.reshape(len(padded), -1)[: len(rows)]


def _projected(screen: Screen, rows: Array) -> Array:
    centered = integer_distances.center(rows)
    size = screen.factors.shape[0]
    entries = integer_distances.integer_product(centered.rows, screen.directions)
    projection = entries.astype(jnp.float32) * screen.factors[None, :]
    squared = centered.sizes.astype(jnp.float32)
    residual = jnp.sqrt(
        jnp.maximum(squared - jnp.sum(jnp.square(projection), axis=1), 0)
    )
    squared_error = _ROUNDING * (size + 8) * squared
    residual_error = jnp.minimum(
        jnp.sqrt(squared_error), squared_error / jnp.maximum(residual, 1e-6)
    )
    residual_error += 2 * _ROUNDING * residual
    columns = jnp.concatenate(
        [projection, (1 - _SHRINKING) ** 0.5 * residual[:, None]], axis=1
    )
    kept = 1 - _ROUNDING * (2 * size + 20)
    offset = (
        kept * jnp.sum(jnp.square(columns), axis=1)
        - 10 * _ROUNDING * squared
        - 2 / _SHRINKING * jnp.square(residual_error)
    )
    return jnp.concatenate([columns, offset[:, None]], axis=1)


def _keys(screen: Screen, queries: Array, rows: Array) -> Array:
    """Lower bounds of squared distances between projected queries and rows."""
    del screen
    offset = queries[:, -1:] + rows[:, -1][None, :]
    return offset - 2 * pairwise.product(queries[:, :-1], rows[:, :-1])


# Queries are projected once, before the pass. Blocks are large, because the top-k of a
# block costs as much as all its bounds.
MEASURE = scan.Measure(project, _keys, lambda width: _BLOCK_BYTES // width)


def of_queries(screen: Screen, queries: Any) -> np.ndarray:
    """Projections of all queries, float32, shape ``(queries, directions + 2)``."""
    size = min(1024, len(queries))
    parts = [
        np.asarray(
            scan.transform_block(
                screen, scan.padded_slice(queries, start, size), transform=project
            )
        )
        for start in range(0, len(queries), size)
    ]
    return np.concatenate(parts)[: len(queries)]
