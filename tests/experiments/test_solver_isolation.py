"""Solvers are timed and stopped as is said, each in a process of its own."""

import functools
import os
import pickle
import textwrap
import types
from pathlib import Path

import numpy as np
import processes
import pytest
import toy_peers
from solver_problems import L2, find, loop_objective, optimum, problem, stored

from experiments.benchmark_solvers import isolation, peers_sklearn, peers_torch
from experiments.benchmark_solvers import rows as judge

# The recorder and reruns, by a clock that is set by hand


@pytest.fixture
def clock(monkeypatch):
    now = types.SimpleNamespace(seconds=100.0)
    fake = types.SimpleNamespace(perf_counter=lambda: now.seconds)
    monkeypatch.setattr(isolation, "time", fake)
    return now


def test_sending_is_not_charged(clock):
    found = []

    def slow_send(message):
        clock.seconds += 7
        found.append(message)

    recorder = isolation.Recorder(slow_send, deadline_s=10)
    clock.seconds += 50
    recorder.start()
    for count in (1, 2, 3):
        clock.seconds += 2
        recorder.point(np.full((2, 3), count), passes=count)
    assert [point.seconds for point in found] == [2, 4, 6]
    assert recorder.seconds() == 6
    assert [point.passes for point in found] == [1, 2, 3]
    np.testing.assert_array_equal(found[1].weights, np.full((2, 3), 2, np.float32))


def test_points_that_come_soon_are_left_out_but_never_the_last(clock):
    found = []
    recorder = isolation.Recorder(found.append, deadline_s=2, target=0.5)
    for step in (1.0, 0.009, 0.002, 0.1, 0.001):
        clock.seconds += step
        recorder.point(np.zeros((2, 2)), passes=None, value=0.6)
    np.testing.assert_allclose([point.seconds for point in found], [1, 1.011, 1.111])
    clock.seconds += 0.001
    recorder.point(np.zeros((2, 2)), passes=None, keep=True)
    with pytest.raises(isolation.EnoughError, match=r"target, by its own value 0\.5"):
        recorder.point(np.zeros((2, 2)), passes=None, value=0.5)
    recorder.check()
    clock.seconds += 1
    with pytest.raises(isolation.EnoughError, match="deadline of 2 s"):
        recorder.point(np.zeros((2, 2)), passes=None, value=np.nan)
    with pytest.raises(isolation.EnoughError, match="deadline of 2 s"):
        recorder.check()
    np.testing.assert_allclose(
        [point.seconds for point in found[3:]], [1.113] * 2 + [2.113]
    )
    assert {point.passes for point in found} == {None}


def test_a_point_is_a_copy_of_the_weights():
    found, weights = [], np.ones((2, 2), np.float32)
    recorder = isolation.Recorder(found.append, deadline_s=9)
    recorder.point(weights, passes=1)
    weights[:] = 0
    (point,) = found
    assert point.passes == 1
    assert point.weights.all()


def test_reruns_double_until_one_takes_longer_than_the_deadline(clock):
    limits, sent = [], []

    class Model:
        coef_, n_iter_ = np.zeros((3, 5)), np.array([10**9])
        fit_intercept = False

        def set_params(self, *, max_iter):
            limits.append(max_iter)

        def fit(self, inputs, labels):
            clock.seconds += limits[-1]

    def slow_send(point):
        clock.seconds += 1000  # not charged
        sent.append(point)

    recorder = isolation.Recorder(slow_send, deadline_s=7, target=0.5)
    how = {"loss": "softmax_cross_entropy", "l2": L2}
    with pytest.raises(isolation.EnoughError, match="stopped at the deadline of 7 s"):
        peers_sklearn._rerun(
            Model(), peers_sklearn._DOUBLED, stored(3), recorder, **how
        )
    assert limits == [1, 2, 4, 8]
    # Each from its own start.
    assert [point.seconds for point in sent] == limits


# A process of its own.


WEIGHTS = np.arange(6.0).reshape(2, 3)


def run(solver, **more):
    solve = functools.partial(solver, weights=WEIGHTS, **more)
    return isolation.run(solve, deadline_s=1.0)


def test_a_deadline_is_kept_from_inside():
    trace = run(toy_peers.looping)
    assert trace.stopped == "stopped at the deadline of 1 s"
    assert not trace.finished
    assert 1.0 <= trace.points[-1].seconds < 1.03
    assert trace.points[-1].passes >= len(trace.points) > 10
    np.testing.assert_array_equal(trace.points[0].weights, WEIGHTS)


def test_a_solver_that_ignores_its_deadline_is_killed(tmp_path, monkeypatch):
    marker = tmp_path / "sent"

    def allowance(_):
        processes.wait_until(marker.exists)
        return 0.0

    monkeypatch.setattr(isolation, "_allowance", allowance)
    trace = run(toy_peers.deaf, marker=marker)
    assert trace.stopped == "killed after 0 s"
    assert not trace.finished
    assert len(trace.points) == 1


@pytest.mark.parametrize(
    ("solver", "words", "num_points"),
    [
        (toy_peers.dying, "died with exit code 7", 1),
        (toy_peers.failing, "failed: TypeError: ", 0),
    ],
)
def test_whatever_happens_to_a_solver_is_told_and_points_kept(
    solver, words, num_points
):
    trace = run(solver)
    assert trace.stopped.startswith(words)
    assert not trace.finished
    assert len(trace.points) == num_points


def test_a_message_that_was_cut_is_left_out(tmp_path):
    whole = pickle.dumps({"x": 1})
    (tmp_path / "messages").write_bytes(whole + whole[:-3])
    assert isolation._read(tmp_path / "messages") == [{"x": 1}]


def test_a_peer_of_another_library_does_without_jax():
    modules = [peers_sklearn.__name__, peers_torch.__name__, judge.__name__]
    trace = run(toy_peers.alone, modules=modules)
    assert trace == isolation.Trace([], [], "", finished=True)


def test_a_real_peer_in_its_own_process():
    peer = find("LIBLINEAR one-vs-rest", "one_vs_rest_hinge")
    (loss,) = peer.losses
    how = {"loss": loss, "l2": L2, **peer.settings}
    solve = functools.partial(peer.solve, stored(3), **how)
    trace = isolation.run(solve, deadline_s=processes.HANGS_AFTER_S)
    answer = trace.points[-1].weights
    assert trace.finished
    found = loop_objective(answer, *problem(3), loss)
    assert found == pytest.approx(optimum(loss, 3), rel=1e-5)
    assert trace.records == []


ORPHAN = """
    import os, time
    from pathlib import Path
    from experiments.benchmark_solvers import isolation

    def solve(recorder):
        Path("child.partial").write_text(str(os.getpid()))
        os.replace("child.partial", "child")
        time.sleep(10**6)

    if __name__ == "__main__":
        isolation.run(solve, deadline_s=10.0**5)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_solver_does_not_outlive_a_killed_benchmark(tmp_path):
    (tmp_path / "orphan.py").write_text(textwrap.dedent(ORPHAN))
    # Killed with its folder of points in place.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = processes.start("orphan.py", cwd=tmp_path, env=environment)
    try:
        processes.wait_until((tmp_path / "child").exists, process=parent)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        parent.stderr.close()
    child = int((tmp_path / "child").read_text())
    processes.wait_until(lambda: has_ended(child))


def has_ended(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    # Where nobody collects orphans, what is left of one is a zombie.
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"
