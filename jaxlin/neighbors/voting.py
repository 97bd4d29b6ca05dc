r"""What the neighbours say: votes for every k in one pass, by any weighting.

Weightings are functions of the distances of one query's neighbours, ascending:

  uniform             all count alike
  inverse_distance    1 / distance; exact matches, where there are any, count alone
  gaussian            exp(-distance^2 / (2 bandwidth^2)), with a traced ``bandwidth``

or any function of yours that applies to each distance by itself.

  >>> import numpy as np
  >>> from jaxlin.neighbors import distances
  >>> from jaxlin import neighbors
  >>> rows, labels = np.array([[0.0], [2.0], [3.0]]), np.array([1, 0, 0])
  >>> found = neighbors.nearest(rows, [[0.5]], metric=distances.euclidean, k=3)
  >>> print(neighbors.vote(found, labels, num_classes=2))  # with k = 1, 2, 3
  [[1 0 0]]
  >>> print(neighbors.vote(found, labels, num_classes=2,
  ...                      weighting=neighbors.inverse_distance))
  [[1 1 1]]

The built-in weightings are scaled so that the nearest has weight 1, which changes no
vote and keeps a small bandwidth from giving only zeros: as it goes to 0, the vote
becomes that of the nearest neighbour.

Ties go to the smallest class: as in scikit-learn, and unlike "the nearest wins", which
would not be what k neighbours say. Votes are summed in float64, nearest first.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.neighbors import callbacks
from jaxlin.neighbors.search import Neighbors
from jaxlin.typing import Arguments, Array, Weighting

# Queries whose votes are in memory at one time, fewer where these are more numbers.
_QUERIES_AT_ONCE = 256
_VOTES_AT_ONCE = 2**24


def uniform(distances: Array, /) -> Array:
    """Weight 1 for all."""
    return jnp.ones(distances.shape, _floating(distances))


def inverse_distance(distances: Array, /) -> Array:
    r"""Weights :math:`d_1 / d_i`; if the nearest has distance 0, 1 for all at 0.

    Proportional to scikit-learn's ``weights="distance"``. Of squared distances these
    are the inverse squares.

    Args:
      distances: of one query, ascending, shape ``(k,)``.
    """
    values = distances.astype(_floating(distances))
    is_match = values == 0
    ratios = values[0] / jnp.where(is_match, 1, values)
    return jnp.where(is_match[0], is_match.astype(values.dtype), ratios)


def gaussian(distances: Array, /, *, bandwidth: ArrayLike) -> Array:
    r"""Weights :math:`\exp((d_1^2 - d_i^2) / (2 h^2))`.

    Args:
      distances: of one query, ascending, shape ``(k,)``; not squared.
      bandwidth: :math:`h`, in units of distance, above 0, traced.
    """
    values = distances.astype(_floating(distances))
    bandwidth = jnp.asarray(bandwidth, values.dtype)
    # A difference of squares would overflow, or lose its digits, where this does not.
    is_apart = values > values[0]
    behind = jnp.where(is_apart, (values - values[0]) / bandwidth, 0)
    beyond = jnp.where(is_apart, (values + values[0]) / bandwidth, 0)
    return jnp.exp(-0.5 * behind * beyond)


def vote(
    found: Neighbors,
    train_labels: Any,
    *,
    num_classes: int,
    weighting: Weighting = uniform,
    weighting_arguments: Arguments | None = None,
) -> np.ndarray:
    """The class that the k nearest vote for, for every k.

    Args:
      found: neighbours, from `jaxlin.neighbors.nearest` or `nearest_others`.
      train_labels: in [0, num_classes), one for each training row.
      num_classes: C, at least 2.
      weighting: of this module, or a function of yours.
      weighting_arguments: its keywords, such as ``{"bandwidth": 2.0}``; traced.

    Returns:
      Classes, int32, shape ``(queries, k)``: column j is what the nearest j + 1 say. Of
      classes with equal votes the first, so class 0 where all weights are 0.

    Raises:
      ValueError: before anything is compiled, that names the argument, the rule and the
        value; afterwards if a function of yours gives a weight that is negative or not
        finite.
    """
    checked = _checked(found, train_labels, num_classes, weighting, weighting_arguments)
    with jax.enable_x64(True):
        weights = weights_of(found, weighting, checked[1])
        labels = checked[0][np.asarray(found.indices)]
        return np.asarray(_winners(weights, labels, num_classes=num_classes))


def shares(
    found: Neighbors,
    train_labels: Any,
    *,
    num_classes: int,
    weighting: Weighting = uniform,
    weighting_arguments: Arguments | None = None,
) -> np.ndarray:
    """Each class's share of the votes of all neighbours, as probabilities.

    Arguments and errors as of `vote`.

    Returns:
      float64, shape ``(queries, num_classes)``; NaN if all weights are 0. A class
      without a vote has 0, which `jaxlin.stats.metrics.top_k_accuracy` counts as no
      answer.

    Example:
      >>> found = Neighbors(np.array([[1.0, 2.0]]), np.array([[0, 1]]))
      >>> print(shares(found, [1, 0], num_classes=2, weighting=inverse_distance))
      [[0.33333333 0.66666667]]
    """
    checked = _checked(found, train_labels, num_classes, weighting, weighting_arguments)
    with jax.enable_x64(True):
        weights = weights_of(found, weighting, checked[1])
        labels = checked[0][np.asarray(found.indices)]
        return np.asarray(_shares(weights, labels, num_classes=num_classes))


def weights_of(
    found: Neighbors, weighting: Weighting, arguments: dict[str, Any]
) -> np.ndarray:
    """Weights of all neighbours, shape ``(queries, k)``, looked at once.

    To be called under ``jax.enable_x64(True)``, with arguments that were checked.

    Raises:
      ValueError: if one is negative or not finite, or a distance is negative of which
        a weighting of this module makes no sense.
    """
    given = np.asarray(found.distances)
    if weighting in (inverse_distance, gaussian) and given.min() < 0:
        name = getattr(weighting, "__name__", weighting)
        raise ValueError(
            f"found.distances must be at least 0 for {name}, got {given.min()}; "
            "weights of similarities are a function of yours"
        )
    weights = np.asarray(_weights(given, arguments, weighting=weighting))
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        query, rank = np.argwhere(bad)[0]
        raise ValueError(
            "weighting must give finite weights of at least 0, got "
            f"{weights[query, rank]} at distance {given[query, rank]}; "
            "jaxlin.neighbors.inverse_distance shows what to do at distance 0"
        )
    return weights


def check_weighting(weighting: Weighting, arguments: Any) -> dict[str, Any]:
    """Keyword arguments of a weighting, looked at once, on the host.

    Raises:
      ValueError: if one is missing or unknown, or a bandwidth is not above 0.
    """
    found = callbacks.bound("weighting", weighting, arguments)
    if weighting is gaussian:
        found["bandwidth"] = check.number("bandwidth", found["bandwidth"], above=0)
    return found


def check_labels(found: Neighbors, train_labels: Any, *, num_classes: int):
    """Labels of the training rows, in which all neighbours lie; NumPy."""
    check.integer("num_classes", num_classes, at_least=2)
    labels = check.labels("train_labels", train_labels, num_classes=num_classes)
    if np.min(found.indices) < 0:
        raise ValueError(
            f"found.indices must be at least 0, got {int(np.min(found.indices))}"
        )
    last = int(np.max(found.indices))
    if last >= len(labels):
        raise ValueError(
            f"train_labels must have one entry per training row, got {len(labels)} "
            f"labels, and a neighbour with index {last}"
        )
    return labels


def _checked(found, train_labels, num_classes, weighting, arguments):
    labels = check_labels(found, train_labels, num_classes=num_classes)
    return labels, check_weighting(weighting, arguments)


@functools.partial(jax.jit, static_argnames=("weighting",))
def _weights(distances, arguments, *, weighting):
    def of_query(row: Array) -> Array:
        return callbacks.applied(
            "weighting", weighting, (row,), arguments, shape=row.shape
        )

    return jax.vmap(of_query)(distances)


@functools.partial(jax.jit, static_argnames=("num_classes",))
def _winners(weights: Array, labels: Array, *, num_classes: int) -> Array:
    num_queries, k = labels.shape

    def of_query(query: tuple[Array, Array]) -> Array:
        counted, classes = query
        # Where there are more classes than neighbours, only the classes of these are
        # counted: one column a neighbour, so that memory does not grow with C.
        is_narrow = num_classes <= k
        columns = jnp.arange(num_classes) if is_narrow else classes
        votes = jnp.where(classes[:, None] == columns[None, :], counted[:, None], 0)
        totals = jnp.cumsum(votes, axis=0)
        if is_narrow:
            return jnp.argmax(totals, axis=1).astype(jnp.int32)
        most = jnp.max(totals, axis=1, keepdims=True)
        tied = jnp.where(totals == most, classes[None, :], num_classes)
        # Without a vote all classes tie, those of no neighbour too.
        return jnp.where(most[:, 0] > 0, jnp.min(tied, axis=1), 0).astype(jnp.int32)

    at_once = max(1, _VOTES_AT_ONCE // (k * min(k, num_classes)))
    at_once = min(_QUERIES_AT_ONCE, at_once, num_queries)
    return jax.lax.map(of_query, (weights, labels), batch_size=at_once)


@functools.partial(jax.jit, static_argnames=("num_classes",))
def _shares(weights: Array, labels: Array, *, num_classes: int) -> Array:
    def of_query(counted: Array, classes: Array) -> Array:
        total = jnp.zeros(num_classes, counted.dtype).at[classes].add(counted)
        return total / jnp.sum(total)

    return jax.vmap(of_query)(weights, labels)


def _floating(distances: Array) -> jnp.dtype:
    """float64 for exact integers too, where JAX has it."""
    return jnp.promote_types(distances.dtype, jax.dtypes.canonicalize_dtype(float))
