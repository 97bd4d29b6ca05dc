r"""Temperature: one number that makes scores into honest probabilities.

The probabilities are :math:`\text{softmax}(s / T)`. T is the one that makes the labels
of held-out examples most likely; labels and accuracy do not change. Examples that the
classifier was trained on would make it too sure: use others.

  >>> import numpy as np
  >>> from jaxlin.selection import calibration
  >>> draw = np.random.default_rng(0)
  >>> scores = draw.normal(size=(2000, 3))
  >>> labels = np.argmax(scores + draw.gumbel(size=(2000, 3)), axis=1)
  >>> found = calibration.temperature(5 * scores, labels)
  >>> print(f"{found.value:.1f}")
  4.8

Reference:
  C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger. On calibration of modern neural
  networks. ICML 2017.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import check, losses, objective
from jaxlin.typing import Array

# Temperatures looked at, from the scores' own size over this to that times this.
_WIDEST = 1e4
# Halvings of the interval of its logarithm: to the last digit of float32.
_HALVINGS = 40


class Temperature(NamedTuple):
    """A temperature and what it is good for.

    Attributes:
      value: T, above 0, shape ``()``.
      loss_before: mean cross-entropy of ``softmax(scores)``, shape ``()``.
      loss_after: of ``softmax(scores / T)``.
      at_bound: whether the best T lies beyond what is looked at: the scores tell all
        labels, or nothing about them.
    """

    value: Array
    loss_before: Array
    loss_after: Array
    at_bound: Array


def temperature(
    scores: ArrayLike, labels: ArrayLike, *, example_weights: ArrayLike | None = None
) -> Temperature:
    """The temperature under which held-out labels are most likely.

    The mean cross-entropy is convex in 1 / T, so its slope has one sign change, which
    is found by bisection.

    Args:
      scores: of held-out examples, shape ``(examples, classes)``, of any classifier.
      labels: in [0, classes), shape ``(examples,)``.
      example_weights: shape ``(examples,)``; None is all ones.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    checked = check.features("scores", scores)
    if checked.shape[1] < 2:
        raise ValueError(
            f"scores must be of at least two classes, got shape {checked.shape}"
        )
    count, num_classes = checked.shape
    answers = check.labels(
        "labels", labels, num_classes=num_classes, num_examples=count
    )
    weights = example_weights
    if weights is not None:
        weights = check.example_weights("example_weights", weights, num_examples=count)
    return _temperature(
        jnp.asarray(checked, jnp.float32),
        jnp.asarray(answers),
        None if weights is None else jnp.asarray(weights),
    )


def probabilities(scores: ArrayLike, *, temperature: ArrayLike) -> Array:
    """Calibrated probabilities of one example or many, in the shape of the scores.

    Raises:
      ValueError: if the temperature is not above 0, where it can be looked at.
    """
    if not isinstance(temperature, jax.core.Tracer):
        check.number("temperature", temperature, above=0)
    return jax.nn.softmax(jnp.asarray(scores) / temperature)


@jax.jit
def _temperature(scores: Array, labels: Array, weights: Array | None) -> Temperature:
    # Differences to the right score, of size about 1.
    right = jnp.take_along_axis(scores, labels[:, None], axis=1)
    margins = scores - right
    largest = jnp.max(jnp.abs(margins))
    size = jnp.where(largest > 0, largest, 1.0)
    margins = margins / size

    def slope(inverse: Array) -> Array:
        each = jnp.sum(jax.nn.softmax(inverse * margins) * margins, axis=1)
        return objective.weighted_mean(each, example_weights=weights)

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) / 2
        is_below = slope(jnp.exp(middle)) <= 0
        return jnp.where(is_below, middle, low), jnp.where(is_below, high, middle)

    widest = jnp.log(jnp.float32(_WIDEST))
    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (-widest, widest))
    value = size / jnp.exp((low + high) / 2)

    def mean_loss(scores: Array) -> Array:
        each = jax.vmap(losses.softmax_cross_entropy)(scores, labels)
        return objective.weighted_mean(each, example_weights=weights)

    return Temperature(
        value,
        mean_loss(scores),
        mean_loss(scores / value),
        (slope(jnp.exp(widest)) <= 0) | (slope(jnp.exp(-widest)) > 0),
    )
