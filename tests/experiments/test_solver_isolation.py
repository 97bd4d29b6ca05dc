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


def test_writing_and_pauses_are_not_charged(clock, tmp_path, monkeypatch):
    write = traces._write

    def slow_write(path, point):
        clock.seconds += 7
        write(path, point)

    monkeypatch.setattr(traces, "_write", slow_write)
    starts = []
    recorder = traces.Recorder(
        tmp_path, deadline_s=10, announce=lambda: starts.append(clock.seconds)
    )
    clock.seconds += 50
    recorder.start()
    for count in (1, 2, 3):
        clock.seconds += 2
        recorder.point(np.full((2, 3), count), evaluations=count)
        with recorder.paused():
            clock.seconds += 1000
    found = traces.read_points(tmp_path)
    assert [point.seconds for point in found] == [2, 4, 6]
    assert [point.evaluations for point in found] == [1, 2, 3]
    assert starts == [150]
    np.testing.assert_array_equal(found[1].weights, np.full((2, 3), 2, np.float32))


def test_points_that_come_soon_are_left_out_but_never_the_last(clock, tmp_path):
    recorder = traces.Recorder(tmp_path, deadline_s=2, target=0.5)
    recorder.start()
    kept = []
    for step in (1.0, 0.009, 0.002, 0.1, 0.001):
        clock.seconds += step
        recorder.point(np.zeros((2, 2)), evaluations=None, value=0.6)
    kept = [point.seconds for point in traces.read_points(tmp_path)]
    np.testing.assert_allclose(kept, [1, 1.011, 1.111])
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
    found = traces.read_points(tmp_path)
    np.testing.assert_allclose(
        [point.seconds for point in found[3:]], [1.113] * 2 + [2.113]
    )
    assert {point.evaluations for point in found} == {None}


def test_a_point_that_was_being_written_is_no_point(tmp_path):
    recorder = traces.Recorder(tmp_path, deadline_s=9)
    recorder.point(np.ones((2, 2)), evaluations=1, hessian_products=5)
    (tmp_path / "000001.partial").write_bytes(b"PK half of a file")
    (found,) = traces.read_points(tmp_path)
    assert (found.evaluations, found.hessian_products) == (1, 5)


@pytest.mark.parametrize(
    ("power", "efforts"),
    [
        # 1 + 2 + 4 s, then what fits into nine tenths of 10 s.
        (1.0, [1, 2, 4, 8, 9]),
        # Seconds as the square root of the effort: up to 9 again.
        (0.5, [1, 2, 4, 8, 16, 32, 64, 81]),
    ],
)
def test_reruns_grow_and_fill_the_deadline(clock, tmp_path, power, efforts):
    asked = []

    def fit(effort):
        asked.append(effort)
        clock.seconds += effort**power
        weights = np.full((2, 2), effort)
        return peers_sklearn._Fit(weights, int(effort), False, f"effort {effort:g}")

    recorder = traces.Recorder(tmp_path, deadline_s=10)
    with pytest.raises(traces.EnoughError, match="effort .*: more would pass"):
        peers_sklearn._rerun(fit, recorder, lambda _: 0.0, start=1.0)
    np.testing.assert_allclose(asked, efforts)
    found = traces.read_points(tmp_path)
    np.testing.assert_allclose(
        [point.seconds for point in found], np.power(efforts, power)
    )


# A process of its own.


@pytest.fixture(scope="module")
def shelf():
    with isolation.shelve(*problem(3)) as made:
        yield made
        # Points are read and thrown away with their folder.
        assert sorted(path.name for path in made.folder.iterdir()) == [
            *("labels.npy", "rows.npy")
        ]
    assert not made.folder.exists()


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
    assert (trace.name, trace.settings) == ("toy", "no settings")
    assert trace.stopped.startswith(words)
    assert not trace.finished
    assert len(trace.points) == num_points


def test_a_real_peer_in_its_own_process(shelf):
    peer = find("LIBLINEAR one-vs-rest", "one_vs_rest_hinge")
    trace = isolation.run(peer, shelf, l2=L2, deadline_s=processes.HANGS_AFTER_S)
    rows, labels = problem(3)
    values = judge.values(trace, rows, labels, loss=peer.loss, l2=L2)
    best = optimum(peer.loss, 3)
    verdict = judge.judge(trace, values, best=best, rows=rows, labels=labels)
    assert trace.finished
    assert abs(verdict.distance) < 1e-5
    assert all(verdict.arrivals.values())


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
