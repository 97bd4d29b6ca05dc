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

import jaxlin
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
    rows = all_rows.of(dataset)
    usual = Size(config.growth_base, rows.features.shape[1], rows.num_classes, 1)
    found = []
    for value in getattr(config, f"growth_{dimension}"):
        size = usual._replace(**{dimension: value})
        problem = _problem(rows, size, by_teacher=dimension == "classes")
        found.append({**size._asdict(), **_measured(config, problem, loss, size)})
    named = {"loss": loss, "dimension": dimension}
    return Measured({**named, "sizes": found, "slopes": _slopes(found, dimension)})


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Exponent of the power law that fits best, by least squares of logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _slopes(found: list[dict[str, Any]], dimension: str) -> dict[str, float] | None:
    """Exponents of a whole fit and of one of its evaluations; None of one size."""
    sizes = [one[dimension] for one in found]
    if len(sizes) < 2:
        return None
    return {
        "fit": slope(sizes, [one["seconds"] for one in found]),
        "evaluation": slope(sizes, [one["evaluation_seconds"] for one in found]),
    }


def _measured(
    config: Config, problem: interface.Examples, loss: str, size: Size
) -> dict[str, Any]:
    """Seconds of the parts of a fit, medians over repeats after one that compiles."""
    runs = []
    for number in range(1 + config.repeats):
        time.sleep(config.settle_s)
        runs.append(_fit(config, problem, loss, size))
        if number and sum(runs[-1][:2]) > _LONG_SECONDS:
            break
    first, *warm = runs
    fit_seconds = statistics.median(one[1] for one in warm)
    return {
        "seconds": statistics.median(sum(one[:2]) for one in warm),
        "prepare_seconds": statistics.median(one[0] for one in warm),
        "fit_seconds": fit_seconds,
        "evaluation_seconds": fit_seconds / first[2],
        "first_seconds": sum(first[:2]),
        "evaluations": first[2],
        "relative_gap": first[3],
    }


def _fit(
    config: Config, problem: interface.Examples, loss: str, size: Size
) -> tuple[float, float, int, float]:
    """Seconds to prepare and to fit, evaluations, and the worst gap proven."""
    start = time.perf_counter()
    known: Any = CERTIFIED[loss]
    prepared = certified.prepare(problem, rank=preconditioner.rank_for(known))
    jax.block_until_ready(prepared.preconditioner)
    between = time.perf_counter()
    solver = certified.solver(loss=known)
    l2: Any = np.float32(config.growth_l2)
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
    return between - start, time.perf_counter() - between, done, worst


def _problem(rows: Rows, size: Size, *, by_teacher: bool) -> interface.Examples:
    """The first examples and evenly spread features, raw as they are stored."""
    total = rows.features.shape[1]
    kept = np.arange(size.features) * total // size.features
    features = np.ascontiguousarray(rows.features[: size.examples, kept])
    mean, scale = (np.asarray(part) for part in rows.normalization)
    labels = rows.labels[: size.examples]
    if by_teacher:
        labels = _labels(rows.train[: size.examples, :-1], size.classes)
    return jaxlin.problem(
        features,
        labels,
        classes=range(size.classes),
        normalization=Normalization(
            mean[kept], scale if scale.ndim == 0 else scale[kept]
        ),
    ).examples


def _labels(rows: np.ndarray, num_classes: int) -> np.ndarray:
    """Draws labels from a random linear softmax model with scores of spread 2."""
    draw = np.random.default_rng(0)
    teacher = draw.normal(size=(rows.shape[1], num_classes)).astype(np.float32)
    scores = rows @ teacher
    scores *= 2 / scores.std()
    noise = draw.gumbel(size=scores.shape).astype(np.float32)
    return np.argmax(scores + noise, axis=1).astype(np.int32)
