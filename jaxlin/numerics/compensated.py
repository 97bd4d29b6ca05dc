"""Compensated summation (Neumaier).

A float32 sum over a million rows loses the digits that a duality gap consists of. The
rounding error of each addition is therefore summed beside the sum:

  >>> import jax.numpy as jnp
  >>> from jaxlin.numerics import compensated
  >>> found = compensated.sum_of(jnp.array([2.0**24, 1.0, 1.0, -(2.0**24)]))
  >>> print(compensated.total(found))
  2.0

Reference:
  A. Neumaier. Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen.
  ZAMM, 1974.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin.typing import Array


class Compensated(NamedTuple):
    """A sum and its accumulated rounding error.

    Attributes:
      high: the rounded sum, of any shape.
      low: the sum of the rounding errors, in the same shape.
    """

    high: Array
    low: Array


def total(summed: Compensated) -> Array:
    """Returns the sum, corrected by its accumulated rounding error."""
    return summed.high + summed.low


def add(summed: Compensated, term: Array) -> Compensated:
    """Adds one term to a sum."""
    high = summed.high + term
    larger = jnp.abs(summed.high) >= jnp.abs(term)
    lost = jnp.where(larger, (summed.high - high) + term, (term - high) + summed.high)
    return Compensated(high, summed.low + lost)


def merge(one: Compensated, other: Compensated) -> Compensated:
    """Merges two sums into the sum over all their terms."""
    merged = add(one, other.high)
    return merged._replace(low=merged.low + other.low)


def sum_of(terms: Array) -> Compensated:
    """Sums an array over its first axis."""
    zero = jnp.zeros((), terms.dtype)
    pairs, no_terms = (terms, jnp.zeros_like(terms)), (zero, zero)
    return Compensated(*jax.lax.reduce(pairs, no_terms, _merge_pairs, dimensions=(0,)))


def _merge_pairs(
    one: tuple[Array, Array], other: tuple[Array, Array]
) -> tuple[Array, Array]:
    high, low = merge(Compensated(*one), Compensated(*other))
    return high, low
