"""Time of a fit against the size of the problem, one dimension at a time.

Examples and features: the first so many examples and evenly spread features of the data
set. Classes: the same rows, labelled by a random linear softmax model of so many
classes. Every size is another program: it is fitted once to compile, then timed.
(`experiments.benchmark_sweep` measures the growth with the number of models.)
"""

import statistics
import time
from collections.abc import Collection
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxlin
from experiments.benchmark_solvers import ours
from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_solvers.config import Config
from experiments.benchmark_solvers.rows import Rows
from experiments.common.losses import CERTIFIED
from experiments.common.study import Measured, Run
from jaxlin import data

# The gap to be proven; a fit that has not proven it by then is reported as such.
_STOP = jaxlin.Stop(1e-3, 500)
# A fit that takes so long is timed once: the noise is small beside it.
_LONG_SECONDS = 30.0

DIMENSIONS = ("examples", "features", "classes")


class Size(NamedTuple):
    """A problem of growth."""

    examples: int
    features: int
    classes: int


def part(loss: str, dimension: str) -> str:
    """The name of the part of a loss and a dimension."""
    return f"growth-{loss}-{dimension}"


def measure(
    config: Config, dataset: data.Dataset, run: Run, *, loss: str, dimension: str
) -> Measured:
    """Seconds of a fit at each size of one dimension, and the slopes."""
    rows, _ = all_rows.of(dataset)
    usual = Size(
        max(2, len(rows.labels) // 4), rows.features.shape[1], rows.num_classes
    )
    values: Collection[int] = config.growth_classes
    if dimension != "classes":
        most = rows.features.shape[dimension == "features"]
        values = {max(2, most >> n) for n in range(config.growth_halvings + 1)}
    found = []
    for value in sorted(values):
        size = usual._replace(**{dimension: value})
        problem = _problem(rows, size, by_teacher=dimension == "classes")
        found.append({**size._asdict(), **_measured(config, problem, loss)})
    sizes = [one[dimension] for one in found]
    slopes = len(sizes) > 1 and {
        "fit": slope(sizes, [one["seconds"] for one in found]),
        "pass": slope(sizes, [one["pass_seconds"] for one in found]),
    }
    named = {"loss": loss, "dimension": dimension}
    return Measured({**named, "sizes": found, "slopes": slopes or None})


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Exponent of the power law that fits best, by least squares of logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _measured(config: Config, problem: jaxlin.Problem, loss: str) -> dict[str, Any]:
    """Seconds of the parts of a fit, medians over repeats after one that compiles."""
    how: Any = {"loss": CERTIFIED[loss], "l2": config.growth_l2, "refine": False}
    runs = []
    jax.block_until_ready(problem.examples.features)
    for number in range(1 + config.repeats):
        time.sleep(config.settle_s)
        fit, record = ours.watched(problem, stop=_STOP, **how)
        runs.append((record["seconds"][-1], record["prepare_seconds"]))
        if number and runs[-1][0] > _LONG_SECONDS:
            break
    seconds, prepare_seconds = map(statistics.median, zip(*runs[1:], strict=True))
    return {
        "seconds": seconds,
        "prepare_seconds": prepare_seconds,
        "pass_seconds": (seconds - prepare_seconds) / fit.passes,
        "first_seconds": runs[0][0],
        "passes": fit.passes,
        "relative_gap": fit.relative_gap,
    }


def _problem(rows: Rows, size: Size, *, by_teacher: bool) -> jaxlin.Problem:
    """The first examples and evenly spread features, raw as they are stored."""
    total = rows.features.shape[1]
    kept = np.arange(size.features) * total // size.features
    fewer = Rows(
        np.ascontiguousarray(rows.features[: size.examples, kept]),
        rows.labels[: size.examples],
        rows.mean[kept],
        rows.scale,
        size.classes,
    )
    if by_teacher:
        fewer = fewer._replace(labels=_labels(fewer.extended()[:, :-1], size.classes))
    return fewer.problem()


def _labels(rows: np.ndarray, num_classes: int) -> np.ndarray:
    """Draws labels from a random linear softmax model with scores of spread 2."""
    draw = np.random.default_rng(0)
    teacher = draw.normal(size=(rows.shape[1], num_classes)).astype(np.float32)
    scores = rows @ teacher
    scores *= 2 / scores.std()
    noise = draw.gumbel(size=scores.shape).astype(np.float32)
    return np.argmax(scores + noise, axis=1).astype(np.int32)
