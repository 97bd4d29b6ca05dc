"""Certified fits on rows that do not fit into memory.

The method of `jaxlin.solvers.certified`, with a host loop over blocks for each pass.
Whatever the number of rows, the device holds one block and the state of one model, and
before the first pass the sampled rows. The host holds one norm per example, in the
first pass the sampled rows (the larger of twice the width and 4,096), and for a hinge
its duals (two arrays of ``(examples, classes)`` floats).

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
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import linear
from jaxlin.certificates import fenchel_young
from jaxlin.normalization import Normalization
from jaxlin.normalization.rounding import (
    check_rounding,
    has_weight,
    without_overflow,
)
from jaxlin.objective import row_blocks, row_norms, row_sums
from jaxlin.objective.row_blocks import Block
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import class_hessian, fit_checks, preconditioner
from jaxlin.solvers.full_batch import RowSource
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
    """

    norms: np.ndarray
    sample: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    example_weights: np.ndarray | None


class RowStatistics(NamedTuple):
    """Statistics of the rows for all passes, from `row_statistics`.

    Attributes:
      norms: Euclidean norms of all normalised rows with the constant 1, shape
        ``(examples,)``, on the host.
      sample: indices of the rows in ``sampled``.
      sampled: sampled rows on the device, without dual centers.
      moment: second moment of the rows.
    """

    norms: np.ndarray
    sample: np.ndarray
    sampled: class_hessian.SampledRows
    moment: preconditioner.SecondMoment


def row_statistics(
    blocks: Iterable[Block],
    *,
    num_classes: int,
    normalization: Normalization | None = None,
    rank: int = preconditioner.RANK,
) -> RowStatistics:
    """Checks all blocks and computes their norms, sample and second moment.

    Args:
      blocks: an iterable that gives the same blocks each time it is iterated.
      num_classes: number of classes, at least 2.
      normalization: applied to each row, or None.
      rank: directions of the second moment kept where rows are wide.

    Raises:
      ValueError: that names the block, the rule and the value.
    """
    found = survey(blocks, num_classes=num_classes, normalization=normalization)
    fit_checks.check_norms(found.norms)
    rows = row_sums.extended_rows(jnp.asarray(found.rows), normalization, np.float32)
    moment = _second_moment(jax.random.key(0), rows, rank=rank)
    weights = found.example_weights
    sampled = class_hessian.SampledRows(
        rows[: preconditioner.num_kept(len(rows))],
        jnp.asarray(found.targets),
        None if weights is None else jnp.asarray(weights),
        jnp.zeros(0),
    )
    return RowStatistics(found.norms, found.sample, sampled, moment)


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
    )


def _one_pass(
    candidate, dual_centers, smoothing, arguments, *, blocks, norms, loss, normalization
) -> tuple[RowSums, np.ndarray]:
    """Sums over all blocks, and the duals of all examples."""
    params = linear.unfold_bias(candidate)
    sums = _no_rows(params, (fenchel_young.NUM_VALUES,))
    shared = _term_arguments(params, smoothing, arguments)
    all_duals = np.zeros_like(dual_centers)
    first = 0
    for given in blocks:
        block = row_blocks.as_arrays(given)
        block = block._replace(
            features=without_overflow(
                block.features, block.example_weights, normalization
            )
        )
        rows = slice(first, first + len(block.targets))
        if rows.stop > len(norms):
            raise ValueError(
                f"blocks must give the same rows each time, got more than {len(norms)} "
                "rows this time"
            )
        examples = fenchel_young.PerExample(dual_centers[rows], norms[rows])
        sums, duals = _add_block(
            sums, params, block, examples, shared, normalization, loss=loss
        )
        # This read waits for the block, so that only one block is on the device.
        all_duals[rows] = np.asarray(duals)
        first = rows.stop
    if first != len(norms):
        raise ValueError(
            f"blocks must give the same rows each time, got {first} rows after "
            f"{len(norms)}"
        )
    return sums, all_duals


@functools.partial(jax.jit, static_argnames=("loss",))
def _add_block(
    sums, params, block, examples, shared, normalization, *, loss
) -> tuple[RowSums, Array]:
    weights = block.example_weights
    return row_sums.over_rows(
        params,
        jnp.asarray(block.features),
        jnp.asarray(block.targets),
        examples,
        example_function=fenchel_young.example_function(loss),
        shared=shared,
        example_weights=None if weights is None else jnp.asarray(weights),
        normalization=normalization,
        sums=sums,
    )


@jax.jit
def _norms(features, normalization):
    return row_norms.norms(features, normalization=normalization)


_term_arguments = jax.jit(fenchel_young.term_arguments)
_no_rows = jax.jit(row_sums.zeros, static_argnames=("values",))
_second_moment = jax.jit(preconditioner.second_moment, static_argnames=("rank",))
