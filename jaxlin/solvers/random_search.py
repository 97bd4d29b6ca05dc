"""Random search over the parameters, global and local, without gradients.

The lecture's two first strategies, as baselines. Random search draws new parameters at
every step; random local search adds noise to the best ones. Both keep the parameters of
the least objective so far. A step evaluates ``num_trials`` candidates in one wide
matrix product.

  >>> import jax, jax.numpy as jnp
  >>> import jaxlin
  >>> from jaxlin import linear, losses
  >>> from jaxlin.solvers import interface, random_search
  >>> key = jax.random.key(0)
  >>> rows, labels = jax.random.normal(key, (60, 3)), jnp.arange(60) % 2
  >>> examples = jaxlin.problem(rows, labels).examples
  >>> solver = random_search.solver(
  ...     loss=losses.weston_watkins_hinge, is_local=True, num_trials=4)
  >>> settings = interface.Settings(learning_rate=0.1, l2=1e-3)
  >>> params = linear.init(key, num_classes=2, num_features=3)
  >>> state = solver.init(params, examples, settings)
  >>> for done, state, info in interface.run(
  ...     solver, key, state, examples, settings, num_steps=50, steps_per_chunk=50):
  ...     print(done, bool(info.objective[-1] < info.objective[0]))
  50 True
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import check, objective
from jaxlin.linear import Bias, Params
from jaxlin.solvers.interface import Examples, Settings, Solver
from jaxlin.stats.metrics import Ratio
from jaxlin.typing import Array, Loss


class RandomSearchState(NamedTuple):
    """Best parameters so far and their objective.

    Attributes:
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      objective: objective of ``params``, shape ``()``.
    """

    params: Params
    objective: Array


class RandomSearchInfo(NamedTuple):
    """Diagnostics of a step.

    Attributes:
      objective: least objective so far, shape ``()``.
      improved: whether this step found it, shape ``()``.
    """

    objective: Array
    improved: Array


@functools.cache
def solver(*, loss: Loss, is_local: bool, num_trials: int = 1) -> Solver:
    """Returns the solver; equal arguments give the same object and share a program.

    ``settings.learning_rate`` is the standard deviation of every entry of a draw, in
    units of the weights.

    Args:
      loss: loss of one example, a function at module level.
      is_local: whether a candidate is the best parameters plus a draw; if False, it is
        the draw itself.
      num_trials: candidates per step, of which the best may be kept; at least 1.

    Raises:
      ValueError: if ``num_trials`` is below 1; in ``init`` if the settings have no
        learning rate.
    """
    check.integer("num_trials", num_trials, at_least=1)

    value = functools.partial(_value, loss=loss)

    def init(
        params: Params, examples: Examples, settings: Settings
    ) -> RandomSearchState:
        check.loss_arguments(loss, settings.loss_arguments or {})
        if settings.learning_rate is None:
            raise ValueError(
                "settings.learning_rate must be a number, got None; it is the standard "
                "deviation of a draw"
            )
        # A copy, because the loop donates the state; the caller keeps the parameters.
        params = jax.tree.map(jnp.copy, settings.bias.allowed(params))
        return RandomSearchState(params, value(params, examples, settings))

    def step(
        key: Array,
        step: Array,
        state: RandomSearchState,
        examples: Examples,
        settings: Settings,
    ) -> tuple[RandomSearchState, RandomSearchInfo]:
        stddev = jnp.asarray(settings.learning_rate)

        def drawn(key: Array) -> Params:
            keys = jax.random.split(key)
            noise = Params(
                *(
                    stddev * jax.random.normal(one, x.shape, x.dtype)
                    for one, x in zip(keys, state.params, strict=True)
                )
            )
            noise = settings.bias.allowed(noise)
            return jax.tree.map(jnp.add, state.params, noise) if is_local else noise

        keys = jax.random.split(jax.random.fold_in(key, step), num_trials)
        candidates = jax.vmap(drawn)(keys)
        values = jax.vmap(value, in_axes=(0, None, None))(
            candidates, examples, settings
        )
        # argmin would choose NaN.
        best = jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values))
        candidate = RandomSearchState(
            jax.tree.map(lambda leaf: leaf[best], candidates), values[best]
        )
        # False for NaN.
        improved = candidate.objective < state.objective
        state = jax.tree.map(
            lambda new, old: jnp.where(improved, new, old), candidate, state
        )
        return state, RandomSearchInfo(state.objective, improved)

    return Solver(init, step)


def _value(
    params: Params, examples: Examples, settings: Settings, *, loss: Loss
) -> Array:
    """Objective on all examples, in blocks of rows."""

    def sums(features: Array, targets: Array, weights: Array | None) -> Ratio:
        scores = objective.batch_scores(
            params, features, normalization=examples.normalization
        )
        losses = objective.example_losses(
            scores, targets, loss=loss, loss_arguments=settings.loss_arguments
        )
        if weights is None:
            weights = jnp.ones_like(losses)
        total = objective.weighted_mean(
            losses, example_weights=weights, total_weight=1.0
        )
        return Ratio(total, jnp.sum(weights))

    mean = objective.blocked_sums(
        sums, examples.features, examples.targets, examples.example_weights
    ).value
    return mean + objective.penalty(
        params,
        l2=settings.l2,
        l1=settings.l1,
        penalize_bias=settings.bias is Bias.PENALIZED,
    )
