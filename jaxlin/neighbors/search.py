r"""Exact nearest-neighbour search by any metric.

  >>> import numpy as np
  >>> from jaxlin.neighbors import distances
  >>> from jaxlin import neighbors
  >>> rows = np.array([[0, 0], [3, 4], [6, 8], [3, 4]], np.uint8)
  >>> found = neighbors.nearest(rows, rows[:1], metric=distances.euclidean, k=3)
  >>> print(found.indices, found.distances)
  [[0 1 3]] [[0. 5. 5.]]

Exactness:

* For uint8 rows under `squared_euclidean`, `euclidean`, `manhattan` and `chebyshev` of
  `jaxlin.neighbors.distances` the order is that of the integer distances, on every
  device. (For many queries and many wide rows, `jaxlin.neighbors.projections` certifies
  most of that order at a lower cost.)
* Otherwise the order is that of the distances in float64 arithmetic: two rows whose
  distances differ by less than its rounding error (a relative 1e-13 or so) may be
  swapped. Most searches make one pass in float32, and `jaxlin.neighbors.bounds`
  certifies for each query that no neighbour was missed. Queries without a certificate
  (many rows are equally near) are repeated with a longer list, then in float64.

Ties go to the smaller index.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.neighbors import (
    bounds,
    distances,
    integer_distances,
    projections,
    rerank,
    scan,
    top_k,
)
from jaxlin.neighbors.scan import Search
from jaxlin.typing import Arguments, Distance

# Integer keys, 255^2 per feature, must stay below the bit pattern of infinity.
_MAX_SQUARED_FEATURES = 32_700
# Candidates beyond k that the first pass of bounds keeps, and the factor by which the
# second pass multiplies the list; float64 follows.
_EXTRA_CANDIDATES = 16
_WIDENING = 8
# Candidates that the pass over projections keeps per neighbour.
_CANDIDATES_PER_NEIGHBOR = 8
# Generous bound of the relative error of a float64 distance.
_DISTANCE_ERROR = 1e-9


class Neighbors(NamedTuple):
    """The k nearest rows of each query, nearest first; NumPy arrays.

    Attributes:
      distances: distances, shape ``(queries, k)``; int32 where they are exact integers,
        else float64.
      indices: indices of the training rows, int32, shape ``(queries, k)``.
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
        host or the device, or a memory map, which is read in blocks.
      query_rows: shape ``(queries, features)``, of the same dtype.
      metric: a function of `jaxlin.neighbors.distances`, or one of the caller
        (`jaxlin.typing.Distance`), which is computed in float64 throughout.
      k: number of neighbours, from 1 to the number of rows. The result for a smaller k
        is the first columns of the result for a larger one.
      metric_arguments: keyword arguments of the metric, such as ``{"power": 3.0}``;
        traced.
      block_size: rows per block, at least 1; None chooses about 32 MB as float32. It
        affects no integer distance, and other distances within rounding only.
      recall_target: None for exact search, or the target recall of
        `jax.lax.approx_min_k` in each block of rows, in (0, 1]; approximate search is
        much faster on TPUs and exact on a CPU. `recall` measures the achieved recall.
        Distances are exact for the rows that were found.

    Raises:
      ValueError: before compilation, if an argument is not valid; after the search, if
        a distance is not finite.
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
    search = Search(
        _on_its_device(train_rows, train), _on_its_device(query_rows, queries)
    )
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
    """The k nearest neighbours of each row among the rows of other groups.

    Without ``groups`` every row is a group of its own: leave-one-out. With fold ids
    (`jaxlin.selection.folds`) one search serves all folds of a cross-validation.

    Args:
      rows: shape ``(rows, features)``, uint8 or floating, finite; an array on the host
        or the device, or a memory map, which is read in blocks.
      metric: a function of `jaxlin.neighbors.distances`, or one of the caller
        (`jaxlin.typing.Distance`), which is computed in float64 throughout.
      k: number of neighbours, from 1 to the number of rows outside the largest group.
      groups: group of each row, integers, shape ``(rows,)``; None for leave-one-out.
      metric_arguments: keyword arguments of the metric, such as ``{"power": 3.0}``;
        traced.
      block_size: rows per block, at least 1; None chooses about 32 MB as float32.
      recall_target: None for exact search, or the target recall of
        `jax.lax.approx_min_k` in each block of rows, in (0, 1].

    Example:
      >>> rows = np.array([[0.0], [1.0], [5.0], [7.0]])
      >>> print(nearest_others(rows, metric=distances.euclidean, k=1).indices.ravel())
      [1 0 3 2]

    Raises:
      ValueError: before compilation, if an argument is not valid; after the search, if
        a distance is not finite.
    """
    array = check.features("rows", rows)
    if groups is None:
        groups = np.arange(len(array), dtype=np.int32)
    groups = check.labels("groups", groups, num_examples=len(array))
    largest = int(np.bincount(np.unique(groups, return_inverse=True)[1]).max())
    if largest == len(array):
        raise ValueError(
            f"groups must be at least two, got all {largest} rows in one; neighbours "
            "come from other groups"
        )
    check.integer("k", k, at_least=1, at_most=len(array) - largest)
    found = _checked(metric, metric_arguments, array, block_size, recall_target)
    resident = _on_its_device(rows, array)
    search = Search(resident, resident, groups, groups)
    return _search(metric, found, search, k, block_size, recall_target)


