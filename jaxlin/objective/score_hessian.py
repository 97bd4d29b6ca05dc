r"""Hessian of the mean loss in the scores of all examples.

It is block diagonal: a C x C matrix for each example. Conjugates give its factors
(`jaxlin.losses.conjugates.Conjugate`), with which a product costs a few operations per
score, and no two large numbers are subtracted:

  >>> import jax.numpy as jnp
  >>> from jaxlin import losses
  >>> from jaxlin.objective import score_hessian
  >>> duals, shares = jnp.array([[0.5, 1.0], [0.5, 0.0]]), jnp.array([0.5, 0.5])
  >>> loss = losses.softmax_cross_entropy
  >>> hessian = score_hessian.of_duals(
  ...     loss, duals, jnp.array([0, 0]), shares, smoothing=1.0)
  >>> print(score_hessian.product(loss, hessian, jnp.array([[1.0, 1.0], [0.0, 0.0]])))
  [[ 0.125  0.   ]
   [-0.125  0.   ]]
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin.losses import conjugates
from jaxlin.typing import Array, Loss


class ScoreHessian(NamedTuple):
    """Factors of the Hessian; classes are the first axis, examples the last.

    Attributes:
      diagonals: the factor d of each example, shape ``(classes, examples)``, or None.
      vectors: the factor v of each example, same shape, or None.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      shares: example weights that sum to 1, shape ``(examples,)``.
    """

    diagonals: Array | None
    vectors: Array | None
    targets: Array
    shares: Array


def of_duals(
    loss: Loss, duals: Array, targets: Array, shares: Array, *, smoothing: ArrayLike
) -> ScoreHessian:
    """Hessian at the scores that have these duals.

    Args:
      loss: one that has a conjugate.
      duals: duals of the gradient of the (smoothed) loss, shape ``(classes,
        examples)``. Those of examples of weight 0 are ignored.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      shares: example weights that sum to 1, shape ``(examples,)``.
      smoothing: smoothing of a hinge, in units of score; ignored for a smooth loss.
    """

    def factors_of(duals: Array) -> Any:
        return conjugates.of(loss).hessian_factors(duals, smoothing=smoothing)

    duals = jnp.where(shares[None, :] > 0, duals, 0)
    diagonals, vectors = jax.vmap(factors_of, in_axes=-1, out_axes=-1)(duals)
    return ScoreHessian(diagonals, vectors, targets, shares)


def product(loss: Loss, hessian: ScoreHessian, changes: Array) -> Array:
    """Changes of the gradient of the mean loss that belong to changes of the scores.

    The changes of an example sum to 0 where the loss ignores a shift of all scores: the
    entry of the label, or of the largest v, is minus the sum of the others. In float32
    that keeps the digits of predictions that are nearly certain.

    Args:
      loss: the loss of the Hessian.
      hessian: the Hessian.
      changes: changes of the scores, shape ``(classes, examples)``.
    """
    diagonals, vectors, targets, shares = hessian
    classes = jnp.arange(changes.shape[0])[:, None]
    found: Any = 0
    if diagonals is not None and not conjugates.of(loss).shift_invariant:
        found += diagonals * changes
    elif diagonals is not None:
        is_label = classes == targets[None, :]
        of_label = jnp.sum(jnp.where(is_label, changes, 0), axis=0, keepdims=True)
        found += _summing_to_zero(diagonals * (changes - of_label), is_label)
    if vectors is not None:
        total = jnp.sum(vectors, axis=0, keepdims=True)
        mean = jnp.sum(vectors * changes, axis=0, keepdims=True)
        is_largest = classes == jnp.argmax(vectors, axis=0)[None, :]
        found += _summing_to_zero(vectors * (total * changes - mean), is_largest)
    # Rows of weight 0 may overflow.
    return jnp.where(shares[None, :] > 0, shares[None, :] * found, 0)


def mean(loss: Loss, hessian: ScoreHessian) -> Array:
    """Mean of the Hessians of all examples, shape ``(classes, classes)``.

    That of a shift-invariant loss is the Laplacian of a graph of the classes. Its
    diagonal is computed from the other entries: where most predictions are certain, a
    difference would leave rounding errors alone.
    """
    diagonals, vectors, targets, shares = hessian
    if not conjugates.of(loss).shift_invariant:
        assert diagonals is not None, "the one-vs-rest hinge"
        return jnp.diag(diagonals @ shares)
    edges: Any = 0
    if diagonals is not None:
        one_hot = jax.nn.one_hot(targets, diagonals.shape[0], dtype=diagonals.dtype)
        crossed = diagonals @ (shares[:, None] * one_hot)
        edges += crossed + crossed.T
    if vectors is not None:
        edges += (shares[None, :] * vectors) @ vectors.T
    edges = jnp.fill_diagonal(edges, 0, inplace=False)
    return jnp.diag(jnp.sum(edges, axis=1)) - edges


def _summing_to_zero(changes: Array, is_last: Array) -> Array:
    """Changes with the marked entry of each example minus the sum of the others."""
    others = jnp.where(is_last, 0, changes)
    return jnp.where(is_last, -jnp.sum(others, axis=0, keepdims=True), others)
