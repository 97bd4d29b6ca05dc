"""A sweep of minibatch training: every combination as one compiled program.

What certified fits have no use for is an axis here: learning rates and seeds, beside
l2, arguments of the loss, example weights (folds) and normalisations of the features.

  >>> import jax, optax
  >>> import jaxlin
  >>> from jaxlin import losses
  >>> from jaxlin.selection import folds
  >>> key = jax.random.key(0)
  >>> rows = jax.random.normal(key, (90, 3))
  >>> labels = (rows[:, 0] > 0).astype(int)
  >>> fold_ids = folds.stratified_k_fold(key, labels, num_folds=3)
  >>> trained = jaxlin.train(
  ...     key, jaxlin.problem(rows, labels),
  ...     loss=losses.softmax_cross_entropy, make_optimizer=optax.sgd, batch_size=10,
  ...     num_epochs=20, learning_rates=(0.1, 1.0), l2s=(1e-3, 1e-1), num_seeds=2,
  ...     weight_sets=folds.train_weights(fold_ids, num_folds=3))
  >>> trained.shape  # normalisations, weight_sets, seeds, settings
  (1, 3, 2, 4)

All models are trained at once, without slots: their states must fit into memory. All
seeds of a setting are trained on the same orders of examples as those of any other,
so that settings are compared on equal terms. For several losses call it once each.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, linear, objective
from jaxlin.certificates import duality
from jaxlin.linear import Params
from jaxlin.normalization import Normalization, check_normalization
from jaxlin.problems import Problem
from jaxlin.solvers import fit_loop, interface, minibatch
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.stats import metrics
from jaxlin.typing import Array, Loss, MakeOptimizer, PyTree

_FIRST_WEIGHTS, _ORDER = range(2)
# Models whose scores of a block of rows are held at once.
_MODELS_AT_ONCE = 16


class TrainingResult(NamedTuple):
    """All models, on four axes: normalisations, weight_sets, seeds, settings.

    Attributes:
      params: with these four axes before their own.
      loss: mean over the examples of each epoch, without penalty, shape
        ``(epochs, normalizations, weight_sets, seeds, settings)``. Not finite where
        training diverged.
      settings: learning rate, l2 and arguments of the loss, shape ``(settings,)`` each.
      normalizations: leaves with a leading axis, or None.
    """

    params: Params
    loss: np.ndarray
    settings: Settings
    normalizations: Normalization | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Normalisations, weight_sets, seeds, settings."""
        return self.loss.shape[1:]

    @property
    def diverged(self) -> np.ndarray:
        """Models whose last loss or weights are not finite, of the four axes."""
        last = np.isfinite(self.params.weights).all(axis=(-1, -2))
        return ~(np.isfinite(self.loss[-1]) & last)


