"""Random problems: what is drawn, what a run reports."""

import dataclasses

import numpy as np
import pytest

from experiments import random_problems
from experiments.common import cli, measurements

MADE = random_problems.MEASUREMENTS
CONFIG = MADE.config


@pytest.mark.parametrize("index", range(60))
def test_problems_keep_their_limits(index):
    settings, arguments = random_problems.draw(CONFIG, index)
    rows, labels, weights = (
        arguments[name] for name in ("features", "labels", "weights")
    )
    assert rows.shape == (settings["n"], settings["D"])
    assert 1 <= settings["n"] <= 300
    assert 1 <= settings["D"] <= 60
    assert rows.dtype == (np.float64 if settings["float64"] else np.float32)
    assert 2 <= settings["C"] <= 12
    assert 1e-5 <= settings["l2"] <= 1e-1
    assert (1e-9 if settings["float64"] else 1e-6) <= settings["asked"] <= 1e-3
    assert weights.min() >= 0
    if settings["loss"] == "cross_entropy":
        np.testing.assert_array_equal(labels.sum(axis=1), np.ones(len(rows)))
        assert labels.min() >= 0
    else:
        assert len(set(labels[weights > 0])) >= 2
        assert set(labels) <= set(arguments["classes"])
    if settings["standardised"]:
        assert arguments["l2"] == settings["l2"]
    else:
        # The same strength relative to features of mean square 1.
        unit = np.mean(np.square(rows, dtype=np.float64))
        assert arguments["l2"] == pytest.approx(unit * settings["l2"], rel=1e-5)
    again, same = random_problems.draw(CONFIG, index)
    assert again == settings
    np.testing.assert_array_equal(same["features"], rows)


def test_all_kinds_of_problems_are_drawn():
    drawn = [random_problems.draw(CONFIG, index) for index in range(120)]
    for name in ("float64", "standardised", "weighted", "duplicated", "constant"):
        assert {settings[name] for settings, _ in drawn} == {True, False}
    assert {settings["loss"] for settings, _ in drawn} == set(random_problems.LOSSES)
    assert any((arguments["weights"] == 0).any() for _, arguments in drawn)


def test_a_run_repeats_one_problem(tmp_path, capsys):
    config = dataclasses.replace(random_problems.SMOKE, only=4)
    (row,) = measurements.run(MADE, config, cli.RunOptions(out=tmp_path / "run"))
    settings, _ = random_problems.draw(config, 4)
    assert {name: row[name] for name in settings} == settings
    assert row["loss"] == "softmax_cross_entropy"
    assert row["proven"]
    assert not row["false"]
    assert row["relative_gap"] <= row["asked"]
    assert row["first_seconds"] >= row["seconds"] > 0
    assert "100.0%" in capsys.readouterr().out


def row_of(**changes):
    row = {
        **{"index": 7, "loss": "cross_entropy", "l2": 2e-3, "proven": True},
        **{"false": False, "true_share": 0.5, "first_seconds": 1.0},
        **{"seconds": 0.1, "passes": 30},
    }
    return {**row, **changes}


def test_the_report_names_what_fell_short():
    rows = [
        row_of(),
        row_of(index=13, proven=False, passes=90),
        row_of(index=19, false=True, l2=2e-5, true_share=1.5),
        row_of(index=20, loss="one_vs_rest_hinge", passes=50),
    ]
    lines = random_problems.report(CONFIG, rows).splitlines()
    cells = {line[:20].strip(): line.split() for line in lines[1:6]}
    assert cells["all"][1:5] == ["4", "75.0%", "1", "1.50"]
    assert cells["all"][-3:] == ["40", "78", "90"]  # 30 30 50 90
    assert cells["cross_entropy"][1] == "3"
    assert cells["l2 from 1e-05"][3:6] == ["1", "100.0%", "1"]
    assert [line.split("  ")[0] for line in lines[6:]] == [
        "not proven: --only 13",
        "false: --only 19",
    ]
