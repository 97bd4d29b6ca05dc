"""Sums that keep what rounding loses (Neumaier).

A float32 sum over a million rows loses the digits that a duality gap is made of. So
what each addition loses is added up beside the sum:

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
    """A sum and the rounding it has lost so far, of one shape."""

    high: Array
    low: Array


def total(summed: Compensated) -> Array:
    """The sum, with what was lost to rounding put back."""
    return summed.high + summed.low


def add(summed: Compensated, term: Array) -> Compensated:
    """The sum with one more term."""
    high = summed.high + term
    larger = jnp.abs(summed.high) >= jnp.abs(term)
    lost = jnp.where(larger, (summed.high - high) + term, (term - high) + summed.high)
    return Compensated(high, summed.low + lost)


def merge(one: Compensated, other: Compensated) -> Compensated:
    """The sum of both sums' terms."""
    found = add(one, other.high)
    return found._replace(low=found.low + other.low)


def sum_of(terms: Array) -> Compensated:
    """The sum over the first axis."""
    zero = jnp.zeros((), terms.dtype)
    pairs, nothing = (terms, jnp.zeros_like(terms)), (zero, zero)
    return Compensated(*jax.lax.reduce(pairs, nothing, _merge_pairs, dimensions=(0,)))


def _merge_pairs(
    one: tuple[Array, Array], other: tuple[Array, Array]
) -> tuple[Array, Array]:
    high, low = merge(Compensated(*one), Compensated(*other))
    return high, low
