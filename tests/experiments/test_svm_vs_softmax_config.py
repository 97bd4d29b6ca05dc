"""The config of the comparison: what the chosen solver does not read is said."""

import dataclasses

import pytest

from experiments.svm_vs_softmax.config import DIGITS, SMOKE, Config, ignored


@pytest.mark.parametrize("default", [Config(), DIGITS, SMOKE])
@pytest.mark.parametrize("solver", ["certified", "minibatch"])
def test_nothing_is_ignored_where_nothing_was_given(default, solver):
    assert ignored(dataclasses.replace(default, solver=solver)) == ()


def test_what_the_other_solver_reads_is_ignored():
    given = Config(seeds=5, hinge_l2=(0.7,), path_l2=(0.7,), epochs=3)
    assert ignored(given) == ("seeds", "hinge_l2")
    assert ignored(dataclasses.replace(given, solver="minibatch")) == ("path_l2",)
