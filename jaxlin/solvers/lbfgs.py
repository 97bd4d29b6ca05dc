r"""Limited-memory BFGS in a given metric: the directions, apart from any loop.

The inverse Hessian is approximated from the last few steps and gradient changes,
starting from any positive definite operator instead of a multiple of the identity. The
operator is scaled at each use by :math:`s^\top y / y^\top B y` of the newest pair, so
only its shape matters.

optax has L-BFGS as a transformation with a line search that evaluates the objective
inside its update, as often as the search asks. Here one evaluation is one turn of the
caller's loop, so that models under `jax.vmap` do not wait for the longest search.

Reference:
  J. Nocedal and S. J. Wright. Numerical Optimization, second edition, chapter 7.2.
  Springer, 2006.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin.typing import Array


class History(NamedTuple):
    """The last pairs, the newest last; places never filled have ``scale`` 0.

    Attributes:
      steps: s, shape ``(length, ...)``.
      changes: y, changes of the gradient along them, same shape.
      scales: 1 / s.y, shape ``(length,)``.
    """

    steps: Array
    changes: Array
    scales: Array


def empty(like: Array, length: int) -> History:
    """A history of ``length`` places for arrays like this one."""
    places = jnp.zeros((length, *like.shape), like.dtype)
    return History(places, places, jnp.zeros(length, like.dtype))


def forget(history: History) -> History:
    """The same places with nothing in them."""
    return history._replace(scales=jnp.zeros_like(history.scales))


def remember(history: History, step: Array, change: Array, *, when: Array) -> History:
    """Adds a pair in place of the oldest where ``when`` and its curvature is positive.

    A pair whose curvature is lost in rounding would make the metric indefinite.
    """
    curvature = jnp.vdot(step, change)
    noise = 10 * jnp.finfo(step.dtype).eps * jnp.linalg.norm(step.ravel())
    when &= curvature > noise * jnp.linalg.norm(change.ravel())
    scale = 1 / jnp.where(when, curvature, 1)

    def shifted(places: Array, new: Array) -> Array:
        return jnp.where(when, jnp.concatenate([places[1:], new[None]]), places)

    return History(*map(shifted, history, (step, change, scale)))


def rescale(history: History, factor: Array, *, l2: Array) -> History:
    """The pairs of ``factor`` times the function plus l2 / 2 times the squared norm.

    Given pairs of the function plus that penalty.
    """
    ridge = l2 * history.steps
    changes = ridge + factor * (history.changes - ridge)
    products = jax.vmap(jnp.vdot)(history.steps, changes)
    kept = (history.scales > 0) & (products > 0)
    return History(
        history.steps, changes, jnp.where(kept, 1 / jnp.where(kept, products, 1), 0)
    )


def direction(
    history: History, gradient: Array, solve: Callable[[Array], Array]
) -> Array:
    """The quasi-Newton direction, downhill, in the shape of the gradient.

    Args:
      history: pairs of earlier steps.
      gradient: at the current point.
      solve: applies the inverse of a positive definite operator to such an array.
    """

    def newest_first(vector, pair):
        step, change, scale = pair
        weight = scale * jnp.vdot(step, vector)
        return vector - weight * change, weight

    vector, weights = jax.lax.scan(newest_first, gradient, history, reverse=True)
    newest = history.changes[-1]
    solved, solved_change = jax.vmap(solve)(jnp.stack([vector, newest]))
    known = history.scales[-1] > 0
    scale = 1 / (history.scales[-1] * jnp.vdot(newest, solved_change))
    vector = jnp.where(known, scale, 1.0) * solved

    def oldest_first(vector, pair_and_weight):
        (step, change, scale), weight = pair_and_weight
        return vector + (weight - scale * jnp.vdot(change, vector)) * step, None

    vector, _ = jax.lax.scan(oldest_first, vector, (history, weights))
    return -vector
