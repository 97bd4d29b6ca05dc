"""The peers of the solver benchmark solve our problems, and are timed and judged so."""

import functools
import importlib.util
import operator
import os
import time
import types
import warnings

import numpy as np
import pytest
import references
import scipy.optimize

from experiments.benchmark_solvers import (
    isolation,
    judge,
    peers,
    peers_sklearn,
    traces,
)
from jaxlin import linear

L2 = 0.05

LOOPS = {
    "softmax_cross_entropy": references.softmax_cross_entropy,
    "weston_watkins_hinge": references.weston_watkins,
    "weston_watkins_squared_hinge": functools.partial(
        references.weston_watkins, power=2
    ),
    "crammer_singer_hinge": references.crammer_singer,
    "one_vs_rest_hinge": references.one_vs_rest,
}
# L-BFGS is not made for kinks: on these it ends somewhere near.
KINKED = {"weston_watkins_hinge", "crammer_singer_hinge", "one_vs_rest_hinge"}
NEEDS = {"scikit-learn": "sklearn", "LIBLINEAR": "sklearn", "PyTorch": "torch"}


@functools.cache
def problem(num_classes, num_examples=30):
    """Overlapping clouds, with the constant feature."""
    draw = np.random.default_rng(0)
    labels = np.arange(num_examples, dtype=np.int32) % num_classes
    centres = draw.normal(size=(num_classes, 4))
    rows = centres[labels] + draw.normal(size=(num_examples, 4))
    return np.c_[rows, np.ones(num_examples)].astype(np.float32), labels


def loop_objective(weights, rows, labels, loss, l2=L2):
    """The definition, one example after the other."""
    rows, weights = rows.astype(float), np.asarray(weights, float)
    total = sum(
        LOOPS[loss](weights @ row, label)
        for row, label in zip(rows, labels, strict=True)
    )
    return total / len(rows) + l2 / 2 * (weights**2).sum()


@functools.cache
def optimum(loss, num_classes):
    """The least objective, by a general method of scipy in float64."""
    rows, labels = problem(num_classes)
    size = num_classes * rows.shape[1]
    if loss not in KINKED:
        found = scipy.optimize.minimize(
            lambda flat: loop_objective(
                flat.reshape(num_classes, -1), rows, labels, loss
            ),
            np.zeros(size),
            method="L-BFGS-B",
            options={"ftol": 1e-14, "gtol": 1e-8},
        )
        return found.fun
    return _least_with_slacks(loss, rows.astype(float), labels, num_classes)


