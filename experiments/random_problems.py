"""Does every fit of a small problem converge, and does every certificate hold?

Question. Over random small problems, awkward ones among them: how often does
`jaxlin.fit` with its defaults prove the gap that was asked for, and is a certificate
ever false?

Method. A problem depends on the seed and its index alone. Losses take turns; n is at
most 300, D at most 60, C at most 12; l2 lies between 1e-5 and 1e-1, relative to
features of mean square 1. All sizes (n, D, C) come from ``num_shapes`` triples, because
each compiles anew; odd triples are standardised by the fit. Each fit runs twice: the
first call compiles, the second is the time of a fit.

A certificate is false if an objective below its lower bound exists. Objectives are
evaluated in NumPy float64 on the rows as given, at the parameters of the fit and at
those that L-BFGS-B reaches from there. A fit counts as proven if its relative gap is at
most what was asked for, or 1e-9 where that is less. With a free bias every class has
examples of positive weight.

Command. ``python -m experiments.random_problems``; with the settings of a run,
``--only INDEX`` repeats one of its problems.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import numpy as np
import scipy.special

import jaxlin
from experiments.common import numpy_objective, timing
from experiments.common.config import Bounds, Count, Seed
from experiments.common.measurements import Measurements, main
from experiments.common.text_table import text_table
from jaxlin import losses, normalization
from jaxlin.linear import BiasName

LOSSES = tuple(numpy_objective.LOSSES)
LEAST_GAP = 1e-9
# Target probabilities are multiples of 1 / 64: float32 holds them exactly.
_COUNTS = 64
_COLUMNS = ("", "fits", "proven", "false", "true share", "first s", "s", "passes")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the problems.

    Attributes:
      num_problems: problems 0 to num_problems - 1 are fitted.
      seed: seed of all problems.
      num_shapes: number of triples (n, D, C).
      float64: share of problems with float64 features and gaps down to 1e-9.
      bias: treatment of the bias.
      only: index of the only problem to fit.
    """

    num_problems: Count = 1000
    seed: Seed = 0
    num_shapes: Count = 24
    float64: Annotated[float, Bounds(at_least=0, at_most=1)] = 0.3
    bias: BiasName = "penalized"
    only: Annotated[int | None, Bounds(at_least=0)] = None


SMOKE = Config(num_problems=6, num_shapes=1)


def shapes(config: Config) -> np.ndarray:
    """Triples (n, D, C): n and D log-uniform, C uniform."""
    generator = np.random.default_rng(config.seed)
    logarithms = generator.uniform(0, np.log([301, 61]), (config.num_shapes, 2))
    classes = generator.integers(2, 13, (config.num_shapes, 1))
    return np.hstack([np.exp(logarithms).astype(int), classes])


