"""Configs: to JSON and back, and values refused by name before anything is made."""

import dataclasses
import importlib
import json
import math
import typing
from typing import Annotated, Literal

import numpy as np
import pytest
import run_helpers
from run_helpers import EXPERIMENTS, ONE_FILE

from experiments.common import config as configs
from experiments.common.config import MAY_BE_EMPTY, Bounds, from_dict
from experiments.common.files import json_ready


@dataclasses.dataclass(frozen=True)
class Config:
    dataset: str = "cifar10"
    l2: Annotated[tuple[float, ...], Bounds(above=0, below=1)] = (1e-4, 1e-3)
    words: tuple[Literal["a", "b"], ...] = ("a",)
    others: Annotated[tuple[str, ...], MAY_BE_EMPTY] = ()
    epochs: int = 40
    momentum: float = 0.9
    augment: bool = False
    kind: Literal["a", "b"] = "a"
    limit: Annotated[int | None, Bounds(at_least=2, at_most=4)] = None
    pair: tuple[int, str] = (1, "x")
    pairs: tuple[tuple[int, int], ...] = ((1, 2),)
    choice: Literal["a", "b"] | None = None


CHANGED = Config(
    *("d", (1 / 3, 1e-300, 0.999), ("b", "a"), ("x", "y"), 1, 0.5, True, "b", 4),
    *((2, "y"), ((1, 2), (3, 4)), "b"),
)


@pytest.mark.parametrize("config", [Config(), CHANGED, Config(limit=2)])
def test_a_config_within_its_bounds_survives_json_exactly(config):
    assert from_dict(Config, json.loads(json.dumps(json_ready(config)))) == config
    assert configs.check(config) is config


def test_absent_fields_keep_their_default_and_integers_become_floats():
    config = from_dict(Config, {"l2": [1], "momentum": 0})
    assert config == Config(l2=(1.0,), momentum=0.0)
    assert type(config.momentum) is float
    assert type(config.l2[0]) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"l3": 1}, r"config has no field 'l3'; it must be one of dataset, l2"),
        (
            {"pairs": [[1, 2], [3, "y"]]},
            r"pairs\[1\]\[1\] must be of type int, got 'y'",
        ),
        ({"epochs": "ten"}, r"epochs must be of type int, got 'ten'"),
        ({"epochs": 1.5}, r"epochs must be of type int, got 1.5"),
        ({"epochs": True}, r"epochs must be of type int, got True"),
        ({"momentum": True}, r"momentum must be of type float, got True"),
        ({"momentum": None}, r"momentum must be of type float, got None"),
        ({"momentum": math.nan}, "momentum must be finite, got nan"),
        ({"l2": 0.1}, r"l2 must be a list, got 0.1"),
        ({"l2": [0.1, "x"]}, r"l2\[1\] must be of type float, got 'x'"),
        ({"pair": [1]}, r"pair must be a list of 2 entries, got \[1\]"),
        ({"kind": "c"}, r"kind must be one of a, b, got 'c'"),
        ({"limit": "x"}, r"limit must be of type int, got 'x'"),
        ([1], r"config must be an object with named fields, got \[1\]"),
    ],
)
def test_values_that_do_not_fit_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        from_dict(Config, values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"l2": (0.1, 1.0)}, r"l2\[1\] must be below 1, got 1.0"),
        ({"l2": (0.1, 0.1)}, "l2 must be distinct, got 0.1 0.1"),
        ({"l2": (0.1, math.inf)}, r"l2\[1\] must be finite, got inf"),
        ({"words": ("a", "a")}, "words must be distinct, got a a"),
        ({"others": ("x", "x")}, "others must be distinct, got x x"),
        ({"limit": 2.5}, "limit must be of type int, got 2.5"),
        ({"momentum": math.nan}, "momentum must be finite, got nan"),
    ],
)
def test_values_out_of_bounds_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        configs.check(Config(**changes))


# Configs of all experiments


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
    with (
        run_helpers.nothing_compiled(),
        pytest.raises(ValueError, match=run_helpers.in_order(words)),
    ):
        run_helpers.run_any(name, config, out=out)
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
ENDS = """
nearest_neighbor    train_examples >= 2, folds >= 2, noise_repeats >= 2
cross_validation    examples >= 10, samples >= 2, folds >= 2
viewpoints          sizes >= 2, images <= 10
hard_cases          examples >= 10, noise >= 0, gap <= 0.7
error_decomposition train_examples >= 20, splits >= 2, resamples >= 2, seeds >= 2
error_decomposition threshold >= 0, published_error >= 0
loss_questions      points >= 2, examples >= 10
certified_optima    certified_share <= 1
influence           folds >= 2, images <= 10, group_sizes <= 100, flipped <= 0.5
probe               answers >= 2, folds >= 2
benchmark_neighbors settle_s >= 0
benchmark_solvers   stop_at >= 0, growth_classes >= 2
benchmark_sweep     folds >= 2, peer_fits >= 2
compile_times       programs >= 0
parity              classes >= 2, examples >= 10
random_problems     only >= 0, float64 <= 1
small_data          peer_seconds >= 0
"""


