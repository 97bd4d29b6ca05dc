"""Metrics of a batch as sums and counts, divided once at the end.

A mean of batch means is wrong when the last batch is smaller. Every function therefore
returns sums, which `merge` adds over batches, devices or folds; `Ratio.value` and
`expected_calibration_error` divide:

  >>> import jax.numpy as jnp
  >>> from jaxlin.stats import metrics
  >>> scores = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
  >>> labels = jnp.array([0, 1, 2])
  >>> first = metrics.accuracy(scores[:2], labels[:2])
  >>> both = metrics.merge(first, metrics.accuracy(scores[2:], labels[2:]))
  >>> print(f"{both.total} of {both.count} right, {both.value:.3f}")
  1 of 3 right, 0.333

All functions can be jitted and vmapped (``k``, ``num_classes`` and ``num_bins`` are
static). Without ``example_weights`` counts are int32, exact below 2^31. With weights
they are float32 sums (float64 if the weights are): exact while the weights are
integers, such as the 0s and 1s of a fold or of padding, and every sum stays below 2^24.

A label (or prediction) outside [0, classes) raises a ValueError, unless its example has
weight 0. Inside a compiled program, where values cannot be checked, such a label counts
as an error, and `confusion` leaves the example out.
"""

from typing import NamedTuple, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.typing import Array

Sums = TypeVar("Sums")


class Ratio(NamedTuple):
    """Numerator and denominator of a mean.

    Attributes:
      total: weighted sum of the averaged values, such as correct predictions.
      count: number or total weight of the terms of that sum; same shape.
    """

    total: Array
    count: Array  # type: ignore[assignment]  # hides tuple.count, of no use here

    @property
    def value(self) -> Array:
        """The quotient ``total / count``; NaN where nothing was counted."""
        return self.total / self.count


class CalibrationBins(NamedTuple):
    """Sums over the examples of each confidence bin, each of shape ``(bins,)``.

    Attributes:
      confidence_sum: sum of the probabilities of the predicted classes.
      correct: number or total weight of correct predictions.
      count: number or total weight of examples.
    """

    confidence_sum: Array
    correct: Array
    count: Array  # type: ignore[assignment]  # as in Ratio


def merge(first: Sums, second: Sums) -> Sums:
    """Adds two results of the same function field by field."""
    return jax.tree.map(jnp.add, first, second)


def correct(scores: Array, labels: Array, *, k: int = 1) -> Array:
    """Returns whether the label is among the ``k`` highest scores of each example.

    Ties rank the smaller class index higher: ``k = 1`` agrees with argmax, and constant
    scores are correct for class 0 alone. An example with a NaN among its scores is
    incorrect for every k.

    An unranked class is incorrect for every k. Unranked are classes masked out by the
    score -inf, and classes without a vote or probability: score 0 where no score is
    negative and some score is positive. Three neighbours of two classes thus predict
    only these two classes, for every k.

    Args:
      scores: shape ``(examples, classes)``, scores, probabilities or votes.
      labels: integers in [0, classes), shape ``(examples,)``.
      k: number of highest scores, from 1 to the number of classes.

    Returns:
      Booleans, shape ``(examples,)``.

    Raises:
      ValueError: if ``k`` or a label is out of range.
    """
    return _correct(scores, labels, None, k=k)


def accuracy(
    scores: Array, labels: Array, *, example_weights: Array | None = None
) -> Ratio:
    """Share of examples whose label has the highest score; see `correct` for ties.

    Args:
      scores: shape ``(examples, classes)``.
      labels: integers in [0, classes), shape ``(examples,)``.
      example_weights: non-negative, shape ``(examples,)``; 1 by default, and weight 0
        excludes an example.

    Returns:
      The `Ratio` of correct predictions to examples, each field of shape ``()``.
    """
    return top_k_accuracy(scores, labels, k=1, example_weights=example_weights)


