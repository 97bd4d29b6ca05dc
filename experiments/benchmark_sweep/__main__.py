"""Runs the benchmark: ``python -m experiments.benchmark_sweep --help``."""

from collections.abc import Iterator, Mapping
from typing import Any

import experiments.benchmark_sweep as experiment
from experiments.benchmark_sweep import figures, measure
from experiments.benchmark_sweep.config import SMOKE, Config, settle
from experiments.common import study


def rows(run: study.Run) -> Iterator[Mapping[str, Any]]:
    """The rows of the values of C, of the rate and of the gradients."""
    for part in ("cs", "rate", "gradient"):
        if part in run.config.what:
            for row in run.numbers(part)["rows"]:
                yield {"part": part, **row}


def headlines(results: study.Results) -> Mapping[str, float]:
    """Seconds and ratios of the parts that were measured."""
    found = {}
    if "cs" in results:
        found["seconds, values of C"] = results["cs"]["seconds"]
        found["times scikit-learn"] = results["cs"]["times_faster"]["default"]
    if "folds" in results:
        found["paid over alone"] = results["folds"]["paid_over_alone"]
    if "rate" in results:
        found["best share of the rate"] = max(
            row["share_of_rate"] for row in results["rate"]["rows"]
        )
    if "gradient" in results:
        found["times the floor, one gradient"] = results["gradient"]["rows"][0][
            "times_floor"
        ]
    return found


STUDY = study.Study(
    name="benchmark_sweep",
    about=experiment.__doc__,
    config=Config(),
    presets={"smoke": SMOKE},
    parts=measure.parts,
    rows=rows,
    headlines=headlines,
    figures=figures.drawn,
    settle=settle,
)

if __name__ == "__main__":
    study.main(STUDY)
