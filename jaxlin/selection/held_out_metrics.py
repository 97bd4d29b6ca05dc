"""Accuracy and loss of each fit of a sweep on the examples held out of it."""

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

# Scores of so many models are held at once, of a block of rows each; fewer models where
# these are more numbers.
_MODELS_AT_ONCE = 32
_SCORES_AT_ONCE = 50_000_000


def accuracy_and_loss(
    problem: Problem,
    fits: SweepResult,
    *,
    held_out: np.ndarray,
    known: np.ndarray | None = None,  # noqa: PT028
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and mean loss of each fit where its part is held out, ``(models,)``.

    Args:
      problem: the rows, with labels.
      fits: of the problem.
      held_out: weights, shape ``(parts, examples)``; a fit's part is its weight_set.
      known: from `check_parts`: an example of a class that its part does not know is
        wrong. None: all are known.
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
    of_one = rows * problem.num_classes
    at_once = max(1, min(_MODELS_AT_ONCE, models.size, _SCORES_AT_ONCE // of_one))
    for number, one in enumerate(models.losses):
        mine = np.flatnonzero(models.loss == number)
        names = models.arguments_of(int(mine[0]))
        for start in range(0, len(mine), at_once):
            some = mine[start : start + at_once]
            # Repeats fill the last group up: one program for all.
            padded = np.resize(some, at_once)
            found = _accuracy_and_loss(
                Params(*(jnp.asarray(leaf[padded]) for leaf in fits.params)),
                {
                    name: jnp.asarray(models.loss_arguments[name][padded])
                    for name in names
                },
                jnp.asarray(models.weight_set[padded]),
                examples,
                weights,
                None if known is None else jnp.asarray(known, jnp.float32),
                loss=one,
            )
            # Divided in float64, so that counts give the shares that they are.
            accuracy[some], loss[some] = (
                (np.asarray(ratio.total, float) / np.asarray(ratio.count))[: len(some)]
                for ratio in found
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
    given = (params, arguments, weight_set, known, examples.normalization)
    rows = (examples.features, examples.targets, weights.T)
    sums = functools.partial(_sums, loss=loss)
    if device_mesh.num_shards(len(examples.targets)) == 1:
        return sums(*given, *rows)
    whole, by_row = PartitionSpec(), PartitionSpec(device_mesh.ROWS)
    return jax.shard_map(
        lambda *given: jax.lax.psum(sums(*given), device_mesh.ROWS),
        in_specs=(whole,) * len(given) + (by_row,) * len(rows),
        out_specs=whole,
        axis_names={device_mesh.ROWS},
        check_vma=False,
    )(*given, *rows)


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
    """Right answers and losses of each model, over these rows."""

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
