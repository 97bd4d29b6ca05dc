"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import experiments
import jaxlin

MODULES = sorted(
    module.name
    for package in (jaxlin, experiments)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
)
# Whole fits, searches and networks compile for a second and more; by default
# `test_docs.py` runs the like (and test_objective.py, of the objective).
LONG = {
    "jaxlin.certificates.duality",
    "jaxlin.features.convolutional",
    "jaxlin.features.patches",
    "jaxlin.fits",
    "jaxlin.stats.metrics",
    "jaxlin.neighbors",
    "jaxlin.neighbors.local_fits",
    "jaxlin.neighbors.search",
    "jaxlin.neighbors.voting",
    "jaxlin.objective",
    "jaxlin.objective.regularized",
    "jaxlin.geometry.robustness",
    "jaxlin.saving",
    "jaxlin.selection.calibration",
    "jaxlin.selection.cross_validation",
    "jaxlin.selection.nested",
    "jaxlin.selection.sweep",
    "jaxlin.selection.training",
    "jaxlin.sensitivity.covariance",
    "jaxlin.sensitivity.fit_bootstrap",
    "jaxlin.sklearn",
    "jaxlin.solvers.interface",
    "jaxlin.solvers.certified",
    "jaxlin.solvers.random_search",
    "jaxlin.solvers.streaming",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.full) if name in LONG else name
        for name in MODULES
    ],
)
def test_doctests(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module)
    assert results.failed == 0


def test_the_long_ones_are_modules():
    assert set(MODULES) >= LONG
