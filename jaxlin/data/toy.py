r"""Toy problems in the plane: three that are not linearly separable, and two that are.

Each generator draws ``num_examples`` points with alternating classes and labels them
before noise is added. No point is drawn in a strip of width ``gap`` between the
classes: without noise, points of different classes are at least ``gap`` apart (up to
rounding); with noise they may lie in the strip. The same arguments give the same
points.

  quadrants      1: first and third quadrant; 0: second and fourth
  ring           1: 1 <= norm <= 2; 0: the rest, inside and outside
  three_modes    1: three discs; 0: the rest
  half_planes    two sides of a line: separable
  sectors        one sector about the origin per class: separable

No linear classifier separates the first three (`jaxlin.geometry.separability` proves it
for the points drawn). Additional features, functions of one example, make each of them
separable:

  lift_quadrants     x_1 x_2
  lift_ring          (norm - 1.5)^2; the norm alone does not suffice, because the rest
                     lies inside and outside the ring
  lift_three_modes   a Gaussian bump about the centre of each disc

  >>> import jax
  >>> from jaxlin.data import toy
  >>> points = toy.quadrants(jax.random.key(0), num_examples=4)
  >>> points.features.shape, points.labels
  ((4, 2), array([0, 1, 0, 1], dtype=int32))
  >>> (points.features.prod(axis=1) > 0).tolist()
  [False, True, False, True]
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.data.dataset import Split
from jaxlin.typing import Array

# Centres of the discs of `three_modes`, far enough apart for any valid gap.
MODE_CENTERS = tuple(
    (1.5 * float(np.cos(angle)), 1.5 * float(np.sin(angle)))
    for angle in np.pi * np.array([1 / 2, 7 / 6, 11 / 6])
)
_MODE_RADIUS = 0.5
# Largest norm of points in `ring` and `three_modes`.
_OUTER = 3.0
_LINE_ANGLE = np.pi / 3


def quadrants(
    key: Array, *, num_examples: int, noise: float = 0.0, gap: float = 0.2
) -> Split:
    """First and third quadrant (1) against second and fourth (0), up to 1 from an axis.

    Args:
      key: a `jax.random.key`.
      num_examples: number of points, at least 2; classes alternate.
      noise: standard deviation of Gaussian noise added to each coordinate, at least 0.
      gap: width of the empty strip between the classes, in [0, 1].

    Returns:
      Features, float32, shape ``(num_examples, 2)``, and labels.

    Raises:
      ValueError: if an argument is out of range.
    """
    labels = _labels(key, num_examples, noise, gap, largest_gap=1.0)
    draw, sign, last = jax.random.split(key, 3)
    sizes = gap / 2 + (1 - gap / 2) * _uniform(draw, num_examples)
    first = np.where(_uniform(sign, num_examples)[0] < 0.5, 1, -1)
    points = sizes.T * np.stack([first, np.where(labels == 1, first, -first)], axis=1)
    return _with_noise(last, points, labels, noise)


def ring(
    key: Array, *, num_examples: int, noise: float = 0.0, gap: float = 0.2
) -> Split:
    """Points of norm from 1 to 2 (1) against the rest (0), up to a norm of 3.

    Half of the rest lies inside, half outside. Arguments, result and errors are those
    of `quadrants`; the gap must be below 1.
    """
    labels = _labels(key, num_examples, noise, gap, largest_gap=0.99)
    draw, last = jax.random.split(key)
    is_inside = np.arange(num_examples) // 2 % 2 == 0
    low = np.where(labels == 1, 1.0, np.where(is_inside, 0.0, 2.0 + gap))
    high = np.where(labels == 1, 2.0, np.where(is_inside, 1.0 - gap, _OUTER))
    shares, turns = _uniform(draw, num_examples)
    points = _from_polar(np.sqrt(low**2 + shares * (high**2 - low**2)), turns)
    return _with_noise(last, points, labels, noise)


def three_modes(
    key: Array, *, num_examples: int, noise: float = 0.0, gap: float = 0.2
) -> Split:
    """Three discs of radius 0.5 (1) against the rest (0), up to a norm of 3.

    The centres are `MODE_CENTERS`, of norm 1.5. Arguments, result and errors are those
    of `quadrants`; the gap must be at most 0.7.
    """
    labels = _labels(key, num_examples, noise, gap, largest_gap=0.7)
    draw, rest, last = jax.random.split(key, 3)
    centers = np.array(MODE_CENTERS)
    shares, turns = _uniform(draw, num_examples)
    points = _from_polar(_MODE_RADIUS * np.sqrt(shares), turns)
    points += centers[np.arange(num_examples) // 2 % len(centers)]
    points[labels == 0] = _outside_the_discs(rest, int((labels == 0).sum()), gap)
    return _with_noise(last, points, labels, noise)


def half_planes(
    key: Array, *, num_examples: int, noise: float = 0.0, gap: float = 0.2
) -> Split:
    """The two sides of an oblique line off the origin, up to a distance of 1 from it.

    Arguments, result and errors are those of `quadrants`.
    """
    labels = _labels(key, num_examples, noise, gap, largest_gap=1.0)
    draw, last = jax.random.split(key)
    along, away = _uniform(draw, num_examples)
    distance = np.where(labels == 1, 1, -1) * (gap / 2 + (1 - gap / 2) * away)
    normal = np.array([np.cos(_LINE_ANGLE), np.sin(_LINE_ANGLE)])
    direction = np.array([-normal[1], normal[0]])
    points = (0.3 + distance)[:, None] * normal + (2 * along - 1)[:, None] * direction
    return _with_noise(last, points, labels, noise)


def sectors(
    key: Array,
    *,
    num_examples: int,
    num_classes: int = 3,
    noise: float = 0.0,
    gap: float = 0.2,
) -> Split:
    """One sector about the origin per class, linearly separable.

    The unit vectors along the bisectors of the sectors are the weights of a separating
    classifier. Arguments, result and errors are those of `quadrants`, with
    ``num_classes`` at least 2.
    """
    check.integer("num_classes", num_classes, at_least=2)
    labels = _labels(
        key, num_examples, noise, gap, num_classes=num_classes, largest_gap=1.0
    )
    draw, last = jax.random.split(key)
    shares, turns = _uniform(draw, num_examples)
    middle = labels / num_classes
    # Shifted along its bisector, a sector is half a gap from either border.
    tips = _from_polar(gap / 2 / np.sin(np.pi / num_classes), middle)
    points = tips + _from_polar(np.sqrt(shares), middle + (turns - 0.5) / num_classes)
    return _with_noise(last, points, labels, noise)


def lift_quadrants(features: Array) -> Array:
    """Appends the product of the two features of one example: shape ``(3,)``."""
    check.one_example("features", features, size=2)
    return jnp.append(features, features[0] * features[1])


def lift_ring(features: Array) -> Array:
    """Appends (norm - 1.5)^2 to the two features of one example: shape ``(3,)``."""
    check.one_example("features", features, size=2)
    return jnp.append(features, (jnp.linalg.norm(features) - 1.5) ** 2)


def lift_three_modes(features: Array, *, width: ArrayLike = 0.25) -> Array:
    r"""Appends a bump about each centre, :math:`e^{-r^2 / (2 w^2)}`: shape ``(5,)``.

    Args:
      features: one example, shape ``(2,)``.
      width: width w of the bumps, above 0. With the default 0.25 and gaps of at least
        0.15 the sum of the three bumps is larger in the discs than elsewhere.
    """
    check.one_example("features", features, size=2)
    steps = features[None, :] - jnp.asarray(MODE_CENTERS, features.dtype)
    bumps = jnp.exp(-jnp.sum(jnp.square(steps), axis=1) / (2 * width**2))
    return jnp.concatenate([features, bumps])


def _labels(
    key: Array,
    num_examples: int,
    noise: float,
    gap: float,
    *,
    largest_gap: float,
    num_classes: int = 2,
) -> np.ndarray:
    """Alternating labels, after a check of the common arguments."""
    check.key("key", key)
    check.integer("num_examples", num_examples, at_least=num_classes)
    check.number("noise", noise, at_least=0)
    check.number("gap", gap, at_least=0, at_most=largest_gap)
    return (np.arange(num_examples) % num_classes).astype(np.int32)


def _uniform(key: Array, count: int) -> np.ndarray:
    """Two uniform numbers in [0, 1) per point, float64, shape ``(2, count)``."""
    return np.asarray(jax.random.uniform(key, (2, count)), np.float64)


def _from_polar(radius: float | np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Points from norms and angles, in units of full turns: shape ``(points, 2)``."""
    angle = 2 * np.pi * turns
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def _outside_the_discs(key: Array, count: int, gap: float) -> np.ndarray:
    """Uniform points of norm up to 3, farther than the gap from all discs."""
    centers, kept, rounds = np.array(MODE_CENTERS), np.zeros((0, 2)), 0
    # Rejection sampling keeps at least half of the candidates, so that rounds are few.
    while len(kept) < count:
        shares, turns = _uniform(jax.random.fold_in(key, rounds), 2 * count + 20)
        points = _from_polar(_OUTER * np.sqrt(shares), turns)
        distances = np.linalg.norm(points[:, None] - centers[None], axis=2)
        is_free = distances.min(axis=1) >= _MODE_RADIUS + gap
        kept, rounds = np.concatenate([kept, points[is_free]]), rounds + 1
    return kept[:count]


def _with_noise(
    key: Array, points: np.ndarray, labels: np.ndarray, noise: float
) -> Split:
    moved = points + noise * np.asarray(jax.random.normal(key, points.shape))
    return Split(moved.astype(np.float32), labels)
