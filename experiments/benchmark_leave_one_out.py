"""Time and accuracy of leave-one-out beside certified refits.

Question. How fast is leave-one-out, and how close to refits? `jaxlin.leave_one_out` of
a softmax fit against one `jaxlin.fit` without each example: times, differences of the
scores, equal labels.

Method. On raw pixels, with a constant scale. Compiled programs, the median of five
calls; a pass over the rows is timed in the same process. Refits are timed one by one,
from zeros on a new problem and from the whole fit on shared rows, both to
``refit_gap``. They are a sample drawn with the seed, or all if ``refits`` is large; the
time of all is the sample's times the number of examples. Where the Hessian is
factorised Newton steps lead from refits to their optima ("exact ones"), with which
scores are compared; elsewhere they are compared with the refits.

Result. Digits, two CPU cores: all 1,297 in 0.62 s, within 1.3e-10 of the optima of as
many refits; 294 times as fast as these, 58 times as fast as fits from zeros, 22 times
as fast as refits from the whole fit. ``docs/results.md`` has CIFAR-10.

Command. ``python -m experiments.benchmark_leave_one_out`` (digits, 1,297 refits), and
``python -m experiments.benchmark_leave_one_out --dataset cifar10 --refits 200
--refit-gap 1e-10 --cold 3``.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common.config import Count, Positive, Positives, Seed
from experiments.common.measurements import Measurements, main
from experiments.common.text_table import text_table
from jaxlin import linear, losses, normalization
from jaxlin.sensitivity import refits
from jaxlin.solvers import certified, hessian_system
from jaxlin.solvers.interface import Settings

_CALLS = 5
LOSS = losses.softmax_cross_entropy


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: as for `jaxlin.data.load`.
      l2: strengths of the penalty.
      relative_gap: gap of the fit of all examples.
      refits: examples that are fitted anew, at most all.
      cold: of these, how many also from zeros.
      refit_gap: relative gap of the refits.
      seed: draws the examples.
    """

    dataset: str = "digits"
    l2: Positives = (1e-3,)
    relative_gap: Positive = 1e-9
    refits: Count = 1297
    cold: Count = 30
    refit_gap: Positive = 1e-16
    seed: Seed = 0


SMOKE = Config(l2=(1e-2,), refits=3, cold=1)


def items(config: Config) -> tuple[float, ...]:
    """The strengths."""
    return config.l2


