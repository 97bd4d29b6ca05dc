"""Runs the experiment: ``python -m experiments.loss_questions --help``."""

from collections.abc import Iterator, Mapping
from typing import Any

import experiments.loss_questions as experiment
from experiments.common import study, text
from experiments.loss_questions import figures, measure
from experiments.loss_questions.config import SMOKE, Config


def rows(run: study.Run) -> Iterator[Mapping[str, Any]]:
    """Every number of an answer, with its question."""
    for part in ("svm", "softmax", "minimisers", "slips"):
        for name, value in text.flat(run.numbers(part)).items():
            yield {"part": part, "number": name, "value": value}


def headlines(results: study.Results) -> Mapping[str, float]:
    """Mean losses of the lecture's three images."""
    return {
        "mean SVM loss": results["svm"]["losses"]["mean"],
        "mean softmax loss": results["softmax"]["losses"]["mean"],
    }


STUDY = study.Study(
    name="loss_questions",
    about=experiment.__doc__,
    config=Config(),
    presets={"smoke": SMOKE},
    parts=measure.parts,
    rows=rows,
    headlines=headlines,
    figures=figures.drawn,
)

if __name__ == "__main__":
    study.main(STUDY)
