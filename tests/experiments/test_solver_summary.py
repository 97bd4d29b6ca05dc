"""What follows from measured seconds and objectives, of a cell made by hand."""

import math

import numpy as np
import pytest

from experiments.benchmark_solvers import ours, summary
from experiments.benchmark_solvers.config import TOLERANCES
from experiments.benchmark_solvers.summary import Reached, Solver

SECONDS = ([4.0, 5.0, 6.0], [1.0, 2.0, 3.0], [1.0, 2.2, 3.4], [1.0, 2.1, 9.0])


def fitted(seconds=SECONDS, objective=2.0001, bound=2.0001 - 1e-3 - 1e-4):
    """Fits that pass 2.2, 2.01 and 2.0001, with gaps of infinity, 1e-2 and 1e-3."""
    arrays = {}
    for number, each in enumerate(seconds):
        arrays[f"seconds-{number}"] = np.array(each)
        arrays[f"objectives-{number}"] = np.array([2.2, 2.01, 2.0001])
        arrays[f"relative_gaps-{number}"] = np.array([np.inf, 1e-2, 1e-3])
    numbers = {
        "name": ours.NAME,
        "settings": "by hand",
        "stopped": "why",
        "test_accuracy": 0.5,
        "objective": objective,
        "fits": [{"prepare_seconds": each[0] / 2, "bound": bound} for each in seconds],
    }
    return Solver(numbers, arrays)


# Its lower bound is 1.9998.
REFERENCE = fitted([[1.0, 2.0, 3.0]], objective=2.0, bound=1.9998)
NOTHING = fitted([], objective=None)


def peer(name, seconds, objectives, *, finished=True, rerun=False, **more):
    numbers = {
        "name": name,
        "settings": "by hand",
        "stopped": "why",
        "finished": finished,
        "rerun": rerun,
        "deadline_s": 100.0,
        "compile_seconds": 0.0,
        "objective": objectives[-1] if objectives else None,
        "test_accuracy": 0.5,
        **more,
    }
    arrays = {
        "seconds": np.array(seconds),
        "evaluations": 10.0 * np.arange(1, len(seconds) + 1),
        "hessian_products": np.arange(len(seconds)),
        "objectives": np.array(objectives),
    }
    return Solver(numbers, arrays)


def concluded(*peers):
    return summary.conclude(fitted(), REFERENCE, peers)


def column(found, solver, key):
    """A column of the times of a solver, coarse tolerance first."""
    rows = [row for row in found["times"] if row["solver"] == solver]
    assert [row["within"] for row in rows] == list(TOLERANCES)
    return [row[key] for row in rows]


def ratios(found, solver, key="ratio", of="value"):
    return [one and one[of] for one in column(found, solver, key)]


def test_ours_is_a_median_of_later_fits():
    found = concluded()
    assert (found["best"], found["best_of"]) == (2.0, "float64 reference")
    assert found["bound"] == pytest.approx(1.9998)
    assert found["reference_gap"] == pytest.approx(1e-4)
    proven, reached = (f"{ours.NAME}, {what}" for what in ("proven gap", "objective"))
    assert column(found, proven, "seconds") == [2.1, 3.4, None]
    assert column(found, proven, "evaluations") == [2, 3, None]
    assert column(found, proven, "low") == [2.0, 3.0, None]
    assert column(found, proven, "high") == [2.2, 9.0, None]
    assert column(found, reached, "seconds") == [2.1, 3.4, 3.4]
    cold = [
        summary.of_fits(fitted(), "relative_gaps", one, fits=slice(1))
        for one in TOLERANCES
    ]
    assert [one and one.seconds for one in cold] == [5.0, 6.0, None]
    mine = found["ours"]
    assert mine["fits"] == 3
    assert mine["compile_seconds"] == pytest.approx(6.0 - 3.4)
    # (3.0 - 0.5) / 3, (3.4 - 0.5) / 3, (9.0 - 0.5) / 3
    assert mine["evaluation_seconds"] == pytest.approx(2.9 / 3)
    assert found["answers"][0]["gap"] == pytest.approx(0.0003 / 2.0001)
    assert found["nearest"]["ours"]["within"] == 1e-3
    assert found["nearest"]["peer"] is None


