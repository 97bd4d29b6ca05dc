"""Runs the probe: ``python -m experiments.probe --help``."""

from collections.abc import Iterable, Mapping
from typing import Any

import experiments.probe as experiment
from experiments.common import study
from experiments.probe import figures, measure, source
from experiments.probe.config import DEFAULT, SMOKE


def rows(run: study.Run) -> Iterable[Mapping[str, Any]]:
    """The values of C."""
    return run.numbers("probe")["values"]


def headlines(results: study.Results) -> Mapping[str, float]:
    """Accuracy, and the C that was chosen."""
    found = results["probe"]
    return {
        "test accuracy": found["test_accuracy"],
        "C chosen": found["c"],
        "calibration error": found["metrics"]["calibration_error"]["value"],
    }


STUDY = study.Study(
    name="probe",
    about=experiment.__doc__,
    config=DEFAULT,
    presets={"smoke": SMOKE},
    parts=measure.parts,
    rows=rows,
    headlines=headlines,
    figures=figures.drawn,
    load=source.load,
    settle=measure.settle,
    task=measure.task,
)

if __name__ == "__main__":
    study.main(STUDY)
