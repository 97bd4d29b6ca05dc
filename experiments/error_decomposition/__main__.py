"""Runs the experiment: ``python -m experiments.error_decomposition --help``."""

from collections.abc import Iterable, Mapping
from typing import Any

import experiments.error_decomposition as experiment
from experiments.common import study
from experiments.error_decomposition import figures, measure, summary
from experiments.error_decomposition.config import DIGITS, SMOKE, Config, settle


def rows(run: study.Run) -> Iterable[Mapping[str, Any]]:
    """Every term of each class and loss."""
    return summary.rows(run.numbers("summary"))


def headlines(results: study.Results) -> Mapping[str, float]:
    """Test error of each class."""
    return {
        f"test error, {summary.TITLES[name]}": one["zero_one"]["error"]["value"]
        for name, one in results["summary"]["classes"].items()
    }


STUDY = study.Study(
    name="error_decomposition",
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
