"""Certified fits on rows that do not fit into memory.

The method of `jaxlin.solvers.certified`, with a host loop over blocks for each pass.
Whatever the number of rows, the device holds one block and the state of one model, and
before the first pass the sampled rows. The host holds one norm per example, in the
first pass the sampled rows (the larger of twice the width and 4,096), and for a hinge
its duals (two arrays of ``(examples, classes)`` floats). A free bias needs the scores
of all examples on the device, another such array, and reads the blocks twice per pass.

  >>> import numpy as np
  >>> import jaxlin
  >>> from jaxlin import losses
  >>> from jaxlin.objective import row_blocks
  >>> generator = np.random.default_rng(0)
  >>> rows = generator.normal(size=(300, 5)).astype(np.float32)
  >>> labels = (rows[:, 0] > 0).astype(np.int32)
  >>> blocks = row_blocks.over(rows, labels, block_size=128)  # rows may be a memory map
  >>> fit = jaxlin.fit(blocks, loss=losses.softmax_cross_entropy, l2=1e-2)
  >>> fit.converged
  True
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import linear
from jaxlin.certificates import bias_search, fenchel_young
from jaxlin.certificates.bias_bounds import RowCenter
from jaxlin.certificates.bias_search import BiasData
from jaxlin.linear import Bias
from jaxlin.normalization import Normalization
from jaxlin.normalization.rounding import (
    check_rounding,
    has_weight,
    without_overflow,
)
from jaxlin.objective import row_blocks, row_norms, row_products, row_sums
from jaxlin.objective.row_blocks import Block
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import class_hessian, fit_checks, preconditioner
from jaxlin.solvers.full_batch import Evaluation, RowSource
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Array, Loss


class Survey(NamedTuple):
    """Norms and sampled rows from a first pass over the blocks.

    Only ``rows`` holds the whole sample; the others are cut to the rows that are kept
    for the Hessian of the loss (`jaxlin.solvers.preconditioner.num_kept`).

    Attributes:
      norms: Euclidean norms of all normalised rows with the constant 1, shape
        ``(examples,)``.
      sample: indices of sampled rows, shape ``(sampled,)``.
      rows: sampled raw rows, in random order.
      targets: targets of the rows in ``sample``.
      example_weights: weights of the rows in ``sample``, or None.
      class_weights: total weights of the classes, shape ``(classes,)``.
    """

    norms: np.ndarray
    sample: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    example_weights: np.ndarray | None
    class_weights: np.ndarray


class RowStatistics(NamedTuple):
    """Statistics of the rows for all passes, from `row_statistics`.

    Attributes:
      norms: Euclidean norms of all normalised rows with the constant 1, shape
        ``(examples,)``, on the host.
      sample: indices of the rows in ``sampled``.
      sampled: sampled rows on the device, without dual centers.
      moment: second moment of the rows.
      class_weights: total weights of the classes, shape ``(classes,)``.
    """

    norms: np.ndarray
    sample: np.ndarray
    sampled: class_hessian.SampledRows
    moment: preconditioner.SecondMoment
    class_weights: np.ndarray


def row_statistics(
    blocks: Iterable[Block],
    *,
    num_classes: int,
    normalization: Normalization | None = None,
    rank: int = preconditioner.RANK,
    bias: Bias = Bias.PENALIZED,
) -> RowStatistics:
    """Checks all blocks and computes their norms, sample and second moment.

    Args:
      blocks: an iterable that gives the same blocks each time it is iterated.
      num_classes: number of classes, at least 2.
      normalization: applied to each row, or None.
      rank: directions of the second moment kept where rows are wide.
      bias: treatment of the bias.

    Raises:
      ValueError: that names the block, the rule and the value.
    """
    found = survey(blocks, num_classes=num_classes, normalization=normalization)
    fit_checks.check_norms(found.norms)
    rows = row_products.extended_rows(
        jnp.asarray(found.rows), normalization, np.float32
    )
    moment = _second_moment(jax.random.key(0), rows, rank=rank, bias=bias)
    if moment.center is not None:
        mean = moment.center.mean
        # By the triangle inequality; a norm counts the constant 1, too.
        radius = jnp.max(found.norms) + jnp.linalg.norm(mean)
        moment = moment._replace(center=RowCenter(mean, radius))
    weights = found.example_weights
    sampled = class_hessian.SampledRows(
        rows[: preconditioner.num_kept(len(rows))],
        jnp.asarray(found.targets),
        None if weights is None else jnp.asarray(weights),
        jnp.zeros(0),
    )
    return RowStatistics(
        found.norms, found.sample, sampled, moment, found.class_weights
    )


def row_source(
    blocks: Iterable[Block],
    statistics: RowStatistics,
    *,
    loss: Loss,
    normalization: Normalization | None = None,
) -> RowSource:
    """Rows in blocks, for the passes of one fit.

    Args:
      blocks: checked blocks. Blocks of one size compile once, a last one of another
        size a second time.
      statistics: statistics of the rows (`row_statistics`).
      loss: one of the six losses that have a conjugate.
      normalization: applied to each row, or None.
    """
    num_examples = len(statistics.norms)

    def centers(values: Any, width: int, dtype: Any) -> np.ndarray:
        if values is None:
            return np.zeros((num_examples, width), dtype)
        return np.array(values, dtype)

    def sampled(dual_centers: np.ndarray) -> class_hessian.SampledRows:
        return statistics.sampled._replace(
            dual_centers=jnp.asarray(dual_centers[statistics.sample])
        )

    return RowSource(
        num_examples,
        evaluate=functools.partial(
            _one_pass,
            blocks=blocks,
            norms=statistics.norms,
            loss=loss,
            normalization=normalization,
        ),
        centers=centers,
        sampled=sampled,
        moment=statistics.moment,
    )


def survey(
    blocks: Iterable[Block],
    *,
    num_classes: int,
    normalization: Normalization | None = None,
) -> Survey:
    """Checks all blocks, computes row norms and samples rows, in one pass.

    The sample is uniform, like that of `jaxlin.solvers.certified.prepare`: each row
    with weight draws a random number, and the rows with the smallest numbers are kept.

    Args:
      blocks: an iterable of blocks.
      num_classes: number of classes, at least 2.
      normalization: applied to each row, or None.

    Raises:
      ValueError: that names the block, the rule and the value.
    """
    generator = np.random.default_rng(0)
    norms: list[np.ndarray] = []
    kept: Any = None
    of_classes = np.zeros(num_classes)
    seen = num_weighted = 0
    for number, block in enumerate(
        row_blocks.check_blocks(blocks, num_classes=num_classes)
    ):
        features, targets, weights = block
        name = f"blocks[{number}].features"
        check_rounding(name, features, normalization, example_weights=weights)
        features = without_overflow(features, weights, normalization)
        norms.append(np.asarray(_norms(features, normalization)))
        count, width = features.shape
        own = np.ones(count) if weights is None else weights
        of_classes += row_blocks.class_weights(targets, own, num_classes=num_classes)
        weighted = (
            np.arange(count) if weights is None else np.flatnonzero(has_weight(weights))
        )
        new: Any = (
            generator.random(len(weighted)),
            seen + weighted,
            features[weighted],
            targets[weighted],
            None if weights is None else weights[weighted],
        )
        seen += count
        num_weighted += len(weighted)
        if kept is not None:
            new = tuple(
                None if old is None else np.concatenate([old, more])
                for old, more in zip(kept, new, strict=True)
            )
        order = np.argsort(new[0])[: preconditioner.sample_size(num_weighted, width)]
        kept = tuple(None if leaf is None else leaf[order] for leaf in new)
    _, sample, rows, targets, weights = kept
    size = preconditioner.num_kept(len(rows))
    return Survey(
        np.concatenate(norms),
        sample[:size],
        rows,
        targets[:size],
        None if weights is None else weights[:size],
        of_classes,
    )


def _one_pass(
    candidate: Array,
    dual_centers: np.ndarray,
    smoothing: Array,
    settings: Settings,
    *,
    search_bias: bool = True,
    blocks: Iterable[Block],
    norms: np.ndarray,
    loss: Loss,
    normalization: Normalization | None,
) -> Evaluation:
    """A certified pass over all blocks."""
    params, products = linear.unfold_bias(candidate), None
    curvature = None
    each = functools.partial(_each_block, blocks, len(norms), normalization)
    if settings.bias is Bias.FREE and search_bias:
        data = _bias_data(
            params.weights, dual_centers, smoothing, settings, normalization, each()
        )
        products = data.products
        bias, curvature = bias_search.compiled_minimising_bias(
            params.bias, data, loss=loss
        )
        params = params._replace(bias=bias)
    count = fenchel_young.num_values(num_classes=len(params.bias), bias=settings.bias)
    sums = _no_rows(params, (count,))
    shared = _term_arguments(params, smoothing, settings.loss_arguments)
    duals = np.zeros_like(dual_centers)
    for rows, block in each():
        of_rows: tuple[Any, Any] = dual_centers[rows], norms[rows]
        sums, of_block = _add_block(
            sums,
            params,
            block,
            fenchel_young.PerExample(*of_rows),
            shared,
            normalization,
            None if products is None else products[:, rows],
            loss=loss,
            bias=settings.bias,
        )
        # This read waits for the block, so that only one block is on the device.
        duals[rows] = np.asarray(of_block)
    if curvature is not None:
        sums = sums._replace(bias_curvature=curvature)
    return Evaluation(_fold_bias(params), sums, duals)


def _each_block(
    blocks: Iterable[Block], num_examples: int, normalization: Normalization | None
) -> Iterator[tuple[slice, Block]]:
    """Blocks with the indices of their rows; a ValueError if their number changes."""
    first = 0
    for block in row_blocks.each_as_arrays(blocks):
        features = without_overflow(
            block.features, block.example_weights, normalization
        )
        rows = slice(first, first + len(block.targets))
        if rows.stop > num_examples:
            raise ValueError(
                "blocks must give the same rows each time, got more than "
                f"{num_examples} rows this time"
            )
        yield rows, block._replace(features=features)
        first = rows.stop
    if first != num_examples:
        raise ValueError(
            f"blocks must give the same rows each time, got {first} rows after "
            f"{num_examples}"
        )


def _bias_data(
    weights: Array,
    dual_centers: np.ndarray,
    smoothing: Array,
    settings: Settings,
    normalization: Normalization | None,
    blocks: Iterable[tuple[slice, Block]],
) -> BiasData:
    """Scores without the bias, targets and weights of all examples, on the host."""
    num_examples = len(dual_centers)
    products = np.zeros((len(weights), num_examples), weights.dtype)
    targets, example_weights = [], []
    for rows, block in blocks:
        products[:, rows] = _score_products(
            weights, jnp.asarray(block.features), normalization
        )
        targets.append(block.targets)
        if block.example_weights is not None:
            example_weights.append(block.example_weights)
    return BiasData(
        products,
        np.concatenate(targets),
        dual_centers,
        np.concatenate(example_weights) if example_weights else None,
        smoothing,
        dict(settings.loss_arguments or {}),
    )


@functools.partial(jax.jit, static_argnames=("loss", "bias"))
def _add_block(
    sums, params, block, examples, shared, normalization, products, *, loss, bias
) -> tuple[RowSums, Array]:
    weights = block.example_weights
    return row_sums.over_rows(
        params,
        jnp.asarray(block.features),
        jnp.asarray(block.targets),
        examples,
        example_function=fenchel_young.example_function(loss, bias=bias),
        shared=shared,
        example_weights=None if weights is None else jnp.asarray(weights),
        normalization=normalization,
        sums=sums,
        products=products,
    )


@jax.jit
def _score_products(weights, features, normalization):
    return row_products.score_products(weights, features, normalization=normalization)


@functools.partial(jax.jit, static_argnames=("rank", "bias"))
def _second_moment(key, rows, *, rank, bias):
    is_in = jnp.ones((rows.shape[0], 1), bool)
    rows, mean = preconditioner.centered_rows(rows, is_in, bias=bias)
    moment = preconditioner.second_moment(key, rows, rank=rank)
    if mean is None:
        return moment
    return moment._replace(center=RowCenter(mean, jnp.zeros(())))


@jax.jit
def _norms(features, normalization):
    return row_norms.norms(features, normalization=normalization)


_term_arguments = jax.jit(fenchel_young.term_arguments)
_no_rows = jax.jit(row_sums.zeros, static_argnames=("values",))
_fold_bias = jax.jit(linear.fold_bias)