def _least_with_slacks(loss, rows, labels, num_classes):
    """The quadratic program of a hinge: every slack at least 0 and at least a term."""
    size = num_classes * rows.shape[1]
    terms, owner = [], []
    for i, (row, label) in enumerate(zip(rows, labels, strict=True)):
        for j in range(num_classes):
            term = np.zeros((num_classes, rows.shape[1]))
            if loss == "one_vs_rest_hinge":
                term[j] = -row if j == label else row
            elif j == label:
                continue
            else:
                term[j], term[label] = row, -row
            owner.append(i if loss == "crammer_singer_hinge" else len(terms))
            terms.append(term.ravel())
    slacks = max(owner) + 1
    # slack - term >= 1
    matrix = np.c_[-np.array(terms), np.eye(slacks)[owner]]
    price = np.r_[np.zeros(size), np.full(slacks, 1 / len(rows))]
    square = np.r_[np.full(size, L2), np.zeros(slacks)]
    found = scipy.optimize.minimize(
        lambda at: price @ at + square @ at**2 / 2,
        np.r_[np.zeros(size), np.ones(slacks)],
        jac=lambda at: price + square * at,
        method="SLSQP",
        bounds=[(None, None)] * size + [(0, None)] * slacks,
        constraints={
            "type": "ineq",
            "fun": lambda at: matrix @ at - 1,
            "jac": lambda at: matrix,
        },
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert found.success, found.message
    return found.fun


def solve(peer, folder, num_classes, deadline_s=20.0, target=None):
    """Runs a peer in this process and returns its points and why it ended."""
    recorder = traces.Recorder(folder, deadline_s=deadline_s, target=target)
    rows, labels = problem(num_classes)
    try:
        why = peer.solve(rows, labels, recorder, l2=L2)
    except traces.EnoughError as enough:
        why = str(enough)
    compiles = peer.name.startswith(("optax", "jaxopt"))
    assert (recorder.compile_seconds > 0) == compiles
    return traces.read_points(folder), why


def skip_without_library(peer):
    library = peer.name.split()[0]
    name = NEEDS.get(library, library)
    # Not importorskip: jaxopt warns when imported, and a warning is an error here.
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


def find(name, loss):
    return next(peer for peer in peers.of(loss) if peer.name == name)


def name_of(peer):
    return f"{peer.name} {peer.loss}".replace(" ", "-")


# The peers


def _marked(peer):
    """Programs of many losses take long to compile; what differs is the loss alone."""
    compiled = peer.name.startswith(("optax", "jaxopt"))
    few = {"softmax_cross_entropy", "crammer_singer_hinge"}
    marks = [pytest.mark.full] if compiled and peer.loss not in few else []
    return pytest.param(peer, id=name_of(peer), marks=marks)


@pytest.mark.parametrize("peer", [*map(_marked, peers.PEERS)])
def test_peer_comes_to_the_optimum_of_our_objective(peer, tmp_path):
    """A constant converted wrongly would lead elsewhere."""
    skip_without_library(peer)
    with warnings.catch_warnings():
        # Those of a library when it is imported are not ours.
        warnings.simplefilter("ignore")
        points, why = solve(peer, tmp_path, 3)
    least = optimum(peer.loss, 3)
    rows, labels = problem(3)
    values = [
        loop_objective(point.weights, rows, labels, peer.loss) for point in points
    ]
    assert min(values) >= least * (1 - 1e-6)
    exact = peer.loss not in KINKED or peer.name.startswith("LIBLINEAR")
    assert min(values) <= least * (1 + (1e-5 if exact else 1e-2))
    assert "ended" in why
    assert points[-1].weights.shape == (3, 5)
    assert points[-1].weights.dtype == np.float32
    seconds = [point.seconds for point in points]
    assert min(seconds) > 0
    assert max(seconds) < 20
    counts = [point.evaluations for point in points]
    if peer.name.startswith("LIBLINEAR"):
        assert set(counts) == {None}
    else:
        assert counts == sorted(counts)
        # A first line search may take several.
        assert 1 <= counts[0] < 20
    assert (points[-1].hessian_products > 0) == ("newton-cg" in peer.name)


@pytest.mark.parametrize(
    "peer",
    [peer for peer in peers.PEERS if NEEDS.get(peer.name.split()[0]) == "sklearn"],
    ids=name_of,
)
def test_two_classes_of_scikit_learn_are_two_rows_of_ours(peer, tmp_path):
    points, _ = solve(peer, tmp_path, 2)
    rows, labels = problem(2)
    answer = points[-1].weights
    np.testing.assert_allclose(answer[0], -answer[1])
    found = loop_objective(answer, rows, labels, peer.loss)
    assert found == pytest.approx(optimum(peer.loss, 2), rel=1e-5)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_watching_scikit_learn_changes_nothing(solver, tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from sklearn.linear_model._linear_loss import LinearModelLoss

    monkeypatch.setattr(traces, "_SPACING", 0.0)
    before = dict(vars(LinearModelLoss))
    peer = find(f"scikit-learn {solver}", "softmax_cross_entropy")
    points, _ = solve(peer, tmp_path, 3)
    assert dict(vars(LinearModelLoss)) == before
    # Every point but the answer, which was one of them, is an evaluation more.
    counts = [point.evaluations for point in points]
    assert counts == [*range(1, len(points)), len(points) - 1]
    assert not points[0].weights.any()
    rows, labels = problem(3)
    alone = LogisticRegression(
        C=1 / (L2 * len(rows)), solver=solver, fit_intercept=False, max_iter=10**6
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone.set_params(tol=1e-10).fit(rows, labels)
    np.testing.assert_array_equal(points[-1].weights, alone.coef_.astype(np.float32))


@pytest.mark.parametrize("name", ["lbfgs", "newton-cg", "saga"])
def test_a_peer_is_stopped_at_the_target_or_the_deadline(name, tmp_path):
    peer = find(f"scikit-learn {name}", "softmax_cross_entropy")
    target = 1.01 * optimum(peer.loss, 3)
    (tmp_path / "target").mkdir()
    points, why = solve(peer, tmp_path / "target", 3, target=target)
    rows, labels = problem(3)
    values = [loop_objective(one.weights, rows, labels, peer.loss) for one in points]
    assert values[-1] <= target * (1 + 1e-6)
    assert min(values[:-1]) > target * (1 - 1e-6)
    assert "stopped at the target" in why
    (tmp_path / "deadline").mkdir()
    points, why = solve(peer, tmp_path / "deadline", 3, deadline_s=1e-6)
    assert len(points) == 1
    assert "deadline of 1e-06 s" in why


def test_peers_are_named_once_and_say_how_they_run():
    names = [(peer.name, peer.loss) for peer in peers.PEERS]
    assert len(set(names)) == len(names)
    assert {peer.loss for peer in peers.PEERS} == set(judge.LOSSES) == set(LOOPS)
    for peer in peers.PEERS:
        assert "bias penalised" in peer.settings
        assert "{" not in peer.settings
    assert [peer.name for peer in peers.of("crammer_singer_hinge")] == [
        *("LIBLINEAR Crammer-Singer", "optax lbfgs", "jaxopt LBFGS")
    ]


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


# A process of its own. These functions are found by name in another process.


def looping_peer(rows, labels, recorder, *, l2):
    recorder.start()
    for count in range(1, 10**6):
        time.sleep(0.01)
        recorder.point(l2 * rows[:2], evaluations=count)


def deaf_peer(rows, labels, recorder, *, l2):
    recorder.start()
    recorder.point(rows[:2], evaluations=1)
    time.sleep(3600)


def dying_peer(rows, labels, recorder, *, l2):
    recorder.start()
    recorder.point(rows[:2], evaluations=1)
    os._exit(7)


# Cannot be called like a peer; another process finds it without loading much.
failing_peer = operator.neg


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


def test_a_deadline_is_kept_from_inside(shelf):
    trace = run(looping_peer, shelf, deadline_s=1.0)
    assert trace.stopped == "stopped at the deadline of 1 s"
    assert not trace.finished
    assert 1.0 <= trace.points[-1].seconds < 1.5
    assert trace.points[-1].evaluations >= len(trace.points) > 10
    rows, _ = problem(3)
    np.testing.assert_array_equal(trace.points[0].weights, 0.5 * rows[:2])


@pytest.mark.parametrize(
    ("solver", "words", "num_points"),
    [
        (deaf_peer, "killed 1 s after the start of its clock", 1),
        (dying_peer, "died with exit code 7", 1),
        (failing_peer, "failed: TypeError: ", 0),
    ],
)
def test_whatever_happens_to_a_peer_is_told_and_points_kept(
    solver, words, num_points, shelf, monkeypatch
):
    monkeypatch.setattr(isolation, "_allowance", lambda deadline_s: deadline_s)
    start = time.monotonic()
    trace = run(solver, shelf, deadline_s=1.0)
    assert time.monotonic() - start < 60
    assert (trace.name, trace.settings) == ("toy", "no settings")
    assert trace.stopped.startswith(words)
    assert not trace.finished
    assert len(trace.points) == num_points


def test_a_real_peer_in_its_own_process(shelf):
    peer = find("LIBLINEAR one-vs-rest", "one_vs_rest_hinge")
    trace = isolation.run(peer, shelf, l2=L2, deadline_s=60)
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
    peer = isolation.Peer("toy", "none", "no settings", failing_peer)
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        isolation.run(peer, shelf, **options)


# The judge


@pytest.mark.parametrize("loss", judge.LOSSES)
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
