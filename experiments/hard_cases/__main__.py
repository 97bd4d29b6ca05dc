"""Runs the experiment: ``python -m experiments.hard_cases --help``."""

from collections.abc import Iterator, Mapping
from typing import Any

import experiments.hard_cases as experiment
from experiments.common import study
from experiments.hard_cases import figures, measure
from experiments.hard_cases.config import SMOKE, Config


def rows(run: study.Run) -> Iterator[Mapping[str, Any]]:
    """The fits of each case, with and without the added feature."""
    for case in run.config.cases:
        one = run.numbers(case)
        for kind in ("fits", "lifted_fits"):
            for loss, fit in one[kind].items():
                certificate = dict(fit)
                optimum = certificate.pop("optimum")
                row = {"case": case, "features": kind, "loss": loss}
                yield {**row, **certificate, **optimum}


def headlines(results: study.Results) -> Mapping[str, float]:
    """Accuracies of the best line."""
    return {
        f"best line, {case}": one["best_line"]["accuracy"]
        for case, one in results.items()
        if "best_line" in one
    }


STUDY = study.Study(
    name="hard_cases",
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
