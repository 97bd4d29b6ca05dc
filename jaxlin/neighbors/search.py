r"""The exact nearest neighbours of each query, by any metric.

  >>> import numpy as np
  >>> from jaxlin.neighbors import distances
  >>> from jaxlin import neighbors
  >>> rows = np.array([[0, 0], [3, 4], [6, 8], [3, 4]], np.uint8)
  >>> found = neighbors.nearest(rows, rows[:1], metric=distances.euclidean, k=3)
  >>> print(found.indices, found.distances)
  [[0 1 3]] [[0. 5. 5.]]

What "exact" means:

* uint8 rows under `squared_euclidean`, `euclidean`, `manhattan` and `chebyshev` of
  `jaxlin.neighbors.distances`: the order of the integers, on every device. (Where many
  queries meet many wide rows, `jaxlin.neighbors.projections` proves most of that order
cheaply.) * Otherwise the order of the distances as float64 arithmetic gives them, so
that two
  rows whose distances differ by less than its rounding (about 1e-13 of them) may change
  places. Most searches make one pass in float32; `jaxlin.neighbors.bounds` proves for
  each query that it has missed no row, and where it cannot (many rows are equally
  near), a longer list is tried, then float64 alone.

Equal distances go to the smaller index.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.neighbors import (
    bounds,
    distances,
    pairwise,
    projections,
    rerank,
    scan,
    top_k,
)
from jaxlin.neighbors.scan import Search
from jaxlin.typing import Arguments, Distance

# Keys of integers must stay below the pattern of infinity: 255^2 a feature.
_MOST_SQUARES = 32_700
# Candidates beyond k that the first pass of bounds keeps, and how many times as many
# the second does; then comes float64.
_SPARE = 16
_WIDER = 8
# Candidates that a look at projections keeps for each of the k.
_SHADOWS = 8
# What float64 may err by in a distance, and more.
_SLACK = 1e-9


class Neighbors(NamedTuple):
    """The k nearest rows of each query, nearest first; NumPy arrays.

    Attributes:
      distances: shape ``(queries, k)``: int32 where they are exact integers, else
        float64.
      indices: rows of the training set, int32, same shape.
    """

    distances: Any
    indices: Any


def nearest(
    train_rows: Any,
    query_rows: Any,
    *,
    metric: Distance,
    k: int,
    metric_arguments: Arguments | None = None,
    block_size: int | None = None,
    recall_target: float | None = None,
) -> Neighbors:
    """The k nearest training rows of each query.

    Args:
      train_rows: shape ``(rows, features)``, uint8 or floating, finite; an array on the
        host or the device, or a memory map, of which one block at a time is read.
      query_rows: shape ``(queries, features)``, of the same dtype.
      metric: a function of `jaxlin.neighbors.distances`, or one of your own
        (`jaxlin.typing.Distance`), which is then computed in float64 throughout.
      k: how many, from 1 to the number of rows. The result for a smaller k is the first
        columns of that for a larger.
      metric_arguments: its keywords, such as ``{"power": 3.0}``; traced.
      block_size: rows a block; None chooses what takes about 32 MB as float32. It
        changes no integer distance, and other distances within rounding.
      recall_target: None for the exact answer; or what `jax.lax.approx_min_k` is asked
        for in each block of rows, in (0, 1], which TPUs do much faster and which is
        exact on a CPU. `recall` measures what came of it. Distances are those of the
        rows that were found.

    Raises:
      ValueError: before anything is compiled, that names the argument, the rule and the
        value.
    """
    train = check.features("train_rows", train_rows)
    queries = check.features("query_rows", query_rows, num_features=train.shape[1])
    train = _as_wide(train, train_rows, queries)
    queries = _as_wide(queries, query_rows, train)
    if train.dtype != queries.dtype:
        raise ValueError(
            f"query_rows must be {train.dtype} as train_rows, got {queries.dtype}; "
            "convert one of them, and scale both alike, such as "
            f"astype({np.promote_types(train.dtype, queries.dtype)})"
        )
    check.integer("k", k, at_least=1, at_most=len(train))
    found = _checked(metric, metric_arguments, train, block_size, recall_target)
    search = Search(_where_it_is(train_rows, train), _where_it_is(query_rows, queries))
    return _search(metric, found, search, k, block_size, recall_target)


def nearest_others(
    rows: Any,
    *,
    metric: Distance,
    k: int,
    groups: Any = None,
    metric_arguments: Arguments | None = None,
    block_size: int | None = None,
    recall_target: float | None = None,
) -> Neighbors:
    """The k nearest of each row among those of other groups.

    Without ``groups`` every row is its own: leave-one-out. With the numbers of folds
    (`jaxlin.selection.folds`) all folds of a cross-validation are had at once.

    Args:
      rows: as ``train_rows`` of `nearest`.
      metric: as there.
      k: from 1 to the number of rows outside the largest group.
      groups: integers, shape ``(rows,)``, or None.
      metric_arguments: as in `nearest`.
      block_size: as there.
      recall_target: as there.

    Example:
      >>> rows = np.array([[0.0], [1.0], [5.0], [7.0]])
      >>> print(nearest_others(rows, metric=distances.euclidean, k=1).indices.ravel())
      [1 0 3 2]

    Raises:
      ValueError: as `nearest`.
    """
    array = check.features("rows", rows)
    if groups is None:
        groups = np.arange(len(array), dtype=np.int32)
    groups = check.labels("groups", groups, num_examples=len(array))
    largest = int(np.bincount(np.unique(groups, return_inverse=True)[1]).max())
    if largest == len(array):
        raise ValueError(
            f"groups must be at least two, got all {largest} rows in one; nobody has "
            "a neighbour in another"
        )
    check.integer("k", k, at_least=1, at_most=len(array) - largest)
    found = _checked(metric, metric_arguments, array, block_size, recall_target)
    at_hand = _where_it_is(rows, array)
    search = Search(at_hand, at_hand, groups, groups)
    return _search(metric, found, search, k, block_size, recall_target)


def recall(found: Neighbors, exact: Neighbors) -> float:
    """Share of the exact neighbours that an approximate search has found.

    Args:
      found: with ``recall_target``.
      exact: without, of the same queries and k.
    """
    pairs = zip(np.asarray(found.indices), np.asarray(exact.indices), strict=True)
    shares = [np.isin(true, some).mean() for some, true in pairs]
    return float(np.mean(shares))


def _checked(metric, arguments, rows, block_size, recall_target) -> dict[str, Any]:
    if block_size is not None:
        check.integer("block_size", block_size, at_least=1)
    if recall_target is not None:
        check.number("recall_target", recall_target, above=0, at_most=1)
    return distances.check_arguments(metric, arguments, num_features=rows.shape[1])


def _as_wide(rows: np.ndarray, given: Any, others: np.ndarray) -> np.ndarray:
    """Given as integers, they are float64 if the others were too large for float32."""
    was_integer = np.asarray(given).dtype.kind in "iu" and rows.dtype == np.float32
    return rows.astype(np.float64) if was_integer and others.dtype == float else rows


def _where_it_is(given: Any, checked: np.ndarray) -> Any:
    """Rows on a device stay there, if the check has changed nothing."""
    stays = isinstance(given, jax.Array) and given.dtype == checked.dtype
    return given if stays else checked


def _search(metric, arguments, search, k, block_size, recall_target) -> Neighbors:
    found = _found(metric, arguments, search, k, block_size, recall_target)
    bad = (found.indices < 0) | ~np.isfinite(found.distances)
    if bad.any():
        query, place = np.argwhere(bad)[0]
        name = getattr(metric, "__name__", metric)
        raise ValueError(
            f"{name} must be finite between each query and {k} rows, got "
            f"{found.distances[query, place]} for query {query}; scale the "
            "features, or ask for fewer neighbours"
        )
    return found


def _found(metric, arguments, search, k, block_size, recall_target) -> Neighbors:
    how = {"block_size": block_size, "recall_target": recall_target}
    if _is_integer(metric, search):
        is_square = metric in (distances.squared_euclidean, distances.euclidean)
        is_wide = projections.is_worthwhile(len(search.queries), search.rows, k=k)
        if is_square and is_wide and recall_target is None:
            found = _after_shadows(search, k, block_size)
        else:
            found = _in_integers(metric, search, k, **how)
        if metric is distances.euclidean:
            return found._replace(distances=np.sqrt(found.distances, dtype=float))
        return found
    form = bounds.form(metric, num_features=search.rows.shape[1])
    with jax.enable_x64(True):
        if form is None:
            return _in_float64(metric, arguments, search, k, **how)
        return _proven(metric, arguments, form, search, k, **how)


def _in_integers(metric, search, k, **how) -> Neighbors:
    keys, indices = scan.run(scan.exact_integers(metric), None, search, k=k, **how)
    return Neighbors(top_k.integer_of_key(keys), indices)


def _after_shadows(search: Search, k: int, block_size: int | None) -> Neighbors:
    """Squared distances, of all rows only for queries that few do not settle."""
    metric = distances.squared_euclidean
    length = min(len(search.rows), top_k.power_of_two(_SHADOWS * k + _SPARE))
    screen = projections.screen(search.rows)
    bound, candidates = scan.run(
        projections.MEASURE,
        screen,
        search._replace(queries=projections.of_queries(screen, search.queries)),
        k=length,
        block_size=block_size,
    )
    queries, rows = (np.asarray(some) for some in (search.queries, search.rows))
    found = Neighbors(*rerank.nearest_bytes(queries, rows, candidates, bound, k=k))
    open_queries = np.flatnonzero(~(bound[:, -1] > found.distances[:, -1]))
    if len(open_queries) > 0:
        part = search.of_queries(open_queries)
        _put(found, open_queries, _in_integers(metric, part, k, block_size=block_size))
    return found


def _is_integer(metric: Distance, search: Search) -> bool:
    form = pairwise.integer_form(metric, search.queries, search.rows)
    is_square = metric in (distances.squared_euclidean, distances.euclidean)
    is_too_wide = is_square and search.rows.shape[1] > _MOST_SQUARES
    return form is not None and not is_too_wide


def _in_float64(metric, arguments, search, k, **how) -> Neighbors:
    keys, indices = scan.run(
        scan.in_float64(metric), arguments, search, k=k, dtype=jnp.float64, **how
    )
    return Neighbors(keys, indices)


def _proven(metric, arguments, form, search, k, *, block_size, recall_target):
    """Bounds first, float64 for the few that they leave, until nothing is missing."""
    on_host = [np.asarray(some) for some in (search.queries, search.rows)]
    frame = bounds.frame(metric, arguments, *on_host)
    num_rows = len(search.rows)
    if recall_target is not None:
        lists = [k]
    else:
        first = top_k.power_of_two(k + _SPARE)
        lists = [min(num_rows, first), min(num_rows, _WIDER * first)]
    shape = (len(search.queries), k)
    found = Neighbors(np.empty(shape), np.empty(shape, np.int32))
    open_queries = np.arange(len(search.queries))
    for length in lists:
        part = search.of_queries(open_queries)
        keys, indices = scan.run(
            scan.lower_bounds(form),
            frame,
            part,
            k=length,
            block_size=block_size,
            recall_target=recall_target,
        )
        measured = rerank.nearest_of(
            metric, arguments, np.asarray(part.queries), on_host[1], indices, k=k
        )
        _put(found, open_queries, measured)
        if recall_target is not None or length == num_rows:
            return found
        farthest = form.in_frame(frame, measured[0][:, -1])
        # Whatever was left out has a bound of at least the last one's.
        open_queries = open_queries[~(keys[:, -1] > farthest * (1 + _SLACK))]
        if len(open_queries) == 0:
            return found
    part = search.of_queries(open_queries)
    _put(found, open_queries, _in_float64(metric, arguments, part, k))
    return found


def _put(found: Neighbors, queries: np.ndarray, part: Any) -> None:
    found.distances[queries], found.indices[queries] = part
