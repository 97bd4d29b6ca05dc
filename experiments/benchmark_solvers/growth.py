"""Time of a fit against the size of the problem, one dimension at a time.

Examples and features: the first so many examples and evenly spread features of the data
set. Classes: the same rows, labelled by a random linear softmax model of so many
classes. Models: a grid over l2 fitted as one program (`interface.map_settings`) until
all are certified. Every size is another program: it is fitted once to compile, then
timed.
"""

import statistics
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_solvers.config import Config
from experiments.benchmark_solvers.rows import Rows
from experiments.common.losses import CERTIFIED
from experiments.common.study import Measured, Run
from jaxlin import data
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.solvers import certified, interface, preconditioner

# What is to be proven of each model.
RELATIVE_GAP = 1e-3
# A model that has not been proven by then is reported as such.
_MAX_EVALUATIONS = 500
# A fit that takes so long is timed once: the noise is small beside it.
_LONG_SECONDS = 30.0
# A grid of models spans this factor in l2.
_L2_SPAN = 100.0

DIMENSIONS = ("examples", "features", "classes", "models")


class Size(NamedTuple):
    """A problem of growth."""

    examples: int
    features: int
    classes: int
    models: int


def part(loss: str, dimension: str) -> str:
    """The name of the part of a loss and a dimension."""
    return f"growth-{loss}-{dimension}"


def measure(
    config: Config, dataset: data.Dataset, run: Run, *, loss: str, dimension: str
) -> Measured:
    """Seconds of a fit at each size of one dimension, and the slopes."""
    rows, _ = all_rows.of(dataset)
    usual = Size(config.growth_base, rows.features.shape[1], rows.num_classes, 1)
    found = []
    for value in getattr(config, f"growth_{dimension}"):
        size = usual._replace(**{dimension: value})
        problem = _problem(rows, size, by_teacher=dimension == "classes")
        found.append({**size._asdict(), **_measured(config, problem, loss, size)})
    sizes = [one[dimension] for one in found]
    slopes = len(sizes) > 1 and {
        "fit": slope(sizes, [one["seconds"] for one in found]),
        "evaluation": slope(sizes, [one["evaluation_seconds"] for one in found]),
    }
    named = {"loss": loss, "dimension": dimension}
    return Measured({**named, "sizes": found, "slopes": slopes or None})


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Exponent of the power law that fits best, by least squares of logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _measured(
    config: Config, problem: interface.Examples, loss: str, size: Size
) -> dict[str, Any]:
    """Seconds of the parts of a fit, medians over repeats after one that compiles."""
    runs = []
    for number in range(1 + config.repeats):
        time.sleep(config.settle_s)
        runs.append(_fit(config.growth_l2, problem, loss, size))
        if number and runs[-1]["seconds"] > _LONG_SECONDS:
            break
    first, *warm = runs
    medians = {
        name: statistics.median(one[name] for one in warm)
        for name in ("seconds", "prepare_seconds", "evaluation_seconds")
    }
    return {**first, **medians, "first_seconds": first["seconds"]}


def _fit(
    least_l2: float, problem: interface.Examples, loss: str, size: Size
) -> dict[str, Any]:
    """Fits one model, or a grid of models as one program, to the worst gap proven."""
    start = time.perf_counter()
    known: Any = CERTIFIED[loss]
    prepared = certified.prepare(problem, rank=preconditioner.rank_for(known))
    jax.block_until_ready(prepared.preconditioner)
    between = time.perf_counter()
    solver = certified.solver(loss=known)
    l2: Any = np.float32(least_l2)
    if size.models > 1:
        solver = interface.map_settings(solver)
        l2 = np.geomspace(l2, _L2_SPAN * l2, size.models, dtype=np.float32)
    settings = interface.Settings(l2=jnp.asarray(l2))
    params = Params(jnp.zeros((size.classes, size.features)), jnp.zeros(size.classes))
    worst, done = np.inf, 0
    for done, _, info in interface.run(  # noqa: B007
        solver,
        jax.random.key(0),
        solver.init(params, prepared, settings),
        prepared,
        settings,
        num_steps=_MAX_EVALUATIONS,
    ):
        worst = float(np.max(np.asarray(info.relative_gap)))
        if worst <= RELATIVE_GAP or np.all(np.asarray(info.stalled)):
            break
    end = time.perf_counter()
    return {
        "seconds": end - start,
        "prepare_seconds": between - start,
        "evaluation_seconds": (end - between) / done,
        "evaluations": done,
        "relative_gap": worst,
    }


def _problem(rows: Rows, size: Size, *, by_teacher: bool) -> interface.Examples:
    """The first examples and evenly spread features, raw as they are stored."""
    total = rows.features.shape[1]
    kept = np.arange(size.features) * total // size.features
    mean, scale = map(np.asarray, rows.normalization)
    fewer = Rows(
        np.ascontiguousarray(rows.features[: size.examples, kept]),
        rows.labels[: size.examples],
        Normalization(mean[kept], scale if scale.ndim == 0 else scale[kept]),
        size.classes,
    )
    if by_teacher:
        fewer = fewer._replace(labels=_labels(fewer.extended()[:, :-1], size.classes))
    return fewer.problem().examples


def _labels(rows: np.ndarray, num_classes: int) -> np.ndarray:
    """Draws labels from a random linear softmax model with scores of spread 2."""
    draw = np.random.default_rng(0)
    teacher = draw.normal(size=(rows.shape[1], num_classes)).astype(np.float32)
    scores = rows @ teacher
    scores *= 2 / scores.std()
    noise = draw.gumbel(size=scores.shape).astype(np.float32)
    return np.argmax(scores + noise, axis=1).astype(np.int32)
