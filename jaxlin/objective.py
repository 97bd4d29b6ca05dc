r"""The full loss: mean loss over examples plus penalty, one number to minimise.

.. math:: P(W, b) = \frac{\sum_i a_i\, \ell(W x_i + b, y_i)}{\sum_i a_i}
          + \frac{\lambda_2}{2} \|W, b\|^2 + \lambda_1 \|W, b\|_1

Means, not sums: an l2 keeps its meaning when examples are added. scikit-learn's C is
converted by `jaxlin.penalties.l2_of_c`; the lecture's :math:`\lambda` is half of ours.
The bias is penalised, as by the bias trick, unless ``penalize_bias=False``.

Example weights :math:`a_i` live here and nowhere else: 0 takes an example out, which is
how folds and padding are made; `balanced_class_weights` makes classes count equally.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import linear, losses, objective
  >>> params = linear.Params(jnp.zeros((10, 4)), jnp.zeros(10))
  >>> compiled = jax.jit(objective.objective, static_argnames="loss")
  >>> value = compiled(
  ...     params, jnp.ones((6, 4)), jnp.arange(6),
  ...     loss=losses.softmax_cross_entropy, l2=0.1)
  >>> print(f"{value:.4f}")  # log 10
  2.3026

Full-batch methods take `value_and_gradient`, which reads each row once, in blocks, and
makes no float copy of more than one. Rows that come in blocks, because they do not fit
into memory, are added up by `accumulate`; `from_sums` then gives the same pair.
"""

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import compensated, linear, penalties, row_sums
from jaxlin.compensated import Compensated
from jaxlin.linear import Params
from jaxlin.normalization import Normalization, normalize
from jaxlin.row_sums import RowSums
from jaxlin.typing import Array, Loss, LossArguments, PyTree

# Rows whose scores are held at once, where those of all are not wanted.
BLOCK_ROWS = 2048


def objective(
    params: Params,
    features: Array,
    targets: Array,
    *,
    loss: Loss,
    loss_arguments: LossArguments | None = None,
    l2: ArrayLike | None = None,
    l1: ArrayLike | None = None,
    penalize_bias: bool = True,
    example_weights: Array | None = None,
    total_weight: ArrayLike | None = None,
    normalization: Normalization | None = None,
) -> Array:
    r"""Mean loss plus penalty: the sum of `mean_loss` and `penalty`, shape ``()``.

    Args:
      params: parameters to judge.
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      targets: labels ``(examples,)``, or distributions ``(examples, classes)`` for a
        loss that takes them.
      loss: a loss of one example.
      loss_arguments: traced keywords of the loss, such as ``{"margin": 1.0}``.
      l2: strength :math:`\lambda_2` of half the sum of squares; None is 0.
      l1: strength :math:`\lambda_1` of the sum of absolute values; None is 0.
      penalize_bias: whether the penalty includes the bias.
      example_weights: :math:`a_i \ge 0`, shape ``(examples,)``; None is all ones.
      total_weight: what the weighted sum of losses is divided by, instead of the sum
        of the weights (a minibatch divides by what it stands for).
      normalization: applied to each row; None if the rows are normalised already.
    """
    data_term = mean_loss(
        params,
        features,
        targets,
        loss=loss,
        loss_arguments=loss_arguments,
        example_weights=example_weights,
        total_weight=total_weight,
        normalization=normalization,
    )
    return data_term + penalty(params, l2=l2, l1=l1, penalize_bias=penalize_bias)


def mean_loss(
    params: Params,
    features: Array,
    targets: Array,
    *,
    loss: Loss,
    loss_arguments: LossArguments | None = None,
    example_weights: Array | None = None,
    total_weight: ArrayLike | None = None,
    normalization: Normalization | None = None,
) -> Array:
    """Weighted mean of the losses of a batch; arguments as in `objective`."""
    scores = batch_scores(params, features, normalization=normalization)
    if example_weights is not None:
        # An example that is taken out stays out: its loss may be infinite and have no
        # gradient (but its features must be finite).
        scores = jnp.where(example_weights[:, None] == 0, 0, scores)
    values = example_losses(scores, targets, loss=loss, loss_arguments=loss_arguments)
    return weighted_mean(
        values, example_weights=example_weights, total_weight=total_weight
    )


def penalty(
    params: Params,
    *,
    l2: ArrayLike | None = None,
    l1: ArrayLike | None = None,
    penalize_bias: bool = True,
) -> Array:
    """The penalty term of `objective`, shape ``()``."""
    penalized = params if penalize_bias else params.weights
    total = jnp.zeros((), params.weights.dtype)
    # A strength of None, unlike a traced 0, costs no pass over the weights.
    if l2 is not None:
        total += l2 * penalties.l2(penalized)
    if l1 is not None:
        total += l1 * penalties.l1(penalized)
    return total


