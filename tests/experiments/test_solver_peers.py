"""The peers of the solver benchmark solve our problems."""

import importlib.util
import warnings

import numpy as np
import optima
import processes
import pytest
from solver_problems import (
    L2,
    find,
    loop_objective,
    optimum,
    problem,
    stored,
)

from experiments.benchmark_solvers import isolation, peers
from experiments.benchmark_solvers.rows import Rows
from experiments.common.losses import CERTIFIED

SOFTMAX = "softmax_cross_entropy"

NEEDS = {"scikit-learn": "sklearn", "LIBLINEAR": "sklearn", "PyTorch": "torch"}


ALL = [(peer, loss) for peer in peers.PEERS for loss in peer.losses]


def solve(peer, loss, num_classes, deadline_s=processes.HANGS_AFTER_S, target=None):
    """Runs a peer in this process and returns its points and why it ended."""
    sent = []
    recorder = isolation.Recorder(sent.append, deadline_s=deadline_s, target=target)
    try:
        why = peer.solve(
            stored(num_classes), recorder, loss=loss, l2=L2, **peer.settings
        )
    except isolation.EnoughError as enough:
        why = str(enough)
    compiles = peer.name.startswith(("optax", "jaxopt"))
    assert (recorder.compile_seconds > 0) == compiles
    return sent, why


def skip_without_library(peer):
    library = peer.name.split()[0]
    name = NEEDS.get(library, library)
    # Not importorskip: jaxopt warns when imported, and a warning is an error here.
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")


def marked(peer, loss):
    """Programs of many losses take long to compile; what differs is the loss alone."""
    compiled = peer.name.startswith(("optax", "jaxopt"))
    few = {"softmax_cross_entropy", "crammer_singer_hinge"}
    marks = [pytest.mark.full] if compiled and loss not in few else []
    name = f"{peer.name} {loss}".replace(" ", "-")
    return pytest.param(peer, loss, id=name, marks=marks)


@pytest.mark.parametrize(("peer", "loss"), [marked(*one) for one in ALL])
@pytest.mark.full
def test_peer_comes_to_the_optimum_of_our_objective(peer, loss):
    """A constant converted wrongly would lead elsewhere."""
    skip_without_library(peer)
    with warnings.catch_warnings():
        # Those of a library when it is imported are not ours.
        warnings.simplefilter("ignore")
        points, why = solve(peer, loss, 3)
    least = optimum(loss, 3)
    rows, labels = problem(3)
    values = [loop_objective(point.weights, rows, labels, loss) for point in points]
    assert min(values) >= least * (1 - 1e-6)
    exact = loss not in optima.HINGES or peer.name.startswith("LIBLINEAR")
    assert min(values) <= least * (1 + (1e-5 if exact else 1e-2))
    assert "ended" in why
    assert points[-1].weights.shape == (3, 5)
    assert points[-1].weights.dtype == np.float32
    seconds = [point.seconds for point in points]
    assert min(seconds) > 0
    assert max(seconds) < processes.HANGS_AFTER_S
    counts = [point.passes for point in points]
    if peer.name.startswith("LIBLINEAR"):
        assert set(counts) == {None}
    else:
        assert counts == sorted(counts)
        # A first line search may take several.
        assert 1 <= counts[0] < 20
    if "newton-cg" in peer.name:
        # Products with the Hessian are among them.
        assert counts[-1] > len(points)


@pytest.mark.parametrize(
    ("peer", "loss"),
    [marked(*one) for one in ALL if NEEDS.get(one[0].name.split()[0]) == "sklearn"],
)
def test_two_classes_of_scikit_learn_are_two_rows_of_ours(peer, loss):
    points, _ = solve(peer, loss, 2)
    rows, labels = problem(2)
    answer = points[-1].weights
    np.testing.assert_allclose(answer[0], -answer[1])
    found = loop_objective(answer, rows, labels, loss)
    assert found == pytest.approx(optimum(loss, 2), rel=1e-5)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_watching_scikit_learn_changes_nothing(solver, monkeypatch):
    from sklearn.linear_model import LogisticRegression
    from sklearn.linear_model._linear_loss import LinearModelLoss

    monkeypatch.setattr(isolation, "_SPACING", 0.0)
    before = dict(vars(LinearModelLoss))
    peer = find(f"scikit-learn {solver}", SOFTMAX)
    points, _ = solve(peer, SOFTMAX, 3)
    assert dict(vars(LinearModelLoss)) == before
    # Every point but the answer, which was one of them, is a pass more, or more
    # with the products of newton-cg.
    counts = [point.passes for point in points]
    if solver == "newton-cg":
        assert (np.diff(counts)[:-1] > 0).all()
        assert counts[-1] >= counts[-2]
    else:
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
    peer = find(f"scikit-learn {name}", SOFTMAX)
    target = 1.01 * optimum(SOFTMAX, 3)
    points, why = solve(peer, SOFTMAX, 3, target=target)
    rows, labels = problem(3)
    values = [loop_objective(one.weights, rows, labels, SOFTMAX) for one in points]
    assert values[-1] <= target * (1 + 1e-6)
    assert min(values[:-1]) > target * (1 - 1e-6)
    assert "stopped at the target" in why
    points, why = solve(peer, SOFTMAX, 3, deadline_s=1e-6)
    assert len(points) == 1
    assert "deadline of 1e-06 s" in why


def test_newton_cholesky_refuses_many_weights():
    peer = find("scikit-learn newton-cholesky", SOFTMAX)
    recorder = isolation.Recorder(lambda _: None, deadline_s=1.0)
    unchanged = np.zeros(2500, np.float32), np.float32(1)
    rows = Rows(np.ones((4, 2500), np.float32), np.arange(4), *unchanged, 4)
    with pytest.raises(ValueError, match="at most 10000 weights, got 10004"):
        peer.solve(rows, recorder, loss=SOFTMAX, l2=L2, **peer.settings)


def test_peers_are_named_once_and_every_loss_has_some():
    names = [peer.name for peer in peers.PEERS]
    assert len(set(names)) == len(names)
    assert {loss for _, loss in ALL} == set(CERTIFIED)
    assert [peer.name for peer in peers.of("crammer_singer_hinge", ("",))] == [
        *("LIBLINEAR Crammer-Singer", "optax lbfgs", "jaxopt LBFGS")
    ]


def test_peers_are_chosen_by_the_beginnings_of_their_names():
    names = [peer.name for peer in peers.of(SOFTMAX, ("scikit-learn", "optax"))]
    solvers = ("lbfgs", "newton-cg", "newton-cholesky", "saga")
    assert names == [*(f"scikit-learn {solver}" for solver in solvers), "optax lbfgs"]
    assert peers.of(SOFTMAX, ()) == ()
