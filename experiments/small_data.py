"""How far and how fast are small real data sets fitted, beside scikit-learn?

Question. Digits, iris, wine and breast cancer, six losses, l2 from 1e-1 to 1e-5: which
fits prove a relative gap of 1e-6, in how many seconds, and how long does scikit-learn
take to an objective that is as low?

Method. All rows of a data set, standardised by the fit or raw, as given. The targets
of `cross_entropy` are labels smoothed by 0.1. The first call compiles; the time of a
fit is the median of ``repeats`` more calls from arrays, checks included.
Peers minimise the same objective, with the bias as a penalised weight of a constant
feature: `LogisticRegression` for softmax and `LinearSVC` for two hinges, both with
``fit_intercept=False``. They get the normalised float64 rows, which is not charged, and
a tolerance divided by 4 until their objective is at most (1 + 1e-6) times ours; a
peer that takes longer than ``peer_seconds`` before it gets there is not tried further.
The ratio is our time over that of the fastest peer, above 1 where we are slower.

Command. ``python -m experiments.small_data``.
"""

import dataclasses
import functools
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import numpy as np
import sklearn.datasets

import jaxlin
from experiments.common import numpy_objective, sklearn_models, timing
from experiments.common.config import Bounds, Count, Positive, Positives
from experiments.common.measurements import Measurements, main
from experiments.common.numpy_objective import Data
from experiments.common.text_table import text_table
from jaxlin import losses, normalization

