"""Mean Hessian of a loss in the class scores, from a sample of rows.

It is the factor S of `jaxlin.solvers.preconditioner`, of shape ``(classes, classes)``.
Hinges enter in their smoothed form.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin.losses import conjugates
from jaxlin.typing import Array, Loss, LossArguments

# With many classes fewer rows are used, but at least _MIN_HESSIANS. The others limit
# the count of numbers in all Hessians, and in those held in memory at once.
_MIN_HESSIANS = 64
_MAX_HESSIAN_NUMBERS = 4_000_000
_NUMBERS_AT_ONCE = 400_000


class ClassHessian(NamedTuple):
    """Eigendecomposition of the mean Hessian S of a loss in the scores.

    Attributes:
      vectors: orthonormal columns, shape ``(classes, classes)``.
      values: eigenvalues, positive, at least a small fraction of the largest, shape
        ``(classes,)``.
    """

    vectors: Array
    values: Array


class SampledRows(NamedTuple):
    """Sampled rows, at which the Hessian of the loss is averaged.

    Attributes:
      rows: normalised rows with the constant 1, shape ``(sampled, features + 1)``.
      targets: labels ``(sampled,)`` or distributions ``(sampled, classes)``.
      weights: example weights, shape ``(sampled,)``, or None.
      dual_centers: current dual centers of a hinge, shape ``(sampled, classes)``.
    """

    rows: Array
    targets: Array
    weights: Array | None
    dual_centers: Array


def factorised(hessian: Array) -> ClassHessian:
    """Factorises a mean Hessian in the scores, shape ``(classes, classes)``.

    Flat directions (a shift of all scores, a class that is never in doubt) are given a
    thousandth of the largest curvature, so that noise in the gradient is not amplified.
    """
    values, vectors = jnp.linalg.eigh((hessian + hessian.T) / 2)
    largest = jnp.where(values[-1] > 0, values[-1], 1.0)
    return ClassHessian(vectors, jnp.maximum(values, 1e-3 * largest))


def num_numbers(num_classes: int, num_sampled: int) -> int:
    """Numbers in the Hessians that `of_loss` averages for this many sampled rows."""
    return min(_largest_sample(num_classes), num_sampled) * num_classes**2


def _largest_sample(num_classes: int) -> int:
    return max(_MIN_HESSIANS, _MAX_HESSIAN_NUMBERS // num_classes**2)


def of_loss(
    loss: Loss,
    weights: Array,
    sampled: SampledRows,
    *,
    smoothing: Array,
    loss_arguments: LossArguments | None = None,
) -> ClassHessian:
    """Mean Hessian of a (smoothed) loss in the scores, on a sample of the rows.

    Args:
      loss: one that has a conjugate (`jaxlin.losses.conjugates`).
      weights: folded weights, shape ``(classes, features + 1)``.
      sampled: the rows; with many classes only the first are used.
      smoothing: smoothing of a hinge, in units of score; ignored for a smooth loss.
      loss_arguments: traced keywords of the loss.
    """
    conjugate = conjugates.of(loss)
    num_classes, dtype = weights.shape[0], weights.dtype
    arguments = dict(loss_arguments or {})
    # With many classes fewer Hessians, of C x C numbers each, are averaged, in parts.
    size = min(_largest_sample(num_classes), sampled.rows.shape[0])
    at_once = min(size, max(1, _NUMBERS_AT_ONCE // num_classes**2))
    size -= size % at_once
    shares = jnp.ones(size, dtype)
    if sampled.weights is not None:
        shares = sampled.weights[:size].astype(dtype)
    # A fold may leave nothing of the sample.
    shares = shares / jnp.maximum(jnp.sum(shares), jnp.finfo(dtype).tiny)
    dual_centers = sampled.dual_centers[:size].astype(dtype)
    if conjugate.smooth:
        dual_centers = jnp.zeros((size, num_classes), dtype)
    scores = sampled.rows[:size].astype(dtype) @ weights.T

    def score_gradient(scores: Array, target: Array, dual_center: Array) -> Array:
        duals = conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **arguments
        )
        return conjugate.score_gradient(target, duals)

    def add(mean: Array, part: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        shares, *arguments_of_gradient = part
        hessians = jax.vmap(jax.jacfwd(score_gradient))(*arguments_of_gradient)
        return mean + jnp.tensordot(shares, hessians, axes=1), None

    parts = jax.tree.map(
        lambda leaf: leaf.reshape(-1, at_once, *leaf.shape[1:]),
        (shares, scores, sampled.targets[:size], dual_centers),
    )
    zeros = jnp.zeros((num_classes, num_classes), dtype)
    return factorised(jax.lax.scan(add, zeros, parts)[0])


def renewed(
    loss: Loss,
    classes: ClassHessian,
    weights: Array,
    sampled: SampledRows,
    *,
    smoothing: Array,
    loss_arguments: LossArguments | None,
    when: Array,
) -> ClassHessian:
    """Returns `of_loss` where ``when`` is true, else ``classes``.

    Under one `jax.vmap` it is computed for all models if ``when`` is true for one of
    them, and for none otherwise. A plain `jax.lax.cond` would compute it always, which
    takes a fifth of the time of an iteration of 32 models without its pass over the
    rows.

    Args:
      loss: one that has a conjugate.
      classes: the earlier Hessian.
      weights: folded weights, shape ``(classes, features + 1)``.
      sampled: the rows; with many classes only the first are used.
      smoothing: smoothing of a hinge, in units of score; ignored for a smooth loss.
      loss_arguments: traced keywords of the loss.
      when: whether to compute the Hessian anew, shape ``()``.
    """
    return _renewed(loss)(
        when, classes, weights, sampled, smoothing, dict(loss_arguments or {})
    )


@functools.cache
def _renewed(loss: Loss) -> Callable[..., ClassHessian]:
    def compute(
        weights: Array,
        sampled: SampledRows,
        smoothing: Array,
        arguments: dict[str, Array],
    ) -> ClassHessian:
        return of_loss(
            loss, weights, sampled, smoothing=smoothing, loss_arguments=arguments
        )

    @jax.custom_batching.custom_vmap
    def one(when: Array, classes: ClassHessian, *inputs: Any) -> ClassHessian:
        return jax.lax.cond(when, lambda: compute(*inputs), lambda: classes)

    @one.def_vmap
    def many(
        axis_size: int, is_mapped: Any, when: Any, classes: Any, *inputs: Any
    ) -> Any:
        axes = jax.tree.map(lambda mapped: 0 if mapped else None, is_mapped)
        when, classes = jax.vmap(
            lambda *leaves: leaves, in_axes=tuple(axes[:2]), axis_size=axis_size
        )(when, classes)

        def select() -> ClassHessian:
            computed = jax.vmap(compute, in_axes=tuple(axes[2:]), axis_size=axis_size)(
                *inputs
            )
            return jax.vmap(
                lambda when, *pair: jax.tree.map(
                    lambda new, old: jnp.where(when, new, old), *pair
                )
            )(when, computed, classes)

        selected = jax.lax.cond(jnp.any(when), select, lambda: classes)
        return selected, jax.tree.map(lambda _: True, selected)

    return one