def top_k_accuracy(
    scores: Array, labels: Array, *, k: int, example_weights: Array | None = None
) -> Ratio:
    """Share of examples whose label is among the ``k`` highest scores.

    Arguments and result are those of `accuracy`, which is the case ``k = 1``; `correct`
    defines the treatment of ties and NaN. `sklearn.metrics.top_k_accuracy_score` breaks
    ties in favour of the larger class index.

    Example:
      >>> scores = jnp.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
      >>> print(top_k_accuracy(scores, jnp.array([2, 2]), k=2).value)
      0.5

    Raises:
      ValueError: if ``k`` is not in [1, classes] or a label not in [0, classes).
    """
    weights = _weights(example_weights, labels)
    is_correct = _correct(scores, labels, example_weights, k=k)
    return Ratio(jnp.sum(weights * is_correct), jnp.sum(weights))


def confusion(
    *,
    predictions: Array,
    labels: Array,
    num_classes: int,
    example_weights: Array | None = None,
) -> Array:
    """Counts of (label, prediction) pairs: row = true label, column = prediction.

    Both are keyword-only: `sklearn.metrics.confusion_matrix` takes the labels first,
    and swapped arguments would silently transpose the matrix.

    Args:
      predictions: integers in [0, num_classes), shape ``(examples,)``.
      labels: integers in [0, num_classes), shape ``(examples,)``.
      num_classes: number of classes, at least 1.
      example_weights: non-negative, shape ``(examples,)``; 1 by default, and weight 0
        excludes an example.

    Returns:
      Counts, shape ``(num_classes, num_classes)``. Matrices of several batches can be
      added.

    Example:
      >>> predictions, labels = jnp.array([0, 1, 1]), jnp.array([0, 0, 1])
      >>> print(confusion(predictions=predictions, labels=labels, num_classes=2))
      [[1 1]
       [0 1]]

    Raises:
      ValueError: if a label or a prediction is not in [0, num_classes).
    """
    chex.assert_rank([predictions, labels], [1, 1])
    chex.assert_equal_shape([predictions, labels])
    check.integer("num_classes", num_classes, at_least=1)
    weights = _weights(example_weights, labels)
    rows, columns = (
        _classes(name, one, example_weights, num_classes=num_classes)
        for name, one in (("labels", labels), ("predictions", predictions))
    )
    # A negative index would address a class from the end.
    is_pair = _is_class(rows, num_classes) & _is_class(columns, num_classes)
    counts = jnp.zeros((num_classes, num_classes), weights.dtype)
    return counts.at[rows, columns].add(jnp.where(is_pair, weights, 0))


def per_class_accuracy(confusion: Array) -> Ratio:
    """Share of the examples of each class that are predicted correctly (recall).

    Args:
      confusion: confusion matrix from `confusion`, shape ``(classes, classes)``.

    Returns:
      A `Ratio` of shape ``(classes,)``; NaN for a class without examples.
    """
    chex.assert_rank(confusion, 2)
    return Ratio(jnp.diagonal(confusion), jnp.sum(confusion, axis=1))


def per_class_precision(confusion: Array) -> Ratio:
    """Share of the predictions of each class that are correct (precision).

    Argument and result are those of `per_class_accuracy`; NaN for a class that is never
    predicted.
    """
    chex.assert_rank(confusion, 2)
    return Ratio(jnp.diagonal(confusion), jnp.sum(confusion, axis=0))


def calibration_bins(
    probabilities: Array,
    labels: Array,
    *,
    num_bins: int = 15,
    example_weights: Array | None = None,
) -> CalibrationBins:
    """Groups examples into bins by the probability of their predicted class.

    Bin m of M holds confidences in ((m - 1) / M, m / M], the edges rounded to the dtype
    of the probabilities (at least float32). An example with NaN falls into the last bin
    and makes its sum, and hence the calibration error, NaN.

    Args:
      probabilities: shape ``(examples, classes)``, each row a distribution.
      labels: integers in [0, classes), shape ``(examples,)``.
      num_bins: number of bins M, at least 1.
      example_weights: non-negative, shape ``(examples,)``; 1 by default, and weight 0
        excludes an example.

    Returns:
      Sums per bin, shape ``(num_bins,)``. ``confidence_sum`` is a floating-point sum,
      so merged batches agree up to rounding; the other two are counts.

    Raises:
      ValueError: if a label is not in [0, classes), or ``num_bins`` is below 1.
    """
    chex.assert_rank([probabilities, labels], [2, 1])
    check.integer("num_bins", num_bins, at_least=1)
    weights = _weights(example_weights, labels)
    dtype = jnp.promote_types(probabilities.dtype, jnp.float32)
    confidence = jnp.max(probabilities, axis=1).astype(dtype)
    inner_edges = jnp.asarray(np.arange(1, num_bins) / num_bins, dtype)
    bins = jnp.searchsorted(inner_edges, confidence, side="left")
    # Padding may contain NaN, and 0 * NaN is NaN.
    weighted = jnp.where(weights == 0, 0, weights * confidence)

    def add_up(values: Array) -> Array:
        return jnp.zeros(num_bins, values.dtype).at[bins].add(values)

    is_correct = _correct(probabilities, labels, example_weights, k=1)
    return CalibrationBins(
        add_up(weighted), add_up(weights * is_correct), add_up(weights)
    )


