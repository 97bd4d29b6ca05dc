r"""Full-batch fits that stop when they can prove how good they are.

Each step of this solver is one evaluation: one pass over the rows at one trial point.
`jaxlin.solvers.search` says what is evaluated next, and why.

`jaxlin.solvers.fitting` has the one call on arrays. As a `Solver`, for grids:

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import linear, losses
  >>> from jaxlin.solvers import base, certified
  >>> key = jax.random.key(0)
  >>> rows, labels = jax.random.normal(key, (60, 3)), jnp.arange(60) % 3
  >>> problem = certified.prepare(base.problem(rows, labels, num_classes=3))
  >>> many = base.map_settings(certified.solver(loss=losses.crammer_singer_hinge))
  >>> settings = base.Settings(l2=jnp.array([1e-2, 1e-1]))
  >>> params = linear.init(key, num_classes=3, num_features=3, stddev=0.0)
  >>> state = many.init(params, problem, settings)
  >>> for done, state, info in base.run(
  ...     many, key, state, problem, settings, num_steps=100):
  ...     if (info.relative_gap < 1e-4).all():
  ...         break
  >>> print((state.certificate.gap < 1e-4).all())
  True
"""

import functools

import jax
import jax.numpy as jnp

from jaxlin import linear, proof_terms, row_sums
from jaxlin.linear import Params
from jaxlin.solvers import curvature, search, search_state
from jaxlin.solvers.base import Problem, Settings, Solver
from jaxlin.typing import Array, Loss


def prepare(
    problem: Problem, *, key: Array | None = None, rank: int = curvature.RANK
) -> Problem:
    """Adds to a problem what certified solvers need of its rows, whatever the loss.

    Args:
      problem: from `jaxlin.solvers.base.problem`.
      key: draws the sampled rows and the sketch; None is ``jax.random.key(0)``.
      rank: directions of the second moment kept where rows are wide; if one loss alone
        is to be fitted, `jaxlin.solvers.curvature.rank_for` it.

    Returns:
      The problem with ``curvature``. One factorisation serves every l2, loss and fold.
    """
    key = jax.random.key(0) if key is None else key
    return problem._replace(
        curvature=curvature.of_rows(
            key,
            problem.features,
            example_weights=problem.example_weights,
            normalization=problem.normalization,
            rank=rank,
        )
    )


@functools.cache
def solver(*, loss: Loss, block_size: int | None = None) -> Solver:
    """Returns the solver; equal arguments give the same object and so one program.

    Its problem must come from `prepare`, its settings need ``l2``, above 0; their
    ``learning_rate`` and ``l1`` must be None. A step draws no random numbers.

    Args:
      loss: one that has a conjugate (`jaxlin.conjugates`).
      block_size: rows a block of the pass; None chooses it from the shape.

    Raises:
      ValueError: if no conjugate of the loss is known; in ``init``, if the problem is
        not prepared or the settings are not as above.
    """
    link = proof_terms.link(loss)

    def init(
        params: Params, problem: Problem, settings: Settings
    ) -> search_state.State:
        curvature_of(problem)
        return search_state.start(
            loss, params, settings, num_examples=problem.targets.shape[0]
        )

    def step(
        key: Array,
        step: Array,
        state: search_state.State,
        problem: Problem,
        settings: Settings,
    ) -> tuple[search_state.State, search.Info]:
        del key, step
        params = linear.unfold_bias(state.trial)
        sums, parameters = row_sums.over_rows(
            params,
            problem.features,
            problem.targets,
            proof_terms.PerExample(state.centers, curvature_of(problem).norms),
            link=link,
            shared=search.shared(state, settings),
            example_weights=problem.example_weights,
            normalization=problem.normalization,
            block_size=block_size,
        )
        known, weights = curvature_of(problem), problem.example_weights
        sampled = curvature.Sampled(
            known.rows,
            problem.targets[known.sample],
            None if weights is None else weights[known.sample],
            state.centers[known.sample],
        )
        state, info = search.advance(loss, state, sums, sampled, known.moment, settings)
        # What maximised the smoothed loss at the end of a round centers the next.
        centers = jnp.where(state.is_round, parameters, state.centers)
        return state._replace(centers=centers), info

    return Solver(init, step)


def curvature_of(problem: Problem) -> curvature.Curvature:
    """What `prepare` has found; a ValueError for a problem that was not prepared."""
    if problem.curvature is None:
        raise ValueError(
            "problem must be prepared for certified solvers, got one without "
            "curvature; call jaxlin.solvers.certified.prepare(problem)"
        )
    return problem.curvature
