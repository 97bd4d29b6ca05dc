r"""Smallest perturbations that change a label, exact in the L1, L2 and Linf norms.

For a linear classifier the nearest point with another label has a closed form or an
exact algorithm. Class j overtakes the predicted class y once the gain of the
perturbation :math:`\delta` equals the lead of y:

.. math:: \langle d, \delta\rangle \ge m, \qquad d = w_j - w_y,\; m = s_y - s_j

Without bounds the smallest such :math:`\|\delta\|_p` is :math:`m / \|d\|_q`, with the
dual norm q (Hölder): 2 for 2, infinity for 1, 1 for infinity. If ``x + change`` must
stay in a box, feature i can move by at most its room :math:`c_i` in the direction of
the sign of :math:`d_i`. With rates :math:`a_i = |d_i|` the problem is to choose step
sizes :math:`0 \le t_i \le c_i` of smallest norm with :math:`\sum_i a_i t_i \ge m`:

  * L1 is a fractional knapsack: features in descending order of rate, each up to its
    bound, the last one in part;
  * Linf moves all features equally, :math:`t_i = \min(c_i, \lambda)`;
  * L2, by its stationarity conditions, moves :math:`t_i = \min(c_i, \lambda a_i)`.

In the last two cases the gain is a concave, piecewise linear function of the level
:math:`\lambda`. Newton's method from 0 finds the level exactly: each step solves the
current linear piece, never overshoots, and ends on the piece of the solution. The
radius is the minimum over all j.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import linear
  >>> from jaxlin.geometry import robustness
  >>> params = linear.Params(jnp.array([[3.0, 1.0], [0.0, -3.0]]), jnp.zeros(2))
  >>> x = jnp.array([1.0, 0.5])
  >>> nearest = jax.jit(robustness.smallest_perturbation, static_argnames="norm")
  >>> for norm in (1, 2, jnp.inf):
  ...     print(f"{nearest(params, x, norm=norm).radius:.3f}")
  1.250
  1.000
  0.714

Source of the unbounded case: O. L. Mangasarian. Arbitrary-norm separating plane.
Operations Research Letters, 1999. The knapsack: G. B. Dantzig. Discrete-variable
extremum problems. Operations Research, 1957.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, linear
from jaxlin.linear import Params
from jaxlin.stats.metrics import Ratio
from jaxlin.typing import Array

NORMS = (1, 2, math.inf)


class Perturbation(NamedTuple):
    """Smallest perturbation at which another class ties with the predicted one.

    Attributes:
      radius: norm of ``change``, shape ``()``, the infimum of the norms of
        perturbations that change the label; inf where no perturbation changes it, NaN
        where a score is NaN.
      label: index of the class that ties, shape ``()``; the smallest of several.
      change: perturbation of the features, shape ``(features,)``; 0 where the radius is
        infinite.
    """

    radius: Array
    label: Array
    change: Array


def smallest_perturbation(
    params: Params,
    features: ArrayLike,
    *,
    norm: float,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
) -> Perturbation:
    r"""Smallest perturbation of one example that changes its label.

    Args:
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      features: one example, shape ``(features,)``, in the units that the parameters act
        on. For a radius in pixels give raw pixels and parameters with the normalisation
        folded in.
      norm: 1, 2 or infinity; static.
      low: smallest value of each feature, shape ``()`` or ``(features,)``, such as 0;
        None, together with ``high``, for no bounds. A feature of the example outside
        the bounds is not moved back inside and moves no further out.
      high: largest value of each feature, shape ``()`` or ``(features,)``, such as 255;
        None, together with ``low``, for no bounds.

    Returns:
      Radius, class and change, in the dtype of the weights.

    Raises:
      ValueError: if ``norm`` is not 1, 2 or infinity, ``features`` is not one example,
        only one bound is given or a bound has another shape, or bounds that are not JAX
        arrays are NaN or out of order.

    Example:
      With bounds the second pixel reaches 0, and the first has to move further.

      >>> params = Params(jnp.array([[1.0, 1.0], [0.0, 0.0]]), jnp.array([-1.0, 0.0]))
      >>> x = jnp.array([1.75, 0.25])
      >>> nearest = jax.jit(smallest_perturbation, static_argnames="norm")
      >>> free = nearest(params, x, norm=jnp.inf)
      >>> boxed = nearest(params, x, norm=jnp.inf, low=0.0, high=2.0)
      >>> print(free.change, boxed.change)
      [-0.5 -0.5] [-0.75 -0.25]
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be 1, 2 or infinity, got {norm!r}")
    if (low is None) != (high is None):
        raise ValueError(
            f"low and high must be given together or not at all, got {low} and {high}"
        )
    params = Params(*map(jnp.asarray, params))
    check.one_example("features", features, size=params.weights.shape[1])
    x = jnp.asarray(features, params.weights.dtype)
    _check_bounds(low, high, x.shape)
    # Leads are small differences of scores, beyond the precision of TF32.
    with jax.default_matmul_precision("highest"):
        scores = linear.scores(params, x)
    label = jnp.argmax(scores)
    directions = params.weights - params.weights[label][None, :]
    rooms = _rooms(directions, x, low, high)
    allocate: Any = _UNBOUNDED[norm] if rooms is None else _BOXED[norm]
    # The predicted class, and classes with equal weights, never overtake it. They get
    # placeholder values with finite gradients.
    moves = (directions != 0).any(axis=1)
    gains = jnp.where(moves[:, None], jnp.abs(directions), 1)
    # Scaled, so that squares neither overflow nor underflow.
    largest = jnp.max(gains, axis=1)
    leads = jnp.where(moves, (scores[label] - scores) / largest, 1)
    sizes = jax.vmap(allocate)(gains / largest[:, None], rooms, leads)
    radii = jnp.where(moves, jnp.linalg.norm(sizes, ord=norm, axis=1), jnp.inf)
    nearest = jnp.argmin(radii)
    radius = jnp.where(jnp.isnan(scores).any(), jnp.nan, radii[nearest])
    change = jnp.sign(directions[nearest]) * sizes[nearest]
    change = jnp.where(jnp.isfinite(radius), change, 0)
    return Perturbation(radius, nearest.astype(jnp.int32), change)


