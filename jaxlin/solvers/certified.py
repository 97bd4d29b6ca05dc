r"""Full-batch solver that stops at a certified duality gap.

Each step of this solver is one pass over the rows, at one candidate.
`jaxlin.solvers.optimizer` chooses the next candidate.

`jaxlin.fit` runs it on arrays in one call. As a `Solver`, for custom loops and grids:

  >>> import jax, jax.numpy as jnp
  >>> import jaxlin
  >>> from jaxlin import linear, losses
  >>> from jaxlin.solvers import interface, certified
  >>> key = jax.random.key(0)
  >>> rows, labels = jax.random.normal(key, (60, 3)), jnp.arange(60) % 3
  >>> examples = jaxlin.problem(rows, labels).prepared()
  >>> many = interface.map_settings(certified.solver(loss=losses.crammer_singer_hinge))
  >>> settings = interface.Settings(l2=jnp.array([1e-2, 1e-1]))
  >>> params = linear.init(key, num_classes=3, num_features=3, stddev=0.0)
  >>> state = many.init(params, examples, settings)
  >>> for done, state, info in interface.run(
  ...     many, key, state, examples, settings, num_steps=100):
  ...     if (info.relative_gap < 1e-4).all():
  ...         break
  >>> print((state.certificate.gap < 1e-4).all())
  True
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxlin import linear
from jaxlin.certificates import bias_search, fenchel_young
from jaxlin.certificates.bias_search import BiasData
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh
from jaxlin.objective import row_products, row_sums
from jaxlin.solvers import class_hessian, optimizer, optimizer_state, preconditioner
from jaxlin.solvers.full_batch import Evaluation, RowSource
from jaxlin.solvers.interface import Examples, Settings, Solver
from jaxlin.typing import Array, Loss


def prepare(
    examples: Examples,
    *,
    key: Array | None = None,
    rank: int = preconditioner.RANK,
    bias: Bias = Bias.PENALIZED,
) -> Examples:
    """Adds the preconditioner that certified solvers need.

    `jaxlin.Problem.prepared` calls this once. One factorisation serves every l2, loss
    and fold.

    Args:
      examples: arrays on the device, such as `jaxlin.Problem.examples`.
      key: draws the sampled rows and the sketch; None is ``jax.random.key(0)``.
      rank: directions of the second moment kept where rows are wide;
        `jaxlin.solvers.preconditioner.rank_for` gives that of one loss.
      bias: treatment of the bias, that of the settings of the fits.

    Returns:
      The examples with ``preconditioner``.
    """
    key = jax.random.key(0) if key is None else key
    return examples._replace(
        preconditioner=preconditioner.of_rows(
            key,
            examples.features,
            example_weights=examples.example_weights,
            normalization=examples.normalization,
            rank=rank,
            bias=bias,
        )
    )


@functools.cache
def solver(*, loss: Loss, block_size: int | None = None) -> Solver:
    """Returns the solver; equal arguments give the same object and share a program.

    Its examples must come from `prepare`. Its settings need an ``l2`` above 0; their
    ``learning_rate`` and ``l1`` must be None. A step draws no random numbers.

    Args:
      loss: one that has a conjugate (`jaxlin.losses.conjugates`).
      block_size: rows per block of the pass; None chooses it from the shape.

    Raises:
      ValueError: if no conjugate of the loss is known; in ``init``, if the examples are
        not prepared or the settings are not as described.
    """
    conjugates.of(loss)

    def init(
        params: Params, examples: Examples, settings: Settings
    ) -> optimizer_state.OptimizerState:
        preconditioner_of(examples)
        return optimizer_state.start(
            loss, params, settings, num_examples=examples.targets.shape[0]
        )

    def step(
        key: Array,
        step: Array,
        state: optimizer_state.OptimizerState,
        examples: Examples,
        settings: Settings,
    ) -> tuple[optimizer_state.OptimizerState, optimizer.OptimizerInfo]:
        del key, step
        candidate, sums, duals = _evaluate(
            state.candidate,
            state.dual_centers,
            state.smoothing,
            settings,
            examples,
            loss=loss,
            block_size=block_size,
        )
        sampled = _sampled(examples, state.dual_centers)
        moment = preconditioner_of(examples).moment
        state = state._replace(candidate=candidate)
        state, info = optimizer.advance(loss, state, sums, sampled, moment, settings)
        # The duals at the end of a round are the dual centers of the next.
        dual_centers = jnp.where(state.begins_round, duals, state.dual_centers)
        return state._replace(dual_centers=dual_centers), info

    return Solver(init, step)


def row_source(examples: Examples, *, loss: Loss) -> RowSource:
    """Rows on the device, for the passes of one fit.

    Args:
      examples: prepared examples (`prepare`).
      loss: one that has a conjugate.
    """
    num_examples = examples.targets.shape[0]

    def centers(values: Array | None, width: int, dtype: Any) -> Array:
        if values is None:
            return _zeros((num_examples, width), dtype)
        return _split(jnp.asarray(values, dtype))

    return RowSource(
        num_examples,
        evaluate=functools.partial(_compiled_pass, examples=examples, loss=loss),
        centers=centers,
        sampled=functools.partial(_compiled_sample, examples),
        moment=preconditioner_of(examples).moment,
    )


def _evaluate(
    candidate: Array,
    dual_centers: Array,
    smoothing: Array,
    settings: Settings,
    examples: Examples,
    *,
    loss: Loss,
    block_size: int | None = None,
    search_bias: bool = True,
) -> Evaluation:
    """A certified pass at the folded weights ``candidate``."""
    params, products = linear.unfold_bias(candidate), None
    curvature = jnp.zeros_like(params.bias)
    if settings.bias is Bias.FREE and search_bias:
        products = row_products.score_products(
            params.weights,
            examples.features,
            normalization=examples.normalization,
            block_size=block_size,
        )
        data = BiasData(
            products,
            examples.targets,
            dual_centers,
            examples.example_weights,
            smoothing,
            dict(settings.loss_arguments or {}),
        )
        bias, curvature = bias_search.minimising_bias(params.bias, data, loss=loss)
        params = params._replace(bias=bias)
    sums, duals = row_sums.over_rows(
        params,
        examples.features,
        examples.targets,
        fenchel_young.PerExample(dual_centers, preconditioner_of(examples).norms),
        example_function=fenchel_young.example_function(loss, bias=settings.bias),
        shared=fenchel_young.term_arguments(params, smoothing, settings.loss_arguments),
        example_weights=examples.example_weights,
        normalization=examples.normalization,
        block_size=block_size,
        products=products,
    )
    sums = sums._replace(bias_curvature=curvature)
    return Evaluation(linear.fold_bias(params), sums, duals)


def _sampled(examples: Examples, dual_centers: Array) -> class_hessian.SampledRows:
    statistics, weights = preconditioner_of(examples), examples.example_weights
    return class_hessian.SampledRows(
        statistics.rows,
        examples.targets[statistics.sample],
        None if weights is None else weights[statistics.sample],
        dual_centers[statistics.sample],
    )


_compiled_pass = jax.jit(
    _evaluate, static_argnames=("loss", "block_size", "search_bias")
)
_compiled_sample = jax.jit(_sampled)


@functools.partial(jax.jit, static_argnames=("shape", "dtype"))
def _zeros(shape: tuple[int, int], dtype: Any) -> Array:
    return device_mesh.shard(jnp.zeros(shape, dtype), device_mesh.ROWS)


@jax.jit
def _split(rows: Array) -> Array:
    return device_mesh.shard(rows, device_mesh.ROWS)


def preconditioner_of(examples: Examples) -> preconditioner.Preconditioner:
    """Returns the preconditioner of prepared examples; raises a ValueError if none."""
    if examples.preconditioner is None:
        raise ValueError(
            "examples must be prepared for certified solvers, got some without a "
            "preconditioner; call jaxlin.solvers.certified.prepare(examples)"
        )
    return examples.preconditioner
