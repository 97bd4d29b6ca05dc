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

Errors are bounded by the gradient g of F at the last weights, whose distance from the
optimum is d, :math:`\Delta` from the weights of H:

* F has the curvature :math:`(1 - \pi_i) \lambda_2`, unless the bias is free:
  :math:`\|d\| \le \|g\| / ((1 - \pi_i) \lambda_2)`. It moves the scores of a row x by
  at most :math:`\|d\| \|x\|`.
* The third derivative of softmax along a change of the scores is at most the range of
  that change times the second (Bach). With :math:`\tau` the largest range of
  :math:`\Delta x_k` over the rows, the Hessian of F at the last weights is at least
  :math:`(1 - \pi_i) e^{-\tau} B_i`. Let :math:`K_k` be the block of
  :math:`H^{-1}` for the scores of row k, without a shift of all scores, and
  :math:`a_i` the largest eigenvalue of :math:`(I - \pi_i S_i K_i)^{-1}`, so that
  :math:`H \le a_i B_i`. Scores of row k then move by at most
  :math:`(a_i \|K_k\|)^{1/2} \|d\|_B`, and with
  :math:`\kappa^2 = 2 a_i \max_k \|K_k\|` and
  :math:`q = e^\tau \|g\|_{B^{-1}} / (1 - \pi_i)`, as in
  `jaxlin.certificates.bias_bounds`, :math:`1 - e^{-\kappa \|d\|_B} \le \kappa q`. This
  holds for a free bias, too.

References:
  K. Rahnama Rad and A. Maleki. A scalable estimate of the out-of-sample prediction
  error via approximate leave-one-out cross-validation. Journal of the Royal Statistical
  Society B, 2020.
  F. Bach. Self-concordant analysis for logistic regression. Electronic Journal of
  Statistics, 2010.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import losses
from jaxlin.linear import Bias
from jaxlin.objective import row_products
from jaxlin.solvers import hessian_system, optimizer_state, score_gradients
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


class _Inverse(NamedTuple):
    """Inverse of the Hessian and what Woodbury's identity takes for each example.

    Attributes:
      system: the system near the optimum.
      matrix: inverse Hessian, shape ``(unknowns, unknowns)``.
      rows: normalised rows with the constant 1.
      cores: shape ``(examples, classes, classes)``.
      leverages: norms of the blocks K, shape ``(examples,)``.
      amplifications: the numbers a, shape ``(examples,)``.
      norm: bound on the norm of the inverse Hessian, shape ``()``.
      smoothness: bound on the curvature of the loss in the scores, shape ``()``.
    """

    system: HessianSystem
    matrix: Array
    rows: Array
    cores: Array
    leverages: Array
    amplifications: Array
    norm: Array
    smoothness: Array


def without_each(system: HessianSystem, *, loss: Loss, exact: bool = True) -> LeftOut:
    """Scores of each example by the optimum without it; under ``enable_x64(True)``.

    Args:
      system: the Hessian near the optimum, factorised.
      loss: its loss.
      exact: whether steps go on until bounds are rounding errors. False takes the
        first, without bounds.
    """
    inverse = _inverse(system, loss=loss)
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
    inverse = _inverse(system, loss=loss)
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
def _inverse(system: HessianSystem, *, loss: Loss) -> _Inverse:
    (num_classes, width), factor = system.weights.shape, system.factor
    assert factor is not None, "a system that is not factorised"
    matrix = jax.scipy.linalg.cho_solve((factor, True), jnp.eye(factor.shape[0]))
    bias, rows = system.settings.bias, _rows(system)
    by_class = matrix.reshape(num_classes, width, num_classes, width)

    def products(pair: Array) -> Array:
        block = by_class[pair[0], :, pair[1], :]
        return jnp.sum((rows @ block) * rows, axis=1)

    first, second = np.tril_indices(num_classes)
    lower = jax.lax.map(products, jnp.stack([first, second], axis=1))
    blocks = jnp.zeros((rows.shape[0], num_classes, num_classes), rows.dtype)
    blocks = blocks.at[:, first, second].set(lower.T)
    blocks = blocks.at[:, second, first].set(lower.T)
    # Without a shift of all scores, which has little curvature.
    blocks -= jnp.mean(blocks, axis=1, keepdims=True)
    blocks -= jnp.mean(blocks, axis=2, keepdims=True)
    weighted = system.shares[:, None, None] * hessian_system.of_examples(loss, system)
    unit = jnp.broadcast_to(jnp.eye(num_classes, dtype=rows.dtype), blocks.shape)
    solved = jnp.linalg.solve(
        unit - weighted @ blocks, jnp.concatenate([weighted, unit], axis=2)
    )
    cores, amplified = jnp.split(solved, 2, axis=2)
    norm = jnp.linalg.norm(matrix) if bias is Bias.FREE else 1 / system.l2
    is_square = loss is losses.weston_watkins_squared_hinge
    return _Inverse(
        system=system,
        matrix=matrix,
        rows=rows,
        cores=cores,
        leverages=_row_sums(blocks),
        amplifications=_row_sums(amplified),
        norm=norm,
        smoothness=jnp.asarray(2.0 * num_classes if is_square else 1.0),
    )


