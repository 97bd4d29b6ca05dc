"""The peers: every solver of another library that we measure ourselves against.

All of them see the same float32 rows, whose last feature is the constant 1, and no
intercept, so that all penalise the bias as our objective does. Tolerances are so small
that a peer ends where it makes no more progress, the deadline passes or the target is
reached.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from experiments.benchmark_solvers import peers_jax, peers_sklearn, peers_torch
from experiments.common.losses import CERTIFIED


class Peer(NamedTuple):
    """A solver of our problems.

    Attributes:
      name: library and method.
      losses: names in `jaxlin.losses` of the losses that it minimises.
      solve: minimises mean loss + l2 / 2 times the sum of squares of all weights in its
        own process, ``(rows, recorder, *, loss, l2, **settings)``: notes points and
        returns why it stopped.
      settings: keyword arguments of ``solve``, mostly those of its library.
      rerun: whether it tells nothing on the way, so that it is run again and again with
        more and more iterations; it then needed less than the seconds of the first run
        that was enough, and more than those of the run before.
    """

    name: str
    losses: tuple[str, ...]
    solve: Callable[..., str]
    settings: Mapping[str, Any]
    rerun: bool = False


_SOFTMAX = ("softmax_cross_entropy",)

PEERS = (
    *(
        Peer(
            f"scikit-learn {solver}",
            _SOFTMAX,
            peers_sklearn.logistic_regression,
            # Too small a tolerance to be met: float32 makes no more progress before.
            {"solver": solver, "tol": 1e-10, "max_iter": 10**6},
        )
        for solver in ("lbfgs", "newton-cg", "newton-cholesky")
    ),
    # The tolerance of saga is a relative change of the weights, that of LIBLINEAR a
    # violation of optimality.
    Peer(
        "scikit-learn saga",
        _SOFTMAX,
        peers_sklearn.saga,
        {"tol": 1e-8, "random_state": 0},
        rerun=True,
    ),
    *(
        Peer(
            f"LIBLINEAR {name}",
            (loss,),
            peers_sklearn.liblinear,
            {"multi_class": kind, "tol": 1e-8},
            rerun=True,
        )
        for name, loss, kind in (
            ("Crammer-Singer", "crammer_singer_hinge", "crammer_singer"),
            ("one-vs-rest", "one_vs_rest_hinge", "ovr"),
        )
    ),
    Peer(
        "PyTorch LBFGS",
        tuple(peers_torch.CRITERIA),
        peers_torch.lbfgs,
        {
            "history_size": 10,
            "line_search_fn": "strong_wolfe",
            "max_iter": 10**6,
            "max_eval": 2 * 10**6,
            "tolerance_grad": 0.0,
            # Its default, which for float32 objectives about 1 means no change at all.
            "tolerance_change": 1e-9,
        },
    ),
    Peer(
        "optax lbfgs",
        tuple(CERTIFIED),
        peers_jax.lbfgs,
        {"library": "optax", "memory_size": 10},
    ),
    Peer(
        "jaxopt LBFGS",
        tuple(CERTIFIED),
        peers_jax.lbfgs,
        {"library": "jaxopt", "history_size": 10, "tol": 0.0},
    ),
)


def of(loss: str, beginnings: tuple[str, ...]) -> tuple[Peer, ...]:
    """The peers that minimise a loss and whose names begin in one of these ways."""
    return tuple(
        peer
        for peer in PEERS
        if loss in peer.losses and peer.name.startswith(beginnings)
    )
