"""What follows from measured seconds and objectives, of a cell made by hand."""

import math

import pytest

from experiments.benchmark_solvers import conclusions, config

SOFTMAX, CRAMMER_SINGER = config.SMOKE.losses
(L2,) = config.SMOKE.l2s


def fit(seconds, objectives, gaps):
    return {
        "prepare_seconds": seconds[0] / 2,
        "seconds": seconds,
        "objectives": objectives,
        "relative_gaps": gaps,
    }


def peer(seconds, objectives, *, finished=True, rerun=False, **more):
    return {
        "settings": "by hand",
        "stopped": "why",
        "finished": finished,
        "rerun": rerun,
        "deadline_s": 100.0,
        "compile_seconds": 0.0,
        "seconds": seconds,
        "evaluations": list(range(1, len(seconds) + 1)),
        "hessian_products": [0] * len(seconds),
        "objectives": objectives,
        "objective": objectives[-1] if objectives else None,
        "test_accuracy": 0.5,
        **more,
    }


def made_cell(**peers):
    """Best known objective 2, by the reference; its lower bound 1.9998."""
    objectives, gaps = [2.2, 2.01, 2.0001], [None, 1e-2, 1e-3]
    answer = {"stopped": "why", "test_accuracy": 0.5, "finished": True}
    return {
        "loss": SOFTMAX,
        "l2": 0.1,
        "ours": {
            **answer,
            "fits": [
                fit([4.0, 5.0, 6.0], objectives, gaps),
                fit([1.0, 2.0, 3.0], objectives, gaps),
                fit([1.0, 2.2, 3.4], objectives, gaps),
                fit([1.0, 2.1, 9.0], objectives, gaps),
            ],
            "objective": 2.0001,
            "certificate": {"primal": 2.0001, "gap": 1e-3, "rounding": 1e-4},
            "relative_gap": 1e-3,
            "evaluations": 3,
        },
        "reference": {
            **answer,
            "objective": 2.0,
            "certificate": {"primal": 2.0, "gap": 1e-4, "rounding": 1e-4},
        },
        "peers": peers,
    }


def test_ours_is_a_median_of_later_fits():
    found = conclusions.conclude(made_cell())
    assert (found.best, found.best_of) == (2.0, "float64 reference")
    assert found.bound == pytest.approx(1.9998)
    assert found.reference_gap == pytest.approx(1e-4)
    mine = found.ours
    assert [one and one.seconds for one in mine.certified] == [2.1, 3.4, None]
    assert [one and one.evaluations for one in mine.certified] == [2, 3, None]
    assert [one.seconds for one in mine.level] == [2.1, 3.4, 3.4]
    assert mine.cold_certified == (5.0, 6.0, None)
    assert mine.compile_seconds == pytest.approx(6.0 - 3.4)
    # (3.0 - 0.5) / 3, (3.4 - 0.5) / 3, (9.0 - 0.5) / 3
    assert mine.evaluation_seconds == pytest.approx(2.9 / 3)
    assert mine.gap == pytest.approx(0.0003 / 2.0001)
    assert conclusions.finest(found) == 1
    assert conclusions.nearest(found, 1) is None


def test_ratios_of_peers_that_arrive_are_late_or_give_up():
    found = conclusions.conclude(
        made_cell(
            arrives=peer([1.0, 21.0, 68.0], [2.5, 2.001, 2.0001], compile_seconds=4.0),
            late=peer([34.0, 340.0], [2.5, 2.01], finished=False),
            gives_up=peer([34.0, 340.0], [2.5, 2.01]),
            rerun=peer([4.2, 6.3, 68.0], [2.5, 2.01, 2.0001], rerun=True),
            killed=peer([], [], finished=False, stopped="killed 115 s after"),
        )
    )
    arrives, late, gives_up, rerun, killed = found.theirs
    assert arrives.ratios == pytest.approx((10.0, 21 / 3.4, 20.0))
    assert arrives.ratios_certified[:2] == pytest.approx((10.0, 21 / 3.4))
    assert arrives.ratios_certified[2] is None
    assert arrives.ratios_with_compiling[:2] == pytest.approx((25 / 5, 25 / 6))
    assert arrives.at_least == (False, False, False)
    assert late.ratios == pytest.approx((340 / 2.1, 100.0, 100.0))
    assert late.at_least == (False, True, True)
    assert late.distance == pytest.approx(5e-3)
    assert gives_up.ratios[1:] == (None, None)
    # Between 4.2 and 6.3 s, and between 6.3 and 68 s.
    assert rerun.ratios == pytest.approx((2.0, 6.3 / 3.4, 6.3 / 3.4))
    assert rerun.at_least == (True, True, True)
    assert killed.ratios == pytest.approx((100 / 2.1, 100 / 3.4, 100 / 3.4))
    assert killed.gap == killed.distance == math.inf
    assert conclusions.nearest(found, 1).name == "rerun"
    assert conclusions.nearest(found, 0).name == "rerun"


def test_a_peer_may_know_better_than_the_reference():
    found = conclusions.conclude(made_cell(better=peer([5.0], [1.9999])))
    assert (found.best, found.best_of) == (1.9999, "better")
    assert found.theirs[0].distance == 0
    assert found.theirs[0].gap == pytest.approx(1e-4 / 1.9999)


def test_nothing_follows_from_nothing():
    empty = {"loss": SOFTMAX, "l2": 0.1, "peers": {}}
    assert conclusions.conclude(empty) is None
    only = conclusions.conclude({**empty, "peers": {"one": peer([1.0], [3.0])}})
    assert only.ours is None
    assert only.theirs[0].ratios == (None, None, None)
    assert only.bound == -math.inf
