"""The parts of a run: searches, the test, local fits, time, noise, contrast."""

import functools
from collections.abc import Mapping

from experiments.common import draws
from experiments.common.study import Measured, Part, Run
from experiments.nearest_neighbor import (
    choosing,
    contrast,
    cost,
    local,
    noise,
    testing,
)
from experiments.nearest_neighbor.config import Config
from jaxlin import data


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run, in their order."""
    found: dict[str, Part] = {
        name: functools.partial(choosing.measured, metric=metric, rows=rows)
        for name, (metric, rows) in choosing.searches(config).items()
    }
    found |= {"choice": _choice, "test": testing.measured}
    if config.local_ks:
        found["local"] = local.measured
    found |= {"time": cost.measured, "noise": noise.measured}
    found["contrast"] = contrast.measured
    return {name: draws.on_reduced(part) for name, part in found.items()}


def records(run: Run) -> list[choosing.Record]:
    """The numbers of all searches, in their order."""
    return [run.numbers(name) for name in choosing.searches(run.config)]


def _choice(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    searches = list(choosing.searches(config))
    return Measured({**choosing.chosen(records(run)), "searches": searches})
