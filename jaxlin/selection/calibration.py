r"""Temperature scaling: calibrated softmax probabilities from class scores.

The probabilities are :math:`\text{softmax}(s / T)`. T maximises the likelihood of the
labels of held-out examples; predicted labels and accuracy do not change. On training
examples the estimate of T is too small and the probabilities are overconfident.

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

# The bracket of T: the largest score difference divided and multiplied by this.
_BRACKET = 1e4
# Bisection steps on log(1 / T): enough for the last digit of float32.
_BISECTIONS = 40


class Temperature(NamedTuple):
    """A temperature and the cross-entropy before and after scaling.

    Attributes:
      value: temperature T, above 0, shape ``()``.
      loss_before: mean cross-entropy of ``softmax(scores)``, shape ``()``.
      loss_after: mean cross-entropy of ``softmax(scores / T)``, shape ``()``.
      at_bound: whether the optimal T lies outside the bracket, shape ``()``: the scores
        determine every label, or carry no information about the labels.
    """

    value: Array
    loss_before: Array
    loss_after: Array
    at_bound: Array


def temperature(
    scores: ArrayLike, labels: ArrayLike, *, example_weights: ArrayLike | None = None
) -> Temperature:
    """Maximum likelihood temperature of held-out examples.

    The mean cross-entropy is convex in 1 / T: its slope has one sign change, which
    bisection finds.

    Args:
      scores: class scores of held-out examples, from any classifier, shape ``(examples,
        classes)``.
      labels: integers in [0, classes), shape ``(examples,)``.
      example_weights: weights of at least 0, shape ``(examples,)``; None is all ones.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
    """
    checked = check.features("scores", scores)
    if checked.shape[1] < 2:
        raise ValueError(
            f"scores must be of at least two classes, got shape {checked.shape}"
        )
    count, num_classes = checked.shape
    codes = check.labels("labels", labels, num_classes=num_classes, num_examples=count)
    weights = example_weights
    if weights is not None:
        weights = check.example_weights("example_weights", weights, num_examples=count)
    return _temperature(
        jnp.asarray(checked, jnp.float32),
        jnp.asarray(codes),
        None if weights is None else jnp.asarray(weights),
    )


def probabilities(scores: ArrayLike, *, temperature: ArrayLike) -> Array:
    """Calibrated probabilities of one example or many, in the shape of the scores.

    Args:
      scores: class scores, shape ``(..., classes)``.
      temperature: T, above 0, shape ``()``.

    Raises:
      ValueError: if a concrete temperature is not above 0; a traced one is not checked.
    """
    if not isinstance(temperature, jax.core.Tracer):
        check.number("temperature", temperature, above=0)
    return jax.nn.softmax(jnp.asarray(scores) / temperature)


@jax.jit
def _temperature(scores: Array, labels: Array, weights: Array | None) -> Temperature:
    # Differences from the score of the label, scaled to a largest value of 1.
    label_scores = jnp.take_along_axis(scores, labels[:, None], axis=1)
    margins = scores - label_scores
    largest = jnp.max(jnp.abs(margins))
    scale = jnp.where(largest > 0, largest, 1.0)
    margins = margins / scale

    def slope(inverse: Array) -> Array:
        slopes = jnp.sum(jax.nn.softmax(inverse * margins) * margins, axis=1)
        return objective.weighted_mean(slopes, example_weights=weights)

    def bisect(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        is_below = slope(jnp.exp(middle)) <= 0
        return jnp.where(is_below, middle, low), jnp.where(is_below, high, middle)

    bound = jnp.log(jnp.float32(_BRACKET))
    low, high = jax.lax.fori_loop(0, _BISECTIONS, bisect, (-bound, bound))
    value = scale / jnp.exp((low + high) / 2)

    def mean_loss(scores: Array) -> Array:
        values = jax.vmap(losses.softmax_cross_entropy)(scores, labels)
        return objective.weighted_mean(values, example_weights=weights)

    return Temperature(
        value,
        mean_loss(scores),
        mean_loss(scores / value),
        (slope(jnp.exp(bound)) <= 0) | (slope(jnp.exp(-bound)) > 0),
    )
