"""Runs the benchmark: ``python -m experiments.benchmark_solvers --help``."""

from collections.abc import Iterator, Mapping
from typing import Any

import experiments.benchmark_solvers as experiment
from experiments.benchmark_solvers import figures, measure
from experiments.benchmark_solvers.config import DIGITS, SMOKE, Config, settle
from experiments.common import study, text


def rows(run: study.Run) -> Iterator[Mapping[str, Any]]:
    """The rows of gradients, sizes, and solvers at each tolerance."""
    for part in measure.parts(run.config):
        found = run.numbers(part)
        if part == "gradient":
            for row in found["gradients"]:
                yield {"part": part, **row}
        elif part.startswith("growth-"):
            for row in found["sizes"]:
                yield {"part": part, "loss": found["loss"], **row}
        elif part == "summary":
            for cell in found["cells"]:
                at = {name: cell[name] for name in ("loss", "l2", "best", "bound")}
                for row in cell["times"]:
                    yield {"part": "compare", **at, **text.flat(row)}


def headlines(results: study.Results) -> Mapping[str, float]:
    """The least ratios of peers to ours, the gradient's floors and the slopes."""
    found: dict[str, float] = {}
    for cell in results.get("summary", {"cells": []})["cells"]:
        nearest = cell["nearest"]
        if nearest and nearest["peer"]:
            name = f"nearest peer / ours, {cell['loss']}"
            ratio = nearest["peer"]["ratio_proven"]["value"]
            found[name] = min(ratio, found.get(name, ratio))
    if "gradient" in results:
        certified = results["gradient"]["gradients"][0]
        found["times the floor, one gradient"] = certified["times_floor"]
    for part, one in results.items():
        if part.startswith("growth-") and one["slopes"]:
            name = f"slope of {one['dimension']}, {one['loss']}"
            found[name] = one["slopes"]["fit"]
    return found


STUDY = study.Study(
    name="benchmark_solvers",
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