Dataset = Literal["digits", "iris", "wine", "breast_cancer"]
Rows = Literal["standardised", "raw"]
LossName = Literal[
    "weston_watkins_hinge",
    "weston_watkins_squared_hinge",
    "crammer_singer_hinge",
    "one_vs_rest_hinge",
    "softmax_cross_entropy",
    "cross_entropy",
]
# How far above our objective a peer may stay.
_DISTANCE = 1e-6
_OF_FIT = ("converged", "stalled", "relative_gap", "passes", "float64_passes")
# Of `LogisticRegression` the solver, of `LinearSVC` its ``multi_class``.
PEERS = {
    "softmax_cross_entropy": ("lbfgs", "newton-cg", "newton-cholesky"),
    "crammer_singer_hinge": ("crammer_singer",),
    "one_vs_rest_hinge": ("ovr",),
}
_TOLERANCES = tuple(0.1 / 4**step for step in range(24))
# Rows that a peer's iterations may look at for each of ``peer_seconds``.
_ROWS_PER_SECOND = 10**7
_LABEL_SMOOTHING = 0.1
# Passes in float32 and in float64.
_COLUMNS = ("fit", "l2", "gap", "passes", "first s", "s", "peer", "its s", "ratio")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the tables.

    Attributes:
      datasets: names of data sets of scikit-learn.
      rows: standardised, raw.
      losses: names of losses in `jaxlin.losses`.
      l2: strengths of half the sum of squares.
      relative_gap: gap to be proven.
      repeats: calls whose median is the time of a fit.
      peer_seconds: seconds of one fit of a peer, after which it gets no smaller
        tolerance; 0 measures no peer.
    """

    datasets: tuple[Dataset, ...] = get_args(Dataset)
    rows: tuple[Rows, ...] = get_args(Rows)
    losses: tuple[LossName, ...] = get_args(LossName)
    l2: Positives = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    relative_gap: Positive = 1e-6
    repeats: Count = 3
    peer_seconds: Annotated[float, Bounds(at_least=0)] = 2.0


SMOKE = Config(
    ("iris",),
    ("standardised",),
    ("softmax_cross_entropy", "crammer_singer_hinge", "one_vs_rest_hinge"),
    (1e-2,),
)


def peer(name: str, labels: np.ndarray, *, l2: float, seconds: float) -> Any:
    """A peer with our objective, not yet fitted."""
    most = max(1, int(seconds * _ROWS_PER_SECOND / len(labels)))
    if name in ("crammer_singer", "ovr"):
        return sklearn_models.linear_svc(labels, l2=l2, multi_class=name, max_iter=most)
    return sklearn_models.logistic_regression(labels, l2=l2, solver=name, max_iter=most)


def peer_result(
    name: str, data: Data, *, loss: str, l2: float, objective: float, config: Config
) -> dict[str, Any]:
    """Tightens a peer's tolerance until its objective is as low as ``objective``.

    Returns the relative ``distance`` above it at the last ``tolerance``, and the
    ``seconds``, None if the peer stayed further away.
    """
    model = peer(name, data.targets, l2=l2, seconds=config.peer_seconds)
    for tolerance in _TOLERANCES:
        model.set_params(tol=tolerance)
        fit = functools.partial(
            sklearn_models.seconds_of_fit, model, data.rows, data.targets
        )
        times = [fit()]
        weights = sklearn_models.weights_of(model)
        value = numpy_objective.objective(weights, data, loss=loss, l2=l2)
        found = {"tolerance": tolerance, "distance": value / objective - 1}
        if found["distance"] <= _DISTANCE:
            times += [fit() for _ in range(config.repeats - 1)]
            return {**found, "seconds": statistics.median(times)}
        if times[0] > config.peer_seconds:
            break
    return {**found, "seconds": None}


def items(config: Config) -> list[tuple[str, str, str, float]]:
    """Data sets, kinds of rows, losses and values of l2."""
    return list(
        itertools.product(config.datasets, config.rows, config.losses, config.l2)
    )


def measured(
    config: Config, _: None, item: tuple[str, str, str, float]
) -> dict[str, Any]:
    """Fits one model several times, and its peers."""
    dataset, rows, loss, l2 = item
    features, labels = getattr(sklearn.datasets, f"load_{dataset}")(return_X_y=True)
    targets, classes = labels, labels.max() + 1
    if loss == "cross_entropy":
        one_hot = np.eye(classes)[labels]
        targets = (1 - _LABEL_SMOOTHING) * one_hot + _LABEL_SMOOTHING / classes
    fit = functools.partial(
        jaxlin.fit,
        features,
        targets,
        loss=getattr(losses, loss),
        l2=l2,
        stop=jaxlin.Stop(config.relative_gap),
        normalization=None if rows == "raw" else normalization.fit_standard,
    )
    found, first = timing.timed(fit)
    seconds = statistics.median(timing.timed(fit)[1] for _ in range(config.repeats))
    data = numpy_objective.seen_by(found, features, targets)
    weights = np.c_[found.params.weights, found.params.bias].astype(float)
    value = numpy_objective.objective(weights, data, loss=loss, l2=l2)
    peers = {
        name: peer_result(name, data, loss=loss, l2=l2, objective=value, config=config)
        for name in PEERS.get(loss, ())
        if config.peer_seconds
    }
    times = [one["seconds"] for one in peers.values() if one["seconds"] is not None]
    return {
        "dataset": dataset,
        "rows": rows,
        "loss": loss,
        "l2": l2,
        "objective": value,
        **{name: getattr(found, name) for name in _OF_FIT},
        "first_seconds": first,
        "seconds": seconds,
        "peers": peers,
        "ratio": seconds / min(times) if times and found.converged else None,
    }


def report(config: Config, rows: Sequence[Mapping[str, Any]]) -> str:
    """All fits, then the share proven and the ratios by kind of rows and loss."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(f"{row['rows']} {row['loss']}", []).append(row)
    summary = []
    for name, group in groups.items():
        proven = sum(row["converged"] for row in group)
        ratios = [row["ratio"] for row in group if row["ratio"] is not None]
        quantiles = np.quantile(ratios or [np.nan], (0, 0.5, 1))
        cells = (f"{one:.2f}".replace("nan", "-") for one in quantiles)
        summary.append((name, f"{proven} of {len(group)}", *cells))
    columns = ("rows and loss", "proven", "least ratio", "median", "largest")
    fits = text_table(_COLUMNS, map(_line, rows))
    return f"{fits}\n\n{text_table(columns, summary)}"


def _line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    reached = {k: v["seconds"] for k, v in row["peers"].items() if v["seconds"]}
    fastest = min(reached, key=lambda name: reached[name], default="")
    return (
        f"{row['dataset']} {row['rows']} {row['loss']}",
        f"{row['l2']:g}",
        f"{row['relative_gap']:.1e}" + ("" if row["converged"] else " short"),
        f"{row['passes'] - row['float64_passes']} + {row['float64_passes']}",
        f"{row['first_seconds']:.2f}",
        f"{row['seconds']:.4f}",
        fastest or ("none" if row["peers"] else "-"),
        f"{reached[fastest]:.4f}" if fastest else "-",
        f"{row['ratio']:.2f}" if row["ratio"] else "-",
    )


MEASUREMENTS = Measurements(
    name="small_data",
    about=__doc__,
    config=Config(),
    smoke=SMOKE,
    items=items,
    measure=measured,
    report=report,
)

if __name__ == "__main__":
    main(MEASUREMENTS)
