"""The peers of the solver benchmark solve our problems."""

import importlib.util
import warnings

import numpy as np
import processes
import pytest
from solver_problems import KINKED, L2, LOOPS, find, loop_objective, optimum, problem

from experiments.benchmark_solvers import peers, traces
from experiments.common.losses import CERTIFIED

NEEDS = {"scikit-learn": "sklearn", "LIBLINEAR": "sklearn", "PyTorch": "torch"}


def solve(peer, num_classes, deadline_s=processes.HANGS_AFTER_S, target=None):
    """Runs a peer in this process and returns its points and why it ended."""
    sent = []
    recorder = traces.Recorder(sent.append, deadline_s=deadline_s, target=target)
    rows, labels = problem(num_classes)
    try:
        why = peer.solve(rows, labels, recorder, l2=L2)
    except traces.EnoughError as enough:
        why = str(enough)
    compiles = peer.name.startswith(("optax", "jaxopt"))
    assert (recorder.compile_seconds > 0) == compiles
    return [one for one in sent if one is not None], why


def skip_without_library(peer):
    library = peer.name.split()[0]
    name = NEEDS.get(library, library)
    # Not importorskip: jaxopt warns when imported, and a warning is an error here.
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


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
@pytest.mark.full
def test_peer_comes_to_the_optimum_of_our_objective(peer):
    """A constant converted wrongly would lead elsewhere."""
    skip_without_library(peer)
    with warnings.catch_warnings():
        # Those of a library when it is imported are not ours.
        warnings.simplefilter("ignore")
        points, why = solve(peer, 3)
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
    assert max(seconds) < processes.HANGS_AFTER_S
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
def test_two_classes_of_scikit_learn_are_two_rows_of_ours(peer):
    points, _ = solve(peer, 2)
    rows, labels = problem(2)
    answer = points[-1].weights
    np.testing.assert_allclose(answer[0], -answer[1])
    found = loop_objective(answer, rows, labels, peer.loss)
    assert found == pytest.approx(optimum(peer.loss, 2), rel=1e-5)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_watching_scikit_learn_changes_nothing(solver, monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from sklearn.linear_model._linear_loss import LinearModelLoss

    monkeypatch.setattr(traces, "_SPACING", 0.0)
    before = dict(vars(LinearModelLoss))
    peer = find(f"scikit-learn {solver}", "softmax_cross_entropy")
    points, _ = solve(peer, 3)
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


@pytest.mark.parametrize("name", ["lbfgs", "newton-cg", "newton-cholesky", "saga"])
def test_a_peer_is_stopped_at_the_target_or_the_deadline(name):
    peer = find(f"scikit-learn {name}", "softmax_cross_entropy")
    target = 1.01 * optimum(peer.loss, 3)
    points, why = solve(peer, 3, target=target)
    rows, labels = problem(3)
    values = [loop_objective(one.weights, rows, labels, peer.loss) for one in points]
    assert values[-1] <= target * (1 + 1e-6)
    assert min(values[:-1]) > target * (1 - 1e-6)
    assert "stopped at the target" in why
    points, why = solve(peer, 3, deadline_s=1e-6)
    assert len(points) == 1
    assert "deadline of 1e-06 s" in why


def test_newton_cholesky_refuses_many_weights():
    peer = find("scikit-learn newton-cholesky", "softmax_cross_entropy")
    recorder = traces.Recorder(lambda _: None, deadline_s=1.0)
    rows, labels = np.ones((4, 2501), np.float32), np.arange(4)
    with pytest.raises(ValueError, match="at most 10000 weights, got 10004"):
        peer.solve(rows, labels, recorder, l2=L2)


def test_peers_are_named_once_and_say_how_they_run():
    names = [(peer.name, peer.loss) for peer in peers.PEERS]
    assert len(set(names)) == len(names)
    assert {peer.loss for peer in peers.PEERS} == set(CERTIFIED) == set(LOOPS)
    for peer in peers.PEERS:
        assert "bias penalised" in peer.settings
        assert "{" not in peer.settings
    assert [peer.name for peer in peers.of("crammer_singer_hinge")] == [
        *("LIBLINEAR Crammer-Singer", "optax lbfgs", "jaxopt LBFGS")
    ]
