"""Fixtures of the sweep tests: the small problem, its grid of models and its fits."""

import pytest
import sweep_problems
from small_sweeps import BOTH, L2S, arguments

from jaxlin.selection import grids, sweep


@pytest.fixture(scope="module")
def problem():
    return sweep_problems.problem()


@pytest.fixture(scope="module")
def fold_ids():
    return sweep_problems.FOLD_IDS


@pytest.fixture(scope="module")
def models():
    return grids.product(
        **BOTH, l2s=L2S, num_weight_sets=sweep_problems.NUM_WEIGHT_SETS
    )


@pytest.fixture(scope="module")
def fits(problem, models, fold_ids):
    return sweep.fit_models(problem, models, **arguments(problem, models, fold_ids))
