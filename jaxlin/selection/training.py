"""Sweeps of minibatch training: all combinations in one compiled program.

The axes are learning rates and seeds, which certified fits do not have, l2, loss
arguments, weight sets (folds) and normalisations of the features.

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
  >>> trained.shape  # normalisations, weight sets, seeds, settings
  (1, 3, 2, 4)

All models are trained at once, without slots: their states must fit into memory. A seed
gives the same initial weights and the same order of examples to every setting, so that
settings are compared on equal terms. Several losses need one call each.
"""

import itertools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, linear, objective
from jaxlin.linear import Bias, BiasName, Params
from jaxlin.normalization import Normalization, check_normalization
from jaxlin.problems import Problem, takes_problem
from jaxlin.selection.training_result import TrainingResult
from jaxlin.solvers import fit_checks, interface, minibatch
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.stats import metrics
from jaxlin.typing import Array, Loss, MakeOptimizer, PyTree

# Values folded into a seed's key, for its initial weights and its order of examples.
_INITIAL_WEIGHTS, _ORDER = range(2)
# Number of models whose scores of one block of rows are held at once.
_MODELS_PER_CHUNK = 16


@takes_problem
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
    bias: BiasName = "penalized",
    loss_arguments: Mapping[str, Sequence[float]] | None = None,
    num_seeds: int = 1,
    weight_sets: ArrayLike | None = None,
    normalizations: Sequence[Normalization] | None = None,
) -> TrainingResult:
    """Trains every combination, from small random weights, for all epochs.

    Args:
      key: a `jax.random.key`; seed s uses ``jax.random.fold_in(key, s)``, so that a
        larger ``num_seeds`` keeps the first seeds.
      problem: examples; their weights multiply every weight set.
      loss: loss of one example, as in `jaxlin.losses`.
      make_optimizer: function ``learning_rate -> optax.GradientTransformation``, such
        as ``optax.sgd``.
      batch_size: examples per step, from 1 to the number of examples.
      num_epochs: number of epochs, at least 1.
      learning_rates: distinct learning rates, above 0.
      l2s: distinct strengths of the penalty, at least 0.
      bias: treatment of the bias: ``"penalized"`` like the weights; ``"free"``, without
        a penalty; ``"none"`` keeps it at 0. Weight decay of the optimizer is its own
        affair, of a free bias too.
      loss_arguments: values to try by name, such as ``{"margin": (0.5, 1.0)}``; None
        leaves the loss its defaults.
      num_seeds: number of seeds, at least 1.
      weight_sets: sets of example weights, shape ``(sets, examples)``; None is one set
        of all ones.
      normalizations: normalisations of the raw rows that replace the problem's own, at
        least one; None keeps the problem's.

    Returns:
      The trained models. Settings are all combinations: l2 varies slowest, then the
      learning rate, then loss arguments.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
    """
    fit_checks.check_concrete(key=key)
    check.key("key", key)
    check.integer("num_epochs", num_epochs, at_least=1)
    check.integer("num_seeds", num_seeds, at_least=1)
    settings = _settings(learning_rates, l2s, loss_arguments or {})
    settings = settings._replace(bias=Bias.named(bias))
    stacked = _stacked(problem, weight_sets, normalizations)
    solver = minibatch.solver(
        loss=loss, make_optimizer=make_optimizer, batch_size=batch_size
    )
    solver = interface.map_seeds(interface.map_settings(solver))
    solver = interface.map_weight_sets(solver)
    if stacked.normalization is not None:
        solver = interface.map_normalizations(solver)
    params, keys = _initial(key, problem, num_seeds)
    state = solver.init(params, stacked, settings)
    losses = []
    chunks = interface.run(solver, keys, state, stacked, settings, num_steps=num_epochs)
    for _, state, info in chunks:  # noqa: B007, the last state is returned
        losses.append(info.loss)
    return _with_four_axes(
        state.params,
        jnp.concatenate(losses),
        settings,
        stacked.normalization,
        problem.classes,
    )


