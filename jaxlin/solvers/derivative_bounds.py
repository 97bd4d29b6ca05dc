r"""Bounds on the errors of derivatives of the optimum.

`jaxlin.solvers.optimum_derivatives` computes them at a point W near the optimum
:math:`W^*`, and its system leaves a residual. Let H and :math:`H^*` be the Hessians at
the two points, :math:`\mu` a lower bound of the eigenvalues of H, g the gradient of the
objective at W, and :math:`\|a\|_M^2 = a^\top M a`.

**The distance.** A penalised bias, or none, makes the objective strongly convex, with
:math:`\mu = \lambda_2`. With a free bias let h be the least curvature of the mean loss
along it, L the largest eigenvalue of a loss's Hessian in the scores, and q the norm
:math:`(\sum_i s_i \|\delta x_i\|^2_{S_i})^{1/2}` of the loss for a change
:math:`\delta` of the weights :math:`\delta_W` and the bias :math:`\delta_b`. Then
:math:`\sqrt{h} \|\delta_b\| \le q + (L\, m)^{1/2} \|\delta_W\|`, m the mean squared
norm of the rows, and :math:`\|\delta\|_H^2 = q^2 + \lambda_2 \|\delta_W\|^2`, so that
by Cauchy-Schwarz

.. math:: \frac{1}{\mu} = \frac{1}{\lambda_2}
          + \frac{1 + L\, m / \lambda_2}{h}.

The gradient is 0 at :math:`W^* = W + \delta`. If all Hessians between the two points
are at least 1 - :math:`\epsilon` times H, then
:math:`(1 - \epsilon)\, d^2 \le -\langle g, \delta \rangle \le \lambda\, d`, with
:math:`d = \|\delta\|_H` and the Newton decrement :math:`\lambda = \|g\|_{H^{-1}}`, so
that

.. math:: d \le (1 + c) \lambda, \quad \|\delta\| \le \rho = (1 + c) \lambda /
          \sqrt{\mu}, \quad c = \frac{\epsilon}{1 - \epsilon}.

For softmax and cross-entropy the third derivative along a change of the scores is at
most the range :math:`\tau` of its entries times the second
(`jaxlin.certificates.bias_bounds`). Along :math:`\delta` Hessians change by at most the
factor :math:`e^{\tau}`, where :math:`\tau \le \sqrt{2}\, Z \|\delta\| \le R\, d`, Z the
largest norm of a row with its constant and :math:`R = \sqrt{2 / \mu}\, Z`. On average
they are at least :math:`(1 - e^{-\tau}) / \tau` times H. That falls with :math:`\tau`,
so that :math:`d^2 (1 - e^{-R d}) / (R d) \le \lambda\, d`. With
:math:`\epsilon = R \lambda` that is :math:`1 - e^{-R d} \le \epsilon`: the bounds above
follow, and :math:`e^{\tau} - 1 \le c`.

The Hessian of the squared hinge changes only where a violation :math:`v_{ij}` changes
its sign. Within :math:`\|\delta\|_H \le 2 \lambda` that needs
:math:`|v_{ij}| \le \sqrt{2}\, \|x_i\|\, 2 \lambda / \sqrt{\mu}`. With :math:`k_i` such
classes :math:`\|H^* - H\| \le \sum_i 2\, s_i (k_i + 1) \|x_i\|^2` over the examples
that have any; :math:`\epsilon` is that, divided by :math:`\mu`. If it is at most 1/2,
the objective does not fall where :math:`\|\delta\|_H = 2 \lambda`, in the direction of
:math:`\delta`: the optimum is within, and the bounds above hold.

If :math:`\epsilon > 1/2` the bounds are infinite.

**The adjoint.** The computed u has the residual r. As :math:`H^*` differs from H by at
most the factor 1 + c, :math:`\|(H^{*-1} - H^{-1}) v\|_H \le c\, \|v\|_{H^{-1}}`, and
:math:`\|H^{-1} r\|_H \le \|r\| / \sqrt{\mu}`:

.. math:: \|u^* - u\|_H \le E = c\, \|v\|_{H^{-1}} + \|r\| / \sqrt{\mu}, \quad
          \|v\|_{H^{-1}}^2 \le \langle u, v \rangle + \|r\| \|v\| / \mu.

**A derivative.** It is :math:`-\langle u^*, B^* \rangle`, B the derivative of the
gradient, which differs from that at W by at most :math:`\Delta`:

.. math:: |\langle u^*, B^* \rangle - \langle u, B \rangle|
          \le \frac{E}{\sqrt{\mu}} (\|B\| + \Delta) + \|u\| \Delta.

:math:`\Delta` follows from :math:`\rho` and L: weights change by at most
:math:`\rho`, the score gradient of a row by :math:`L \rho \|x\|`, and its Hessian by
the factor 1 + c (where a sign may change: by L).

The bounds hold for the gradient v as given. They contain an estimate of the rounding
errors of float64 sums, with a safety factor, which is not a worst case. Those of scores
change the gradient and H u by roundoff times :math:`L\, m` (L = 1 for softmax) times
:math:`\|W\|` and :math:`\|u\|`. For raw pixels and a small :math:`\lambda_2` the bounds
are then infinite: normalise the features.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import losses
from jaxlin.linear import Bias
from jaxlin.losses import conjugates
from jaxlin.objective import row_norms, score_hessian
from jaxlin.solvers import hessian_system, optimum_derivatives
from jaxlin.solvers.hessian_system import HessianSystem
from jaxlin.solvers.optimum_derivatives import Adjoint
from jaxlin.typing import Array, Loss

# Rounding errors of sums, in units of roundoff of the sums of absolute values.
_ROUNDING = 16
# Relative error of norms of float32 rows, which are computed in float32.
_NORMS_IN_FLOAT32 = 1e-5


class Distance(NamedTuple):
    """Bounds on what separates the point of a Hessian from the optimum.

    Attributes:
      radius: distance of the folded weights, up to a shift of all scores, shape ``()``.
      change: relative change c of the Hessian, shape ``()``.
      uncertain: number of violations per example that may change their sign, 0 without
        violations, shape ``(examples,)``.
      curvature: lower bound of the eigenvalues of the Hessian, shape ``()``.
      norms: norms of the rows with their constant, shape ``(examples,)``.
      rounding: rounding error of a product of the Hessian and a vector, relative to the
        norm of the vector, shape ``()``.
    """

    radius: Array
    change: Array
    uncertain: Array
    curvature: Array
    norms: Array
    rounding: Array


def distance(system: HessianSystem, *, loss: Loss) -> Distance:
    """Bounds the distance to the optimum by one solve; infinite if none is known."""
    gradient = hessian_system.gradient(system)
    newton = optimum_derivatives.adjoint(system, gradient, loss=loss)
    return _distance(system, newton, loss=loss)


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def _distance(system: HessianSystem, newton: Adjoint, *, loss: Loss) -> Distance:
    shares, l2, bias = system.shares, system.l2, system.settings.bias
    examples, dtype = system.examples, system.weights.dtype
    norms = row_norms.norms(
        examples.features, normalization=examples.normalization
    ).astype(dtype)
    norms *= 1 + _NORMS_IN_FLOAT32
    largest = jnp.max(jnp.where(shares > 0, norms, 0))
    sizes = jnp.linalg.norm(system.gradients, axis=0) * norms
    # The Hessian of softmax is a difference of two terms of norm 1/2.
    largest_in_scores = max(1.0, _largest_eigenvalue(loss, system.weights.shape[0]))
    of_scores = largest_in_scores * jnp.sum(_counted(shares, norms**2))
    of_product = _ROUNDING * jnp.finfo(dtype).eps * (of_scores + l2)
    rounding = _ROUNDING * jnp.finfo(dtype).eps * jnp.sum(_counted(shares, sizes))
    rounding += of_product * jnp.linalg.norm(system.weights)
    curvature = l2
    if bias is Bias.FREE:
        curvature = _curvature_with_free_bias(system, norms, loss=loss)
    root = jnp.sqrt(curvature)
    residual = residual_bound(newton, of_product)
    decrement = _dual_norm(newton, residual, curvature) + rounding / root
    if conjugates.of(loss).violations is None:
        uncertain = jnp.zeros(norms.shape, int)
        ratio = jnp.sqrt(2.0) * largest * decrement / root
    else:
        violations = jax.vmap(
            functools.partial(
                losses.margin_violations, **optimum_derivatives.loss_arguments(system)
            )
        )(system.scores.T, examples.targets)
        reach = jnp.sqrt(2.0) * norms * 2 * decrement / root
        uncertain = jnp.sum(jnp.abs(violations) <= reach[:, None], axis=1)
        of_rows = jnp.where(uncertain > 0, 2.0 * (uncertain + 1), 0) * norms**2
        ratio = jnp.sum(_counted(shares, of_rows)) / curvature
    # Comparisons with NaN are false.
    is_known = ratio <= 0.5
    change = jnp.where(is_known, ratio / (1 - jnp.where(is_known, ratio, 0)), jnp.inf)
    radius = (1 + change) * decrement / root
    return Distance(radius, change, uncertain, curvature, norms, of_product)


def _dual_norm(adjoint: Adjoint, residual: Array, curvature: Array) -> Array:
    """Bound on the norm of a right side under the inverse of the Hessian."""
    right = jnp.linalg.norm(adjoint.right)
    squared = jnp.sum(adjoint.values * adjoint.right)
    squared += residual * right / curvature
    return jnp.sqrt(jnp.maximum(squared, 0))


def residual_bound(adjoint: Adjoint, of_product: Array) -> Array:
    """Bound on the norm of an adjoint's residual, with rounding errors."""
    rounding = _ROUNDING * jnp.finfo(adjoint.right.dtype).eps
    right, left = jnp.linalg.norm(adjoint.right), jnp.linalg.norm(adjoint.values)
    return adjoint.residual + rounding * right + of_product * left


