"""The parts of a run, and those of digits beside another data set."""

import functools
from collections.abc import Mapping

from experiments.common.study import Measured, Part, Run
from experiments.influence import digits, paths
from experiments.influence.config import DIGITS, Config
from jaxlin import data

_ON_PATH = {
    "fits": paths.fits,
    "leave_one_out": paths.leave_one_out,
    "refits": paths.refits,
    "folds": paths.cross_validation,
    "test": paths.test,
}
# Parts that estimate the accuracy of the fits, by their titles.
ESTIMATES = {
    "leave_one_out": "leave-one-out",
    "folds": "folds",
    "test": "test set",
}


def prefixes(config: Config) -> dict[str, str]:
    """Data set of each path, by how the names of its parts begin."""
    other = {} if config.dataset == DIGITS else {f"{DIGITS}_": DIGITS}
    return {"": config.dataset, **other}


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run, in their order."""
    found: dict[str, Part] = {}
    for prefix in prefixes(config):
        for name, part in _ON_PATH.items():
            run_part = functools.partial(part, prefix=prefix)
            is_other = bool(prefix)
            found[f"{prefix}{name}"] = _on_digits(run_part) if is_other else run_part
    return {
        **found,
        "images": paths.images,
        "groups": _on_digits(digits.groups),
        "noise": _on_digits(digits.noise),
    }


def _on_digits(part: Part) -> Part:
    """The part on digits, whatever data set the run has."""

    def run_part(config: Config, dataset: data.Dataset, run: Run) -> Measured:
        del dataset
        return part(config, data.load(DIGITS), run)

    return run_part
