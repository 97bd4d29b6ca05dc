r"""Optima without one example each, where the Hessian is factorised.

Let H be the Hessian near the optimum, :math:`\pi_i` the share of example i among the
weights, :math:`g_i` and :math:`S_i` gradient and Hessian of its loss
:math:`\ell_i` in the scores, P the objective and
:math:`F = P - \pi_i (\ell_i + \lambda_2 \|W\|^2 / 2)`, which is the objective without
the example times :math:`1 - \pi_i`. The difference of the gradients is
:math:`\pi_i (g_i \otimes x_i + \lambda_2 W)`, that of the Hessians

.. math:: \pi_i S_i \otimes x_i x_i^\top + \pi_i \lambda_2 I.

The first part has rank C, the second is small. By Woodbury's identity a system with

.. math:: B_i = H - \pi_i S_i \otimes x_i x_i^\top

takes a system of C equations and products of the inverse of H, which is the same for
all examples. Steps with these matrices, and the gradient of F at each example's own
weights, lead to the optima. A step takes two products of all rows with the weights of
all models.

Bounds on what is left are those of `jaxlin.sensitivity.removal_systems`.

Reference:
  K. Rahnama Rad and A. Maleki. A scalable estimate of the out-of-sample prediction
  error via approximate leave-one-out cross-validation. Journal of the Royal Statistical
  Society B, 2020.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import losses
from jaxlin.linear import Bias
from jaxlin.sensitivity import removal_systems
from jaxlin.sensitivity.removal_systems import Inverse
from jaxlin.solvers import hessian_system, score_gradients
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.typing import Array, Loss

# Largest number of scores that some models hold for all rows: 100 models of digits take
# 7 ms a step, 771 take 100 ms.
_MAX_SCORES = 1_500_000
# Steps with the Hessian of the whole optimum.
_MAX_STEPS = 40
# A gradient of at most this times its rounding error has converged.
_CONVERGED = 1e3


class LeftOut(NamedTuple):
    """Scores of examples by the models fitted without them.

    Attributes:
      scores: shape ``(examples, classes)``.
      errors: bounds on the error of each example's scores, shape ``(examples,)``;
        infinite where none is known.
      is_converged: whether steps went on until the gradient was about rounding error,
        shape ``(examples,)``; None where no steps were taken.
    """

    scores: np.ndarray
    errors: np.ndarray
    is_converged: np.ndarray | None = None


def without_each(system: HessianSystem, *, loss: Loss, exact: bool = True) -> LeftOut:
    """Scores of each example by the optimum without it; under ``enable_x64(True)``.

    Args:
      system: the Hessian near the optimum, factorised.
      loss: its loss.
      exact: whether steps go on until bounds are rounding errors. False takes the
        first, without bounds.
    """
    inverse = removal_systems.inverse_of(system, loss=loss)
    gradient = hessian_system.gradient(system)
    num_classes, num_examples = system.scores.shape
    size = min(num_examples, max(1, _MAX_SCORES // system.scores.size))
    scores = np.full((num_examples, num_classes), np.nan)
    errors, sizes = np.full((2, num_examples), np.inf)
    is_converged = np.zeros(num_examples, bool)
    changes = np.empty((num_examples if exact else 0, *system.weights.shape))
    pending = np.arange(num_examples)
    for chosen in _chunks(pending, size):
        found = _first_changes(inverse, chosen, gradient, loss=loss)
        if exact:
            changes[chosen] = found
        else:
            scores[chosen] = _own_scores(inverse, chosen, found)
    for _ in range(_MAX_STEPS if exact else 0):
        goes_on = np.zeros(num_examples, bool)
        for chosen in _chunks(pending, size):
            judged, after = _step_and_bounds(
                inverse, chosen, changes[chosen], loss=loss
            )
            found, bounds, lengths, rounding = map(np.asarray, judged)
            changes[chosen] = after
            goes_on[chosen] = (lengths < sizes[chosen] / 2) & (lengths > rounding)
            is_converged[chosen] |= lengths <= _CONVERGED * rounding
            better = lengths < sizes[chosen]
            scores[chosen[better]] = found[better]
            errors[chosen[better]] = bounds[better]
            sizes[chosen[better]] = lengths[better]
        pending = np.flatnonzero(goes_on)
        if not len(pending):
            break
    return LeftOut(scores, errors, is_converged)


def at_optimum(system: HessianSystem, examples: np.ndarray, *, loss: Loss) -> LeftOut:
    """Scores of some examples at the optimum without them, under ``enable_x64(True)``.

    Args:
      system: the Hessian at that optimum, where they have weight 0, factorised.
      examples: their indices.
      loss: its loss.
    """
    inverse = removal_systems.inverse_of(system, loss=loss)
    size = min(len(examples), max(1, _MAX_SCORES // system.scores.size))
    changes = np.zeros((size, *system.weights.shape))
    parts = []
    for chosen in _chunks(examples, size):
        scores, errors, *_ = _step_and_bounds(inverse, chosen, changes, loss=loss)[0]
        parts.append((np.asarray(scores), np.asarray(errors)))
    found = (np.concatenate(part) for part in zip(*parts, strict=True))
    return LeftOut(*(part[: len(examples)] for part in found))


def _chunks(examples: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Chunks of one size; the last repeats its last example."""
    for start in range(0, len(examples), size):
        chunk = examples[start : start + size]
        yield np.pad(chunk, (0, size - len(chunk)), mode="edge")


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def _first_changes(
    inverse: Inverse, chosen: Array, gradient: Array, *, loss: Loss
) -> Array:
    """Changes of the folded weights by one Newton step, ``(chosen, classes, ...)``."""
    system = inverse.system
    own = system.gradients[:, chosen].T[:, :, None] * inverse.rows[chosen][:, None, :]
    penalty = system.l2 * system.settings.bias.penalized_part(system.weights)
    rights = system.shares[chosen][:, None, None] * (own + penalty[None])
    return removal_systems.solved(inverse, chosen, rights - gradient[None], loss=loss)


