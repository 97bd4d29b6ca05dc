"""Runs the experiment: ``python -m experiments.influence --help``."""

from collections.abc import Iterator, Mapping
from typing import Any

import experiments.influence as experiment
from experiments.common import study
from experiments.influence import figures, measure
from experiments.influence.config import SMOKE, Config, settle


def rows(run: study.Run) -> Iterator[Mapping[str, Any]]:
    """Each l2 of the paths; each group left out; each ranking of suspicious labels."""
    for prefix in measure.prefixes(run.config):
        for part in measure.ESTIMATES:
            found = run.numbers(f"{prefix}{part}")
            for l2, one in zip(run.config.l2, found, strict=True):
                yield {"part": f"{prefix}{part}", "l2": l2, **one}
    for row in run.numbers("groups"):
        yield {"part": "groups", **row}
    for row in run.numbers("noise")["rows"]:
        yield {"part": "noise", **row}


def headlines(results: study.Results) -> Mapping[str, float]:
    """Accuracy left out and tested, agreement of groups, labels found."""
    found = results["leave_one_out"]
    best = min(range(len(found)), key=lambda i: found[i]["loss"])
    groups, noise = results["groups"], results["noise"]["best"]
    return {
        "leave-one-out accuracy": found[best]["accuracy"],
        "test accuracy": results["test"][best]["accuracy"],
        "least correlation of groups": min(one["correlation"] for one in groups),
        **{f"labels found by {one['ranking']}": one["found"] for one in noise},
    }


STUDY = study.Study(
    name="influence",
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
