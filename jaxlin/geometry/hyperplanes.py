r"""Geometry of a linear classifier: templates, hyperplanes, regions, contributions.

Two classes c and j tie on the hyperplane :math:`\langle w_c - w_j, x\rangle + b_c - b_j
= 0`. These hyperplanes bound the decision regions of the classes, which are convex. All
functions act on the features that the parameters act on: normalise first, or fold the
normalisation into the parameters
(`jaxlin.linear.fold_normalization`). `jaxlin.geometry.robustness` computes the distance
of an example to another label in other norms and within the pixel range.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin.geometry import hyperplanes
  >>> from jaxlin import linear
  >>> params = linear.Params(jnp.array([[3.0, 0.0], [0.0, 4.0]]), jnp.zeros(2))
  >>> x = jnp.array([5.0, 0.0])
  >>> print(jax.jit(hyperplanes.signed_distances)(params, x, 0))
  [inf  3.]
  >>> print(hyperplanes.contributions(params, x))
  [[15.  0.]
   [ 0.  0.]]
"""

import math
from typing import Literal, NamedTuple

import chex
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, linear
from jaxlin.linear import Params
from jaxlin.numerics import precision
from jaxlin.typing import Array


class Hyperplanes(NamedTuple):
    r"""Hyperplanes between one class and each other class.

    .. math:: \langle n_j, x\rangle + o_j = 0

    Attributes:
      normals: :math:`n_j`, pointing to the side of the one class, shape ``(classes,
        features)``; the row of that class is 0.
      offsets: :math:`o_j`, shape ``(classes,)``; the entry of that class is 0.
    """

    normals: Array
    offsets: Array


def templates(
    weights: ArrayLike,
    *,
    image_shape: tuple[int, ...],
    scale: Literal["per_class", "shared"] = "per_class",
) -> Array:
    r"""Rows of W as images with values in [0, 1].

    A weight :math:`w` becomes :math:`0.5 + 0.5\, w / m`, so that zero is mid-grey, with
    :math:`m` the largest :math:`|w|` of the class ("per_class": each template uses the
    whole range) or of all classes ("shared": templates can be compared). A template of
    zeros is mid-grey at either scale.

    Args:
      weights: W, shape ``(classes, features)``.
      image_shape: shape of an image with ``features`` entries, such as ``(32, 32, 3)``.
      scale: "per_class" or "shared", the range of the values 0 and 1.

    Returns:
      Images, shape ``(classes, *image_shape)``.

    Raises:
      ValueError: if ``image_shape`` does not have ``features`` entries.

    Example:
      >>> weights = jnp.array([[-2.0, 0.0, 1.0, 2.0]])
      >>> print(templates(weights, image_shape=(2, 2)))
      [[[0.   0.5 ]
        [0.75 1.  ]]]
    """
    check.choice("scale", scale, ("per_class", "shared"))
    if isinstance(weights, Params):
        raise ValueError("weights must be an array, got Params; give params.weights")
    rows = jnp.asarray(weights)
    if rows.ndim != 2:
        raise ValueError(
            f"weights must have shape (classes, features), got shape {rows.shape}"
        )
    if math.prod(image_shape) != rows.shape[1]:
        raise ValueError(
            f"image_shape must have {rows.shape[1]} entries in all, the width of the "
            f"weights, got {image_shape}"
        )
    axes = 1 if scale == "per_class" else None
    largest = jnp.max(jnp.abs(rows), axis=axes, keepdims=True)
    pictures = 0.5 + 0.5 * rows / jnp.where(largest > 0, largest, 1)
    return pictures.reshape(len(rows), *image_shape)


