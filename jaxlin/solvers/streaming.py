"""Certified fits on rows that do not fit into memory.

The method of `jaxlin.solvers.certified`, with the pass over the rows made by a host
loop over blocks: on the device are one block and the state of one model, and before the
first evaluation the sampled rows, whatever the number of rows. The host keeps a norm an
example, for the first pass the sampled rows (twice the width or 4,096 of them) and, for
a hinge, its duals (two arrays of ``(examples, classes)`` floats).

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
from jaxlin.solvers import fit_loop, optimizer, optimizer_state, preconditioner
from jaxlin.solvers.fit_loop import Iteration, Iterations, Start
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Array, Loss


class Survey(NamedTuple):
    """What a first pass over the blocks finds out.

    Attributes:
      norms: of all rows with their constant 1, shape ``(examples,)``.
      sample: numbers of sampled rows, shape ``(sampled,)``.
      rows: sampled raw rows, in random order.
      targets: of the sampled rows.
      example_weights: of the sampled rows, or None.
    """

    norms: np.ndarray
    sample: np.ndarray
    rows: np.ndarray
    targets: np.ndarray
    example_weights: np.ndarray | None


class RowStatistics(NamedTuple):
    """What all passes need to know of the rows, from a first one.

    Attributes:
      norms: of all rows with their constant 1, shape ``(examples,)``.
      sample: numbers of the rows in ``sampled``.
      sampled: on the device, without dual_centers.
      moment: second moment of the rows.
    """

    norms: np.ndarray
    sample: np.ndarray
    sampled: preconditioner.Sampled
    moment: preconditioner.SecondMoment


def measured(
    blocks: Iterable[Block],
    *,
    num_classes: int,
    normalization: Normalization | None = None,
    rank: int = preconditioner.RANK,
) -> RowStatistics:
    """Checks all blocks and measures their rows, in one pass.

    Args:
      blocks: can be iterated many times, always with the same blocks.
      num_classes: C, at least 2.
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
    sampled = preconditioner.Sampled(
        rows[: preconditioner.SAMPLE_ROWS],
        jnp.asarray(found.targets),
        None if weights is None else jnp.asarray(weights),
        jnp.zeros(0),
    )
    return RowStatistics(found.norms, found.sample, sampled, moment)


def iterations(
    blocks: Iterable[Block],
    known: RowStatistics,
    *,
    loss: Loss,
    settings: Settings,
    normalization: Normalization | None = None,
) -> Iterations:
    """Iterations of a fit, each a pass over all blocks, for `fit_loop.certify`.

    Args:
      blocks: checked; of one size they compile once, a last one of another size a
        second time.
      known: from `measured`.
      loss: one of the six losses that have a conjugate.
      settings: l2 and loss arguments.
      normalization: applied to each row, or None.
    """

    def turns_from(start: Start, budget: int) -> Iterator[Iteration]:
        dtype = start.params.weights.dtype
        cast = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), settings)
        state = optimizer_state.start(loss, start.params, cast, num_examples=0)
        width = 0 if conjugates.of(loss).smooth else len(start.params.bias)
        dual_centers = np.zeros((len(known.norms), width), dtype)
        if start.duals is not None and (
            start.duals.dual_centers.shape == dual_centers.shape
        ):
            dual_centers[:] = start.duals.dual_centers
            # The state itself holds none.
            nothing = start.duals._replace(dual_centers=state.dual_centers)
            state = optimizer_state.resumed(state, nothing)
        following = np.zeros_like(dual_centers)
        for _ in range(budget):
            sums = _one_pass(
                blocks,
                loss,
                state,
                known.norms,
                dual_centers,
                following,
                cast,
                normalization,
            )
            sampled = known.sampled._replace(
                dual_centers=jnp.asarray(dual_centers[known.sample])
            )
            state, info = _advance(state, sums, sampled, known.moment, cast, loss=loss)
            if state.is_round:
                dual_centers, following = following, dual_centers
            duals = optimizer_state.Duals(dual_centers, state.smoothing)
            yield Iteration(state.params, duals, info)

    return turns_from


def survey(
    blocks: Iterable[Block],
    *,
    num_classes: int,
    normalization: Normalization | None = None,
) -> Survey:
    """Checks all blocks, measures their rows and samples some, in one pass.

    The sample is as random as that of `jaxlin.solvers.certified.prepare`: each row
    that has weight draws a number and those with the smallest are kept, however many
    there are.
    """
    generator = np.random.default_rng(0)
    norms: list[np.ndarray] = []
    kept: Any = None
    seen = counted = 0
    for number, block in enumerate(row_blocks.checked(blocks, num_classes=num_classes)):
        features, targets, weights = block
        if normalization is not None:
            name = f"blocks[{number}].features"
            check_rounding(name, features, normalization, example_weights=weights)
        features = without_overflow(features, weights, normalization)
        norms.append(np.asarray(_norms(features, normalization)))
        count, width = features.shape
        mine = (
            np.arange(count) if weights is None else np.flatnonzero(has_weight(weights))
        )
        new: Any = (
            generator.random(len(mine)),
            seen + mine,
            features[mine],
            targets[mine],
            None if weights is None else weights[mine],
        )
        seen += count
        counted += len(mine)
        if kept is not None:
            new = tuple(
                None if old is None else np.concatenate([old, more])
                for old, more in zip(kept, new, strict=True)
            )
        order = np.argsort(new[0])[: preconditioner.sample_size(counted, width)]
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
    blocks, loss, state, norms, dual_centers, following, settings, normalization
) -> RowSums:
    """Sums over all blocks; what they say of the duals goes to ``following``."""
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
        sums, parameters = _add_block(
            sums, params, block, examples, state, settings, normalization, loss=loss
        )
        # Reading waits for the block, so that one block is on the device, not all.
        following[rows] = np.asarray(parameters)
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
