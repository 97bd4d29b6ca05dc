"""Iterations of a certified fit by L-BFGS, over rows on the device or in blocks.

An iteration is a pass over a `RowSource` and one decision of
`jaxlin.solvers.optimizer`. The source is rows on the device
(`jaxlin.solvers.certified`) or blocks of rows (`jaxlin.solvers.streaming`). A sweep
makes the same decisions for many models at once (`jaxlin.solvers.model_batch`).

Pass and decision are two programs: the second does not depend on the number of rows,
and a new number of rows compiles the pass alone.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.losses import conjugates
from jaxlin.numerics import compilation, device_mesh
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import optimizer, optimizer_state
from jaxlin.solvers.class_hessian import SampledRows
from jaxlin.solvers.fit_loop import Iteration, Iterations, Start
from jaxlin.solvers.interface import Settings
from jaxlin.solvers.optimizer_state import Duals, OptimizerState
from jaxlin.solvers.preconditioner import SecondMoment
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array, Loss


class Evaluation(NamedTuple):
    """A pass over the rows.

    Attributes:
      candidate: folded weights of the pass, shape ``(classes, features + 1)``. A free
        bias is that of `jaxlin.certificates.bias_search`.
      sums: sums of `jaxlin.certificates.fenchel_young`.
      duals: duals of all examples, in the shape of the dual centers.
    """

    candidate: Array
    sums: RowSums
    duals: Array | np.ndarray


class RowSource(NamedTuple):
    """Rows as the passes of a fit read them.

    Attributes:
      num_examples: number of examples.
      evaluate: a pass, ``(candidate, dual_centers, smoothing, settings, *,
        search_bias=True) -> Evaluation``. Without a search a free bias stays as it is.
      centers: ``(values, width, dtype) -> dual centers``, shape ``(examples, width)``,
        where the passes need them; zeros for values None.
      sampled: ``dual_centers -> SampledRows`` for the Hessian of the loss.
      moment: second moment of the rows.
    """

    num_examples: int
    evaluate: Callable[..., Evaluation]
    centers: Callable[[Any, int, Any], Array | np.ndarray]
    sampled: Callable[[Any], SampledRows]
    moment: SecondMoment


def iterations(rows: RowSource, *, loss: Loss, settings: Settings) -> Iterations:
    """Iterations of a fit, each one pass, for `jaxlin.solvers.fit_loop.minimize`.

    Args:
      rows: `jaxlin.solvers.certified.row_source` or that of
        `jaxlin.solvers.streaming`.
      loss: one of the six losses that have a conjugate.
      settings: l2 and loss arguments; all else None.
    """

    def iterations_from(start: Start, stop: Stop) -> Iterator[Iteration]:
        state, dual_centers = begin(rows, start, loss=loss, settings=settings)
        cast = in_dtype_of(settings, state.candidate)
        quickly = compilation.is_worth_it(state.candidate.size)
        advance = _advance_quickly if quickly else _advance
        sampled = rows.sampled(dual_centers)
        for _ in range(stop.max_passes):
            candidate, sums, duals = rows.evaluate(
                state.candidate, dual_centers, state.smoothing, cast
            )
            state = state._replace(candidate=candidate)
            state, info = advance(state, sums, sampled, rows.moment, cast, loss=loss)
            info, begins_round = device_mesh.on_host((info, state.begins_round))
            if begins_round and dual_centers.shape[1]:
                # The duals at the end of a round are the dual centers of the next.
                dual_centers = duals
                sampled = rows.sampled(dual_centers)
            # Blocks have their duals on the host: two arrays at a time.
            del duals
            yield Iteration(state.params, Duals(dual_centers, state.smoothing), info)

    return iterations_from


def begin(
    rows: RowSource, start: Start, *, loss: Loss, settings: Settings
) -> tuple[OptimizerState, Any]:
    """State without dual centers, and the dual centers, before the first pass.

    Duals of an earlier fit are used if they have the shape of this fit's.
    """
    cast = in_dtype_of(settings, start.params.weights)
    state = optimizer_state.start(loss, start.params, cast, num_examples=0)
    dtype = start.params.weights.dtype
    width = 0 if conjugates.of(loss).smooth else len(start.params.bias)
    given = start.duals
    shape = (rows.num_examples, width)
    if given is None or np.shape(given.dual_centers) != shape:
        return state, rows.centers(None, width, dtype)
    # The state itself holds no dual centers.
    without = given._replace(dual_centers=state.dual_centers)
    state = optimizer_state.resumed(state, without)
    return state, rows.centers(given.dual_centers, width, dtype)


def in_dtype_of(settings: Settings, array: Array) -> Settings:
    """Settings in the dtype of the array: another would compile another program."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, array.dtype), settings)


def _decide(
    state: OptimizerState,
    sums: RowSums,
    sampled: SampledRows,
    moment: SecondMoment,
    settings: Settings,
    *,
    loss: Loss,
) -> tuple[OptimizerState, optimizer.OptimizerInfo]:
    return optimizer.advance(loss, state, sums, sampled, moment, settings)


_jit = functools.partial(jax.jit, static_argnames=("loss",), donate_argnames=("state",))
_advance = _jit(_decide)
_advance_quickly = _jit(_decide, compiler_options=compilation.FEW_OPTIMISATIONS)
