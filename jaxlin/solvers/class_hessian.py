"""Mean Hessian of a loss in the class scores, from a sample of rows.

It is the factor S of `jaxlin.solvers.preconditioner`, of shape ``(classes, classes)``,
or its diagonal where there are many classes. Hinges enter in their smoothed form.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import losses
from jaxlin.losses import conjugates
from jaxlin.losses.conjugates import Conjugate
from jaxlin.typing import Array, Loss, LossArguments

# Classes above which S is its diagonal. The number of rows is what counts: with many
# classes few dense Hessians can be averaged, and a diagonal is as good as a dense S of
# the same rows. Passes to a gap of 1e-3 on 5,000 x 64 generated rows of hierarchical
# classes, at 13 l2 from 1 to 1e-6 for softmax and at 1e-1, 1e-2, 1e-3 for the
# Weston-Watkins hinge; dense Hessians are of at most 4e6 numbers, the diagonal of 1,000
# rows:
#
#   classes  rows of the dense S  softmax: dense, diagonal  hinge: dense, diagonal
#        64                  976                  265, 285                199, 194
#       100                  400                  344, 300                281, 233
#       128                  244                  668, 310           over 539, 272
#       200                  100           over 1,251, 333           over 622, 332
#
# At 200 classes a dense S of 1,000 rows takes 328 and 321. Beside the scaled diagonal
# its 8, 32 or 128 flattest directions take softmax 322, 326 and 324, 32 of them the
# hinge 332. The Crammer-Singer hinge takes 321 with the dense S, 318 with its diagonal.
#
# Dense Hessians of 64 rows against the diagonal of 4,000, beside other work on an AMD
# EPYC with two cores:
#
#   rows    classes  loss            l2           passes    time
#   10,000      500  softmax         11, 1..1e-5  240, 105  32, 19 s
#   10,000      500  Weston-Watkins  1e-1, 1e-2   264, 109  63, 24 s
#   20,000    1,000  softmax         9, 1..1e-4    64, 44   113, 13 s
#   20,000    1,000  Weston-Watkins  1e-1, 1e-2   234, 123  249, 65 s
#
# 45 values of C on 20,000 x 384 rows of 100 classes (`experiments.benchmark_probes`)
# take 115 passes and 4.9 s; with the dense S of 400 rows 141 and 12.4 s.
#
# The diagonal of 10,000 classes takes .1 s (Crammer-Singer .6 s) where the dense S took
# 238 s, of 5,000 classes .1 s instead of 33 s.
LARGEST_DENSE = 64
# Rows in a dense Hessian, and numbers in all of them.
_MAX_DENSE_ROWS = 1000
_MAX_HESSIAN_NUMBERS = 4_000_000
# Numbers in the Hessians held in memory at once, and in diagonals.
_NUMBERS_AT_ONCE = 400_000
_DIAGONAL_NUMBERS_AT_ONCE = 2_000_000


class ClassHessian(NamedTuple):
    """Eigendecomposition of the mean Hessian S of a loss in the scores.

    Attributes:
      vectors: orthonormal columns, shape ``(classes, classes)``; None for the identity,
        where S is its diagonal.
      values: eigenvalues, positive, at least a small fraction of the largest, shape
        ``(classes,)``.
    """

    vectors: Array | None
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
    return ClassHessian(vectors, _floored(values))


def of_mean(hessian: Array) -> ClassHessian:
    """Factorisation of a mean Hessian; its diagonal above `LARGEST_DENSE` classes."""
    if hessian.shape[0] <= LARGEST_DENSE:
        return factorised(hessian)
    return ClassHessian(None, _floored(jnp.diagonal(hessian)))


def identity(num_classes: int, dtype: Any) -> ClassHessian:
    """The identity, in the shape of `of_loss` for this number of classes."""
    is_dense = num_classes <= LARGEST_DENSE
    vectors = jnp.eye(num_classes, dtype=dtype) if is_dense else None
    return ClassHessian(vectors, jnp.ones(num_classes, dtype))


def num_rows(num_classes: int, num_sampled: int) -> int:
    """Number of sampled rows that `of_loss` uses, which are the first."""
    if num_classes > LARGEST_DENSE:
        return num_sampled
    return min(num_sampled, _MAX_DENSE_ROWS, _MAX_HESSIAN_NUMBERS // num_classes**2)


def num_numbers(num_classes: int, num_sampled: int) -> int:
    """Numbers in the Hessians that `of_loss` averages for this many sampled rows."""
    is_dense = num_classes <= LARGEST_DENSE
    return num_rows(num_classes, num_sampled) * num_classes ** (2 if is_dense else 1)


def _floored(values: Array) -> Array:
    """Curvatures of at least a thousandth of the largest, and above 0."""
    largest = jnp.max(values)
    return jnp.maximum(values, 1e-3 * jnp.where(largest > 0, largest, 1.0))


def of_loss(
    loss: Loss,
    weights: Array,
    sampled: SampledRows,
    *,
    smoothing: Array,
    loss_arguments: LossArguments | None = None,
) -> ClassHessian:
    """Mean Hessian of a (smoothed) loss in the scores, on a sample of the rows.

    Above `LARGEST_DENSE` classes it is the diagonal of that matrix.

    Args:
      loss: one that has a conjugate (`jaxlin.losses.conjugates`).
      weights: folded weights, shape ``(classes, features + 1)``.
      sampled: the rows.
      smoothing: smoothing of a hinge, in units of score; ignored for a smooth loss.
      loss_arguments: traced keywords of the loss.
    """
    conjugate = conjugates.of(loss)
    num_classes, dtype = weights.shape[0], weights.dtype
    is_dense = num_classes <= LARGEST_DENSE
    size = num_rows(num_classes, sampled.rows.shape[0])
    limit = _NUMBERS_AT_ONCE if is_dense else _DIAGONAL_NUMBERS_AT_ONCE
    num_parts = min(size, -(-num_numbers(num_classes, size) // limit))
    size -= size % num_parts
    shares = jnp.ones(size, dtype)
    if sampled.weights is not None:
        shares = sampled.weights[:size].astype(dtype)
    # A fold may leave nothing of the sample.
    shares = shares / jnp.maximum(jnp.sum(shares), jnp.finfo(dtype).tiny)
    dual_centers = sampled.dual_centers[:size].astype(dtype)
    of_example = _of_example(
        conjugate, smoothing, loss_arguments or {}, is_dense=is_dense
    )

    def add(mean: Array, part: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        shares, rows, targets, dual_centers = part
        scores = rows.astype(dtype) @ weights.T
        if conjugate.smooth:
            dual_centers = jnp.zeros_like(scores)
        found = jax.vmap(of_example)(scores, targets, dual_centers)
        return mean + jnp.tensordot(shares, found, axes=1), None

    parts = jax.tree.map(
        lambda leaf: leaf.reshape(num_parts, size // num_parts, *leaf.shape[1:]),
        (shares, sampled.rows[:size], sampled.targets[:size], dual_centers),
    )
    zeros = jnp.zeros((num_classes,) * (2 if is_dense else 1), dtype)
    mean = jax.lax.scan(add, zeros, parts)[0]
    return factorised(mean) if is_dense else ClassHessian(None, _floored(mean))


def _of_example(
    conjugate: Conjugate,
    smoothing: Array,
    arguments: LossArguments,
    *,
    is_dense: bool,
) -> Callable[[Array, Array, Array], Array]:
    """Function of (scores, target, dual_center): Hessian of an example, or diagonal."""

    def duals_at(scores: Array, target: Array, dual_center: Array) -> Array:
        return conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **arguments
        )

    def score_gradient(scores: Array, target: Array, dual_center: Array) -> Array:
        return conjugate.score_gradient(target, duals_at(scores, target, dual_center))

    def diagonal(scores: Array, target: Array, dual_center: Array) -> Array:
        duals = duals_at(scores, target, dual_center)
        return _diagonal(conjugate, target, duals, smoothing=smoothing)

    return jax.jacfwd(score_gradient) if is_dense else diagonal


def _diagonal(
    conjugate: Conjugate, target: Array, duals: Array, *, smoothing: Array
) -> Array:
    """Diagonal of the Hessian of one example in its scores, shape ``(classes,)``."""
    if conjugate.violations is None:
        return duals * (1 - duals)
    # The duals move with the violations where neither bound holds them.
    is_free = duals > 0
    if conjugate.cap == "each":
        is_free &= duals < 1
    rate = 1 / (conjugate.curvature if conjugate.smooth else smoothing)
    num_free = jnp.sum(is_free, dtype=duals.dtype)
    of_label = num_free
    if conjugate.cap == "sum":
        # At the cap only their differences move. A sum of 1 is one up to rounding.
        is_capped = jnp.sum(duals) > 1 - 1e-4
        rate *= jnp.where(is_capped, 1 - 1 / jnp.maximum(num_free, 1), 1)
        of_label = jnp.where(is_capped, 0, num_free)
    of_others = jnp.where(is_free, rate, 0)
    if not conjugate.shift_invariant:
        return of_others
    # The score of the label is in all violations.
    return jnp.where(losses.is_label(duals, target), rate * of_label, of_others)


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
      sampled: the rows.
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
