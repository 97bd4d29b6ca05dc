r"""Limited-memory BFGS in a given metric: the directions, apart from any loop.

The inverse Hessian is approximated from the last few steps and gradient changes,
starting from any positive definite operator instead of a multiple of the identity. The
operator is scaled at each use by :math:`s^\top y / y^\top B y` of the newest pair, so
only its shape matters.

optax has L-BFGS as a transformation with a line search that evaluates the objective
inside its update, as often as the search asks. Here one evaluation is one iteration of
the caller's loop, so that models under `jax.vmap` do not wait for the longest search.

The two loops of the textbook run over numbers: the inner products of all pairs are kept
(as Chen, Wang and Zhou do where vectors lie on many machines), and the vectors are read
in four products with all of them. A new pair takes the place of the oldest where that
lies. For 32 models of CIFAR-10 loops over vectors, and places that move up, took four
times as long as all that. Of a change that part is kept which is the loss's, without
the penalty's, so that a hinge's next round, whose loss is a multiple of the last one's,
changes numbers only.

References:
  J. Nocedal and S. J. Wright. Numerical Optimization, second edition, chapter 7.2.
  Springer, 2006.
  W. Chen, Z. Wang and J. Zhou. Large-scale L-BFGS using MapReduce. NIPS 2014.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin.typing import Array


class History(NamedTuple):
    """The last pairs, of an objective that is a loss plus l2 / 2 times the squares.

    Attributes:
      steps: s, shape ``(length, ...)``.
      changes: of the loss's gradient along them, up to ``factors``, same shape.
      squares: inner products of steps, shape ``(length, length)``.
      products: of each step with each of ``changes``, same shape.
      factors: what ``changes`` are to be multiplied with, shape ``(length,)``.
      is_filled: which places hold a pair, shape ``(length,)``.
      newest: place of the last pair; the one before it lies before it, cyclically.
    """

    steps: Array
    changes: Array
    squares: Array
    products: Array
    factors: Array
    is_filled: Array
    newest: Array


def empty(like: Array, length: int) -> History:
    """A history of ``length`` places for arrays like this one."""
    places = jnp.zeros((length, *like.shape), like.dtype)
    square = jnp.zeros((length, length), like.dtype)
    return History(
        steps=places,
        changes=places,
        squares=square,
        products=square,
        factors=jnp.ones(length, like.dtype),
        is_filled=jnp.zeros(length, bool),
        newest=jnp.zeros((), jnp.int32),
    )


def forget(history: History) -> History:
    """The same places with nothing in them."""
    return history._replace(is_filled=jnp.zeros_like(history.is_filled))


def remember(
    history: History, step: Array, change: Array, *, l2: Array, when: Array
) -> History:
    """Adds a pair in place of the oldest where ``when`` and its curvature is positive.

    A pair whose curvature is lost in rounding would make the metric indefinite.

    Args:
      history: earlier pairs.
      step: s.
      change: y, of the gradient of the whole objective along it.
      l2: strength of half the sum of squares in that objective.
      when: whether to.
    """
    curvature = jnp.vdot(step, change)
    noise = 10 * jnp.finfo(step.dtype).eps * jnp.linalg.norm(step.ravel())
    when &= curvature > noise * jnp.linalg.norm(change.ravel())
    # Also in the numbers that are kept.
    when &= l2 * jnp.vdot(step, step) + jnp.vdot(step, change - l2 * step) > 0
    place = (history.newest + 1) % history.factors.shape[0]
    # Where there is nothing to add the old is written again: nothing moves.
    step = jnp.where(when, step, history.steps[place])
    change = jnp.where(when, change - l2 * step, history.changes[place])
    steps = jax.lax.dynamic_update_index_in_dim(history.steps, step, place, 0)
    changes = jax.lax.dynamic_update_index_in_dim(history.changes, change, place, 0)
    is_new = when & (jnp.arange(history.factors.shape[0]) == place)
    with_steps = _products(steps, step)
    return History(
        steps,
        changes,
        _bordered(history.squares, with_steps, with_steps, is_new),
        # Of the new step with all changes, of all steps with the new change.
        _bordered(
            history.products, _products(changes, step), _products(steps, change), is_new
        ),
        jnp.where(is_new, 1, history.factors),
        is_new | history.is_filled,
        jnp.where(when, place, history.newest),
    )


def rescale(history: History, factor: Array, *, l2: Array) -> History:
    """The pairs of an objective whose loss is ``factor`` times as large.

    Those whose curvature that makes negative are forgotten.
    """
    found = history._replace(factors=factor * history.factors)
    kept = jnp.diagonal(_curvatures(found, l2)) > 0
    return found._replace(is_filled=history.is_filled & kept)


def direction(
    history: History,
    gradient: Array,
    solve: Callable[[Array], Array],
    *,
    l2: Array,
) -> Array:
    """The quasi-Newton direction, downhill, in the shape of the gradient.

    Args:
      history: pairs of earlier steps.
      gradient: at the current point.
      solve: applies the inverse of a positive definite operator to such an array.
      l2: as of `remember`.
    """
    length, newest = history.factors.shape[0], history.newest
    order = (newest - jnp.arange(length)) % length
    curvatures = _curvatures(history, l2)[order][:, order]
    is_filled, diagonal = history.is_filled[order], jnp.diagonal(curvatures)
    scales = jnp.where(is_filled, 1 / jnp.where(is_filled, diagonal, 1), 0)
    # Newest first: each weight depends on those of the pairs before it in this order,
    # and in the second loop on those after it.
    earlier = scales[:, None] * jnp.tril(curvatures, -1)
    later = scales[:, None] * jnp.triu(curvatures.T, 1)

    weights = _solve_unit(
        earlier, scales * _products(history.steps, gradient)[order], lower=True
    )
    by_place = jnp.zeros_like(weights).at[order].set(weights)
    vector = gradient - _of_changes(history, by_place, l2)
    change = history.factors[newest] * history.changes[newest]
    change += l2 * history.steps[newest]
    solved, solved_change = jax.vmap(solve)(jnp.stack([vector, change]))
    known = history.is_filled[newest]
    scale = curvatures[0, 0] / jnp.vdot(change, solved_change)
    solved = jnp.where(known, scale, 1.0) * solved
    with_changes = l2 * _products(history.steps, solved) + (
        history.factors * _products(history.changes, solved)
    )
    weights = _solve_unit(later, weights - scales * with_changes[order], lower=False)
    by_place = by_place.at[order].set(weights)
    return -(solved + _combined(history.steps, by_place))


def _curvatures(history: History, l2: Array) -> Array:
    """Products of each step with each whole change, shape ``(length, length)``."""
    return l2 * history.squares + history.factors[None, :] * history.products


def _of_changes(history: History, weights: Array, l2: Array) -> Array:
    """Weighted sum of the whole changes."""
    return _combined(history.steps, l2 * weights) + _combined(
        history.changes, history.factors * weights
    )


def _bordered(square: Array, row: Array, column: Array, is_new: Array) -> Array:
    """A matrix with the row and the column of the new place replaced."""
    square = jnp.where(is_new[None, :], column[:, None], square)
    return jnp.where(is_new[:, None], row[None, :], square)


def _products(vectors: Array, one: Array) -> Array:
    return jnp.matmul(
        vectors.reshape(vectors.shape[0], -1),
        one.ravel(),
        precision=jax.lax.Precision.HIGHEST,
    )


def _combined(vectors: Array, weights: Array) -> Array:
    return jnp.tensordot(weights, vectors, axes=1, precision=jax.lax.Precision.HIGHEST)


def _solve_unit(triangle: Array, right: Array, *, lower: bool) -> Array:
    """Solves (I + triangle) x = right."""
    return jax.scipy.linalg.solve_triangular(
        triangle, right, lower=lower, unit_diagonal=True
    )
