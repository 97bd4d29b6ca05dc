r"""Systems without one example each, and bounds on the distance from their optima.

H, F, B and the shares :math:`\pi_i` are those of `jaxlin.sensitivity.left_out`.
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

Reference:
  F. Bach. Self-concordant analysis for logistic regression. Electronic Journal of
  Statistics, 2010.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import losses
from jaxlin.linear import Bias
from jaxlin.objective import row_products
from jaxlin.solvers import hessian_system, optimizer_state
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.typing import Array, Loss


class Inverse(NamedTuple):
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


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def inverse_of(system: HessianSystem, *, loss: Loss) -> Inverse:
    """Inverse of the Hessian, with what a system without each example takes.

    Args:
      system: the Hessian near the optimum, factorised.
      loss: its loss.
    """
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
    return Inverse(
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


def solved(inverse: Inverse, chosen: Array, rights: Array, *, loss: Loss) -> Array:
    """Solutions of the systems without these examples."""
    rows = inverse.rows[chosen]

    def times_inverse(vectors: Array) -> Array:
        flat = vectors.reshape(len(vectors), -1)
        return (flat @ inverse.matrix).reshape(vectors.shape)

    of_rows = jnp.einsum("mcw,mw->mc", times_inverse(rights), rows)
    update = jnp.einsum("mcd,md->mc", inverse.cores[chosen], of_rows)
    found = times_inverse(rights + update[:, :, None] * rows[:, None, :])
    return jax.vmap(lambda one: optimizer_state.centered(loss, one))(found)


def local_errors(inverse: Inverse, chosen: Array, sizes: Array, ranges: Array) -> Array:
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


def rounding(inverse: Inverse, weights: Array) -> tuple[Array, Array]:
    """Rounding errors of gradients, and of scores per length of a row; one a model."""
    system, rows = inverse.system, inverse.rows
    norms, epsilon = jnp.linalg.norm(rows, axis=1), jnp.finfo(rows.dtype).eps
    largest = jnp.max(jnp.linalg.norm(weights, axis=2), axis=1)
    of_scores = 2 * epsilon * jnp.sqrt(1.0 * rows.shape[1]) * largest
    per_row = jnp.linalg.norm(system.gradients, axis=0) * norms
    of_sums = 2 * epsilon * jnp.sqrt(1.0 * rows.shape[0]) * (system.shares @ per_row)
    moment = system.shares @ jnp.square(norms)
    return of_sums + inverse.smoothness * of_scores * moment, of_scores
