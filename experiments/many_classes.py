"""Time and memory of a few passes where there are thousands of classes.

Question. Are 1,000 classes of 7,680 features, 8,142 classes (iNaturalist) and 21,841
(ImageNet-21k) fitted at all, and how long does the preparation take before the first
pass is over?

Method. Rows are those of `experiments.benchmark_probes`, so few that a pass is short;
classes without a row count as classes. `jaxlin.fit` of the softmax cross-entropy ends
after ``passes`` passes, twice: the first call compiles. The first pass ends with the
first call of ``callback``; what comes before is mostly the preconditioner. Peak memory
is that of the whole process during the first call. It holds what earlier shapes have
left to it too, so small shapes come first.

Command. ``python -m experiments.many_classes``. All 45 values of l2 at 1,000 classes:
``python -m experiments.benchmark_probes --solvers --shapes 20000 768 1000``.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jaxlin
from experiments import benchmark_probes
from experiments.common import memory
from experiments.common.config import Count, Positive, Seed
from experiments.common.measurements import Measurements, main
from experiments.common.text_table import text_table
from jaxlin import check, losses


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the table.

    Attributes:
      shapes: examples, features and classes of each data set.
      passes: largest number of passes of a fit.
      l2: strength of the penalty.
      seed: seed of the data.
    """

    shapes: tuple[tuple[int, int, int], ...] = (
        (5_000, 256, 1_000),
        (5_000, 256, 5_000),
        (5_000, 256, 10_000),
        (8_142, 768, 8_142),
        (2_000, 7_680, 1_000),
        (4_000, 768, 21_841),
    )
    passes: Count = 3
    l2: Positive = 1e-3
    seed: Seed = 0


SMOKE = Config(shapes=((60, 5, 3),))


def settle(config: Config) -> Config:
    """Returns the config; raises a ValueError for a bad shape."""
    for shape in config.shapes:
        for name, number, least in zip(
            ("examples", "features", "classes"), shape, (10, 1, 2), strict=True
        ):
            check.integer(f"shapes: {name}", number, at_least=least)
    return config


def items(config: Config) -> tuple[tuple[int, int, int], ...]:
    """The shapes."""
    return config.shapes


def measured(config: Config, _: None, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Seconds and memory of one shape."""
    rows, labels = benchmark_probes.embeddings(*shape, seed=config.seed)
    memory.status_mb("VmHWM", reset=True)
    first = _seconds(config, rows, labels, shape[2])
    peak = memory.status_mb("VmHWM")
    again = _seconds(config, rows, labels, shape[2])
    return {
        "shape": list(shape),
        "rows_mb": rows.nbytes / 2**20,
        "weights_mb": 4 * shape[2] * (shape[1] + 1) / 2**20,
        "peak_mb": peak,
        "with_compiling": first,
        "compiled": again,
    }


def _seconds(config: Config, rows: Any, labels: Any, num_classes: int) -> Any:
    """Seconds to the end of the first pass, and of all passes; the gap reached."""
    times: list[float] = []
    start = time.perf_counter()
    fit = jaxlin.fit(
        jaxlin.problem(rows, labels, classes=range(num_classes)),
        loss=losses.softmax_cross_entropy,
        l2=config.l2,
        stop=jaxlin.Stop(1e-12, config.passes),
        refine=False,
        callback=lambda passes, info: times.append(time.perf_counter() - start),
    )
    return {
        "first_pass": times[0],
        "seconds": time.perf_counter() - start,
        "passes": fit.passes,
        "relative_gap": fit.relative_gap,
    }


def report(config: Config, results: Sequence[Mapping[str, Any]]) -> str:
    """A line per shape."""
    lines = []
    for result in results:
        first, again = result["with_compiling"], result["compiled"]
        peak = result["peak_mb"]
        lines.append(
            (
                " x ".join(map(str, result["shape"])),
                f"{result['rows_mb']:.0f} + {result['weights_mb']:.0f}",
                "-" if peak is None else f"{peak:.0f}",
                f"{first['first_pass']:.1f}",
                f"{again['first_pass']:.1f}",
                f"{again['seconds']:.1f}",
                again["passes"],
                f"{again['relative_gap']:.1e}",
            )
        )
    columns = ("rows, features, classes", "rows + weights, MB", "peak, MB")
    times = ("first pass s", "compiled", "all s", "passes", "gap")
    return text_table((*columns, *times), lines)


MEASUREMENTS = Measurements(
    name="many_classes",
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
