r"""Convex conjugates of the losses, in the duals of their domains.

The conjugate of a loss, :math:`\ell^*(u) = \sup_s \langle s, u \rangle - \ell(s)`, is
finite on its domain only, and each point there bounds the loss from below:

.. math:: \ell(s) \ge \langle s, u \rangle - \ell^*(u) \quad \text{(Fenchel-Young)}

A certificate is made of such bounds, so a point must lie in the domain beyond doubt. A
float vector that should sum to zero seldom does; therefore a point is given by
duals, one number a class, that in exact arithmetic cannot leave the domain. With
the label y, the signs t_y = 1 and t_j = -1 for other classes, and one-hot e_y:

  loss             duals                   point u         conjugate at u
  Weston-Watkins   g_j in [0, 1], g_y = 0       g - e_y sum(g)  -margin * sum(g)
  its square       g_j >= 0, g_y = 0            g - e_y sum(g)  sum(g^2/4 - margin * g)
  Crammer-Singer   g_j >= 0, sum <= 1, g_y = 0  g - e_y sum(g)  -margin * sum(g)
  one-vs-rest      g_j in [0, 1]                -t g            -margin * sum(g)
  softmax          q_j >= 0, sum 1              q - e_y         sum(q log q)
  cross-entropy    q_j >= 0, sum 1              q - target      sum(q log q)

Each conjugate has the name of its loss in `jaxlin.losses`, and `of` finds it. A hinge
has kinks, at which its gradient jumps; the point of its smoothed form does not:

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
which the losses take, are not supported here.

References:
  Y. Nesterov. Smooth minimization of non-smooth functions. Mathematical Programming,
  2005: smoothing.
  R. T. Rockafellar. Augmented Lagrangians and applications of the proximal point
  algorithm in convex programming. Mathematics of Operations Research, 1976: with the
  duals of one round as the dual_center of the next, the smoothing need not vanish.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import losses
from jaxlin.typing import Array, Loss


class Conjugate(NamedTuple):
    r"""The conjugate of one loss, as pure functions of one example.

    The same signatures for every loss: data are positional and always in the order
    scores, target, duals, dual_center, of which a function takes what it needs.
    ``arguments`` are the loss's own (``margin`` for a hinge). Parameters, points and
    dual_centers have shape ``(classes,)``, values shape ``()``.

    Attributes:
      smooth: whether the loss is differentiable everywhere. If so, `duals` are
        those of its gradient, `excess` vanishes there, `smoothed` is the loss, and
        dual_center and smoothing are ignored.
      duals: ``(scores, target, dual_center, *, smoothing, **arguments)`` to the
        duals of the smoothed loss's gradient. For a hinge they maximise
        :math:`\langle s, u(g) \rangle - \ell^*(u(g)) - \frac{\mu}{2} \|g - c\|^2` over
        the domain, for a smoothing :math:`\mu > 0`, in units of score, and any finite
        dual_center :math:`c`: zeros, or the duals of an earlier round.
      score_gradient: ``(target, duals)`` to the point :math:`u`, the gradient in the
        scores.
      value: ``(target, duals, **arguments)`` to the conjugate :math:`\ell^*(u)`.
      excess: ``(scores, target, duals, **arguments)`` to the Fenchel-Young term
        :math:`\ell(s) + \ell^*(u) - \langle s, u \rangle`, computed as a sum of terms
        none of which is negative, so that nothing cancels.
      smoothed: ``(scores, target, duals, dual_center, *, smoothing, **arguments)`` to
        the maximum that `duals` attain. Its gradient in the scores is `point`. For
        dual_center 0 it is below the loss by at most :math:`\frac{\mu}{2} \max
        \|g\|^2`.
    """

    smooth: bool
    duals: Callable[..., Array]
    score_gradient: Callable[..., Array]
    value: Callable[..., Array]
    excess: Callable[..., Array]
    smoothed: Callable[..., Array]


def of(loss: Loss, /) -> Conjugate:
    """Finds the conjugate of a loss.

    Args:
      loss: a function of `jaxlin.losses`, such as ``losses.weston_watkins_hinge``.

    Returns:
      The conjugate that has the loss's name in this module.

    Raises:
      ValueError: no conjugate of this loss is known.
    """
    if loss not in _CONJUGATES:
        raise ValueError(
            "loss must be one of those with a known conjugate "
            f"({', '.join(known.__name__ for known in _CONJUGATES)}), "
            f"got {getattr(loss, '__name__', repr(loss))}; give the function itself, "
            "such as jaxlin.losses.softmax_cross_entropy (for one of them divided by a "
            "number, multiply l2 by that number)"
        )
    return _CONJUGATES[loss]


def known_losses() -> tuple[Loss, ...]:
    """Returns the losses whose conjugates are known, which can be certified."""
    return tuple(_CONJUGATES)


def _hinge(
    violations: Callable[..., Array],
    project: Callable[[Array], Array],
    point: Callable[..., Array],
    excess_of: Callable[[Array, Array], Array],
) -> Conjugate:
    """A loss that is the largest <g, violations> over a domain of g.

    Args:
      violations: (scores, label, *, margin) to signed violations; -inf pins the
        parameter of the right class at 0.
      project: the Euclidean projection onto the domain.
      point: (label, g) to the point.
      excess_of: (violations, g) to the largest less <g, violations>.
    """

    def finite(scores: Array, y: ArrayLike, /, **rest: Any) -> Array:
        signed = violations(scores, y, **rest)
        pinned = losses.is_label(scores, y) & (signed == -jnp.inf)
        return jnp.where(pinned, 0, signed)

    def duals(
        scores: Array, y: ArrayLike, c: Array, /, *, smoothing: ArrayLike, **rest: Any
    ) -> Array:
        chex.assert_equal_shape([scores, c])
        step = violations(scores, y, **rest) / _like(smoothing, scores)
        return project(_like(c, scores) + step)

    def value(_: ArrayLike, g: Array, /, *, margin: ArrayLike = 1.0) -> Array:
        return -_like(margin, g) * jnp.sum(g)

    def excess(scores: Array, y: ArrayLike, g: Array, /, **rest: Any) -> Array:
        chex.assert_equal_shape([scores, g])
        return excess_of(finite(scores, y, **rest), g)

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
        return jnp.sum(g * finite(scores, y, **rest)) - penalty

    return Conjugate(False, duals, point, value, excess, smoothed)


def _smooth(
    loss: Callable[..., Array],
    gradient: Callable[..., Array],
    point: Callable[..., Array],
    value: Callable[..., Array],
    excess: Callable[..., Array],
) -> Conjugate:
    """A loss differentiable everywhere, with the duals of its gradient."""

    def duals(
        scores: Array, target: Any, /, *_: Array, smoothing: ArrayLike, **rest: Any
    ) -> Array:
        return gradient(scores, target, **rest)

    def smoothed(
        scores: Array, target: Any, /, *_: Array, smoothing: ArrayLike, **rest: Any
    ) -> Array:
        return loss(scores, target, **rest)

    return Conjugate(True, duals, point, value, excess, smoothed)


def _box(target: Array) -> Array:
    return jnp.clip(target, 0, 1)


def _capped_simplex(target: Array) -> Array:
    r"""Projects onto all g >= 0 with sum at most 1, exactly.

    The projection lowers all coordinates by one threshold and cuts them at 0. For the
    sum 1 the threshold t solves sum(relu(target - t)) = 1; where that is negative,
    cutting alone leaves a sum below 1, and the threshold is 0. It is found by leaving
    out, again and again, what is below the threshold of those that are left: a few
    times, while XLA's sort of ten numbers costs a quarter of a pass over CIFAR-10.

    References:
      M. Held, P. Wolfe and H. P. Crowder. Validation of subgradient optimization.
      Mathematical Programming, 1974.
      C. Michelot. A finite algorithm for finding the projection of a point onto the
      canonical simplex of R^n. Journal of Optimization Theory and Applications, 1986.
    """
    largest = jnp.max(target)
    # Measured from the largest, the few that stay positive keep their digits however
    # large all are.
    target = target - largest

    def threshold(left: Array) -> Array:
        total = jnp.sum(jnp.where(left, target, 0))
        return (total - 1) / jnp.sum(left, dtype=target.dtype)

    def leave_out(state: tuple[Array, Array]) -> tuple[Array, Array]:
        left, _ = state
        fewer = left & (target > threshold(left))
        return fewer, jnp.any(fewer != left)

    # The largest exceeds the threshold by no more than the sum.
    start = target > -1
    left, _ = jax.lax.while_loop(
        lambda state: state[1], leave_out, (start, jnp.any(start))
    )
    return jax.nn.relu(target - jnp.maximum(threshold(left), -largest))


def _box_excess(violations: Array, g: Array) -> Array:
    too_small = jax.nn.relu(violations) * (1 - g)
    too_large = jax.nn.relu(-violations) * g
    return jnp.sum(too_small + too_large)


def _capped_simplex_excess(violations: Array, g: Array) -> Array:
    # The right class, with violation 0, stands for what is left of the sum 1.
    largest = jax.nn.relu(jnp.max(violations))
    left = jax.nn.relu(1 - jnp.sum(g))
    return jnp.sum(g * (largest - violations)) + left * largest


def _against_label(label: ArrayLike, g: Array, /) -> Array:
    # The right class takes what makes the sum 0. Of a distribution this keeps digits
    # that g_y - 1 would lose.
    is_label = losses.is_label(g, label)
    wrong = jnp.where(is_label, 0, g)
    return jnp.where(is_label, -jnp.sum(wrong), wrong)


def _against_sign(label: ArrayLike, g: Array, /) -> Array:
    return jnp.where(losses.is_label(g, label), -g, g)


def _against_target(target: Array, q: Array, /) -> Array:
    chex.assert_equal_shape([target, q])
    return q - _like(target, q)


def _squared_gradient(scores: Array, label: ArrayLike, /, **rest: Any) -> Array:
    return 2 * jax.nn.relu(losses.margin_violations(scores, label, **rest))


def _squared_value(_: ArrayLike, g: Array, /, *, margin: ArrayLike = 1.0) -> Array:
    return jnp.sum(g * (g / 4 - _like(margin, g)))


def _squared_excess(scores: Array, y: ArrayLike, g: Array, /, **rest: Any) -> Array:
    chex.assert_equal_shape([scores, g])
    signed = losses.margin_violations(scores, y, **rest)
    # What is kept beyond the margin; for the right class it would be inf.
    kept = jnp.where(losses.is_label(scores, y), 0, jax.nn.relu(-signed))
    return jnp.sum(jnp.square(jax.nn.relu(signed) - g / 2) + g * kept)


def _softmax(scores: Array, _: Any, /) -> Array:
    return jax.nn.softmax(scores)


def _negative_entropy(_: Any, q: Array, /) -> Array:
    return -losses.entropy(q)


def _divergence(scores: Array, _: Any, q: Array, /) -> Array:
    """KL(q || p) from the softmax p: terms q log(q / p) - q + p, none negative.

    With d = log(p / q) a term is q (e^d - 1 - d), which keeps its digits where p and q
    nearly agree.
    """
    chex.assert_equal_shape([scores, q])
    log_p = jax.nn.log_softmax(scores)
    # A q below the smallest normal number counts as 0: whether it has a logarithm
    # depends on the platform, and e^d might overflow.
    is_positive = q >= jnp.finfo(q.dtype).tiny
    d = log_p - jnp.log(jnp.where(is_positive, q, 1))
    # relu: a platform may round expm1 to below d.
    terms = q * jax.nn.relu(jnp.expm1(d) - d)
    return jnp.sum(jnp.where(is_positive, terms, jnp.exp(log_p)))


def _like(value: ArrayLike, array: Array) -> Array:
    return jnp.asarray(value, array.dtype)


weston_watkins_hinge = _hinge(
    losses.margin_violations, _box, _against_label, _box_excess
)
weston_watkins_squared_hinge = _smooth(
    losses.weston_watkins_squared_hinge,
    _squared_gradient,
    _against_label,
    _squared_value,
    _squared_excess,
)
crammer_singer_hinge = _hinge(
    losses.margin_violations, _capped_simplex, _against_label, _capped_simplex_excess
)
one_vs_rest_hinge = _hinge(
    losses.one_vs_rest_violations, _box, _against_sign, _box_excess
)
softmax_cross_entropy = _smooth(
    losses.softmax_cross_entropy,
    _softmax,
    _against_label,
    _negative_entropy,
    _divergence,
)
cross_entropy = _smooth(
    losses.cross_entropy, _softmax, _against_target, _negative_entropy, _divergence
)

_CONJUGATES: dict[Callable[..., Array], Conjugate] = {
    losses.weston_watkins_hinge: weston_watkins_hinge,
    losses.weston_watkins_squared_hinge: weston_watkins_squared_hinge,
    losses.crammer_singer_hinge: crammer_singer_hinge,
    losses.one_vs_rest_hinge: one_vs_rest_hinge,
    losses.softmax_cross_entropy: softmax_cross_entropy,
    losses.cross_entropy: cross_entropy,
}
