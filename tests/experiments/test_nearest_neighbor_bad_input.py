"""What the nearest neighbour experiment refuses, by name."""

import contextlib
import dataclasses
import io

import pytest
from run_helpers import compiled_programs

from experiments.common import cli
from experiments.nearest_neighbor import __main__ as command
from experiments.nearest_neighbor import spaces
from experiments.nearest_neighbor.config import METRICS, SMOKE, Config, checked


def run(config=SMOKE, **options):
    """The report that a run returns, and what it printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        built = command.run(config, cli.RunOptions(**options))
    return built, printed.getvalue()


BAD = {
    "metric unknown": (
        {"metrics": ("hamming",)},
        r"metrics\[0\] must be one of euclidean",
    ),
    "no metric": ({"metrics": (), "on_all": ()}, "metrics must not be empty"),
    "metric twice": ({"metrics": ("cosine",) * 2}, "metrics must be distinct, got"),
    "on all alone": (
        {"metrics": ("cosine",), "on_all": ("euclidean",)},
        "on_all must be among metrics, cosine, got euclidean",
    ),
    "k 0": ({"ks": (0, 1)}, r"ks\[0\] must be at least 1"),
    "no k": ({"ks": ()}, "ks must not be empty"),
    "ks in disorder": ({"ks": (5, 1)}, "ks must ascend, got 5 1"),
    "bandwidth 0": ({"bandwidths": (0.0,)}, r"bandwidths\[0\] must be above 0"),
    "one fold": ({"folds": 1}, "folds must be at least 2"),
    "seed": ({"seed": -1}, "seed must be at least 0"),
    "l2 0": ({"l2": 0.0}, "l2 must be above 0"),
    "noise of no size": ({"noise_scale": 0.0}, "noise_scale must be above 0"),
    "local l2": ({"local_l2": float("nan")}, "local_l2 must be finite"),
    "noise negative": ({"noise_features": (-1,)}, r"noise_features\[0\] must be at"),
    "one repeat": ({"noise_repeats": 1}, "noise_repeats must be at least 2"),
    "dimension 0": ({"dimensions": (0,)}, r"dimensions\[0\] must be at least 1"),
    "train examples": ({"train_examples": 1}, "train_examples must be at least 2"),
    "time queries": ({"time_queries": 0}, "time_queries must be at least 1"),
}


def test_every_metric_has_a_name_on_the_command_line():
    assert tuple(spaces.METRICS) == METRICS


@pytest.mark.parametrize(("changes", "words"), BAD.values(), ids=BAD)
def test_bad_configs(changes, words):
    with pytest.raises(ValueError, match=words):
        checked(Config(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ks": (201, 500)}, "ks must have a number up to 200, more the data do not"),
        ({"time_sizes": (400,)}, "time_sizes must have a number up to 300"),
        ({"subsample": 25}, "subsample must leave 3 training examples of each class"),
        ({"noise_examples": 15}, "noise_examples must leave 2 training examples"),
    ],
)
def test_sizes_that_the_data_cannot_give(tmp_path, changes, words):
    names = compiled_programs()
    before = len(names)
    with pytest.raises(ValueError, match=words):
        run(dataclasses.replace(SMOKE, **changes), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert names[before:] == []
