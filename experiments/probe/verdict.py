"""What a probe concludes, in plain values."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.probe.config import Config
from jaxlin import Fit, ProbeResult, data
from jaxlin.data.embeddings import Coverage
from jaxlin.objective import penalties
from jaxlin.selection import calibration
from jaxlin.stats import intervals, metrics


class Tested(NamedTuple):
    """The model on the test examples.

    Attributes:
      model: as it is saved.
      predictions: labels, shape ``(examples,)``.
      probabilities: calibrated, shape ``(examples, classes)``.
      bins: of confidences before and after calibration.
    """

    model: Fit
    predictions: np.ndarray
    probabilities: np.ndarray
    bins: tuple[metrics.CalibrationBins, metrics.CalibrationBins]


def test(answer: ProbeResult, dataset: data.Dataset) -> Tested:
    """Predicts the test examples."""
    model = answer.fit._replace(classes=np.array(dataset.class_names))
    scores = jaxlin.scores(model, dataset.test.features)
    labels = jnp.asarray(dataset.test.labels)
    before, after = (
        calibration.probabilities(scores, temperature=value)
        for value in (1.0, model.temperature)
    )
    bins = (
        metrics.calibration_bins(before, labels),
        metrics.calibration_bins(after, labels),
    )
    return Tested(model, scores.argmax(axis=1), np.asarray(after), bins)


def results(
    config: Config,
    answer: ProbeResult,
    tested: Tested,
    dataset: data.Dataset,
    coverage: Coverage | None,
) -> dict[str, Any]:
    """The conclusions; accuracies count answers outside the vocabulary as wrong."""
    num_inside = len(dataset.test.labels)
    num_test = coverage.test_examples if coverage is not None else num_inside
    correct = round(answer.accuracy * num_inside)
    converged = () if answer.table is None else answer.table.fits.converged
    before, after = (
        float(metrics.expected_calibration_error(bins)) for bins in tested.bins
    )
    share = num_inside / num_test
    (c,) = _cs_of([answer.l2], len(dataset.train.labels), dataset.num_classes)
    return {
        "test_accuracy": correct / num_test,
        "test_accuracy_interval": list(
            intervals.proportion_interval(correct, num_test)
        ),
        "optimum_accuracy": [
            share * answer.optimum.low,
            share * answer.optimum.high,
        ],
        "labels_certified": answer.optimum.certified,
        "num_train": len(dataset.train.labels),
        "num_test": num_test,
        "num_features": dataset.num_features,
        "num_classes": dataset.num_classes,
        "c": c,
        "l2": answer.l2,
        "at_edge": answer.at_edge,
        "relative_gap": answer.fit.relative_gap,
        "converged": answer.fit.converged,
        "fits_compared": len(converged),
        "fits_certified": int(sum(converged)),
        "evaluations": answer.passes,
        "temperature": float(answer.temperature.value),
        "temperature_at_bound": bool(answer.temperature.at_bound),
        "calibration_error": {"before": before, "after": after},
        "num_held_out": answer.num_held_out,
        "notes": list(answer.notes),
        "answers": None
        if coverage is None
        else {**coverage._asdict(), "ceiling": coverage.ceiling},
        "config": {"loss": config.loss, "choose": config.choose},
    }


def rows(answer: ProbeResult, *, num_examples: int) -> list[dict[str, Any]]:
    """One row a value of C, the smallest first; none if nothing was held out."""
    if answer.table is None:
        return []
    of_l2 = answer.table.rows()
    cs = _cs_of([row["l2"] for row in of_l2], num_examples, len(answer.fit.params.bias))
    found = [
        {"c": c, **row, "chosen": row["l2"] == answer.l2}
        for c, row in zip(cs, of_l2, strict=True)
    ]
    return sorted(found, key=lambda row: row["c"])


def _cs_of(l2s: list[float], num_examples: int, num_classes: int) -> tuple[float, ...]:
    """Scikit-learn's C of each l2: the formula is its own inverse."""
    return penalties.l2_of_c(l2s, total_weight=num_examples, num_classes=num_classes)


def line(results: dict[str, Any]) -> str:
    """The verdict in one line."""
    low, high = (100 * end for end in results["test_accuracy_interval"])
    return (
        f"test accuracy {100 * results['test_accuracy']:.2f} % [{low:.2f}, "
        f"{high:.2f}] at C = {results['c']:.3g} (l2 {results['l2']:.3g}"
        + (", at an edge of the grid" if results["at_edge"] else "")
        + f"); {results['relative_gap']:.1e} of its objective is unproven; "
        f"{results['fits_certified']} of {results['fits_compared']} fits compared have "
        f"proven their gap; {results['evaluations']:,} evaluations of models"
    )
