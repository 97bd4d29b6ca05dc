"""A published protocol's own fits against certified ones, value of C by value of C.

Question. DINOv2 and DINOv3 fit scikit-learn's `LogisticRegression` in float64 for 45
values of C, with ``tol=1e-12`` and at most 1,000 iterations. On generated embeddings:
does `jaxlin.sweep` give the same test accuracies, and how much sooner? Where labels
differ, which of the two is the optimum's?

Method. Rows are those of `experiments.benchmark_probes`, some of them kept for testing.
scikit-learn gets them in float64 and fits one value of C after the other. Ours gets
them in float32 and fits all values in one sweep, timed twice: the first call compiles.
Where test labels differ, ours is continued to a gap of 1e-13, which is not timed.
Labels that this certifies (`jaxlin.certified_labels`) are those of the exact optimum,
and count for the one that gave them. The distance of scikit-learn's objective from the
optimum, over the optimum, lies between that from our objective and that from the bound.

The bias is free, as in the protocols. With ``--bias penalized`` scikit-learn gets a
column of ones and no intercept, so that both penalise it.

Command. ``python -m experiments.benchmark_protocol``.
"""

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np

import jaxlin
from experiments import benchmark_probes
from experiments.common import sklearn_models, timing
from experiments.common.config import Bounds, Count, Positive, Seed
from experiments.common.measurements import Measurements, main
from experiments.common.numpy_objective import Data, objective
from experiments.common.text_table import text_table
from jaxlin import data, losses
from jaxlin.linear_probe import CS
from jaxlin.objective import penalties

_LOSS = losses.softmax_cross_entropy
# Proven where labels differ.
_DECIDING_GAP = 1e-13


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the benchmark.

    Attributes:
      shapes: training examples, features and classes of each data set.
      num_test: test examples of each.
      num_cs: values of C, evenly spaced over those of the protocol.
      bias: whether the bias is free, or penalised like the weights.
      relative_gap: gap to be proven.
      max_passes: largest number of passes of a model.
      tolerance: of scikit-learn; the script's is 1e-12.
      max_iterations: of scikit-learn; the script's is 1,000.
      seed: seed of the data.
    """

    shapes: tuple[tuple[int, int, int], ...] = ((20_000, 384, 20),)
    num_test: Count = 5000
    num_cs: Annotated[int, Bounds(at_least=1, at_most=len(CS))] = len(CS)
    bias: Literal["free", "penalized"] = "free"
    relative_gap: Positive = 1e-6
    max_passes: Count = 1000
    tolerance: Positive = 1e-12
    max_iterations: Count = 1000
    seed: Seed = 0


SMOKE = Config(shapes=((300, 8, 3),), num_test=100, num_cs=4, max_iterations=100)


def settle(config: Config) -> Config:
    """Returns the config; raises a ValueError for a bad shape or no scikit-learn."""
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError("scikit-learn must be installed; run pip install scikit-learn")
    benchmark_probes.check_shapes(config.shapes)
    return config


def items(config: Config) -> tuple[tuple[int, int, int], ...]:
    """The shapes."""
    return config.shapes


def measured(config: Config, _: None, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Both fits of each C on one data set, and their times."""
    num_train, num_features, num_classes = shape
    rows, labels = benchmark_probes.embeddings(
        num_train + config.num_test, num_features, num_classes, seed=config.seed
    )
    train, test = slice(num_train), slice(num_train, None)
    chosen = np.linspace(0, len(CS) - 1, config.num_cs).round().astype(int)
    cs = tuple(np.asarray(CS)[chosen].tolist())
    l2s = penalties.l2_of_c(cs, total_weight=num_train, num_classes=num_classes)

    def sweep() -> Any:
        return jaxlin.sweep(
            jaxlin.problem(rows[train], labels[train]),
            losses=(_LOSS,),
            l2s=l2s,
            stop=jaxlin.Stop(config.relative_gap, config.max_passes),
            refine=True,
            bias=config.bias,
        )

    _, first_seconds = timing.timed(sweep)
    fits, seconds = timing.timed(sweep)
    problem = jaxlin.problem(rows[train], labels[train])
    test_examples = data.Split(rows[test], labels[test])
    # Models of a sweep are in the order of the given l2.
    values = [
        _compared(config, c, fits[i], problem, test_examples) for i, c in enumerate(cs)
    ]
    peer_seconds = sum(value["seconds"] for value in values)
    return {
        "shape": list(shape),
        "first_seconds": first_seconds,
        "seconds": seconds,
        "peer_seconds": peer_seconds,
        "ratio": peer_seconds / seconds,
        "ratio_with_compiling": peer_seconds / first_seconds,
        "passes": int(fits.passes.sum()),
        "float64_passes": int(fits.float64_passes.sum()),
        "values": values,
    }