def _counted(shares: Array, values: Array) -> Array:
    """Values times shares, without those of weight 0, which may overflow."""
    return jnp.where(shares > 0, shares * values, 0)


def _curvature_with_free_bias(
    system: HessianSystem, norms: Array, *, loss: Loss
) -> Array:
    """Lower bound of the eigenvalues that belong to no shift of all scores."""
    of_bias = score_hessian.mean(loss, system.in_scores)
    num_classes, dtype = of_bias.shape[0], of_bias.dtype
    noise = _ROUNDING * num_classes * jnp.finfo(dtype).eps * jnp.max(jnp.abs(of_bias))
    # The smallest is 0, that of a shift, which all smooth losses ignore.
    least = jnp.linalg.eigvalsh(of_bias)[1] - noise
    squares = jnp.sum(_counted(system.shares, norms**2))
    of_rows = _largest_eigenvalue(loss, num_classes) * squares / system.l2
    known = jnp.where(least > 0, least, 1)
    return jnp.where(least > 0, 1 / (1 / system.l2 + (1 + of_rows) / known), 0)


def _largest_eigenvalue(loss: Loss, num_classes: int) -> float:
    """Bound on the eigenvalues of the Hessian of one loss in its scores."""
    # Twice a sum of (e_j - e_y)(e_j - e_y)^T over the wrong classes; or a covariance
    # of a one-hot vector.
    return 0.5 if conjugates.of(loss).violations is None else 2.0 * num_classes