def test_ratios_of_peers_that_arrive_are_late_or_give_up():
    found = concluded(
        peer("arrives", [1.0, 21.0, 68.0], [2.5, 2.001, 2.0001], compile_seconds=4.0),
        peer("late", [34.0, 340.0], [2.5, 2.01], finished=False),
        peer("gives up", [34.0, 340.0], [2.5, 2.01]),
        peer("rerun", [4.2, 6.3, 68.0], [2.5, 2.01, 2.0001], rerun=True),
        peer("killed", [], [], finished=False, stopped="killed 115 s after"),
    )
    assert ratios(found, "arrives") == pytest.approx([10.0, 21 / 3.4, 20.0])
    proven = ratios(found, "arrives", "ratio_proven")
    assert proven[:2] == pytest.approx([10.0, 21 / 3.4])
    assert proven[2] is None
    compiled = column(found, "arrives", "ratio_with_compiling")
    assert compiled[:2] == pytest.approx([25 / 5, 25 / 6])
    assert ratios(found, "arrives", of="at_least") == [False, False, False]
    # Against the slowest and the fastest fit of ours.
    assert ratios(found, "arrives", of="low")[0] == pytest.approx(21 / 2.2)
    assert ratios(found, "arrives", of="high")[0] == pytest.approx(21 / 2.0)
    assert ratios(found, "late") == pytest.approx([340 / 2.1, 100.0, 100.0])
    assert ratios(found, "late", of="at_least") == [False, True, True]
    assert ratios(found, "late", of="high")[1:] == [None, None]
    late = found["answers"][2]
    assert late["distance"] == pytest.approx(5e-3)
    assert ratios(found, "gives up")[1:] == [None, None]
    # Between 4.2 and 6.3 s, and between 6.3 and 68 s.
    assert ratios(found, "rerun") == pytest.approx([2.0, 6.3 / 3.4, 6.3 / 3.4])
    assert ratios(found, "rerun", of="at_least") == [True, True, True]
    assert ratios(found, "rerun", of="high")[0] == pytest.approx(6.3 / 2.0)
    assert ratios(found, "killed") == pytest.approx([100 / 2.1, 100 / 3.4, 100 / 3.4])
    killed = found["answers"][-1]
    assert killed["gap"] == killed["distance"] == math.inf
    assert found["nearest"]["peer"]["solver"] == "rerun"
    assert found["nearest"]["peer"]["within"] == 1e-3


def test_a_peer_may_know_better_than_the_reference():
    found = concluded(peer("better", [5.0], [1.9999]))
    assert (found["best"], found["best_of"]) == (1.9999, "better")
    assert found["answers"][1]["distance"] == 0
    assert found["answers"][1]["gap"] == pytest.approx(1e-4 / 1.9999)


def test_nothing_follows_from_nothing():
    empty = summary.conclude(NOTHING, NOTHING, [])
    assert empty["best"] == math.inf
    assert empty["nearest"] is None
    only = summary.conclude(NOTHING, NOTHING, [peer("one", [1.0], [3.0])])
    assert only["ours"] is None
    assert ratios(only, "one") == [None, None, None]
    assert only["bound"] == -math.inf
    assert only["answers"][0]["test_accuracy"] == 0.5
    assert only["nearest"] is None


def test_a_peer_arrives_at_its_first_point_within_a_tolerance():
    # 5 %, 0.9 %, 20 %, 0.05 %, not a number, exactly 1e-4 but for rounding, 0.3 %
    values = [2.1, 2.018, 2.4, 2.001, np.nan, 2.0001999, 2.006]
    made = peer("made", 1.0 + np.arange(7), values)
    reached = [summary.of_peer(made, 2.0 * (1 + one)) for one in TOLERANCES]
    assert reached == [
        Reached(2.0, 2.0, 2.0, 20),
        Reached(4.0, 4.0, 4.0, 40),
        Reached(6.0, 6.0, 6.0, 60),
    ]
    found = concluded(made)
    assert column(found, "made", "hessian_products") == [1, 3, 5]
    assert found["answers"][1]["distance"] == pytest.approx(3e-3)


def test_reruns_that_are_faster_than_shorter_ones():
    made = peer("made", [1.0, 0.5], [2.4, 2.001], rerun=True)
    assert summary.of_peer(made, 2.02) == Reached(0.5, 0.5, 0.5, 20)


def test_a_peer_without_points_got_nowhere():
    assert summary.of_peer(peer("made", [], []), 2.0) is None
