"""Ratios and rows that follow from seconds and objectives made by hand."""

import numpy as np
import pytest

from experiments.benchmark_solvers import measure, reached
from experiments.benchmark_solvers.isolation import Point, Trace
from experiments.benchmark_solvers.peers import Peer
from experiments.benchmark_solvers.reached import NEVER, TOLERANCES, Reached
from experiments.common.study import Measured

# The objective of the reference.
BEST = 2.0
SECONDS = ([4.0, 5.0, 6.0], [1.0, 2.0, 3.0], [1.0, 2.2, 3.4], [1.0, 2.1, 9.0])
# Fits that pass 2.2, 2.01 and 2.0001, with gaps of infinity, 1e-2 and 1e-3.
FITS = [
    {
        "seconds": each,
        "objectives": [2.2, 2.01, 2.0001],
        "relative_gaps": [np.inf, 1e-2, 1e-3],
    }
    for each in SECONDS
]
OURS = reached.rows_of_ours(FITS, BEST)


def peer(seconds, objectives, *, finished=True, rerun=False, compile_seconds=0.0):
    """A peer, its trace and the objectives of its points."""
    points = [Point(one, 10 * i, np.zeros(1)) for i, one in enumerate(seconds, 1)]
    trace = Trace(points, [], "why", finished, compile_seconds)
    return Peer("made", (), None, "by hand", rerun), trace, np.array(objectives)


def column(rows, key, of="value"):
    """A column of the times of a solver, coarse tolerance first."""
    assert [row["within"] for row in rows] == list(TOLERANCES)
    if key.startswith("ratio") and key != "ratio_with_compiling":
        return [row[key] and row[key][of] for row in rows]
    return [row[key] for row in rows]


def rows(*arguments, **options):
    return reached.rows_of_peer(*peer(*arguments, **options), BEST, OURS)


def test_ours_is_a_median_of_later_fits():
    proven, objective = OURS[::2], OURS[1::2]
    assert {row["solver"] for row in proven} == {"jaxlin, proven gap"}
    assert {row["solver"] for row in objective} == {"jaxlin, objective"}
    assert column(proven, "seconds") == [2.1, 3.4, None]
    assert column(proven, "passes") == [2, 3, None]
    assert column(proven, "low") == [2.0, 3.0, None]
    assert column(proven, "high") == [2.2, 9.0, None]
    assert column(objective, "seconds") == [2.1, 3.4, 3.4]
    assert column(proven, "first_seconds") == [5.0, 6.0, None]
    for row in OURS:
        assert row["compile_seconds"] == pytest.approx(6.0 - 3.4)


def test_ratios_of_a_peer_that_arrives():
    found = rows([1.0, 21.0, 68.0], [2.5, 2.001, 2.0001], compile_seconds=4.0)
    assert column(found, "ratio") == pytest.approx([10.0, 21 / 3.4, 20.0])
    proven = column(found, "ratio_proven")
    assert proven[:2] == pytest.approx([10.0, 21 / 3.4])
    assert proven[2] is None
    compiled = column(found, "ratio_with_compiling")
    assert compiled[:2] == pytest.approx([25 / 5, 25 / 6])
    assert column(found, "ratio", "at_least") == [False, False, False]
    # Against the slowest and the fastest fit of ours.
    assert column(found, "ratio", "low")[0] == pytest.approx(21 / 2.2)
    assert column(found, "ratio", "high")[0] == pytest.approx(21 / 2.0)


def test_ratios_of_peers_that_are_late_or_give_up():
    late = rows([34.0, 340.0], [2.5, 2.01], finished=False)
    assert column(late, "ratio") == pytest.approx([340 / 2.1, 100.0, 100.0])
    assert column(late, "ratio", "at_least") == [False, True, True]
    assert column(late, "ratio", "high")[1:] == [None, None]
    assert column(rows([34.0, 340.0], [2.5, 2.01]), "ratio")[1:] == [None, None]
    # Between 4.2 and 6.3 s, and between 6.3 and 68 s.
    again = rows([4.2, 6.3, 68.0], [2.5, 2.01, 2.0001], rerun=True)
    assert column(again, "ratio") == pytest.approx([2.0, 6.3 / 3.4, 6.3 / 3.4])
    assert column(again, "ratio", "at_least") == [True, True, True]
    assert column(again, "ratio", "high")[0] == pytest.approx(6.3 / 2.0)
    # Killed before it came to a point: nothing is known.
    assert column(rows([], [], finished=False), "ratio") == [None, None, None]


def test_nothing_follows_from_nothing():
    ours = reached.rows_of_ours([], BEST)
    assert column(ours[::2], "seconds") == [None, None, None]
    assert column(ours[1::2], "first_seconds") == [None, None, None]
    found = reached.rows_of_peer(*peer([1.0], [2.0]), BEST, ours)
    assert column(found, "seconds") == [1.0, 1.0, 1.0]
    assert column(found, "ratio") == column(found, "ratio_proven") == [None] * 3
    assert column(found, "ratio_with_compiling") == [None] * 3
    # Without a reference nobody arrives, while what is proven stays so.
    nowhere = reached.rows_of_ours(FITS, np.nan)
    assert column(nowhere[::2], "seconds") == [2.1, 3.4, None]
    assert column(nowhere[1::2], "seconds") == [None, None, None]


def test_a_peer_arrives_at_its_first_point_within_a_tolerance():
    # 5 %, 0.9 %, 20 %, 0.05 %, not a number, exactly 1e-4 but for rounding, 0.3 %
    values = [2.1, 2.018, 2.4, 2.001, np.nan, 2.0001999, 2.006]
    made = peer(1.0 + np.arange(7), values)
    assert [reached.of_peer(*made, 2.0 * (1 + one)) for one in TOLERANCES] == [
        Reached(2.0, 2.0, 2.0, 20),
        Reached(4.0, 4.0, 4.0, 40),
        Reached(6.0, 6.0, 6.0, 60),
    ]


def test_reruns_that_are_faster_than_shorter_ones():
    made = peer([1.0, 0.5], [2.4, 2.001], rerun=True)
    assert reached.of_peer(*made, 2.02) == Reached(0.5, 0.5, 0.5, 20)


def test_a_peer_without_points_got_nowhere():
    assert reached.of_peer(*peer([], []), 2.0) == NEVER


def test_an_answer_is_held_against_the_reference_and_its_bound():
    times = rows([34.0, 340.0], [2.5, 2.01], finished=False)
    reference = {"objective": BEST, "fits": [{"bound": 1.9998}]}
    found = measure.compared(Measured({"objective": 2.01}), reference, times, OURS)
    assert found.numbers["distance"] == pytest.approx(5e-3)
    assert found.numbers["gap"] == pytest.approx(0.0102 / 2.01)
    # The finest gap that ours has proven.
    assert found.numbers["finest"] is times[1]
    assert found.numbers["times"] is times
    # A peer may know better than the reference.
    better = measure.compared(Measured({"objective": 1.9999}), reference, times, OURS)
    assert better.numbers["distance"] == pytest.approx(-5e-5)
    assert better.numbers["gap"] == pytest.approx(1e-4 / 1.9999)
    # A peer that was killed has no answer, and a reference may have none.
    killed = measure.compared(Measured({"objective": None}), reference, times, OURS)
    assert np.isnan([killed.numbers["distance"], killed.numbers["gap"]]).all()
    nothing = {"objective": None, "fits": []}
    alone = measure.compared(Measured({"objective": 2.01}), nothing, times, [])
    assert np.isnan([alone.numbers["distance"], alone.numbers["gap"]]).all()
    assert alone.numbers["finest"] is None
