r"""Local fits: class scores at a query from its neighbours.

  majority                     number of neighbours of each class
  weighted_vote                sum of the weights of the neighbours of each class
  linear_classifier(loss=...)  a linear classifier of the neighbours, with their weights
                               as example weights

A local fit is a function of one query (`jaxlin.typing.LocalFit`); `local_fit` applies
it to all queries:

  >>> import numpy as np
  >>> from jaxlin.neighbors import distances
  >>> from jaxlin import losses, neighbors
  >>> rows = np.array([[0.0], [1.0], [3.0], [4.0]])
  >>> labels = np.array([0, 0, 1, 1])
  >>> queries = np.array([[2.2]])
  >>> found = neighbors.nearest(rows, queries, metric=distances.euclidean, k=4)
  >>> scores = neighbors.local_fit(
  ...     found, rows, labels, queries, num_classes=2, fit_arguments={"l2": 1e-3},
  ...     fit=neighbors.linear_classifier(loss=losses.softmax_cross_entropy))
  >>> print(scores.argmax(axis=1))
  [1]

The four choices of memory-based learning are four arguments: ``metric`` and ``k`` of
the search, ``weighting``, and ``fit``. The first two fits do not use the rows, and
`vote` returns their predictions for every k at once.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check, linear
from jaxlin.losses import conjugates
from jaxlin.neighbors import callbacks, voting
from jaxlin.neighbors.search import Neighbors
from jaxlin.solvers import certified, interface
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Arguments, Array, LocalFit, Loss, Weighting

# Bytes of neighbours gathered per block of queries.
_BLOCK_BYTES = 32 * 2**20


def majority(
    query: Array, rows: Array, labels: Array, weights: Array, /, *, num_classes: int
) -> Array:
    """Number of neighbours of each class, regardless of their weights.

    Args:
      query: query, shape ``(features,)``; not used.
      rows: its neighbours, shape ``(k, features)``; not used.
      labels: labels of the neighbours, shape ``(k,)``.
      weights: weights of the neighbours, shape ``(k,)``; only their dtype is used.
      num_classes: number of classes.

    Returns:
      Scores, shape ``(num_classes,)``.
    """
    return weighted_vote(
        query, rows, labels, jnp.ones_like(weights), num_classes=num_classes
    )


def weighted_vote(
    query: Array, rows: Array, labels: Array, weights: Array, /, *, num_classes: int
) -> Array:
    """Sum of the weights of the neighbours of each class: the fit of a constant.

    Arguments and result are those of `majority`, with the weights used.
    """
    del query, rows
    return jnp.zeros(num_classes, weights.dtype).at[labels].add(weights)


@functools.cache
def linear_classifier(*, loss: Loss, num_steps: int = 30) -> LocalFit:
    r"""Regularised linear classifier fitted to the neighbours, evaluated at the query.

    .. math:: \min_{W, b} \frac{\sum_i a_i\, \ell(W (x_i - q) + b, y_i)}{\sum_i a_i}
              + \frac{\lambda_2}{2} \|W, b\|^2

    over the neighbours :math:`x_i` of the query q, with their weights :math:`a_i`. Its
    scores at the query are b. As l2 grows, their order approaches that of
    `weighted_vote`. With more features than neighbours, the rows of W lie in the span
    of the neighbours, and the fit is computed in coordinates of that span, at the cost
    of k features.

    The returned function takes a traced keyword ``l2`` (:math:`\lambda_2`), above 0, in
    units of the rows as given: for raw pixels scale the rows first or choose ``l2``
    accordingly.

    Args:
      loss: a loss with a known conjugate (`jaxlin.losses.conjugates`).
      num_steps: number of steps of the certified solver, at least 1.

    Returns:
      The local fit; equal arguments return the same object and thus share a compiled
      program.

    Raises:
      ValueError: if no conjugate of the loss is known, or ``num_steps`` is below 1.

    Reference:
      C. G. Atkeson, A. W. Moore and S. Schaal. Locally weighted learning. Artificial
      Intelligence Review, 1997.
    """
    conjugates.of(loss)
    check.integer("num_steps", num_steps, at_least=1)
    solver = certified.solver(loss=loss)

    def local_linear(
        query: Array,
        rows: Array,
        labels: Array,
        weights: Array,
        /,
        *,
        num_classes: int,
        l2: Any,
    ) -> Array:
        features = _span_coordinates(rows - query[None, :])
        examples = certified.prepare(interface.Examples(features, labels, weights))
        params = linear.Params(
            jnp.zeros((num_classes, features.shape[1]), features.dtype),
            jnp.zeros(num_classes, features.dtype),
        )
        settings = Settings(l2=jnp.asarray(l2, features.dtype))
        state = solver.init(params, examples, settings)

        def step(state, number):
            state, _ = solver.step(jax.random.key(0), number, state, examples, settings)
            return state, None

        state, _ = jax.lax.scan(step, state, jnp.arange(num_steps))
        return state.params.bias

    return local_linear


def local_fit(
    found: Neighbors,
    train_rows: Any,
    train_labels: Any,
    query_rows: Any,
    *,
    num_classes: int,
    fit: LocalFit = weighted_vote,
    fit_arguments: Arguments | None = None,
    weighting: Weighting = voting.uniform,
    weighting_arguments: Arguments | None = None,
) -> np.ndarray:
    """Class scores at each query, from a fit to its neighbours.

    Args:
      found: result of `jaxlin.neighbors.nearest`; for a smaller k keep its first
        columns.
      train_rows: training rows that ``found`` indexes, shape ``(rows, features)``; only
        neighbours are read. The rows may be in another representation (normalised, or
        other features) than in the search.
      train_labels: integers in [0, num_classes), shape ``(rows,)``.
      query_rows: shape ``(queries, features)``, in the representation of the training
        rows.
      num_classes: number of classes, at least 2.
      fit: a local fit of this module or of the caller; `weighted_vote` by default.
      fit_arguments: keyword arguments of the fit, such as ``{"l2": 1e-3}``; traced.
      weighting: function of the distances of one query's neighbours
        (`jaxlin.neighbors.voting`); uniform by default.
      weighting_arguments: keyword arguments of the weighting, such as
        ``{"bandwidth": 2.0}``; traced.

    Returns:
      Scores, float32, shape ``(queries, num_classes)``. Their argmax is the prediction
      and breaks ties in favour of the smallest class. `majority` and `weighted_vote`
      score 0 for a class without a vote, as `jaxlin.neighbors.shares` does.

    Raises:
      ValueError: before compilation, if an argument is not valid.
    """
    labels = voting.check_labels(found, train_labels, num_classes=num_classes)
    arguments = voting.check_weighting(weighting, weighting_arguments)
    rows = check.features("train_rows", train_rows)
    queries = check.features("query_rows", query_rows, num_features=rows.shape[1])
    if len(rows) != len(labels) or len(queries) != len(found.indices):
        raise ValueError(
            "train_rows and query_rows must be as many as labels and neighbours, got "
            f"{len(rows)} rows for {len(labels)} labels and {len(queries)} queries for "
            f"the neighbours of {len(found.indices)}"
        )
    kept = callbacks.bound_arguments(
        "fit", fit, fit_arguments, reserved=("num_classes",)
    )
    if "l2" in kept:
        kept["l2"] = check.number("l2", kept["l2"], above=0)
    with jax.enable_x64(True):
        weights = voting.weights_of(found, weighting, arguments).astype(np.float32)
    return _in_blocks(found, rows, labels, queries, weights, num_classes, fit, kept)


def _in_blocks(found, rows, labels, queries, weights, num_classes, fit, arguments):
    k, count = weights.shape[1], len(queries)
    size = max(1, _BLOCK_BYTES // (4 * rows.shape[1] * k))
    size = min(1 << (size.bit_length() - 1), 1 << (count - 1).bit_length())
    parts = []
    for start in range(0, count, size):
        # The last block is padded with its last query, so that all have one shape.
        some = np.minimum(np.arange(start, start + size), count - 1)
        near = np.asarray(found.indices)[some]
        # Centred at the query in float64, before rounding: only differences matter.
        given = queries[some].astype(np.float64)
        scores = _fit(
            np.zeros_like(given, np.float32),
            (rows[near] - given[:, None]).astype(np.float32),
            labels[near],
            weights[some],
            arguments,
            fit=fit,
            num_classes=num_classes,
        )
        parts.append(np.asarray(scores))
    return np.concatenate(parts)[:count]


@functools.partial(jax.jit, static_argnames=("fit", "num_classes"))
def _fit(queries, rows, labels, weights, arguments, *, fit, num_classes):
    def of_query(*one: Array) -> Array:
        asked = {"num_classes": num_classes, **arguments}
        return callbacks.call("fit", fit, one, asked, shape=(num_classes,))

    return jax.vmap(of_query)(queries, rows, labels, weights)


def _span_coordinates(rows: Array) -> Array:
    """Coordinates of rows in an orthonormal basis of their span, if it is smaller."""
    if rows.shape[1] <= rows.shape[0]:
        return rows
    return jnp.linalg.qr(rows.T, mode="r").T
