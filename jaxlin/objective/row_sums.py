r"""One pass over the rows: values and gradients summed while each row is read once.

Everything that a full-batch method wants from the data has one shape: weighted sums of
some numbers of each example, and of the products :math:`u_i x_i^\top` that its scores'
gradient makes with its row. `over_rows` takes them in one pass: a block of rows is
converted and normalised, its scores are one matrix product, a function of one example
(the `example_function`) turns them into values and a score gradient, and a second
product adds the block to the sums while it is still in the cache. No more than a block
is copied as floats.

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

Rows that do not fit into memory are added by several calls, each with some of them and
the sums of the calls before. Under a mesh with an axis
`jaxlin.numerics.device_mesh.ROWS` each of its devices makes the pass over its own rows,
and the sums are added.

Sums over parts of at most 512 rows are plain, those over parts compensated
(`jaxlin.numerics.compensated`). Products run at full float32 precision on every device,
where accelerators default to less.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxlin import check
from jaxlin.linear import Params
from jaxlin.normalization import Normalization, normalize
from jaxlin.numerics import compensated, device_mesh
from jaxlin.numerics.compensated import Compensated
from jaxlin.typing import Array, PyTree

# ``(shared, scores, target, extra) -> (values (K,), score gradient (C,), output)``; of
# several models at once all but the target with their leading axes.
ExampleFunction = Callable[[Any, Array, Any, Any], tuple[Array, Array, PyTree]]

# Numbers in a block of float rows. 6 MB in float32 stay in the cache between the two
# products, and a product of that size still keeps all cores busy: measured on CIFAR-10,
# where 250 to 1,000 rows are equally fast and 2,000 take twice as long.
_BLOCK_NUMBERS = 1_500_000
# For accelerators, which want few and large products, with all that is made of a block:
# a pass of one softmax model over 50,000 x 768 floats takes .67 ms on an NVIDIA H200 in
# one block, 3.3 ms in blocks of 488 rows.
_BLOCK_NUMBERS_OF_ACCELERATORS = 2**26
# Sums over the rows of a part of a block are not compensated, so there must not be
# many: of 1,024 equal rows the sum was off by up to 44 units of roundoff, of 512 by 20,
# of 256 by 11.
_MAX_ROWS = 512


class RowSums(NamedTuple):
    """Weighted sums over rows.

    Attributes:
      values: of the example function's values, shape ``(K,)``.
      weights: of u x^T, shape ``(classes, features)``.
      bias: of u, shape ``(classes,)``.
      weight: of the example weights, shape ``()``.
      rows: how many there were, shape ``()``.
      parts: that they were summed in, each without compensation, shape ``()``.
    """

    values: Compensated
    weights: Compensated
    bias: Compensated
    weight: Compensated
    rows: Array
    parts: Array


def zeros(params: Params, values: tuple[int, ...]) -> RowSums:
    """Sums over no rows, for parameters and values of these shapes."""
    dtype = params.weights.dtype
    none = jnp.zeros((), dtype)
    empty = (jnp.zeros(values, dtype), *map(jnp.zeros_like, params), none)
    of_values, of_weights, of_bias, weight = (Compensated(zero, zero) for zero in empty)
    return RowSums(of_values, of_weights, of_bias, weight, rows=none, parts=none)


def block_rows(num_rows: int, num_features: int, *, num_scores: int = 1) -> int:
    """Rows a block if none are asked for: those that stay in the cache as floats.

    On accelerators, whose products are fast where they are large, those that fit into
    256 MB with all that is made of them. A pass under `jax.vmap` holds as much again
    for each of what is mapped.
    """
    if device_mesh.on_accelerator():
        of_row = num_features + 8 * num_scores + num_features * num_scores // _MAX_ROWS
        most = max(1, _BLOCK_NUMBERS_OF_ACCELERATORS // of_row)
        return -(-num_rows // -(-num_rows // most))
    # Of each score there are several more numbers. But sums that are too large for the
    # cache are read and written once a block, so that blocks must be long: for 128
    # models of CIFAR-10 488 rows are at 80 % of the matrix rate, 146 at 63 %.
    are_cached = num_features * num_scores <= _BLOCK_NUMBERS
    numbers = max(num_features, (8 if are_cached else 1) * num_scores)
    return max(1, min(num_rows, _MAX_ROWS, max(32, _BLOCK_NUMBERS // numbers)))


def merged(first: RowSums, second: RowSums) -> RowSums:
    """Sums over the rows of both."""
    return RowSums(
        values=compensated.merge(first.values, second.values),
        weights=compensated.merge(first.weights, second.weights),
        bias=compensated.merge(first.bias, second.bias),
        weight=compensated.merge(first.weight, second.weight),
        rows=first.rows + second.rows,
        parts=first.parts + second.parts,
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
) -> tuple[RowSums, PyTree]:
    """Sums over all rows in one pass, in blocks; for use inside a compiled program.

    Args:
      params: parameters, in the dtype of the computation. Of several models, with
        leading axes ``(..., classes, features)``, the scores are one wide product; so
        have the scores that the example function is given, and its gradients and
        values.
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      targets: labels or distributions, one an example.
      extra: a tree of arrays with one entry an example, handed to the example function;
        ``()`` if it needs none.
      example_function: ``(shared, scores, target, extra) -> (values, gradient,
        output)`` of one
        example: values ``(K,)``, gradient in the scores ``(classes,)``, any output.
      shared: traced arguments of the example function that all examples share.
      example_weights: shape ``(examples,)``; None is all ones.
      normalization: applied to each row, or None.
      block_size: rows a block; None chooses it from the shape and the kind of machine.
        The sums depend on it only by rounding.
      sums: of other rows, to add to; None begins.

    Returns:
      ``(sums, outputs)``, the outputs of the example function with one entry an
      example.

    Raises:
      ValueError: if ``block_size`` is below 1.
    """
    num_shards = device_mesh.num_shards(features.shape[0])
    given = (params, features, targets, extra, shared, example_weights, normalization)

    if num_shards == 1:
        return _over_rows(
            *given, example_function=example_function, block_size=block_size, sums=sums
        )

    def of_shard(*given: Any) -> tuple[RowSums, PyTree]:
        found, outputs = _over_rows(
            *given, example_function=example_function, block_size=block_size, sums=None
        )
        # Added in their order and compensated, where a plain sum over devices would
        # lose digits that no bound knows of.
        return jax.lax.all_gather(found, device_mesh.ROWS), outputs

    by_row, whole = PartitionSpec(device_mesh.ROWS), PartitionSpec()
    parts, outputs = jax.shard_map(
        of_shard,
        in_specs=(whole, by_row, by_row, by_row, whole, by_row, whole),
        out_specs=(whole, by_row),
        axis_names={device_mesh.ROWS},
        check_vma=False,
    )(*given)
    by_shard = [
        jax.tree.map(lambda leaf, i=i: leaf[i], parts) for i in range(num_shards)
    ]
    if sums is not None:
        by_shard.insert(0, sums)
    return functools.reduce(merged, by_shard), outputs


def _over_rows(
    params: Params,
    features: Array,
    targets: Array,
    extra: PyTree,
    shared: PyTree,
    example_weights: Array | None,
    normalization: Normalization | None,
    *,
    example_function: ExampleFunction,
    block_size: int | None,
    sums: RowSums | None,
) -> tuple[RowSums, PyTree]:
    """`over_rows` on one device."""
    num_rows, num_features = features.shape
    if block_size is None:
        num_scores = params.bias.size
        block_size = block_rows(num_rows, num_features, num_scores=num_scores)
    check.integer("block_size", block_size, at_least=1)
    block_size = min(block_size, num_rows)
    if example_weights is not None:
        example_weights = example_weights.astype(params.weights.dtype)
    by_row = (features, targets, extra, example_weights)

    def add(sums: RowSums, start: Array | int, length: int) -> tuple[RowSums, PyTree]:
        # A slice of the rows where they are: a reshape into blocks would copy them all
        # if the last block is not full.
        rows, answers, more, weights = jax.tree.map(
            lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, length), by_row
        )
        return _add_block(
            sums,
            params,
            rows,
            answers,
            more,
            example_function=example_function,
            shared=shared,
            example_weights=weights,
            normalization=normalization,
        )

    # A last block that overlaps the one before, its old rows masked, would compile in
    # .25 s less, but masks made a pass over CIFAR-10 4 ms of 61 slower.
    full, rest = divmod(num_rows, block_size)
    if sums is None:
        one_row = jax.tree.map(lambda leaf: leaf[0], by_row[1:3])
        values, *_ = jax.eval_shape(example_function, shared, params.bias, *one_row)
        before = zeros(params, values.shape)
    else:
        before = sums
    after, outputs = jax.lax.scan(
        lambda sums, start: add(sums, start, block_size),
        before,
        block_size * jnp.arange(full),
    )
    outputs = jax.tree.map(
        lambda leaf: leaf.reshape(full * block_size, *leaf.shape[2:]), outputs
    )
    if rest:
        after, last = add(after, full * block_size, rest)
        outputs = jax.tree.map(lambda *parts: jnp.concatenate(parts), outputs, last)
    return after, outputs


def norms(
    features: Array,
    *,
    normalization: Normalization | None = None,
    block_size: int | None = None,
) -> Array:
    """Norms of the normalised rows with their constant 1, shape ``(examples,)``."""
    if device_mesh.num_shards(features.shape[0]) == 1:
        return _norms(features, normalization, block_size=block_size)
    by_row = PartitionSpec(device_mesh.ROWS)
    return jax.shard_map(
        functools.partial(_norms, block_size=block_size),
        in_specs=(by_row, PartitionSpec()),
        out_specs=by_row,
        axis_names={device_mesh.ROWS},
        check_vma=False,
    )(features, normalization)


def _norms(
    features: Array, normalization: Normalization | None, *, block_size: int | None
) -> Array:
    if block_size is None:
        block_size = block_rows(*features.shape)
    check.integer("block_size", block_size, at_least=1)
    size = min(block_size, features.shape[0])

    def of_block(start: Array | int, length: int) -> Array:
        rows = jax.lax.dynamic_slice_in_dim(features, start, length)
        if normalization is not None:
            rows = jax.vmap(normalize, in_axes=(None, 0))(normalization, rows)
        rows = jnp.asarray(rows, jnp.promote_types(rows.dtype, jnp.float32))
        return jnp.sqrt(1 + jnp.sum(jnp.square(rows), axis=1))

    full, rest = divmod(features.shape[0], size)
    found = jax.lax.map(lambda block: of_block(block * size, size), jnp.arange(full))
    last = [of_block(full * size, rest)] if rest else []
    return jnp.concatenate([found.reshape(-1), *last])


def _add_block(
    sums: RowSums,
    params: Params,
    features: Array,
    targets: Array,
    extra: PyTree,
    *,
    example_function: ExampleFunction,
    shared: PyTree,
    example_weights: Array | None,
    normalization: Normalization | None,
) -> tuple[RowSums, PyTree]:
    """Adds rows that are normalised at once; arguments as of `over_rows`."""
    weights, bias = params
    if normalization is not None:
        # Never in fewer digits than its own.
        mean, scale = (
            part.astype(jnp.promote_types(part.dtype, weights.dtype))
            for part in map(jnp.asarray, normalization)
        )
        normalization = Normalization(mean, scale)
        features = jax.vmap(normalize, in_axes=(None, 0))(normalization, features)
    rows = features.astype(weights.dtype)
    # Classes come first: so sums over the few classes of an example are made for many
    # examples at once.
    scores = _product(weights, rows.T) + bias[..., None]
    values, gradients, outputs = jax.vmap(
        example_function, in_axes=(None, -1, 0, 0), out_axes=(-1, -1, 0)
    )(shared, scores, targets, extra)
    if example_weights is None:
        example_weights = jnp.ones(rows.shape[0], weights.dtype)
    else:
        by_row = example_weights.reshape((1,) * (values.ndim - 1) + (-1,))
        # An example that is taken out stays out even if its value is infinite.
        values = jnp.where(by_row == 0, 0, values * by_row)
        gradients = jnp.where(by_row == 0, 0, gradients * by_row)
    return _add_parts(sums, values, gradients, rows, example_weights), outputs


def _add_parts(
    sums: RowSums, values: Array, gradients: Array, rows: Array, example_weights: Array
) -> RowSums:
    """Adds what is known of the rows of a block, in parts that are not too long."""

    def of_part(
        values: Array, gradients: Array, rows: Array, example_weights: Array
    ) -> tuple[Array, ...]:
        return (
            jnp.sum(values, axis=-1),
            _product(gradients, rows),
            jnp.sum(gradients, axis=-1),
            jnp.sum(example_weights),
        )

    num_rows = rows.shape[0]
    length = -(-num_rows // -(-num_rows // _MAX_ROWS))
    whole, rest = divmod(num_rows, length)
    # Examples are the last axis, of the rows the first.
    by_row, axes = (values, gradients, rows, example_weights), (-1, -1, 0, -1)

    def sliced(start: int, stop: int) -> list[Array]:
        return [
            jax.lax.slice_in_dim(leaf, start, stop, axis=axis)
            for leaf, axis in zip(by_row, axes, strict=True)
        ]

    so_far: tuple[Compensated, ...] = sums[:4]
    if whole > 1:
        values, gradients, rows, example_weights = sliced(0, whole * length)
        found = jax.vmap(of_part, in_axes=(-2, -2, 0, -2))(
            values.reshape(*values.shape[:-1], whole, length),
            gradients.reshape(*gradients.shape[:-1], whole, length),
            rows.reshape(whole, length, -1),
            example_weights.reshape(whole, length),
        )
        so_far = tuple(map(compensated.merge, so_far, map(compensated.sum_of, found)))
    else:
        so_far = tuple(map(compensated.add, so_far, of_part(*sliced(0, length))))
    if rest:
        so_far = tuple(
            map(compensated.add, so_far, of_part(*sliced(whole * length, num_rows)))
        )
    of_values, of_weights, of_bias, weight = so_far
    return RowSums(
        of_values,
        of_weights,
        of_bias,
        weight,
        rows=sums.rows + num_rows,
        parts=sums.parts + whole + (rest > 0),
    )


def _product(left: Array, right: Array) -> Array:
    return jnp.tensordot(left, right, axes=1, precision=jax.lax.Precision.HIGHEST)
