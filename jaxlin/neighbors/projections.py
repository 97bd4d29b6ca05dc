r"""A cheap look at wide uint8 rows first: their projections in few directions.

Images are nearly determined by a few hundred directions. If no direction stretches,
that is if the columns of Q have :math:`Q Q^\top \preceq I`, then for every pair

.. math::
   \|x - z\|^2 \ge \|Q^\top (x - z)\|^2 + (\rho(x) - \rho(z))^2, \quad
   \rho(x)^2 = \|x\|^2 - \|Q^\top x\|^2

because the remainder :math:`\rho` is a seminorm. The right side is a squared distance
too, of rows with m + 1 entries: the projection and its remainder. So it is a lower
bound as in `jaxlin.neighbors.bounds`, at the price of m products a pair instead of D.
Among CIFAR-10's 50,000 training images, with m = 384 of 3,072, the 64 smallest bounds
prove the ten nearest of nine test images in ten.

Q is a matrix of int8, times a factor a column. So :math:`Q^\top x` is an exact integer
times a factor, and what rounding may add to the bound is little (u = 2^-24, L the
length of a row):

* Two roundings of an entry of the projection: its length is off by 2.1 u L, the bound
  by 8.4 u (L_x^2 + L_z^2) at most.
* The squared remainder is off by h = (m + 8) u L^2, the remainder by d, the smaller of
  :math:`\sqrt h` and h over what was computed. Shrinking remainders by
  :math:`\sqrt{1 - t}` pays for the product of d and their difference, and
  2 d^2 / t (of each row) for its square.
* The product of m + 1 features, as in `jaxlin.neighbors.bounds`, and as much again for
  the squared lengths, which are summed in float32 here.

Reference:
  N. Halko, P. G. Martinsson and J. A. Tropp. Finding structure with randomness. SIAM
  Review, 2011 (how the directions are found).
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.neighbors import pairwise, scan
from jaxlin.typing import Array

# Directions: one for so many features.
_FEATURES_PER_DIRECTION = 8
# For less than that a search in full is as fast: the projections of all rows must be
# paid for by many queries, and a block of rows by being large. To keep the best of a
# block costs more with every neighbour asked for: with 50 of them thrice what it saves.
_FEWEST_FEATURES = 1024
_FEWEST_ROWS = 32_768
_QUERIES_PER_DIRECTION = 5
_MOST_NEIGHBORS = 14
_SAMPLE = 2048
_BLOCK_BYTES = 64 * 2**20
_AT_ONCE = 256
_ROUNDING = 1.25 * 2.0**-24
# t of the module.
_SHRINKING = 2.0**-6


class Screen(NamedTuple):
    """What projections fall on.

    Attributes:
      directions: int8, one a row, shape ``(directions, features)``.
      factors: of each, float32, shape ``(directions,)``, so that none stretches.
    """

    directions: Array
    factors: Array


def is_worthwhile(num_queries: int, rows: Any, *, k: int) -> bool:
    """Whether a look at projections first is likely to save time."""
    num_rows, num_features = rows.shape
    directions = num_features // _FEATURES_PER_DIRECTION
    return (
        num_features >= _FEWEST_FEATURES
        and num_rows >= _FEWEST_ROWS
        and k <= _MOST_NEIGHBORS
        and num_queries >= _QUERIES_PER_DIRECTION * directions
    )


def screen(rows: Any) -> Screen:
    """Directions in which a sample of uint8 rows varies most; always the same ones."""
    size = rows.shape[1] // _FEATURES_PER_DIRECTION
    sample = jnp.asarray(rows[:: max(1, len(rows) // _SAMPLE)][:_SAMPLE])
    directions, gram = _principal(sample, jax.random.key(0), size=size)
    exact = np.asarray(gram, np.float64)
    lengths = np.sqrt(np.diagonal(exact))
    stretch = np.linalg.eigvalsh(exact / np.outer(lengths, lengths))[-1]
    # A little less, for the rounding of eigenvalues and of the factors themselves.
    factors = (1 - 2.0**-20) / (lengths * np.sqrt(stretch))
    return Screen(directions, jnp.asarray(factors, jnp.float32))


@functools.partial(jax.jit, static_argnames=("size",))
def _principal(sample: Array, key: Array, *, size: int) -> tuple[Array, Array]:
    """Directions as int8, and their inner products as int32."""
    values = sample.astype(jnp.float32)
    values -= jnp.mean(values, axis=0, keepdims=True)
    # One multiplication by the covariance; a second one leaves fewer queries open, and
    # costs more than they do.
    spread = values @ jax.random.normal(key, (values.shape[1], size))
    found, _ = jnp.linalg.qr(values.T @ spread)
    largest = jnp.max(jnp.abs(found), axis=0, keepdims=True)
    directions = jnp.round(found * (127 / largest)).astype(jnp.int8).T
    return directions, pairwise.integer_product(directions, directions)


def move(screen: Screen, rows: Array) -> Array:
    """Shadows of uint8 rows; in the last columns the remainder, and the bound's begin.

    Returns:
      float32, shape ``(rows, directions + 2)``.
    """
    # A few at a time: of so many rows what lies between is more than what comes out.
    padded = jnp.pad(rows, ((0, -len(rows) % _AT_ONCE), (0, 0)))
    parts = padded.reshape(-1, _AT_ONCE, rows.shape[1])
    found = jax.lax.map(functools.partial(_shadows, screen), parts)
    return found.reshape(len(padded), -1)[: len(rows)]


def _shadows(screen: Screen, rows: Array) -> Array:
    centered = pairwise.centered(rows)
    size = screen.factors.shape[0]
    entries = pairwise.integer_product(centered.rows, screen.directions)
    projection = entries.astype(jnp.float32) * screen.factors[None, :]
    squared = centered.sizes.astype(jnp.float32)
    remainder = jnp.sqrt(
        jnp.maximum(squared - jnp.sum(jnp.square(projection), axis=1), 0)
    )
    off = _ROUNDING * (size + 8) * squared
    off_by = jnp.minimum(jnp.sqrt(off), off / jnp.maximum(remainder, 1e-6))
    off_by += 2 * _ROUNDING * remainder
    columns = jnp.concatenate(
        [projection, (1 - _SHRINKING) ** 0.5 * remainder[:, None]], axis=1
    )
    kept = 1 - _ROUNDING * (2 * size + 20)
    begin = (
        kept * jnp.sum(jnp.square(columns), axis=1)
        - 10 * _ROUNDING * squared
        - 2 / _SHRINKING * jnp.square(off_by)
    )
    return jnp.concatenate([columns, begin[:, None]], axis=1)


def _keys(screen: Screen, queries: Array, rows: Array) -> Array:
    """Lower bounds of squared distances; both are projections."""
    del screen
    begin = queries[:, -1:] + rows[:, -1][None, :]
    return begin - 2 * pairwise.product(queries[:, :-1], rows[:, :-1])


# Queries are moved before the pass, once. Blocks are large, since to keep the best of a
# block costs as much as to find all its bounds.
MEASURE = scan.Measure(move, _keys, lambda width: _BLOCK_BYTES // width)


def of_queries(screen: Screen, queries: Any) -> np.ndarray:
    """Shadows of all queries, float32."""
    size = min(1024, len(queries))
    parts = [
        np.asarray(scan.moved(screen, scan.padded(queries, start, size), move=move))
        for start in range(0, len(queries), size)
    ]
    return np.concatenate(parts)[: len(queries)]
