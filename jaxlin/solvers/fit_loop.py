"""What certified fits share, on arrays or on blocks: the result, and how it is proven.

`jaxlin.solvers.fitting` and `jaxlin.solvers.streaming` make the passes over the rows,
one a turn; `certify` takes turns until the gap is proven, in float32 and, where a
polish is asked for and needed, in float64.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, duality, placement, precision
from jaxlin.duality import Certificate
from jaxlin.linear import Params
from jaxlin.normalization import LARGEST_NORM
from jaxlin.solvers import search, search_state
from jaxlin.solvers.base import Settings
from jaxlin.typing import Array, Loss, LossArguments

# Evaluations that lower the gap by less than a tenth, after which float32 gives way to
# a polish, once the gap is below what rounding may hide. Its own rule for giving up
# waits for the sum of both: on CIFAR-10 in 50 of 249 evaluations (Weston-Watkins, l2 =
# 1e-2, gap 1e-8), and in 35 of 56 for softmax.
_PATIENCE_BEFORE_POLISH = 15

# ``(evaluations so far, info of the last)``, called after each evaluation; during a
# polish under ``jax.enable_x64(True)``, with the best certificate of the polish.
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
      stalled: whether it gave up with evaluations left: where rounding hides more than
        was asked for, ``polish=True`` goes on, and features scaled to size about 1
        (`jaxlin.normalization`) have less of it.
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
    stalled: bool = False

    def __str__(self) -> str:
        outcome = "proven" if self.converged else "reached, not what was asked for,"
        return (
            f"{getattr(self.loss, '__name__', self.loss)}, l2 {self.l2:g}: objective "
            f"{self.certificate.primal:.6g}, relative gap {self.relative_gap:.1e} "
            f"{outcome} in {self.evaluations} evaluations"
        )


class Start(NamedTuple):
    """Where a fit begins.

    Attributes:
      params: the first that are evaluated.
      multipliers: of an earlier fit, or None for 0.
      is_polished: whether they are those of this very problem in float64, so that a
        polish goes on from them without float32.
    """

    params: Params
    multipliers: search_state.Multipliers | None
    is_polished: bool


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
        least, since = np.inf, 0
        for done, turn in enumerate(turns(start, max_evaluations - before), 1):
            info = placement.on_host(turn.info)
            if watch is not None:
                watch(before + done, info)
            # Where the penalty is strong 0 itself may prove the gap, but its labels are
            # worth nothing: a step from there costs one evaluation.
            is_zero = done == 1 and not np.any(np.asarray(turn.params.weights))
            if is_zero and before + done < max_evaluations:
                continue
            if float(info.relative_gap) <= relative_gap or info.stalled:
                break
            proof = info.certificate
            if proof.gap <= 0.9 * least:
                least, since = proof.gap, done
            is_spent = done - since >= _PATIENCE_BEFORE_POLISH
            if (
                polish
                and dtype is np.float32
                and is_spent
                and proof.gap <= proof.rounding
            ):
                break
        return Fit(
            params=precision.as_given(turn.params),
            certificate=Certificate(*(leaf.item() for leaf in info.certificate)),
            relative_gap=float(info.relative_gap),
            converged=float(info.relative_gap) <= relative_gap,
            evaluations=before + done,
            float64_evaluations=done if dtype is np.float64 else 0,
            multipliers=placement.on_host(turn.multipliers),
            loss=loss,
            l2=float(l2),
            stalled=bool(info.stalled) and float(info.relative_gap) > relative_gap,
        )

    def run_polish(start: Start, before: int) -> Fit:
        with jax.enable_x64(True):
            return run(start, np.float64, before)

    if polish and start.is_polished:
        return run_polish(start, 0)
    fitted = run(start, np.float32, 0)
    if not polish or fitted.converged or fitted.evaluations == max_evaluations:
        return fitted
    polished = run_polish(
        Start(fitted.params, fitted.multipliers, is_polished=False), fitted.evaluations
    )
    # Where the polish was cut short, float32 may still have proven more.
    best = min(polished, fitted, key=lambda found: found.relative_gap)
    return best._replace(
        evaluations=polished.evaluations,
        float64_evaluations=polished.float64_evaluations,
    )


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


def check_concrete(**arguments: Any) -> None:
    """Raises a ValueError where JAX traces an argument, or the program around it."""
    for name, value in arguments.items():
        check.concrete(name, value)
    check.concrete("arguments", jnp.zeros(()))


def check_classes(targets: jax.Array, num_classes: int) -> None:
    """Raises a ValueError if a prepared problem is not one of so many classes."""
    check.integer("num_classes", num_classes, at_least=2)
    found = targets.shape[1] if targets.ndim == 2 else int(jnp.max(targets)) + 1
    if found > num_classes or (targets.ndim == 2 and found < num_classes):
        raise ValueError(
            f"num_classes must be that of the problem, which has {found}, got "
            f"{num_classes}"
        )


def check_memory(
    rows: Any, *, num_classes: int, loss: Loss, num_examples: int | None = None
) -> None:
    """Raises a ValueError if a fit surely needs more memory than there is.

    Args:
      rows: on the device, or their shape and dtype.
      num_classes: C.
      loss: of the fit.
      num_examples: whose multipliers are on the device; None is all rows.
    """
    num_rows, num_features = rows.shape
    if num_examples is None:
        num_examples = num_rows

    def start(weights: Array) -> search_state.State:
        params = Params(weights, weights[:, 0])
        return search_state.start(
            loss, params, Settings(l2=1.0), num_examples=num_examples
        )

    shape = (num_classes, num_features)
    state = jax.eval_shape(start, jax.ShapeDtypeStruct(shape, jnp.float32))
    largest = max(jax.tree.leaves(state), key=placement.bytes_of)
    placement.check_memory(
        f"a fit of {num_classes} classes and {num_features} features, whose solver's "
        f"largest array has shape {largest.shape},",
        remedy="use fewer features or classes (a projection, the most frequent "
        "classes), or jaxlin.solvers.minibatch, which keeps a few arrays of that size",
        state=placement.bytes_of(state),
        rows=placement.bytes_of(rows) // placement.num_shards(num_rows),
    )


def check_norms(norms: ArrayLike) -> None:
    """Raises a ValueError for rows so large that sums of their squares overflow."""
    largest = float(jnp.max(jnp.asarray(norms)))
    if not largest < LARGEST_NORM:
        raise ValueError(
            f"features must have norms below {LARGEST_NORM:g} once normalised, got "
            f"{largest:g}; scale them to size about 1 (jaxlin.normalization)"
        )


def starting_point(
    given: Params | Fit | None, num_classes: int, num_features: int, *, l2: float
) -> Start:
    """Parameters and multipliers to start from; zeros if none are given."""
    check.concrete("start", given)
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
    is_polished = (
        isinstance(given, Fit)
        and given.l2 == float(l2)
        and np.asarray(given.params.weights).dtype == np.float64
    )
    return Start(start, multipliers, is_polished)
