r"""Free bias: the part of a gap that it adds, and its distance from the optimum.

With a free bias b the residual :math:`r = \sum_i a_i u_i / \sum_i a_i` of the score
gradients should be 0. `jaxlin.certificates.bias_search` makes it small; what rounding
leaves of it adds :math:`\langle b - b^*, r \rangle` to the gap, for an optimal bias
:math:`b^*`. Nothing is assumed about it: its distance is bounded as follows.

Let P be the objective at the parameters, :math:`\pi_c` the share of class c among the
examples, R the largest distance of a row from a center m of the rows, and
:math:`\rho \ge \|W - W^*\|`. Scores are those of centred rows, with the bias
:math:`b + W m`, and :math:`\delta` is the difference of that bias at the optimum and
here. At the optimum the examples of class c have a mean loss of at most
:math:`P / \pi_c`. It is at least the mean of the score of any class j minus that of
class c, so that

.. math:: \delta_j - \delta_c \le K_c + \sqrt{2} \rho R, \quad
          K_c = P / \pi_c + \text{mean}_c (s_c - \min_k s_k).

The score gradients of a loss that ignores a shift of all scores sum to 0, and with j
the class of the largest :math:`\delta_j`

.. math:: \langle -\delta, r \rangle = \sum_c r_c (\delta_j - \delta_c)
          \le \sum_c \max(r_c, 0) (K_c + \sqrt{2} \rho R) = A + B \rho.

The squared hinge has :math:`\sqrt{P / \pi_c}` in the place of :math:`P / \pi_c`, by
Jensen's inequality. The classes of one-vs-rest are bounded one by one, from both sides.
By strong convexity :math:`\lambda_2 \rho^2 / 2` is at most the whole gap E + A + B rho,
a quadratic inequality that bounds rho.

That bound is linear in the residual, and in float32 seldom below 1e-5 of the objective.
For softmax and cross-entropy there is one of second order (`curvature_term`), because
their third derivative along :math:`\delta` is at most the range :math:`\tau` of its
entries times the second: along :math:`s \delta` Hessians change by at most the factor
:math:`e^{s \tau}`. Let F be the mean loss as a function of the bias alone, at the
scores as computed, with the curvature :math:`k_c` along the bias
(`jaxlin.certificates.bias_search.MinimisingBias`) and its minimum at
:math:`\hat{b} = b + \delta`. With

.. math:: \lambda^2 = \sum_c r_c^2 / k_c, \quad \kappa^2 = 2 / \min_c k_c, \quad
          d^2 = \delta^\top \nabla^2 F(b) \, \delta,

:math:`\langle r, \delta \rangle \ge -\lambda d` and :math:`\tau \le \kappa d`. The
derivative along :math:`\delta` is 0 at the minimum, so that
:math:`d^2 (1 - e^{-\tau}) / \tau \le -\langle r, \delta \rangle \le \lambda d` and
:math:`1 - e^{-\kappa d} \le \kappa \lambda`. If the right side is below 1, level sets
are bounded and a minimum exists; if it is at most 1/4, then :math:`d \le 1.2 \lambda`
and :math:`\tau \le 0.3`. The score gradients at :math:`\hat{b}` have no residual. They
give the certificate, and differ from those at b by little:

* F is lower there by at most :math:`\lambda d`. Let e be the errors of the scores of
  an example, and E the mean of the terms that they hide. The Fenchel-Young term of the
  true scores is the sum of that of b, of that of the computed scores at
  :math:`\hat{b}`, and of the product of e and the change of the score gradient. By
  Cauchy-Schwarz the mean of the last is at most :math:`2.2 \sqrt{E} d`, because
  `jaxlin.certificates.fenchel_young` takes for E at least twice the mean of the squared
  norm of e under the Hessian.
* The gradient in W differs by at most :math:`0.8 R d`: the Hessian of one example has
  no eigenvalue above 1/2, so that its score gradient changes by at most the local norm
  of :math:`\delta` over :math:`\sqrt{2}`, times 1.1.

`bias_distance` bounds the distance D of the bias from the optimum, up to a shift of all
scores, for softmax and cross-entropy, whose loss has curvature in the bias. By
self-concordance the loss exceeds its tangent by at least :math:`\psi(-\tau) V`, where V
is the mean variance of the change of the scores under the predicted probabilities,
:math:`\tau` its largest range, and :math:`\psi(-\tau) \ge 1 / (2 + \tau)`. As the
optimum is no higher, that is at most the gap. The change of the weights moves the
scores of a row x by at most :math:`\sqrt{2} \rho \|x\|`; the rest of V is at least
:math:`h D^2`, h the smallest curvature of the mean loss along the bias.

Reference:
  F. Bach. Self-concordant analysis for logistic regression. Electronic Journal of
  Statistics, 2010.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlin import losses
from jaxlin.linear import Params
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization
from jaxlin.typing import Array, Loss, LossArguments

# Rows whose scores are computed at once.
_BLOCK_ROWS = 2048


class RowCenter(NamedTuple):
    """A point near the rows, and how far they are from it.

    Attributes:
      mean: the point, about the mean of the normalised rows, shape ``(features,)``.
      radius: largest distance of a row from it, shape ``()``.
    """

    mean: Array
    radius: Array


class BiasTerm(NamedTuple):
    r"""Bound :math:`A + B \rho` on the part of a gap that a free bias adds.

    Attributes:
      constant: A, shape ``()``.
      slope: B, shape ``()``.
    """

    constant: Array
    slope: Array


def bias_term(
    residual: Array,
    residual_error: Array,
    class_means: Sequence[Array],
    *,
    loss: Loss,
    loss_arguments: LossArguments | None,
    primal: Array,
    radius: Array,
) -> BiasTerm:
    """Bound on the part of the gap that the residual of a free bias adds.

    Infinite if a class has no example, or no example is of another class.

    Args:
      residual: mean of the score gradients, shape ``(classes,)``.
      residual_error: bound on its floating-point error, at least 0, same shape.
      class_means: means of `jaxlin.certificates.fenchel_young.class_values` over the
        examples, three arrays of shape ``(classes,)``.
      loss: one that has a conjugate.
      loss_arguments: traced keywords of the loss.
      primal: objective at the parameters, floating-point error included.
      radius: largest distance of a row from the center.
    """
    rises = jnp.maximum(residual, 0) + residual_error
    falls = jnp.maximum(-residual, 0) + residual_error
    shares = class_means[0]
    # Of a class of share 0 nothing is known, and nothing is proven.
    of_class = primal / shares
    if loss is losses.one_vs_rest_hinge:
        margin = jnp.asarray(dict(loss_arguments or {}).get("margin", 1.0))
        _, of_right, of_others = class_means
        others = 1 - shares - 32 * jnp.finfo(shares.dtype).eps
        below = jnp.maximum((primal + of_right) / shares - margin, 0)
        above = (primal - of_others) / jnp.where(others > 0, others, 1) - margin
        # A share of the others that rounding may have made is no proof.
        above = jnp.where(others > 0, jnp.maximum(above, 0), jnp.inf)
        constant = jnp.sum(rises * below) + jnp.sum(falls * above)
        return _infinite_or_known(constant, radius * jnp.sum(rises + falls))
    if loss is losses.weston_watkins_squared_hinge:
        of_class = jnp.sqrt(of_class)
    assert conjugates.of(loss).shift_invariant, "all losses but one-vs-rest"
    constant = jnp.sum(rises * (of_class + class_means[1] / shares))
    return _infinite_or_known(constant, jnp.sqrt(2) * radius * jnp.sum(rises))


def _infinite_or_known(constant: Array, slope: Array) -> BiasTerm:
    """Bound of two parts, infinite where they are NaN: 0 x inf is no bound."""
    return BiasTerm(
        *(jnp.where(jnp.isnan(part), jnp.inf, part) for part in (constant, slope))
    )


def curvature_term(
    residual: Array,
    curvature: Array,
    *,
    hidden_terms: Array,
    gradient_norm: Array,
    radius: Array,
    l2: Array,
) -> Array:
    """Bound of second order on what the residual of a free bias adds to the gap.

    Infinite where the curvature is too small for the residual, or unknown.

    Args:
      residual: absolute mean score gradients with their floating-point error, shape
        ``(classes,)``.
      curvature: curvature of the mean loss along the bias, same shape.
      hidden_terms: bound on the mean of the Fenchel-Young terms.
      gradient_norm: bound on the norm of the gradient in the weights.
      radius: largest distance of a row from the center.
      l2: strength of half the sum of squares, above 0.
    """
    least = jnp.min(curvature)
    is_known = (least > 0) & (l2 > 0)
    known, strength = jnp.where(is_known, curvature, 1), jnp.where(is_known, l2, 1)
    decrement = jnp.linalg.norm(residual / jnp.sqrt(known))
    is_small = decrement * jnp.sqrt(2 / jnp.where(is_known, least, 1)) <= 0.25
    # -log(1 - 1/4) / (1/4) is 1.151, and (exp(.15) - 1) / .15 / sqrt(2) is .763.
    step = 1.2 * decrement
    shift = 0.8 * radius * step
    of_terms = step * (decrement + 2.2 * jnp.sqrt(hidden_terms))
    of_gradient = (2 * gradient_norm + shift) * shift / (2 * strength)
    return jnp.where(is_known & is_small, of_terms + of_gradient, jnp.inf)


def bounded_distance(term: BiasTerm, rest: Array, *, l2: Array) -> Array:
    r"""Bound on :math:`\rho`, the root of l2 rho^2 / 2 = rest + A + B rho.

    Args:
      term: the bound on the part of the bias.
      rest: bound on all other parts of the gap.
      l2: strength of half the sum of squares, above 0.
    """
    linear = term.slope / l2
    return linear + jnp.sqrt(jnp.square(linear) + 2 * (rest + term.constant) / l2)


def bias_distance(
    params: Params,
    features: np.ndarray,
    *,
    example_weights: np.ndarray | None,
    normalization: Normalization | None,
    certificate_gap: float,
    rounding: float,
    l2: float,
) -> float:
    r"""Bound on the distance of a free bias of softmax from the optimum.

    It is the norm of the difference from the optimal bias shifted to the same sum,
    about :math:`\rho` times the size of the rows over
    the square root of the smallest curvature. Computed in NumPy float64.

    Args:
      params: parameters of the fit.
      features: raw rows of the fit, shape ``(examples, features)``. They are normalised
        and rounded to the dtype of the parameters, as the fit's passes do.
      example_weights: shape ``(examples,)``; None is all ones.
      normalization: normalisation of the fit, or None.
      certificate_gap: gap of a certificate whose duals are those of these parameters,
        as a pass of a fit gives it. Another bound on objective minus minimum may be
        smaller, and prove nothing of the bias.
      rounding: part of the gap that rounding may hide.
      l2: strength of half the sum of squares, above 0.
    """
    weights, bias = (np.asarray(leaf, np.float64) for leaf in params)
    own = np.ones(len(features)) if example_weights is None else example_weights
    shares = np.asarray(own, np.float64) / np.sum(own, dtype=np.float64)
    counted = np.flatnonzero(shares)
    edges, mean_square, largest = np.zeros((len(bias), len(bias))), 0.0, 0.0
    for start in range(0, len(counted), _BLOCK_ROWS):
        some = counted[start : start + _BLOCK_ROWS]
        rows = np.asarray(features[some], np.float64)
        if normalization is not None:
            rows = (rows - np.asarray(normalization.mean)) / normalization.scale
        rows = rows.astype(np.asarray(params.weights).dtype).astype(np.float64)
        scores = rows @ weights.T + bias
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        edges += (shares[some, None] * probabilities).T @ probabilities
        squares = np.sum(np.square(rows), axis=1)
        mean_square += float(shares[some] @ squares)
        largest = max(largest, float(squares.max()))
    # A Laplacian, as in `jaxlin.certificates.bias_search`; its null space is a shift.
    np.fill_diagonal(edges, 0)
    laplacian = np.diag(edges.sum(axis=1)) - edges
    noise = 8 * len(bias) * np.finfo(np.float64).eps * np.abs(laplacian).max()
    curvature = float(np.linalg.eigvalsh(laplacian)[1] - noise)
    # The duals are those of rounded scores: their terms differ by up to the rounding.
    root = np.sqrt(certificate_gap) + np.sqrt(rounding)
    if np.asarray(params.weights).dtype == np.float32:
        # They may be those of the minimising bias (`curvature_term`). With T the gap
        # and its rounding, (2 + range) / 2 and the change of the local norm make its
        # term at most 1.33 sqrt(T). The way from there, d / sqrt(2) with d^2 <= 1.2 T,
        # and the hidden terms add less than what is left of 2 sqrt(T).
        root += np.sqrt(certificate_gap + rounding)
    gap = root**2
    if not (curvature > 0 and np.isfinite(gap)):
        return np.inf
    root, radius = np.sqrt(curvature), np.sqrt(2 * gap / l2)
    by_weights = radius * np.sqrt(mean_square / 2)
    # The largest y with y^2 = gap (2 + tau), tau the range of the change of the scores.
    linear = gap / (np.sqrt(2) * root)
    constant = 2 + np.sqrt(2) * (radius * np.sqrt(largest) + by_weights / root)
    rest = linear + np.sqrt(linear**2 + gap * constant)
    distance = float((by_weights + rest) / root)
    return distance if np.isfinite(distance) else np.inf
