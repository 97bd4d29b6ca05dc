"""Scores, losses and weighted means of a batch, at once or in blocks of rows."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import linear
from jaxlin.linear import Params
from jaxlin.normalization import Normalization, normalize
from jaxlin.numerics import compensated
from jaxlin.numerics.compensated import Compensated
from jaxlin.typing import Array, Loss, LossArguments, PyTree

#: Default number of rows whose scores are held at once in a blocked computation.
BLOCK_ROWS = 2048


def batch_scores(
    params: Params, features: Array, *, normalization: Normalization | None = None
) -> Array:
    """Scores of a batch of raw rows, shape ``(examples, classes)``.

    Args:
      params: parameters of the classifier.
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      normalization: normalisation applied to each row; None for normalised rows.
    """
    chex.assert_rank(features, 2)
    if normalization is not None:
        features = jax.vmap(normalize, in_axes=(None, 0))(normalization, features)
    return jax.vmap(linear.scores, in_axes=(None, 0))(params, features)


def blocked_scores(
    params: Params,
    features: Array,
    *,
    normalization: Normalization | None = None,
    block_size: int = BLOCK_ROWS,
) -> Array:
    """Scores of a batch of raw rows, computed in blocks.

    Equal to `batch_scores`, but scores a data set of uint8 rows without a float copy of
    all of it.

    Args:
      params: parameters of the classifier.
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      normalization: normalisation applied to each row; None for normalised rows.
      block_size: largest number of rows that are normalised at once.
    """
    one_block = min(block_size, features.shape[0])

    def scores_of_row(row: Array) -> Array:
        if normalization is not None:
            row = normalize(normalization, row)
        return linear.scores(params, row)

    return jax.lax.map(scores_of_row, features, batch_size=one_block)


def blocked_sums(
    sums_of_block: Callable[..., PyTree], *by_row: Any, block_size: int = BLOCK_ROWS
) -> PyTree:
    """Compensated sums over all rows, computed block by block.

    Only the sums outlive a block: the correct predictions of a model, for example, are
    counted without holding its scores for all rows. For use inside a compiled program.

    Args:
      sums_of_block: ``(*block) -> sums``, a function from the rows of a block to a tree
        of arrays, their sums over these rows.
      *by_row: trees of arrays with one entry per example.
      block_size: largest number of rows in a block.

    Returns:
      The sums, a tree like the result of ``sums_of_block``.
    """
    num_rows = jax.tree.leaves(by_row)[0].shape[0]
    full, rest = divmod(num_rows, min(block_size, num_rows))

    def add(sums: PyTree, start: Array | int, length: int) -> PyTree:
        # A slice of the rows in place: a reshape into blocks would copy them.
        some = jax.tree.map(
            lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length), by_row
        )
        # Each leaf of the new terms belongs to a `Compensated` pair in ``sums``.
        return jax.tree.map(
            lambda term, so_far: compensated.add(so_far, term),
            sums_of_block(*some),
            sums,
        )

    zeros = jax.tree.map(
        lambda leaf: Compensated(*jnp.zeros((2, *leaf.shape), leaf.dtype)),
        jax.eval_shape(sums_of_block, *jax.tree.map(lambda leaf: leaf[:1], by_row)),
    )
    size = (num_rows - rest) // full
    sums, _ = jax.lax.scan(
        lambda sums, number: (add(sums, number * size, size), None),
        zeros,
        jnp.arange(full),
    )
    if rest:
        sums = add(sums, full * size, rest)
    return jax.tree.map(
        compensated.total, sums, is_leaf=lambda node: isinstance(node, Compensated)
    )


def example_losses(
    scores: Array,
    targets: Array,
    *,
    loss: Loss,
    loss_arguments: LossArguments | None = None,
) -> Array:
    """Loss of each example from its scores, shape ``(examples,)``.

    Args:
      scores: shape ``(examples, classes)``.
      targets: labels ``(examples,)``, or distributions ``(examples, classes)`` for a
        loss that takes them.
      loss: a loss of one example.
      loss_arguments: traced keyword arguments of the loss, such as ``{"margin": 1.0}``.

    Raises:
      ValueError: if the loss of an example is not one number.
    """
    arguments = dict(loss_arguments or {})

    def of_example(scores: Array, target: Array) -> Array:
        value = loss(scores, target, **arguments)
        if jnp.ndim(value):
            raise ValueError(
                "loss must return one number per example, of shape (), got shape "
                f"{jnp.shape(value)}; sum or average over the classes"
            )
        return value

    return jax.vmap(of_example)(scores, targets)


def weighted_mean(
    values: Array,
    *,
    example_weights: Array | None = None,
    total_weight: ArrayLike | None = None,
) -> Array:
    """Weighted mean of the values, shape ``()``.

    Args:
      values: one value per example, shape ``(examples,)``.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.
      total_weight: divisor of the weighted sum, shape ``()``; None is the sum of the
        weights.
    """
    if example_weights is None:
        return jnp.mean(values) if total_weight is None else values.sum() / total_weight
    chex.assert_equal_shape([values, example_weights])
    if total_weight is None:
        total_weight = jnp.sum(example_weights)
    # An excluded example stays excluded even if its loss is infinite.
    counted = jnp.where(example_weights == 0, 0, values * example_weights)
    return jnp.sum(counted) / total_weight


def balanced_class_weights(
    labels: Array, *, num_classes: int, example_weights: Array | None = None
) -> Array:
    """Class weights that give all occurring classes the same total weight.

    The weight of class c is n / (k * n_c), where n_c of the n labels are c and k
    classes occur; it is 0 for a class that does not occur. Equal to scikit-learn's
    ``class_weight="balanced"``. With example weights, n and n_c are sums of them.

    The weights shift predicted probabilities: the fit is that of a population in which
    all classes are equally frequent, so that a rare class gets a higher probability
    than its frequency. Temperature scaling (`jaxlin.selection.calibration`) does not
    correct that, and the calibration error of the predicted class need not show it. If
    probabilities matter, fit without these weights, or add the log of the frequency of
    each class to its score.

    Args:
      labels: integers in [0, num_classes), shape ``(examples,)``.
      num_classes: number of classes C, at least 2.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.

    Returns:
      One weight per class, float32, shape ``(num_classes,)``. Index it with the labels
      to get example weights.
    """
    counts = jnp.bincount(labels, weights=example_weights, length=num_classes)
    occurs = counts > 0
    weights = jnp.sum(counts) / (jnp.sum(occurs) * jnp.where(occurs, counts, 1))
    return jnp.where(occurs, weights, 0.0).astype(jnp.float32)
