"""Runs the comparison: ``python -m experiments.svm_vs_softmax --help``."""

from collections.abc import Iterable, Mapping
from typing import Any

import experiments.svm_vs_softmax as experiment
from experiments.common import study
from experiments.svm_vs_softmax import figures, measure, protocol
from experiments.svm_vs_softmax.config import DIGITS, SMOKE, Config, check_gaps
from jaxlin import data


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config; raises a ValueError unless it fits the data set."""
    check_gaps(config)
    protocol.check_split(config, dataset)
    return config


_FIELDS = ("l2", "objective", "relative_gap", "converged", "passes")


def rows(run: study.Run) -> Iterable[Mapping[str, Any]]:
    """One row for each fit and each run of SGD; accuracy of the tested fits alone."""
    paths, optima, sgd, test = map(run.numbers, measure.parts(run.config))
    for name in protocol.TITLES:
        for fit in paths[name]["fits"]:
            yield {"loss": name, "stage": "path", **fit, "test_accuracy": None}
        optimum = {field: optima[name][field] for field in _FIELDS}
        accuracy = test["losses"][name]["accuracy"]
        yield {"loss": name, "stage": "optimum", **optimum, "test_accuracy": accuracy}
        for one in sgd[name]:
            yield {
                "loss": name,
                "stage": "sgd",
                "l2": optima[name]["l2"],
                "learning_rate": one["learning_rate"],
                "epochs": run.config.epochs,
                "relative_distance": one["relative_distance"][-1],
            }


def headlines(results: study.Results) -> Mapping[str, float]:
    """Test accuracies, and the paired comparison."""
    test = results["test"]
    return {
        **{
            f"test accuracy, {title}": test["losses"][name]["accuracy"]
            for name, title in protocol.TITLES.items()
        },
        "softmax less SVM": test["comparison"]["difference"],
        "McNemar p": test["comparison"]["mcnemar_p"],
    }


STUDY = study.Study(
    name="svm_vs_softmax",
    about=experiment.__doc__,
    config=Config(),
    presets={"smoke": SMOKE, DIGITS.dataset: DIGITS},
    parts=measure.parts,
    rows=rows,
    headlines=headlines,
    figures=figures.drawn,
    settle=settle,
)

if __name__ == "__main__":
    study.main(STUDY)
