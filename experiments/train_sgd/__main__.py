"""Runs the training: ``python -m experiments.train_sgd --help``."""

from collections.abc import Iterable, Mapping
from typing import Any

import experiments.train_sgd as experiment
from experiments.common import study
from experiments.svm_vs_softmax.protocol import TITLES
from experiments.train_sgd import figures, measure
from experiments.train_sgd.config import DIGITS, SMOKE, Config


def rows(run: study.Run) -> Iterable[Mapping[str, Any]]:
    """One row for each model; test accuracy of the refitted ones alone."""
    tested = run.numbers("test")["losses"]
    for name in TITLES:
        tuned, losses = run.numbers(name), run.arrays(name)
        settings = tuned["settings"]
        for i, setting in enumerate(settings):
            for seed, accuracy in enumerate(setting["validation_accuracy"]):
                yield {
                    "loss": name,
                    "stage": "grid",
                    "l2": setting["l2"],
                    "learning_rate": setting["learning_rate"],
                    "seed": seed,
                    "train_loss": losses["grid_losses"][-1, seed, i],
                    "validation_accuracy": accuracy,
                    "test_accuracy": None,
                }
        chosen = settings[tuned["choice"]]
        for seed, accuracy in enumerate(tested[name]["accuracies"]):
            yield {
                "loss": name,
                "stage": "refit",
                "l2": chosen["l2"],
                "learning_rate": chosen["learning_rate"],
                "seed": seed,
                "train_loss": losses["refit_losses"][-1, seed],
                "validation_accuracy": None,
                "test_accuracy": accuracy,
            }


def headlines(results: study.Results) -> Mapping[str, float]:
    """Mean test accuracies, and the paired comparison."""
    test = results["test"]
    return {
        **{
            f"test accuracy, {title}": test["losses"][name]["accuracy"]
            for name, title in TITLES.items()
        },
        "softmax less SVM": test["comparison"]["difference"],
        "McNemar p": test["comparison"]["mcnemar_p"],
    }


STUDY = study.Study(
    name="train_sgd",
    about=experiment.__doc__,
    config=Config(),
    presets={"smoke": SMOKE, DIGITS.dataset: DIGITS},
    parts=measure.parts,
    rows=rows,
    headlines=headlines,
    figures=figures.drawn,
    settle=measure.settle,
)

if __name__ == "__main__":
    study.main(STUDY)
