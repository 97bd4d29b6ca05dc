"""Runs the experiment: ``python -m experiments.error_decomposition --help``."""

from collections.abc import Iterable, Mapping
from typing import Any

import experiments.error_decomposition as experiment
from experiments.common import study
from experiments.error_decomposition import figures, measure, summary
from experiments.error_decomposition.config import DIGITS, SMOKE, Config, settle


def rows(run: study.Run) -> Iterable[Mapping[str, Any]]:
    """Every term of each class and loss."""
    return summary.rows(summary.of_run(run))


def headlines(results: study.Results) -> Mapping[str, float]:
    """Test error of each class."""
    return {
        f"test error, {one['title']}": one["zero_one"]["error"]["value"]
        for one in results["summary"]["classes"].values()
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
