"""The test set, read once: accuracies, comparison, what is proven of the optimum."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.svm_vs_softmax import verdict
from experiments.svm_vs_softmax.certified import saved
from experiments.svm_vs_softmax.certified.distance import Distance
from experiments.svm_vs_softmax.certified.fits import Path
from experiments.svm_vs_softmax.certified.saved import Optimum
from experiments.svm_vs_softmax.protocol import BOOTSTRAP, Method, key_for
from experiments.svm_vs_softmax.start import Started
from experiments.svm_vs_softmax.verdict import Tested
from jaxlin import data
from jaxlin.certificates import duality, label_certificates
from jaxlin.certificates.label_certificates import AccuracyInterval
from jaxlin.linear import Params
from jaxlin.solvers.interface import Examples
from jaxlin.stats import intervals, metrics


class Outcome(NamedTuple):
    """All that was fitted and trained of one method."""

    path: Path
    optimum: Optimum
    distance: Distance


class Proven(NamedTuple):
    """The tested model and what its certificate says of the exact optimum.

    Attributes:
      tested: its answers on the test set.
      radius: bound of the Frobenius distance of its parameters from the optimum's.
      same: which test examples the optimum provably labels as it does.
      accuracy: between which bounds the optimum's test accuracy lies.
    """

    tested: Tested
    radius: float
    same: np.ndarray
    accuracy: AccuracyInterval


def model(optimum: Optimum) -> Params:
    """The polished parameters as they are saved, tested and shown: in float32."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), optimum.params)


def evaluate(
    method: Method, optimum: Optimum, problem: Examples, test: data.Split
) -> Proven:
    """Tests the model of one method, and what is proven of the exact optimum.

    Raises:
      ValueError: if a score is not finite.
    """
    params = model(optimum)
    with_seed = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], params)
    tested = verdict.evaluate_params(method, with_seed, optimum.l2, problem, test)
    # The certificate is of the parameters before they were rounded to float32.
    moved = jax.tree.map(np.subtract, params, optimum.params)
    moved_by = float(np.linalg.norm([np.linalg.norm(leaf) for leaf in moved]))
    features, fitted = jnp.asarray(test.features), problem.normalization
    # float32 scores would leave more labels open than the optimum's distance does.
    with jax.enable_x64(True):
        radius = float(duality.radius(optimum.certificate, l2=optimum.l2)) + moved_by
        precise = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), with_seed)
        scores = verdict.class_scores(precise, features, fitted)[0]
        same = label_certificates.same_labels(
            jax.tree.map(lambda leaf: leaf[0], precise),
            features,
            radius=radius,
            normalization=fitted,
        )
    # Of examples that float32 labels otherwise, nothing is claimed.
    same &= np.asarray(scores).argmax(axis=1) == tested.predictions[0]
    accuracy = label_certificates.accuracy_interval(
        jnp.asarray(tested.correct[0]), same
    )
    return Proven(tested, radius, np.asarray(same), accuracy)


def results(
    started: Started, outcomes: list[Outcome], proven: list[Proven]
) -> dict[str, Any]:
    """Everything that results.json says, but for the timing."""
    dataset, methods = started.dataset, started.methods
    tested = [one.tested for one in proven]
    key = key_for(started.config, BOOTSTRAP)
    svm, softmax = proven
    return {
        "dataset": dataset.name,
        "solver": started.config.solver,
        "num_train": len(dataset.train.labels),
        "num_test": len(dataset.test.labels),
        "num_classes": dataset.num_classes,
        "learning_rate_unit": started.prepared.learning_rate_unit,
        "losses": {
            method.name: _method_results(started, method, outcome, one)
            for method, outcome, one in zip(methods, outcomes, proven, strict=True)
        },
        "comparison": {
            **verdict.compare(svm.tested, softmax.tested, key),
            "difference_is": verdict.DIFFERENCE,
            "difference_of_exact_optima": difference(svm.accuracy, softmax.accuracy),
        },
        "per_class": verdict.per_class(dataset, methods, tested),
    }


