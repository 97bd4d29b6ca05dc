r"""One pass over the rows: sums of values and gradients, with each row read once.

A full-batch method needs two kinds of weighted sums: those of some values of each
example, and those of the outer products :math:`u_i x_i^\top` of its score gradient and
its row. `over_rows` computes them in one pass. Block by block, the rows are converted
and normalised, one matrix product gives their scores, a function of one example (the
``example_function``) maps scores to values and a score gradient, and a second product
adds the block to the sums while it is still in the cache. At most one block is held as
a float copy.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin.numerics import compensated
  >>> from jaxlin import linear, losses
  >>> from jaxlin.objective import row_sums
  >>> def example_function(margin, scores, label, _):
  ...     value, gradient = jax.value_and_grad(losses.weston_watkins_hinge)(
  ...         scores, label, margin=margin)
  ...     return value[None], gradient, ()
  >>> params = linear.Params(jnp.zeros((3, 4)), jnp.zeros(3))
  >>> sums, _ = row_sums.over_rows(
  ...     params, jnp.ones((6, 4)), jnp.arange(6) % 3, (),
  ...     example_function=example_function, shared=1.0)
  >>> print(*map(compensated.total, (sums.weight, sums.values)))
  6.0 [12.]

Rows that do not fit into memory are summed by several calls, each with a block of rows
and the sums of the earlier calls. On a mesh with the axis
`jaxlin.numerics.device_mesh.ROWS` each device makes the pass over its own rows, and the
sums are added.

Sums over parts of at most 512 rows are not compensated; the sum over the parts is
(`jaxlin.objective.part_sums`). Products run at full float32 precision on every device;
the default of accelerators is lower.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxlin import check
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.numerics import compensated, device_mesh
from jaxlin.numerics.compensated import Compensated
from jaxlin.objective import block_sizes, part_sums, row_products
from jaxlin.typing import Array, PyTree

# ``(shared, scores, target, extra) -> (values (K,), score gradient (C,), output)``. For
# several models at once, all of these but the target have leading axes.
ExampleFunction = Callable[[Any, Array, Any, Any], tuple[Array, Array, PyTree]]


class RowSums(NamedTuple):
    """Weighted sums over rows.

    Attributes:
      values: sum of the values of the example function, shape ``(K,)``.
      weights: sum of the outer products u x^T, shape ``(classes, features)``.
      bias: sum of the score gradients u, shape ``(classes,)``.
      weight: sum of the example weights, shape ``()``.
      rows: number of rows, shape ``()``.
      parts: number of parts, each summed without compensation, shape ``()``.
      bias_curvature: curvature of the mean loss along a free bias
        (`jaxlin.certificates.bias_search`), shape ``(classes,)``. A pass leaves it 0,
        unknown; the caller of the bias search sets it.
    """

    values: Compensated
    weights: Compensated
    bias: Compensated
    weight: Compensated
    rows: Array
    parts: Array
    bias_curvature: Array


def zeros(params: Params, values: tuple[int, ...]) -> RowSums:
    """Empty sums, over no rows.

    Args:
      params: parameters, for shapes and dtype.
      values: shape of the values of the example function, such as ``(K,)``.
    """
    dtype = params.weights.dtype
    none = jnp.zeros((), dtype)
    empty = (jnp.zeros(values, dtype), *map(jnp.zeros_like, params), none)
    of_values, of_weights, of_bias, weight = (Compensated(zero, zero) for zero in empty)
    return RowSums(
        *(of_values, of_weights, of_bias, weight),
        rows=none,
        parts=none,
        bias_curvature=jnp.zeros_like(params.bias),
    )


def merge(first: RowSums, second: RowSums) -> RowSums:
    """Merges two sums into the sums over the rows of both."""
    return RowSums(
        values=compensated.merge(first.values, second.values),
        weights=compensated.merge(first.weights, second.weights),
        bias=compensated.merge(first.bias, second.bias),
        weight=compensated.merge(first.weight, second.weight),
        rows=first.rows + second.rows,
        parts=first.parts + second.parts,
        bias_curvature=jnp.zeros_like(first.bias_curvature),
    )


def over_rows(
    params: Params,
    features: Array,
    targets: Array,
    extra: PyTree,
    *,
    example_function: ExampleFunction,
    shared: PyTree = (),
    example_weights: Array | None = None,
    normalization: Normalization | None = None,
    block_size: int | None = None,
    sums: RowSums | None = None,
    products: Array | None = None,
) -> tuple[RowSums, PyTree]:
    """Sums over all rows in one pass, in blocks; for use inside a compiled program.

    Args:
      params: parameters, in the dtype of the computation. Several models have leading
        axes, ``(..., classes, features)``; their scores are one wide product, and the
        scores, gradients and values of the example function have these axes too.
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      extra: tree of arrays with one entry per example, passed to the example function;
        ``()`` if it needs none.
      example_function: function of one example, ``(shared, scores, target, extra) ->
        (values, gradient, output)``, with values ``(K,)``, gradient in the scores
        ``(classes,)`` and any tree as output.
      shared: traced arguments of the example function, the same for all examples.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.
      normalization: normalisation applied to each row; None for normalised rows.
      block_size: rows per block, at least 1; None chooses it from the shape and the
        backend. It changes the sums only by rounding.
      sums: sums over other rows, to which these rows are added; None for no rows.
      products: products of weights and rows from
        `jaxlin.objective.row_products.score_products`, for which the pass
        makes one product instead of two; None computes them.

    Returns:
      ``(sums, outputs)``: the sums, and the outputs of the example function with one
      entry per example.

    Raises:
      ValueError: if ``block_size`` is below 1.
    """
    num_shards = device_mesh.num_shards(features.shape[0])
    data = (
        *(params, features, targets, extra, shared, example_weights, normalization),
        products,
    )

    if num_shards == 1:
        return _over_rows(
            *data, example_function=example_function, block_size=block_size, sums=sums
        )

    def of_shard(*data: Any) -> tuple[RowSums, PyTree]:
        shard_sums, outputs = _over_rows(
            *data, example_function=example_function, block_size=block_size, sums=None
        )
        # Gathered and added in a fixed order with compensation: a plain sum over
        # devices would lose digits that no error bound accounts for.
        return jax.lax.all_gather(shard_sums, device_mesh.ROWS), outputs

    by_row, whole = PartitionSpec(device_mesh.ROWS), PartitionSpec()
    parts, outputs = jax.shard_map(
        of_shard,
        in_specs=(
            *(whole, by_row, by_row, by_row, whole, by_row, whole),
            row_products.by_last_axis(params.bias.ndim + 1),
        ),
        out_specs=(whole, by_row),
        axis_names={device_mesh.ROWS},
        check_vma=False,
    )(*data)
    by_shard = [
        jax.tree.map(lambda leaf, i=i: leaf[i], parts) for i in range(num_shards)
    ]
    if sums is not None:
        by_shard.insert(0, sums)
    return functools.reduce(merge, by_shard), outputs


def _over_rows(
    params: Params,
    features: Array,
    targets: Array,
    extra: PyTree,
    shared: PyTree,
    example_weights: Array | None,
    normalization: Normalization | None,
    products: Array | None,
    *,
    example_function: ExampleFunction,
    block_size: int | None,
    sums: RowSums | None,
) -> tuple[RowSums, PyTree]:
    """`over_rows` on one device."""
    num_rows, num_features = features.shape
    if block_size is None:
        num_scores = params.bias.size
        block_size = block_sizes.rows_per_block(
            num_rows, num_features, num_scores=num_scores
        )
    check.integer("block_size", block_size, at_least=1)
    block_size = min(block_size, num_rows)
    if example_weights is not None:
        example_weights = example_weights.astype(params.weights.dtype)
    by_row = (features, targets, extra, example_weights)

    def add(sums: RowSums, start: Array | int, length: int) -> tuple[RowSums, PyTree]:
        # A reshape into blocks would copy all rows if the last block is not full.
        block, block_targets, block_extra, block_weights = (
            by_row
            if length == num_rows
            else jax.tree.map(
                lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length), by_row
            )
        )
        rows = row_products.normalized_rows(block, normalization, params.weights.dtype)
        if products is None:
            of_block = part_sums.product(params.weights, rows.T)
        else:
            of_block = jax.lax.dynamic_slice_in_dim(products, start, length, axis=-1)
        return _add_block(
            sums,
            of_block + params.bias[..., None],
            rows,
            block_targets,
            block_extra,
            example_function=example_function,
            shared=shared,
            example_weights=block_weights,
        )

    # A last block that overlaps the previous one, with the repeated rows masked, would
    # compile in .25 s less, but masks made a pass over CIFAR-10 4 ms of 61 slower.
    full, rest = divmod(num_rows, block_size)
    if sums is None:
        sums = _no_rows(params, targets, extra, example_function, shared)
    if full == 1 and not rest:
        return add(sums, 0, num_rows)
    after, outputs = jax.lax.scan(
        lambda sums, start: add(sums, start, block_size),
        sums,
        block_size * jnp.arange(full),
    )
    outputs = jax.tree.map(
        lambda leaf: leaf.reshape(full * block_size, *leaf.shape[2:]), outputs
    )
    if rest:
        after, last = add(after, full * block_size, rest)
        outputs = jax.tree.map(lambda *parts: jnp.concatenate(parts), outputs, last)
    return after, outputs


def _no_rows(
    params: Params,
    targets: Array,
    extra: PyTree,
    example_function: ExampleFunction,
    shared: PyTree,
) -> RowSums:
    """Empty sums, with as many values as the example function has."""
    one_row = jax.tree.map(lambda leaf: leaf[0], (targets, extra))
    values, *_ = jax.eval_shape(example_function, shared, params.bias, *one_row)
    return zeros(params, values.shape)


def _add_block(
    sums: RowSums,
    scores: Array,
    rows: Array,
    targets: Array,
    extra: PyTree,
    *,
    example_function: ExampleFunction,
    shared: PyTree,
    example_weights: Array | None,
) -> tuple[RowSums, PyTree]:
    """Adds the normalised rows of one block to the sums.

    Examples are the last axis of the scores, so that sums over the few classes of an
    example are computed for many examples at once.
    """
    values, gradients, outputs = jax.vmap(
        example_function, in_axes=(None, -1, 0, 0), out_axes=(-1, -1, 0)
    )(shared, scores, targets, extra)
    if example_weights is None:
        example_weights = jnp.ones(rows.shape[0], rows.dtype)
    else:
        by_row = example_weights.reshape((1,) * (values.ndim - 1) + (-1,))
        # An excluded example stays excluded even if its value is infinite.
        values = jnp.where(by_row == 0, 0, values * by_row)
        gradients = jnp.where(by_row == 0, 0, gradients * by_row)
    (of_values, of_weights, of_bias, weight), parts = part_sums.add(
        sums[:4], values, gradients, rows, example_weights
    )
    after = RowSums(
        of_values,
        of_weights,
        of_bias,
        weight,
        rows=sums.rows + rows.shape[0],
        parts=sums.parts + parts,
        bias_curvature=sums.bias_curvature,
    )
    return after, outputs
