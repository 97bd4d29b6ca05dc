"""Runs the experiment: ``python -m experiments.nearest_neighbor --help``."""

from collections.abc import Iterable, Mapping
from typing import Any

import experiments.nearest_neighbor as experiment
from experiments.common import study
from experiments.nearest_neighbor import choosing, figures, measure
from experiments.nearest_neighbor.config import DIGITS, SMOKE, Config, settle


def rows(run: study.Run) -> Iterable[Mapping[str, Any]]:
    """Every setting of every search."""
    return choosing.table(measure.records(run), run.numbers("choice"))


def headlines(results: study.Results) -> Mapping[str, float]:
    """Test accuracy of each classifier."""
    return {one["title"]: one["accuracy"] for one in results["test"]["classifiers"]}


STUDY = study.Study(
    name="nearest_neighbor",
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