def difference(svm: AccuracyInterval, softmax: AccuracyInterval) -> tuple[float, float]:
    """Bounds of softmax's less the SVM's accuracy, both at their exact optimum."""
    return softmax.low - svm.high, softmax.high - svm.low


def rows(
    started: Started, outcomes: list[Outcome], proven: list[Proven]
) -> list[dict[str, Any]]:
    """One row of results.csv for each model fitted or trained."""
    table = []
    for method, outcome, one in zip(started.methods, outcomes, proven, strict=True):
        for tried in outcome.path.tried:
            table.append(
                {
                    **_fit_row(method, "path", tried),
                    "validation_accuracy": tried.validation_accuracy,
                    "test_accuracy": None,
                }
            )
        table.append(
            {
                **_fit_row(method, "optimum", outcome.optimum),
                "test_accuracy": one.tested.correct[0].mean(),
            }
        )
        distance = outcome.distance
        for rate, relative in zip(
            distance.learning_rates, distance.relative[-1], strict=True
        ):
            table.append(
                {
                    "loss": method.name,
                    "stage": "sgd",
                    "l2": outcome.optimum.l2,
                    "learning_rate": rate,
                    "epochs": int(distance.epochs[-1]),
                    "relative_distance": relative,
                }
            )
    return table


def per_example(
    dataset: data.Dataset, methods: list[Method], proven: list[Proven]
) -> dict[str, np.ndarray]:
    """Arrays of per_example.npz: labels, and for each loss one entry an example."""
    arrays = {"labels": dataset.test.labels}
    for method, one in zip(methods, proven, strict=True):
        arrays[f"{method.name}_predictions"] = one.tested.predictions[0]
        arrays[f"{method.name}_losses"] = one.tested.losses[0]
        arrays[f"{method.name}_scores"] = one.tested.scores[0]
        arrays[f"{method.name}_certified"] = one.same
    return arrays


def _method_results(
    started: Started, method: Method, outcome: Outcome, proven: Proven
) -> dict[str, Any]:
    config, tested, optimum = started.config, proven.tested, outcome.optimum
    right, count = int(tested.correct[0].sum()), len(tested.correct[0])
    distance = outcome.distance
    return {
        **saved.record(optimum),
        "training_objective": optimum.objective,
        "evaluations_to_relative_gap": optimum.evaluations_to(config.relative_gap),
        "test_accuracy": right / count,
        "test_accuracy_interval": intervals.proportion_interval(right, count),
        "test_loss": tested.losses.mean(),
        "calibration_error": float(
            metrics.expected_calibration_error(
                verdict.calibration_bins(tested.scores[0], started.dataset.test.labels)
            )
        ),
        "exact_optimum": {
            "parameters_within": proven.radius,
            "test_accuracy_at_least": proven.accuracy.low,
            "test_accuracy_at_most": proven.accuracy.high,
            "labels_certified": proven.accuracy.certified,
            "in_words": str(proven.accuracy),
        },
        "validation_accuracy": outcome.path.chosen.validation_accuracy,
        "l2_tried": len(outcome.path.tried),
        "chosen_at_edge_of": ["l2"] if outcome.path.at_edge else [],
        "path": [saved.record(tried) for tried in outcome.path.tried],
        "sgd": {
            "epochs": distance.epochs,
            "learning_rates": distance.learning_rates,
            "relative_distance": distance.relative.T,
        },
        "first_loss": started.first_losses[method.name],
        "first_loss_expected": method.first_loss,
    }


def _fit_row(method: Method, stage: str, fit: saved.Tried | Optimum) -> dict[str, Any]:
    return {
        "loss": method.name,
        "stage": stage,
        "l2": fit.l2,
        "objective": fit.certificate.primal,
        "relative_gap": fit.relative_gap,
        "converged": fit.converged,
        "evaluations": fit.evaluations,
    }
