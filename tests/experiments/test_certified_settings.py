"""Settings of the certified comparison: which l2 is chosen, and which are refused."""

import dataclasses

import pytest
import run_helpers

from experiments.svm_vs_softmax.certified import fits
from experiments.svm_vs_softmax.config import SMOKE, checked


def test_ties_go_to_the_stronger_penalty():
    l2s = [0.1, 0.01, 0.001]
    assert fits.choose([0.5, 0.7, 0.7], l2s) == 1
    assert fits.choose([0.7, 0.7, 0.7], l2s) == 0
    assert fits.choose([0.5, 0.6, 0.7], l2s) == 2


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--solver newton", "invalid choice"),
        ("--relative-gap 0", "relative_gap must be above 0, got 0"),
        ("--relative-gap -1", "relative_gap must be above 0, got -1"),
        ("--relative-gap nan", "relative_gap must be finite, got nan"),
        ("--relative-gap 1", "relative_gap must be below 1, got 1"),
        ("--polished-gap 0", "polished_gap must be above 0, got 0"),
        ("--polished-gap 1e-3", "polished_gap must be at most relative_gap, 0.0001"),
        ("--max-evaluations 0", "max_evaluations must be at least 1, got 0"),
        ("--path-l2 0.1 0", "path_l2[1] must be above 0, got 0"),
        ("--path-l2", "path_l2 must not be empty"),
        ("--path-l2 0.1 0.1", "path_l2 must be distinct"),
    ],
)
def test_bad_settings_are_refused_before_a_folder_is_made(tmp_path, flags, words):
    programs = len(run_helpers.compiled_programs())
    code, errors = run_helpers.main(
        *("--smoke", "--out", tmp_path / "run"),
        *flags.split(),
    )
    assert code == 2
    assert words in " ".join(errors.replace("│", " ").split())
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists()
    assert len(run_helpers.compiled_programs()) == programs


def test_an_unknown_solver_in_a_config_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"solver": "newton"}')
    code, errors = run_helpers.main("--config", path)
    assert code == 2
    assert "solver must be one of certified, minibatch, got 'newton'" in errors
    with pytest.raises(ValueError, match="solver must be one of"):
        checked(dataclasses.replace(SMOKE, solver="newton"))