@takes_problem
def accuracies(
    trained: TrainingResult, problem: Problem, *, held_out: ArrayLike | None = None
) -> np.ndarray:
    """Accuracy of every model, on the four axes of `TrainingResult`.

    Args:
      trained: models from `train`.
      problem: examples and labels to test on; its normalisation is used if the training
        had none.
      held_out: weights of the test examples of each weight set's models, shape
        ``(sets, examples)``, such as 1 minus the training weights; they are multiplied
        by the problem's weights. None tests all models on all examples.

    Returns:
      Accuracies, shape ``(normalizations, weight_sets, seeds, settings)``.

    Raises:
      ValueError: if the problem's classes are not those of the training, in their
        order, or ``held_out`` has another shape.
    """
    if problem.classes.tolist() != trained.classes.tolist():
        raise ValueError(
            "problem must have the classes of the training, in their order, got "
            f"{problem.classes!s:.80} for {trained.classes!s:.80}; give "
            "jaxlin.problem(..., classes=trained.classes)"
        )
    num_weight_sets, examples = trained.shape[1], problem.examples
    if held_out is None:
        held_out = np.ones((num_weight_sets, problem.num_examples), np.float32)
    weights = _weight_sets("held_out", held_out, problem, allow_one_class=True)
    if len(weights) != num_weight_sets:
        raise ValueError(
            f"held_out must have {num_weight_sets} rows, one per weight set of the "
            f"sweep, got {len(weights)}"
        )
    accuracies = []
    for i in range(trained.shape[0]):
        normalization = examples.normalization
        if trained.normalizations is not None:
            normalization = jax.tree.map(
                lambda leaf, i=i: leaf[i], trained.normalizations
            )
        params = jax.tree.map(lambda leaf, i=i: leaf[i], trained.params)
        accuracies.append(
            np.asarray(_weighted_accuracies(params, examples, normalization, weights))
        )
    return np.stack(accuracies)


@jax.jit
def _weighted_accuracies(
    params: Params, examples: Examples, normalization: PyTree, weights: Array
) -> Array:
    """Accuracies ``(weight_sets, seeds, settings)``, each set with its own weights."""
    axes = params.bias.shape[:-1]

    def of_model(model: tuple[Params, Array]) -> Array:
        params, weight_set = model

        def of_block(rows: Array, labels: Array, weights: Array) -> metrics.Ratio:
            scores = objective.batch_scores(params, rows, normalization=normalization)
            return metrics.accuracy(scores, labels, example_weights=weights)

        return objective.blocked_sums(
            of_block, examples.features, examples.targets, weights[weight_set]
        ).value

    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(axes) :]), params)
    sets = jnp.repeat(jnp.arange(axes[0]), axes[1] * axes[2])
    # In chunks: the scores of all models on a block might not fit into memory.
    accuracies = jax.lax.map(of_model, (flat, sets), batch_size=_MODELS_PER_CHUNK)
    return accuracies.reshape(axes)


def _initial(key: Array, problem: Problem, num_seeds: int) -> tuple[Params, Array]:
    """Initial parameters and key of the order of examples, for each seed."""
    seeds = [jax.random.fold_in(key, seed) for seed in range(num_seeds)]
    initial = [
        linear.init(
            jax.random.fold_in(seed, _INITIAL_WEIGHTS),
            num_classes=problem.num_classes,
            num_features=problem.num_features,
        )
        for seed in seeds
    ]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *initial)
    return params, jnp.stack([jax.random.fold_in(seed, _ORDER) for seed in seeds])


def _settings(learning_rates, l2s, loss_arguments) -> Settings:
    """All combinations of the checked values; l2 varies slowest."""
    rates = check.numbers_list("learning_rates", learning_rates, above=0)
    penalties = check.numbers_list("l2s", l2s, at_least=0)
    tried = [
        check.numbers_list(f"loss_arguments[{name!r}]", values)
        for name, values in loss_arguments.items()
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
    """Examples with an axis of weight sets and, if any, an axis of normalisations."""
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
    """Checked weight sets, multiplied by the problem's own weights."""
    sets = problem.weight_sets(value, name=name, allow_one_class=allow_one_class)
    own, weights = problem.examples.example_weights, jnp.asarray(sets)
    return weights if own is None else weights * own[None]


def _with_four_axes(
    params: Params,
    loss: Array,
    settings: Settings,
    normalizations: Normalization | None,
    classes: np.ndarray,
) -> TrainingResult:
    """Result on the host; without normalisations, their axis has length 1."""
    params, losses = jax.tree.map(np.asarray, params), np.asarray(loss)
    if normalizations is None:
        params = jax.tree.map(lambda leaf: leaf[None], params)
        losses = losses[:, None]
    return TrainingResult(params, losses, settings, normalizations, classes)