@pytest.mark.parametrize("line", ENDS.strip().splitlines())
def test_bounds_that_keep_an_experiment_meaningful(line):
    name, ends = line.split(maxsplit=1)
    found = {field: bounds_of(annotations) for field, _, annotations in fields(name)}
    for end in ends.split(", "):
        field, sign, number = end.split()
        side = {">=": "at_least", "<=": "at_most"}[sign]
        assert getattr(found[field], side) == float(number), end


# Fields that do not go together, or not with the data

ROWS_ALONE, THREE_IMAGES = "rows.npz", "three.npz"
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
    "influence": [
        ({"dataset": ROWS_ALONE}, "dataset must hold images"),
        ({"dataset": THREE_IMAGES}, "folds must be at most 1, got 2"),
        ({"refits": 1298}, "refits must be at most 1297, got 1298"),
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
        ({"batch_size": 1168}, "must be at most 1167 --batch-size 1167 or less"),
    ],
    "probe": [
        ({"features": ""}, "FEATURES must be a .npz file, a folder"),
        ({"join": ("a",)}, "join must be given with answers, got a alone"),
        ({"choose": "one_standard_error", "folds": None}, "must be best without folds"),
        ({"features": "digits", "answers": 5}, "FEATURES .npz or a folder 'digits'"),
        ({"features": "nothing.npz"}, "nothing.npz: cannot be opened"),
        ({"refit": False}, "refit must be True with folds, got False with 3"),
        ({"undo_prior_shift": True}, "undo_prior_shift must be False class_weights"),
        (
            {"features": ROWS_ALONE, "num_shots": (2,)},
            "cs must be one value x_val got 4 values --cs 1",
        ),
        ({"num_shots": (2,), "protocol": "clip"}, "num_shots must be left out got 2"),
        ({"compare": "b.npz", "parts": 2}, "compare must be left out with parts"),
        ({"features": ROWS_ALONE, "compare": "b.npz"}, "b.npz: cannot be opened"),
        ({"protocol": "clip"}, "cs must be left out with protocol, got (0.0001"),
    ],
    "benchmark_solvers": [
        ({"peers": ("sklearn",)}, "beginnings of the names got 'sklearn'"),
    ],
    "benchmark_sweep": [({"peer_fits": 99}, "peer_fits must be at most 3")],
    "benchmark_probes": [
        ({"shapes": ((9, 3, 3),)}, "examples must be at least 10"),
        ({"shapes": ((11, 3, 6),)}, "examples must be at least 12"),
    ],
    "benchmark_protocol": [({"shapes": ((9, 3, 3),)}, "examples must be at least 10")],
    "group_penalties": [
        ({"num_train": 1240}, "num_validation must be at most 57 beside got 60"),
    ],
    "many_classes": [({"shapes": ((20, 3, 1),)}, "classes must be at least 2, got 1")],
}


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [(name, *row) for name, rows in BAD.items() for row in rows],
)
def test_what_does_not_go_together_is_refused(
    name, changes, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rows, images = np.eye(12, 5, dtype=np.float32), np.zeros((3, 8, 8, 1), np.uint8)
    run_helpers.write_data(ROWS_ALONE, rows, np.arange(12) % 3)
    run_helpers.write_data(THREE_IMAGES, images, np.array([0, 1, 1]))
    config = dataclasses.replace(run_helpers.smoke_of(name), **changes)
    refuse(name, config, words, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("benchmark_training", {"peer": True}, "peer must be False PyTorch --no-peer"),
        ("benchmark_probes", {"solvers": ("intelex",)}, "got intelex; run pip install"),
        ("benchmark_protocol", {}, "scikit-learn must be installed pip install"),
        ("parity", {}, "scikit-learn must be installed pip install"),
        (
            "benchmark_probes",
            {"solvers": ("torch",)},
            "got torch; run pip install torch",
        ),
        (
            "benchmark_neighbors",
            {"peers": ("faiss_uint8",)},
            "installed, got faiss_uint8",
        ),
        ("benchmark_neighbors", {"peers": ("sklearn",)}, "installed, got sklearn; pip"),
    ],
)
def test_a_peer_that_is_not_installed_is_refused(
    name, changes, words, tmp_path, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    config = dataclasses.replace(run_helpers.smoke_of(name), **changes)
    refuse(name, config, words, tmp_path / "run")
