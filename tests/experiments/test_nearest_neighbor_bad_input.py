"""What the nearest neighbour experiment refuses, by name."""

import dataclasses

import pytest
from run_helpers import compiled_programs, run_study

from experiments.nearest_neighbor import learner
from experiments.nearest_neighbor.config import METRICS, SMOKE


def test_every_metric_has_a_name_on_the_command_line():
    assert tuple(learner.METRICS) == METRICS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"metrics": ("cosine",), "on_all": ("euclidean",)},
            "on_all must be among metrics, cosine, got euclidean",
        ),
        ({"ks": (5, 1)}, "ks must ascend, got 5 1"),
        ({"ks": (201, 500)}, "ks must have a number up to 200, more the data do not"),
        ({"time_sizes": (400,)}, "time_sizes must have a number up to 300"),
        ({"subsample": 25}, "subsample must leave 3 training examples of each class"),
        ({"noise_examples": 15}, "noise_examples must leave 2 training examples"),
    ],
)
def test_fields_that_do_not_go_together_or_with_the_data(tmp_path, changes, words):
    names = compiled_programs()
    before = len(names)
    with pytest.raises(ValueError, match=words):
        run_study(
            "nearest_neighbor",
            dataclasses.replace(SMOKE, **changes),
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()
    assert names[before:] == []
