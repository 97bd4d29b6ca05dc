"""The protocol: one split for all, a grid a loss, choice by validation, refit."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

import jaxlin
from experiments.common.run_folder import RunFolder
from experiments.svm_vs_softmax import training
from experiments.svm_vs_softmax.config import Config
from jaxlin import Problem, data, linear, losses, normalization, objective
from jaxlin.linear import Params
from jaxlin.selection import splits
from jaxlin.solvers import interface, minibatch
from jaxlin.stats import metrics
from jaxlin.typing import Array, Loss


class Method(NamedTuple):
    """A loss with the grid it is tuned over.

    Attributes:
      name: in results.json; the name of the loss.
      title: in the report.
      loss: of one example.
      settings: every (l2, learning rate) of the grid, l2 slowest.
      grid_shape: numbers of l2 values and of learning rates.
      first_loss: what the loss is at weights about zero, from theory.
      first_loss_formula: the same as text.
    """

    name: str
    title: str
    loss: Loss
    settings: tuple[tuple[float, float], ...]
    grid_shape: tuple[int, int]
    first_loss: float
    first_loss_formula: str


class Chosen(NamedTuple):
    """The outcome of one method's grid and refit.

    Attributes:
      grid: the models of the grid.
      validation: mean accuracy over seeds at the end, shape ``grid_shape``; NaN where
        a seed diverged.
      choice: index of the chosen setting in ``method.settings``.
      at_edge: which of the two grids the choice lies at an end of.
      refit: the models trained on all training examples.
    """

    grid: training.Trained
    validation: np.ndarray
    choice: int
    at_edge: tuple[str, ...]
    refit: training.Trained


class Prepared(NamedTuple):
    """The data as both methods see them, on the device.

    Attributes:
      search: the examples that grids train on, normalised by themselves.
      held_out: the examples that choices are made on, normalised as the search is.
      all_train: all training examples, normalised by themselves.
      learning_rate_unit: 1 / mean squared norm of a normalised example.
    """

    search: Problem
    held_out: interface.Examples
    all_train: Problem
    learning_rate_unit: float


# Small random weights move the first loss by a fraction of a percent on raw pixels.
_FIRST_LOSS_TOLERANCE = 0.1

# What the parts of a run draw from: keys folded with these never meet.
_SPLIT, _FIRST_WEIGHTS, _ORDER, BOOTSTRAP = range(4)


def key_for(config: Config, purpose: int) -> Array:
    """The key of one purpose."""
    return jax.random.fold_in(jax.random.key(config.seed), purpose)


def prepare(dataset: data.Dataset, config: Config) -> Prepared:
    """Splits, fits the normalisation, puts the examples on the device.

    Raises:
      ValueError: if the features are too large for float32.
    """
    labels = dataset.train.labels
    split = splits.stratified_split(
        key_for(config, _SPLIT), labels, fraction=config.validation_fraction
    )
    features = dataset.train.features
    search = _problem(dataset, split.train)
    held_out = interface.Examples(
        jnp.asarray(features[split.held_out]),
        jnp.asarray(labels[split.held_out]),
        normalization=search.examples.normalization,
    )
    all_train = _problem(dataset)
    norm = float(
        _mean_squared_norm(
            all_train.examples.features, all_train.examples.normalization
        )
    )
    if not np.isfinite(norm):
        raise ValueError(
            "features must have a mean squared norm that float32 can hold, got "
            f"{norm}; divide them by their largest value"
        )
    return Prepared(search, held_out, all_train, 1.0 / norm)


def methods(config: Config, prepared: Prepared, *, num_classes: int) -> list[Method]:
    """The two methods, in the order of reports."""

    def method(title, loss, l2, learning_rates, first_loss, formula):
        unit = prepared.learning_rate_unit
        # In order, so that the ends of a grid are its ends.
        l2, learning_rates = sorted(l2), sorted(learning_rates)
        settings = itertools.product(l2, [rate * unit for rate in learning_rates])
        return Method(
            loss.__name__,
            title,
            loss,
            tuple(settings),
            (len(l2), len(learning_rates)),
            first_loss,
            formula,
        )

    return [
        method(
            "Multiclass SVM",
            losses.weston_watkins_hinge,
            config.hinge_l2,
            config.hinge_learning_rates,
            num_classes - 1.0,
            "C - 1",
        ),
        method(
            "Softmax",
            losses.softmax_cross_entropy,
            config.softmax_l2,
            config.softmax_learning_rates,
            float(np.log(num_classes)),
            "log C",
        ),
    ]


def first_params(config: Config, prepared: Prepared, *, num_classes: int) -> Params:
    """Weights at the start, one a seed; both methods start from the same."""
    num_features = prepared.all_train.num_features
    key = key_for(config, _FIRST_WEIGHTS)
    each = [
        linear.init(
            jax.random.fold_in(key, seed),
            num_classes=num_classes,
            num_features=num_features,
        )
        for seed in range(config.seeds)
    ]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)


def first_losses(
    methods: list[Method], params: Params, prepared: Prepared
) -> dict[str, float]:
    """Mean training loss of each method before any training, of the first seed.

    Raises:
      ValueError: if one is far from what theory says of weights about zero.
    """
    first = jax.tree.map(lambda leaf: leaf[0], params)
    measured = {}
    for method in methods:
        loss = float(
            training_loss(first, prepared.all_train.examples, loss=method.loss)
        )
        if not abs(loss / method.first_loss - 1) < _FIRST_LOSS_TOLERANCE:
            raise ValueError(
                f"features must be small enough that weights about zero give "
                f"{method.name} about {method.first_loss_formula} = "
                f"{method.first_loss:.4f}, got {loss:.6g}; divide them by their "
                "largest value"
            )
        measured[method.name] = loss
    return measured


def tune_and_refit(
    folder: RunFolder,
    config: Config,
    method: Method,
    params: Params,
    prepared: Prepared,
) -> Chosen:
    """Trains the grid, chooses by mean validation accuracy, trains again on all."""
    l2, learning_rate = (
        jnp.array(column) for column in zip(*method.settings, strict=True)
    )
    grid = training.train(
        folder,
        stage(
            f"{method.name}-grid",
            config,
            method,
            params,
            prepared.search.examples,
            interface.Settings(learning_rate, l2),
            evaluate=lambda params: validation_accuracies(params, prepared.held_out),
        ),
    )
    validation = np.mean(grid.validation[-1], axis=0)
    validation[~np.isfinite(grid.losses[-1]).all(axis=0)] = np.nan
    if np.isnan(validation).all():
        raise ValueError(
            f"the learning rates of {method.name} must let one setting converge, but "
            "all diverged; try smaller ones"
        )
    choice = _best(validation, method.settings)
    chosen_l2, chosen_rate = method.settings[choice]
    refit = training.train(
        folder,
        stage(
            f"{method.name}-refit",
            config,
            method,
            params,
            prepared.all_train.examples,
            interface.Settings(jnp.float32(chosen_rate), jnp.float32(chosen_l2)),
        ),
    )
    if not np.isfinite(refit.losses).all():
        raise ValueError(
            f"the learning rates of {method.name} must converge on all training "
            f"examples too, but the chosen {chosen_rate:.3g} diverged in the refit; "
            "try smaller ones"
        )
    return Chosen(
        grid,
        validation.reshape(method.grid_shape),
        choice,
        _edges(method.grid_shape, choice),
        refit,
    )


def stage(
    name: str,
    config: Config,
    method: Method,
    params: Params,
    problem: interface.Examples,
    settings: interface.Settings,
    evaluate: Callable[[Params], ArrayLike] | None = None,
) -> training.Stage:
    """What is trained by SGD on a problem, for every seed and all settings at once.

    Args:
      name: of the stage.
      config: epochs, batches and seeds.
      method: the loss.
      params: at the start, one a seed.
      problem: the examples.
      settings: of one model or, with a leading axis, of several.
      evaluate: see `training.Stage`.
    """
    num_examples = problem.features.shape[0]
    updates = config.epochs * minibatch.updates_per_epoch(
        num_examples, batch_size=config.batch_size
    )
    solver = minibatch.solver(
        loss=method.loss,
        make_optimizer=training.momentum_with_cosine_decay(updates),
        batch_size=config.batch_size,
    )
    if np.asarray(settings.l2).ndim:
        solver = interface.map_settings(solver)
    key = key_for(config, _ORDER)
    keys = jnp.stack([jax.random.fold_in(key, seed) for seed in range(config.seeds)])
    return training.Stage(
        name,
        interface.map_seeds(solver),
        keys,
        params,
        problem,
        settings,
        config.epochs,
        config.evaluate_every,
        evaluate,
    )


def _problem(dataset: data.Dataset, examples: Any = slice(None)) -> Problem:
    features, labels = (part[examples] for part in dataset.train)
    return jaxlin.problem(
        features,
        labels,
        normalization=normalization.fit_centered(features, scale=dataset.max_value),
        classes=range(dataset.num_classes),
    )


def _best(validation: np.ndarray, settings: tuple[tuple[float, float], ...]) -> int:
    """The most accurate setting; of equal ones the most penalised, then the slowest."""
    converged = np.flatnonzero(~np.isnan(validation))
    return max(
        map(int, converged),
        key=lambda i: (validation[i], settings[i][0], -settings[i][1]),
    )


def _edges(shape: tuple[int, int], choice: int) -> tuple[str, ...]:
    """Grids at an end of which the choice lies: a wider grid might do better."""
    places = np.unravel_index(choice, shape)
    return tuple(
        name
        for name, place, length in zip(
            ("l2", "learning rate"), places, shape, strict=True
        )
        if length > 1 and place in (0, length - 1)
    )


@jax.jit
def _mean_squared_norm(features: Array, fitted: normalization.Normalization) -> Array:
    def squared_norm(row: Array) -> Array:
        # Plus the square of the constant feature.
        return jnp.sum(jnp.square(normalization.normalize(fitted, row))) + 1.0

    return jnp.mean(jax.lax.map(squared_norm, features, batch_size=1000))


@jax.jit
def validation_accuracies(params: Params, held_out: interface.Examples) -> Array:
    """Accuracy of the models of a grid, shape ``(seeds, settings)``."""

    def one(params: Params) -> Array:
        def right(rows: Array, labels: Array) -> metrics.Ratio:
            scores = objective.batch_scores(
                params, rows, normalization=held_out.normalization
            )
            return metrics.accuracy(scores, labels)

        return objective.blocked_sums(right, held_out.features, held_out.targets).value

    return jax.vmap(jax.vmap(one))(params)


@functools.partial(jax.jit, static_argnames="loss")
def training_loss(params: Params, problem: interface.Examples, *, loss: Loss) -> Array:
    """Mean loss over all examples, without a float copy of them."""
    scores = objective.blocked_scores(
        params, problem.features, normalization=problem.normalization
    )
    return jnp.mean(objective.example_losses(scores, problem.targets, loss=loss))
