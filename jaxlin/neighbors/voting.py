r"""Weighted votes of the neighbours, for every k in one pass.

Weightings are functions of the distances of one query's neighbours, ascending:

  uniform             equal weights
  inverse_distance    1 / distance; exact matches, if there are any, have all the weight
  gaussian            exp(-distance^2 / (2 bandwidth^2)), with a traced ``bandwidth``

or any function of the caller that acts on each distance separately.

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

The built-in weightings are scaled so that the nearest neighbour has weight 1. This
changes no vote and prevents underflow of all weights for a small bandwidth: as the
bandwidth goes to 0, the vote becomes that of the nearest neighbour.

Ties go to the smallest class, as in scikit-learn, and not to the class of the nearest
neighbour, since all k neighbours vote alike. Votes are summed in float64, nearest
first.
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

# Queries per block, and the limit of votes in memory, which reduces that number.
_MAX_QUERIES = 256
_MAX_VOTES = 2**24


def uniform(distances: Array, /) -> Array:
    """Weight 1 for every neighbour."""
    return jnp.ones(distances.shape, _floating(distances))


def inverse_distance(distances: Array, /) -> Array:
    r"""Weights :math:`d_1 / d_i`; if :math:`d_1 = 0`, 1 at distance 0 and 0 elsewhere.

    Proportional to scikit-learn's ``weights="distance"``. Given squared distances, the
    weights are inverse squares of the distances.

    Args:
      distances: distances of one query's neighbours, ascending, shape ``(k,)``.
    """
    values = distances.astype(_floating(distances))
    is_match = values == 0
    ratios = values[0] / jnp.where(is_match, 1, values)
    return jnp.where(is_match[0], is_match.astype(values.dtype), ratios)


def gaussian(distances: Array, /, *, bandwidth: ArrayLike) -> Array:
    r"""Weights :math:`\exp((d_1^2 - d_i^2) / (2 h^2))`.

    Args:
      distances: distances of one query's neighbours, not squared, ascending, shape
        ``(k,)``.
      bandwidth: :math:`h`, in units of distance, above 0, traced.
    """
    values = distances.astype(_floating(distances))
    bandwidth = jnp.asarray(bandwidth, values.dtype)
    # A product of sum and difference avoids the overflow and the cancellation of a
    # difference of squares.
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
    """The class with the largest weighted vote, for every number of neighbours.

    Args:
      found: neighbours, from `jaxlin.neighbors.nearest` or `nearest_others`.
      train_labels: integers in [0, num_classes), one per training row, shape
        ``(rows,)``.
      num_classes: number of classes, at least 2.
      weighting: a function of this module, or one of the caller; `uniform` by default.
      weighting_arguments: keyword arguments of the weighting, such as
        ``{"bandwidth": 2.0}``; traced.

    Returns:
      Classes, int32, shape ``(queries, k)``: column j is the vote of the j + 1 nearest
      neighbours. Ties go to the smallest class, hence class 0 where all weights are 0.

    Raises:
      ValueError: before compilation, if an argument is not valid; afterwards, if the
        weighting returns a negative or non-finite weight.
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
    """Share of each class in the votes of all k neighbours, as probabilities.

    Arguments and errors are those of `vote`.

    Returns:
      Shares, float64, shape ``(queries, num_classes)``; NaN if all weights are 0. A
      class without a vote has share 0, which `jaxlin.stats.metrics.top_k_accuracy`
      treats as unranked.

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
    """Weights of all neighbours, checked, shape ``(queries, k)``.

    Call it under ``jax.enable_x64(True)``, with checked arguments.

    Raises:
      ValueError: if a weight is negative or not finite, or if a distance is negative
        and the weighting requires distances of at least 0.
    """
    given = np.asarray(found.distances)
    if weighting in (inverse_distance, gaussian) and given.min() < 0:
        name = getattr(weighting, "__name__", weighting)
        raise ValueError(
            f"found.distances must be at least 0 for {name}, got {given.min()}; "
            "weight similarities by a function of your own"
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
    """Keyword arguments of a weighting, checked on the host.

    Raises:
      ValueError: if an argument is missing or unknown, or a bandwidth is not above 0.
    """
    found = callbacks.bound_arguments("weighting", weighting, arguments)
    if weighting is gaussian:
        found["bandwidth"] = check.number("bandwidth", found["bandwidth"], above=0)
    return found


def check_labels(found: Neighbors, train_labels: Any, *, num_classes: int):
    """Labels of the training rows as NumPy, checked against the neighbours' indices."""
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
        return callbacks.call(
            "weighting", weighting, (row,), arguments, shape=row.shape
        )

    return jax.vmap(of_query)(distances)


@functools.partial(jax.jit, static_argnames=("num_classes",))
def _winners(weights: Array, labels: Array, *, num_classes: int) -> Array:
    num_queries, k = labels.shape

    def of_query(query: tuple[Array, Array]) -> Array:
        counted, classes = query
        # With more classes than neighbours, only the classes of the neighbours are
        # counted, one column per neighbour, so that memory does not grow with the
        # number of classes.
        is_narrow = num_classes <= k
        columns = jnp.arange(num_classes) if is_narrow else classes
        votes = jnp.where(classes[:, None] == columns[None, :], counted[:, None], 0)
        totals = jnp.cumsum(votes, axis=0)
        if is_narrow:
            return jnp.argmax(totals, axis=1).astype(jnp.int32)
        most = jnp.max(totals, axis=1, keepdims=True)
        tied = jnp.where(totals == most, classes[None, :], num_classes)
        # Without a vote all classes tie, including those without a neighbour.
        return jnp.where(most[:, 0] > 0, jnp.min(tied, axis=1), 0).astype(jnp.int32)

    at_once = max(1, _MAX_VOTES // (k * min(k, num_classes)))
    at_once = min(_MAX_QUERIES, at_once, num_queries)
    return jax.lax.map(of_query, (weights, labels), batch_size=at_once)


@functools.partial(jax.jit, static_argnames=("num_classes",))
def _shares(weights: Array, labels: Array, *, num_classes: int) -> Array:
    def of_query(counted: Array, classes: Array) -> Array:
        total = jnp.zeros(num_classes, counted.dtype).at[classes].add(counted)
        return total / jnp.sum(total)

    return jax.vmap(of_query)(weights, labels)


def _floating(distances: Array) -> jnp.dtype:
    """The floating dtype of weights: float64 for integers too, if JAX enables it."""
    return jnp.promote_types(distances.dtype, jax.dtypes.canonicalize_dtype(float))
