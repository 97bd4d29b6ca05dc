"""Resamples of the examples, as example weights: halves, quarters, bootstrap.

Fits on fewer or on other examples estimate the distance of a fit from the fit on the
whole population (`jaxlin.stats.decomposition`). As example weights all resamples have
the shape of the full data, so that their fits are one sweep:

  >>> import jax
  >>> from jaxlin.selection import resampling
  >>> parts = resampling.quarters(jax.random.key(0), 100, num_splits=3)
  >>> parts.shape, parts.sum(axis=2)[0]
  ((3, 4, 100), array([25., 25., 25., 25.], dtype=float32))
  >>> resampling.halves(parts).sum(axis=2)[0]
  array([50., 50.], dtype=float32)
  >>> resampling.bootstrap(jax.random.key(0), 100, num_resamples=2).sum(axis=1)
  array([100., 100.], dtype=float32)
"""

import jax
import numpy as np

from jaxlin import check
from jaxlin.typing import Array


def quarters(key: Array, num_examples: int, *, num_splits: int) -> np.ndarray:
    """Random splits of the examples into four equal parts.

    Args:
      key: a `jax.random.key`; a larger ``num_splits`` keeps the first splits.
      num_examples: n, at least 4; up to three examples are in no part.
      num_splits: number of independent splits, at least 1.

    Returns:
      Weights of 0 and 1, shape ``(num_splits, 4, examples)``, float32.

    Raises:
      ValueError: if a number is out of range.
    """
    check.integer("num_examples", num_examples, at_least=4)
    check.integer("num_splits", num_splits, at_least=1)
    size = num_examples // 4
    weights = np.zeros((num_splits, 4, num_examples), np.float32)
    for number, split in enumerate(weights):
        order = jax.random.permutation(jax.random.fold_in(key, number), num_examples)
        members = np.asarray(order[: 4 * size]).reshape(4, size)
        np.put_along_axis(split, members, 1, axis=1)
    return weights


def halves(quarters: np.ndarray) -> np.ndarray:
    """Halves of each split: the first two and the last two of its quarters.

    Args:
      quarters: weights from `quarters`, shape ``(splits, 4, examples)``.

    Returns:
      Weights of 0 and 1, shape ``(splits, 2, examples)``.

    Raises:
      ValueError: if ``quarters`` has another shape.
    """
    shape = np.shape(quarters)
    if len(shape) != 3 or shape[1] != 4:
        raise ValueError(
            f"quarters must have shape (splits, 4, examples), got {shape}; "
            "resampling.quarters makes them"
        )
    return quarters[:, 0::2] + quarters[:, 1::2]


def bootstrap(key: Array, num_examples: int, *, num_resamples: int) -> np.ndarray:
    """Bootstrap weights: counts of each example in n draws with replacement.

    Args:
      key: a `jax.random.key`; a larger ``num_resamples`` keeps the first resamples.
      num_examples: n, at least 2.
      num_resamples: number of bootstrap samples, at least 1.

    Returns:
      Multinomial counts, shape ``(num_resamples, examples)``, float32.

    Raises:
      ValueError: if a number is out of range.

    Reference:
      B. Efron. Bootstrap methods: another look at the jackknife. Annals of Statistics,
      1979.
    """
    check.integer("num_examples", num_examples, at_least=2)
    check.integer("num_resamples", num_resamples, at_least=1)
    counts = np.zeros((num_resamples, num_examples), np.float32)
    for number in range(num_resamples):
        own_key = jax.random.fold_in(key, number)
        drawn = jax.random.randint(own_key, (num_examples,), 0, num_examples)
        counts[number] = np.bincount(np.asarray(drawn), minlength=num_examples)
    return counts
