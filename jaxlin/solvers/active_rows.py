"""Active examples of a smoothed hinge: those with curvature.

An example is active if one of its duals is strictly between its bounds. Near the
optimum few are. `jaxlin.solvers.semismooth_newton` solves its systems on a copy of
their rows.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.numerics import device_mesh
from jaxlin.objective import row_products
from jaxlin.solvers import score_gradients
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.typing import Array, Loss


class ActiveRows(NamedTuple):
    """Active examples: rows in float32, the rest in the dtype of the fit.

    Attributes:
      rows: normalised rows with the constant 1, shape ``(active, features + 1)``.
      targets: labels, shape ``(active,)``.
      scores: scores at the iterate, shape ``(active, classes)``.
      dual_centers: dual centers, shape ``(active, classes)``.
      shares: example weights, as shares of the sum over all examples, shape
        ``(active,)``; 0 in padding rows.
    """

    rows: Array
    targets: Array
    scores: Array
    dual_centers: Array
    shares: Array


def gathered(
    scores: Array,
    dual_centers: Array,
    examples: Examples,
    settings: Settings,
    *,
    smoothing: Array,
    loss: Loss,
) -> ActiveRows:
    """Copies the active rows, padded to one of a few shapes.

    Args:
      scores: scores of all examples, shape ``(examples, classes)``.
      dual_centers: dual centers, same shape.
      examples: prepared examples.
      settings: loss arguments.
      smoothing: smoothing of the hinge, in units of score.
      loss: a hinge that has a conjugate.
    """
    mask = _is_active(scores, dual_centers, examples, smoothing, settings, loss=loss)
    active = np.flatnonzero(device_mesh.on_host(mask))
    # Eight shapes per octave share their programs.
    step = 2 ** max(0, len(active).bit_length() - 4)
    indices = np.zeros(max(1, -(-len(active) // step)) * step, np.int32)
    indices[: len(active)] = active
    is_active = np.arange(len(indices)) < len(active)
    return _copied(indices, is_active, scores, dual_centers, examples)


@functools.partial(jax.jit, static_argnames=("loss",))
def _is_active(
    scores: Array,
    dual_centers: Array,
    examples: Examples,
    smoothing: Array,
    settings: Settings,
    *,
    loss: Loss,
) -> Array:
    """Mask of the examples whose Hessian in the scores is not 0."""
    gradients = score_gradients.of_mean_loss(
        loss,
        examples.targets,
        score_gradients.shares(examples, scores.dtype),
        dual_centers,
        smoothing=smoothing,
        loss_arguments=settings.loss_arguments,
    )
    # A random vector is in the null space of no Hessian but 0.
    along = jax.random.normal(jax.random.key(0), scores.shape, jnp.float32)
    _, changes = jax.jvp(gradients, (scores,), (along.astype(scores.dtype),))
    return jnp.any(changes != 0, axis=1)


@jax.jit
def _copied(
    indices: Array,
    is_active: Array,
    scores: Array,
    dual_centers: Array,
    examples: Examples,
) -> ActiveRows:
    rows = row_products.extended_rows(
        examples.features[indices], examples.normalization, jnp.float32
    )
    shares = score_gradients.shares(examples, scores.dtype)[indices]
    return ActiveRows(
        rows,
        examples.targets[indices],
        scores[indices],
        dual_centers[indices],
        jnp.where(is_active, shares, 0),
    )