def _row_sums(matrices: Array) -> Array:
    """Largest sums of absolute values in a row, at least the largest eigenvalues."""
    return jnp.max(jnp.sum(jnp.abs(matrices), axis=2), axis=1)


def _rows(system: HessianSystem) -> Array:
    examples, bias = system.examples, system.settings.bias
    rows = row_products.extended_rows(
        examples.features, examples.normalization, system.weights.dtype
    )
    return bias.penalized_part(rows) if bias is Bias.NONE else rows


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def _first_changes(
    inverse: _Inverse, chosen: Array, gradient: Array, *, loss: Loss
) -> Array:
    """Changes of the folded weights by one Newton step, ``(chosen, classes, ...)``."""
    system = inverse.system
    own = system.gradients[:, chosen].T[:, :, None] * inverse.rows[chosen][:, None, :]
    penalty = system.l2 * system.settings.bias.penalized_part(system.weights)
    rights = system.shares[chosen][:, None, None] * (own + penalty[None])
    return _solved(inverse, chosen, rights - gradient[None], loss=loss)


@jax.jit
@jax.default_matmul_precision("highest")
def _own_scores(inverse: _Inverse, chosen: Array, changes: Array) -> Array:
    """Scores of examples by their own models, shape ``(chosen, classes)``."""
    weights = inverse.system.weights[None] + changes
    return jnp.einsum("mcw,mw->mc", weights, inverse.rows[chosen])


def _solved(inverse: _Inverse, chosen: Array, rights: Array, *, loss: Loss) -> Array:
    """Solutions of the systems without these examples."""
    rows = inverse.rows[chosen]

    def times_inverse(vectors: Array) -> Array:
        flat = vectors.reshape(len(vectors), -1)
        return (flat @ inverse.matrix).reshape(vectors.shape)

    of_rows = jnp.einsum("mcw,mw->mc", times_inverse(rights), rows)
    update = jnp.einsum("mcd,md->mc", inverse.cores[chosen], of_rows)
    found = times_inverse(rights + update[:, :, None] * rows[:, None, :])
    return jax.vmap(lambda one: optimizer_state.centered(loss, one))(found)


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def _step_and_bounds(
    inverse: _Inverse, chosen: Array, changes: Array, *, loss: Loss
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
    step = -_solved(inverse, chosen, gradients, loss=loss)
    moved = scores - system.scores.T[None]
    ranges = jnp.max(jnp.max(moved, axis=2) - jnp.min(moved, axis=2), axis=1)
    local = jnp.sqrt(jnp.maximum(-jnp.sum(gradients * step, axis=(1, 2)), 0))
    rounding, of_scores = _rounding(inverse, weights)
    is_free = bias is Bias.FREE
    norms = jnp.linalg.norm(rows[chosen], axis=1)

    def errors(of_gradient: Array, of_local: Array) -> Array:
        by_penalty = norms * of_gradient / penalty
        found = jnp.full_like(by_penalty, jnp.inf) if is_free else by_penalty
        if loss is not losses.weston_watkins_squared_hinge:
            own = _local_errors(inverse, chosen, of_local, ranges)
            found = jnp.minimum(found, own)
        return found + norms * of_scores

    sizes = jnp.sqrt(jnp.sum(jnp.square(gradients), axis=(1, 2)))
    in_metric = rounding * jnp.sqrt(inverse.norm * inverse.amplifications[chosen])
    found = errors(sizes + rounding, local + in_metric)
    return (scores[models, chosen], found, local, in_metric), changes + step


def _local_errors(
    inverse: _Inverse, chosen: Array, sizes: Array, ranges: Array
) -> Array:
    """Bounds on the errors of scores by the gradient's norm in the metric of B."""
    amplification = inverse.amplifications[chosen]
    left = 1 - inverse.system.shares[chosen]
    bound = jnp.exp(ranges) * sizes / left
    kappa = jnp.sqrt(2 * amplification * jnp.max(inverse.leverages))
    product = kappa * bound
    is_known = product < 1
    distance = -jnp.log1p(-jnp.where(is_known, product, 0)) / kappa
    found = jnp.sqrt(amplification * inverse.leverages[chosen]) * distance
    return jnp.where(is_known, found, jnp.inf)


def _rounding(inverse: _Inverse, weights: Array) -> tuple[Array, Array]:
    """Rounding errors of gradients, and of scores per length of a row; one a model."""
    system, rows = inverse.system, inverse.rows
    norms, epsilon = jnp.linalg.norm(rows, axis=1), jnp.finfo(rows.dtype).eps
    largest = jnp.max(jnp.linalg.norm(weights, axis=2), axis=1)
    of_scores = 2 * epsilon * jnp.sqrt(1.0 * rows.shape[1]) * largest
    per_row = jnp.linalg.norm(system.gradients, axis=0) * norms
    of_sums = 2 * epsilon * jnp.sqrt(1.0 * rows.shape[0]) * (system.shares @ per_row)
    moment = system.shares @ jnp.square(norms)
    return of_sums + inverse.smoothness * of_scores * moment, of_scores