def train(
    key: Array,
    problem: Problem,
    *,
    loss: Loss,
    make_optimizer: MakeOptimizer,
    batch_size: int,
    num_epochs: int,
    learning_rates: Sequence[float],
    l2s: Sequence[float],
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    num_seeds: int = 1,
    weight_sets: ArrayLike | None = None,
    normalizations: Sequence[Normalization] | None = None,
) -> TrainingResult:
    """Trains every combination from small random weights, for all epochs.

    Args:
      key: seed s draws weights and orders with ``jax.random.fold_in(key, s)``: more
        seeds keep the first ones.
      problem: the examples. Its weights multiply the weight_sets.
      loss: a loss of one example.
      make_optimizer: as of `jaxlin.solvers.minibatch.solver`, like ``batch_size``.
      batch_size: see ``make_optimizer``.
      num_epochs: at least 1.
      learning_rates: distinct, above 0.
      l2s: distinct, at least 0.
      loss_arguments: values to try of each, such as ``{"margin": (0.5, 1.0)}``.
      num_seeds: at least 1.
      weight_sets: example weights, shape ``(weight_sets, examples)``; None is all ones.
      normalizations: of the raw rows, in place of the problem's own.

    Returns:
      The models; settings are every combination, l2 slowest, learning rate next.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    fit_loop.check_concrete(key=key)
    check.key("key", key)
    check.integer("num_epochs", num_epochs, at_least=1)
    check.integer("num_seeds", num_seeds, at_least=1)
    settings = _settings(loss, learning_rates, l2s, loss_arguments or {})
    stacked = _stacked(problem, weight_sets, normalizations)
    solver = interface.map_seeds(
        interface.map_settings(
            minibatch.solver(
                loss=loss, make_optimizer=make_optimizer, batch_size=batch_size
            )
        )
    )
    solver = interface.map_weight_sets(solver)
    if stacked.normalization is not None:
        solver = interface.map_normalizations(solver)
    seeds = [jax.random.fold_in(key, seed) for seed in range(num_seeds)]
    first = [
        linear.init(
            jax.random.fold_in(seed, _FIRST_WEIGHTS),
            num_classes=problem.num_classes,
            num_features=problem.num_features,
        )
        for seed in seeds
    ]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *first)
    keys = jnp.stack([jax.random.fold_in(seed, _ORDER) for seed in seeds])
    state = solver.init(params, stacked, settings)
    losses = []
    chunks = interface.run(solver, keys, state, stacked, settings, num_steps=num_epochs)
    for _, state, info in chunks:  # noqa: B007, the last one is what is returned
        losses.append(info.loss)
    return _with_four_axes(state.params, jnp.concatenate(losses), settings, stacked)


def accuracies(
    trained: TrainingResult, problem: Problem, *, held_out: ArrayLike | None = None
) -> np.ndarray:
    """Accuracy of every model, of the four axes of `TrainingResult`.

    Args:
      trained: from `train`.
      problem: the rows and labels to test on; its normalisation is used where the
        sweep had none of its own.
      held_out: weights of the examples that a weight_set's models are tested on, shape
        ``(weight_sets, examples)``, such as one minus what they were trained with; None
        tests all models on all examples, with the problem's own example weights.

    Raises:
      ValueError: if the shape of ``held_out`` does not fit.
    """
    num_weight_sets, examples = trained.shape[1], problem.examples
    if held_out is None:
        held_out = np.ones((num_weight_sets, problem.num_examples), np.float32)
    weights = _weight_sets("held_out", held_out, problem, allow_one_class=True)
    if len(weights) != num_weight_sets:
        raise ValueError(
            f"held_out must have {num_weight_sets} rows, one per weight set of the "
            f"sweep, got {len(weights)}"
        )
    found = []
    for i in range(trained.shape[0]):
        own = examples.normalization
        if trained.normalizations is not None:
            own = jax.tree.map(lambda leaf, i=i: leaf[i], trained.normalizations)
        params = jax.tree.map(lambda leaf, i=i: leaf[i], trained.params)
        found.append(np.asarray(_weighted_accuracies(params, examples, own, weights)))
    return np.stack(found)


@jax.jit
def _weighted_accuracies(
    params: Params, examples: Examples, normalization: PyTree, weights: Array
) -> Array:
    """Of models ``(weight_sets, seeds, settings)`` on rows weighted so."""
    axes = params.bias.shape[:-1]

    def one(model: tuple[Params, Array]) -> Array:
        params, number = model

        def right(rows: Array, labels: Array, weights: Array) -> metrics.Ratio:
            scores = objective.batch_scores(params, rows, normalization=normalization)
            return metrics.accuracy(scores, labels, example_weights=weights)

        return objective.blocked_sums(
            right, examples.features, examples.targets, weights[number]
        ).value

    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(axes) :]), params)
    numbers = jnp.repeat(jnp.arange(axes[0]), axes[1] * axes[2])
    # Not all at once: their scores of a block might not fit into memory.
    found = jax.lax.map(one, (flat, numbers), batch_size=_MODELS_AT_ONCE)
    return found.reshape(axes)


def _settings(loss, learning_rates, l2s, loss_arguments) -> Settings:
    """Every combination, checked; l2 slowest."""
    rates = check.numbers_list("learning_rates", learning_rates, above=0)
    penalties = check.numbers_list("l2s", l2s, at_least=0)
    taken = duality.argument_names(loss)
    for name in loss_arguments:
        if name not in taken:
            raise ValueError(
                f"loss_arguments must be taken by {loss.__name__}, which takes "
                f"{', '.join(sorted(taken)) or 'nothing'}, got {name!r}"
            )
    tried = [
        check.numbers_list(f"loss_arguments[{name!r}]", some)
        for name, some in loss_arguments.items()
    ]
    columns = np.array(list(itertools.product(penalties, rates, *tried))).T
    return Settings(
        learning_rate=columns[1],
        l2=columns[0],
        loss_arguments=dict(zip(loss_arguments, columns[2:], strict=True)) or None,
    )


def _stacked(
    problem: Problem,
    weight_sets: ArrayLike | None,
    normalizations: Sequence[Normalization] | None,
) -> Examples:
    """The examples with an axis of weight sets and, if given, of normalisations."""
    if weight_sets is None:
        weight_sets = np.ones((1, problem.num_examples), np.float32)
    weights = _weight_sets("weight_sets", weight_sets, problem)
    examples = problem.examples._replace(example_weights=weights)
    if normalizations is None:
        if problem.normalization is None:
            return examples
        normalizations = [problem.normalization]
    if not normalizations:
        raise ValueError("normalizations must not be empty, got none")
    width = problem.num_features
    each = [check_normalization(one, num_features=width) for one in normalizations]
    return examples._replace(
        normalization=jax.tree.map(
            lambda *leaves: jnp.asarray(
                np.stack([np.broadcast_to(x, (width,)) for x in leaves])
            ),
            *each,
        )
    )


def _weight_sets(
    name: str, value: ArrayLike, problem: Problem, *, allow_one_class: bool = False
) -> Array:
    """Checked, and multiplied by the problem's own weights."""
    sets = problem.weight_sets(value, name=name, allow_one_class=allow_one_class)
    own, weights = problem.examples.example_weights, jnp.asarray(sets)
    return weights if own is None else weights * own[None]


def _with_four_axes(
    params: Params, loss: Array, settings: Settings, examples: Examples
) -> TrainingResult:
    """On the host; without normalisations theirs is an axis of one."""
    params, losses = jax.tree.map(np.asarray, params), np.asarray(loss)
    if examples.normalization is None:
        params = jax.tree.map(lambda leaf: leaf[None], params)
        losses = losses[:, None]
    return TrainingResult(params, losses, settings, examples.normalization)