def _compared(
    config: Config,
    c: float,
    fit: "jaxlin.Fit",
    problem: "jaxlin.Problem",
    test: data.Split,
) -> dict[str, Any]:
    """Both answers at one value of C, and which of them is the optimum's."""
    train: Any = problem.rows
    is_free = config.bias == "free"
    model = sklearn_models.logistic_regression(
        train.targets,
        l2=fit.l2,
        tol=config.tolerance,
        max_iter=config.max_iterations,
        fit_intercept=is_free,
    )
    labels = train.targets
    rows, test_rows = (
        _extended(part)[:, : -1 if is_free else None]
        for part in (train.features, test.features)
    )
    seconds = sklearn_models.seconds_of_fit(model, rows, labels)
    own_labels = jaxlin.predict(fit, test.features)
    peer_labels = model.predict(test_rows)
    differ = own_labels != peer_labels
    found: dict[str, Any] = {"labels_that_differ": int(differ.sum())}
    if differ.any():
        exact = jaxlin.fit(
            problem,
            loss=_LOSS,
            l2=fit.l2,
            start=fit.params,
            stop=jaxlin.Stop(_DECIDING_GAP, 10 * config.max_passes),
            refine=True,
            bias=config.bias,
        )
        known = differ & jaxlin.certified_labels(exact, test.features)
        right = jaxlin.predict(exact, test.features)
        own_weights = np.c_[exact.params.weights, exact.params.bias].astype(float)
        examples = Data(_extended(train.features), labels, np.ones(len(labels)))
        theirs, upper = (
            objective(weights, examples, loss=_LOSS.__name__, l2=fit.l2)
            - is_free * fit.l2 / 2 * np.square(weights[:, -1]).sum()
            for weights in (sklearn_models.weights_of(model), own_weights)
        )
        lower = upper * (1 - exact.relative_gap)
        found |= {
            "ours_is_the_optimum": int((known & (own_labels == right)).sum()),
            "theirs_is_the_optimum": int((known & (peer_labels == right)).sum()),
            "distance_at_least": float(theirs / upper - 1),
            "distance_at_most": float(theirs / lower - 1),
            "decided_to": exact.relative_gap,
        }
    iterations = int(np.max(model.n_iter_))
    return {
        "c": c,
        "l2": fit.l2,
        "relative_gap": fit.relative_gap,
        "converged": fit.converged,
        "accuracy": float((own_labels == test.labels).mean()),
        "peer_accuracy": float((peer_labels == test.labels).mean()),
        "seconds": seconds,
        "iterations": iterations,
        "is_at_limit": iterations >= config.max_iterations,
        **found,
    }


def _extended(rows: np.ndarray) -> np.ndarray:
    """Rows with the constant 1, in float64, as the script gives its features."""
    return np.c_[rows, np.ones(len(rows))].astype(np.float64)


def report(config: Config, results: Sequence[Mapping[str, Any]]) -> str:
    """A table of the values of C per shape, and the times."""
    return "\n\n".join(_report_of_one(config, result) for result in results)


def _report_of_one(config: Config, result: Mapping[str, Any]) -> str:
    columns = (
        *("C", "gap", "accuracy", "scikit-learn", "differ", "ours right"),
        *("its right", "its distance", "iterations", "s"),
    )
    lines = [
        (
            f"{value['c']:.2e}",
            f"{value['relative_gap']:.1e}",
            f"{100 * value['accuracy']:.2f}",
            f"{100 * value['peer_accuracy']:.2f}",
            *_differences(value),
            f"{value['iterations']}" + " (limit)" * value["is_at_limit"],
            f"{value['seconds']:.2f}",
        )
        for value in result["values"]
    ]
    equal = sum(
        value["accuracy"] == value["peer_accuracy"] for value in result["values"]
    )
    proven = sum(value["converged"] for value in result["values"])
    shape = " x ".join(map(str, result["shape"]))
    return "\n".join(
        (
            f"{shape}: accuracies equal at {equal} of {len(lines)} values of C, "
            f"{proven} proven to {config.relative_gap:g}",
            text_table(columns, lines),
            f"scikit-learn {result['peer_seconds']:.1f} s, ours "
            f"{result['seconds']:.2f} s ({result['first_seconds']:.1f} s with "
            f"compiling), {result['passes']} passes, {result['float64_passes']} of "
            f"them in float64: {result['ratio']:.0f} times "
            f"({result['ratio_with_compiling']:.0f} with compiling)",
        )
    )


def _differences(value: Mapping[str, Any]) -> tuple[str, ...]:
    """Labels that differ, those that are the optimum's, scikit-learn's distance."""
    if not value["labels_that_differ"]:
        return ("-",) * 4
    low, high = value["distance_at_least"], value["distance_at_most"]
    return (
        str(value["labels_that_differ"]),
        str(value["ours_is_the_optimum"]),
        str(value["theirs_is_the_optimum"]),
        f"{low:.1e} to {high:.1e}",
    )


MEASUREMENTS = Measurements(
    name="benchmark_protocol",
    about=__doc__,
    config=Config(),
    smoke=SMOKE,
    items=items,
    measure=measured,
    report=report,
    settle=settle,
)

if __name__ == "__main__":
    main(MEASUREMENTS)
