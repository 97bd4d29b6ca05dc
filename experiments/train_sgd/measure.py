"""The grid of each loss, its choice and refit, and the test."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.common import paired
from experiments.common.study import Measured, Part, Run
from experiments.svm_vs_softmax import protocol
from experiments.svm_vs_softmax.measure import learning_rates
from experiments.svm_vs_softmax.protocol import HINGE, SOFTMAX
from experiments.train_sgd.config import Config
from jaxlin import data, linear, objective
from jaxlin.linear import Params
from jaxlin.selection import training
from jaxlin.solvers import minibatch
from jaxlin.stats import intervals
from jaxlin.typing import Array, Loss

# Small random weights move the first loss by a fraction of a percent on raw pixels.
_FIRST_LOSS_TOLERANCE = 0.1


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run; the last one alone reads the test set."""
    tuned = {name: functools.partial(_tuned, name=name) for name in protocol.TITLES}
    return {**tuned, "test": test}


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config; raises a ValueError unless it fits the data set."""
    protocol.check_split(config, dataset)
    return config


def _tuned(config: Config, dataset: data.Dataset, run: Run, *, name: str) -> Measured:
    """Trains the grid of a loss, chooses, and trains the choice on all examples."""
    split = protocol.split(config, dataset.train.labels)
    everything = protocol.problem(dataset)
    searched = protocol.problem(dataset, split.train)
    unit = protocol.learning_rate_unit(everything)
    first = _first_loss(config, everything, name)
    l2s = sorted(config.hinge_l2 if name == HINGE else config.softmax_l2)
    rates = [unit * rate for rate in learning_rates(config, name)]
    grid = _trained(config, searched, name, rates, l2s)
    held_out = protocol.problem(dataset, split.held_out, fitted=searched.normalization)
    validation = np.where(grid.diverged, np.nan, training.accuracies(grid, held_out))[
        0, 0
    ].T
    settings = [(l2, rate) for l2 in l2s for rate in rates]
    choice = choose(validation, settings)
    l2, rate = settings[choice]
    refit = _trained(config, everything, name, [rate], [l2])
    if refit.diverged.any():
        raise ValueError(
            f"the learning rates of {name} must converge on all training examples too, "
            f"but the chosen {rate:.3g} diverged in the refit; try smaller ones"
        )
    fits = {
        f"seed{seed}": jaxlin.certify(
            everything,
            Params(*(leaf[0, 0, seed, 0] for leaf in refit.params)),
            loss=protocol.LOSSES[name],
            l2=l2,
        )
        for seed in range(config.seeds)
    }
    return Measured(
        {
            "settings": [
                {"l2": l2, "learning_rate": rate, "validation_accuracy": accuracies}
                for (l2, rate), accuracies in zip(settings, validation, strict=True)
            ],
            "grid_shape": [len(l2s), len(rates)],
            "choice": choice,
            "at_edge_of": _edges((len(l2s), len(rates)), choice),
            "learning_rate_unit": unit,
            "first_loss": first,
            "objective": np.mean([fit.certificate.primal for fit in fits.values()]),
        },
        {"grid_losses": grid.loss[:, 0, 0], "refit_losses": refit.loss[:, 0, 0, :, 0]},
        fits,
    )


def _trained(
    config: Config, problem: jaxlin.Problem, name: str, rates: list, l2s: list
) -> jaxlin.TrainingResult:
    updates = minibatch.updates_per_epoch(
        problem.num_examples, batch_size=config.batch_size
    )
    return jaxlin.train(
        protocol.key(config, protocol.SGD),
        problem,
        loss=protocol.LOSSES[name],
        make_optimizer=protocol.momentum_with_cosine_decay(config.epochs * updates),
        batch_size=config.batch_size,
        num_epochs=config.epochs,
        learning_rates=rates,
        l2s=l2s,
        num_seeds=config.seeds,
    )


def _first_loss(config: Config, problem: jaxlin.Problem, name: str) -> dict[str, float]:
    """Mean training loss at small random weights, and what theory says of it.

    Raises:
      ValueError: if the two are far apart.
    """
    classes = problem.num_classes
    expected = classes - 1.0 if name == HINGE else float(np.log(classes))
    start = linear.init(
        protocol.key(config, protocol.SGD),
        num_classes=classes,
        num_features=problem.num_features,
    )
    # The penalty of such weights is about 1e-8 of the objective.
    certified = jaxlin.certify(problem, start, loss=protocol.LOSSES[name], l2=1e-3)
    found = float(certified.certificate.primal)
    if not abs(found / expected - 1) < _FIRST_LOSS_TOLERANCE:
        raise ValueError(
            f"features must be small enough that weights about zero give {name} about "
            f"{expected:.4f}, got {found:.6g}; divide them by their largest value"
        )
    return {"measured": found, "expected": expected}


def choose(validation: np.ndarray, settings: list[tuple[float, float]]) -> int:
    """Index of the best mean accuracy over seeds, shape ``(settings, seeds)``.

    NaN marks a model that diverged. Of equal settings the most penalised is chosen,
    then the one with the smallest learning rate.

    Raises:
      ValueError: if no setting converged for all seeds.
    """
    means = validation.mean(axis=1)
    converged = np.flatnonzero(~np.isnan(means))
    if not len(converged):
        raise ValueError(
            "the learning rates must let one setting converge, but all diverged; try "
            "smaller ones"
        )
    return max(
        map(int, converged), key=lambda i: (means[i], settings[i][0], -settings[i][1])
    )


def _edges(shape: tuple[int, int], choice: int) -> list[str]:
    """Grids at an end of which the choice lies: a wider grid might do better."""
    places = np.unravel_index(choice, shape)
    return [
        name
        for name, place, length in zip(
            ("l2", "learning rate"), places, shape, strict=True
        )
        if length > 1 and place in (0, length - 1)
    ]


def test(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Tests the refitted models, and compares those of the first seed."""
    features, labels = dataset.test
    numbers: dict[str, Any] = {}
    arrays = {"labels": labels}
    for name in protocol.TITLES:
        fits = [run.fit(name, f"seed{seed}") for seed in range(config.seeds)]
        scores = np.stack([jaxlin.scores(fit, features) for fit in fits])
        arrays[f"{name}_scores"] = scores
        arrays[f"{name}_predictions"] = scores.argmax(axis=-1)
        arrays[f"{name}_losses"] = np.asarray(
            _losses(scores, labels, loss=protocol.LOSSES[name])
        )
        right = arrays[f"{name}_predictions"] == labels
        spread = intervals.mean_and_spread(right.mean(axis=1))
        numbers[name] = {
            "accuracy": spread.mean,
            # Wilson, of the mean over seeds: another test set.
            "interval": list(
                intervals.proportion_interval(
                    round(right.sum() / len(fits)), len(labels)
                )
            ),
            "standard_deviation": spread.standard_deviation,
            "accuracies": right.mean(axis=1),
            "loss": arrays[f"{name}_losses"].mean(),
        }
    softmax, svm = (arrays[f"{name}_predictions"][0] for name in (SOFTMAX, HINGE))
    compared = paired.compare(
        softmax, svm, labels, key=protocol.key(config, protocol.BOOTSTRAP)
    )
    return Measured({"losses": numbers, "comparison": compared}, arrays)


@functools.partial(jax.jit, static_argnames="loss")
def _losses(scores: Array, labels: Array, *, loss: Loss) -> Array:
    """Losses of single examples, shape ``(seeds, examples)``."""

    def of_seed(scores: Array) -> Array:
        return objective.example_losses(scores, labels, loss=loss)

    return jax.vmap(of_seed)(scores)
