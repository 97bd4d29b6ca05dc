"""What certified fits share, on arrays or on blocks: the result, and how it is proven.

`jaxlin.solvers.fitting` and `jaxlin.solvers.streaming` make the passes over the rows,
one a turn; `certify` takes turns until the gap is proven, in float32 and, where a
polish is asked for and needed, in float64.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, duality
from jaxlin.duality import Certificate
from jaxlin.linear import Params
from jaxlin.solvers import search, search_state
from jaxlin.typing import Loss, LossArguments

# Larger rows may overflow float32 where products of them are squared.
_LARGEST_NORM = 1e12

# ``(evaluations so far, info of the last)``, called after each evaluation.
Watch = Callable[[int, search.Info], None]


class Fit(NamedTuple):
    """A fitted model and the proof of how good it is.

    Attributes:
      params: float32, or float64 after a polish; bias penalised like the weights.
      certificate: of ``params``; Python floats.
      relative_gap: gap and rounding over the objective: what was proven.
      converged: whether that is what was asked for.
      evaluations: passes over the rows, of which ``float64_evaluations`` in float64.
      float64_evaluations: passes of the polish.
      multipliers: of a hinge, for warm starts.
      loss: the loss.
      l2: strength of half the sum of squares.
    """

    params: Params
    certificate: Certificate
    relative_gap: float
    converged: bool
    evaluations: int
    float64_evaluations: int
    multipliers: search_state.Multipliers
    loss: Loss
    l2: float


class Start(NamedTuple):
    """Where a fit begins; multipliers None are 0."""

    params: Params
    multipliers: search_state.Multipliers | None


class Turn(NamedTuple):
    """What is known after an evaluation.

    Attributes:
      params: the best so far.
      multipliers: the latest.
      info: of the evaluation.
    """

    params: Params
    multipliers: search_state.Multipliers
    info: search.Info


def certify(
    turns: Callable[[Start, int], Iterator[Turn]],
    *,
    start: Start,
    loss: Loss,
    l2: float,
    relative_gap: float,
    max_evaluations: int,
    polish: bool,
    watch: Watch | None,
) -> Fit:
    """Takes turns until the gap is proven: in float32, and in float64 if asked for.

    Args:
      turns: ``(start, budget)`` to an iterator with one item an evaluation. The dtype
        of the parameters at the start decides that of everything.
      start: where to begin.
      loss: goes into the fit, like ``l2``.
      l2: see ``loss``.
      relative_gap: asked for.
      max_evaluations: budget of float32 and float64 together.
      polish: whether to go on in float64.
      watch: called after each evaluation.
    """

    def run(start: Start, dtype: type, before: int) -> Fit:
        params = Params(*(jnp.asarray(leaf, dtype) for leaf in start.params))
        start = start._replace(params=params)
        for done, turn in enumerate(turns(start, max_evaluations - before), 1):
            info = jax.tree.map(np.asarray, turn.info)
            if watch is not None:
                watch(before + done, info)
            if info.relative_gap <= relative_gap or info.stalled:
                break
        return Fit(
            params=jax.tree.map(np.asarray, turn.params),
            certificate=Certificate(*(leaf.item() for leaf in info.certificate)),
            relative_gap=float(info.relative_gap),
            converged=bool(info.relative_gap <= relative_gap),
            evaluations=before + done,
            float64_evaluations=done if dtype is np.float64 else 0,
            multipliers=jax.tree.map(np.asarray, turn.multipliers),
            loss=loss,
            l2=float(l2),
        )

    fitted = run(start, np.float32, 0)
    if polish and not fitted.converged and fitted.evaluations < max_evaluations:
        with jax.enable_x64(True):
            polished = run(
                Start(fitted.params, fitted.multipliers),
                np.float64,
                fitted.evaluations,
            )
        # Where the polish was cut short, float32 may still have proven more.
        best = min(polished, fitted, key=lambda found: found.relative_gap)
        return best._replace(
            evaluations=polished.evaluations,
            float64_evaluations=polished.float64_evaluations,
        )
    return fitted._replace(params=Params(*map(jnp.asarray, fitted.params)))


def check_settings(
    *,
    loss: Loss,
    l2: float,
    targets_rank: int,
    relative_gap: float,
    loss_arguments: LossArguments | None,
    max_evaluations: int,
) -> None:
    """Raises a ValueError for settings that no certified fit can have."""
    duality.check_certifiable(loss=loss, l2=l2, loss_arguments=loss_arguments)
    duality.check_rank(loss, targets_rank)
    check.number("relative_gap", relative_gap, above=0)
    check.integer("max_evaluations", max_evaluations, at_least=1)


def check_norms(norms: ArrayLike) -> None:
    """Raises a ValueError for rows so large that sums of their squares overflow."""
    largest = float(np.asarray(norms).max())
    if not largest < _LARGEST_NORM:
        raise ValueError(
            f"features must have norms below {_LARGEST_NORM:g} once normalised, got "
            f"{largest:g}; scale them to size about 1 (jaxlin.normalization)"
        )


def keeping_digits(data: Iterable[Any]) -> contextlib.AbstractContextManager:
    """A context in which no array of these, None left out, loses digits of float64.

    A polish of float64 data is of them, not of what float32 leaves of them.
    """
    given = (getattr(part, "dtype", np.float64) for part in data if part is not None)
    is_wide = any(dtype == np.float64 for dtype in given)
    return jax.enable_x64(True) if is_wide else contextlib.nullcontext()


def starting_point(
    given: Params | Fit | None, num_classes: int, num_features: int
) -> Start:
    """Parameters and multipliers to start from; zeros if none are given."""
    if not isinstance(given, Params | Fit | None):
        raise ValueError(
            "start must be None, jaxlin.linear.Params or an earlier fit, got a "
            f"{type(given).__name__}"
        )
    shape = (num_classes, num_features)
    start = given.params if isinstance(given, Fit) else given
    multipliers = given.multipliers if isinstance(given, Fit) else None
    if start is None:
        zeros: Any = (np.zeros(shape, np.float32), np.zeros(num_classes, np.float32))
        start = Params(*zeros)
    if np.shape(start.weights) != shape or np.shape(start.bias) != shape[:1]:
        raise ValueError(
            f"start must have weights {shape} and bias {shape[:1]}, got "
            f"{np.shape(start.weights)} and {np.shape(start.bias)}"
        )
    if not all(np.isfinite(leaf).all() for leaf in start):
        raise ValueError("start must be finite, got parameters with NaN or infinity")
    return Start(start, multipliers)
