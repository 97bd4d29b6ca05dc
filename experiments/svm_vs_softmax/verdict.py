"""The test set, read once: accuracies with intervals, the paired comparison."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.svm_vs_softmax.protocol import (
    BOOTSTRAP,
    Chosen,
    Method,
    Prepared,
    key_for,
    training_loss,
)
from jaxlin import data, objective
from jaxlin.certificates import duality
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.solvers import interface
from jaxlin.stats import comparison, intervals, metrics

DIFFERENCE = "softmax_cross_entropy less weston_watkins_hinge"


class Tested(NamedTuple):
    """The refitted models of one method on the test set, one row a seed.

    Attributes:
      scores: shape ``(seeds, examples, classes)``.
      predictions: shape ``(seeds, examples)``.
      correct: shape ``(seeds, examples)``.
      losses: of single examples, shape ``(seeds, examples)``.
      training_objective: mean loss plus penalty on all training examples, ``(seeds,)``.
    """

    scores: np.ndarray
    predictions: np.ndarray
    correct: np.ndarray
    losses: np.ndarray
    training_objective: np.ndarray


def evaluate(
    method: Method, chosen: Chosen, prepared: Prepared, test: data.Split
) -> Tested:
    """Scores the test set with the refitted models.

    Raises:
      ValueError: if a score is not finite.
    """
    l2 = method.settings[chosen.choice][0]
    return evaluate_params(
        method, chosen.refit.params, l2, prepared.all_train.examples, test
    )


def model(
    method: Method, params: Params, l2: float, problem: jaxlin.Problem
) -> jaxlin.Fit:
    """A trained model as it is saved, with a certificate where l2 allows one."""
    # A duality gap needs an l2 above 0; any does for the rest of the fit.
    fit = jaxlin.certify(problem, params, loss=method.loss, l2=l2 or 1.0)
    if l2:
        return fit
    primal = float(training_loss(params, problem.examples, loss=method.loss))
    nothing = duality.Certificate(primal, -np.inf, np.inf, 0.0)  # type: ignore[arg-type]
    return fit._replace(
        l2=0.0, certificate=nothing, relative_gap=np.inf, converged=False
    )


def evaluate_params(
    method: Method,
    params: Params,
    l2: float,
    problem: interface.Examples,
    test: data.Split,
) -> Tested:
    """Scores the test set with models of one method, one a seed.

    Raises:
      ValueError: if a score is not finite.
    """
    scores = class_scores(params, jnp.asarray(test.features), problem.normalization)
    if not jnp.isfinite(scores).all():
        raise ValueError(
            f"test features must give finite scores, got {method.name} scores that "
            "are not; are they in the units of the training features?"
        )
    labels = jnp.asarray(test.labels)
    objectives, example_losses, correct = [], [], []
    for seed, seed_scores in enumerate(scores):
        one = jax.tree.map(lambda leaf, seed=seed: leaf[seed], params)
        value = training_loss(one, problem, loss=method.loss)
        objectives.append(float(value + objective.penalty(one, l2=l2)))
        example_losses.append(
            objective.example_losses(seed_scores, labels, loss=method.loss)
        )
        correct.append(metrics.correct(seed_scores, labels))
    return Tested(
        np.asarray(scores),
        np.asarray(jnp.argmax(scores, axis=-1), np.int32),
        np.asarray(jnp.stack(correct)),
        np.asarray(jnp.stack(example_losses)),
        np.array(objectives),
    )


def results(
    config: Any,
    dataset: data.Dataset,
    methods: list[Method],
    chosen: list[Chosen],
    tested: list[Tested],
    first_losses: dict[str, float],
    unit: float,
) -> dict[str, Any]:
    """Everything that results.json says, but for the timing."""
    key = key_for(config, BOOTSTRAP)
    svm, softmax = tested
    return {
        "dataset": dataset.name,
        "num_train": len(dataset.train.labels),
        "num_test": len(dataset.test.labels),
        "num_classes": dataset.num_classes,
        "learning_rate_unit": unit,
        "losses": {
            method.name: _method_results(
                config, dataset, method, one, test, first_losses[method.name]
            )
            for method, one, test in zip(methods, chosen, tested, strict=True)
        },
        "comparison": {
            **compare(svm, softmax, key),
            "difference_is": f"{DIFFERENCE}, first seed",
            "difference_of_means_over_seeds": softmax.correct.mean()
            - svm.correct.mean(),
        },
        "per_class": per_class(dataset, methods, tested),
    }


def rows(
    config: Any, methods: list[Method], chosen: list[Chosen], tested: list[Tested]
) -> list[dict[str, Any]]:
    """One row of results.csv for each model trained."""
    table = []
    for method, one, test in zip(methods, chosen, tested, strict=True):
        for index, (l2, learning_rate) in enumerate(method.settings):
            for seed in range(config.seeds):
                table.append(
                    {
                        "loss": method.name,
                        "stage": "grid",
                        "l2": l2,
                        "learning_rate": learning_rate,
                        "seed": seed,
                        "train_loss": one.grid.losses[-1, seed, index],
                        "validation_accuracy": one.grid.validation[-1, seed, index],
                        "test_accuracy": None,
                    }
                )
        l2, learning_rate = method.settings[one.choice]
        for seed in range(config.seeds):
            table.append(
                {
                    "loss": method.name,
                    "stage": "refit",
                    "l2": l2,
                    "learning_rate": learning_rate,
                    "seed": seed,
                    "train_loss": one.refit.losses[-1, seed],
                    "validation_accuracy": None,
                    "test_accuracy": test.correct[seed].mean(),
                }
            )
    return table


def per_example(
    dataset: data.Dataset, methods: list[Method], tested: list[Tested]
) -> dict[str, np.ndarray]:
    """Arrays of per_example.npz: labels, and for each loss one row a seed."""
    arrays = {"labels": dataset.test.labels}
    for method, test in zip(methods, tested, strict=True):
        arrays[f"{method.name}_predictions"] = test.predictions
        arrays[f"{method.name}_losses"] = test.losses
        arrays[f"{method.name}_scores"] = test.scores
    return arrays


def _method_results(config, dataset, method, chosen, tested, first_loss):
    accuracies = tested.correct.mean(axis=1)
    spread = intervals.mean_and_spread(accuracies)
    l2, learning_rate = method.settings[chosen.choice]
    num_seeds, num_examples = tested.correct.shape
    right = round(tested.correct.sum() / num_seeds)
    over_images = intervals.proportion_interval(right, num_examples)
    return {
        "test_accuracy": spread.mean,
        # Wilson, of the mean over seeds: what another test set would give.
        "test_accuracy_interval": over_images,
        "test_accuracy_standard_deviation": spread.standard_deviation,
        "test_accuracy_first_seed": accuracies[0],
        "test_loss": tested.losses.mean(),
        "calibration_error": float(
            metrics.expected_calibration_error(
                calibration_bins(tested.scores[0], dataset.test.labels)
            )
        ),
        "validation_accuracy": np.nanmax(chosen.validation),
        "l2": l2,
        "learning_rate": learning_rate,
        "seeds": config.seeds,
        "settings_tried": len(method.settings),
        "chosen_at_edge_of": chosen.at_edge,
        "training_objective": tested.training_objective.mean(),
        "first_loss": first_loss,
        "first_loss_expected": method.first_loss,
    }


def compare(svm: Tested, softmax: Tested, key: jax.Array) -> dict[str, Any]:
    """Softmax less SVM, on the first model of each."""
    first, second = svm.correct[0], softmax.correct[0]
    difference = comparison.paired_bootstrap(
        second.astype(float) - first.astype(float), key=key
    )
    test = comparison.mcnemar(first, second)
    return {
        "difference": difference.value,
        "interval": difference.interval,
        "mcnemar_p": test.p_value,
        "discordant": test.discordant,
        "only_svm_right": test.only_a,
        "only_softmax_right": test.only_b,
        "agreement": comparison.agreement(svm.predictions[0], softmax.predictions[0]),
    }


def per_class(
    dataset: data.Dataset, methods: list[Method], tested: list[Tested]
) -> list[dict[str, Any]]:
    """Accuracy of each class, first model of each method; None if absent.

    With Wilson intervals.
    """
    labels = dataset.test.labels
    table = []
    for label, name in enumerate(dataset.class_names):
        of_class = labels == label
        count = int(of_class.sum())
        row: dict[str, Any] = {"class": name, "count": count}
        for method, test in zip(methods, tested, strict=True):
            right = int(test.correct[0][of_class].sum())
            row[method.name] = None if count == 0 else right / count
            row[f"{method.name}_interval"] = (
                None if count == 0 else intervals.proportion_interval(right, count)
            )
        table.append(row)
    return table


def calibration_bins(scores: np.ndarray, labels: np.ndarray) -> metrics.CalibrationBins:
    """Reliability of the softmax of the scores."""
    probabilities = jax.nn.softmax(jnp.asarray(scores), axis=-1)
    return metrics.calibration_bins(probabilities, jnp.asarray(labels))


@jax.jit
def class_scores(
    params: Params, features: jax.Array, fitted: Normalization
) -> jax.Array:
    """Scores by models with a leading axis, ``(models, examples, classes)``."""

    def one(params: Params) -> jax.Array:
        return objective.blocked_scores(params, features, normalization=fitted)

    return jax.vmap(one)(params)