def _bound(
    distance: Distance, adjoint: Adjoint, derivative: Array, change: Array
) -> Array:
    """Bound on the error of a derivative.

    Args:
      distance: bounds on the distance of the point.
      adjoint: the adjoint.
      derivative: norm of B, the derivative of the gradient, of any shape.
      change: bound on its change, of the same shape.
    """
    length = jnp.linalg.norm(adjoint.values)
    root = jnp.sqrt(distance.curvature)
    rounding = _ROUNDING * jnp.finfo(length.dtype).eps
    residual = residual_bound(adjoint, distance.rounding)
    norm = _dual_norm(adjoint, residual, distance.curvature)
    of_adjoint = (distance.change * norm + residual / root) / root
    found = of_adjoint * (derivative + change) + length * change
    found += rounding * length * derivative
    # 0 times infinity is not known.
    return jnp.where(jnp.isnan(found), jnp.inf, found)


@functools.partial(jax.jit, static_argnames=("axis",))
def of_l2(
    system: HessianSystem,
    adjoint: Adjoint,
    distance: Distance,
    *,
    axis: int | None = None,
) -> Array:
    """Bounds on the errors of `jaxlin.solvers.optimum_derivatives.in_l2`."""
    penalized = system.settings.bias.penalized_part(system.weights)
    norms = jnp.sqrt(jnp.sum(jnp.square(penalized), axis=axis))
    return _bound(distance, adjoint, norms, jnp.full_like(norms, distance.radius))


