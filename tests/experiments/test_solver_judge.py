"""How near the optimum a peer came is judged by our objective alone."""

import numpy as np
import pytest
from solver_problems import L2, loop_objective, problem

from experiments.benchmark_solvers import judge, traces
from experiments.common.losses import CERTIFIED
from jaxlin import linear


@pytest.mark.parametrize("loss", CERTIFIED)
def test_objectives_are_those_of_the_definition(loss, monkeypatch):
    monkeypatch.setattr(judge, "_ROWS_PER_BLOCK", 7)
    monkeypatch.setattr(judge, "_POINTS_PER_BLOCK", 4)
    rows, labels = problem(3)
    weights = np.random.default_rng(1).normal(size=(7, 3, 5)).astype(np.float32)
    found = judge.objectives(weights, rows, labels, loss=loss, l2=L2)
    assert found.dtype == np.float64
    expected = [loop_objective(one, rows, labels, loss) for one in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    weights[5, 1, 2] = np.nan
    spoilt = judge.objectives(weights, rows, labels, loss=loss, l2=L2)
    np.testing.assert_array_equal(np.isfinite(spoilt), np.arange(7) != 5)


def made_trace(values, *, finished=True):
    """A trace whose point k is at k + 1 seconds and 10 (k + 1) evaluations."""
    params = linear.Params(np.eye(2, 2, dtype=np.float32), np.zeros(2, np.float32))
    folded = np.asarray(linear.fold_bias(params))
    points = [
        # Every second one has its classes the wrong way round.
        traces.Point(k + 1.0, 10 * (k + 1), folded[:: -1 if k % 2 else 1], k)
        for k in range(len(values))
    ]
    return traces.Trace("made", "by hand", points, finished, "why")


def verdict_of(values, *, finished=True, best=2.0):
    rows = np.array([[3, 0, 1], [0, 3, 1], [2, 1, 1], [1, 2, 1]], np.float32)
    labels = np.array([0, 1, 0, 0], np.int32)
    return judge.judge(
        made_trace(values, finished=finished),
        np.array(values),
        best=best,
        rows=rows,
        labels=labels,
    )


def test_arrivals_are_the_first_points_within_each_tolerance():
    # 5 %, 0.9 %, 20 %, 0.05 %, not a number, exactly 1e-4 but for rounding, 0.3 %
    values = [2.1, 2.018, 2.4, 2.001, np.nan, 2.0001999, 2.006]
    verdict = verdict_of(values)
    assert verdict.arrivals == {
        1e-2: judge.Arrival(2.0, 20, 1, 1.0),
        1e-3: judge.Arrival(4.0, 40, 3, 3.0),
        1e-4: judge.Arrival(6.0, 60, 5, 5.0),
    }
    assert verdict.objective == 2.006
    assert verdict.distance == pytest.approx(3e-3)
    assert verdict.test_accuracy == 0.75


def test_a_peer_that_was_stopped_is_judged_by_its_lowest_point():
    verdict = verdict_of([2.1, 2.04, 2.4], finished=False)
    assert verdict.arrivals == dict.fromkeys(judge.TOLERANCES)
    assert verdict.answer.seconds == 2.0
    assert verdict.distance == pytest.approx(2e-2)
    assert verdict.test_accuracy == 0.25


def test_reruns_that_are_faster_than_shorter_ones():
    trace = made_trace([2.4, 2.001])
    faster = trace.points[1]._replace(seconds=0.5)
    trace = trace._replace(points=[trace.points[0], faster])
    rows = np.ones((1, 3), np.float32)
    verdict = judge.judge(
        trace, np.array([2.4, 2.001]), best=2.0, rows=rows, labels=np.zeros(1)
    )
    assert verdict.arrivals[1e-2] == judge.Arrival(0.5, 20, 1, 0.5)


def test_a_peer_without_points_got_nowhere():
    verdict = verdict_of([])
    assert verdict.answer is None
    assert verdict.test_accuracy is None
    assert verdict.distance == verdict.objective == np.inf
    assert verdict.arrivals == dict.fromkeys(judge.TOLERANCES)
    rows, labels = problem(3)
    empty = made_trace([])
    loss = "one_vs_rest_hinge"
    assert judge.values(empty, rows, labels, loss=loss, l2=L2).shape == (0,)


def test_judge_refuses_what_it_cannot_judge():
    with pytest.raises(ValueError, match="best must be above 0, got 0"):
        verdict_of([1.0], best=0.0)
    rows, labels = problem(3)
    with pytest.raises(ValueError, match="values must be one a point, got 1 for 2"):
        judge.judge(
            made_trace([1.0, 2.0]), np.ones(1), best=1.0, rows=rows, labels=labels
        )
    with pytest.raises(ValueError, match="loss must be one of .* got 'hinge'"):
        judge.objectives(np.zeros((1, 3, 5)), rows, labels, loss="hinge", l2=L2)