def draw(config: Config, index: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of a problem as JSON types, and its keywords for `jaxlin.fit`."""
    generator = np.random.default_rng([config.seed, index])
    shape = int(generator.integers(config.num_shapes))
    examples, width, classes = map(int, shapes(config)[shape])
    chances = generator.uniform(size=4) < (0.5, 0.2, 0.2, config.float64)
    weighted, duplicated, constant, is_float64 = map(bool, chances)
    loss = LOSSES[index % len(LOSSES)]
    # jaxlin refuses labels of a single class.
    examples = examples if loss == "cross_entropy" else max(2, examples)
    settings: dict[str, Any] = {
        **{"index": index, "loss": loss, "n": examples, "D": width, "C": classes},
        "l2": float(10 ** generator.uniform(-5, -1)),
        "asked": float(10 ** generator.uniform(-9 if is_float64 else -6, -3)),
        "float64": is_float64,
        "standardised": shape % 2 == 1,
        "scaling": str(generator.choice(["none", "common", "per feature"])),
        "noise": int(generator.choice([0, 1, 5])),
        "weighted": weighted,
        "duplicated": duplicated,
        "constant": constant,
    }
    rows, targets = _examples(generator, settings)
    weights = np.ones(examples)
    if weighted:
        weights = 10 ** generator.uniform(-2, 1, examples)
        # The first two rows, of two classes, always count.
        weights[2:] *= generator.uniform(size=examples)[2:] > 0.3
    if config.bias == "free":
        targets, weights = _with_every_class(targets, weights)
        classes = int(targets.max()) + 1 if targets.ndim == 1 else targets.shape[1]
    is_raw = not settings["standardised"]
    return settings, {
        "features": rows.astype(np.float64 if is_float64 else np.float32),
        "labels": targets,
        "weights": weights.astype(np.float32),
        "loss": getattr(losses, loss),
        "bias": config.bias,
        "l2": settings["l2"] * (float(np.mean(rows**2)) if is_raw else 1.0),
        "stop": jaxlin.Stop(settings["asked"]),
        "normalization": None if is_raw else normalization.fit_standard,
        "classes": range(classes),
    }


def _examples(
    generator: np.random.Generator, settings: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows in float64, and labels or distributions by a linear teacher with noise."""
    examples, width, classes = (settings[name] for name in ("n", "D", "C"))
    rows = generator.normal(size=(examples, width))
    if settings["duplicated"]:
        rows[examples // 2 :] = rows[: examples - examples // 2]
    scores = rows @ generator.normal(size=(width, classes))
    scores += settings["noise"] * generator.normal(size=scores.shape)
    if settings["constant"]:
        rows[:, -1] = 3
    if settings["scaling"] == "common":
        rows *= 10 ** generator.uniform(-3, 3)
    elif settings["scaling"] == "per feature":
        rows *= 10 ** generator.uniform(-3, 3, width)
        rows /= np.sqrt(np.mean(rows**2))
    if settings["loss"] == "cross_entropy":
        shares = scipy.special.softmax(scores, axis=1)
        counts = generator.multinomial(_COUNTS, shares)
        # As with labels, the first two classes occur.
        counts[0], counts[0, :2] = 0, _COUNTS // 2
        return rows, counts.astype(np.float32) / np.float32(_COUNTS)
    labels = scores.argmax(axis=1)
    labels[:2] = 0, 1
    return rows, labels


def _with_every_class(
    targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Targets without the classes that do not occur, and weights above 0."""
    if targets.ndim == 1:
        _, targets = np.unique(targets, return_inverse=True)
    else:
        targets = targets[:, targets.sum(axis=0) > 0]
    return targets, np.maximum(weights, 1e-2)


def items(config: Config) -> list[tuple[int, bool]]:
    """Indices by size, and whether a problem is the first of its size."""

    def size_of(index: int) -> tuple[int, ...]:
        return tuple(draw(config, index)[0][name] for name in ("n", "D", "C"))

    every = range(config.num_problems) if config.only is None else [config.only]
    found: list[tuple[int, bool]] = []
    before = None
    for index in sorted(every, key=size_of):
        found.append((index, size_of(index) != before))
        before = size_of(index)
    return found


def measured(config: Config, dataset: None, item: tuple[int, bool]) -> dict[str, Any]:
    """Fits a problem twice and examines its certificate."""
    index, is_new_size = item
    if is_new_size:
        # A process may map 65,530 regions of memory, and each program takes some.
        jax.clear_caches()
    settings, arguments = draw(config, index)
    with timing.seconds() as first:
        jaxlin.fit(**arguments)
    with timing.seconds() as second:
        fit = jaxlin.fit(**arguments)
    examples = (arguments[name] for name in ("features", "labels", "weights"))
    data = numpy_objective.seen_by(fit, *examples)
    return {
        **settings,
        "proven": fit.relative_gap <= max(settings["asked"], LEAST_GAP),
        "stalled": fit.stalled,
        "relative_gap": fit.relative_gap,
        "passes": fit.passes,
        "float64_passes": fit.float64_passes,
        "first_seconds": sum(first.values()),
        "compile_seconds": first["compile"],
        "seconds": sum(second.values()),
        **numpy_objective.examined(fit, data),
    }


def report(config: Config, rows: Sequence[Mapping[str, Any]]) -> str:
    """Tables by loss and by decade of l2, and the fits that fell short, by name."""
    lines = [_line("all", rows)]
    for loss in dict.fromkeys(row["loss"] for row in rows):
        lines.append(_line(loss, [row for row in rows if row["loss"] == loss]))
    for low in (1e-5, 1e-4, 1e-3, 1e-2):
        if group := [row for row in rows if low <= row["l2"] < 10 * low]:
            lines.append(_line(f"l2 from {low:g}", group))
    faults = []
    for row in rows:
        if row["false"] or not row["proven"]:
            fault = "false" if row["false"] else "not proven"
            faults.append(f"{fault}: --only {row['index']}  {row}")
    return "\n".join([text_table(_COLUMNS, lines), *faults])


def _line(name: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    """Counts of a group, its largest true share, and quantiles 0.5, 0.9 and 1."""
    quantiles = []
    for key in ("first_seconds", "seconds", "passes"):
        found = np.quantile([row[key] for row in rows], (0.5, 0.9, 1))
        quantiles.append(" ".join(f"{one:.3g}" for one in found))
    return (
        name,
        len(rows),
        f"{np.mean([row['proven'] for row in rows]):.1%}",
        sum(row["false"] for row in rows),
        f"{max(row['true_share'] for row in rows):.2f}",
        *quantiles,
    )


MEASUREMENTS = Measurements(
    name="random_problems",
    about=__doc__,
    config=Config(),
    smoke=SMOKE,
    items=items,
    measure=measured,
    report=report,
)

if __name__ == "__main__":
    main(MEASUREMENTS)
