"""Runs the experiment: ``python -m experiments.viewpoints --help``."""

from collections.abc import Iterator, Mapping
from typing import Any

import experiments.viewpoints as experiment
from experiments.common import study
from experiments.viewpoints import figures, measure
from experiments.viewpoints.config import SMOKE, Config, settle
from experiments.viewpoints.radii import NORMS


def rows(run: study.Run) -> Iterator[Mapping[str, Any]]:
    """The radii of each norm, with and without bounds."""
    for norm in NORMS:
        radii = run.numbers(f"radii_{norm}")
        for kind in ("free", "first_free", "boxed"):
            yield {"norm": norm, "kind": kind, **radii[kind]}


def headlines(results: study.Results) -> Mapping[str, float]:
    """Accuracy and the median radius of each norm."""
    medians = {
        f"median radius, {norm}": results[f"radii_{norm}"]["free"]["median"]
        for norm in NORMS
    }
    return {"test accuracy": results["radii_L2"]["free"]["accuracy"], **medians}


STUDY = study.Study(
    name="viewpoints",
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
