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

import jax
import jax.numpy as jnp

from jaxlin import linear
from jaxlin.certificates import fenchel_young
from jaxlin.linear import Params
from jaxlin.objective import row_sums
from jaxlin.solvers import (
    class_hessian,
    fit_loop,
    optimizer,
    optimizer_state,
    preconditioner,
)
from jaxlin.solvers.fit_loop import Iterations
from jaxlin.solvers.interface import Examples, Settings, Solver
from jaxlin.typing import Array, Loss


def prepare(
    examples: Examples, *, key: Array | None = None, rank: int = preconditioner.RANK
) -> Examples:
    """Adds the preconditioner that certified solvers need.

    `jaxlin.Problem.prepared` calls this once. One factorisation serves every l2, loss
    and fold.

    Args:
      examples: arrays on the device, such as `jaxlin.Problem.examples`.
      key: draws the sampled rows and the sketch; None is ``jax.random.key(0)``.
      rank: directions of the second moment kept where rows are wide;
        `jaxlin.solvers.preconditioner.rank_for` gives that of one loss.

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
    example_function = fenchel_young.example_function(loss)

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
        statistics, weights = preconditioner_of(examples), examples.example_weights
        sums, duals = row_sums.over_rows(
            linear.unfold_bias(state.candidate),
            examples.features,
            examples.targets,
            fenchel_young.PerExample(state.dual_centers, statistics.norms),
            example_function=example_function,
            shared=optimizer.shared(state, settings),
            example_weights=weights,
            normalization=examples.normalization,
            block_size=block_size,
        )
        sampled = class_hessian.SampledRows(
            statistics.rows,
            examples.targets[statistics.sample],
            None if weights is None else weights[statistics.sample],
            state.dual_centers[statistics.sample],
        )
        state, info = optimizer.advance(
            loss, state, sums, sampled, statistics.moment, settings
        )
        # The duals at the end of a round are the dual centers of the next.
        dual_centers = jnp.where(state.begins_round, duals, state.dual_centers)
        return state._replace(dual_centers=dual_centers), info

    return Solver(init, step)


def iterations(examples: Examples, *, loss: Loss, settings: Settings) -> Iterations:
    """Iterations of a fit, each a pass over all rows, for `fit_loop.certify`.

    Args:
      examples: prepared examples (`prepare`).
      loss: one of the six losses that have a conjugate.
      settings: l2 and loss arguments; all else None.
    """
    return fit_loop.iterations_of(solver(loss=loss), examples, settings)


def preconditioner_of(examples: Examples) -> preconditioner.Preconditioner:
    """Returns the preconditioner of prepared examples; raises a ValueError if none."""
    if examples.preconditioner is None:
        raise ValueError(
            "examples must be prepared for certified solvers, got some without a "
            "preconditioner; call jaxlin.solvers.certified.prepare(examples)"
        )
    return examples.preconditioner