def value_and_gradient(
    params: Params,
    features: Array,
    targets: Array,
    *,
    loss: Loss,
    loss_arguments: LossArguments | None = None,
    l2: ArrayLike | None = None,
    l1: ArrayLike | None = None,
    penalize_bias: bool = True,
    example_weights: Array | None = None,
    normalization: Normalization | None = None,
    block_size: int | None = None,
) -> tuple[Array, Params]:
    """`objective` and its gradient, from one pass over the rows in blocks.

    Four to five times as fast on a CPU as `jax.grad` of a product with all rows at
    once, and without that product's float copy of all rows. For use inside a compiled
    program; arguments as in `objective`, and:

    Args:
      params: parameters to judge.
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      targets: one an example.
      loss: a loss of one example.
      loss_arguments: traced keywords of the loss.
      l2: strength of half the sum of squares.
      l1: strength of the sum of absolute values.
      penalize_bias: whether the penalty includes the bias.
      example_weights: shape ``(examples,)``; None is all ones.
      normalization: applied to each row.
      block_size: rows a block; None chooses it from the shape.

    Returns:
      The value, shape ``()``, and the gradient, in the shape of the parameters.
    """
    sums, _ = row_sums.over_rows(
        params,
        features,
        targets,
        (),
        link=_link(loss),
        shared=dict(loss_arguments or {}),
        example_weights=example_weights,
        normalization=normalization,
        block_size=block_size,
    )
    return from_sums(sums, params, l2=l2, l1=l1, penalize_bias=penalize_bias)


def accumulate(
    sums: RowSums | None,
    params: Params,
    features: Array,
    targets: Array,
    *,
    loss: Loss,
    loss_arguments: LossArguments | None = None,
    example_weights: Array | None = None,
    normalization: Normalization | None = None,
) -> RowSums:
    """Adds a block of rows to the sums that `from_sums` turns into a gradient.

    The step of a host loop over blocks (`jaxlin.row_blocks`), compiled once a shape of
    a block and once more for the first of all, which has no sums yet:

    >>> from jaxlin import losses, row_blocks
    >>> params, sums = linear.Params(jnp.zeros((3, 4)), jnp.zeros(3)), None
    >>> for block in row_blocks.over(jnp.ones((9, 4)), jnp.arange(9) % 3,
    ...                              block_size=3):
    ...     sums = accumulate(sums, params, block.features, block.targets,
    ...                       loss=losses.softmax_cross_entropy)
    >>> value, gradient = jax.jit(from_sums)(sums, params, l2=0.1)
    >>> print(f"{value:.4f}")  # log 3
    1.0986

    Args:
      sums: of earlier blocks; None begins.
      params: the same for all blocks.
      features: raw rows of the block.
      targets: one a row.
      loss: a loss of one example.
      loss_arguments: traced keywords of the loss.
      example_weights: shape ``(rows,)``; None is all ones.
      normalization: applied to each row.
    """
    return _accumulate(
        sums,
        params,
        features,
        targets,
        dict(loss_arguments or {}),
        example_weights,
        normalization,
        loss=loss,
    )


@functools.partial(jax.jit, static_argnames=("loss",))
def _accumulate(sums, params, features, targets, arguments, weights, fitted, *, loss):
    return row_sums.over_rows(
        params,
        features,
        targets,
        (),
        link=_link(loss),
        shared=arguments,
        example_weights=weights,
        normalization=fitted,
        sums=sums,
    )[0]


def from_sums(
    sums: RowSums,
    params: Params,
    *,
    l2: ArrayLike | None = None,
    l1: ArrayLike | None = None,
    penalize_bias: bool = True,
) -> tuple[Array, Params]:
    """Value and gradient of the objective from the sums over all rows.

    Arguments and result as of `value_and_gradient`; the weights must not sum to 0.
    """
    value, gradient = jax.value_and_grad(
        lambda params: penalty(params, l2=l2, l1=l1, penalize_bias=penalize_bias)
    )(params)
    of_rows = Params(compensated.total(sums.weights), compensated.total(sums.bias))
    weight = compensated.total(sums.weight)
    gradient = jax.tree.map(lambda own, rows: own + rows / weight, gradient, of_rows)
    return value + compensated.total(sums.values)[0] / weight, gradient


@functools.cache
def _link(loss: Loss) -> row_sums.Link:
    def value_of_example(arguments, scores, target, extra):
        del extra
        value, slope = jax.value_and_grad(loss)(scores, target, **arguments)
        return value[None], slope, ()

    return value_of_example


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