def robust_accuracy(radii: ArrayLike, correct: ArrayLike, sizes: ArrayLike) -> Ratio:
    """Share of examples that stay correct under every perturbation up to a size.

    Exact, as the radii are: an example counts as wrong from its radius on. At size 0
    this is the accuracy, without correct examples whose score ties with another class.

    Args:
      radii: radii of `smallest_perturbation`, shape ``(examples,)``.
      correct: whether each example is classified correctly, booleans, shape
        ``(examples,)``.
      sizes: norms of the perturbations, in the norm of the radii, shape ``(sizes,)``.

    Returns:
      The `Ratio` of examples that stay correct to all examples, each field of shape
      ``(sizes,)``.

    Raises:
      ValueError: if shapes do not fit or ``correct`` is not boolean.

    Example:
      >>> radii, correct = jnp.array([0.5, 2.0, 3.0]), jnp.array([True, True, False])
      >>> print(robust_accuracy(radii, correct, jnp.array([0.0, 1.0, 2.0])).total)
      [2 1 0]
    """
    radii, correct, sizes = (jnp.asarray(each) for each in (radii, correct, sizes))
    if radii.ndim != 1 or correct.shape != radii.shape or sizes.ndim != 1:
        raise ValueError(
            "radii, correct and sizes must have shapes (examples,), (examples,) and "
            f"(sizes,), got {radii.shape}, {correct.shape} and {sizes.shape}"
        )
    if correct.dtype != bool:
        raise ValueError(
            f"correct must be boolean, got {correct.dtype}; predicted == labels is"
        )
    stays = (radii[None, :] > sizes[:, None]) & correct[None, :]
    return Ratio(jnp.sum(stays, axis=1), jnp.full(sizes.shape, len(radii)))


