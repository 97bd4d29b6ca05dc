"""The peers: every solver of another library that we measure ourselves against.

All of them see the same float32 rows, whose last feature is the constant 1, and no
intercept, so that all penalise the bias as our objective does. Constants are converted
(l2 = 1 / (C n) for scikit-learn and LIBLINEAR; 2 / (C n) for LogisticRegression of two
classes), tolerances so small that a peer ends where it makes no more progress, the
deadline passes or the target is reached.
"""

import functools

from experiments.benchmark_solvers import peers_jax, peers_sklearn, peers_torch
from experiments.benchmark_solvers.isolation import Peer

_SOFTMAX = "softmax_cross_entropy"
_BIAS = "bias penalised as the weight of a constant feature, no intercept"
_RERUN = "each run timed from its start"
_LOOSEST, _TIGHTEST = peers_sklearn.LOOSEST_TOLERANCE, peers_sklearn.RERUN_TOLERANCE


def of(loss: str) -> tuple[Peer, ...]:
    """Returns the peers that minimise the loss of this name in `jaxlin.losses`."""
    return tuple(peer for peer in PEERS if peer.loss == loss)


def _logistic(solver: str, note: str = "") -> Peer:
    settings = (
        f"LogisticRegression(solver='{solver}', C=1 / (l2 n), of two classes 2 / (l2 n)"
        f", tol={peers_sklearn.GRADIENT_TOLERANCE:g}, fit_intercept=False), "
        f"max_iter={peers_sklearn.ITERATIONS}, float32 rows, multinomial{note}; {_BIAS}"
    )
    solve = functools.partial(peers_sklearn.logistic_regression, solver=solver)
    return Peer(f"scikit-learn {solver}", _SOFTMAX, settings, solve)


def _rerun(name: str, loss: str, settings: str) -> Peer:
    solve = functools.partial(peers_sklearn.rerun, loss=loss)
    return Peer(name, loss, f"{settings}, {_RERUN}; {_BIAS}", solve, rerun=True)


def _liblinear(kind: str, name: str, loss: str, limits: str) -> Peer:
    settings = (
        f"LinearSVC(multi_class='{kind}', loss='hinge', dual=True, C=1 / (l2 n), "
        f"fit_intercept=False), float64 rows, rerun with {limits}"
    )
    return _rerun(f"LIBLINEAR {name}", loss, settings)


def _torch(loss: str, criterion: str) -> Peer:
    settings = (
        f"torch.optim.LBFGS(line_search_fn='strong_wolfe', history_size="
        f"{peers_torch.HISTORY}, max_iter={peers_torch.ITERATIONS}, tolerance_grad=0, "
        f"tolerance_change={peers_torch.CHANGE_TOLERANCE:g}) on {criterion}, CPU, "
        f"float32; {_BIAS}"
    )
    solve = functools.partial(peers_torch.lbfgs, loss=loss)
    return Peer("PyTorch LBFGS", loss, settings, solve)


def _jax(name: str, call: str, loss: str) -> Peer:
    settings = (
        f"{call}, its zoom line search, no preconditioning, gradients of "
        "jaxlin.objective on all rows, weights (C, D), float32; until "
        f"{peers_jax.PATIENCE} iterations bring no lower value; {_BIAS}"
    )
    solve = functools.partial(peers_jax.lbfgs, library=name.split()[0], loss=loss)
    return Peer(name, loss, settings, solve)


PEERS = (
    _logistic("lbfgs"),
    _logistic("newton-cg"),
    _logistic(
        "newton-cholesky",
        f", at most {peers_sklearn.CHOLESKY_WEIGHTS} weights C (D + 1); its Hessians "
        "are not counted",
    ),
    _rerun(
        "scikit-learn saga",
        _SOFTMAX,
        f"LogisticRegression(solver='saga', C=1 / (l2 n), of two classes 2 / (l2 n), "
        f"tol={_TIGHTEST:g}, fit_intercept=False), float32 rows, multinomial, rerun "
        "with max_iter 1, 2, 4, ..., an evaluation an epoch",
    ),
    _liblinear(
        "crammer_singer",
        "Crammer-Singer",
        "crammer_singer_hinge",
        f"tol {_LOOSEST:g} and halves of it down to {_TIGHTEST:g}, at most 100000 "
        "iterations",
    ),
    _liblinear(
        "ovr",
        "one-vs-rest",
        "one_vs_rest_hinge",
        f"tol={_TIGHTEST:g} and max_iter 1, 2, 4, ...",
    ),
    _torch(_SOFTMAX, "CrossEntropyLoss"),
    _torch("weston_watkins_hinge", "C * MultiMarginLoss()"),
    _torch("weston_watkins_squared_hinge", "C * MultiMarginLoss(p=2)"),
    *(
        _jax(name, call, loss)
        for name, call in (
            ("optax lbfgs", f"optax.lbfgs(memory_size={peers_jax.HISTORY})"),
            ("jaxopt LBFGS", f"jaxopt.LBFGS(history_size={peers_jax.HISTORY}, tol=0)"),
        )
        for loss in (
            _SOFTMAX,
            "weston_watkins_hinge",
            "weston_watkins_squared_hinge",
            "crammer_singer_hinge",
            "one_vs_rest_hinge",
        )
    ),
)
