"""Interface of solvers: `Solver`, its maps over models, and the training loop.

A solver is a pair of pure functions on one model. `map_settings` and `map_seeds` turn
it into a solver for a grid: one compiled program trains all models, and shared data
(features, the order of a seed's minibatches) are not repeated. `run` is the loop:

  >>> import jax, numpy as np, optax
  >>> import jaxlin
  >>> from jaxlin import linear, losses
  >>> from jaxlin.solvers import interface, minibatch
  >>> solver = minibatch.solver(
  ...     loss=losses.softmax_cross_entropy, make_optimizer=optax.sgd, batch_size=4)
  >>> key = jax.random.key(0)
  >>> rows, labels = np.ones((12, 3), np.float32), np.arange(12) % 2
  >>> examples = jaxlin.problem(rows, labels).examples
  >>> settings = interface.Settings(learning_rate=0.1, l2=1e-3)
  >>> params = linear.init(key, num_classes=2, num_features=3)
  >>> state = solver.init(params, examples, settings)
  >>> for done, state, info in interface.run(
  ...     solver, key, state, examples, settings, num_steps=6, steps_per_chunk=3):
  ...     print(done, info.loss.shape)
  3 (3,)
  6 (3,)

The loop is a generator of compiled chunks. Progress bars, evaluation, checkpoints and
stopping are left to the caller, so a solver reads and writes no files. Each step draws
its random numbers from (key, step). A run that is resumed from a saved state is
therefore the same run, bit for bit on the same machine, and chunks of any length give
the same numbers.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.linear import Bias
from jaxlin.normalization import Normalization
from jaxlin.solvers.preconditioner import Preconditioner
from jaxlin.typing import Array, LossArguments, PyTree


class Examples(NamedTuple):
    """Arrays of a `jaxlin.Problem` on the device, shared by all models.

    Attributes:
      features: raw rows, uint8 or floating, shape ``(examples, features)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      example_weights: shape ``(examples,)``, or None for all ones.
      normalization: applied to each row inside the step, or None.
      preconditioner: statistics of the rows for certified solvers, or None.
      target_sets: labels of the target sets of a sweep, shape ``(examples, sets)``, of
        which each model takes one in place of ``targets``; None elsewhere.
    """

    features: Array
    targets: Array
    example_weights: Array | None = None
    normalization: Normalization | None = None
    preconditioner: Preconditioner | None = None
    target_sets: Array | None = None


class Settings(NamedTuple):
    """Hyperparameters of one model; new numbers cause no recompilation.

    Attributes:
      learning_rate: argument of ``make_optimizer``; None for a certified solver.
      l2: strength of half the sum of squares; None leaves the term out.
      l1: strength of the sum of absolute values; None leaves the term out.
      loss_arguments: keywords of the loss, such as ``{"margin": 1.0}``.
      bias: treatment of the bias, by every solver; static.
    """

    learning_rate: ArrayLike | None = None
    l2: ArrayLike | None = None
    l1: ArrayLike | None = None
    loss_arguments: LossArguments | None = None
    bias: Bias = Bias.PENALIZED


class Solver(NamedTuple):
    """A method for one model, or for many (`map_settings`, `map_seeds`).

    Attributes:
      init: ``(params, examples, settings) -> state``, where state has a field
        ``params``. It copies the parameters, because `run` donates the state's memory.
      step: ``(key, step, state, examples, settings) -> (state, info)``; ``step`` is the
        number of earlier steps, ``info`` holds diagnostics of the step.
    """

    init: Callable[[Any, Examples, Settings], Any]
    step: Callable[[Array, Array, Any, Examples, Settings], tuple[Any, Any]]


@functools.cache
def map_settings(solver: Solver) -> Solver:
    """A solver for G settings that share first parameters, key and examples.

    Every leaf of the settings has a leading axis of length G, as have the leaves of
    state and info. The scores of all models are one matrix product of width G * C.
    """
    return Solver(
        init=jax.vmap(solver.init, in_axes=(None, None, 0)),
        step=jax.vmap(solver.step, in_axes=(None, None, 0, None, 0)),
    )


@functools.cache
def map_seeds(solver: Solver) -> Solver:
    """A solver for S seeds that share settings and examples.

    First parameters and keys have a leading axis of length S, as have the leaves of
    state and info (before the axis of `map_settings`, if that was applied first).
    """
    return Solver(
        init=jax.vmap(solver.init, in_axes=(0, None, None)),
        step=jax.vmap(solver.step, in_axes=(0, None, 0, None, None)),
    )


@functools.cache
def map_weight_sets(solver: Solver) -> Solver:
    """A solver for several sets of example weights that share all else.

    Example weights have a leading axis, as have the leaves of state and info (before
    the axes of the maps applied first). Rows are still shared, so that folds, as
    weights of 0 and 1, are one matrix product.
    """
    axes: Any = Examples(None, None, example_weights=0)  # type: ignore[arg-type]
    return _map_problem(solver, axes)


@functools.cache
def map_normalizations(solver: Solver) -> Solver:
    """A solver for several normalisations of the same raw rows.

    The leaves of the normalisation have a leading axis, as have the leaves of state and
    info. Each normalisation needs a matrix product of its own.
    """
    axes: Any = Examples(None, None, normalization=0)  # type: ignore[arg-type]
    return _map_problem(solver, axes)


def _map_problem(solver: Solver, axes: Any) -> Solver:
    return Solver(
        init=jax.vmap(solver.init, in_axes=(None, axes, None)),
        step=jax.vmap(solver.step, in_axes=(None, None, 0, axes, None)),
    )


def run(
    solver: Solver,
    key: Array,
    state: PyTree,
    examples: Examples,
    settings: Settings,
    *,
    num_steps: int,
    steps_per_chunk: int = 1,
    first_step: int = 0,
) -> Iterator[tuple[int, PyTree, PyTree]]:
    """Runs steps ``first_step`` to ``num_steps`` in compiled chunks.

    Args:
      solver: a static argument; solvers are cached, so that equal calls share a
        program.
      key: a `jax.random.key`; for a solver from `map_seeds` one per seed.
      state: from ``solver.init`` or an earlier chunk. Its memory is donated: neither it
        nor a yielded state may be read after the next item is requested.
      examples: `jaxlin.Problem.examples` or prepared examples.
      settings: hyperparameters.
      num_steps: number of steps of the whole run, at least 0.
      steps_per_chunk: number of steps per compiled program, at least 1. A shorter last
        chunk compiles a second program.
      first_step: number of steps that led to ``state``, between 0 and ``num_steps``.

    Yields:
      ``(steps done, state, info)``, where info has a leading axis over the steps of the
      chunk.

    Raises:
      ValueError: before anything is compiled, if a number is out of range.
    """
    check.integer("num_steps", num_steps, at_least=0)
    check.integer("steps_per_chunk", steps_per_chunk, at_least=1)
    check.integer("first_step", first_step, at_least=0, at_most=num_steps)
    # One dtype for 0, 0.1 and arrays: another dtype would compile another program.
    dtype = state.params.weights.dtype
    settings = jax.tree.map(lambda value: jnp.asarray(value, dtype), settings)
    return _chunks(
        solver, key, state, examples, settings, num_steps, steps_per_chunk, first_step
    )


def _chunks(
    solver, key, state, examples, settings, num_steps, steps_per_chunk, first_step
):
    for start in range(first_step, num_steps, steps_per_chunk):
        length = min(steps_per_chunk, num_steps - start)
        state, info = _advance(
            key,
            jnp.int32(start),
            state,
            examples,
            settings,
            solver=solver,
            length=length,
        )
        yield start + length, state, info


@functools.partial(
    jax.jit, static_argnames=("solver", "length"), donate_argnames=("state",)
)
def _advance(key, start, state, examples, settings, *, solver, length):
    def body(state, step):
        return solver.step(key, step, state, examples, settings)

    return jax.lax.scan(body, state, start + jnp.arange(length))