def _check_bounds(low: Any, high: Any, shape: tuple[int, ...]) -> None:
    for name, bound in (("low", low), ("high", high)):
        if bound is not None and np.shape(bound) not in ((), shape):
            raise ValueError(
                f"{name} must have shape () or {shape}, got shape {np.shape(bound)}"
            )
    # JAX arrays may be traced, and reading their values would block.
    are_known = not any(isinstance(bound, jax.Array) for bound in (low, high))
    if low is not None and are_known and not np.all(np.asarray(low) <= high):
        raise ValueError(f"low must be at most high, got {low} and {high}")


def _rooms(
    directions: Array, x: Array, low: ArrayLike | None, high: ArrayLike | None
) -> Array | None:
    """Room of each feature in the direction that helps a class; None if unbounded."""
    if low is None or high is None:
        return None
    up, down = (
        jax.nn.relu(jnp.broadcast_to(jnp.asarray(room, x.dtype), x.shape))
        for room in (high - x, x - low)
    )
    return jnp.where(directions > 0, up[None, :], down[None, :])


def _unbounded_l1(gains: Array, rooms: None, lead: Array) -> Array:
    best = jnp.argmax(gains)
    return jnp.zeros_like(gains).at[best].set(lead / gains[best])


def _unbounded_l2(gains: Array, rooms: None, lead: Array) -> Array:
    return gains * (lead / jnp.sum(jnp.square(gains)))


def _unbounded_linf(gains: Array, rooms: None, lead: Array) -> Array:
    return jnp.where(gains > 0, lead / jnp.sum(gains), 0)


def _boxed_l1(gains: Array, rooms: Array, lead: Array) -> Array:
    """Greedy fractional knapsack: features up to their bounds, largest gain first."""
    order = jnp.argsort(-gains)
    gain, room = gains[order], rooms[order]
    filled = jnp.cumsum(gain * room)
    helps = gain > 0
    left = lead - (filled - gain * room)
    taken = jnp.clip(left / jnp.where(helps, gain, 1), 0, room)
    taken = jnp.where(helps, taken, 0)
    sizes = jnp.zeros_like(gains).at[order].set(taken)
    return jnp.where(filled[-1] >= lead, sizes, jnp.inf)


def _boxed_l2(gains: Array, rooms: Array, lead: Array) -> Array:
    return _water_filled(gains, rooms, lead, rates=gains)


def _boxed_linf(gains: Array, rooms: Array, lead: Array) -> Array:
    return _water_filled(gains, rooms, lead, rates=(gains > 0).astype(gains.dtype))


def _water_filled(gains: Array, rooms: Array, lead: Array, *, rates: Array) -> Array:
    """Water-filling: sizes min(room, level * rate) with a total gain of the lead."""

    def next_level(levels: tuple[Array, Array]) -> tuple[Array, Array]:
        level, _ = levels
        is_free = level * rates < rooms
        gained = jnp.sum(jnp.where(is_free, 0, gains * rooms))
        slope = jnp.sum(jnp.where(is_free, gains * rates, 0))
        needed = (lead - gained) / jnp.where(slope > 0, slope, 1)
        needed = jnp.where(slope > 0, needed, jnp.inf)
        # Up to rounding the level never decreases. The set of free features, which
        # determines the next level, therefore only shrinks, and the loop ends at the
        # latest when it is empty.
        return jnp.maximum(needed, level), level

    start = (jnp.zeros_like(lead), jnp.full_like(lead, -1))
    level, _ = jax.lax.while_loop(lambda two: two[0] > two[1], next_level, start)
    sizes = jnp.minimum(rooms, jnp.where(rates > 0, level * rates, 0))
    return jnp.where(jnp.isfinite(level), sizes, jnp.inf)


_UNBOUNDED = {1: _unbounded_l1, 2: _unbounded_l2, math.inf: _unbounded_linf}
_BOXED = {1: _boxed_l1, 2: _boxed_l2, math.inf: _boxed_linf}
