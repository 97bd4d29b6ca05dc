"""One pass over shared rows for model batches of several losses.

`evaluate` computes the scores of all models in one wide matrix product, of which the
loss of each batch takes its slice, and their gradients in another. The pass of one
model is limited by memory bandwidth, that of many models by arithmetic.
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxlin import linear
from jaxlin.certificates import bias_search, fenchel_young
from jaxlin.certificates.bias_search import BiasData
from jaxlin.linear import Bias, Params
from jaxlin.numerics import compensated, device_mesh
from jaxlin.objective import row_products, row_sums
from jaxlin.objective.row_sums import RowSums
from jaxlin.solvers import certified
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.solvers.model_batch import ModelBatch
from jaxlin.solvers.optimizer_state import OptimizerState
from jaxlin.typing import Array, Loss, LossArguments


class _Examples(NamedTuple):
    """Arguments of the example function per row, beside the target."""

    norms: Array
    weights: Array | None
    dual_centers: tuple[Array, ...]


class _Shared(NamedTuple):
    """Arguments of the example function shared by all rows, one entry per batch."""

    terms: tuple[fenchel_young.TermArguments, ...]
    weight_set: tuple[Array, ...]
    target_set: tuple[Array | None, ...]


@functools.partial(jax.jit, static_argnames=("losses", "block_size"))
def evaluate(
    batches: tuple[ModelBatch, ...],
    examples: Examples,
    weight_sets: Array | None,
    *,
    losses: tuple[Loss, ...],
    block_size: int | None = None,
) -> tuple[tuple[Array, ...] | None, tuple[RowSums, ...], tuple[Array, ...]]:
    """Evaluates every model at its candidate, in one pass over the rows.

    Args:
      batches: model batches, one per loss.
      examples: prepared examples, shared by all models.
      weight_sets: example weights to choose from, shape ``(examples, sets)``; None is
        all ones for every model.
      losses: the losses of the batches, in the same order.
      block_size: rows per block; None chooses it from the shape.

    Returns:
      The candidates of each batch with the free bias of the pass, or None if the bias
      is not free; for each batch the sums for `jaxlin.solvers.batch_step.advance`, with
      slots first, and the duals at the candidates, in the shape of the dual centers.
    """
    num_shards = device_mesh.axis_size(device_mesh.MODELS)
    if num_shards == 1 or any(batch.width % num_shards for batch in batches):
        return _evaluate(
            batches, examples, weight_sets, losses=losses, block_size=block_size
        )
    replicated, by_model = PartitionSpec(), PartitionSpec(device_mesh.MODELS)
    by_slot = PartitionSpec(None, device_mesh.MODELS)
    is_free = batches[0].settings.bias is Bias.FREE
    batch_spec: Any = ModelBatch(by_model, by_slot, *(by_model,) * 3)  # type: ignore[arg-type]
    return jax.shard_map(
        functools.partial(_evaluate, losses=losses, block_size=block_size),
        in_specs=((batch_spec,) * len(batches), replicated, replicated),
        out_specs=(
            (by_model,) * len(batches) if is_free else None,
            (by_model,) * len(batches),
            (by_slot,) * len(batches),
        ),
        axis_names={device_mesh.MODELS},
        check_vma=False,
    )(batches, examples, weight_sets)


def _evaluate(
    batches: tuple[ModelBatch, ...],
    examples: Examples,
    weight_sets: Array | None,
    *,
    losses: tuple[Loss, ...],
    block_size: int | None,
) -> tuple[tuple[Array, ...] | None, tuple[RowSums, ...], tuple[Array, ...]]:
    """`evaluate` for models that are all on one device."""
    bias, products = batches[0].settings.bias, None
    minimising, curvatures = None, None
    if bias is Bias.FREE:
        products = row_products.score_products(
            jnp.concatenate([batch.state.candidate for batch in batches])[..., :-1],
            examples.features,
            normalization=examples.normalization,
            block_size=block_size,
        )
        minimising, curvatures = _with_free_bias(
            batches, products, examples, weight_sets, losses=losses
        )
        batches = with_candidates(batches, minimising)
    candidates = jnp.concatenate([batch.state.candidate for batch in batches])
    sums, duals = row_sums.over_rows(
        Params(candidates[..., :-1], candidates[..., -1]),
        examples.features,
        examples.targets if examples.target_sets is None else examples.target_sets,
        _Examples(
            certified.preconditioner_of(examples).norms,
            weight_sets,
            tuple(batch.dual_centers for batch in batches),
        ),
        example_function=_example_function(
            losses,
            tuple(batch.width for batch in batches),
            bias=bias,
            has_target_sets=examples.target_sets is not None,
        ),
        shared=_Shared(
            tuple(
                jax.vmap(_term_arguments)(batch.state, batch.settings)
                for batch in batches
            ),
            tuple(batch.weight_set for batch in batches),
            tuple(batch.target_set for batch in batches),
        ),
        normalization=examples.normalization,
        block_size=block_size,
        products=products,
    )
    # The last value of each model is the sum of its example weights.
    values, weight = (
        compensated.Compensated(*(leaf[:, part] for leaf in sums.values))
        for part in (slice(-1), -1)
    )
    num_models = candidates.shape[0]
    by_model = sums._replace(
        values=values,
        weight=weight,
        rows=jnp.broadcast_to(sums.rows, num_models),
        parts=jnp.broadcast_to(sums.parts, num_models),
        bias_curvature=sums.bias_curvature if curvatures is None else curvatures,
    )
    return minimising, tuple(_by_batch(by_model, batches)), duals


def with_candidates(
    batches: tuple[ModelBatch, ...], candidates: tuple[Array, ...] | None
) -> tuple[ModelBatch, ...]:
    """Batches with other candidates; the same for None."""
    if candidates is None:
        return batches
    return tuple(
        batch._replace(state=batch.state._replace(candidate=candidate))
        for batch, candidate in zip(batches, candidates, strict=True)
    )


def _with_free_bias(
    batches: tuple[ModelBatch, ...],
    products: Array,
    examples: Examples,
    weight_sets: Array | None,
    *,
    losses: tuple[Loss, ...],
) -> tuple[tuple[Array, ...], Array]:
    """Candidates of each batch with a minimising bias, and its curvature, all models.

    Args:
      batches: model batches, one per loss.
      products: products of all weights and rows, shape ``(models, classes, examples)``.
      examples: examples, shared by all models.
      weight_sets: example weights, shape ``(examples, sets)``, or None.
      losses: the losses of the batches.
    """
    found, curvatures, first = [], [], 0
    for batch, loss in zip(batches, losses, strict=True):
        of_model = functools.partial(
            _with_minimising_bias, examples=examples, weight_sets=weight_sets, loss=loss
        )
        candidates, curvature = jax.vmap(of_model, in_axes=(0, 0, 1, 0, 0, 0, 0))(
            batch.state.candidate,
            products[first : first + batch.width],
            batch.dual_centers,
            batch.state.smoothing,
            batch.settings.loss_arguments,
            batch.weight_set,
            batch.target_set,
        )
        first += batch.width
        found.append(candidates)
        curvatures.append(curvature)
    return tuple(found), jnp.concatenate(curvatures)


def _with_minimising_bias(
    candidate: Array,
    products: Array,
    dual_centers: Array,
    smoothing: Array,
    loss_arguments: LossArguments | None,
    weight_set: Array,
    target_set: Array | None,
    *,
    examples: Examples,
    weight_sets: Array | None,
    loss: Loss,
) -> tuple[Array, Array]:
    """Candidate of one model with the minimising bias, and the curvature there."""
    weights = None if weight_sets is None else weight_sets[:, weight_set]
    targets = examples.targets
    if examples.target_sets is not None:
        targets = examples.target_sets[:, target_set]
    data = BiasData(
        products,
        targets,
        dual_centers,
        weights,
        smoothing,
        dict(loss_arguments or {}),
    )
    bias, curvature = bias_search.minimising_bias(candidate[:, -1], data, loss=loss)
    return candidate.at[:, -1].set(bias), curvature


def _term_arguments(
    state: OptimizerState, settings: Settings
) -> fenchel_young.TermArguments:
    """Traced arguments of one model's pass."""
    return fenchel_young.term_arguments(
        linear.unfold_bias(state.candidate), state.smoothing, settings.loss_arguments
    )


