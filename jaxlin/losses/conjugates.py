r"""Convex conjugates of the losses, as functions of dual variables.

The conjugate of a loss, :math:`\ell^*(u) = \sup_s \langle s, u \rangle - \ell(s)`, is
finite on its domain only. Each score gradient u in the domain gives a lower bound of
the loss:

.. math:: \ell(s) \ge \langle s, u \rangle - \ell^*(u) \quad \text{(Fenchel-Young)}

A certificate consists of such bounds, so that u must certainly lie in the domain. A
float vector that should sum to zero seldom does. Therefore u is computed from duals g
(q for a distribution), one number per class, for which it cannot leave the domain in
exact arithmetic. With the label y, the signs t_y = 1 and t_j = -1 for the other
classes, and one-hot e_y:

  loss            duals                        score gradient u  conjugate at u
  Weston-Watkins  g_j in [0, 1], g_y = 0       g - e_y sum(g)    -margin * sum(g)
  its square      g_j >= 0, g_y = 0            g - e_y sum(g)    sum(g^2/4 - margin * g)
  Crammer-Singer  g_j >= 0, sum <= 1, g_y = 0  g - e_y sum(g)    -margin * sum(g)
  one-vs-rest     g_j in [0, 1]                -t g              -margin * sum(g)
  softmax         q_j >= 0, sum 1              q - e_y           sum(q log q)
  cross-entropy   q_j >= 0, sum 1              q - target        sum(q log q)

Each conjugate has the name of its loss in `jaxlin.losses`, and `of` finds it. The
gradient of a hinge jumps at its kinks; that of the smoothed hinge is continuous:

  >>> import jax.numpy as jnp
  >>> from jaxlin.losses import conjugates
  >>> from jaxlin import losses
  >>> hinge = conjugates.of(losses.weston_watkins_hinge)
  >>> scores, dual_center = jnp.array([3.0, 2.5, -1.0]), jnp.zeros(3)
  >>> duals = hinge.duals(scores, 0, dual_center, smoothing=1.0)
  >>> print(hinge.score_gradient(0, duals), hinge.value(0, duals))
  [-0.5  0.5  0. ] -0.5
  >>> print(hinge.excess(scores, 0, duals))  # loss + conjugate - <scores, u>
  0.25

Results have the dtype of the scores. Scores must be finite: classes masked out by -inf,
which the losses support, are not supported here.

References:
  Y. Nesterov. Smooth minimization of non-smooth functions. Mathematical Programming,
  2005 (smoothing).
  R. T. Rockafellar. Augmented Lagrangians and applications of the proximal point
  algorithm in convex programming. Mathematics of Operations Research, 1976 (with the
  duals of one round as the dual center of the next, the smoothing need not vanish).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import losses
from jaxlin.losses.dual_domains import BOX, CAPPED_SIMPLEX, Domain, divergence
from jaxlin.typing import Array, Loss


class Conjugate(NamedTuple):
    r"""Conjugate of one loss, as pure functions of one example.

    All losses have the same signatures. Data are positional and always in the order
    scores, target, duals, dual_center; a function takes only those that it needs.
    ``arguments`` are the keyword arguments of the loss (``margin`` for a hinge).
    Scores, duals, dual centers and score gradients have shape ``(classes,)``, values
    shape ``()``.

    Attributes:
      smooth: whether the loss is differentiable everywhere. If it is, `duals` are those
        of its gradient, `excess` vanishes there, `smoothed` is the loss itself, and
        dual_center and smoothing are ignored.
      duals: ``(scores, target, dual_center, *, smoothing, **arguments)`` to the duals
        of the gradient of the smoothed loss. For a hinge they maximise
        :math:`\langle s, u(g) \rangle - \ell^*(u(g)) - \frac{\mu}{2} \|g - c\|^2` over
        the domain, for a smoothing :math:`\mu > 0`, in units of score, and any finite
        dual center :math:`c`: zeros, or the duals of an earlier round.
      score_gradient: ``(target, duals)`` to the gradient in the scores, :math:`u`.
      value: ``(target, duals, **arguments)`` to the conjugate :math:`\ell^*(u)`.
      excess: ``(scores, target, duals, **arguments)`` to the Fenchel-Young term
        :math:`\ell(s) + \ell^*(u) - \langle s, u \rangle`, computed as a sum of
        non-negative terms, so that nothing cancels.
      smoothed: ``(scores, target, duals, dual_center, *, smoothing, **arguments)`` to
        the maximum attained by `duals`. Its gradient in the scores is `score_gradient`.
        For the dual center 0 it is below the loss by at most :math:`\frac{\mu}{2}
        \max \|g\|^2`.
      shift_invariant: whether a constant added to all scores leaves the loss as it is,
        so that score gradients, and the optimum's weights, sum to 0 over the classes.
      hessian_factors: ``(duals, *, smoothing)`` to the factors (d, v) of the Hessian of
        the smoothed loss in the scores, from the duals of its gradient. It is
        :math:`\sum_j d_j (e_j - e_y)(e_j - e_y)^\top`, without the :math:`e_y` where
        the loss is not shift-invariant, plus the Laplacian of the complete graph with
        the weights :math:`v_j v_k`, which does not cancel as :math:`\text{diag}(q) - q
        q^\top` does. A factor is None where it is 0.
      violations: ``(scores, label, **arguments)`` to the vector v, affine in the
        scores, of a loss that is the largest :math:`\langle g, v \rangle - \frac{c}{2}
        \|g\|^2` over duals g >= 0; -inf where the dual is fixed at 0. None for other
        losses.
      cap: upper bound of the duals of such a loss: ``"each"`` is at most 1, or the
        ``"sum"`` of an example's duals is. None if nothing is bounded.
      curvature: c of that form; 0 for a hinge.
    """

    smooth: bool
    duals: Callable[..., Array]
    score_gradient: Callable[..., Array]
    value: Callable[..., Array]
    excess: Callable[..., Array]
    smoothed: Callable[..., Array]
    shift_invariant: bool
    hessian_factors: Callable[..., tuple[Array | None, Array | None]]
    violations: Callable[..., Array] | None = None
    cap: Literal["each", "sum"] | None = None
    curvature: float = 0.0


def of(loss: Loss, /) -> Conjugate:
    """Finds the conjugate of a loss.

    Args:
      loss: a function of `jaxlin.losses`, such as ``losses.weston_watkins_hinge``.

    Returns:
      The conjugate of the same name as the loss in this module.

    Raises:
      ValueError: if no conjugate of the loss is known.
    """
    if loss not in _CONJUGATES:
        remedy = "give the function itself, such as jaxlin.losses.softmax_cross_entropy"
        if callable(loss):
            remedy = (
                "jaxlin.train fits any loss, without a certificate (for one of the six "
                "divided by a number, multiply l2 by that number)"
            )
        raise ValueError(
            "loss must be one of those with a known conjugate "
            f"({', '.join(known.__name__ for known in _CONJUGATES)}), "
            f"got {getattr(loss, '__name__', repr(loss))}; {remedy}"
        )
    return _CONJUGATES[loss]


def known_losses() -> tuple[Loss, ...]:
    """Returns the losses with a known conjugate, for which certificates exist."""
    return tuple(_CONJUGATES)


def _hinge(
    violations: Callable[..., Array],
    domain: Domain,
    score_gradient: Callable[..., Array],
) -> Conjugate:
    """Conjugate of a loss that is the maximum of <g, violations> over duals g.

    Args:
      violations: ``(scores, label, *, margin)`` to signed violations; -inf fixes the
        dual of the right class at 0.
      domain: domain of the duals.
      score_gradient: ``(label, g)`` to the gradient in the scores.
    """

    def finite_violations(scores: Array, y: ArrayLike, /, **rest: Any) -> Array:
        signed = violations(scores, y, **rest)
        is_fixed = losses.is_label(scores, y) & (signed == -jnp.inf)
        return jnp.where(is_fixed, 0, signed)

    def duals(
        scores: Array, y: ArrayLike, c: Array, /, *, smoothing: ArrayLike, **rest: Any
    ) -> Array:
        chex.assert_equal_shape([scores, c])
        step = violations(scores, y, **rest) / _like(smoothing, scores)
        return domain.project(_like(c, scores) + step)

    def value(_: ArrayLike, g: Array, /, *, margin: ArrayLike = 1.0) -> Array:
        return -_like(margin, g) * jnp.sum(g)

    def excess(scores: Array, y: ArrayLike, g: Array, /, **rest: Any) -> Array:
        chex.assert_equal_shape([scores, g])
        return domain.excess(finite_violations(scores, y, **rest), g)

    def smoothed(
        scores: Array,
        y: ArrayLike,
        g: Array,
        c: Array,
        /,
        *,
        smoothing: ArrayLike,
        **rest: Any,
    ) -> Array:
        chex.assert_equal_shape([scores, g, c])
        penalty = _like(smoothing, scores) / 2 * jnp.sum((g - _like(c, scores)) ** 2)
        return jnp.sum(g * finite_violations(scores, y, **rest)) - penalty

    def hessian_factors(
        g: Array, /, *, smoothing: ArrayLike
    ) -> tuple[Array, Array | None]:
        slopes, vector = domain.derivative(g)
        scale = 1 / _like(smoothing, g)
        return scale * slopes, None if vector is None else jnp.sqrt(scale) * vector

    return Conjugate(
        False,
        duals,
        score_gradient,
        value,
        excess,
        smoothed,
        shift_invariant=score_gradient is _gradient_summing_to_zero,
        hessian_factors=hessian_factors,
        violations=violations,
        cap=domain.cap,
    )


def _smooth(
    loss: Callable[..., Array],
    duals_of_gradient: Callable[..., Array],
    score_gradient: Callable[..., Array],
    value: Callable[..., Array],
    excess: Callable[..., Array],
) -> Conjugate:
    """Conjugate of a loss that is differentiable everywhere.

    Args:
      loss: the loss.
      duals_of_gradient: ``(scores, target, **arguments)`` to the duals of its gradient.
      score_gradient: ``(target, duals)`` to the gradient in the scores.
      value: ``(target, duals, **arguments)`` to the conjugate.
      excess: ``(scores, target, duals, **arguments)`` to the Fenchel-Young term.
    """

    def duals(
        scores: Array, target: Any, /, *_: Array, smoothing: ArrayLike, **rest: Any
    ) -> Array:
        return duals_of_gradient(scores, target, **rest)

    def smoothed(
        scores: Array, target: Any, /, *_: Array, smoothing: ArrayLike, **rest: Any
    ) -> Array:
        return loss(scores, target, **rest)

    def hessian_factors(q: Array, /, *, smoothing: ArrayLike) -> tuple[None, Array]:
        return None, q

    return Conjugate(
        True,
        duals,
        score_gradient,
        value,
        excess,
        smoothed,
        shift_invariant=True,
        hessian_factors=hessian_factors,
    )


def _gradient_summing_to_zero(label: ArrayLike, g: Array, /) -> Array:
    # The entry of the right class makes the sum 0. For a distribution this keeps digits
    # that g_y - 1 would lose.
    is_label = losses.is_label(g, label)
    wrong = jnp.where(is_label, 0, g)
    return jnp.where(is_label, -jnp.sum(wrong), wrong)


def _gradient_of_signs(label: ArrayLike, g: Array, /) -> Array:
    return jnp.where(losses.is_label(g, label), -g, g)


def _gradient_of_target(target: Array, q: Array, /) -> Array:
    chex.assert_equal_shape([target, q])
    return q - _like(target, q)


def _squared_duals(scores: Array, label: ArrayLike, /, **rest: Any) -> Array:
    return 2 * jax.nn.relu(losses.margin_violations(scores, label, **rest))


def _squared_value(_: ArrayLike, g: Array, /, *, margin: ArrayLike = 1.0) -> Array:
    return jnp.sum(g * (g / 4 - _like(margin, g)))


def _squared_excess(scores: Array, y: ArrayLike, g: Array, /, **rest: Any) -> Array:
    chex.assert_equal_shape([scores, g])
    signed = losses.margin_violations(scores, y, **rest)
    # The lead beyond the margin; for the right class it would be inf.
    slack = jnp.where(losses.is_label(scores, y), 0, jax.nn.relu(-signed))
    return jnp.sum(jnp.square(jax.nn.relu(signed) - g / 2) + g * slack)


def _squared_factors(g: Array, /, *, smoothing: ArrayLike) -> tuple[Array, None]:
    return jnp.where(g > 0, _like(2, g), 0), None


def _softmax(scores: Array, _: Any, /) -> Array:
    return jax.nn.softmax(scores)


def _divergence(scores: Array, _: Any, q: Array, /) -> Array:
    return divergence(scores, q)


def _negative_entropy(_: Any, q: Array, /) -> Array:
    return -losses.entropy(q)


def _like(value: ArrayLike, array: Array) -> Array:
    return jnp.asarray(value, array.dtype)


weston_watkins_hinge = _hinge(losses.margin_violations, BOX, _gradient_summing_to_zero)
weston_watkins_squared_hinge = _smooth(
    losses.weston_watkins_squared_hinge,
    _squared_duals,
    _gradient_summing_to_zero,
    _squared_value,
    _squared_excess,
)._replace(
    hessian_factors=_squared_factors,
    violations=losses.margin_violations,
    curvature=0.5,
)
crammer_singer_hinge = _hinge(
    losses.margin_violations, CAPPED_SIMPLEX, _gradient_summing_to_zero
)
one_vs_rest_hinge = _hinge(losses.one_vs_rest_violations, BOX, _gradient_of_signs)
softmax_cross_entropy = _smooth(
    losses.softmax_cross_entropy,
    _softmax,
    _gradient_summing_to_zero,
    _negative_entropy,
    _divergence,
)
cross_entropy = _smooth(
    losses.cross_entropy,
    _softmax,
    _gradient_of_target,
    _negative_entropy,
    _divergence,
)

_CONJUGATES: dict[Callable[..., Array], Conjugate] = {
    losses.weston_watkins_hinge: weston_watkins_hinge,
    losses.weston_watkins_squared_hinge: weston_watkins_squared_hinge,
    losses.crammer_singer_hinge: crammer_singer_hinge,
    losses.one_vs_rest_hinge: one_vs_rest_hinge,
    losses.softmax_cross_entropy: softmax_cross_entropy,
    losses.cross_entropy: cross_entropy,
}
