"""How near a peer came, by our objective in float64, and when.

A peer's own figures count for nothing here: its weights are put into
`jaxlin.objective`, all points of a trace at once, rows in blocks.

  values = judge.values(trace, rows, labels, loss=peer.loss, l2=1e-3)
  verdict = judge.judge(trace, values, best=best, rows=test_rows, labels=test_labels)
  verdict.arrivals[1e-4]  # None, or seconds and evaluations
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark_solvers.traces import Point, Trace
from experiments.common.losses import CERTIFIED
from jaxlin import check, linear, objective
from jaxlin.typing import Array

# Relative distances above the best known objective that are asked for.
TOLERANCES = (1e-2, 1e-3, 1e-4)


# In float64: at 3,072 features 25 MB of rows, and 30 MB of weights of 10 classes.
_ROWS_PER_BLOCK = 1024
_POINTS_PER_BLOCK = 128


class Arrival(NamedTuple):
    """When a peer first came within a tolerance.

    Attributes:
      seconds: as in `Point`.
      evaluations: as in `Point`.
      hessian_products: as in `Point`.
      later_than: seconds of the point before, where it was not there yet; 0 if there is
        none. Of a method that is rerun with more and more iterations the truth lies
        between the two.
    """

    seconds: float
    evaluations: int | None
    hessian_products: int
    later_than: float


class Verdict(NamedTuple):
    """What a peer achieved.

    Attributes:
      name: of the peer.
      arrivals: for each tolerance the first point whose objective is at most (1 +
        tolerance) times the best known one; None if there was no such.
      answer: what the peer would hand over: the last point of one that finished, the
        lowest point of one that was stopped; None if it got nowhere.
      objective: of the answer; infinite without one.
      distance: (objective - best) / best.
      test_accuracy: of the answer, as a share; None without one.
    """

    name: str
    arrivals: dict[float, Arrival | None]
    answer: Point | None
    objective: float
    distance: float
    test_accuracy: float | None


def judge(
    trace: Trace,
    values: np.ndarray,
    *,
    best: float,
    rows: np.ndarray,
    labels: np.ndarray,
    tolerances: tuple[float, ...] = TOLERANCES,
) -> Verdict:
    """Compares a trace with the best known objective.

    Args:
      trace: of one peer.
      values: our objective at its points, from `values`; NaN counts as infinite.
      best: the lowest objective that anybody is known to have reached, above 0.
      rows: of the test set, with the constant feature, as those of training.
      labels: of the test set.
      tolerances: relative distances to report.

    Raises:
      ValueError: if ``best`` is not above 0 or the values are not one a point.
    """
    check.number("best", best, above=0)
    if len(values) != len(trace.points):
        raise ValueError(
            f"values must be one a point, got {len(values)} for {len(trace.points)} "
            f"points of {trace.name}"
        )
    values = np.where(np.isnan(values), np.inf, np.asarray(values, np.float64))
    found = arrivals(trace.points, values, best=best, tolerances=tolerances)
    if not trace.points:
        return Verdict(trace.name, found, None, np.inf, np.inf, None)
    chosen = len(values) - 1 if trace.finished else int(np.argmin(values))
    answer, value = trace.points[chosen], float(values[chosen])
    return Verdict(
        trace.name,
        found,
        answer,
        value,
        value / best - 1,
        accuracy(answer.weights, rows, labels),
    )


def arrivals(
    points: list[Point],
    values: np.ndarray,
    *,
    best: float,
    tolerances: tuple[float, ...] = TOLERANCES,
) -> dict[float, Arrival | None]:
    """`Verdict.arrivals` of points with these objectives."""
    return {
        tolerance: _first_below(points, values, (1 + tolerance) * best)
        for tolerance in tolerances
    }


def values(
    trace: Trace, rows: np.ndarray, labels: np.ndarray, *, loss: str, l2: float
) -> np.ndarray:
    """Our objective at each point of a trace, float64, shape ``(points,)``."""
    if not trace.points:
        return np.zeros(0)
    weights = np.stack([point.weights for point in trace.points])
    return objectives(weights, rows, labels, loss=loss, l2=l2)


def objectives(
    weights: np.ndarray, rows: np.ndarray, labels: np.ndarray, *, loss: str, l2: float
) -> np.ndarray:
    """Our objective for each of many weights, in float64.

    Args:
      weights: shape ``(points, classes, features)``, the constant feature's last.
      rows: training rows, shape ``(examples, features)``, the last feature 1.
      labels: shape ``(examples,)``.
      loss: its name in `jaxlin.losses`, one of `experiments.common.losses.CERTIFIED`.
      l2: strength of half the sum of squares, of the bias too.

    Returns:
      Shape ``(points,)``; not finite where weights are not.
    """
    check.choice("loss", loss, tuple(CERTIFIED))
    found = [
        _objectives(block, rows, labels, loss=CERTIFIED[loss], l2=l2)
        for block in _blocks(weights, _POINTS_PER_BLOCK)
    ]
    return np.concatenate(found)


def accuracy(weights: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose highest score is that of their label; ties to the first."""
    right = [
        np.argmax(block @ weights.T, axis=1) == truth
        for block, truth in zip(
            _blocks(rows, _ROWS_PER_BLOCK),
            _blocks(labels, _ROWS_PER_BLOCK),
            strict=True,
        )
    ]
    return float(np.mean(np.concatenate(right)))


def _first_below(
    points: list[Point], values: np.ndarray, bound: float
) -> Arrival | None:
    """The first point whose value is at most ``bound``."""
    below = np.flatnonzero(values <= bound)
    if not len(below):
        return None
    first = int(below[0])
    seconds, evaluations, _, products = points[first]
    # Runs of a method that is rerun are timed apart: a longer one may be faster.
    before = min(points[first - 1].seconds, seconds) if first else 0.0
    return Arrival(seconds, evaluations, products, before)


def _objectives(
    weights: np.ndarray, rows: np.ndarray, labels: np.ndarray, *, loss: Any, l2: float
) -> np.ndarray:
    """`objectives` of so many weights that they are one product with a block."""
    # Few different numbers of points, so that few programs are compiled.
    padding = (1 << (len(weights) - 1).bit_length()) - len(weights)
    padded = np.pad(weights, ((0, padding), (0, 0), (0, 0)))
    with jax.enable_x64(True):
        stacked = jax.vmap(linear.unfold_bias)(jnp.asarray(padded, jnp.float64))
        total = np.asarray(_penalties(stacked, l2))
        for block, truth in zip(
            _blocks(rows, _ROWS_PER_BLOCK),
            _blocks(labels, _ROWS_PER_BLOCK),
            strict=True,
        ):
            total = total + np.asarray(
                _losses(stacked, block, truth, len(rows), loss=loss)
            )
    return total[: len(weights)]


@jax.jit
def _penalties(params: linear.Params, l2: Array) -> Array:
    return jax.vmap(lambda one: objective.penalty(one, l2=l2))(params)


@functools.partial(jax.jit, static_argnames="loss")
def _losses(
    params: linear.Params, rows: Array, labels: Array, num_examples: Array, *, loss: Any
) -> Array:
    """What a block adds to the mean losses; its last column is the bias's, left out."""

    def mean_loss(one: linear.Params) -> Array:
        return objective.mean_loss(
            one, rows[:, :-1], labels, loss=loss, total_weight=num_examples
        )

    return jax.vmap(mean_loss)(params)


def _blocks(array: np.ndarray, size: int) -> list[np.ndarray]:
    return [array[start : start + size] for start in range(0, len(array), size)]
