"""Scores and losses of a batch, at once or in blocks of rows, and weighted means."""

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

# Rows whose scores are held at once, where those of all are not wanted.
BLOCK_ROWS = 2048


def batch_scores(
    params: Params, features: Array, *, normalization: Normalization | None = None
) -> Array:
    """Scores of a batch of raw rows, shape ``(examples, classes)``."""
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
    """`batch_scores` with at most ``block_size`` rows normalised at a time.

    A whole data set of uint8 rows is scored without a float copy of it.
    """
    one_block = min(block_size, features.shape[0])

    def scores_of_row(row: Array) -> Array:
        if normalization is not None:
            row = normalize(normalization, row)
        return linear.scores(params, row)

    return jax.lax.map(scores_of_row, features, batch_size=one_block)


def blocked_sums(
    of_block: Callable[..., PyTree], *by_row: Any, block_size: int = BLOCK_ROWS
) -> PyTree:
    """Sums over all rows, added up block by block, compensated.

    Nothing but the sums outlives a block: so the right answers of a model are counted
    without its scores of all rows. For use inside a compiled program.

    Args:
      of_block: ``(*some_rows) -> sums``, a tree of arrays, over the rows of a block.
      by_row: trees of arrays with one entry an example.
      block_size: rows a block, at most.

    Returns:
      The sums, as ``of_block`` returns them.
    """
    num_rows = jax.tree.leaves(by_row)[0].shape[0]
    full, rest = divmod(num_rows, min(block_size, num_rows))

    def add(sums: PyTree, start: Array | int, length: int) -> PyTree:
        # A slice of the rows where they are: a reshape into blocks would copy them.
        some = jax.tree.map(
            lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length), by_row
        )
        # Leaf by leaf of the new sums, each a pair in the old ones.
        return jax.tree.map(
            lambda term, so_far: compensated.add(so_far, term), of_block(*some), sums
        )

    zeros = jax.tree.map(
        lambda leaf: Compensated(*jnp.zeros((2, *leaf.shape), leaf.dtype)),
        jax.eval_shape(of_block, *jax.tree.map(lambda leaf: leaf[:1], by_row)),
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
    """Loss of each example from its scores, shape ``(examples,)``."""
    arguments = dict(loss_arguments or {})
    return jax.vmap(lambda one, target: loss(one, target, **arguments))(scores, targets)


def weighted_mean(
    values: Array,
    *,
    example_weights: Array | None = None,
    total_weight: ArrayLike | None = None,
) -> Array:
    """Sum of weighted values over the total weight, shape ``()``."""
    if example_weights is None:
        return jnp.mean(values) if total_weight is None else values.sum() / total_weight
    chex.assert_equal_shape([values, example_weights])
    if total_weight is None:
        total_weight = jnp.sum(example_weights)
    # An example that is taken out stays out even if its loss is infinite.
    counted = jnp.where(example_weights == 0, 0, values * example_weights)
    return jnp.sum(counted) / total_weight


def balanced_class_weights(labels: Array, *, num_classes: int) -> Array:
    """Weights under which every class that occurs has the same total.

    n / (k * n_c) for class c, where n_c of the n labels are c and k classes occur; 0
    for a class that does not occur. As scikit-learn's ``class_weight="balanced"``.

    They shift probabilities: what is fitted are those of a population in which all
    classes are equally frequent, so a rare class gets more than its share. One
    temperature (`jaxlin.selection.calibration`) does not mend that, and the calibration
    error of the predicted class need not show it. Where probabilities matter, fit
    without them, or add the log of each class's share to its score.

    Returns:
      One weight a class, float32, shape ``(num_classes,)``. Index it with the labels
      for example weights.
    """
    counts = jnp.bincount(labels, length=num_classes)
    occurring = jnp.sum(counts > 0)
    weights = labels.shape[0] / (occurring * jnp.maximum(counts, 1))
    return jnp.where(counts > 0, weights, 0.0).astype(jnp.float32)
