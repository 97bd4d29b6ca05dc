"""Iterations of many models, until one of them is over.

An iteration evaluates every model of some batches once and decides what each evaluates
next (`jaxlin.solvers.model_batch`). The host is wanted only when a model gives its slot
away. So on accelerators, where iterations are short, many are taken on the device: a
sweep of 45 models of 50,000 x 768 numbers took .72 s on an NVIDIA H200 when the host
looked after each iteration of 2 ms, and .4 s so. It is a program of all batches, for
each combination of their widths. On a CPU iterations are long and programs dear, and
XLA has failed to compile some such loops there (jaxlib 0.10.2: one softmax model, five
weight_sets), so that the host makes the loop, of a program for the pass and one for
each batch.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin.numerics import device_mesh
from jaxlin.solvers import model_batch, optimizer
from jaxlin.solvers.interface import Examples
from jaxlin.solvers.model_batch import ModelBatch
from jaxlin.typing import Array, Loss


class Ends(NamedTuple):
    """When the models of a batch are over.

    Attributes:
      relative_gap: proven, shape ``()``.
      left: passes that each slot's model may still take, shape ``(slots,)``.
      is_new: whether it is at 0 with no evaluation yet, shape ``(slots,)``. That may
        prove the gap, but its labels are worth nothing.
      is_idle: whether the slot has no model, shape ``(slots,)``.
    """

    relative_gap: ArrayLike
    left: ArrayLike
    is_new: ArrayLike
    is_idle: ArrayLike


def run(
    running: tuple[ModelBatch, ...],
    examples: Examples,
    weight_sets: Array | None,
    ends: tuple[Ends, ...],
    *,
    losses: tuple[Loss, ...],
    most: int,
    block_size: int | None = None,
) -> tuple[tuple[ModelBatch, ...], tuple[Array, ...], ArrayLike]:
    """Takes iterations until a model is over.

    Args:
      running: batches, one a loss; their memory is given away.
      examples: the rows.
      weight_sets: as of `jaxlin.solvers.model_batch.evaluate`.
      ends: when models are over, one a batch.
      losses: of the batches.
      most: iterations, at least 1; with more than one they are taken on the device.
      block_size: as of `jaxlin.solvers.model_batch.evaluate`.

    Returns:
      The batches; which slots' models are over, ``(slots,)`` each; how many iterations
      it took.
    """
    given = (running, examples, weight_sets, ends)
    how: Any = {"losses": losses, "block_size": block_size}
    if most == 1:
        return *_iterate_once(*given, count=0, **how), 1
    return _on_device(*given, most=most, **how)


@functools.partial(
    jax.jit,
    static_argnames=("losses", "block_size"),
    donate_argnames=("running",),
)
def _on_device(running, examples, weight_sets, ends, *, losses, most, block_size):
    def iteration(carried: Any) -> Any:
        running, _, count = carried
        given = (running, examples, weight_sets, ends)
        after, over = _iterate_once(
            *given, count=count, losses=losses, block_size=block_size
        )
        return after, over, count + 1

    def goes_on(carried: Any) -> Array:
        _, over, count = carried
        return (count < most) & ~jnp.any(jnp.concatenate(over))

    none = tuple(jnp.zeros(batch.width, bool) for batch in running)
    return jax.lax.while_loop(goes_on, iteration, (running, none, jnp.int32(0)))


def _iterate_once(
    running: tuple[ModelBatch, ...],
    examples: Examples,
    weight_sets: Array | None,
    ends: tuple[Ends, ...],
    *,
    count: ArrayLike,
    losses: tuple[Loss, ...],
    block_size: int | None,
) -> tuple[tuple[ModelBatch, ...], tuple[Array, ...]]:
    """One iteration, after ``count`` of them, and which models are over then."""
    sums, points = model_batch.evaluate(
        running, examples, weight_sets, losses=losses, block_size=block_size
    )
    after, over = [], []
    for number, loss in enumerate(losses):
        batch, info = model_batch.advance(
            running[number],
            sums[number],
            points[number],
            examples,
            weight_sets,
            loss=loss,
        )
        after.append(batch)
        over.append(_is_over(info, ends[number], count))
    return tuple(after), tuple(over)


@jax.jit
def _is_over(info: optimizer.OptimizerInfo, ends: Ends, count: ArrayLike) -> Array:
    gap, left, is_new, is_idle = map(jnp.asarray, ends)
    proven = ((info.relative_gap <= gap) | info.stalled) & ~(is_new & (count == 0))
    return device_mesh.replicate((proven | (jnp.asarray(count) + 1 >= left)) & ~is_idle)