def _by_batch(by_model: RowSums, batches: Iterable[ModelBatch]) -> Iterator[RowSums]:
    """Splits the sums of all models into those of each batch."""
    first = 0
    for batch in batches:
        slots = slice(first, first + batch.width)
        yield jax.tree.map(lambda leaf, slots=slots: leaf[slots], by_model)
        first = slots.stop


@functools.cache
def _example_function(
    losses: tuple[Loss, ...],
    widths: tuple[int, ...],
    *,
    bias: Bias,
    has_target_sets: bool,
) -> row_sums.ExampleFunction:
    """Example function of all models; each loss takes its slice of the scores.

    With target sets, the target of an example is its labels of all sets.
    """
    axes: Any = fenchel_young.PerExample(0, None)  # type: ignore[arg-type]
    example_functions = [
        jax.vmap(
            fenchel_young.example_function(loss, bias=bias),
            in_axes=(0, 0, 0 if has_target_sets else None, axes),
        )
        for loss in losses
    ]

    def of_example(
        shared: _Shared, scores: Array, target: Any, example: _Examples
    ) -> tuple[Array, Array, tuple[Array, ...]]:
        outputs, first = [], 0
        for batch, (example_function, width) in enumerate(
            zip(example_functions, widths, strict=True)
        ):
            slots = slice(first, first + width)
            first = slots.stop
            per_example = fenchel_young.PerExample(
                example.dual_centers[batch], example.norms
            )
            own = target[shared.target_set[batch]] if has_target_sets else target
            values, gradients, duals = example_function(
                shared.terms[batch], scores[slots], own, per_example
            )
            weights = jnp.ones(width, scores.dtype)
            if example.weights is not None:
                weights = example.weights[shared.weight_set[batch]].astype(scores.dtype)
                # Weight 0 excludes an example even if its value is infinite.
                excluded = (weights == 0)[:, None]
                values = jnp.where(excluded, 0, values * weights[:, None])
                gradients = jnp.where(excluded, 0, gradients * weights[:, None])
            values = jnp.concatenate([values, weights[:, None]], axis=1)
            outputs.append((values, gradients, duals))
        all_values, all_gradients, all_duals = zip(*outputs, strict=True)
        return jnp.concatenate(all_values), jnp.concatenate(all_gradients), all_duals

    return of_example