@jax.jit
@jax.default_matmul_precision("highest")
def _own_scores(inverse: Inverse, chosen: Array, changes: Array) -> Array:
    """Scores of examples by their own models, shape ``(chosen, classes)``."""
    weights = inverse.system.weights[None] + changes
    return jnp.einsum("mcw,mw->mc", weights, inverse.rows[chosen])


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def _step_and_bounds(
    inverse: Inverse, chosen: Array, changes: Array, *, loss: Loss
) -> tuple[tuple[Array, Array, Array, Array], Array]:
    """A Newton step of the models without some examples, and error bounds before it.

    Returns:
      Scores of the examples before the step, bounds on their errors, lengths of the
      gradients in the metric of the step, and of their rounding errors; and the changes
      of the weights after the step.
    """
    system, rows = inverse.system, inverse.rows
    bias, shares = system.settings.bias, system.shares
    weights = system.weights[None] + changes
    scores = jnp.einsum("mcw,nw->mnc", weights, rows)
    of_loss = score_gradients.of_mean_loss(
        loss,
        system.examples.targets,
        shares,
        jnp.zeros_like(scores[0]),
        smoothing=jnp.ones((), scores.dtype),
        loss_arguments=system.settings.loss_arguments,
    )
    models = jnp.arange(len(chosen))
    in_scores = jax.vmap(of_loss)(scores).at[models, chosen].set(0)
    penalty = system.l2 * (1 - shares[chosen])
    gradients = jnp.einsum("mnc,nw->mcw", in_scores, rows)
    gradients += penalty[:, None, None] * bias.penalized_part(weights)
    step = -removal_systems.solved(inverse, chosen, gradients, loss=loss)
    moved = scores - system.scores.T[None]
    ranges = jnp.max(jnp.max(moved, axis=2) - jnp.min(moved, axis=2), axis=1)
    local = jnp.sqrt(jnp.maximum(-jnp.sum(gradients * step, axis=(1, 2)), 0))
    rounding, of_scores = removal_systems.rounding(inverse, weights)
    is_free = bias is Bias.FREE
    norms = jnp.linalg.norm(rows[chosen], axis=1)

    def errors(of_gradient: Array, of_local: Array) -> Array:
        by_penalty = norms * of_gradient / penalty
        found = jnp.full_like(by_penalty, jnp.inf) if is_free else by_penalty
        if loss is not losses.weston_watkins_squared_hinge:
            own = removal_systems.local_errors(inverse, chosen, of_local, ranges)
            found = jnp.minimum(found, own)
        return found + norms * of_scores

    sizes = jnp.sqrt(jnp.sum(jnp.square(gradients), axis=(1, 2)))
    in_metric = rounding * jnp.sqrt(inverse.norm * inverse.amplifications[chosen])
    found = errors(sizes + rounding, local + in_metric)
    return (scores[models, chosen], found, local, in_metric), changes + step
