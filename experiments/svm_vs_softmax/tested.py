"""The test set, read once: accuracies, the comparison, bounds of the optimum."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common import paired
from experiments.common.study import Measured, Run
from experiments.svm_vs_softmax import protocol
from experiments.svm_vs_softmax.config import Config
from jaxlin import Fit, data, objective
from jaxlin.certificates.label_certificates import UNINFORMATIVE_WIDTH
from jaxlin.stats import intervals, metrics
from jaxlin.typing import Array, Loss

# Images that one classifier alone recognises, on a page.
_IMAGES = 10


def test(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Tests the final fit of each loss and compares the two."""
    labels = dataset.test.labels
    numbers, arrays = {}, {"labels": labels}
    for name in protocol.TITLES:
        fit = run.fit("optima", name)
        numbers[name], of_loss = _of_fit(fit, name, dataset)
        arrays |= {f"{name}_{field}": array for field, array in of_loss.items()}
    svm, softmax = (
        arrays[f"{name}_predictions"] for name in (protocol.HINGE, protocol.SOFTMAX)
    )
    for name, other in itertools.permutations(protocol.TITLES):
        telling = _only_one_right(arrays, name, other)
        arrays[f"{name}_alone"] = telling[:_IMAGES]
        arrays[f"{name}_alone_features"] = dataset.test.features[telling[:_IMAGES]]
    compared = paired.compare(
        softmax, svm, labels, key=protocol.key(config, protocol.BOOTSTRAP)
    )
    low, high = (
        numbers[protocol.SOFTMAX]["optimum"][end]
        - numbers[protocol.HINGE]["optimum"][other]
        for end, other in (("low", "high"), ("high", "low"))
    )
    shape = dataset.image_shape
    return Measured(
        {
            "losses": numbers,
            # Grey or RGB.
            "images": shape is not None
            and (len(shape) == 2 or shape[2:] in ((1,), (3,))),
            "comparison": compared,
            "optima_difference": {
                "interval": [low, high],
                "informative": high - low <= UNINFORMATIVE_WIDTH,
            },
            "per_class": _per_class(dataset, arrays),
        },
        arrays,
    )


def _of_fit(
    fit: Fit, name: str, dataset: data.Dataset
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Numbers and arrays of a fit on the test set."""
    features, labels = dataset.test
    evaluation = jaxlin.evaluate(fit, features, fit.classes[labels])
    scores = jaxlin.scores(fit, features)
    rounded, codes = jnp.asarray(scores, jnp.float32), jnp.asarray(labels)
    losses, bins, error = _losses_and_bins(rounded, codes, loss=protocol.LOSSES[name])
    numbers = {
        "accuracy": evaluation.accuracy.value,
        "interval": list(evaluation.accuracy.interval),
        "loss": float(jnp.mean(losses)),
        "calibration_error": float(error),
        "optimum": {
            **evaluation.optimum._asdict(),
            "in_words": str(evaluation.optimum),
        },
    }
    arrays = {
        "scores": scores,
        "predictions": scores.argmax(axis=1),
        "losses": np.asarray(losses),
        "certified": jaxlin.certified_labels(fit, features),
        **{f"bins_{field}": value for field, value in bins._asdict().items()},
    }
    return numbers, arrays


# One program: compiled one by one, its operations would take a second longer.
@functools.partial(jax.jit, static_argnames=("loss",))
def _losses_and_bins(
    scores: Array, labels: Array, *, loss: Loss
) -> tuple[Array, metrics.CalibrationBins, Array]:
    """Losses of all examples, calibration bins and calibration error."""
    bins = metrics.calibration_bins(jax.nn.softmax(scores), labels)
    losses = objective.example_losses(scores, labels, loss=loss)
    return losses, bins, metrics.expected_calibration_error(bins)


def _per_class(
    dataset: data.Dataset, arrays: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Accuracy of each class with Wilson intervals; None if absent."""
    table = []
    for label, class_name in enumerate(dataset.class_names):
        of_class = arrays["labels"] == label
        count = int(of_class.sum())
        row: dict[str, Any] = {"class": class_name, "count": count}
        for name in protocol.TITLES:
            right = int((arrays[f"{name}_predictions"][of_class] == label).sum())
            row[name] = right / count if count else None
            row[f"{name}_interval"] = (
                list(intervals.proportion_interval(right, count)) if count else None
            )
        table.append(row)
    return table


def _only_one_right(arrays: dict[str, np.ndarray], name: str, other: str) -> np.ndarray:
    """Examples that one classifier alone recognises, the most telling first.

    An example is telling if the one is sure of its class and the other sure of another.
    """
    labels = arrays["labels"]
    right, wrong = (arrays[f"{one}_predictions"] == labels for one in (name, other))
    only = np.flatnonzero(right & ~wrong)
    leads = (_lead(arrays[f"{one}_scores"], labels)[only] for one in (name, other))
    return only[np.argsort(-np.subtract(*leads), kind="stable")]


def _lead(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Lead of the true class over the best other, in spreads of the scores."""
    rows, others = np.arange(len(labels)), scores.copy()
    others[rows, labels] = -np.inf
    return (scores[rows, labels] - others.max(axis=1)) / scores.std()
