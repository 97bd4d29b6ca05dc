"""Scores of all examples, and the gradient of the mean loss in them.

Newton's methods (`jaxlin.solvers.newton`, `jaxlin.solvers.semismooth_newton`) take
their Hessian at the duals of this gradient, and search along a direction with it;
neither takes a pass.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin.certificates import fenchel_young
from jaxlin.linear import Bias
from jaxlin.losses import conjugates
from jaxlin.objective import batches, row_products, score_hessian
from jaxlin.objective.score_hessian import ScoreHessian
from jaxlin.solvers import line_search
from jaxlin.solvers.interface import Examples
from jaxlin.typing import Array, Loss, LossArguments

# Smallest curvature along the bias that counts, relative to the largest; in float32
# smaller ones may be roundoff.
_LEAST_CURVATURE = 1e-10
_LEAST_CURVATURE_IN_FLOAT32 = 1e-6


def shares(examples: Examples, dtype: jax.typing.DTypeLike) -> Array:
    """Example weights that sum to 1, shape ``(examples,)``."""
    weights = examples.example_weights
    if weights is None:
        weights = jnp.ones(examples.targets.shape[0])
    weights = weights.astype(dtype)
    return weights / jnp.sum(weights)


def of_mean_loss(
    loss: Loss,
    targets: Array,
    shares: Array,
    dual_centers: Array,
    *,
    smoothing: Array,
    loss_arguments: LossArguments | None,
) -> Callable[[Array], Array]:
    """Returns the function from all scores to the gradient of the mean loss in them.

    The loss of a hinge is the smoothed one.

    Args:
      loss: one that has a conjugate.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      shares: example weights that sum to 1, shape ``(examples,)``.
      dual_centers: dual centers of a hinge, shape ``(examples, classes)``; ignored for
        a smooth loss. Their dtype is that of the computation.
      smoothing: smoothing of a hinge, in units of score; ignored for a smooth loss.
      loss_arguments: traced keywords of the loss.
    """
    conjugate, dtype = conjugates.of(loss), dual_centers.dtype
    arguments = {
        name: jnp.asarray(value, dtype)
        for name, value in dict(loss_arguments or {}).items()
    }

    def of_example(scores: Array, target: Any, dual_center: Array) -> Array:
        target = fenchel_young.target_in_dtype(target, dtype)
        duals = conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **arguments
        )
        return conjugate.score_gradient(target, duals)

    def of_all(scores: Array) -> Array:
        gradients = jax.vmap(of_example)(scores, targets, dual_centers)
        # The scores of rows with weight 0 may overflow.
        return jnp.where(shares[:, None] > 0, shares[:, None] * gradients, 0)

    return of_all


def step_of_small_slope(
    gradients: Callable[[Array], Array],
    scores: Array,
    along: Array,
    *,
    weights: Array,
    direction: Array,
    l2: Array,
    bias: Bias,
) -> Array:
    """Step along a direction to a small slope of the objective, without a pass.

    Args:
      gradients: function of `of_mean_loss`.
      scores: scores at step 0, shape ``(examples, classes)``.
      along: scores of the direction, same shape.
      weights: folded weights at step 0, shape ``(classes, features + 1)``.
      direction: direction of the step, same shape as the weights.
      l2: strength of half the sum of squares.
      bias: treatment of the bias.

    Returns:
      A step of `jaxlin.solvers.line_search.step_of_small_slope`; 0 if the direction
      does not descend.
    """
    direction = bias.penalized_part(direction)
    at_weights, squares = jnp.vdot(weights, direction), jnp.vdot(direction, direction)

    def slope(step: Array) -> Array:
        found = gradients(scores + step * along)
        # Rows of weight 0 have gradient 0, and changes that may have overflowed.
        of_loss = jnp.sum(jnp.where(found != 0, found * along, 0))
        return of_loss + l2 * (at_weights + step * squares)

    return line_search.step_of_small_slope(slope, direction.dtype)


def hessian_of_mean_loss(
    loss: Loss,
    scores: Array,
    targets: Array,
    shares: Array,
    dual_centers: Array,
    *,
    smoothing: Array,
    loss_arguments: LossArguments | None,
    dtype: jax.typing.DTypeLike,
) -> ScoreHessian:
    """Hessian of the mean loss in all scores.

    Args:
      loss: one that has a conjugate.
      scores: scores of all examples, shape ``(classes, examples)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      shares: example weights that sum to 1, shape ``(examples,)``.
      dual_centers: dual centers of a hinge, shape ``(examples, classes)``; ``(examples,
        0)`` for a smooth loss.
      smoothing: smoothing of a hinge, in units of score; ignored for a smooth loss.
      loss_arguments: traced keywords of the loss.
      dtype: dtype of the Hessian; the duals are computed in that of the scores.
    """
    conjugate = conjugates.of(loss)
    arguments = {
        name: jnp.asarray(value, scores.dtype)
        for name, value in dict(loss_arguments or {}).items()
    }

    def duals_of(scores: Array, target: Any, dual_center: Array) -> Array:
        target = fenchel_young.target_in_dtype(target, scores.dtype)
        if conjugate.smooth:
            dual_center = jnp.zeros_like(scores)
        return conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **arguments
        )

    duals = jax.vmap(duals_of, in_axes=(-1, 0, 0), out_axes=-1)(
        scores, targets, dual_centers
    )
    return score_hessian.of_duals(
        loss,
        duals.astype(dtype),
        targets,
        shares.astype(dtype),
        smoothing=smoothing.astype(dtype),
    )


class Rows(NamedTuple):
    """Products with all rows and the constant 1.

    Attributes:
      scores: folded weights ``(classes, features + 1)`` to scores, shape ``(classes,
        examples)``.
      combinations: coefficients ``(classes, examples)`` to sums of the rows, shape
        ``(classes, features + 1)``.
    """

    scores: Callable[[Array], Array]
    combinations: Callable[[Array], Array]


def rows_of(examples: Examples) -> Rows:
    """Products with the rows of these examples, in the dtype of the other factor."""
    features, normalization = examples.features, examples.normalization

    def scores(folded: Array) -> Array:
        products = row_products.score_products(
            folded[:, :-1], features, normalization=normalization
        )
        return products + folded[:, -1:]

    def combinations(coefficients: Array) -> Array:
        of_rows = row_products.combinations(
            coefficients, features, normalization=normalization
        )
        sums = jnp.sum(coefficients, axis=1, keepdims=True)
        return jnp.concatenate([of_rows, sums], axis=1)

    return Rows(scores, combinations)


class Curvature(NamedTuple):
    """Products of the mean loss's Hessian in the scores, at one point.

    Attributes:
      times: changes of all scores by the weights alone, shape ``(classes, examples)``,
        to changes of the score gradients.
      bias_change: changes of all scores to the change of the bias that keeps the summed
        score gradients at 0, shape ``(classes,)``.
      solve_bias: summed score gradients to the change of the bias that adds them; 0 for
        a bias that is not free.
    """

    times: Callable[[Array], Array]
    bias_change: Callable[[Array], Array]
    solve_bias: Callable[[Array], Array]


def curvature(loss: Loss, hessian: ScoreHessian, *, bias: Bias) -> Curvature:
    """Hessian of the mean loss in the scores, minimised over a free bias.

    Where the weights change, a free bias changes such that the sums of the score
    gradients over the examples stay 0, to first order.

    Args:
      loss: the loss of the Hessian.
      hessian: from `hessian_of_mean_loss`.
      bias: treatment of the bias; only a free one changes.
    """

    def along(changes: Array) -> Array:
        return score_hessian.product(loss, hessian, changes)

    if bias is not Bias.FREE:
        return Curvature(
            along, lambda changes: jnp.zeros_like(changes[:, 0]), jnp.zeros_like
        )
    values, vectors = jnp.linalg.eigh(score_hessian.mean(loss, hessian))
    # A shift of all scores, and a class without active examples, have no curvature.
    is_float64 = values.dtype == jnp.float64
    least = _LEAST_CURVATURE if is_float64 else _LEAST_CURVATURE_IN_FLOAT32
    has_curvature = values > least * values[-1]
    inverse = jnp.where(has_curvature, 1 / jnp.where(has_curvature, values, 1), 0)

    def solve_bias(sums: Array) -> Array:
        return vectors @ (inverse * (vectors.T @ sums))

    def bias_change(changes: Array) -> Array:
        return -solve_bias(jnp.sum(along(changes), axis=1))

    def times(changes: Array) -> Array:
        # A product is linear: one with the sum of both changes is enough.
        return along(changes + bias_change(changes)[:, None])

    return Curvature(times, bias_change, solve_bias)


@jax.default_matmul_precision("highest")
def all_scores(weights: Array, examples: Examples) -> Array:
    """Scores of all examples, shape ``(examples, classes)``, in blocks of rows.

    Args:
      weights: folded weights, shape ``(classes, features + 1)``.
      examples: raw rows and their normalization.
    """

    def of_row(row: Array) -> Array:
        extended = row_products.extended_rows(
            row[None], examples.normalization, weights.dtype
        )
        return weights @ extended[0]

    size = min(batches.BLOCK_ROWS, examples.features.shape[0])
    return jax.lax.map(of_row, examples.features, batch_size=size)
