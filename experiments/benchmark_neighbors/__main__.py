"""Runs the benchmark: ``python -m experiments.benchmark_neighbors --help``."""

from collections.abc import Iterator, Mapping
from typing import Any

import experiments.benchmark_neighbors as experiment
from experiments.benchmark_neighbors import figures, measure
from experiments.benchmark_neighbors.config import SMOKE, Config, settle
from experiments.common import study


def rows(run: study.Run) -> Iterator[Mapping[str, Any]]:
    """The searchers of each distance."""
    for distance in ("l2", "l1"):
        if distance in run.config.what:
            for search in run.numbers(distance)["searches"]:
                yield {"distance": distance, **search}


def headlines(results: study.Results) -> Mapping[str, float]:
    """Seconds of jaxlin, and accuracies of one neighbour."""
    found = {
        f"seconds, {distance}": results[distance]["searches"][0]["seconds"]
        for distance in ("l2", "l1")
        if distance in results
    }
    for distance, one in results.get("accuracy", {}).items():
        found[f"accuracy, {distance}"] = one["accuracy"]
    return found


STUDY = study.Study(
    name="benchmark_neighbors",
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
