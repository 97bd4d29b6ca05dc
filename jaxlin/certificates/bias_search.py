r"""Free bias: the minimiser of the objective over the bias alone.

With a free bias a dual point must satisfy :math:`\sum_i a_i u_i = 0` in each class
(`jaxlin.certificates.duality`). That is the condition of optimality in the bias: at the
minimiser over b, for fixed weights W, the score gradients of the (smoothed) loss meet
it. A pass of a fit with a free bias therefore computes the products of W with all rows
first, minimises over the C numbers of the bias on them, and then sums the gradients.
Solvers see a function of W alone.

The method is Newton's, with a line search along its directions. One evaluation gives
gradient and Hessian of the mean loss in the bias:

.. math:: r(b) = \frac{\sum_i a_i u_i}{\sum_i a_i}, \quad
          H(b) = \frac{\sum_i a_i \nabla u_i}{\sum_i a_i}

The Hessian costs as much as a product of the rows with C / 2 features. It is shifted by
a multiple of \|r\|, because it may be singular where the loss is not flat.

In float32 the curvature along the bias comes with the result, for softmax and
cross-entropy: `jaxlin.certificates.bias_bounds` bounds by it what rounding leaves of r.
In each class c it is :math:`\mu H_{cc}`, with :math:`\mu` the smallest eigenvalue but
one of the Laplacian H over its diagonal, so that a rare class takes no digits from the
others.

Reference:
  D.-H. Li, M. Fukushima, L. Qi and N. Yamashita. Regularized Newton methods for convex
  minimization problems with singular solutions. Computational Optimization and
  Applications, 2004.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import losses
from jaxlin.certificates import fenchel_young
from jaxlin.losses import conjugates
from jaxlin.objective import score_hessian
from jaxlin.typing import Array, Loss, LossArguments

# Evaluations on cached scores; a pass near the optimum takes one or two, and the first
# pass five.
_MAX_EVALUATIONS = 100
# Sum of |r| over the classes, relative to the mean of the sum of |u_i|, from which one
# more Newton step ends the search: to a power of the machine epsilon. The Newton steps
# of a smooth loss square this residual. Certificates bound what is left.
_LAST_RESIDUAL = 0.5
_LAST_RESIDUAL_OF_HINGES = 0.75
# A step is taken once the slope there is at most this share of the slope at 0.
_SLOPE_SHARE = 0.3
# Shift of the Hessian, which may be singular: relative to its largest entry, and to the
# sum of |r|. A hinge has no curvature in the scores of a class without an active
# example. Without the second shift searches on scores of size 3 to 100 took 26 to 56
# evaluations for the Weston-Watkins hinge, with it 13 to 38; for softmax 9 to 24 on
# scores of size 10 to 100, with it 8 to 16.
_SHIFT = 1e-6
_SHIFT_BY_RESIDUAL = 0.03
_SHIFT_BY_RESIDUAL_OF_HINGES = 0.1
# Losses whose third derivative along a direction is at most the range of its entries
# times the second.
_SELF_CONCORDANT = (losses.softmax_cross_entropy, losses.cross_entropy)
# Share of a Hessian's quadratic form that rounding certainly leaves: its entries off
# the diagonal are sums of numbers of one sign, each with a relative error far smaller.
_CERTAIN_SHARE = 0.9
# Smallest eigenvalue looked for, of a Laplacian over its diagonal.
_SMALLEST_EIGENVALUE = 1e-3


class BiasData(NamedTuple):
    """Data of the mean loss of one model, as a function of its bias.

    Attributes:
      products: scores without the bias, shape ``(classes, examples)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      dual_centers: dual centers of a hinge, shape ``(examples, classes)``; ``(examples,
        0)`` for a smooth loss.
      example_weights: shape ``(examples,)``, or None for all ones.
      smoothing: smoothing of a hinge, in units of score.
      loss_arguments: traced keywords of the loss.
    """

    products: Array | np.ndarray
    targets: Array | np.ndarray
    dual_centers: Array | np.ndarray
    example_weights: Array | np.ndarray | None
    smoothing: Array
    loss_arguments: LossArguments


class MinimisingBias(NamedTuple):
    r"""Result of a search.

    Attributes:
      bias: the minimiser, shape ``(classes,)``.
      curvature: numbers :math:`k_c` such that the mean loss has a second derivative of
        at least :math:`\sum_c k_c (d_c - m)^2` there along each direction d, for some
        m; shape ``(classes,)``. All 0 where nothing is known.
    """

    bias: Array
    curvature: Array


class _Search(NamedTuple):
    """State of the search between two evaluations.

    Attributes:
      candidate: bias of the next evaluation, shape ``(classes,)``.
      base: bias where the line search began.
      direction: direction of the line search.
      hessian: Hessian at the base, where the curvature is wanted; () elsewhere.
      first_slope: slope of the mean loss at the base along the direction.
      step: step that leads to the candidate.
      low: largest step with a negative slope, and that slope.
      high: smallest step with a positive slope, and that slope; infinite if unknown.
      evaluations: number of evaluations.
      is_over: whether the candidate is the result.
    """

    candidate: Array
    base: Array
    direction: Array
    hessian: Any
    first_slope: Array
    step: Array
    low: tuple[Array, Array]
    high: tuple[Array, Array]
    evaluations: Array
    is_over: Array


@jax.default_matmul_precision("highest")
def minimising_bias(bias: Array, data: BiasData, *, loss: Loss) -> MinimisingBias:
    """Minimiser of the mean (smoothed) loss over the bias, and the curvature there.

    Where it is not unique, the result is one near the start.

    Args:
      bias: start of the search, shape ``(classes,)``.
      data: scores, targets, weights and loss arguments.
      loss: one that has a conjugate.
    """
    evaluate = _evaluation(data, loss=loss)
    zero = jnp.zeros((), bias.dtype)
    infinite = jnp.full_like(zero, jnp.inf)
    with_curvature = bias.dtype == jnp.float32 and loss in _SELF_CONCORDANT
    search = _Search(
        candidate=bias,
        base=bias,
        direction=jnp.zeros_like(bias),
        hessian=jnp.zeros((len(bias),) * 2, bias.dtype) if with_curvature else (),
        first_slope=zero,
        step=zero,
        low=(zero, zero),
        high=(infinite, infinite),
        evaluations=jnp.zeros((), jnp.int32),
        is_over=jnp.zeros((), bool),
    )
    search = jax.lax.while_loop(
        lambda search: ~search.is_over & (search.evaluations < _MAX_EVALUATIONS),
        lambda search: _next(search, *evaluate(search.candidate), loss=loss),
        search,
    )
    found = jnp.where(search.is_over, search.candidate, search.base)
    if not with_curvature:
        return MinimisingBias(found, jnp.zeros_like(found))
    # Along a change of range t the Hessian falls by at most exp(-t).
    moved = found - search.base
    kept = _CERTAIN_SHARE * jnp.exp(jnp.min(moved) - jnp.max(moved))
    # Scores are rounded at either bias.
    largest = jnp.max(jnp.abs(data.products)) + jnp.max(jnp.abs(found))
    kept *= jnp.exp(-8 * jnp.finfo(bias.dtype).eps * largest)
    curvature = jnp.where(search.is_over, kept * _curvature(search.hessian), 0)
    return MinimisingBias(found, curvature)


def _curvature(hessian: Array) -> Array:
    """Curvature as in `MinimisingBias`, from the Hessian of a loss without a kink.

    A number below the eigenvalue is found by halving: the factorisation fails for one
    above. It is cheaper than eigenvalues for many classes, and on accelerators.
    """
    degrees = jnp.diagonal(hessian)
    roots = jnp.sqrt(degrees)
    # Of eigenvalues from 0 to 2; the 0 of a shift of all scores is lifted by 1.
    null = roots / jnp.linalg.norm(roots)
    scaled = hessian / jnp.outer(roots, roots) + jnp.outer(null, null)
    unit = jnp.eye(len(degrees), dtype=hessian.dtype)

    def is_above(share: Array) -> Array:
        return ~jnp.isfinite(jnp.linalg.cholesky(scaled - share * unit)).all()

    share = jax.lax.while_loop(
        lambda share: (share > _SMALLEST_EIGENVALUE) & is_above(share),
        lambda share: share / 2,
        jnp.full_like(degrees[0], 0.5),
    )
    # Errors of a factorisation are taken as independent, as all are in a certificate.
    # From about 8,000 classes on nothing is known.
    rounding = 8 * len(degrees) * jnp.finfo(hessian.dtype).eps
    share = jnp.where(share > _SMALLEST_EIGENVALUE, share - rounding, 0)
    return jnp.where(jnp.isfinite(share), jnp.maximum(share, 0) * degrees, 0)


def _next(
    search: _Search, gradient: Array, size: Array, hessian: Array, *, loss: Loss
) -> _Search:
    """State after an evaluation at the candidate."""
    slope = jnp.vdot(gradient, search.direction)
    accepted = jnp.abs(slope) <= -_SLOPE_SHARE * search.first_slope
    accepted |= search.evaluations == 0
    power = _LAST_RESIDUAL if conjugates.of(loss).smooth else _LAST_RESIDUAL_OF_HINGES
    wanted = jnp.finfo(gradient.dtype).eps ** power * size
    direction = -_solve(hessian, gradient, loss=loss)
    new_slope = jnp.vdot(gradient, direction)
    # Rounding alone makes a Newton direction ascend.
    is_over = accepted & ((jnp.sum(jnp.abs(gradient)) <= wanted) | ~(new_slope < 0))
    one, infinite = jnp.ones_like(slope), jnp.full_like(slope, jnp.inf)
    begun = search._replace(
        base=search.candidate,
        hessian=() if isinstance(search.hessian, tuple) else hessian,
        direction=direction,
        first_slope=new_slope,
        step=jnp.where(new_slope < 0, one, 0),
        low=(jnp.zeros_like(slope), new_slope),
        high=(infinite, infinite),
    )
    shortened = _bracketed(search, slope)
    after = jax.tree.map(lambda yes, no: jnp.where(accepted, yes, no), begun, shortened)
    return after._replace(
        candidate=after.base + after.step * after.direction,
        evaluations=search.evaluations + 1,
        is_over=is_over,
    )


def _bracketed(search: _Search, slope: Array) -> _Search:
    """State whose bracket of the zero of the slope is cut at the last step."""
    falls = slope < 0
    here = (search.step, slope)
    low = jax.tree.map(lambda new, old: jnp.where(falls, new, old), here, search.low)
    high = jax.tree.map(lambda new, old: jnp.where(falls, old, new), here, search.high)
    length = high[0] - low[0]
    secant = low[0] - low[1] * length / (high[1] - low[1])
    inside = jnp.clip(secant, low[0] + 0.1 * length, high[0] - 0.1 * length)
    inside = jnp.where(search.evaluations % 3 == 2, (low[0] + high[0]) / 2, inside)
    step = jnp.where(high[0] < jnp.inf, inside, 4 * search.step)
    return search._replace(low=low, high=high, step=step)


def _solve(hessian: Array, gradient: Array, *, loss: Loss) -> Array:
    """Solution of the Newton system, with the Hessian shifted to be definite."""
    num_classes, conjugate = gradient.shape[0], conjugates.of(loss)
    by_residual = (
        _SHIFT_BY_RESIDUAL if conjugate.smooth else _SHIFT_BY_RESIDUAL_OF_HINGES
    )
    scale = jnp.max(jnp.diagonal(hessian))
    scale = jnp.where(scale > 0, scale, 1)
    shift = _SHIFT * scale + by_residual * jnp.sum(jnp.abs(gradient))
    hessian = hessian + shift * jnp.eye(num_classes, dtype=hessian.dtype)
    if conjugate.shift_invariant:
        hessian += jnp.maximum(scale, shift) / num_classes
    factor = jax.scipy.linalg.cho_factor(hessian, lower=True)
    solution = jax.scipy.linalg.cho_solve(factor, gradient)
    return jnp.where(jnp.isfinite(solution).all(), solution, gradient / shift)


def _evaluation(
    data: BiasData, *, loss: Loss
) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Function from a bias to gradient, mean of the sum of |u_i|, and Hessian."""
    conjugate, dtype = conjugates.of(loss), data.products.dtype
    num_classes, num_examples = data.products.shape
    arguments = dict(data.loss_arguments)
    weights = jnp.ones(num_examples, dtype)
    if data.example_weights is not None:
        weights = jnp.asarray(data.example_weights, dtype)
    shares = weights / jnp.sum(weights)
    targets, dual_centers = jnp.asarray(data.targets), jnp.asarray(data.dual_centers)
    if conjugate.smooth:
        dual_centers = jnp.zeros((num_examples, num_classes), dtype)

    def of_example(
        scores: Array, target: Any, dual_center: Array
    ) -> tuple[Array, Array]:
        target = fenchel_young.target_in_dtype(target, dtype)
        duals = conjugate.duals(
            scores, target, dual_center, smoothing=data.smoothing, **arguments
        )
        return conjugate.score_gradient(target, duals), duals

    def evaluate(bias: Array) -> tuple[Array, Array, Array]:
        scores = data.products + bias[:, None]
        # Rows of weight 0 may overflow.
        scores = jnp.where(shares[None, :] > 0, scores, 0)
        gradients, duals = jax.vmap(of_example, in_axes=(-1, 0, 0), out_axes=-1)(
            scores, targets, dual_centers
        )
        size = jnp.sum(jnp.abs(gradients) @ shares)
        hessian = score_hessian.of_duals(
            loss, duals, targets, shares, smoothing=data.smoothing
        )
        return gradients @ shares, size, score_hessian.mean(loss, hessian)

    return evaluate


@functools.partial(jax.jit, static_argnames=("loss",))
def compiled_minimising_bias(
    bias: Array, data: BiasData, *, loss: Loss
) -> MinimisingBias:
    """`minimising_bias` as a program of its own, for rows in blocks."""
    return minimising_bias(bias, data, loss=loss)