def contributions(params: Params, features: ArrayLike) -> Array:
    """Contribution w_cj x_j of each feature to each score.

    The sum over features plus the bias is the score. Contributions are relative to the
    example with features 0, which for standardised features is the mean example.

    Args:
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      features: one example, shape ``(features,)``, already normalised.

    Returns:
      Contributions, shape ``(classes, features)``.
    """
    weights, bias = map(jnp.asarray, params)
    chex.assert_rank([weights, bias], [2, 1])
    check.one_example("features", features, size=weights.shape[1])
    return weights * jnp.asarray(features, weights.dtype)[None, :]


def hyperplanes(params: Params, label: ArrayLike) -> Hyperplanes:
    """The hyperplanes between one class and each other class.

    Args:
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      label: index of the class on whose side values are positive, shape ``()``. Not
        range-checked here.

    Returns:
      One hyperplane per class. Use `jax.vmap` over labels for all pairs.
    """
    weights, bias = map(jnp.asarray, params)
    chex.assert_rank([weights, bias], [2, 1])
    check.one_example("label", label, num_dimensions=0)
    return Hyperplanes(weights[label][None, :] - weights, bias[label] - bias)


def signed_distances(params: Params, features: ArrayLike, label: ArrayLike) -> Array:
    r"""Signed distances of an example from the hyperplanes of one class.

    .. math:: d_j = \frac{s_y - s_j}{\|w_y - w_j\|_2}

    Positive where class y has a higher score than class j. If y is the predicted label,
    the smallest distance is that to the region of another class.

    Args:
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      features: one example, shape ``(features,)``, already normalised.
      label: index y of the class, shape ``()``. Not range-checked here.

    Returns:
      Distances in the unit of the features, shape ``(classes,)``; inf for y itself. Two
      classes with equal weights have no hyperplane: inf where y wins everywhere (ties
      go to the smaller index, as in `jaxlin.linear.predict`), else -inf.

    Example:
      >>> import jax
      >>> params = Params(jnp.array([[3.0, 4.0], [0.0, 0.0]]), jnp.array([5.0, 0.0]))
      >>> print(jax.jit(signed_distances)(params, jnp.array([0.0, -5.0]), 1))
      [ 3. inf]
    """
    normals, offsets = hyperplanes(params, label)
    check.one_example("features", features, size=normals.shape[1])
    x = jnp.asarray(features, normals.dtype)
    # Leads are small differences of scores, beyond the precision of TF32.
    leads = jnp.matmul(normals, x, precision="highest") + offsets
    classes = jnp.arange(len(offsets))
    always = (offsets > 0) | ((offsets == 0) & (label <= classes))
    nowhere = jnp.where(always, jnp.inf, -jnp.inf)
    is_plane = (normals != 0).any(axis=1)
    # The gradient of a norm at 0 is NaN, even in the branch that is not selected.
    lengths = jnp.linalg.norm(jnp.where(is_plane[:, None], normals, 1), axis=1)
    return jnp.where(is_plane, leads / lengths, nowhere)


def restrict(params: Params, origin: ArrayLike, axes: ArrayLike) -> Params:
    r"""Restriction of a linear classifier to an affine subspace.

    At the points :math:`x = o + \sum_k t_k a_k` the scores are affine in t, with
    weights :math:`W A^\top` and bias :math:`b + W o`. In particular, the hyperplanes
    intersect a two-dimensional section of the feature space in lines.

    Args:
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      origin: :math:`o`, shape ``(features,)``.
      axes: vectors :math:`a_k`, one per row, shape ``(axes, features)``.

    Returns:
      Parameters on the coordinates t, with weights ``(classes, axes)``.

    Example:
      >>> params = Params(jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.zeros(2))
      >>> line = restrict(params, jnp.array([0.0, 5.0]), jnp.ones((1, 2)))
      >>> print(linear.scores(line, jnp.array([2.0])))
      [2. 7.]
    """
    weights, bias = map(jnp.asarray, params)
    chex.assert_rank([weights, bias], [2, 1])
    check.one_example("origin", origin, size=weights.shape[1])
    directions = jnp.asarray(axes, weights.dtype)
    if directions.ndim != 2 or directions.shape[1] != weights.shape[1]:
        raise ValueError(
            f"axes must have shape (axes, {weights.shape[1]}), got {directions.shape}"
        )
    at_origin = linear.scores(params, jnp.asarray(origin, weights.dtype))
    return Params(precision.product(weights, directions.T), at_origin)


