"""Minibatch training of one model with any optax transformation.

A step of this solver is an epoch: all examples once, in an order drawn from (key,
epoch), without replacement; the last batch of an epoch may be smaller. The
optimiser is made inside the traced step from a traced learning rate, so that a grid of
learning rates is one program:

  def momentum(learning_rate):
      return optax.sgd(learning_rate, momentum=0.9)

Schedules count updates: `updates_per_epoch` says how many an epoch has.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxlin import check, objective
from jaxlin.linear import Params
from jaxlin.solvers.base import Problem, Settings, Solver
from jaxlin.typing import Array, Loss, MakeOptimizer, PyTree


class State(NamedTuple):
    """What the next epoch needs."""

    params: Params
    optimizer_state: PyTree


class Info(NamedTuple):
    """What an epoch tells.

    Attributes:
      loss: mean loss over the examples of the epoch, each at the parameters of the
        moment its batch was used, without penalty, shape ``()``.
    """

    loss: Array


@functools.cache
def solver(
    *,
    loss: Loss,
    make_optimizer: MakeOptimizer,
    batch_size: int,
    penalize_bias: bool = True,
) -> Solver:
    """Returns the solver; equal arguments give the same object and so one program.

    Args:
      loss: a loss of one example (a function at module level).
      make_optimizer: ``learning_rate -> optax.GradientTransformation``, at module level
        or cached.
      batch_size: examples a batch, at least 1 and at most the number of examples.
      penalize_bias: whether the penalties of the settings include the bias.

    Raises:
      ValueError: if ``batch_size`` is below 1; in ``step``, while tracing, if it is
        above the number of examples.
    """
    check.integer("batch_size", batch_size, at_least=1)

    def init(params: Params, settings: Settings) -> State:
        # A copy: the loop donates the state, and the caller keeps the parameters.
        params = jax.tree.map(jnp.copy, params)
        return State(params, make_optimizer(settings.learning_rate).init(params))

    def step(
        key: Array, epoch: Array, state: State, problem: Problem, settings: Settings
    ) -> tuple[State, Info]:
        num_examples = problem.features.shape[0]
        batches = _shuffled_batches(
            jax.random.fold_in(key, epoch), problem, batch_size=batch_size
        )
        optimizer = make_optimizer(settings.learning_rate)

        def update(state: State, batch: _Batch) -> tuple[State, Array]:
            def batch_objective(params: Params) -> tuple[Array, Array]:
                data_term = objective.mean_loss(
                    params,
                    problem.features[batch.rows],
                    problem.targets[batch.rows],
                    loss=loss,
                    loss_arguments=settings.loss_arguments,
                    example_weights=batch.weights,
                    total_weight=batch.total_weight,
                    normalization=problem.normalization,
                )
                penalty = objective.penalty(
                    params,
                    l2=settings.l2,
                    l1=settings.l1,
                    penalize_bias=penalize_bias,
                )
                return data_term + penalty, data_term

            gradient, data_term = jax.grad(batch_objective, has_aux=True)(state.params)
            updates, optimizer_state = optimizer.update(
                gradient, state.optimizer_state, state.params
            )
            params = optax.apply_updates(state.params, updates)
            return State(params, optimizer_state), data_term * batch.size

        state, sums = jax.lax.scan(update, state, batches)
        return state, Info(loss=jnp.sum(sums) / num_examples)

    return Solver(init, step)


def updates_per_epoch(num_examples: int, *, batch_size: int) -> int:
    """Number of batches that cover all examples, the last one perhaps smaller."""
    return -(-num_examples // batch_size)


class _Batch(NamedTuple):
    """One batch (or, stacked, an epoch of them)."""

    rows: Array  # (batch_size,) int32; padding repeats row 0
    weights: Array  # (batch_size,); 0 for padding
    total_weight: Array  # () what the batch stands for
    size: Array  # () examples, padding not counted


def _shuffled_batches(key: Array, problem: Problem, *, batch_size: int) -> _Batch:
    """Batches of one epoch, each field with a leading axis of updates."""
    num_examples = problem.features.shape[0]
    check.integer("batch_size", batch_size, at_most=num_examples)
    updates = updates_per_epoch(num_examples, batch_size=batch_size)
    padding = updates * batch_size - num_examples
    # Sorting random words: a uniform order but for ties of 32-bit words (which the
    # position breaks), at half the cost of `jax.random.permutation`, a fifth of an
    # epoch of one linear model on CIFAR-10.
    order = jnp.argsort(jax.random.bits(key, (num_examples,))).astype(jnp.int32)
    rows = jnp.pad(order, (0, padding)).reshape(updates, batch_size)
    valid = (jnp.arange(updates * batch_size) < num_examples).reshape(rows.shape)
    size = jnp.sum(valid, axis=1).astype(jnp.float32)
    if problem.example_weights is None:
        return _Batch(rows, valid.astype(jnp.float32), size, size)
    # Divided by the mean weight of all examples, not of the batch, the gradient of a
    # batch is an unbiased estimate of the gradient of the weighted objective.
    weights = problem.example_weights[rows] * valid
    mean_weight = jnp.mean(problem.example_weights)
    return _Batch(rows, weights, size * mean_weight, size)
