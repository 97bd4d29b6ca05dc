"""State of the optimizer, and its initial values.

`start` makes the initial state, `resumed` adds the duals of an earlier fit, and
`restarted_at` makes it from the state of another model. `jaxlin.solvers.optimizer`
advances it.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check, linear
from jaxlin.certificates import duality
from jaxlin.certificates.bias_bounds import RowCenter
from jaxlin.certificates.duality import Certificate
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh
from jaxlin.solvers import class_hessian, lbfgs
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Array, Loss, LossArguments

# Numbers of pairs of L-BFGS: the first for which memory suffices. On CIFAR-10 at l2 =
# 1e-4 the hinge needs 20 rather than 10. With 20, 15, 10, 7 and 5 pairs 13 values of l2
# of 5,000 x 64 generated rows of 200 classes take softmax 278, 297, 301, 307 and 312
# passes, and three of them the Weston-Watkins hinge 275, 262, 267, 275 and 270.
NUMBERS_OF_PAIRS = (20, 15, 10, 7, 5)
# Arrays of the size of the weights in a state, beside the pairs.
_OTHER_ARRAYS = 6
# First smoothing of a hinge, in units of its margin.
_FIRST_SMOOTHING = 0.5


class PathPoint(NamedTuple):
    """Solution of a model on a path of decreasing l2.

    Attributes:
      weights: folded weights, shape ``(classes, features + 1)``.
      l2: strength of the penalty, shape ``()``; 0 for no model.
    """

    weights: Array
    l2: Array


class OptimizerState(NamedTuple):
    """State of the optimizer between passes.

    Attributes:
      params: best parameters so far, by their certificate, or by the objective alone
        where no certificate proves more than that the minimum is not negative.
      certificate: certificate of ``params``.
      candidate: folded weights of the next pass, shape ``(classes, features + 1)``.
      iterate: folded weights where the line search begins, same shape.
      value: smoothed objective at the iterate, shape ``()``.
      gradient: gradient at the iterate, shape ``(classes, features + 1)``.
      direction: direction of the line search, same shape.
      step: current step of the line search, as a multiple of the direction.
      history: pairs of L-BFGS.
      classes: mean Hessian of the loss in the scores.
      dual_centers: dual centers of a hinge, shape ``(examples, classes)``;
        ``(examples, 0)`` for a smooth loss.
      smoothing: smoothing of a hinge, in units of score; unused for a smooth loss.
      begins_round: whether the next pass begins a round, without a line search.
      round_passes: passes of the current round so far.
      rounds: number of rounds so far; a warm start, from an earlier fit or from the
        model before in the slot, counts as one.
      failures: number of line searches that failed in succession.
      idle_passes: number of passes since ``params`` last changed.
      before: solution of the model before in the slot.
    """

    params: Params
    certificate: Certificate
    candidate: Array
    iterate: Array
    value: Array
    gradient: Array
    direction: Array
    step: Array
    history: lbfgs.History
    classes: class_hessian.ClassHessian
    dual_centers: Array
    smoothing: Array
    begins_round: Array
    round_passes: Array
    rounds: Array
    failures: Array
    idle_passes: Array
    before: PathPoint


class Duals(NamedTuple):
    """Dual variables of a hinge after a fit, for warm starts.

    Attributes:
      dual_centers: one vector per example, shape ``(examples, classes)``; ``(examples,
        0)`` for a smooth loss.
      smoothing: smoothing of the last round, in units of score.
    """

    dual_centers: Array | np.ndarray
    smoothing: Array | np.ndarray


def default_num_pairs(num_weights: int, *, bytes_each: int = 4) -> int:
    """Number of L-BFGS pairs of a fit: fewer where a state takes a quarter of memory.

    The old and the new state then take half of it.

    Args:
      num_weights: number of weights and biases.
      bytes_each: bytes of a weight; default 4, float32.
    """
    arrays = device_mesh.memory_bytes() // 4 // (bytes_each * num_weights)
    fitting = (n for n in NUMBERS_OF_PAIRS if 2 * n + _OTHER_ARRAYS <= arrays)
    return next(fitting, NUMBERS_OF_PAIRS[-1])


def start(
    loss: Loss,
    params: Params,
    settings: Settings,
    *,
    num_examples: int,
    num_pairs: int | None = None,
) -> OptimizerState:
    """Initial state, before the first pass, at ``params`` with duals 0.

    Args:
      loss: one that has a conjugate.
      params: first parameters.
      settings: hyperparameters; ``l2`` above 0, ``learning_rate`` and ``l1`` None.
      num_examples: number of examples whose dual centers the state holds.
      num_pairs: number of L-BFGS pairs; None is `default_num_pairs`.

    Raises:
      ValueError: that names the setting, the rule and the value.
    """
    if settings.l2 is None:
        raise ValueError(
            "l2 must be above 0, got None; without it there is no certificate"
        )
    if not isinstance(settings.l2, jax.core.Tracer):
        # A traced l2 that is not above 0 gives certificates with an infinite gap.
        if np.ndim(settings.l2):
            raise ValueError(
                f"l2 must be one number, got shape {np.shape(settings.l2)}; many "
                "models are fitted by jaxlin.solvers.interface.map_settings(solver)"
            )
        check.number("l2", settings.l2, above=0)
    for name in ("learning_rate", "l1"):
        if getattr(settings, name) is not None:
            raise ValueError(
                f"{name} must be None for a certified solver, got "
                f"{getattr(settings, name)}"
            )
    if num_pairs is None:
        num_weights = params.weights.size + params.bias.size
        num_pairs = default_num_pairs(
            num_weights, bytes_each=params.weights.dtype.itemsize
        )
    return _initial(
        params,
        settings.loss_arguments,
        num_examples=num_examples,
        num_pairs=num_pairs,
        loss=loss,
    )


# Compiled as one program: made one by one, its arrays would take longer than a fit.
@functools.partial(jax.jit, static_argnames=("num_examples", "num_pairs", "loss"))
def _initial(
    params: Params,
    loss_arguments: LossArguments | None,
    *,
    num_examples: int,
    num_pairs: int,
    loss: Loss,
) -> OptimizerState:
    folded = centered(loss, linear.fold_bias(params))
    num_classes, dtype = folded.shape[0], folded.dtype
    width = 0 if conjugates.of(loss).smooth else num_classes
    scalar, zeros = jnp.zeros((), dtype), jnp.zeros_like(folded)
    zero = jnp.zeros((), jnp.int32)
    state = OptimizerState(
        params=params,
        certificate=duality.unproven_certificate(jnp.full((), jnp.inf, dtype)),
        candidate=folded,
        iterate=folded,
        value=scalar,
        gradient=zeros,
        direction=zeros,
        step=scalar,
        history=lbfgs.empty(folded, num_pairs),
        classes=class_hessian.identity(num_classes, dtype),
        dual_centers=device_mesh.shard(
            jnp.zeros((num_examples, width), dtype), device_mesh.ROWS
        ),
        smoothing=first_smoothing(loss_arguments, dtype),
        begins_round=jnp.ones((), bool),
        round_passes=zero,
        rounds=zero,
        failures=zero,
        idle_passes=zero,
        before=PathPoint(folded, scalar),
    )
    # The loop donates the state's memory, so no array may occur in it twice.
    return jax.tree.map(jnp.copy, state)


def resumed(state: OptimizerState, duals: Duals | None) -> OptimizerState:
    """The state from `start` with the duals of an earlier fit, if of equal shape."""
    if duals is None or np.shape(duals.dual_centers) != state.dual_centers.shape:
        return state
    return _resumed(state, duals)


@jax.jit
def _resumed(state: OptimizerState, duals: Duals) -> OptimizerState:
    last = jnp.asarray(duals.smoothing, state.smoothing.dtype)
    return state._replace(
        dual_centers=jnp.asarray(duals.dual_centers, state.dual_centers.dtype),
        smoothing=warm_start_smoothing(state.smoothing, last),
        # Not the first round: the loss has curvature at this smoothing.
        rounds=state.rounds + 1,
    )


def restarted_at(state: OptimizerState, candidate: Array) -> OptimizerState:
    """The state of a new model in place of the one before, with a first candidate.

    Certificate and counts of the model before are reset.

    Args:
      state: state of the model before.
      candidate: folded weights of the next pass, shape ``(classes, features + 1)``.
    """
    zero = jnp.zeros_like(state.round_passes)
    return state._replace(
        params=linear.unfold_bias(candidate),
        certificate=duality.unproven_certificate(
            jnp.full((), jnp.inf, candidate.dtype)
        ),
        candidate=candidate,
        begins_round=jnp.ones_like(state.begins_round),
        round_passes=zero,
        # Not the first round: the loss has curvature at this smoothing.
        rounds=zero + 1,
        failures=zero,
        idle_passes=zero,
    )


def centered(loss: Loss, weights: Array) -> Array:
    """Folded weights without their mean over the classes, if the loss ignores it.

    The mean never lowers the objective. Rounding errors of gradients, which sum to 0
    over the classes, would let it grow: to 6e-3 at small l2.
    """
    if not conjugates.of(loss).shift_invariant:
        return weights
    return weights - jnp.mean(weights, axis=0, keepdims=True)


def finished_direction(
    loss: Loss, direction: Array, *, bias: Bias, center: RowCenter | None
) -> Array:
    """Direction in the folded weights, with the predicted change of a free bias.

    A free bias is minimised out in each pass. The prediction keeps the scores at the
    center of the rows.

    Args:
      loss: one that has a conjugate.
      direction: shape ``(classes, features + 1)``.
      bias: treatment of the bias.
      center: center of the rows, for a free bias.
    """
    direction = bias.penalized_part(centered(loss, direction))
    if center is None:
        return direction
    mean = center.mean.astype(direction.dtype)
    return direction.at[:, -1].set(-(direction[:, :-1] @ mean))


def first_smoothing(loss_arguments: LossArguments | None, dtype: Any) -> Array:
    """First smoothing of a hinge without a warm start, in units of score."""
    return _FIRST_SMOOTHING * margin(loss_arguments, dtype)


def warm_start_smoothing(first: Array, last: Array) -> Array:
    """First smoothing of a hinge that is warm-started with duals.

    It is the geometric mean of the first and the last. Along seven l2 of CIFAR-10, to a
    gap of 1e-4, the Weston-Watkins hinge takes 247 passes without warm starts, 195 with
    this smoothing, 215 with the first and 189 with the last; the Crammer-Singer hinge
    610, 345, 328 and 599.

    Args:
      first: first smoothing without a warm start, in units of score.
      last: last smoothing of the fit that the duals come from, in units of score.
    """
    return jnp.sqrt(first * last)


def margin(loss_arguments: LossArguments | None, dtype: Any) -> Array:
    """Margin of a hinge from its arguments; 1 if they do not name one."""
    margin = dict(loss_arguments or {}).get("margin", 1.0)
    return jnp.asarray(margin, dtype)