def recall(found: Neighbors, exact: Neighbors) -> float:
    """Share of the exact neighbours that an approximate search found.

    Args:
      found: result of a search with ``recall_target``.
      exact: result of the exact search for the same queries and k.
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
    """Rows given as integers become float64 if the others need more than float32."""
    is_from_integers = np.asarray(given).dtype.kind in "iu" and rows.dtype == np.float32
    return (
        rows.astype(np.float64) if is_from_integers and others.dtype == float else rows
    )


def _on_its_device(given: Any, checked: np.ndarray) -> Any:
    """The given array if it is on a device and the check kept its dtype."""
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
    options = {"block_size": block_size, "recall_target": recall_target}
    if _is_integer(metric, search):
        is_square = metric in (distances.squared_euclidean, distances.euclidean)
        is_wide = projections.is_worthwhile(len(search.queries), search.rows, k=k)
        if is_square and is_wide and recall_target is None:
            found = _by_projections(search, k, block_size)
        else:
            found = _in_integers(metric, search, k, **options)
        if metric is distances.euclidean:
            return found._replace(distances=np.sqrt(found.distances, dtype=float))
        return found
    form = bounds.form(metric, num_features=search.rows.shape[1])
    with jax.enable_x64(True):
        if form is None:
            return _in_float64(metric, arguments, search, k, **options)
        return _proven(metric, arguments, form, search, k, **options)


def _in_integers(metric, search, k, **options) -> Neighbors:
    keys, indices = scan.run(scan.exact_integers(metric), None, search, k=k, **options)
    return Neighbors(top_k.integer_of_key(keys), indices)


def _by_projections(search: Search, k: int, block_size: int | None) -> Neighbors:
    """Squared distances from projections, with a full pass for uncertified queries."""
    metric = distances.squared_euclidean
    length = min(
        len(search.rows),
        top_k.power_of_two(_CANDIDATES_PER_NEIGHBOR * k + _EXTRA_CANDIDATES),
    )
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
    uncertified = np.flatnonzero(~(bound[:, -1] > found.distances[:, -1]))
    if len(uncertified) > 0:
        part = search.of_queries(uncertified)
        _write(found, uncertified, _in_integers(metric, part, k, block_size=block_size))
    return found


def _is_integer(metric: Distance, search: Search) -> bool:
    form = integer_distances.integer_form(metric, search.queries, search.rows)
    is_square = metric in (distances.squared_euclidean, distances.euclidean)
    is_too_wide = is_square and search.rows.shape[1] > _MAX_SQUARED_FEATURES
    return form is not None and not is_too_wide


def _in_float64(metric, arguments, search, k, **options) -> Neighbors:
    keys, indices = scan.run(
        scan.in_float64(metric), arguments, search, k=k, dtype=jnp.float64, **options
    )
    return Neighbors(keys, indices)


def _proven(metric, arguments, form, search, k, *, block_size, recall_target):
    """Passes of lower bounds, then float64 for the queries that remain uncertified."""
    on_host = [np.asarray(some) for some in (search.queries, search.rows)]
    frame = bounds.frame(metric, arguments, *on_host)
    num_rows = len(search.rows)
    if recall_target is not None:
        lists = [k]
    else:
        first = top_k.power_of_two(k + _EXTRA_CANDIDATES)
        lists = [min(num_rows, first), min(num_rows, _WIDENING * first)]
    shape = (len(search.queries), k)
    found = Neighbors(np.empty(shape), np.empty(shape, np.int32))
    uncertified = np.arange(len(search.queries))
    for length in lists:
        part = search.of_queries(uncertified)
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
        _write(found, uncertified, measured)
        if recall_target is not None or length == num_rows:
            return found
        farthest = form.in_frame(frame, measured[0][:, -1])
        # Every row left out has a bound of at least the last one in the list.
        uncertified = uncertified[~(keys[:, -1] > farthest * (1 + _DISTANCE_ERROR))]
        if len(uncertified) == 0:
            return found
    part = search.of_queries(uncertified)
    _write(found, uncertified, _in_float64(metric, arguments, part, k))
    return found


def _write(found: Neighbors, queries: np.ndarray, part: Any) -> None:
    found.distances[queries], found.indices[queries] = part
