"""Accuracy and mean loss of each fit of a sweep on its held-out examples."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from jaxlin import objective
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.numerics import device_mesh
from jaxlin.problems import Problem
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers.interface import Examples
from jaxlin.stats import metrics
from jaxlin.stats.metrics import Ratio
from jaxlin.typing import Array, Loss

# Largest number of models per call, and of their scores of one block of rows.
_MAX_MODELS = 32
_MAX_SCORES = 50_000_000


def accuracy_and_loss(
    problem: Problem,
    fits: SweepResult,
    *,
    held_out: np.ndarray,
    known: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and mean loss of each fit on the held-out examples of its part.

    Args:
      problem: examples with labels.
      fits: fits of the problem.
      held_out: weights of the held-out examples, shape ``(parts, examples)``; the part
        of a fit is its weight set.
      known: mask of the classes with training examples in each part, shape ``(parts,
        classes)``; examples of other classes count as wrong. None is all True.

    Returns:
      Accuracy and mean loss without penalty, each of shape ``(models,)``.
    """
    if known is not None and np.all(known):
        known = None
    models, examples = fits.models, problem.examples
    accuracy, loss = np.zeros((2, models.size))
    sets = problem.weight_sets(held_out, allow_one_class=True)
    weights = jnp.asarray(sets, jnp.float32)
    if examples.example_weights is not None:
        weights = weights * examples.example_weights[None]
    rows = min(objective.BLOCK_ROWS, len(examples.targets))
    scores_per_model = rows * problem.num_classes
    size = max(1, min(_MAX_MODELS, models.size, _MAX_SCORES // scores_per_model))
    for number, loss_function in enumerate(models.losses):
        of_loss = np.flatnonzero(models.loss == number)
        names = models.arguments_of(int(of_loss[0]))
        for start in range(0, len(of_loss), size):
            group = of_loss[start : start + size]
            # The last group is padded with repeats: one program for all groups.
            padded = np.resize(group, size)
            ratios = _accuracy_and_loss(
                Params(*(jnp.asarray(leaf[padded]) for leaf in fits.params)),
                {
                    name: jnp.asarray(models.loss_arguments[name][padded])
                    for name in names
                },
                jnp.asarray(models.weight_set[padded]),
                examples,
                weights,
                None if known is None else jnp.asarray(known, jnp.float32),
                loss=loss_function,
            )
            # Division in float64 gives the exact shares of integer counts.
            accuracy[group], loss[group] = (
                (np.asarray(ratio.total, float) / np.asarray(ratio.count))[: len(group)]
                for ratio in ratios
            )
    return accuracy, loss


@functools.partial(jax.jit, static_argnames=("loss",))
def _accuracy_and_loss(
    params: Params,
    arguments: dict[str, Array],
    weight_set: Array,
    examples: Examples,
    weights: Array,
    known: Array | None = None,
    *,
    loss: Loss,
) -> tuple[Ratio, Ratio]:
    shared = (params, arguments, weight_set, known, examples.normalization)
    rows = (examples.features, examples.targets, weights.T)
    sums = functools.partial(_sums, loss=loss)
    if device_mesh.num_shards(len(examples.targets)) == 1:
        return sums(*shared, *rows)
    replicated, by_row = PartitionSpec(), PartitionSpec(device_mesh.ROWS)
    return jax.shard_map(
        lambda *operands: jax.lax.psum(sums(*operands), device_mesh.ROWS),
        in_specs=(replicated,) * len(shared) + (by_row,) * len(rows),
        out_specs=replicated,
        axis_names={device_mesh.ROWS},
        check_vma=False,
    )(*shared, *rows)


def _sums(
    params: Params,
    arguments: dict[str, Array],
    weight_set: Array,
    known: Array | None,
    normalization: Normalization | None,
    features: Array,
    targets: Array,
    weights: Array,
    *,
    loss: Loss,
) -> tuple[Ratio, Ratio]:
    """Sums of correct predictions, losses and weights of each model over the rows."""

    def of_model(
        params: Params, arguments: dict[str, Array], weight_set: Array
    ) -> tuple[Ratio, Ratio]:
        def of_block(
            features: Array, targets: Array, weights: Array
        ) -> tuple[Ratio, Ratio]:
            scores = objective.batch_scores(
                params, features, normalization=normalization
            )
            counted = weights[:, weight_set]
            values = objective.example_losses(
                scores, targets, loss=loss, loss_arguments=arguments
            )
            total = objective.weighted_mean(
                values, example_weights=counted, total_weight=1.0
            )
            total_weight = jnp.sum(counted)
            if known is not None:
                counted = counted * known[weight_set, targets]
            right = metrics.accuracy(scores, targets, example_weights=counted)
            return right._replace(count=total_weight), Ratio(total, total_weight)

        return objective.blocked_sums(of_block, features, targets, weights)

    return jax.vmap(of_model)(params, arguments, weight_set)