def expected_calibration_error(bins: CalibrationBins) -> Array:
    r"""Mean distance between confidence and accuracy over bins, weighted by bin size.

    .. math:: \mathrm{ECE} = \sum_m \frac{n_m}{n}
              \left| \mathrm{acc}_m - \mathrm{conf}_m \right|

    Args:
      bins: result of `calibration_bins`, with all batches merged.

    Returns:
      A number in [0, 1], shape ``()``; NaN if there are no examples.

    Example:
      Two predictions at confidence 0.75, one of them correct:

      >>> probabilities = jnp.array([[0.75, 0.25], [0.75, 0.25]])
      >>> print(expected_calibration_error(
      ...     calibration_bins(probabilities, jnp.array([0, 1]))))
      0.25

    Reference:
      C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger. On calibration of modern neural
      networks. ICML 2017.
    """
    # n_m |acc_m - conf_m| is a difference of sums, without division by an empty bin.
    return jnp.sum(jnp.abs(bins.correct - bins.confidence_sum)) / jnp.sum(bins.count)


def _correct(
    scores: Array, labels: Array, example_weights: Array | None, *, k: int
) -> Array:
    chex.assert_rank([scores, labels], [2, 1])
    chex.assert_equal_shape_prefix([scores, labels], 1)
    num_classes = scores.shape[1]
    check.integer("k", k, at_least=1, at_most=num_classes)
    labels = _classes("labels", labels, example_weights, num_classes=num_classes)
    labels = labels[:, None]
    own = jnp.take_along_axis(scores, labels, axis=1)
    wins_ties = jnp.arange(num_classes)[None, :] < labels
    ahead = (scores > own) | ((scores == own) & wins_ties)
    is_voteless = (own == 0) & (scores >= 0).all(axis=1, keepdims=True)
    is_voteless &= (scores > 0).any(axis=1, keepdims=True)
    is_ranked = _is_class(labels, num_classes) & (own > -jnp.inf) & ~is_voteless
    # Every comparison with NaN is false, so a diverged model would rank first.
    valid = ~jnp.isnan(scores).any(axis=1)
    return (jnp.sum(ahead, axis=1) < k) & is_ranked[:, 0] & valid


def _classes(
    name: str, value: Array, example_weights: Array | None, *, num_classes: int
) -> Array:
    """Labels or predictions, checked unless traced; those of weight 0 may be any."""
    given = [one for one in (value, example_weights) if one is not None]
    is_hidden = any(
        isinstance(one, jax.core.Tracer)
        or not getattr(one, "is_fully_addressable", True)
        for one in given
    )
    if is_hidden or np.size(value) == 0:
        return jnp.asarray(value)
    looked_at = np.asarray(value)
    if example_weights is not None:
        looked_at = np.where(np.asarray(example_weights) == 0, 0, looked_at)
    return jnp.asarray(check.labels(name, looked_at, num_classes=num_classes))


def _is_class(labels: Array, num_classes: int) -> Array:
    return (labels >= 0) & (labels < num_classes)


def _weights(example_weights: Array | None, labels: Array) -> Array:
    """Returns one weight per example: int32 ones, or floats of at least 32 bits."""
    if example_weights is None:
        return jnp.ones(labels.shape, jnp.int32)
    chex.assert_equal_shape([example_weights, labels])
    dtype = jnp.promote_types(example_weights.dtype, jnp.float32)
    return jnp.asarray(example_weights, dtype)
