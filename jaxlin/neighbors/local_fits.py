r"""How to fit with the local points: one score a class at a query, from its neighbours.

  majority                     how many neighbours each class has
  weighted_vote                the sum of their weights
  linear_classifier(loss=...)  a linear classifier of the neighbours, with their weights
                               as example weights

A local fit is a function of one query (`jaxlin.typing.LocalFit`); `local_fit` applies
it to all:

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

The lecture's four choices are four arguments: ``metric`` and ``k`` of the search,
``weighting``, and ``fit``. The first two fits ask nothing of the rows, and `vote` gives
their answers for every k at once.
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

# Bytes of neighbours gathered at a time.
_BLOCK_BYTES = 32 * 2**20


def majority(
    query: Array, rows: Array, labels: Array, weights: Array, /, *, num_classes: int
) -> Array:
    """How many neighbours each class has, whatever their weights.

    Args:
      query: shape ``(features,)``.
      rows: its neighbours, shape ``(k, features)``.
      labels: of these, shape ``(k,)``.
      weights: of these, shape ``(k,)``.
      num_classes: C.

    Returns:
      Scores, shape ``(num_classes,)``.
    """
    return weighted_vote(
        query, rows, labels, jnp.ones_like(weights), num_classes=num_classes
    )


def weighted_vote(
    query: Array, rows: Array, labels: Array, weights: Array, /, *, num_classes: int
) -> Array:
    """Sum of the weights of each class: the fit of a constant.

    Arguments and result as of `majority`.
    """
    del query, rows
    return jnp.zeros(num_classes, weights.dtype).at[labels].add(weights)


@functools.cache
def linear_classifier(*, loss: Loss, num_steps: int = 30) -> LocalFit:
    r"""A fit of the core's objective to the neighbours, judged at the query.

    .. math:: \min_{W, b} \frac{\sum_i a_i\, \ell(W (x_i - q) + b, y_i)}{\sum_i a_i}
              + \frac{\lambda_2}{2} \|W, b\|^2

    over the neighbours :math:`x_i` of the query q, with their weights :math:`a_i`. Its
    scores at the query are b. As l2 grows, they come to order the classes as
    `weighted_vote` does. Where there are more features than neighbours, W lies in the
    span of these, and the fit is made there, at the cost of k features.

    The function that is returned takes a traced keyword ``l2``, above 0, in units of
    the rows as they are (pixels, say: scale them first, or choose it accordingly).

    Args:
      loss: one that has a conjugate (`jaxlin.losses.conjugates`).
      num_steps: evaluations of the certified solver.

    Returns:
      The local fit; equal arguments give the same object and so one program.

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
        features = _in_their_span(rows - query[None, :])
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
    """Scores of the classes at each query, from a fit to its neighbours.

    Args:
      found: neighbours; for a smaller k their first columns.
      train_rows: that ``found`` indexes, shape ``(rows, features)``; only neighbours
        are read. Rows of another kind (normalised, or other features) than those that
        the neighbours were searched by may be given.
      train_labels: in [0, num_classes), one for each training row.
      query_rows: shape ``(queries, features)``, of the same kind.
      num_classes: C, at least 2.
      fit: of this module, or a function of yours.
      fit_arguments: its keywords, such as ``{"l2": 1e-3}``; traced.
      weighting: as in `jaxlin.neighbors.vote`.
      weighting_arguments: its keywords, traced.

    Returns:
      Scores, float32, shape ``(queries, num_classes)``. Their argmax is the answer; it
      gives ties to the smallest class. Of `majority` and `weighted_vote` a class
      without a vote has 0, as in `jaxlin.neighbors.shares`.

    Raises:
      ValueError: before anything is compiled, that names the argument, the rule and the
        value.
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
    kept = callbacks.bound("fit", fit, fit_arguments, ours=("num_classes",))
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
        # The last block is filled with its last query, so that all have one shape.
        some = np.minimum(np.arange(start, start + size), count - 1)
        near = np.asarray(found.indices)[some]
        # Around the query, before digits are lost: only differences count.
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
        return callbacks.applied("fit", fit, one, asked, shape=(num_classes,))

    return jax.vmap(of_query)(queries, rows, labels, weights)


def _in_their_span(rows: Array) -> Array:
    """Coordinates of rows in an orthonormal basis of as many directions as needed."""
    if rows.shape[1] <= rows.shape[0]:
        return rows
    return jnp.linalg.qr(rows.T, mode="r").T