def measured(config: Config, dataset: Any, l2: float) -> dict[str, Any]:
    """Times and differences at one strength."""
    rows, labels = dataset.train
    scaled = normalization.fit_centered(rows, scale=float(dataset.max_value))
    problem = jaxlin.problem(rows, labels, normalization=scaled)
    stop = jaxlin.Stop(config.relative_gap, 2000)
    fit = jaxlin.fit(problem, loss=LOSS, l2=l2, stop=stop)
    found, seconds = _timed(lambda: jaxlin.leave_one_out(fit, problem, num_refits=0))
    _, pass_seconds = _timed(_pass_of(fit, problem))
    count = min(config.refits, len(labels))
    drawn = np.random.default_rng(config.seed).permutation(len(labels))[:count]
    gap = jaxlin.Stop(config.refit_gap, 2000)
    scores, error, warm, exact = _refits(fit, problem, drawn, gap)
    difference = _centered(scores - found.scores[drawn])
    return {
        "l2": l2,
        "examples": len(labels),
        "seconds": seconds,
        "pass_seconds": pass_seconds,
        "accuracy": found.accuracy.value,
        "largest_bound": float(np.max(found.errors)),
        "warm_refit_seconds": warm,
        "largest_error_of_refits": error,
        "exact_refit_seconds": exact,
        "cold_refit_seconds": _cold(config, fit, problem, drawn[: config.cold], gap),
        "refits": count,
        "largest_difference": float(np.abs(difference).max()),
        "mean_difference": float(np.abs(difference).max(axis=1).mean()),
        "equal_labels": int(
            np.sum(scores.argmax(axis=1) == found.scores[drawn].argmax(axis=1))
        ),
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Result, and median seconds after a first call that compiles."""
    result, times = jax.block_until_ready(call()), []
    for _ in range(_CALLS):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return result, statistics.median(times)


def _pass_of(fit: jaxlin.Fit, problem: jaxlin.Problem) -> Callable[[], Any]:
    """A certified float32 pass at the parameters of the fit."""
    rows = certified.row_source(problem.prepared(loss=LOSS), loss=LOSS)
    params = linear.Params(*(jnp.asarray(part, jnp.float32) for part in fit.params))
    weights, one = linear.fold_bias(params), jnp.float32(1)
    settings = Settings(l2=jnp.float32(fit.l2), loss_arguments={})
    centers = rows.centers(None, 0, jnp.float32)
    return lambda: rows.evaluate(weights, centers, one, settings)


def _refits(
    fit: jaxlin.Fit, problem: jaxlin.Problem, drawn: np.ndarray, stop: jaxlin.Stop
) -> tuple[np.ndarray, float, float, float | None]:
    """Scores of the drawn examples, their errors by refits alone, and their seconds."""
    scores, times, exact_times = np.zeros((len(drawn), problem.num_classes)), [], []
    errors = np.zeros(len(drawn))
    is_dense = hessian_system.is_dense(*np.shape(fit.params.weights))
    refits.without(fit, problem, int(drawn[0]), stop=stop)
    for place, example in enumerate(map(int, drawn)):
        start = time.perf_counter()
        found, _ = refits.without(fit, problem, example, stop=stop)
        times.append(time.perf_counter() - start)
        row = problem.whole_rows.features[example : example + 1]
        scores[place] = own = jaxlin.scores(found, row)[0]
        if is_dense:
            start = time.perf_counter()
            optimum = refits.optimum_without(fit, problem, example)
            scores[place] = np.asarray(optimum.scores)[:, example]
            exact_times.append(time.perf_counter() - start)
            errors[place] = np.abs(_centered(own - scores[place])).max()
    exact = statistics.mean(exact_times[1:]) if len(exact_times) > 1 else None
    return scores, float(errors.max()), statistics.mean(times), exact


def _centered(scores: np.ndarray) -> np.ndarray:
    return scores - scores.mean(axis=-1, keepdims=True)


def _cold(
    config: Config,
    fit: jaxlin.Fit,
    problem: jaxlin.Problem,
    drawn: np.ndarray,
    stop: jaxlin.Stop,
) -> float:
    """Seconds of a refit on a new problem, from zeros."""
    times = []
    rows = problem.whole_rows
    for example in (drawn[0], *drawn):
        start = time.perf_counter()
        weights = np.ones(problem.num_examples)
        weights[example] = 0
        left = jaxlin.problem(
            rows.features,
            rows.targets,
            weights=weights,
            normalization=problem.normalization,
        )
        jaxlin.fit(left, loss=LOSS, l2=fit.l2, stop=stop, refine=True)
        times.append(time.perf_counter() - start)
    return statistics.mean(times[1:])


def report(config: Config, results: Sequence[Mapping[str, Any]]) -> str:
    """A line per strength."""
    lines = []
    for row in results:
        seconds, count, exact = row["seconds"], row["examples"], "-"
        if row["exact_refit_seconds"] is not None:
            exact = f"{row['exact_refit_seconds'] * count / seconds:,.0f}"
        lines.append(
            (
                f"{row['l2']:g}",
                f"{seconds:.3f}",
                f"{seconds / row['pass_seconds']:.1f}",
                f"{row['warm_refit_seconds'] * count / seconds:,.0f}",
                f"{row['cold_refit_seconds'] * count / seconds:,.0f}",
                exact,
                f"{row['largest_bound']:.1e}",
                f"{row['largest_difference']:.1e}",
                f"{row['equal_labels']} of {row['refits']}",
                f"{100 * row['accuracy']:.2f} %",
            )
        )
    times = ("seconds", "in passes", "x refits", "x cold ones", "x exact ones")
    quality = ("bound", "difference", "labels equal", "accuracy")
    return text_table(("l2", *times, *quality), lines)


MEASUREMENTS = Measurements(
    name="benchmark_leave_one_out",
    about=__doc__,
    config=Config(),
    smoke=SMOKE,
    items=items,
    measure=measured,
    report=report,
)

if __name__ == "__main__":
    main(MEASUREMENTS)