@functools.partial(jax.jit, static_argnames=("loss",))
def of_weights(
    system: HessianSystem, adjoint: Adjoint, distance: Distance, *, loss: Loss
) -> Array:
    """Bounds on the errors of `jaxlin.solvers.optimum_derivatives.in_weights`."""
    largest = _largest_eigenvalue(loss, system.weights.shape[0])
    sizes = jnp.linalg.norm(system.gradients, axis=0) * distance.norms
    squares, shares = jnp.square(distance.norms), system.shares
    both = sizes + jnp.sum(_counted(shares, sizes))
    moves = squares + jnp.sum(_counted(shares, squares))
    total = optimum_derivatives.total_weight(system)
    change = largest * distance.radius * moves
    return _bound(distance, adjoint, both / total, change / total)


@functools.partial(jax.jit, static_argnames=("loss",))
def of_features(
    system: HessianSystem, adjoint: Adjoint, distance: Distance, *, loss: Loss
) -> Array:
    """Bounds on the errors of `jaxlin.solvers.optimum_derivatives.in_features`."""
    largest = _largest_eigenvalue(loss, system.weights.shape[0])
    of_columns = jnp.linalg.norm(system.weights[:, :-1], axis=0)[None, :]
    norms = (largest * distance.norms)[:, None]
    gradients = jnp.linalg.norm(system.gradients, axis=0)[:, None]
    change = jnp.broadcast_to(distance.change, distance.norms.shape)
    if conjugates.of(loss).violations is not None:
        change = jnp.where(distance.uncertain > 0, 1.0, 0)
    sizes = norms * of_columns + gradients
    moves = norms * (change[:, None] * of_columns + 2 * distance.radius)
    scale = jnp.abs(optimum_derivatives.feature_scales(system))[None, :]
    per_row = _counted(system.shares[:, None], 1 / scale)
    return jnp.where(
        per_row > 0, _bound(distance, adjoint, per_row * sizes, per_row * moves), 0
    )


@jax.jit
def of_margin(system: HessianSystem, adjoint: Adjoint, distance: Distance) -> Array:
    """Bound on the error of the derivative in the margin of the squared hinge."""

    def sums(counts: Array) -> Array:
        # 2 for each of the classes, and minus their sum for the label.
        norms = 2 * jnp.sqrt(counts + jnp.square(counts))
        return jnp.sum(_counted(system.shares, norms * distance.norms))

    active = jnp.sum(system.gradients > 0, axis=0).astype(distance.norms.dtype)
    uncertain = distance.uncertain.astype(active.dtype)
    return _bound(distance, adjoint, sums(active), sums(uncertain))


@jax.jit
def of_targets(system: HessianSystem, adjoint: Adjoint, distance: Distance) -> Array:
    """Bounds on the errors of `jaxlin.solvers.optimum_derivatives.in_targets`."""
    totals = jnp.sum(system.examples.targets.astype(distance.norms.dtype), axis=1)
    norms = jnp.sqrt(2.0) * _counted(system.shares, distance.norms) / totals
    norms = jnp.broadcast_to(norms[:, None], system.examples.targets.shape)
    return _bound(distance, adjoint, norms, jnp.zeros_like(norms))
