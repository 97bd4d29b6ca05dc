"""Peers are timed and stopped as is said, each in a process of its own."""

import types

import numpy as np
import processes
import pytest
import toy_peers
from solver_problems import L2, find, optimum, problem

from experiments.benchmark_solvers import isolation, judge, peers_sklearn, traces

# The recorder and reruns, by a clock that is set by hand


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(seconds=100.0)
    fake = types.SimpleNamespace(perf_counter=lambda: now.seconds)
    monkeypatch.setattr(traces, "time", fake)
    return now


def test_sending_and_pauses_are_not_charged(clock):
    found, starts = [], []

    def slow_send(message):
        if message is None:
            starts.append(clock.seconds)
            return
        clock.seconds += 7
        found.append(message)

    recorder = traces.Recorder(slow_send, deadline_s=10)
    clock.seconds += 50
    recorder.start()
    for count in (1, 2, 3):
        clock.seconds += 2
        recorder.point(np.full((2, 3), count), evaluations=count)
        with recorder.paused():
            clock.seconds += 1000
    assert [point.seconds for point in found] == [2, 4, 6]
    assert [point.evaluations for point in found] == [1, 2, 3]
    assert starts == [150]
    np.testing.assert_array_equal(found[1].weights, np.full((2, 3), 2, np.float32))


def test_points_that_come_soon_are_left_out_but_never_the_last(clock):
    found = []
    recorder = traces.Recorder(found.append, deadline_s=2, target=0.5)
    recorder.start()
    for step in (1.0, 0.009, 0.002, 0.1, 0.001):
        clock.seconds += step
        recorder.point(np.zeros((2, 2)), evaluations=None, value=0.6)
    # None says that the clock has started.
    assert found.pop(0) is None
    np.testing.assert_allclose([point.seconds for point in found], [1, 1.011, 1.111])
    clock.seconds += 0.001
    recorder.point(np.zeros((2, 2)), evaluations=None, keep=True)
    with pytest.raises(traces.EnoughError, match=r"target, by its own value 0\.5"):
        recorder.point(np.zeros((2, 2)), evaluations=None, value=0.5)
    recorder.check()
    clock.seconds += 1
    with pytest.raises(traces.EnoughError, match="deadline of 2 s"):
        recorder.point(np.zeros((2, 2)), evaluations=None, value=np.nan)
    with pytest.raises(traces.EnoughError, match="deadline of 2 s"):
        recorder.check()
    np.testing.assert_allclose(
        [point.seconds for point in found[3:]], [1.113] * 2 + [2.113]
    )
    assert {point.evaluations for point in found} == {None}


def test_a_point_is_a_copy_of_the_weights():
    found, weights = [], np.ones((2, 2), np.float32)
    recorder = traces.Recorder(found.append, deadline_s=9)
    recorder.point(weights, evaluations=1, hessian_products=5)
    weights[:] = 0
    (point,) = found
    assert (point.evaluations, point.hessian_products) == (1, 5)
    assert point.weights.all()


@pytest.mark.parametrize(
    ("power", "efforts"),
    [
        # 1 + 2 + 4 s, then what fits into nine tenths of 10 s.
        (1.0, [1, 2, 4, 8, 9]),
        # Seconds as the square root of the effort: up to 9 again.
        (0.5, [1, 2, 4, 8, 16, 32, 64, 81]),
    ],
)
def test_reruns_grow_and_fill_the_deadline(clock, power, efforts):
    asked, sent = [], []

    def fit(effort):
        asked.append(effort)
        clock.seconds += effort**power
        weights = np.full((2, 2), effort)
        return peers_sklearn._Fit(weights, int(effort), False, f"effort {effort:g}")

    recorder = traces.Recorder(sent.append, deadline_s=10)
    with pytest.raises(traces.EnoughError, match="effort .*: more would pass"):
        peers_sklearn._rerun(fit, recorder, lambda _: 0.0, start=1.0)
    np.testing.assert_allclose(asked, efforts)
    found = [one for one in sent if one is not None]
    np.testing.assert_allclose(
        [point.seconds for point in found], np.power(efforts, power)
    )


# A process of its own.


@pytest.fixture(scope="module")
def shelf():
    with isolation.shelve(*problem(3)) as made:
        yield made
        assert sorted(path.name for path in made.iterdir()) == [
            *("labels.npy", "rows.npy")
        ]
    assert not made.exists()


def run(solver, shelf, **options):
    peer = isolation.Peer("toy", "none", "no settings", solver)
    return isolation.run(peer, shelf, l2=0.5, **options)


def test_a_deadline_is_kept_from_inside(shelf, monkeypatch):
    monkeypatch.setattr(isolation, "_allowance", lambda _: processes.HANGS_AFTER_S)
    trace = run(toy_peers.looping, shelf, deadline_s=1.0)
    assert trace.stopped == "stopped at the deadline of 1 s"
    assert not trace.finished
    assert 1.0 <= trace.points[-1].seconds < 1.03
    assert trace.points[-1].evaluations >= len(trace.points) > 10
    rows, _ = problem(3)
    np.testing.assert_array_equal(trace.points[0].weights, 0.5 * rows[:2])


@pytest.mark.parametrize(
    ("solver", "allowance", "words", "num_points"),
    [
        (toy_peers.deaf, 1.0, "killed 1 s after the start of its clock", 1),
        (toy_peers.dying, processes.HANGS_AFTER_S, "died with exit code 7", 1),
        (toy_peers.failing, processes.HANGS_AFTER_S, "failed: TypeError: ", 0),
    ],
)
def test_whatever_happens_to_a_peer_is_told_and_points_kept(
    solver, allowance, words, num_points, shelf, monkeypatch
):
    monkeypatch.setattr(isolation, "_allowance", lambda _: allowance)
    trace = run(solver, shelf, deadline_s=1.0)
    assert trace.stopped.startswith(words)
    assert not trace.finished
    assert len(trace.points) == num_points


def test_a_real_peer_in_its_own_process(shelf):
    peer = find("LIBLINEAR one-vs-rest", "one_vs_rest_hinge")
    trace = isolation.run(peer, shelf, l2=L2, deadline_s=processes.HANGS_AFTER_S)
    rows, labels = problem(3)
    weights = np.stack([point.weights for point in trace.points])
    values = judge.objectives(weights, rows, labels, loss=peer.loss, l2=L2)
    assert trace.finished
    assert values[-1] == pytest.approx(optimum(peer.loss, 3), rel=1e-5)
    assert trace.records == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda rows, labels: (2 * rows, labels),
            r"rows must end .* got 2\.0 at row 0",
        ),
        (lambda rows, labels: (rows, 2 * labels), "got none of class 1"),
        (lambda rows, labels: (rows, 0 * labels), "at least two, got none of class 1"),
        (lambda rows, labels: (rows, labels[1:]), "labels must have one entry"),
        (lambda rows, labels: (rows * np.nan, labels), "rows must be finite"),
    ],
)
def test_rows_and_labels_that_peers_would_misread_are_refused(change, words):
    with (
        pytest.raises(ValueError, match=words),
        isolation.shelve(*change(*problem(3))),
    ):
        pass


@pytest.mark.parametrize("name", ["l2", "deadline_s"])
def test_numbers_must_be_above_zero(name, shelf):
    options = {"l2": 1.0, "deadline_s": 1.0, name: 0.0}
    peer = isolation.Peer("toy", "none", "no settings", toy_peers.failing)
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        isolation.run(peer, shelf, **options)
