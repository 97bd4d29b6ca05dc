"""The parts of the page about local fits, time, noise and contrast."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.common import report
from experiments.common.report import Block, Details, Paragraph, Table
from experiments.common.run_folder import RunFolder
from experiments.nearest_neighbor import pictures
from experiments.nearest_neighbor.config import Config
from experiments.nearest_neighbor.contrast import NORMAL, PIXELS, PROJECTED, in_theory
from experiments.nearest_neighbor.findings import milliseconds, percent
from experiments.nearest_neighbor.local import FITS
from experiments.nearest_neighbor.noise import GAP, HELD_OUT
from experiments.nearest_neighbor.spaces import METRICS
from experiments.nearest_neighbor.verdict import noise_part
from jaxlin import data


class Run(NamedTuple):
    """Everything a page is made of."""

    folder: RunFolder
    config: Config
    dataset: data.Dataset
    facts: Mapping[str, Any]
    done: Mapping[str, Mapping[str, Any]]
    answers: Mapping[str, np.ndarray]
    results: Mapping[str, Any]
    seconds: Mapping[str, Mapping[str, float]]


def draw(run: Run, name: str, figure: Any, *, caption: str, alt: str, width: int):
    """A picture, in the run folder and for the page."""
    path = run.folder.write_figure(name, figure)
    return report.picture(path, caption=caption, alt=alt, width=width)


def local_fits(run: Run) -> list[Block]:
    """A vote, a weighted one and a linear classifier of the neighbours."""
    found, config = run.results["local"], run.config
    rows = [
        (k, *(percent(found["accuracy"][name][place]) for name in FITS))
        for place, k in enumerate(found["ks"])
    ]
    return [
        draw(
            run,
            "local",
            pictures.accuracy_of_local_fits(found),
            caption=f"Accuracy on {found['queries']:,} training examples that were "
            "taken out, by their neighbours among the others "
            f"({METRICS[found['metric']].title}): 95 % Wilson intervals over examples, "
            "which are the same for all.",
            alt="accuracy against k, a line a local fit",
            width=760,
        ),
        Table(("k", *FITS), rows),
        Paragraph(
            f"Weights are Gaussian with bandwidth {found['bandwidth']:.4g}, "
            f"{config.local_bandwidth:g} median distances to the nearest neighbour. "
            "The linear classifier is softmax, fitted to the k neighbours of each "
            f"query with their weights, at l2 = {config.local_l2:g} (features over "
            "their largest value). Bandwidth and l2 were given, not chosen here."
        ),
    ]


def time(run: Run) -> list[Block]:
    """What an answer costs, and what the linear classifier costs before."""
    found = run.results["time"]
    rows: list[Any] = []
    for name, one in found["searches"].items():
        for place, size in enumerate(found["sizes"]):
            rows.append(
                (
                    METRICS[name].title,
                    f"{size:,}",
                    milliseconds(one["seconds"][place]),
                    f"{milliseconds(one['least'][place])} to "
                    f"{milliseconds(one['most'][place])}",
                    f"{one['times_linear'][place]:,.1f}",
                    f"{one['first_call'][place]:.2f} s",
                )
            )
    linear = run.results["linear"]
    rows.append(
        (
            "linear classifier",
            None,
            milliseconds(found["linear"]),
            None,
            "1",
            f"{found['linear_first_call']:.2f} s",
        )
    )
    text = (
        "What the linear classifier saves here it has paid before: its fit took "
        f"{linear['seconds']:.2f} s ({linear['first_seconds']:.2f} s with compiling). "
        "The nearest neighbours pay nothing before the first question."
    )
    name, one = next(iter(found["searches"].items()))
    saved = one["seconds"][-1] - found["linear"]
    if saved > 0:
        text += (
            f" Beside {METRICS[name].title} among {found['sizes'][-1]:,} rows that is "
            f"paid back after {linear['seconds'] / saved:,.0f} answers."
        )
    return [
        draw(
            run,
            "time",
            pictures.time_against_rows(found),
            caption=f"Time of an answer in a batch of {found['queries']:,} queries, "
            f"{found['k']} neighbours, exact: medians of {run.config.time_repeats} "
            "calls, the band from the quickest to the slowest. Dashed: the linear "
            "classifier, which does not keep the rows.",
            alt="milliseconds a query against the number of training rows",
            width=760,
        ),
        Paragraph(text),
        Details(
            "All times",
            [
                Table(
                    (
                        "metric",
                        "rows",
                        "median",
                        "from to",
                        "times linear",
                        "first call",
                    ),
                    rows,
                    caption="A query; the first call is of the whole batch and "
                    "compiles. One machine's times mean little elsewhere.",
                )
            ],
        ),
    ]


def noise(run: Run) -> list[Block]:
    """What features of noise take from each classifier."""
    found, config = run.results["noise"], run.config
    records = [run.done[noise_part(repeat)] for repeat in range(config.noise_repeats)]
    rows = [
        (
            f"{level:,}",
            *(
                f"{100 * found[name]['accuracy'][place]:.2f} ± "
                f"{100 * found[name]['standard_error'][place]:.2f}"
                for name in ("one_nearest", "nearest", "linear")
            ),
            f"{found['median_k'][place]:g}",
            f"{found['median_l2'][place]:g}",
        )
        for place, level in enumerate(found["noise_features"])
    ]
    return [
        draw(
            run,
            "noise",
            pictures.accuracy_against_noise(records),
            caption=f"Means of {found['repeats']} draws of {config.noise_examples:,} "
            f"training and {config.noise_tests:,} test examples, in bands of one "
            "standard error to each side: how much other draws from the same images "
            "would differ, which is less than other images would.",
            alt="test accuracy against the number of noise features",
            width=760,
        ),
        Table(
            ("noise features", "1-NN", "k-NN", "linear", "median k", "median l2"),
            rows,
            caption="Test accuracy in per cent, ± one standard error over draws.",
        ),
        Paragraph(
            "A feature of noise is normal and independent of everything; its size is "
            f"{config.noise_scale:g} times that of a feature of the data (less its "
            "mean, root mean square over all). k and l2 are chosen for every level "
            f"and draw on {HELD_OUT:.0%} of the training examples; then all are used. "
            f"In {found['l2_at_an_end']} of {found['l2_chosen']} choices l2 was at an "
            f"end of its grid, {min(config.noise_l2):g} to {max(config.noise_l2):g}. "
            f"Every linear fit was asked to prove a relative gap of {GAP:g}; the "
            f"largest left is {found['largest_gap']:.1e}."
        ),
    ]


def contrast(run: Run) -> list[Block]:
    """How much farther the farthest is than the nearest."""
    found = run.results["contrast"]
    curves = {
        name: {one["dimension"]: one["median"] for one in found["curves"][name]}
        for name in (PIXELS, PROJECTED, NORMAL)
    }
    rows = [
        (
            f"{dimension:,}",
            *(_short(curve.get(dimension)) for curve in curves.values()),
            _short(in_theory(dimension, found["examples"]))
            if dimension >= 30
            else None,
        )
        for dimension in run.config.dimensions
    ]
    return [
        draw(
            run,
            "contrast",
            pictures.contrast_against_dimension(found),
            caption=f"How much farther the farthest of {found['examples']:,} points is "
            f"than the nearest: medians over {found['queries']:,} queries, the bands "
            "from quartile to quartile. Dotted: the theory for normal data, which goes "
            "to 0 as 1 / √D.",
            alt="relative contrast against the dimension",
            width=760,
        ),
        Table(
            ("dimension", PIXELS, PROJECTED, NORMAL, "normal data, in theory"),
            rows,
            caption="Medians of (Dmax - Dmin) / Dmin. A dash: a query lies on a point, "
            "or the data have not so many features.",
        ),
        Paragraph(
            "Beyer, Goldstein, Ramakrishnan and Shaft (When is “nearest neighbor” "
            "meaningful? ICDT 1999) show that the contrast goes to 0, in probability, "
            "if the variance of the distance divided by its squared mean does, as it "
            "does for independent features. Features drawn and projections are of "
            "training points and test queries; projections are by a matrix of normal "
            "numbers."
        ),
    ]


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"
