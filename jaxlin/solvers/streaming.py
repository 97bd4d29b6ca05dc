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
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import linear
from jaxlin.certificates import fenchel_young
from jaxlin.losses import conjugates
from jaxlin.normalization import (
    Normalization,
    check_rounding,
    has_weight,
    without_overflow,
)
from jaxlin.objective import row_blocks, row_norms, row_sums
from jaxlin.objective.row_blocks import Block
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import (
    class_hessian,
    fit_loop,
    optimizer,
    optimizer_state,
    preconditioner,
)
from jaxlin.solvers.fit_loop import Iteration, Iterations, Start
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Array, Loss


class Survey(NamedTuple):
    """Norms and sampled rows from a first pass over the blocks.

    Only ``rows`` holds the whole sample; the others are cut to the rows that are kept
    for the Hessian of the loss (`jaxlin.solvers.preconditioner.SAMPLE_ROWS`).

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
    fit_loop.check_norms(found.norms)
    rows = preconditioner.extended_rows(jnp.asarray(found.rows), normalization)
    moment = _second_moment(jax.random.key(0), rows, rank=rank)
    weights = found.example_weights
    sampled = class_hessian.SampledRows(
        rows[: preconditioner.SAMPLE_ROWS],
        jnp.asarray(found.targets),
        None if weights is None else jnp.asarray(weights),
        jnp.zeros(0),
    )
    return RowStatistics(found.norms, found.sample, sampled, moment)


def iterations(
    blocks: Iterable[Block],
    statistics: RowStatistics,
    *,
    loss: Loss,
    settings: Settings,
    normalization: Normalization | None = None,
) -> Iterations:
    """Iterations of a fit, each a pass over all blocks, for `fit_loop.certify`.

    Args:
      blocks: checked blocks. Blocks of one size compile once, a last one of another
        size a second time.
      statistics: statistics of the rows (`row_statistics`).
      loss: one of the six losses that have a conjugate.
      settings: l2 and loss arguments; all else None.
      normalization: applied to each row, or None.
    """

    def iterations_from(start: Start, budget: int) -> Iterator[Iteration]:
        dtype = start.params.weights.dtype
        cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), settings)
        state = optimizer_state.start(loss, start.params, cast, num_examples=0)
        width = 0 if conjugates.of(loss).smooth else len(start.params.bias)
        dual_centers = np.zeros((len(statistics.norms), width), dtype)
        if start.duals is not None and (
            start.duals.dual_centers.shape == dual_centers.shape
        ):
            dual_centers[:] = start.duals.dual_centers
            # The state itself holds no dual centers.
            without_centers = start.duals._replace(dual_centers=state.dual_centers)
            state = optimizer_state.resumed(state, without_centers)
        next_duals = np.zeros_like(dual_centers)
        for _ in range(budget):
            sums = _one_pass(
                blocks,
                loss,
                state,
                statistics.norms,
                dual_centers,
                next_duals,
                cast,
                normalization,
            )
            sampled = statistics.sampled._replace(
                dual_centers=jnp.asarray(dual_centers[statistics.sample])
            )
            state, info = _advance(
                state, sums, sampled, statistics.moment, cast, loss=loss
            )
            if state.begins_round:
                dual_centers, next_duals = next_duals, dual_centers
            duals = optimizer_state.Duals(dual_centers, state.smoothing)
            yield Iteration(state.params, duals, info)

    return iterations_from


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
    for number, block in enumerate(row_blocks.checked(blocks, num_classes=num_classes)):
        features, targets, weights = block
        if normalization is not None:
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
    size = preconditioner.SAMPLE_ROWS
    return Survey(
        np.concatenate(norms),
        sample[:size],
        rows,
        targets[:size],
        None if weights is None else weights[:size],
    )


def _one_pass(
    blocks, loss, state, norms, dual_centers, next_duals, settings, normalization
) -> RowSums:
    """Sums over all blocks; ``next_duals`` gets the duals at the candidate."""
    params = linear.unfold_bias(state.candidate)
    sums = _no_rows(params, (fenchel_young.NUM_VALUES,))
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
            sums, params, block, examples, state, settings, normalization, loss=loss
        )
        # This read waits for the block, so that only one block is on the device.
        next_duals[rows] = np.asarray(duals)
        first = rows.stop
    if first != len(norms):
        raise ValueError(
            f"blocks must give the same rows each time, got {first} rows after "
            f"{len(norms)}"
        )
    return sums


@functools.partial(jax.jit, static_argnames=("loss",))
def _add_block(
    sums, params, block, examples, state, settings, normalization, *, loss
) -> tuple[RowSums, Array]:
    weights = block.example_weights
    return row_sums.over_rows(
        params,
        jnp.asarray(block.features),
        jnp.asarray(block.targets),
        examples,
        example_function=fenchel_young.example_function(loss),
        shared=optimizer.shared(state, settings),
        example_weights=None if weights is None else jnp.asarray(weights),
        normalization=normalization,
        sums=sums,
    )


@functools.partial(jax.jit, static_argnames=("loss",))
def _advance(state, sums, sampled, moment, settings, *, loss):
    return optimizer.advance(loss, state, sums, sampled, moment, settings)


@jax.jit
def _norms(features, normalization):
    return row_norms.norms(features, normalization=normalization)


_no_rows = jax.jit(row_sums.zeros, static_argnames=("values",))
_second_moment = jax.jit(preconditioner.second_moment, static_argnames=("rank",))
