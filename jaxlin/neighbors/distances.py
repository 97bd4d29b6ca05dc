r"""Distance of one pair of vectors.

  squared_euclidean, euclidean   sum of squares of the differences, and its root
  manhattan, chebyshev           sum and maximum of the absolute differences
  minkowski                      p-norm of the differences, with a traced ``power``
  cosine                         1 - cosine of the angle
  mahalanobis                    norm induced by a positive definite ``matrix``

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin.neighbors import distances
  >>> print(distances.euclidean(jnp.zeros(3), jnp.array([2.0, 3.0, 6.0])))
  7.0
  >>> print(jax.jit(jax.grad(distances.euclidean))(jnp.zeros(3), jnp.zeros(3)))
  [0. 0. 0.]

Two uint8 vectors give exact int32 sums in `squared_euclidean` (up to 33,025 features),
`manhattan` and `chebyshev`; everything else is computed in float32, or in float64 if
one vector is float64. Gradients are finite everywhere: at the kink of a distance, at
zero, the derivative is defined as 0. `jaxlin.neighbors.pairwise` computes distances of
many pairs.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.neighbors import callbacks
from jaxlin.typing import Array, Distance

# 255^2 times this number of features fits in int32.
MAX_EXACT_FEATURES = 33_025


def squared_euclidean(first: Array, second: Array, /) -> Array:
    r"""Sum of squared differences, :math:`\sum_j (x_j - z_j)^2`.

    Args:
      first: :math:`x`, shape ``(features,)``.
      second: :math:`z`, shape ``(features,)``.

    Returns:
      The distance, shape ``()``; int32 and exact for two uint8 vectors, but float32 for
      more than 33,025 features, whose sum could overflow int32.

    Example:
      >>> print(squared_euclidean(jnp.zeros(3), jnp.array([2.0, 3.0, 6.0])))
      49.0
    """
    apart = _difference(first, second)
    if len(apart) > MAX_EXACT_FEATURES:
        apart = _float(apart)
    squares = jnp.square(apart)
    return jnp.sum(squares, dtype=squares.dtype)


def euclidean(first: Array, second: Array, /) -> Array:
    r"""Length of the difference, :math:`\sqrt{\sum_j (x_j - z_j)^2}`.

    Its gradient at zero is 0. Arguments are those of `squared_euclidean`; the result is
    at least float32.

    Example:
      >>> print(euclidean(jnp.zeros(3), jnp.array([2.0, 3.0, 6.0])))
      7.0
    """
    return _root(_float(squared_euclidean(first, second)))


def manhattan(first: Array, second: Array, /) -> Array:
    r"""Sum of absolute differences, :math:`\sum_j |x_j - z_j|`: the L1 distance.

    Arguments are those of `squared_euclidean`; the result is int32 and exact for two
    uint8 vectors, else at least float32.

    Example:
      >>> print(manhattan(jnp.zeros(3), jnp.array([2.0, 3.0, -6.0])))
      11.0
    """
    sizes = _absolute(_difference(first, second))
    return jnp.sum(sizes, dtype=sizes.dtype)


def chebyshev(first: Array, second: Array, /) -> Array:
    r"""Largest absolute difference, :math:`\max_j |x_j - z_j|`.

    Where several differences are the largest, they share the derivative equally.
    Arguments are those of `squared_euclidean`; the result is int32 and exact for two
    uint8 vectors, else at least float32.

    Example:
      >>> print(chebyshev(jnp.zeros(3), jnp.array([2.0, 3.0, -6.0])))
      6.0
    """
    return jnp.max(_absolute(_difference(first, second)))


def minkowski(first: Array, second: Array, /, *, power: ArrayLike) -> Array:
    r"""Minkowski distance: `manhattan` for power 1, `chebyshev` in the limit.

    .. math:: \left( \sum_j |x_j - z_j|^p \right)^{1/p}

    Differences are divided by the largest of them first, so that no power overflows.

    Args:
      first: :math:`x`, shape ``(features,)``.
      second: :math:`z`, shape ``(features,)``.
      power: :math:`p`, at least 1, traced; below 1 the triangle inequality fails.

    Returns:
      The distance, shape ``()``, at least float32.

    Example:
      >>> apart = minkowski(jnp.zeros(3), jnp.array([2.0, 3.0, -6.0]), power=2.0)
      >>> print(f"{apart:.1f}")
      7.0
    """
    sizes = _absolute(_float(_difference(first, second)))
    largest = jnp.max(sizes)
    is_apart = largest > 0
    power = jnp.asarray(power, sizes.dtype)
    # Constant under differentiation: the norm does not depend on the scale.
    scale = jax.lax.stop_gradient(jnp.where(is_apart, largest, 1))
    shares = sizes / scale
    # 0^p has no derivative in p, and at p = 1 none in its base from the left.
    counted = shares > 0
    powers = jnp.where(counted, jnp.where(counted, shares, 1) ** power, 0)
    total = jnp.where(is_apart, jnp.sum(powers), 1)
    return jnp.where(is_apart, scale * total ** (1 / power), 0)


def cosine(first: Array, second: Array, /) -> Array:
    r"""One minus the cosine of the angle between two vectors, in [0, 2].

    .. math:: 1 - \frac{\langle x, z \rangle}{\|x\| \|z\|}
              = \tfrac{1}{2} \left\| \frac{x}{\|x\|} - \frac{z}{\|z\|} \right\|^2

    Computed by the second form, which is 0 for equal vectors and accurate for nearly
    equal ones. A zero vector has distance 1 to every vector, itself included, as in
    scikit-learn, and gradient 0. Arguments are those of `squared_euclidean`; the result
    is at least float32.

    Example:
      >>> print(cosine(jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 5.0, 0.0])))
      1.0
    """
    _check_pair(first, second)
    first, second = unit(_float(first)), unit(_float(second))
    is_angle = jnp.any(first != 0) & jnp.any(second != 0)
    half = 0.5 * jnp.sum(jnp.square(first - second))
    return jnp.where(is_angle, half, jnp.ones_like(half))


def mahalanobis(first: Array, second: Array, /, *, matrix: ArrayLike) -> Array:
    r"""Mahalanobis distance, :math:`\sqrt{d^\top M d}` with :math:`d = x - z`.

    The matrix corresponds to SciPy's ``VI``, usually the inverse of a covariance; the
    identity gives `euclidean`. The gradient at zero is 0.

    Args:
      first: :math:`x`, shape ``(features,)``.
      second: :math:`z`, shape ``(features,)``.
      matrix: :math:`M`, symmetric and positive definite, shape ``(features,
        features)``, traced. Not checked here: `check_arguments` checks it once.

    Returns:
      The distance, shape ``()``, at least float32.

    Example:
      >>> matrix = np.diag([4.0, 1.0, 1.0])
      >>> print(mahalanobis(jnp.zeros(3), jnp.array([1.5, 4.0, 0.0]), matrix=matrix))
      5.0

    Reference:
      P. C. Mahalanobis. On the generalised distance in statistics. Proceedings of the
      National Institute of Sciences of India, 1936.
    """
    difference = _float(_difference(first, second))
    matrix = jnp.asarray(matrix, difference.dtype)
    chex.assert_shape(matrix, difference.shape * 2)
    moved = jnp.matmul(matrix, difference, precision="highest")
    # Rounding may make a tiny square negative.
    return _root(jnp.maximum(jnp.sum(difference * moved), 0))


def unit(vector: Array, /) -> Array:
    """A floating-point vector divided by its norm; the zero vector is unchanged."""
    largest = jnp.max(jnp.abs(vector))
    scale = jax.lax.stop_gradient(jnp.where(largest > 0, largest, 1))
    # Squares of numbers of at most 1, the largest 1, neither overflow nor underflow.
    scaled = vector / scale
    length = _root(jnp.sum(jnp.square(scaled)))
    return scaled / jnp.where(largest > 0, length, 1)


def check_arguments(
    metric: Distance, arguments: Any, *, num_features: int
) -> dict[str, Any]:
    """Checks the keyword arguments of a distance, once, on the host.

    Args:
      metric: a function of this module, or one of the caller, whose arguments are
        checked against its signature only.
      arguments: keyword arguments by name, or None for none.
      num_features: number of features of the vectors.

    Returns:
      The arguments, with numbers as float and the matrix as a NumPy array.

    Raises:
      ValueError: if an argument is missing, unknown or out of range: a power below 1,
        or a matrix that is not symmetric and positive definite.
    """
    found = callbacks.bound_arguments("metric", metric, arguments)
    if metric is minkowski:
        found["power"] = check.number("power", found["power"], at_least=1)
    if metric is mahalanobis:
        found["matrix"] = _positive_definite("matrix", found["matrix"], num_features)
    return found


def to_each(
    query: Array, rows: Array, *, metric: Distance, arguments: dict[str, Any]
) -> Array:
    """Distances of one query to each row, by a metric of one pair.

    Args:
      query: shape ``(features,)``.
      rows: shape ``(rows, features)``.
      metric: distance of one pair.
      arguments: keyword arguments of the metric.

    Returns:
      Distances, shape ``(rows,)``.

    Raises:
      ValueError: while tracing, if the metric does not return one number.
    """
    return jax.vmap(
        lambda row: callbacks.call("metric", metric, (query, row), arguments, shape=())
    )(rows)


def _positive_definite(name: str, value: Any, size: int) -> np.ndarray:
    array = check.features(name, value).astype(np.float64)
    if array.shape != (size, size):
        raise ValueError(
            f"{name} must have shape ({size}, {size}), got shape {array.shape}"
        )
    asymmetry = np.abs(array - array.T).max()
    if asymmetry > 1e-6 * np.abs(array).max():
        raise ValueError(
            f"{name} must be symmetric, got entries that differ by {asymmetry:.3g} "
            "from their mirror image; (matrix + matrix.T) / 2 is"
        )
    array = (array + array.T) / 2
    try:
        np.linalg.cholesky(array)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(array)[0]
        raise ValueError(
            f"{name} must be positive definite, got smallest eigenvalue {lowest:.3g}; "
            "add a multiple of the identity to the covariance before inverting it"
        ) from None
    return array


def _difference(first: Array, second: Array) -> Array:
    """Difference in floating point, or in int32 if both are uint8."""
    _check_pair(first, second)
    first, second = jnp.asarray(first), jnp.asarray(second)
    if first.dtype == second.dtype == jnp.uint8:
        return first.astype(jnp.int32) - second.astype(jnp.int32)
    return _float(first) - _float(second)


def _check_pair(first: Array, second: Array) -> None:
    check.one_example("first", first)
    check.one_example("second", second)
    chex.assert_equal_shape([first, second])


def _float(array: Array) -> Array:
    array = jnp.asarray(array)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def _absolute(array: Array) -> Array:
    # Not jnp.abs, whose derivative at 0 is 1.
    return array * jnp.sign(array)


def _root(square: Array) -> Array:
    """Square root with derivative 0 at 0."""
    is_positive = square > 0
    return jnp.where(is_positive, jnp.sqrt(jnp.where(is_positive, square, 1)), 0)
