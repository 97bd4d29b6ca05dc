"""The peers: every solver of another library that we measure ourselves against.

All of them see the same float32 rows, whose last feature is the constant 1, and no
intercept, so that all penalise the bias as our objective does. Constants are converted
(l2 = 1 / (C n) for scikit-learn and LIBLINEAR; 2 / (C n) for LogisticRegression of two
classes), tolerances so small that a peer ends where it makes no more progress, the
deadline passes or the target is reached. What they reached is judged by our objective
alone (`judge`).
"""

import functools

from experiments.benchmark_solvers import peers_jax, peers_sklearn, peers_torch
from experiments.benchmark_solvers.isolation import Peer

_BIAS = "bias penalised as the weight of a constant feature, no intercept"
_LOGISTIC = (
    "LogisticRegression(solver='{solver}', C=1 / (l2 n), of two classes "
    "2 / (l2 n), tol={tol:g}, fit_intercept=False), {iterations}, float32 rows, "
    "multinomial; {bias}"
)
_LIBLINEAR = (
    "LinearSVC({what}, loss='hinge', dual=True, C=1 / (l2 n), fit_intercept=False), "
    "float64 rows, rerun with {limits}, each run timed from its start; {bias}"
)


def of(loss: str) -> tuple[Peer, ...]:
    """Returns the peers that minimise the loss of this name in `jaxlin.losses`."""
    return tuple(peer for peer in PEERS if peer.loss == loss)


def _logistic(solver: str) -> Peer:
    return Peer(
        f"scikit-learn {solver}",
        "softmax_cross_entropy",
        _LOGISTIC.format(
            solver=solver,
            tol=peers_sklearn.GRADIENT_TOLERANCE,
            iterations=f"max_iter={peers_sklearn.ITERATIONS}",
            bias=_BIAS,
        ),
        functools.partial(peers_sklearn.logistic_regression, solver=solver),
    )


def _saga() -> Peer:
    return Peer(
        "scikit-learn saga",
        "softmax_cross_entropy",
        _LOGISTIC.format(
            solver="saga",
            tol=peers_sklearn.RERUN_TOLERANCE,
            iterations="rerun with max_iter 1, 2, 4, ..., each run timed from its "
            "start, an evaluation an epoch",
            bias=_BIAS,
        ),
        peers_sklearn.saga,
        rerun=True,
    )


def _crammer_singer() -> Peer:
    return Peer(
        "LIBLINEAR Crammer-Singer",
        "crammer_singer_hinge",
        _LIBLINEAR.format(
            what="multi_class='crammer_singer'",
            limits=f"tol {peers_sklearn.LOOSEST_TOLERANCE:g} and halves of it down to "
            f"{peers_sklearn.RERUN_TOLERANCE:g}, at most 100000 iterations",
            bias=_BIAS,
        ),
        peers_sklearn.crammer_singer,
        rerun=True,
    )


def _one_vs_rest() -> Peer:
    return Peer(
        "LIBLINEAR one-vs-rest",
        "one_vs_rest_hinge",
        _LIBLINEAR.format(
            what=f"multi_class='ovr', tol={peers_sklearn.RERUN_TOLERANCE:g}",
            limits="max_iter 1, 2, 4, ...",
            bias=_BIAS,
        ),
        peers_sklearn.one_vs_rest,
        rerun=True,
    )


def _torch(loss: str, what: str) -> Peer:
    return Peer(
        "PyTorch LBFGS",
        loss,
        f"torch.optim.LBFGS(line_search_fn='strong_wolfe', history_size="
        f"{peers_torch.HISTORY}, max_iter={peers_torch.ITERATIONS}, tolerance_grad=0, "
        f"tolerance_change={peers_torch.CHANGE_TOLERANCE:g}) on {what}, CPU, float32; "
        f"{_BIAS}",
        functools.partial(peers_torch.lbfgs, loss=loss),
    )


def _optax(loss: str) -> Peer:
    return Peer(
        "optax lbfgs",
        loss,
        f"optax.lbfgs(memory_size={peers_jax.HISTORY}), its zoom line search, no "
        "preconditioning, jax.value_and_grad of jaxlin.objective on all rows, weights "
        f"(C, D), float32; until {peers_jax.PATIENCE} iterations bring no lower value; "
        f"{_BIAS}",
        functools.partial(peers_jax.optax_lbfgs, loss=loss),
    )


def _jaxopt(loss: str) -> Peer:
    return Peer(
        "jaxopt LBFGS",
        loss,
        f"jaxopt.LBFGS(history_size={peers_jax.HISTORY}, tol=0), its zoom line search, "
        "no preconditioning, jax.grad of jaxlin.objective on all rows, weights (C, D), "
        f"float32; until {peers_jax.PATIENCE} iterations bring no lower value; {_BIAS}",
        functools.partial(peers_jax.jaxopt_lbfgs, loss=loss),
    )


_SOFTMAX = "softmax_cross_entropy"
_HINGE = "weston_watkins_hinge"
_SQUARED = "weston_watkins_squared_hinge"
_CRAMMER_SINGER = "crammer_singer_hinge"
_ONE_VS_REST = "one_vs_rest_hinge"

PEERS = (
    _logistic("lbfgs"),
    _logistic("newton-cg"),
    _saga(),
    _crammer_singer(),
    _one_vs_rest(),
    _torch(_SOFTMAX, "CrossEntropyLoss"),
    _torch(_HINGE, "C * MultiMarginLoss()"),
    _torch(_SQUARED, "C * MultiMarginLoss(p=2)"),
    *map(_optax, (_SOFTMAX, _HINGE, _SQUARED, _CRAMMER_SINGER, _ONE_VS_REST)),
    *map(_jaxopt, (_SOFTMAX, _HINGE, _SQUARED, _CRAMMER_SINGER, _ONE_VS_REST)),
)
