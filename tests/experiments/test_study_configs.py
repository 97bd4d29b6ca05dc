"""Configs of all studies: presets within their bounds, bad values refused by name."""

import dataclasses
import importlib
import math

import pytest
from run_helpers import compiled_programs

from experiments.common import cli, study
from experiments.common import config as configs
from experiments.studies import STUDIES

BAD_CONFIGS = [
    ("error_decomposition", {"classes": ()}, "classes must not be empty"),
    (
        "error_decomposition",
        {"classes": ("forest",)},
        r"classes\[0\] must be one of pi",
    ),
    (
        "error_decomposition",
        {"train_examples": 10},
        "train_examples must be at least 20",
    ),
    ("error_decomposition", {"splits": 1}, "splits must be at least 2"),
    (
        "error_decomposition",
        {"quarter_splits": 13},
        "quarter_splits must be at most 12",
    ),
    ("error_decomposition", {"resamples": 1}, "resamples must be at least 2"),
    ("error_decomposition", {"l2": ()}, "l2 must not be empty"),
    ("error_decomposition", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    (
        "error_decomposition",
        {"sgd_learning_rates": (0.0,)},
        r"rates\[0\] must be above",
    ),
    ("error_decomposition", {"patches": 700}, "patches must be at least 800, got 700"),
    ("error_decomposition", {"threshold": -1.0}, "threshold must be at least 0"),
    ("error_decomposition", {"seeds": 1}, "seeds must be at least 2"),
    ("error_decomposition", {"dropout": 1.0}, "dropout must be below 1"),
    ("error_decomposition", {"head_l2": 0.0}, "head_l2 must be above 0"),
    (
        "error_decomposition",
        {"published_error": -0.1},
        "published_error must be at lea",
    ),
    ("error_decomposition", {"seed": 2**32}, "seed must be at most"),
    ("nearest_neighbor", {"metrics": ("hamming",)}, r"metrics\[0\] must be one of"),
    ("nearest_neighbor", {"metrics": ()}, "metrics must not be empty"),
    ("nearest_neighbor", {"metrics": ("cosine",) * 2}, "metrics must be distinct, got"),
    ("nearest_neighbor", {"ks": (0, 1)}, r"ks\[0\] must be at least 1"),
    ("nearest_neighbor", {"ks": ()}, "ks must not be empty"),
    ("nearest_neighbor", {"bandwidths": (0.0,)}, r"bandwidths\[0\] must be above 0"),
    ("nearest_neighbor", {"folds": 1}, "folds must be at least 2"),
    ("nearest_neighbor", {"seed": -1}, "seed must be at least 0"),
    ("nearest_neighbor", {"l2": 0.0}, "l2 must be above 0"),
    ("nearest_neighbor", {"noise_scale": 0.0}, "noise_scale must be above 0"),
    ("nearest_neighbor", {"local_l2": float("nan")}, "local_l2 must be finite"),
    ("nearest_neighbor", {"noise_features": (-1,)}, r"noise_features\[0\] must be at"),
    ("nearest_neighbor", {"noise_repeats": 1}, "noise_repeats must be at least 2"),
    ("nearest_neighbor", {"dimensions": (0,)}, r"dimensions\[0\] must be at least 1"),
    ("nearest_neighbor", {"train_examples": 1}, "train_examples must be at least 2"),
    ("nearest_neighbor", {"time_sizes": (0,)}, r"time_sizes\[0\] must be at least 1"),
    ("svm_vs_softmax", {"relative_gap": 0.0}, "relative_gap must be above 0, got 0"),
    ("svm_vs_softmax", {"relative_gap": -1.0}, "relative_gap must be above 0, got -1"),
    ("svm_vs_softmax", {"relative_gap": math.nan}, "relative_gap must be finite"),
    ("svm_vs_softmax", {"relative_gap": 1.0}, "relative_gap must be below 1, got 1"),
    ("svm_vs_softmax", {"polished_gap": 0.0}, "polished_gap must be above 0, got 0"),
    (
        "svm_vs_softmax",
        {"polished_gap": 1e-3},
        "polished_gap must be at most relative_gap, 0.0001",
    ),
    ("svm_vs_softmax", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("svm_vs_softmax", {"path_l2": (0.1, 0.0)}, r"path_l2\[1\] must be above 0, got 0"),
    ("svm_vs_softmax", {"path_l2": ()}, "path_l2 must not be empty"),
    ("svm_vs_softmax", {"path_l2": (0.1, 0.1)}, "path_l2 must be distinct"),
    ("svm_vs_softmax", {"batch_size": 1168}, "batch_size must be at most 1167, the"),
    ("train_sgd", {"hinge_l2": (0.0,)}, r"hinge_l2\[0\] must be above 0"),
    ("train_sgd", {"softmax_learning_rates": ()}, "rates must not be empty"),
    ("train_sgd", {"seeds": 0}, "seeds must be at least 1"),
    ("probe", {"answers": 1}, "answers must be at least 2"),
    ("probe", {"loss": "hinge"}, "loss must be one of softmax_cross_entropy"),
    ("probe", {"cs": (1.0, 1.0)}, "cs must be distinct"),
    ("probe", {"validation_fraction": 1.0}, "validation_fraction must be below 1"),
    ("probe", {"folds": 1}, "folds must be at least 2"),
    ("probe", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    ("probe", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("probe", {"slots": 0}, "slots must be at least 1"),
    ("probe", {"seed": -1}, "seed must be at least 0"),
    ("benchmark_neighbors", {"what": ()}, "what must not be empty"),
    ("benchmark_neighbors", {"k": 0}, "k must be at least 1, got 0"),
    ("benchmark_neighbors", {"l1_queries": 0}, "l1_queries must be at least 1"),
    ("benchmark_neighbors", {"rounds": 0}, "rounds must be at least 1"),
    ("benchmark_neighbors", {"recall_target": 0.0}, "recall_target must be above 0"),
    ("benchmark_neighbors", {"settle_s": -1.0}, "settle_s must be at least 0"),
    ("benchmark_solvers", {"what": ()}, "what must not be empty"),
    (
        "benchmark_solvers",
        {"losses": ("hinge",)},
        r"losses\[0\] must be one of .* got 'hinge'",
    ),
    ("benchmark_solvers", {"losses": ()}, "losses must not be empty"),
    ("benchmark_solvers", {"l2s": (0.0,)}, r"l2s\[0\] must be above 0, got 0"),
    (
        "benchmark_solvers",
        {"peers": ("sklearn",)},
        "beginnings of the names .* got 'sklearn'",
    ),
    ("benchmark_solvers", {"deadline_s": 0.0}, "deadline_s must be above 0"),
    ("benchmark_solvers", {"stop_at": -1.0}, "stop_at must be at least 0"),
    ("benchmark_solvers", {"repeats": 0}, "repeats must be at least 1"),
    (
        "benchmark_solvers",
        {"growth_classes": (1, 2)},
        r"growth_classes\[0\] must be at least 2, got 1",
    ),
    (
        "benchmark_solvers",
        {"growth_base": 10**6},
        "growth_base must be at most 1297 for digits",
    ),
    (
        "benchmark_solvers",
        {"growth_base": 64, "growth_examples": (64,), "growth_features": (65,)},
        "growth_features must be at most 64",
    ),
    ("benchmark_sweep", {"what": ()}, "what must not be empty"),
    ("benchmark_sweep", {"cs": (0.0,)}, r"cs\[0\] must be above 0"),
    ("benchmark_sweep", {"rate_models": (0,)}, r"rate_models\[0\] must be at least 1"),
    ("benchmark_sweep", {"folds": 1}, "folds must be at least 2"),
    ("benchmark_sweep", {"peer_fits": 99}, "peer_fits must be at most 45"),
    ("cross_validation", {"loss": "hinge"}, "loss must be one of softmax_cross_entrop"),
    ("cross_validation", {"examples": 5}, "examples must be at least 10"),
    ("cross_validation", {"samples": 1}, "samples must be at least 2"),
    ("cross_validation", {"folds": 1}, "folds must be at least 2"),
    ("cross_validation", {"l2": (0.0, 1.0)}, r"l2\[0\] must be above 0"),
    ("cross_validation", {"seed": -1}, "seed must be at least 0"),
    ("cross_validation", {"relative_gap": 1.0}, "relative_gap must be below 1"),
    ("cross_validation", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("cross_validation", {"slots": 0}, "slots must be at least 1"),
    ("certified_optima", {"losses": ("hinge",)}, r"losses\[0\] must be one of"),
    ("certified_optima", {"l2": (0.0,)}, r"l2\[0\] must be above 0"),
    ("certified_optima", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    ("certified_optima", {"certified_share": 1.5}, "certified_share must be at most 1"),
    ("certified_optima", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("viewpoints", {"loss": "hinge"}, "loss must be one of softmax_cross_entropy"),
    ("viewpoints", {"l2": 0.0}, "l2 must be above 0"),
    ("viewpoints", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    ("viewpoints", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("viewpoints", {"images": 0}, "images must be at least 1"),
    ("viewpoints", {"images": 11}, "images must be at most 10"),
    ("viewpoints", {"shown_points": 0}, "shown_points must be at least 1"),
    ("viewpoints", {"boxed_images": 0}, "boxed_images must be at least 1"),
    ("viewpoints", {"sizes": 1}, "sizes must be at least 2"),
    ("hard_cases", {"cases": ()}, r"cases must not be empty, got \(\)"),
    ("hard_cases", {"cases": ("spiral",)}, r"cases\[0\] must be one of quadrants, "),
    (
        "hard_cases",
        {"cases": ("ring", "ring")},
        "cases must be distinct, got ring ring",
    ),
    ("hard_cases", {"examples": 9}, "examples must be at least 10, got 9"),
    ("hard_cases", {"noise": -0.1}, "noise must be at least 0, got -0.1"),
    ("hard_cases", {"gap": 0.8}, "gap must be at most 0.7, got 0.8"),
    ("hard_cases", {"seed": -1}, "seed must be at least 0"),
    ("hard_cases", {"l2": 0.0}, "l2 must be above 0"),
    ("hard_cases", {"lifted_l2": 0.0}, "lifted_l2 must be above 0"),
    ("hard_cases", {"relative_gap": 1.0}, "relative_gap must be below 1"),
    ("hard_cases", {"lifted_relative_gap": 0.0}, "lifted_relative_gap must be above 0"),
    ("hard_cases", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ("loss_questions", {"points": 1}, "points must be at least 2"),
    ("loss_questions", {"temperatures": ()}, "temperatures must not be empty"),
    ("loss_questions", {"temperatures": (1.0,)}, r"temperatures\[0\] must be below 1"),
    ("loss_questions", {"temperatures": (0.0,)}, r"temperatures\[0\] must be above 0"),
    ("loss_questions", {"examples": 3}, "examples must be at least 10"),
    ("loss_questions", {"seed": -1}, "seed must be at least 0"),
    ("loss_questions", {"l2": -1.0}, "l2 must be above 0"),
    ("loss_questions", {"relative_gap": 0.0}, "relative_gap must be above 0"),
    ("loss_questions", {"max_evaluations": 0}, "max_evaluations must be at least 1"),
]


@pytest.mark.parametrize(("name", "changes", "words"), BAD_CONFIGS)
def test_a_bad_config_is_refused_before_anything_is_made(
    name, changes, words, tmp_path
):
    made = STUDIES[name]
    bad = dataclasses.replace(made.config, **changes)
    if hasattr(bad, "dataset"):
        bad = dataclasses.replace(bad, dataset="digits")
    compiled = compiled_programs()
    before = len(compiled)
    with pytest.raises(ValueError, match=words):
        study.run(made, bad, cli.RunOptions(out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert compiled[before:] == []


@pytest.mark.parametrize("name", STUDIES)
def test_defaults_and_presets_are_within_their_bounds(name):
    made = STUDIES[name]
    assert made.name == name
    assert "smoke" in made.presets
    for one in (made.config, *made.presets.values()):
        assert configs.check(one) is one
        assert made.parts(one)
    about = importlib.import_module(f"experiments.{name}").__doc__
    assert made.about == about
    assert f"python -m experiments.{name}" in about