def regions(params: Params, *, low: ArrayLike, high: ArrayLike) -> list[np.ndarray]:
    """Decision regions in a rectangle as convex polygons, for two features.

    Exact up to rounding: the rectangle is clipped by one line after another. A class
    that wins nowhere in the rectangle has no corners, or corners on one line.

    Args:
      params: weights ``(classes, 2)`` and bias ``(classes,)``, on the host.
      low: lower left corner of the rectangle, shape ``(2,)`` or ``()``.
      high: upper right corner, shape ``(2,)`` or ``()``, above ``low``.

    Returns:
      The corners of each class's region in counterclockwise order, float64, shape
      ``(corners, 2)``. Adjacent regions share their border, where the classes tie.

    Raises:
      ValueError: if there are not two features, parameters are not finite, or the
        rectangle is empty.

    Example:
      >>> params = Params(jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.zeros(2))
      >>> print(regions(params, low=-1.0, high=1.0)[0])
      [[ 0. -1.]
       [ 1. -1.]
       [ 1.  1.]
       [ 0.  1.]]
    """
    weights = check.features(
        "params.weights", params.weights, num_features=2, remedy="fit two columns"
    )
    weights, bias = (np.asarray(part, np.float64) for part in (weights, params.bias))
    if bias.shape != weights.shape[:1] or not np.isfinite(bias).all():
        raise ValueError(
            f"params.bias must be {len(weights)} finite numbers, one per class, got "
            f"{bias}"
        )
    (left, bottom), (right, top) = rectangle(low, high)
    corners = np.array([(left, bottom), (right, bottom), (right, top), (left, top)])
    found = []
    for label in range(len(weights)):
        polygon = corners
        for other in range(len(weights)):
            if other != label:
                normal, offset = weights[label] - weights[other], bias[label]
                polygon = _cut(polygon, normal, offset - bias[other], label < other)
        found.append(polygon)
    return found


def rectangle(low: ArrayLike, high: ArrayLike) -> np.ndarray:
    """Lower left and upper right corner of a rectangle, float64, shape ``(2, 2)``.

    Args:
      low: lower left corner, shape ``(2,)`` or ``()``.
      high: upper right corner, shape ``(2,)`` or ``()``, above ``low``.

    Raises:
      ValueError: if a corner is not finite or ``high`` is not above ``low``.
    """
    ends = []
    for name, value in (("low", low), ("high", high)):
        array = np.asarray(value, np.float64)
        if array.shape not in ((), (2,)) or not np.isfinite(array).all():
            raise ValueError(f"{name} must be one or two finite numbers, got {value}")
        ends.append(np.broadcast_to(array, 2))
    if not (ends[0] < ends[1]).all():
        raise ValueError(f"high must be above low, {low}, in both features, got {high}")
    return np.stack(ends)


def _cut(
    polygon: np.ndarray, normal: np.ndarray, offset: float, keeps_ties: bool
) -> np.ndarray:
    """The part of a convex polygon where ``normal @ x + offset`` is at least 0."""
    if not normal.any():
        wins = offset > 0 or (offset == 0 and keeps_ties)
        return polygon if wins else polygon[:0]
    values = polygon @ normal + offset
    following = np.roll(polygon, -1, axis=0), np.roll(values, -1)
    kept = []
    for corner, value, after, next_value in zip(
        polygon, values, *following, strict=True
    ):
        if value >= 0:
            kept.append(corner)
        if np.sign(value) * np.sign(next_value) < 0:
            share = value / (value - next_value)
            kept.append(corner + share * (after - corner))
    return np.array(kept).reshape(-1, 2)
