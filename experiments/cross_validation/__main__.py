"""Runs the experiment: ``python -m experiments.cross_validation --help``."""

from collections.abc import Iterable, Mapping
from typing import Any

import experiments.cross_validation as experiment
from experiments.common import study
from experiments.cross_validation import figures, measure, summary
from experiments.cross_validation.config import DIGITS, SMOKE, Config
from experiments.cross_validation.ideas import ESTIMATES


def rows(run: study.Run) -> Iterable[Mapping[str, Any]]:
    """Value of each estimate on each sample."""
    return summary.rows(measure.records(run.folder))


def headlines(results: study.Results) -> Mapping[str, float]:
    """The bias of each estimate."""
    found = results["summary"]["estimates"]
    return {f"bias, {ESTIMATES[name].title}": found[name]["bias"] for name in ESTIMATES}


STUDY = study.Study(
    name="cross_validation",
    about=experiment.__doc__,
    config=Config(),
    presets={"smoke": SMOKE, DIGITS.dataset: DIGITS},
    parts=measure.parts,
    rows=rows,
    headlines=headlines,
    figures=figures.drawn,
    settle=measure.settle,
    task=measure.task,
)

if __name__ == "__main__":
    study.main(STUDY)
