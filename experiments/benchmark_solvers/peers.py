"""The peers: every solver of another library that we measure ourselves against.

All of them see the same float32 rows, whose last feature is the constant 1, and no
intercept, so that all penalise the bias as our objective does. Tolerances are so small
that a peer ends where it makes no more progress, the deadline passes or the target is
reached.
"""

import functools
from typing import NamedTuple, Protocol

from experiments.benchmark_solvers import peers_jax, peers_sklearn, peers_torch
from experiments.benchmark_solvers.isolation import Recorder
from experiments.benchmark_solvers.rows import Rows
from experiments.common.losses import CERTIFIED


class Solve(Protocol):
    """Minimises mean loss + l2 / 2 times the sum of squares of all weights."""

    def __call__(self, rows: Rows, recorder: Recorder, *, loss: str, l2: float) -> str:
        """Notes points and returns why it stopped."""
        ...


class Peer(NamedTuple):
    """A solver of our problems.

    Attributes:
      name: library and method.
      losses: names in `jaxlin.losses` of the losses that it minimises.
      solve: runs it in its own process.
      settings: solver, tolerance and iterations, in words.
      rerun: whether it tells nothing on the way, so that it is run again and again with
        more and more iterations; it then needed less than the seconds of the first run
        that was enough, and more than those of the run before.
    """

    name: str
    losses: tuple[str, ...]
    solve: Solve
    settings: str
    rerun: bool = False


_SOFTMAX = ("softmax_cross_entropy",)
_JAX = "zoom line search, gradients of jaxlin.objective, until 50 without a lower value"


def _logistic(solver: str, note: str = "") -> Peer:
    return Peer(
        f"scikit-learn {solver}",
        _SOFTMAX,
        functools.partial(peers_sklearn.logistic_regression, solver=solver),
        f"LogisticRegression(solver='{solver}', tol=1e-10, max_iter=1000000){note}",
    )


PEERS = (
    _logistic("lbfgs"),
    _logistic("newton-cg"),
    _logistic(
        "newton-cholesky",
        ", at most 10000 weights C (D + 1); its Hessians are not counted",
    ),
    Peer(
        "scikit-learn saga",
        _SOFTMAX,
        peers_sklearn.rerun,
        "LogisticRegression(solver='saga', tol=1e-8), rerun with max_iter 1, 2, 4, ...",
        rerun=True,
    ),
    Peer(
        "LIBLINEAR Crammer-Singer",
        ("crammer_singer_hinge",),
        peers_sklearn.rerun,
        "LinearSVC(multi_class='crammer_singer', loss='hinge', dual=True), float64 "
        "rows, rerun with tol 8, 4, 2, ..., 1e-8",
        rerun=True,
    ),
    Peer(
        "LIBLINEAR one-vs-rest",
        ("one_vs_rest_hinge",),
        peers_sklearn.rerun,
        "LinearSVC(multi_class='ovr', loss='hinge', dual=True, tol=1e-8), float64 "
        "rows, rerun with max_iter 1, 2, 4, ...",
        rerun=True,
    ),
    Peer(
        "PyTorch LBFGS",
        (*_SOFTMAX, "weston_watkins_hinge", "weston_watkins_squared_hinge"),
        peers_torch.lbfgs,
        "torch.optim.LBFGS(line_search_fn='strong_wolfe', history_size=10, "
        "max_iter=1000000, tolerance_grad=0, tolerance_change=1e-9) on "
        "CrossEntropyLoss or C * MultiMarginLoss",
    ),
    Peer(
        "optax lbfgs",
        tuple(CERTIFIED),
        functools.partial(peers_jax.lbfgs, library="optax"),
        f"optax.lbfgs(memory_size=10), {_JAX}",
    ),
    Peer(
        "jaxopt LBFGS",
        tuple(CERTIFIED),
        functools.partial(peers_jax.lbfgs, library="jaxopt"),
        f"jaxopt.LBFGS(history_size=10, tol=0), {_JAX}",
    ),
)


def of(loss: str, beginnings: tuple[str, ...]) -> tuple[Peer, ...]:
    """The peers that minimise a loss and whose names begin in one of these ways."""
    return tuple(
        peer
        for peer in PEERS
        if loss in peer.losses and peer.name.startswith(beginnings)
    )
