r"""Domains of dual variables, and the Fenchel-Young terms on them.

The dual variables g of a hinge (`jaxlin.losses.conjugates`) lie in a box or a simplex.
The hinge is the largest :math:`\langle g, v \rangle` over this domain, for the vector v
of violations; a `Domain` projects onto it and computes by how much a given g falls
short of that maximum.

  >>> import jax.numpy as jnp
  >>> from jaxlin.losses import dual_domains
  >>> violations = jnp.array([0.0, 0.5, -3.0])
  >>> domain = dual_domains.CAPPED_SIMPLEX
  >>> duals = domain.project(violations)
  >>> print(duals, domain.excess(violations, duals))
  [0.  0.5 0. ] 0.25
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxlin.typing import Array


class Domain(NamedTuple):
    """Domain of the dual variables of one example of a hinge.

    Attributes:
      project: Euclidean projection of a vector onto the domain, shape ``(classes,)``.
      excess: ``(violations, g)`` to the maximum of <g', violations> over the domain
        minus <g, violations>, computed as a sum of non-negative terms, shape ``()``.
      derivative: projected vector g to the parts (d, v) of a derivative of the
        projection there: diag(d) for coordinates free of the bound of the sum, plus the
        Laplacian of the complete graph with the weights v_j v_k; v is None where it is
        0.
      cap: the bound of the domain: ``"each"`` dual is at most 1, or their ``"sum"`` is.
    """

    project: Callable[[Array], Array]
    excess: Callable[[Array, Array], Array]
    derivative: Callable[[Array], tuple[Array, Array | None]]
    cap: Literal["each", "sum"]


def divergence(scores: Array, q: Array) -> Array:
    """KL(q || p) from the softmax p: a sum of terms q log(q / p) - q + p, all >= 0.

    With d = log(p / q), each term equals q (e^d - 1 - d), which keeps its digits if p
    and q nearly agree.

    Args:
      scores: scores whose softmax is p, shape ``(classes,)``.
      q: a distribution, shape ``(classes,)``.
    """
    chex.assert_equal_shape([scores, q])
    log_p = jax.nn.log_softmax(scores)
    # A q below the smallest normal number counts as 0: whether its logarithm is finite
    # depends on the platform, and e^d could overflow.
    is_positive = q >= jnp.finfo(q.dtype).tiny
    d = log_p - jnp.log(jnp.where(is_positive, q, 1))
    # relu, because a platform may round expm1(d) to below d.
    terms = q * jax.nn.relu(jnp.expm1(d) - d)
    return jnp.sum(jnp.where(is_positive, terms, jnp.exp(log_p)))


def _project_to_box(vector: Array) -> Array:
    return jnp.clip(vector, 0, 1)


def _box_derivative(g: Array) -> tuple[Array, None]:
    return ((g > 0) & (g < 1)).astype(g.dtype), None


def _project_to_capped_simplex(vector: Array) -> Array:
    r"""Projects a vector onto all g >= 0 with sum at most 1, exactly.

    The projection subtracts one threshold t from all coordinates and clips them at 0.
    For the sum 1, t solves sum(relu(vector - t)) = 1. If that t is negative, clipping
    alone leaves a sum below 1 and the threshold is 0. The threshold is found by
    repeatedly removing the coordinates below the threshold of the remaining ones. This
    takes a few iterations, while XLA's sort of ten numbers costs a quarter of a pass
    over CIFAR-10.

    References:
      M. Held, P. Wolfe and H. P. Crowder. Validation of subgradient optimization.
      Mathematical Programming, 1974.
      C. Michelot. A finite algorithm for finding the projection of a point onto the
      canonical simplex of R^n. Journal of Optimization Theory and Applications, 1986.
    """
    largest = jnp.max(vector)
    # Relative to the largest, the few coordinates that stay positive keep their digits
    # however large all are.
    vector = vector - largest

    def threshold(remaining: Array) -> Array:
        total = jnp.sum(jnp.where(remaining, vector, 0))
        return (total - 1) / jnp.sum(remaining, dtype=vector.dtype)

    def remove(state: tuple[Array, Array]) -> tuple[Array, Array]:
        remaining, _ = state
        fewer = remaining & (vector > threshold(remaining))
        return fewer, jnp.any(fewer != remaining)

    # The largest coordinate exceeds the threshold by at most the sum, 1.
    start = vector > -1
    remaining, _ = jax.lax.while_loop(
        lambda state: state[1], remove, (start, jnp.any(start))
    )
    return jax.nn.relu(vector - jnp.maximum(threshold(remaining), -largest))


def _box_excess(violations: Array, g: Array) -> Array:
    too_small = jax.nn.relu(violations) * (1 - g)
    too_large = jax.nn.relu(-violations) * g
    return jnp.sum(too_small + too_large)


def _capped_simplex_excess(violations: Array, g: Array) -> Array:
    # The right class, with violation 0, carries the remainder of the sum 1.
    largest = jax.nn.relu(jnp.max(violations))
    remainder = jax.nn.relu(1 - jnp.sum(g))
    return jnp.sum(g * (largest - violations)) + remainder * largest


def _capped_simplex_derivative(g: Array) -> tuple[Array, Array]:
    is_free = (g > 0).astype(g.dtype)
    # Where the sum is at its bound the threshold moves with the free coordinates:
    # diag(free) - free free^T / count is a Laplacian.
    is_capped = jnp.sum(g) > 1 - 8 * jnp.finfo(g.dtype).eps
    count = jnp.maximum(jnp.sum(is_free), 1)
    one = jnp.where(is_capped, 0, is_free)
    return one, jnp.where(is_capped, is_free / jnp.sqrt(count), 0)


#: Duals in [0, 1], each by itself.
BOX = Domain(_project_to_box, _box_excess, _box_derivative, "each")
#: Duals that are at least 0, with a sum of at most 1.
CAPPED_SIMPLEX = Domain(
    _project_to_capped_simplex,
    _capped_simplex_excess,
    _capped_simplex_derivative,
    "sum",
)
