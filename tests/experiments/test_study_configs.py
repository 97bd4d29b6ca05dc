"""Configs of all experiments: within their bounds, and refused by name beyond them."""

import dataclasses
import importlib
import typing

import numpy as np
import pytest
import run_helpers

from experiments.common import cli, measurements, study
from experiments.common import config as configs
from experiments.common.config import MAY_BE_EMPTY, Bounds
from experiments.studies import STUDIES

ONE_FILE = {
    name: importlib.import_module(f"experiments.{name}").MEASUREMENTS
    for name in (
        "benchmark_probes",
        "benchmark_training",
        "compile_times",
        "random_problems",
        "small_data",
    )
}
EXPERIMENTS = {**STUDIES, **ONE_FILE}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_defaults_and_presets_are_within_their_bounds(name):
    made = EXPERIMENTS[name]
    assert made.name == name
    presets = [made.smoke] if name in ONE_FILE else made.presets.values()
    parts = made.items if name in ONE_FILE else made.parts
    for one in (made.config, *presets):
        assert configs.check(one) is one
        assert parts(one)
    about = importlib.import_module(f"experiments.{name}").__doc__
    assert made.about == about
    assert f"python -m experiments.{name}" in about


# Beyond the bounds of one field


def fields(name):
    """Name, bare type and annotations of every field of a config."""
    kind = type(EXPERIMENTS[name].config)
    annotated = typing.get_type_hints(kind, include_extras=True)
    for field, hint in typing.get_type_hints(kind).items():
        yield field, hint, getattr(annotated[field], "__metadata__", ())


def bounds_of(annotations):
    return next((one for one in annotations if isinstance(one, Bounds)), Bounds())


def bad_values(hint, annotations):
    """Values that a field must refuse, each with words of the message."""
    several = typing.get_origin(hint) is tuple and hint.__args__[-1] is ...
    kind, shape = (hint.__args__[0], lambda x: (x,)) if several else (hint, lambda x: x)
    if typing.get_origin(kind) is typing.Literal:
        yield shape("no such word"), "must be one of"
    for rule, end in bounds_of(annotations)._asdict().items():
        if end is not None:
            past = {"at_least": end - 1, "at_most": end + 1}.get(rule, end)
            yield shape(past), f"must be {rule.replace('_', ' ')} {end}, got"
    if several and MAY_BE_EMPTY not in annotations:
        yield (), "must not be empty, got ()"


def refuse(name, config, words, out):
    """Fails unless a config is refused before anything is compiled or written."""
    run = measurements.run if name in ONE_FILE else study.run
    with (
        run_helpers.nothing_compiled(),
        pytest.raises(ValueError, match=run_helpers.in_order(words)),
    ):
        run(EXPERIMENTS[name], config, cli.RunOptions(out=out))
    assert not out.exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_field_refuses_what_is_beyond_its_bounds(name, tmp_path):
    made = EXPERIMENTS[name]
    for field, hint, annotations in fields(name):
        if {int, float} & {hint, *typing.get_args(hint)}:
            assert bounds_of(annotations) != Bounds(), f"{field} has no bounds"
        for value, words in bad_values(hint, annotations):
            bad = dataclasses.replace(made.config, **{field: value})
            refuse(name, bad, f"{field} {words}", tmp_path / "run")


# Where fewer, or more, would make no experiment.
AT_LEAST = {
    "nearest_neighbor": {"train_examples": 2, "folds": 2, "noise_repeats": 2},
    "cross_validation": {"examples": 10, "samples": 2, "folds": 2},
    "viewpoints": {"sizes": 2},
    "hard_cases": {"examples": 10, "noise": 0},
    "error_decomposition": {
        **{"train_examples": 20, "splits": 2, "resamples": 2, "seeds": 2},
        **{"threshold": 0, "published_error": 0},
    },
    "loss_questions": {"points": 2, "examples": 10},
    "probe": {"answers": 2, "folds": 2},
    "benchmark_neighbors": {"settle_s": 0},
    "benchmark_solvers": {"stop_at": 0, "growth_classes": 2},
    "benchmark_sweep": {"folds": 2, "peer_fits": 2},
    "compile_times": {"programs": 0},
    "random_problems": {"only": 0},
    "small_data": {"peer_seconds": 0},
}
AT_MOST = {
    "viewpoints": {"images": 10},
    "hard_cases": {"gap": 0.7},
    "certified_optima": {"certified_share": 1},
    "random_problems": {"float64": 1},
}


@pytest.mark.parametrize(
    ("side", "table"), [("at_least", AT_LEAST), ("at_most", AT_MOST)]
)
def test_bounds_that_keep_an_experiment_meaningful(side, table):
    for name, ends in table.items():
        found = {
            field: bounds_of(annotations) for field, _, annotations in fields(name)
        }
        assert {field: getattr(found[field], side) for field in ends} == ends


# Fields that do not go together, or not with the data

ROWS_ALONE = "rows.npz"
THREE_IMAGES = "three.npz"
BAD = {
    "nearest_neighbor": [
        ({"metrics": ("cosine",)}, "on_all must be among metrics, cosine, got euclid"),
        ({"ks": (5, 1)}, "ks must ascend, got 5 1"),
        ({"ks": (201, 500)}, "ks must have a number up to 200, more the data do not"),
        ({"time_sizes": (400,)}, "time_sizes must have a number up to 300"),
        ({"subsample": 25}, "subsample must leave 3 training examples of each class"),
        ({"noise_examples": 15}, "noise_examples must leave 2 training examples"),
    ],
    "cross_validation": [
        ({"l2": (0.1,)}, "l2 must have two values at least"),
        ({"examples": 899}, "examples must be at most 898, half of what digits has"),
        ({"examples": 35}, "outside the test set, one a fold, got 2 of class"),
        ({"examples": 15}, "outside the test set, one a fold, got 1 of class"),
        ({"folds": 13}, "each class 13 outside the test set, one a fold, got 12"),
    ],
    "viewpoints": [
        ({"dataset": ROWS_ALONE}, "dataset must hold images"),
        ({"boxed_images": 501}, "boxed_images must be at most 500"),
    ],
    "error_decomposition": [
        ({"train_examples": 1298}, "train_examples must be at most 1297, got 1298"),
        ({"test_examples": 501}, "test_examples must be at most 500, got 501"),
        (
            {"batch_size": 101},
            "batch_size must be at most 100, got 101: a quarter of the 400 training "
            "give --batch-size 64",
        ),
        ({"patch_size": 8}, "patch_size must be at most 7, got 8"),
        ({"published_error": 0.95}, "published_error must be at most 0.9"),
        ({"train_examples": 39}, "train_examples must be at least 40, four a class"),
        ({"quarter_splits": 13}, "quarter_splits must be at most 3, got 13"),
        ({"filters": 800, "patches": 700}, "patches must be at least 800, got 700"),
        ({"dataset": ROWS_ALONE}, "must be images got rows"),
        (
            {"dataset": THREE_IMAGES, "train_examples": None},
            "at least 8, four a class, got 3",
        ),
    ],
    "svm_vs_softmax": [
        ({"polished_gap": 1e-2}, "polished_gap must be at most relative_gap"),
        ({"batch_size": 1168}, "batch_size must be at most 1167, the"),
    ],
    "benchmark_solvers": [
        ({"peers": ("sklearn",)}, "beginnings of the names got 'sklearn'"),
        ({"growth_base": 10**6}, "growth_base must be at most 1297 for digits"),
        (
            {"growth_base": 64, "growth_examples": (64,), "growth_features": (65,)},
            "growth_features must be at most 64",
        ),
    ],
    "benchmark_sweep": [({"peer_fits": 99}, "peer_fits must be at most 3")],
}


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [(name, *row) for name, rows in BAD.items() for row in rows],
)
def test_what_does_not_go_together_is_refused(
    name, changes, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run_helpers.write_data(
        ROWS_ALONE, np.eye(12, 5, dtype=np.float32), np.arange(12) % 3
    )
    run_helpers.write_data(
        THREE_IMAGES, np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 1])
    )
    made = EXPERIMENTS[name]
    smoke = made.smoke if name in ONE_FILE else made.presets["smoke"]
    refuse(name, dataclasses.replace(smoke, **changes), words, tmp_path / "run")
